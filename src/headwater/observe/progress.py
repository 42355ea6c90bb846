"""A run as it happens: moving lines on a terminal, one line per event elsewhere, from the first second."""

import time
from collections.abc import Mapping
from threading import Lock
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headwater.observe.tabular import counted, size
from headwater.run.events import (
    Drifted,
    Event,
    Judging,
    Progressed,
    RaceLost,
    RunStarted,
    Staged,
    StateRepaired,
    StateSilent,
    TableFinished,
    TableStarted,
    Waiting,
)
from headwater.run.report import TableReport

_PLAIN_EVERY_S = 10.0
"""How often a table that is still being read says so where lines cannot move."""

_SHOWN = ("read", "landed", "new", "accepted", "quarantined", "rejected", "rows")
"""The terms that a finished table is announced with; the summary has them all."""


class _Active:
    """A step or table that has begun and not ended."""

    def __init__(self, now: float) -> None:
        self.began = now
        self.said = now
        self.doing = ""


class Progress:
    """An observer of a run that writes to a terminal or a plain stream; a context, so that the last line is left clean.

    Events may come from several threads.
    """

    def __init__(self, stream: IO[str], quiet: bool = False) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._moving = self._console.is_terminal and not self._console.is_dumb_terminal
        self._quiet = quiet
        self._lock = Lock()
        self._active: dict[str, _Active] = {}
        self._began = time.monotonic()
        self._live = Live(
            console=self._console,
            get_renderable=self._lines,
            transient=True,
            refresh_per_second=8,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        if self._moving and not self._quiet:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""
        match event:
            case RunStarted(at=at, tables=tables):
                self.step("")
                self.say(f"run at {at:%Y-%m-%d %H:%M:%S} UTC: {counted(len(tables), 'table')}")
            case TableStarted(table=table):
                self._start(table)
            case Waiting(table=table, holder=holder):
                self._update(table, "waiting for another run")
                self.say(f"{table}: waiting for {holder}")
            case RaceLost(reason=reason):
                self.say(f"{reason}; looking again at what is left to do")
            case StateRepaired(table=table):
                self.say(f"{table}: the state store said something else than the table, and was mended")
            case StateSilent(reason=reason):
                self.say(f"{reason}; the run goes on without it, for the tables know how far they are")
            case Drifted(table=table, text=text):
                self.say(f"{table}: {text}")
            case Progressed(table=table, rows=rows):
                self._update(table, f"{rows:,} rows read")
            case Staged(table=table, rows=rows):
                self._update(table, f"{rows:,} rows written")
            case Judging(table=table):
                self._update(table, "being judged")
            case TableFinished(report=report):
                self._end(report)
            case _:
                pass

    def step(self, text: str) -> None:
        """Say what is being done before or beside the tables; replaces the step before, and an empty one ends it."""
        with self._lock:
            self._active = {name: active for name, active in self._active.items() if not name.startswith(" ")}
            if text and self._live.is_started:
                self._active[f" {text}"] = _Active(time.monotonic())
        if text and not self._live.is_started:
            self.say(text)

    def say(self, text: str) -> None:
        """Leave a line that stays."""
        if not self._quiet:
            self._console.print(Text(f"{self._clock()}  {text}"))

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:6.1f} s"

    def _start(self, table: str) -> None:
        with self._lock:
            self._active[table] = _Active(time.monotonic())

    def _update(self, table: str, doing: str) -> None:
        now = time.monotonic()
        with self._lock:
            active = self._active.setdefault(table, _Active(now))
            active.doing = doing
            due = not self._moving and now - active.said >= _PLAIN_EVERY_S
            if due:
                active.said = now
        if due:
            self.say(f"{table}: {doing}")

    def _end(self, report: TableReport) -> None:
        with self._lock:
            self._active.pop(report.table, None)
        self.say(finished(report))

    def _lines(self) -> Table:
        now = time.monotonic()
        lines = Table.grid(padding=(0, 2))
        with self._lock:
            for name, active in self._active.items():
                lines.add_row(Text(f"{now - active.began:6.1f} s"), Text(name.strip()), Text(active.doing))
        return lines


def finished(report: TableReport) -> str:
    """One table's end in a line."""
    parts = [f"{report.layer}.{report.table}: {report.outcome}"]
    parts += [f"{report.terms[term]:,} {term}" for term in _SHOWN if _worth_saying(report.terms, term)]
    if report.bytes:
        parts.append(size(report.bytes))
    if report.reason:
        parts.append(report.reason)
    return ", ".join(parts)


def _worth_saying(terms: Mapping[str, int], term: str) -> bool:
    if term == "read" and terms.get("read") == terms.get("landed"):
        return False
    return bool(terms.get(term))
