"""Leases: at most one run works on a table at a time, as far as a lease can tell. The commit's `txn` protects the rows."""

import getpass
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeAlias

import psutil

from headwater.errors import CommitRefused, StateUnavailable, TableIsHeld
from headwater.state.documents import Document, Documents

KIND = "leases"

_SAME_START_S = 2.0
_PARTING_S = 2.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: a run, and the process that it is; `since` is when the run began."""

    run_id: str
    since: str
    user: str
    host: str
    pid: int
    started: float

    @classmethod
    def here(cls, run_id: str, since: datetime) -> "Holder":
        """This process."""
        user = "somebody"
        with suppress(OSError, KeyError):
            user = getpass.getuser()
        started = psutil.Process().create_time()
        return cls(run_id, f"{since:%Y-%m-%d %H:%M:%S} UTC", user, socket.gethostname(), os.getpid(), started)

    @classmethod
    def read(cls, document: Document) -> "Holder | None":
        """Who a document says that the holder is; None where it is let go or says nothing that can be read."""
        said = (document.content or {}).get("holder")
        try:
            return cls(**said) if isinstance(said, Mapping) else None
        except TypeError:
            return None

    @property
    def who(self) -> str:
        """The user and the machine, as records keep them: `ada@laptop`."""
        return f"{self.user}@{self.host}"

    def __str__(self) -> str:
        return f"run {self.run_id} of {self.who} (process {self.pid}), which began at {self.since}"

    def is_gone(self) -> bool:
        """The process has ended; only asked of a store that this machine alone reaches."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) > _SAME_START_S or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


Waiting: TypeAlias = Callable[[Holder], None]
"""Told once of who is waited for."""


class Leases:
    """The leases that one run takes, renews while it works, and lets go.

    A lease has expired when its document has not changed for `ttl` by the clock of whoever waits for it: clocks that
    differ do not matter. Where the store does not answer, work goes on without a lease.
    """

    def __init__(
        self, documents: Documents, holder: Holder, ttl: timedelta, wait: timedelta, silent: Callable[[Exception], None]
    ) -> None:
        """`wait` is how long to wait for another holder at most; `silent` is told where the store does not answer."""
        self._documents, self._holder, self._silent = documents, holder, silent
        self._ttl_s, self._wait_s = ttl.total_seconds(), wait.total_seconds()
        self._tags: dict[str, str] = {}
        self._beats = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @contextmanager
    def held(self, table: str, waiting: Waiting) -> Iterator[None]:
        """Hold the lease of a table; first wait for whoever holds it.

        Raises:
            TableIsHeld: somebody else held it for longer than we wait.
        """
        try:
            tag = self._taken(table, waiting)
        except StateUnavailable as error:
            self._silent(error)
            yield
            return
        with self._lock:
            self._tags[table] = tag
        _ = self._heart
        try:
            yield
        finally:
            self._let_go(table)

    def check(self, table: str) -> None:
        """Say if the lease is still ours: asked just before a commit is put.

        Raises:
            CommitRefused: somebody has taken it over.
        """
        try:
            document = self._documents.get(KIND, table)
        except StateUnavailable as error:
            self._silent(error)
            return
        holder = Holder.read(document) if document else None
        if holder is not None and holder != self._holder:
            raise CommitRefused(f"{table}: the lease expired and was taken over by {holder}")

    def close(self) -> None:
        """Stop renewing.

        The thread is gone then, unless the store keeps it: libraries complain of one that is there as Python ends.
        """
        self._closed.set()
        if heart := self.__dict__.get("_heart"):
            heart.join(_PARTING_S)

    def _taken(self, table: str, waiting: Waiting) -> str:
        began, seen, seen_at, told = time.monotonic(), "", 0.0, False
        while True:
            document = self._documents.get(KIND, table)
            tag, holder = (document.tag, Holder.read(document)) if document else (None, None)
            if tag != seen:
                seen, seen_at = tag or "", time.monotonic()
            gone = holder is not None and self._documents.on_this_machine and holder.is_gone()
            expired = time.monotonic() - seen_at >= self._ttl_s
            if holder is None or holder == self._holder or gone or expired:
                taken = self._documents.swap(KIND, table, self._document(), tag)
                if taken is not None:
                    return taken
                continue
            if not told:
                waiting(holder)
                told = True
            if time.monotonic() - began >= self._wait_s:
                raise TableIsHeld(f"{table} is held by {holder}; run again when that run has ended, or stop it")
            time.sleep(min(self._ttl_s / 10, 1.0))

    def _document(self) -> dict[str, Any]:
        self._beats += 1
        return {"holder": asdict(self._holder), "beat": self._beats}

    @cached_property
    def _heart(self) -> threading.Thread:
        thread = threading.Thread(target=self._beat, name="leases", daemon=True)
        thread.start()
        return thread

    def _beat(self) -> None:
        while not self._closed.wait(self._ttl_s / 3):
            for table in list(self._tags):
                with self._lock, suppress(StateUnavailable):
                    if (tag := self._tags.get(table)) is None:
                        continue
                    renewed = self._documents.swap(KIND, table, self._document(), tag)
                    if renewed is None:
                        self._tags.pop(table)  # taken over: `check` will say so
                    else:
                        self._tags[table] = renewed

    def _let_go(self, table: str) -> None:
        with self._lock, suppress(StateUnavailable):
            if (tag := self._tags.pop(table, None)) is not None:
                self._documents.swap(KIND, table, {"holder": None}, tag)
