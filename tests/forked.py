"""Processes that have imported everything already: they are forked from one that has, which saves each some seconds.

What a process imports, and how long it takes to begin, is tried by tests that start it from nothing.
"""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path

from tests.chaos.instant import Instant, arm, preloaded
from tests.e2e.tiny import clean_environment

PATIENCE_S = 300
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        *("headwater.cli.door", "headwater.run.execute", "headwater.quality.questions"),
        *("pysail.spark", "pyspark.sql.connect.session", "rich.console", "rich.progress"),
        *("snowflake.connector", "psycopg", "httpx", "obstore", "confluent_kafka"),
        "tests.frozen",
    ]
)


@functools.cache
def prepare() -> None:
    """Import the heavy libraries in the process that others are forked from."""
    with preloaded():
        forkserver.ensure_running()


def headwater(
    *arguments: str,
    cwd: Path,
    patience_s: float = PATIENCE_S,
    killed_at: tuple[Instant, Path] | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """The command line, as people call it: what it ends with, and all that it says.

    With `killed_at` it is killed when a file of the lake in this folder comes to this instant.
    """
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        out.touch()
        err.touch()
        process = FORKED.Process(
            target=_called, args=(arguments, cwd, clean_environment(**environment), out, err, killed_at), daemon=True
        )
        process.start()
        process.join(patience_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, patience_s, out.read_bytes(), err.read_bytes())
        said = [each.read_text(encoding="utf-8") for each in (out, err)]
    return subprocess.CompletedProcess(arguments, process.exitcode, *said)


def _called(
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    out: Path,
    err: Path,
    killed_at: tuple[Instant, Path] | None,
) -> None:
    from headwater.cli.door import main

    for descriptor, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(Path(sys.prefix) / "bin" / "headwater"), *arguments]
    if killed_at:
        arm(killed_at[0], str(killed_at[1]), signal.SIGKILL)
    main(arguments)
