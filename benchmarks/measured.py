"""What a program costs: its time, and the processor time and memory of it and of all that it starts."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, process_time, sleep

import psutil

_EVERY_S = 0.05


@dataclass(frozen=True)
class Cost:
    """`peak_bytes` is the largest sum of resident memory over the process and its descendants; `said` its output."""

    seconds: float
    cpu_s: float
    peak_bytes: int
    said: str


def cost(module: str, arguments: Sequence[str]) -> Cost:
    """Run `python -m module` to its end in a process of its own.

    Raises:
        SystemExit: it failed; its errors are on the terminal.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        started = perf_counter()
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=output)
        tree = psutil.Process(process.pid)
        peak = 0
        while True:
            # wait4 also tells the processor time of every descendant that has ended.
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, _resident(tree))
            sleep(_EVERY_S)
        seconds = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"python -m {module} {' '.join(arguments)} ended with {process.returncode}")
        output.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return Cost(seconds, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * unit), output.read())


def _resident(tree: psutil.Process) -> int:
    """The memory held by a process and its descendants now; those that end meanwhile count nothing."""
    held = 0
    try:
        for process in (tree, *tree.children(recursive=True)):
            held += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return held


class Stretch:
    """What passes in this process from its making on."""

    def __init__(self) -> None:
        self._began = perf_counter(), process_time()

    def taken(self) -> dict[str, float]:
        """Seconds and processor seconds so far, and the most memory that the process ever held, in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "seconds": perf_counter() - self._began[0],
            "cpu_s": process_time() - self._began[1],
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        }
