"""Is this machine and project ready for a run? Every answer is one line, with the fix where something is not."""

import importlib.metadata
import platform
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from headwater.config import Settings, load_settings, project_folder
from headwater.contracts import project_contracts
from headwater.contracts.schema_contracts import contracts_location
from headwater.errors import HeadwaterError
from headwater.object_store import lake_of
from headwater.observe.tabular import size

_NEEDED_DISK = 3_000_000_000
_NEEDED_MEMORY = 4_000_000_000
_PARTS = ("pyspark", "pysail", "deltalake", "duckdb", "great-expectations", "pyarrow", "pandas")
_PYTHONS = ((3, 11), (3, 14))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and how to mend it where it is not ok."""

    subject: str
    ok: bool
    found: str
    fix: str = ""


def findings(config: Path, command: str) -> Iterator[Finding]:
    """Look at everything a run needs, the machine first; `command` is how Headwater is called."""
    yield _python()
    yield _system()
    yield _disk(project_folder(config))
    yield _memory()
    yield from _versions()
    yield _loopback()
    try:
        settings = load_settings(config)
    except HeadwaterError as error:
        yield _refused("config", error)
        return
    yield Finding("config", True, str(config))
    yield _lake(settings)
    yield _contracts(settings)
    yield _state(settings)
    yield from _secrets(settings)
    if settings.sandbox is not None:
        yield from _sandbox_parts()
        yield _sandbox(settings, command)


def _refused(subject: str, error: HeadwaterError) -> Finding:
    return Finding(subject, False, str(error), "as the message says")


def _lake(settings: Settings) -> Finding:
    """Whether S3 lets us see a lake that is kept there; a folder of this machine is made by the first run."""
    try:
        lake = lake_of(settings)
        lake.check()
    except HeadwaterError as error:
        return _refused("lake", error)
    return Finding("lake", True, f"{lake}" + (" answers" if lake.is_on_s3 else ""))


def _contracts(settings: Settings) -> Finding:
    try:
        location, contracts = contracts_location(settings), project_contracts(settings)
    except HeadwaterError as error:
        return _refused("contracts", error)
    return Finding("contracts", True, f"{len(contracts)} tables in {location}")


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}"
    ok = _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]
    return Finding("Python", ok, found, "" if ok else "install Python 3.11, 3.12 or 3.13, then: make setup")


def _system() -> Finding:
    found = f"{platform.system()} {platform.release()} on {platform.machine()}, {psutil.cpu_count() or 1} cores"
    ok = platform.system() in ("Linux", "Darwin")
    return Finding("system", ok, found, "" if ok else "use Linux, macOS, or WSL on Windows")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    ok = free >= _NEEDED_DISK
    fix = (
        ""
        if ok
        else f"free {size(_NEEDED_DISK - free)} below {folder}, or set HEADWATER_STATE and HEADWATER_LAKE elsewhere"
    )
    return Finding("disk", ok, f"{size(free)} free", fix)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    ok = memory.available >= _NEEDED_MEMORY
    fix = "" if ok else f"close other programs: a run over the sandbox wants {size(_NEEDED_MEMORY)}"
    return Finding("memory", ok, f"{size(memory.available)} of {size(memory.total)} available", fix)


def _versions() -> Iterator[Finding]:
    """The installed versions of what computes and stores, against those that this version of Headwater pins."""
    pinned = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==([\w.]+)$", "\n".join(_requirements()), re.MULTILINE))
    for name in _PARTS:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, False, "not installed", "make setup")
            continue
        ok = pinned.get(name, version) == version
        yield Finding(name, ok, version, "" if ok else f"needs {pinned[name]}: make setup")


def _requirements() -> list[str]:
    return importlib.metadata.requires("headwater") or []


def _loopback() -> Finding:
    try:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
    except OSError as error:
        return Finding(
            "ports", False, f"nothing can listen on 127.0.0.1: {error.strerror}", "allow it, or leave the container"
        )
    return Finding("ports", True, f"127.0.0.1 gives free ports, such as {port}")


def _state(settings: Settings) -> Finding:
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        probe = settings.state / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding(
            "state folder", False, f"{settings.state}: {error.strerror}", "make it writable, or set HEADWATER_STATE"
        )
    return Finding("state folder", True, str(settings.state))


def _secrets(settings: Settings) -> Iterator[Finding]:
    """Whether each enabled source's secret can be read; values are not looked at."""
    for source in settings.data_sources.enabled():
        if source not in settings.secret_references:
            continue
        try:
            fields = settings.secrets.get(source)
        except HeadwaterError as error:
            yield _refused(f"secret {source}", error)
        else:
            yield Finding(f"secret {source}", True, f"has {', '.join(sorted(fields))}")


def _sandbox_parts() -> Iterator[Finding]:
    """The Java that runs the broker, and the broker's jars."""
    from headwater.sandbox.jars import KAFKA, cache_folder, listed
    from headwater.sandbox.java import java

    try:
        yield Finding("Java", True, str(java()))
    except HeadwaterError as error:
        yield _refused("Java", error)
    folder = cache_folder() / KAFKA
    jars = listed(KAFKA)
    missing = [jar for jar in jars if not (folder / jar.file_name).is_file()]
    megabytes = sum(jar.size for jar in missing) / 1e6
    download = f"the next run downloads {len(missing)} of {len(jars)} ({megabytes:.0f} MB)"
    yield Finding("jars", True, download if missing else f"{len(jars)} in {folder}")


def _sandbox(settings: Settings, command: str) -> Finding:
    from headwater.cli.sandbox import described
    from headwater.sandbox import status

    state = status(settings.state / "sandbox")
    if state.problem:
        return Finding("sandbox", False, state.problem, f"{command} sandbox down, then {command} sandbox up")
    return Finding("sandbox", True, described(state)[0] if state.running else "down; a run brings it up")
