"""How much of a batch was refused, and why: what the gate judges before the split."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headwater.quality.rules import PARSE


@dataclass(frozen=True)
class BatchShares:
    """A batch's rows (those with a newer version of their key in it left out), how many broke each rule, and rejects.

    `nulled` counts the accepted rows in which a field was set to null, by the rule that it broke.
    """

    rows: int
    rejected: int = 0
    broken: Mapping[str, int] = field(default_factory=dict)
    nulled: Mapping[str, int] = field(default_factory=dict)

    def share(self, rule: str) -> float:
        """The part of the batch that broke `rule`, 0 to 1; for `parse` the rejects count as rows of the batch."""
        if rule == PARSE:
            return self.rejected / max(self.rows + self.rejected, 1)
        return self.broken.get(rule, 0) / max(self.rows, 1)
