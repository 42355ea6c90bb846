"""A question to a candidate, with what a failure of it means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.quality.blocks import Severity

if TYPE_CHECKING:
    from headwater.quality.measures import ExpectMeasure


@dataclass(frozen=True)
class Asked:
    """`expectation` by the rule it is answered under; `say` words what was observed.

    One that is `of_rows` holds where there are none.
    """

    rule: str
    expectation: "ExpectMeasure"
    severity: Severity
    limit: str
    say: Callable[[float], str]
    of_rows: bool = True


def quoted(name: str) -> str:
    """A column's name as SQL takes it."""
    return f"`{name}`"


def share_of(condition: str) -> str:
    """The share of the rows on which an SQL condition holds, as an SQL aggregate; null of no rows."""
    return f"count_if({condition}) / nullif(count(1), 0)"


def percent(share: float) -> str:
    """A share as people read it; one that is not 0 never looks like it."""
    return "0 %" if share == 0 else f"{max(share, 0.0001):.2%}"
