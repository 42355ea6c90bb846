"""How a run's processor time is shared out among the tables that are worked on at the same time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class CpuShares:
    """Seconds of processor time by table. The engine computes for all in one process: what passes while several tables
    are worked on is divided among them evenly, so that the shares add up to what the run took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, float] = {}
        self._working: set[str] = set()
        self._until = time.process_time()

    @contextmanager
    def working(self, table: str) -> Iterator[None]:
        """Count what passes inside towards `table`."""
        with self._lock:
            self._divide()
            self._working.add(table)
        try:
            yield
        finally:
            with self._lock:
                self._divide()
                self._working.discard(table)

    def of(self, table: str) -> float:
        """A table's share so far."""
        with self._lock:
            return self._spent.get(table, 0.0)

    def _divide(self) -> None:
        now = time.process_time()
        for table in self._working:
            self._spent[table] = self._spent.get(table, 0.0) + (now - self._until) / len(self._working)
        self._until = now
