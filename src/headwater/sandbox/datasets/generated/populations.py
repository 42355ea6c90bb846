"""When the things of the generated shop come into being and change, as functions of their number."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from headwater.sandbox.datasets.columns import DAY, HOUR, MINUTE, micros
from headwater.sandbox.datasets.draws import Ints, Mask, below, unit

FIRST = datetime(2023, 11, 1, tzinfo=UTC)
START = datetime(2024, 11, 1, tzinfo=UTC)
END = datetime(2024, 12, 31, tzinfo=UTC)

FIRST_US, START_US, END_US = micros(FIRST), micros(START), micros(END)
CHUNK = 250_000
"""Rows made at a time: memory holds a few such pieces, whatever the scale."""

# The share of a day's activity in each of its 24 hours: a quiet night, a lunch peak, a busy evening.
_HOURS = np.array([2, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 6, 6, 5, 5, 5, 5, 6, 7, 7, 6, 5, 4, 3], dtype=np.float64)
_ACTIVITY = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])


@dataclass(frozen=True)
class Population:
    """Things numbered in the order of their creation: `old` ones before the history, then one every `step` µs."""

    name: str
    old: int
    step: float
    count: int
    older: int

    @classmethod
    def of(cls, name: str, at_start: float, old_share: float, older_days: int = 730) -> "Population":
        """`at_start` things exist at the start clock, `old_share` of them since the days before the history."""
        total = max(round(at_start), 10)
        old = round(total * old_share)
        step = (START_US - FIRST_US) / (total - old)
        return cls(name, old, step, old + int((END_US - FIRST_US) / step), older_days * DAY)

    def created(self, index: Ints) -> Ints:
        """The instant of creation, rising with the number."""
        jitter = unit(f"{self.name}.created", index)
        old = FIRST_US - self.older + (np.minimum(index, self.old) + jitter) / max(self.old, 1) * (self.older - DAY)
        new = FIRST_US + (index - self.old + jitter) * self.step
        return np.where(index < self.old, old.astype(np.int64), _by_hour(new.astype(np.int64)))

    def existing(self, at: Ints) -> Ints:
        """How many surely exist, and are visible, since 2 hours before `at`: numbers below this may be referred to."""
        day = (at - 2 * HOUR) // DAY * DAY
        new = self.old + (day - FIRST_US) / self.step - 1
        old = self.old * (day - FIRST_US + self.older) / (self.older - DAY) - 1
        return np.maximum(np.where(day < FIRST_US, np.minimum(old, self.old), np.maximum(new, self.old)), 1).astype(
            np.int64
        )

    def chunks(self) -> list[Ints]:
        """All numbers, `CHUNK` at a time."""
        return chunks(self.count)

    def changing(self, index: Ints, residues: tuple[int, ...], modulus: int = 20) -> tuple[Ints, Ints]:
        """Which of the numbers change, and when: those of the given remainders, once each.

        Old things change evenly from the first day to the last, so that every day has changes; newer ones within a
        month of their creation. Instants after the end are left out.
        """
        rank = np.full(modulus, -1, dtype=np.int64)
        rank[list(residues)] = np.arange(len(residues))
        chosen = index[rank[index % modulus] >= 0]
        turn = chosen // modulus * len(residues) + rank[chosen % modulus]
        turns = -(-max(self.old, 1) // modulus) * len(residues)
        jitter = unit(f"{self.name}.changed", chosen)
        even = FIRST_US + (turn + 0.3 + 0.4 * jitter) / turns * (END_US - FIRST_US)
        soon = self.created(chosen) + 2 * HOUR + jitter * 30 * DAY
        at = np.where(chosen < self.old, even, soon).astype(np.int64)
        return chosen[at < END_US], at[at < END_US]


def chunks(count: int) -> list[Ints]:
    """0 … count - 1, `CHUNK` at a time."""
    return [np.arange(at, min(at + CHUNK, count), dtype=np.int64) for at in range(0, count, CHUNK)]


def lag(stream: str, index: Ints, late: Mask) -> Ints:
    """By how much a version is visible after its own stamp: 1 to 50 minutes where it is late, else nothing."""
    return np.where(late, MINUTE + below(f"{stream}.lag", index, 49 * MINUTE), 0)


def _by_hour(at: Ints) -> Ints:
    """The same day, its instants gathered in its busy hours, in the same order."""
    day = at // DAY * DAY
    hours = np.interp((at - day) / DAY, _ACTIVITY, np.arange(25) / 24)
    return day + (hours * (DAY - 1)).astype(np.int64)
