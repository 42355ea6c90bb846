"""How many rows a business day has, beside what is usual on its weekday."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any, Final

from headwater.quality.span import HISTORY

_WEEK: Final = timedelta(days=7)
_TOLD: Final = 3


@dataclass(frozen=True)
class Usual:
    """What is usual: between `least` and `most` times the median of the same weekday in the 14 days before `first`.

    Days of which the median is less than `enough` rows are not judged; `unfinished`, which is not over, may have few.
    """

    first: date
    unfinished: date
    least: float
    most: float
    enough: int

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Usual":
        """As JSON has it."""
        days = {name: date.fromisoformat(told[name]) for name in ("first", "unfinished")}
        return cls(**{**told, **days})

    @property
    def as_json(self) -> dict[str, Any]:
        return {
            "first": self.first.isoformat(),
            "unfinished": self.unfinished.isoformat(),
            "least": self.least,
            "most": self.most,
            "enough": self.enough,
        }

    def day(self, day: date, counts: Mapping[date, int]) -> "Day | None":
        """A day beside what is usual; None where nothing can be said of it."""
        before = [self.first - number * timedelta(days=1) for number in range(1, HISTORY.days + 1)]
        # A day without any row lies before the table's first, or its weekday has none: neither says what is usual.
        same = [other for other in before if other.weekday() == day.weekday() and counts.get(other)]
        usual = median(counts[other] for other in same) if same else 0
        if usual < self.enough:
            return None
        ratio = counts.get(day, 0) / usual
        few = ratio < self.least and day < self.unfinished
        return Day(
            day, counts.get(day, 0), usual, tuple(same), fails=few or ratio > self.most, over=day < self.unfinished
        )


@dataclass(frozen=True)
class Day:
    """A day's rows beside the usual ones, which are the median of the days `beside`."""

    day: date
    rows: int
    usual: float
    beside: tuple[date, ...]
    fails: bool
    over: bool

    @property
    def ratio(self) -> float:
        return self.rows / self.usual

    @property
    def unusual(self) -> float:
        """How far it is from the usual, as much for half as for double."""
        return abs(math.log(self.ratio)) if self.rows else math.inf

    @property
    def said(self) -> str:
        beside = " and ".join(str(day) for day in sorted(self.beside))
        so_far = "" if self.over else " so far"
        return f"{self.day} has {self.rows} rows{so_far}, {self.ratio:.2f} times the usual {self.usual:g} (of {beside})"


def judged(usual: Usual, days: Sequence[date], counts: Mapping[date, int]) -> tuple[float | None, str]:
    """The ratio of the most unusual day, one that fails before all others, and what is to say of the days."""
    found = [day for each in days if (day := usual.day(each, counts)) is not None]
    if not found:
        return None, f"not judged: no weekday had {usual.enough} rows in the 14 days before {usual.first}"
    ranked = sorted(found, key=lambda day: (day.fails, day.unusual), reverse=True)
    ranked = [day for day in ranked if day.over or day.ratio > 1]
    if not ranked:
        return None, f"not judged yet: {found[0].said}, and the day is not over"
    failing = [day for day in ranked if day.fails]
    told = failing[:_TOLD] or ranked[:1]
    more = f"; and {len(failing) - len(told)} more days" if len(failing) > len(told) else ""
    return ranked[0].ratio, f"{'; '.join(day.said for day in told)}{more}; limit {usual.least:g} to {usual.most:g}"
