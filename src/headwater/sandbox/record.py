"""What the sandbox keeps in its folder: who runs, on which ports, for which dataset, and what time it is."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from headwater.sandbox.private_file import write_private

_SAME_START_S = 2.0
"""How far two readings of one process's start may differ; after a reboot they differ by more."""


@dataclass(frozen=True)
class Process:
    """A process, told from a later one with the same id by its start."""

    pid: int
    started: float
    name: str = ""

    @classmethod
    def of(cls, process: psutil.Process) -> "Process":
        """The record of a process that runs."""
        return cls(process.pid, process.create_time(), process.name())

    def running(self) -> psutil.Process | None:
        """The process itself; None if it has ended, or is another one by now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True)
class Host:
    """The host process as it last described itself.

    Attributes:
        state: `starting`, `ready` or `failed`.
        problem: why it failed, or why it must be started anew.
        sources: the stand-ins that are up, with their ports.
        token: what a request to the control port must carry.
    """

    process: Process
    dataset: str
    state: str = "starting"
    problem: str = ""
    sources: Mapping[str, int] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    children: tuple[Process, ...] = ()
    control_port: int = 0
    token: str = field(default="", repr=False)


class Record:
    """The files of one sandbox folder. Each is replaced at once, so that nobody reads half of one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.connections = folder / "connections.yaml"
        self._host = folder / "host.json"
        self._clock = folder / "clock.json"
        self._ports = folder / "ports.json"

    def host(self) -> Host | None:
        """The host that was started last and not stopped since; it may have died."""
        kept = _read(self._host)
        if not kept:
            return None
        process, children = Process(**kept.pop("process")), kept.pop("children")
        kept["waiting"] = tuple(kept["waiting"])
        return Host(process=process, children=tuple(Process(**each) for each in children), **kept)

    def write_host(self, host: Host) -> None:
        write_private(self._host, json.dumps(asdict(host), indent=2) + "\n")

    def forget_host(self) -> None:
        self._host.unlink(missing_ok=True)

    def dataset(self) -> str | None:
        """The dataset of the last `up`: a name, with its scale if that is not 1, or the path of a folder."""
        name = _read(self._clock).get("dataset")
        return str(name) if name else None

    def clock(self, dataset: str) -> datetime | None:
        """The time that `dataset` was last shown at."""
        kept = _read(self._clock).get("clocks", {}).get(dataset)
        return datetime.fromisoformat(kept) if kept else None

    def write_clock(self, dataset: str, at: datetime) -> None:
        """Remember that `dataset` is the current one and stands at `at`."""
        clocks = _read(self._clock).get("clocks", {}) | {dataset: at.astimezone(UTC).isoformat()}
        write_private(self._clock, json.dumps({"dataset": dataset, "clocks": clocks}, indent=2) + "\n")

    def port(self, source: str) -> int | None:
        """The port that a source had last time."""
        port = _read(self._ports).get(source)
        return int(port) if port else None

    def write_ports(self, ports: Mapping[str, int]) -> None:
        write_private(self._ports, json.dumps(_read(self._ports) | dict(ports), indent=2) + "\n")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one command at a time start, advance or stop this sandbox; others wait here."""
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def note_children(host: Host, among: psutil.Process) -> Host:
    """`host` with every process that it has started so far, so that they can be ended even if it dies."""
    known = {each.pid: each for each in host.children}
    for child in among.children():
        with suppress(psutil.NoSuchProcess):
            known[child.pid] = Process.of(child)
    return replace(host, children=tuple(each for each in known.values() if each.running()))


def _read(file: Path) -> dict[str, Any]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
