"""Starts, asks and stops the sandbox's host process."""

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import psutil
import yaml

from headwater.errors import SandboxError
from headwater.sandbox.postgres import forget
from headwater.sandbox.record import Host, Process, Record

Progress: TypeAlias = Callable[[str], None]

_DEFAULT = "generated"
_POLL_S = 0.05
_STILL_WAITING_S = 10.0
_STOP_S = 60.0
_INTERRUPTED_STOP_S = 10.0
_CHILD_STOP_S = 5.0


@dataclass(frozen=True)
class Status:
    """What a sandbox is doing.

    Attributes:
        dataset: the one that is shown, or was last: a name (with its scale if that is not 1) or a folder.
        clock: the sources' time; where nothing runs, the time at which `up` will continue.
        sources: the ports of the stand-ins that run.
        problem: why it must be started anew; empty if all is well.
        connections: the settings and references to secrets that the configuration reads.
        owner: a JSON file with a login to Redshift's stand-in that may change rows; for people's own SQL.
        pids: the host and the servers that it started.
    """

    running: bool
    dataset: str | None
    clock: datetime | None
    connections: Path
    owner: Path
    logs: Path
    sources: Mapping[str, int] = field(default_factory=dict)
    pids: tuple[int, ...] = ()
    memory_bytes: int = 0
    problem: str = ""


def up(
    folder: Path,
    dataset: str | Path | None = None,
    at: datetime | None = None,
    progress: Progress = lambda _line: None,
    scale: float = 1.0,
) -> Status:
    """Show `dataset` on 127.0.0.1 and return once every source answers; at once if that is so already.

    Args:
        folder: the sandbox's own; made if it is missing.
        dataset: a name, or a folder with a `dataset.yaml`; by default the one of last time, or `generated`.
        at: the clock; by default where this dataset stood last time, or its start. Never before that.
        progress: takes lines for people.
        scale: how much of a dataset that is generated.

    Raises:
        SandboxError: another dataset is up, the clock would go back, or a source does not start. Nothing runs then
            that did not run before; the same holds after an interruption.
    """
    record = Record(folder.absolute())
    with record.alone():
        key = _key(record, dataset, scale)
        host = record.host()
        if host is not None and host.process.running():
            if host.state == "starting":
                progress("the sandbox is being started by somebody else; waiting")
                host = _wait_until_ready(record, host.process, progress)
            if host.dataset != key:
                raise SandboxError(
                    f"the sandbox shows the dataset {host.dataset}, not {key}; stop it first: headwater sandbox down"
                )
            if not (problem := _problem(host)):
                return _already_up(record, key, at)
            progress(f"{problem}; starting it again")
        _clear(record)
        place = _dataset_folder(record, key, progress)
        record.write_clock(key, _clock(record, key, place, at))
        _start(record, place, key, progress)
    return status(folder)


def status(folder: Path) -> Status:
    """Tell what runs, without waiting for anything."""
    record = Record(folder.absolute())
    host = record.host()
    dataset = record.dataset()
    found = Status(
        running=False,
        dataset=dataset,
        clock=record.clock(dataset) if dataset else None,
        connections=record.connections,
        owner=record.folder / "redshift" / "owner.json",
        logs=record.logs,
    )
    if host is None or not host.process.running() or host.state == "failed":
        return found
    processes = [each for one in (host.process, *host.children) if (each := one.running())]
    return Status(
        running=host.state == "ready",
        dataset=host.dataset,
        clock=record.clock(host.dataset),
        connections=found.connections,
        owner=found.owner,
        logs=found.logs,
        sources=dict(host.sources),
        pids=tuple(each.pid for each in processes),
        memory_bytes=sum(_memory(each) for each in processes),
        problem=_problem(host) if host.state == "ready" else "",
    )


def advance(folder: Path, until: datetime) -> Status:
    """Move the clock to `until`; every source shows what became visible by then, and no longer what was deleted.

    Raises:
        SandboxError: nothing runs, `until` lies before the clock, or a source did not follow.
    """
    record = Record(folder.absolute())
    with record.alone():
        host = record.host()
        if host is None or not host.process.running() or host.state != "ready":
            raise SandboxError("the sandbox is not up; start it: headwater sandbox up")
        clock = record.clock(host.dataset)
        if clock is not None and _utc(until) < clock:
            raise SandboxError(
                f"the sandbox's clock is at {clock.isoformat()} and never goes back to {_utc(until).isoformat()}"
            )
        _ask_to_advance(host, _utc(until), record)
    return status(folder)


def down(folder: Path) -> Status:
    """Stop what `up` started, wait until it is gone, and leave everything else alone."""
    record = Record(folder.absolute())
    if not record.folder.exists():
        return status(folder)
    with record.alone():
        _clear(record)
    return status(folder)


def _key(record: Record, dataset: str | Path | None, scale: float) -> str:
    """How the record calls a dataset: by name and scale, or by folder."""
    if dataset is None:
        return record.dataset() or _DEFAULT
    if (Path(dataset).expanduser() / "dataset.yaml").is_file():
        return str(Path(dataset).expanduser().absolute())
    return str(dataset) if scale == 1.0 else f"{dataset}-x{scale:g}"


def _dataset_folder(record: Record, key: str, progress: Progress) -> Path:
    """Where the dataset lies, made now if need be."""
    if (Path(key) / "dataset.yaml").is_file():
        return Path(key)
    from headwater.sandbox.datasets import materialise

    scaled = re.fullmatch(r"(.+)-x([0-9.e-]+)", key)  # what `_key` made of a name and a scale
    name, scale = (scaled[1], float(scaled[2])) if scaled else (key, 1.0)
    return materialise(name, record.folder / "datasets" / key, scale, progress)


def _clock(record: Record, key: str, place: Path, at: datetime | None) -> datetime:
    """The time to start at: never before the one that this dataset was shown at."""
    last = record.clock(key)
    if at is None:
        return last or _start_of(place)
    if last is not None and _utc(at) < last:
        raise SandboxError(
            f"the dataset {key} was already shown at {last.isoformat()}, and its clock never goes back to "
            f"{_utc(at).isoformat()}; for another story remove {record.folder} and the lake made from it"
        )
    return _utc(at)


def _start_of(place: Path) -> datetime:
    document = yaml.safe_load((place / "dataset.yaml").read_text(encoding="utf-8"))
    start = document.get("start") if isinstance(document, dict) else None
    if isinstance(start, str):
        start = datetime.fromisoformat(start)
    if not isinstance(start, datetime):
        raise SandboxError(f"{place / 'dataset.yaml'}: start must be an instant such as 2026-01-01T00:00:00Z")
    return _utc(start)


def _utc(instant: datetime) -> datetime:
    """`instant` in UTC, which one without a zone already is."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _already_up(record: Record, key: str, at: datetime | None) -> Status:
    clock = record.clock(key)
    if at is not None and clock is not None and _utc(at) != clock:
        raise SandboxError(
            f"the sandbox is up and its clock is at {clock.isoformat()}; "
            f"move it: headwater sandbox advance --to {_utc(at).isoformat()}"
        )
    return status(record.folder)


def _problem(host: Host) -> str:
    """Why a host that runs is no good any more."""
    if host.problem:
        return host.problem
    if ended := [each for each in host.children if not each.running()]:
        return f"{', '.join(f'{each.name} (pid {each.pid})' for each in ended)} has ended"
    return ""


def _start(record: Record, dataset: Path, key: str, progress: Progress) -> None:
    """Start the host, detached, and wait for it; if that does not come to its end, stop it again."""
    if (dataset / "kafka").is_dir():
        from headwater.sandbox.jars import kafka_jars

        kafka_jars(progress)
    record.logs.mkdir(parents=True, exist_ok=True)
    log = os.open(record.logs / "host.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # posix_spawn rather than subprocess: the host outlives this process, which therefore must not wait for it.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "headwater.sandbox.host", str(record.folder), key, str(dataset)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
        )
    finally:
        os.close(log)
    started = Process.of(psutil.Process(pid))
    ready = False
    try:
        _wait_until_ready(record, started, progress)
        ready = True
    finally:
        if not ready:
            _stop_host(started, _INTERRUPTED_STOP_S)
            _clear(record)


def _wait_until_ready(record: Record, process: Process, progress: Progress) -> Host:
    told: set[str] = set()
    last_line = time.monotonic()
    while True:
        host = record.host()
        mine = host if host is not None and host.process.pid == process.pid else None
        for name, port in sorted(mine.sources.items()) if mine else ():
            if name not in told:
                told.add(name)
                last_line = time.monotonic()
                progress(f"{name} is up on 127.0.0.1:{port}")
        if mine is not None and mine.state == "failed":
            raise SandboxError(mine.problem)
        if mine is not None and mine.state == "ready":
            return mine
        if process.running() is None:
            raise SandboxError(f"the sandbox's host ended while starting; {record.logs / 'host.log'} says why")
        if time.monotonic() - last_line > _STILL_WAITING_S:
            last_line = time.monotonic()
            progress(f"waiting for {', '.join(mine.waiting) if mine else 'the host'}")
        time.sleep(_POLL_S)


def _ask_to_advance(host: Host, until: datetime, record: Record) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.control_port)
    try:
        connection.request(
            "POST",
            "/advance",
            json.dumps({"until": until.isoformat()}),
            {"Authorization": f"Bearer {host.token}", "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        document = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SandboxError(
            f"the sandbox's host did not answer; {record.logs / 'host.log'} may say why. "
            "Start it anew: headwater sandbox down, headwater sandbox up"
        ) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise SandboxError(document["error"])


def _clear(record: Record) -> None:
    """End the host of this folder and whatever it left behind."""
    host = record.host()
    if host is None:
        return
    _stop_host(host.process, _STOP_S)
    host = record.host() or host  # it may have written down more children meanwhile
    orphans = [each for one in host.children if (each := one.running())]
    for orphan in orphans:
        orphan.terminate()
    _, alive = psutil.wait_procs(orphans, timeout=_CHILD_STOP_S)
    for orphan in alive:
        orphan.kill()
    psutil.wait_procs(alive, timeout=_CHILD_STOP_S)
    forget(record.folder / "redshift" / "server")
    record.forget_host()


def _stop_host(host: Process, patience_s: float) -> None:
    """Ask the host to stop everything and end; end it if it does not."""
    if (process := host.running()) is None:
        return
    process.terminate()
    try:
        process.wait(patience_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(_CHILD_STOP_S)


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
