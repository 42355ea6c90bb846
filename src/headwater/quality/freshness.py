"""How old the newest row of a table may be, of a candidate as of a table that stands."""

from datetime import datetime, timedelta

from headwater.contracts import Contract
from headwater.quality.blocks import TableLimits
from headwater.quality.verdict import Check, span_text

RULE = "freshness"


def freshness_check(contract: Contract, limits: TableLimits, age: timedelta) -> Check:
    """The check of a table whose newest row is `age` old; its limits have a freshness."""
    freshness = limits.freshness
    if freshness is None:
        raise ValueError(f"{contract.table} has no limit of freshness")
    most = span_text(freshness.max_age)
    column = freshness.column or contract.cursor
    detail = f"the newest {column} is {span_text(age)} old; limit {most}"
    seconds = age.total_seconds()
    return Check(RULE, freshness.severity, seconds, f"at most {most} old", age <= freshness.max_age, detail)


def standing_checks(
    contract: Contract, limits: TableLimits, newest: datetime | None, at: datetime
) -> tuple[Check, ...]:
    """What is judged of a table that nothing moved: a source that has gone silent must not pass for good.

    `newest` is the instant of its newest row, as its commit told; without one (a table without rows) nothing is judged.
    """
    if limits.freshness is None or newest is None:
        return ()
    return (freshness_check(contract, limits, at - newest),)
