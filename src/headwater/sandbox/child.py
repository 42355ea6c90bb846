"""A process that must not outlive the sandbox's host."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import psutil

# Linux ends the child when the thread that started it ends; elsewhere `end_orphan` finds it at the next start.
_BOUND_TO_ITS_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the sandbox's host has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""
_SAME_START_S = 2.0


class Child:
    """One process of ours, known again after a crash by its id, its start time and a word of its command line."""

    def __init__(self, folder: Path, mark: str) -> None:
        """Remember the process in `folder`; `mark` is in the command line of no process but ours."""
        self._pid_file = folder / "pid.json"
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], log: Path) -> None:
        """Start it, with both outputs appended to `log`."""
        started: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(
            target=self._keep, args=(command, log, started), daemon=True, name=self._pid_file.parent.name
        ).start()
        self._process = started.result()
        identity = {"pid": self._process.pid, "started": psutil.Process(self._process.pid).create_time()}
        self._pid_file.write_text(json.dumps(identity), encoding="utf-8")

    def _keep(self, command: Sequence[str], log: Path, started: "Future[subprocess.Popen[bytes]]") -> None:
        """Start the child and stay until it ended: it dies with the *thread* that began it."""
        me = str(psutil.Process().pid)
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _BOUND_TO_ITS_PARENT, me, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the host, which ends its children in order
                )
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(process)
        process.wait()

    def has_ended(self) -> bool:
        """Whether the process is gone, or was never started."""
        return self._process is None or self._process.poll() is not None

    def stop(self, patience_s: float = 15.0) -> None:
        """Ask it to end; after `patience_s` end it. Does nothing if it was never started."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def end_orphan(self, patience_s: float = 15.0) -> None:
        """End what an earlier host left running; leave alone any other process that has its id by now."""
        if not self._pid_file.is_file():
            return
        with suppress(psutil.NoSuchProcess, ValueError, KeyError):
            identity = json.loads(self._pid_file.read_text(encoding="utf-8"))
            orphan = psutil.Process(identity["pid"])
            same_start = abs(orphan.create_time() - identity["started"]) < _SAME_START_S
            if same_start and any(self._mark in word for word in orphan.cmdline()):
                orphan.terminate()
                _, alive = psutil.wait_procs([orphan], timeout=patience_s)
                for process in alive:
                    process.kill()
                psutil.wait_procs(alive, timeout=patience_s)
        self._pid_file.unlink(missing_ok=True)
