"""Which business days a batch brings, and which came before them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

HISTORY: Final = timedelta(days=14)
"""How far back usual days lie; a batch that brings more days than that is a backfill."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """From the instant up to which inputs had been read when the table was last published, to the one they are now.

    `since` is None of a first load. Days are UTC days; the one in which `since` lies was not over then, and comes again.
    """

    since: datetime | None
    until: datetime

    @property
    def first(self) -> date | None:
        """The first day that the batch brings rows of; None of a first load."""
        return None if self.since is None else min(self.since.astimezone(UTC).date(), self.last)

    @property
    def last(self) -> date:
        """The day in which `until` lies, which is not over."""
        return self.until.astimezone(UTC).date()

    @property
    def why_not_daily(self) -> str | None:
        """Why days are not compared with those before, in words; None if they are."""
        if self.first is None:
            return "no version before to compare days with (a first load); min_rows and max_rows hold"
        if self.last - self.first > HISTORY:
            return (
                f"a backfill of {(self.last - self.first).days} days is not compared by day; min_rows and max_rows hold"
            )
        return None

    @property
    def days(self) -> list[date]:
        """The days of the batch, the last of which is not over."""
        first = self.first or self.last
        return [first + number * _DAY for number in range((self.last - first).days + 1)]


def dated_since(column: str, kind: str, day: date) -> str:
    """The SQL condition that a row's date or timestamp lies on a day or after it."""
    literal = f"DATE '{day}'" if kind == "date" else f"TIMESTAMP '{day} 00:00:00'"
    return f"`{column}` >= {literal}"
