"""What happens in a run, told to observers at the instant it happens.

Observers are callables of one event. They see and cannot break: what they raise is logged and forgotten. The events
around a commit (`Staged`, `Committing`, `Committed`, `Recorded`) are the instants between which a process may die.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from headwater.run.report import RunReport, TableReport


@dataclass(frozen=True)
class RunStarted:
    """Which tables will be moved forward, in order, and the instant that the run holds to be now."""

    run_id: str
    at: datetime
    tables: tuple[str, ...]


@dataclass(frozen=True)
class TableStarted:
    table: str
    layer: str


@dataclass(frozen=True)
class Waiting:
    """Another run holds the table; `holder` says who, for people."""

    table: str
    holder: str


@dataclass(frozen=True)
class RaceLost:
    """Another writer moved the table first: nothing was committed, and what is left to do is looked at again."""

    table: str
    reason: str


@dataclass(frozen=True)
class StateRepaired:
    """The state store was empty, behind, ahead or unreadable for a table, and now says what the table says."""

    table: str


@dataclass(frozen=True)
class StateSilent:
    """The state store does not answer: the run goes on without leases, ledger and copies of watermarks."""

    reason: str


@dataclass(frozen=True)
class Progressed:
    """Rows read so far of one table's source."""

    table: str
    rows: int


@dataclass(frozen=True)
class Refusing:
    """The refused rows of an attempt are about to be put into quarantine; the `txn` check comes after this."""

    table: str
    rows: int


@dataclass(frozen=True)
class Refused:
    """The refused rows of an attempt are in quarantine or rejects."""

    table: str
    rows: int


@dataclass(frozen=True)
class Drifted:
    """A Bronze table's source shows a column otherwise than the contract says; once for each column and change.

    `new`: the table gained it in this run. `unknown`: it gained it earlier. `dropped`: the contract has it and the
    source does not. `retyped`: values of another type stand in this column. `text` says it for people.
    """

    table: str
    column: str
    change: Literal["new", "unknown", "dropped", "retyped"]
    text: str


@dataclass(frozen=True)
class Staged:
    """Files are written which no commit names yet."""

    table: str
    rows: int


@dataclass(frozen=True)
class Judging:
    """The gate begins to evaluate a batch and its candidate."""

    table: str


@dataclass(frozen=True)
class Judged:
    table: str
    success: bool
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Committing:
    """The commit is about to be put; the `txn` check comes after this."""

    table: str
    txn: int


@dataclass(frozen=True)
class Committed:
    """The log entry is there; the state store does not know yet."""

    table: str
    version: int
    txn: int


@dataclass(frozen=True)
class Recorded:
    """The state store has what the commit said."""

    table: str


@dataclass(frozen=True)
class TableFinished:
    report: TableReport


@dataclass(frozen=True)
class RunFinished:
    report: RunReport


Event: TypeAlias = (
    RunStarted
    | TableStarted
    | Waiting
    | RaceLost
    | StateRepaired
    | StateSilent
    | Progressed
    | Refusing
    | Refused
    | Drifted
    | Staged
    | Judging
    | Judged
    | Committing
    | Committed
    | Recorded
    | TableFinished
    | RunFinished
)
Observer: TypeAlias = Callable[[Event], None]
