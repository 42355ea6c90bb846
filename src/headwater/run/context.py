"""What every step of a run shares."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from headwater.config import Settings
from headwater.contracts import Contracts
from headwater.engine import Attempt, Engine, Table
from headwater.errors import CommitRefused, SourceError
from headwater.masking import Masking
from headwater.quality.gate import Gate
from headwater.quality.limits import Limits
from headwater.run.events import Event, Observer, RaceLost, Waiting
from headwater.run.mirror import Mirror
from headwater.run.plan import everything_below
from headwater.run.sources import Sources
from headwater.state import Holder, Leases
from headwater.transform.table import TableFunction

_LOG = logging.getLogger("headwater.run")
_PLANNINGS = 5

_Done = TypeVar("_Done")


def emitter(observers: Sequence[Observer]) -> Callable[[Event], None]:
    """What tells observers of events; one that raises is logged and breaks nothing."""

    def emit(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - an observer may raise anything
                _LOG.exception("an observer failed on %s", type(event).__name__)

    return emit


@dataclass(frozen=True)
class Context:
    """One run: its instant, its parts, and who watches it.

    With `remask` a table that stands with other masks than `masking` has is rebuilt; without, it is refused.
    """

    run_id: str
    began: datetime
    holder: Holder
    at: datetime
    settings: Settings
    contracts: Contracts
    functions: Mapping[str, TableFunction]
    engine: Engine
    state: Mirror
    leases: Leases
    gate: Gate
    limits: Limits
    emit: Callable[[Event], None]
    sources: Sources = field(default_factory=Sources)
    masking: Masking = field(default_factory=Masking)
    remask: bool = False

    def lease(self, table: str) -> AbstractContextManager[None]:
        """Hold a table's lease, and say for whom it is waited.

        Raises:
            TableIsHeld: somebody else held it for too long.
        """
        return self.leases.held(table, waiting=lambda holder: self.emit(Waiting(table, str(holder))))

    def below(self, name: str) -> tuple[str, ...]:
        """All that is made of a table or refers to it, by their full names."""
        return tuple(self.contracts[each].table for each in everything_below(name, self.contracts, self.functions))

    def planned_again(self, table: str, attempt: Callable[[], _Done]) -> _Done:
        """What an attempt to move a table comes to; where another writer was first, what is left is looked at again.

        Raises:
            CommitRefused: other writers were faster, time and again.
        """
        for _ in range(_PLANNINGS - 1):
            try:
                return attempt()
            except CommitRefused as error:
                self.emit(RaceLost(table, str(error)))
        return attempt()

    @contextmanager
    def attempting(self, table: Table, first: Callable[[], int], below: Sequence[str] = ("",)) -> Iterator[None]:
        """Work on a table, whose next commit is to be version `first`, and clean up if another run makes that.

        Then nothing that was staged can be committed, and the other run may have swept it away in the middle of our work:
        whatever that makes fail, the work is done.

        Raises:
            CommitRefused: another run moved the table meanwhile.
        """
        try:
            yield
        except CommitRefused:
            self.sweep(table, below=below)
            raise
        except SourceError:
            raise
        except Exception as error:
            head = self.engine.head(table)
            if head is None or head.txn < first():
                raise
            self.sweep(table, below=below)
            raise CommitRefused(f"{table.name}: another run committed version {first()} first") from error

    def sweep(self, table: Table, committed: int = 0, below: Sequence[str] = ("",)) -> None:
        """Remove what dead attempts staged for a table, once this run's own has ended.

        `committed` is the last version that it committed. What can't be removed now is left to the next sweep.
        """
        try:
            self.engine.sweep(table, Attempt(self.run_id, committed), below)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise, the commit stands
            _LOG.warning("%s: files that nobody needs were left: %s", table.name, error)

    def record(self, table: str, error: Exception) -> None:
        """Put an error that nobody expected into the log, with its traceback."""
        _LOG.error("%s failed", table, exc_info=error)
