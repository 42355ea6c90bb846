"""One run in a process of its own that dies, or stops, at a named event: `Staged:orders`, `Committed:orders:2`.

    python -m tests.e2e.driver --config FILE --at INSTANT [--select TABLES] [--kill-on EVENT:TABLE[:N]]

Without an event it is an ordinary run. The exit code is the run's. `begin` starts one from a process that has imported
everything already, which saves each run some seconds.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from headwater.config import load_settings
from headwater.run import execute
from headwater.run.events import Event, TableFinished


@dataclass
class Interruption:
    """Sends this process a signal at the n-th event of a kind that a table has."""

    where: str
    number: int
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        kind, table, *nth = self.where.split(":")
        if type(event).__name__ != kind or getattr(event, "table", None) != table:
            return
        with self.lock:
            self.seen += 1
            if self.seen == int(nth[0] if nth else 1):
                os.kill(os.getpid(), self.number)


def say(event: Event) -> None:
    """One line for each table, for whoever looks why a test fails."""
    if isinstance(event, TableFinished):
        report = event.report
        line = f"{report.layer}.{report.table}: {report.outcome} {dict(report.terms)} {report.reason}"
        print(f"{line} ({report.seconds:.1f} s)", flush=True)  # noqa: T201


_PREPARED = multiprocessing.get_context("forkserver")
_PREPARED.set_forkserver_preload(
    [
        *("headwater.run.execute", "headwater.quality.questions", "pysail.spark", "pyspark.sql.connect.session"),
        *("snowflake.connector", "psycopg", "httpx", "obstore", "confluent_kafka"),
    ]
)


def begin(config: Path, at: datetime, *options: str) -> BaseProcess:
    """Start a run with options of the command line; what it says is appended to `run.log` beside the config's folder."""
    arguments = ["--config", str(config), "--at", at.isoformat(), *options]
    process = _PREPARED.Process(target=_logged, args=(arguments, config.parent.parent / "run.log"), daemon=True)
    process.start()
    return process


def _logged(arguments: Sequence[str], log: Path) -> None:
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
    parser.add_argument("--kill-on", metavar="EVENT:TABLE[:N]")
    parser.add_argument("--stop-on", metavar="EVENT:TABLE[:N]")
    asked = parser.parse_args(arguments)
    observers = [say]
    if asked.kill_on:
        observers.append(Interruption(asked.kill_on, signal.SIGKILL))
    if asked.stop_on:
        observers.append(Interruption(asked.stop_on, signal.SIGSTOP))
    return execute(load_settings(asked.config, {}), select=asked.select, at=asked.at, observers=observers).exit_code


if __name__ == "__main__":
    sys.exit(main())
