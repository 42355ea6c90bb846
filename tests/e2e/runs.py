"""What tests do with a lake over live sources: a run in a process of its own, and the commands as people type them."""

import subprocess
from datetime import datetime
from pathlib import Path

from tests.chaos import driver
from tests.e2e.tiny import T0, Lake
from tests.forked import PATIENCE_S, headwater

AT = ("--at", T0.isoformat())
"""The options of a run at the first instant."""


def ended(lake: Lake, at: datetime, *options: str, code: Path | None = None) -> int | None:
    """The exit code of a run, of the package of another project where `code` is its folder; None if it did not end."""
    process = driver.begin(lake.config, at, *options, code=code)
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
    return process.exitcode


def said(lake: Lake) -> str:
    """All that the runs of a lake have said."""
    return (lake.folder / "run.log").read_text(encoding="utf-8")


def typed(lake: Lake, command: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a command over a lake ends with and says."""
    return headwater(command, *options, "--config", str(lake.config), cwd=lake.folder, **environment)


def called(lake: Lake, command: str, *options: str, code: int = 0) -> str:
    """All that a command says which must end with `code`."""
    made = typed(lake, command, *options)
    assert made.returncode == code, made.stdout + made.stderr
    return made.stdout + made.stderr
