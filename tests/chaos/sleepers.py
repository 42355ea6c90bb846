"""A run that is stopped while its log entry is put: another takes over and commits, then the sleeper wakes."""

import itertools
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from tests.chaos import driver
from tests.chaos.ground import Ground, said
from tests.chaos.instant import Instant
from tests.chaos.kills import compared, fetched
from tests.chaos.points import Where
from tests.chaos.same import broken, differing, holdings
from tests.chaos.shop import INSTANTS
from tests.e2e.runs import PATIENCE_S, ended
from tests.e2e.tiny import Lake

_NUMBERS = itertools.count(1)
_SHORT = {"lease": {"ttl": "2s"}}
"""A lease is over soon after its holder was stopped."""


@dataclass(frozen=True)
class Sleep:
    """A run that moves a table, and falls asleep as a log entry is put, with all that it knew.

    `number` is the instant that it runs for. With `overtaken` the other run is of the second instant, by when what the
    sleeper has judged is judged otherwise; then only what readers see is compared, not how it came about.
    """

    table: str
    at: Instant
    number: int = 1
    where: Where = "local"
    overtaken: Sequence[str] = ()


def slept(ground: Ground, sleep: Sleep, code: Path | None = None) -> list[str]:
    """Let a run sleep as is asked and another do its work; how the lake then differs from the undisturbed one."""
    contract = ground.contracts[sleep.table]
    name = f"sleeper-{next(_NUMBERS)}"
    settings: dict[str, Any] = _SHORT | (ground.on_s3(name) if sleep.where == "s3" else {})
    lake = ground.lake(name, sleep.number, contract, **settings)
    try:
        if sleep.where == "s3":
            ground.bucket.put(lake.folder / "lake", name)
        with _asleep(ground, lake, sleep, code) as sleeper:
            last, options = (1, sleep.overtaken) if sleep.overtaken else (sleep.number, [sleep.table])
            other = ended(lake, INSTANTS[last], "--select", ",".join(options), code=code)
            if other != 0:
                return [f"the run that took over ended with {other}:\n{said(lake)}"]
            sleeper.wake()
        if sleeper.process.exitcode != 0:
            return [f"the sleeper ended with {sleeper.process.exitcode}:\n{said(lake)}"]
        if sleep.where == "s3":
            fetched(ground, lake)
        if not sleep.overtaken:
            return list(compared(ground, lake, sleep.number, contract))
        expected = ground.expected[last].of([contract]).without_evidence()
        found = holdings(lake, [contract]).without_evidence()
        return [*differing(found, expected), *broken(lake, ground.contracts, [contract])]
    finally:
        if sleep.where == "s3":
            ground.bucket.clear(name)
        shutil.rmtree(lake.folder)


@dataclass
class _Sleeper:
    process: driver.Process
    released: threading.Event

    def wake(self) -> None:
        """Let it go on, and wait for its end."""
        assert self.process.pid is not None
        self.released.set()
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.join(PATIENCE_S)


@contextmanager
def _asleep(ground: Ground, lake: Lake, sleep: Sleep, code: Path | None) -> Iterator[_Sleeper]:
    """A run that has just been stopped; it is gone at the end."""
    at, options, released = INSTANTS[sleep.number], ["--select", sleep.table], threading.Event()
    if sleep.where == "local" or not sleep.at.file:
        options += sleep.at.sends(signal.SIGSTOP)
        sleeper = _Sleeper(driver.begin(lake.config, at, *options, code=code), released)
        try:
            _until(lambda: _is_stopped(sleeper.process), lake)
            yield sleeper
        finally:
            sleeper.process.kill()
        return
    with _held_in_s3(ground, lake, sleep.at, at, options, released) as sleeper:
        yield sleeper


@contextmanager
def _held_in_s3(
    ground: Ground, lake: Lake, instant: Instant, at: datetime, options: Sequence[str], released: threading.Event
) -> Iterator[_Sleeper]:
    """The put has left the run, which is stopped; S3 gets it only when the sleeper wakes."""
    began, arrived, sleepers = threading.Event(), threading.Event(), list[_Sleeper]()

    def hold() -> bool:
        began.wait()
        assert sleepers[0].process.pid is not None
        os.kill(sleepers[0].process.pid, signal.SIGSTOP)
        arrived.set()
        released.wait()
        return True

    with ground.bucket.trapped(lake.folder.name, instant, hold):
        sleepers.append(_Sleeper(driver.begin(lake.config, at, *options), released))
        began.set()
        try:
            _until(arrived.is_set, lake)
            yield sleepers[0]
        finally:
            released.set()
            sleepers[0].process.kill()


def _is_stopped(process: driver.Process) -> bool:
    assert process.exitcode is None, f"the run ended with {process.exitcode} before the instant came"
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def _until(condition: Any, lake: Lake) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about in time:\n{said(lake)}"
        time.sleep(0.05)
