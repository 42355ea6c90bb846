"""The instants at which a run can be killed or stopped: effects that can be seen, never a number of seconds."""

import ctypes
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_SOURCE = Path(__file__).with_suffix(".c")
_CALLS = {"named": 1, "read": 2, "removed": 3}


@dataclass(frozen=True)
class Instant:
    """An event that the run tells (`Staged:orders`, `Recorded:orders:2` for the second), or a call about a file.

    `file` is a pattern of its path below the lake; the instant is just before the n-th such file gets its name (`named`;
    a log entry gets its name when it is committed) or is opened (`read`) or is `removed`, or just `after` that. With an event
    too, only what comes after the event counts.
    """

    event: str = ""
    file: str = ""
    call: Literal["named", "read", "removed"] = "named"
    nth: int = 1
    after: bool = False

    def __str__(self) -> str:
        when = f"{'after' if self.after else 'before'} {self.file} is {self.call}" if self.file else ""
        return ", ".join(part for part in (self.event, when + (f" (no. {self.nth})" if self.nth > 1 else "")) if part)

    def sends(self, number: signal.Signals) -> list[str]:
        """The options of a run (`driver.begin`) that gets a signal at this instant."""
        return ["--on", json.dumps(dataclasses.asdict(self)), "--signal", str(int(number))]


def named(path: str, nth: int = 1, *, after: bool = False) -> Instant:
    """When a table's n-th log entry of a run appears."""
    return Instant(file=f"{path}/_delta_log/*.json", nth=nth, after=after)


@functools.cache
def library() -> Path:
    """The C half of this module, compiled for this process.

    Raises:
        RuntimeError: there is no C compiler.
    """
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None:
        raise RuntimeError("tests/chaos needs a C compiler (on Debian and Ubuntu: apt install gcc libc6-dev)")
    folder = tempfile.TemporaryDirectory(prefix="headwater-chaos-")
    _KEPT.append(folder)
    built = Path(folder.name) / "instant.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", built, _SOURCE, "-ldl"], check=True)
    return built


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Deleted when this process ends."""


@contextmanager
def preloaded() -> Iterator[None]:
    """Meanwhile this process starts others in which `arm` works.

    What they leave behind when they are killed is told by nobody.
    """
    given = {"LD_PRELOAD": str(library()), "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning"}
    before = {name: os.environ.get(name) for name in given}
    os.environ |= given
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def arm(instant: Instant, lake: str, number: signal.Signals) -> None:
    """Send this process a signal when the instant of a file comes.

    Raises:
        AttributeError: this process was started without the library.
    """
    whole = f"{_literal(lake)}/{instant.file}".encode()
    ctypes.CDLL(None).instant_arm(_CALLS[instant.call], whole, instant.nth, int(instant.after), int(number))


def _literal(path: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\*?[" else letter for letter in path)
