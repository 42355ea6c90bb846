"""How much of a batch was refused, and why: what the gate judges before the split."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headwater.quality.rules import PARSE

REFUSED: Final = "refused:"
NULLED: Final = "nulled:"
"""How checks of a batch are named, before the row rule that they count."""


@dataclass(frozen=True)
class Sample:
    """Some rows that broke a rule: their keys, and where they came from, as `Check` has both."""

    keys: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchShares:
    """A batch's rows (those with a newer version of their key in it left out), how many broke each rule, and rejects.

    `nulled` counts the accepted rows in which a field was set to null, by the rule that it broke. `samples` has some rows
    for each of its checks that has something to tell.
    """

    rows: int
    rejected: int = 0
    broken: Mapping[str, int] = field(default_factory=dict)
    nulled: Mapping[str, int] = field(default_factory=dict)
    samples: Mapping[str, Sample] = field(default_factory=dict)

    def sample(self, check: str) -> Sample:
        return self.samples.get(check, Sample())

    def share(self, rule: str) -> float:
        """The part of the batch that broke `rule`, 0 to 1; for `parse` the rejects count as rows of the batch."""
        if rule == PARSE:
            return self.rejected / max(self.rows + self.rejected, 1)
        return self.broken.get(rule, 0) / max(self.rows, 1)
