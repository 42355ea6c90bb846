"""One run in a process of its own that kills, or stops, itself at an instant.

    python -m tests.chaos.driver --config FILE --at INSTANT [--select TABLES] [--on JSON --signal NUMBER]

Without an instant it is an ordinary run. The exit code is the run's. `begin` starts one from a process that has imported
everything already, which saves each run some seconds.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from tests.chaos.instant import Instant, arm, library
from tests.e2e.tiny import PROJECT, clean_environment
from tests.forked import FORKED, prepare

from headwater.config import load_settings
from headwater.run import execute
from headwater.run.events import Event, RaceLost, TableFinished
from headwater.run.opened import opened
from headwater.run.vacuum import vacuum


@dataclass
class Interruption:
    """Sends this process a signal at an instant; at one of a file the C library does, which is armed here."""

    instant: Instant
    lake: str
    number: signal.Signals
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        if not self.instant.event:
            arm(self.instant, self.lake, self.number)

    def __call__(self, event: Event) -> None:
        kind, _, rest = self.instant.event.partition(":")
        table, _, nth = rest.partition(":")
        if type(event).__name__ != kind or getattr(event, "table", None) != table:
            return
        with self.lock:
            self.seen += 1
            if self.seen != int(nth or 1):
                return
            if self.instant.file:
                arm(self.instant, self.lake, self.number)
            else:
                signal.raise_signal(self.number)


def say(event: Event) -> None:
    """One line for each table and each lost race, for whoever looks why a test fails."""
    if isinstance(event, RaceLost):
        print(f"lost a race: {event.reason}", flush=True)  # noqa: T201
    if isinstance(event, TableFinished):
        report = event.report
        line = f"{report.layer}.{report.table}: {report.outcome} {dict(report.terms)} {report.reason}"
        print(f"{line} ({report.seconds:.1f} s)", flush=True)  # noqa: T201


def pool() -> ProcessPoolExecutor:
    """Two processes like those of runs, for other work that is to be done at once."""
    prepare()
    return ProcessPoolExecutor(2, mp_context=FORKED, initializer=_take, initargs=(_keys(),))


class Process(Protocol):
    """What there is to do with a run that was begun, however it was."""

    @property
    def pid(self) -> int | None: ...

    @property
    def exitcode(self) -> int | None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def kill(self) -> None: ...


def begin(config: Path, at: datetime, *options: str, code: Path | None = None) -> Process:
    """Start a run with options of the command line; what it says is appended to `run.log` beside the config's folder.

    `code` is a project's folder whose package is to be run instead of this one's.
    """
    arguments, log = ["--config", str(config), "--at", at.isoformat(), *options], config.parent.parent / "run.log"
    if code is not None:
        return _Foreign(arguments, log, code)
    prepare()
    process = FORKED.Process(target=_logged, args=(arguments, log, _keys()), daemon=True)
    process.start()
    return process


class _Foreign:
    """A run of other code, in a process that has imported nothing before."""

    def __init__(self, arguments: Sequence[str], log: Path, code: Path) -> None:
        environment = clean_environment(PYTHONPATH=str(code / "src"), LD_PRELOAD=str(library()))
        command = [sys.executable, "-m", "tests.chaos.driver", *arguments]
        with log.open("ab") as said:
            self._process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=said, stderr=said)
        self.pid = self._process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()


def _keys() -> dict[str, str]:
    """The credentials of this process: that from which others are forked may have begun without them."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_") and "KEY" in name}


def _take(keys: Mapping[str, str]) -> None:
    os.environ.update(keys)


def _logged(arguments: Sequence[str], log: Path, keys: Mapping[str, str]) -> None:
    _take(keys)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    print(*arguments, flush=True)  # noqa: T201
    sys.exit(main(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--at", type=datetime.fromisoformat, required=True)
    parser.add_argument("--select", type=lambda text: tuple(text.split(",")))
    parser.add_argument("--on", type=lambda text: Instant(**json.loads(text)))
    parser.add_argument("--signal", type=int, default=signal.SIGKILL)
    parser.add_argument("--vacuum", action="store_true", help="no run: remove what no version names that stands")
    asked = parser.parse_args(arguments)
    settings, observers = load_settings(asked.config, {}), [say]
    if asked.on:
        interruption = Interruption(asked.on, settings.lake, signal.Signals(asked.signal))
        interruption.begin()
        observers.append(interruption)
    if asked.vacuum:
        with opened(settings, None, observers) as context:
            list(vacuum(context, asked.select or tuple(context.contracts), timedelta(0), alone=True))
        return 0
    return execute(settings, select=asked.select, at=asked.at, observers=observers).exit_code


if __name__ == "__main__":
    sys.exit(main())
