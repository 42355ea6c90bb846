"""What every step of a run shares."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater.config import Settings
from headwater.contracts import Contracts
from headwater.engine import Engine
from headwater.quality.gate import Gate
from headwater.quality.limits import Limits
from headwater.run.events import Event, Observer
from headwater.state import LocalState
from headwater.transform.table import TableFunction

_LOG = logging.getLogger("headwater.run")


@dataclass(frozen=True)
class Context:
    """One run: its instant, its parts, and who watches it."""

    run_id: str
    at: datetime
    settings: Settings
    contracts: Contracts
    functions: Mapping[str, TableFunction]
    engine: Engine
    state: LocalState
    gate: Gate
    limits: Limits
    observers: Sequence[Observer] = ()

    def emit(self, event: Event) -> None:
        """Tell the observers; one that raises is logged and breaks nothing."""
        for observer in self.observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - an observer may raise anything
                _LOG.exception("an observer failed on %s", type(event).__name__)

    def record(self, table: str, error: Exception) -> None:
        """Put an error that nobody expected into the log, with its traceback."""
        _LOG.error("%s failed", table, exc_info=error)
