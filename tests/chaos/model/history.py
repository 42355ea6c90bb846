"""Histories of a source and of the runs over it: what may happen, drawn by hypothesis.

Times are in ticks of ten minutes. A row is stamped by its source when it is written, and shown later by up to the
overlap; the stamp of a key never goes back. Histories of `unseen` also have what a cursor does not see.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from hypothesis import strategies as st

T0 = datetime(2024, 11, 1, 12, tzinfo=UTC)
TICK = timedelta(minutes=10)
OVERLAP = timedelta(hours=1)
_OVERLAP_TICKS = OVERLAP // TICK

WHOLE = 1_000_000
"""So many rows in a window that it is one."""


@dataclass(frozen=True)
class Write:
    """A row is inserted or updated: stamped `late` ticks ago (or in the future), shown now."""

    key: int
    value: int
    late: int
    hair: bool
    """Stamped a hair later: the finest difference that the source can tell."""


@dataclass(frozen=True)
class Delete:
    """A row is deleted as the source does it: shown as deleted by Salesforce, gone elsewhere."""

    key: int


@dataclass(frozen=True)
class Unstamp:
    """A row loses its cursor."""

    key: int


@dataclass(frozen=True)
class Backdate:
    """A row gets another value, and a stamp from before the one it had."""

    key: int
    value: int
    by: int


@dataclass(frozen=True)
class Clock:
    """The source's clock moves on, or is set back."""

    ticks: int


@dataclass(frozen=True)
class Failure:
    """What happens to a run: at its window of this number, before any row or after all of them, once or for good."""

    window: int
    after_rows: bool
    for_good: bool


@dataclass(frozen=True)
class Disturbed:
    """What happens to a page of Salesforce of this number, where a run reads one window."""

    page: int
    how: str


@dataclass(frozen=True)
class Run:
    """A run, by a clock of our own that differs from the source's."""

    ahead: int
    rows_per_window: int = WHOLE
    page_records: int = 2000
    failure: Failure | None = None
    pages: tuple[Disturbed, ...] = ()


Step: TypeAlias = Write | Delete | Unstamp | Backdate | Clock | Run
History: TypeAlias = tuple[Step, ...]

ORDINARY: History = (
    Write(key=0, value=0, late=1, hair=False),
    Clock(ticks=6),
    Run(ahead=0),
    Write(key=1, value=0, late=6, hair=False),
    Run(ahead=-12),
    Run(ahead=0, failure=Failure(window=0, after_rows=True, for_good=False)),
)
"""A late row, a run at an instant that was read already, and one that is tried again: always among what is lived."""

KEYS = 6
_keys = st.integers(0, KEYS - 1)
_values = st.integers(0, 3)


def _writes(least: int, most: int) -> st.SearchStrategy[tuple[Write, ...]]:
    """Up to four rows; the others often share the stamp of the first, as a change of many rows at once does."""
    one = st.builds(Write, key=_keys, value=_values, late=st.integers(least, most), hair=st.booleans())
    return st.one_of(
        st.builds(_alike, first=one, keys=st.lists(_keys, min_size=1, max_size=3, unique=True)),
        st.lists(one, min_size=1, max_size=4).map(tuple),
    )


def _alike(first: Write, keys: list[int]) -> tuple[Write, ...]:
    return (first, *(replace(first, key=key) for key in keys))


_clocks = st.builds(Clock, ticks=st.one_of(st.integers(0, 12), st.integers(-2, 40)))
_failures = st.builds(Failure, window=st.sampled_from((0, 0, 1, 2)), after_rows=st.booleans(), for_good=st.booleans())
DISTURBANCES = (
    *("a change", "a deletion", "a change", "a deletion"),
    *("busy", "cut", "short", "in parts", "again", "log in again", "refused"),
)
_pages = st.lists(
    st.builds(Disturbed, page=st.sampled_from((2, 3, 1, 4)), how=st.sampled_from(DISTURBANCES)),
    max_size=2,
    unique_by=lambda d: d.page,
).map(tuple)


_broken_off = st.builds(
    Run,
    ahead=st.just(0),
    rows_per_window=st.sampled_from((1, 2)),
    failure=st.builds(Failure, window=st.sampled_from((1, 2)), after_rows=st.booleans(), for_good=st.just(True)),
)
"""Runs that land some of their windows and no more."""


def _runs(paged: bool) -> st.SearchStrategy[Run]:
    usual = st.builds(
        Run,
        ahead=st.sampled_from((0, 0, -1, -4, -12, 3, 40)),
        rows_per_window=st.sampled_from((WHOLE, WHOLE, WHOLE, 1, 2)),
        page_records=st.sampled_from((1, 1, 2, 3, 2000)) if paged else st.just(2000),
        failure=st.one_of(st.none(), st.none(), _failures),
        pages=_pages if paged else st.just(()),
    )
    return st.one_of(usual, usual, _broken_off)


def seen_histories(*, deletions_shown: bool) -> st.SearchStrategy[History]:
    """Histories of which a cursor sees everything; of Salesforce (`deletions_shown`) also deletions, and its pages."""
    steps: list[st.SearchStrategy[Step | tuple[Write, ...]]] = [
        _writes(-3, _OVERLAP_TICKS),
        _writes(0, _OVERLAP_TICKS),
        _clocks,
        _runs(deletions_shown),
    ]
    if deletions_shown:
        steps.append(st.builds(Delete, key=_keys))
    return st.lists(st.one_of(steps), min_size=6, max_size=12).map(_flat).filter(_has_a_run)


def unseen_histories(*, deletions_shown: bool) -> st.SearchStrategy[History]:
    """Histories with what a cursor does not see: later than the overlap, gone for good, without a cursor, backdated."""
    steps: list[st.SearchStrategy[Step | tuple[Write, ...]]] = [
        _writes(-3, 300),
        _clocks,
        _runs(paged=False),
        st.builds(Delete, key=_keys),
        st.builds(Backdate, key=_keys, value=_values, by=st.integers(1, 200)),
    ]
    if not deletions_shown:
        steps.append(st.builds(Unstamp, key=_keys))
    return st.lists(st.one_of(steps), min_size=6, max_size=12).map(_flat).filter(_has_a_run)


def _flat(steps: list[Step | tuple[Write, ...]]) -> History:
    return tuple(step for each in steps for step in (each if isinstance(each, tuple) else (each,)))


def _has_a_run(history: History) -> bool:
    """A run, with something before it to read."""
    runs = [number for number, step in enumerate(history) if isinstance(step, Run)]
    writes = [number for number, step in enumerate(history) if isinstance(step, Write)]
    return bool(runs and writes) and writes[0] < runs[-1]
