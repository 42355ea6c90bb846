"""The state store as a run uses it. The tables know how far they are: what the store can't do never stops a run."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from headwater.errors import StateUnavailable
from headwater.run.events import Event, StateRepaired, StateSilent
from headwater.state import StateStore

Answer = TypeVar("Answer")


class Mirror:
    """Keeps the store as the tables are, and says once if it does not answer."""

    def __init__(self, store: StateStore, emit: Callable[[Event], None]) -> None:
        self._store, self._emit = store, emit
        self._told = threading.Event()

    def remembered(self, table: str) -> Mapping[str, Any] | None:
        """How far the store believes a Bronze table to be, which is never further than it is."""
        return self._tried(lambda: self._store.get_watermark(table))

    def agree(self, table: str, inputs: Mapping[str, Any]) -> None:
        """Make the store say what the table's last commit says, if it says something else."""

        def repaired() -> bool:
            said = self._store.get_watermark(table)
            if said == inputs:
                return False
            self._store.upsert_watermark(table, inputs)
            return True

        if self._tried(repaired):
            self._emit(StateRepaired(table))

    def committed(self, table: str, inputs: Mapping[str, Any]) -> None:
        """Keep what a commit has just recorded."""
        self._tried(lambda: self._store.upsert_watermark(table, inputs))

    def record_run(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Put what is known of a run into the ledger."""
        self._tried(lambda: self._store.record_run(run_id, document))

    def record_step(self, run_id: str, table: str, document: Mapping[str, Any]) -> None:
        """Put what a run did with a table into the ledger."""
        self._tried(lambda: self._store.record_step(run_id, table, document))

    def has_ended(self, run_id: str) -> bool | None:
        """Whether a run is known to have ended; None if nothing is known of it."""
        return self._tried(lambda: self._store.has_ended(run_id))

    def sweep(self) -> None:
        """Remove what writers of the store that died left half-written."""
        self._tried(self._store.documents.sweep)

    def silent(self, error: Exception) -> None:
        """Say that the store does not answer, unless that was said."""
        if not self._told.is_set():
            self._told.set()
            self._emit(StateSilent(str(error)))

    def _tried(self, ask: Callable[[], Answer]) -> Answer | None:
        try:
            return ask()
        except StateUnavailable as error:
            self.silent(error)
            return None
