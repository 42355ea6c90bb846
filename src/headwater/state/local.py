"""State on one machine: a file for each document."""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from headwater.errors import StateUnavailable
from headwater.state.documents import Document, decoded, encoded

_DRAFT = re.compile(r"\..+\.json\.(\d+)-[0-9a-f]{8}")
"""A document that is being written: its name, and the process that writes it."""

_PATIENCE_S = 5.0
"""A swap takes milliseconds: who holds its lock for longer has been stopped in the middle of one."""


class LocalDocuments:
    """JSON files below one folder, which are replaced whole; processes of this machine share them."""

    on_this_machine = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        return str(self._folder)

    def get(self, kind: str, name: str) -> Document | None:
        try:
            raw = self._file(kind, name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._gone(error) from error
        return Document(decoded(raw), _tag(raw))

    def put(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        self._replace(self._file(kind, name), encoded(content), lasting=True)

    def swap(self, kind: str, name: str, content: Mapping[str, Any], tag: str | None) -> str | None:
        raw = encoded(content)
        with self._alone(kind, name):
            current = self.get(kind, name)
            if (current.tag if current else None) != tag:
                return None
            # A power cut ends every process that could hold what is swapped: it need not outlast one.
            self._replace(self._file(kind, name), raw, lasting=False)
        return _tag(raw)

    def sweep(self) -> int:
        drafts = [(path, match) for path in self._folder.rglob(".*") if (match := _DRAFT.fullmatch(path.name))]
        dead = [path for path, match in drafts if not psutil.pid_exists(int(match[1]))]
        for path in dead:
            path.unlink(missing_ok=True)
        return len(dead)

    def names(self, kind: str, prefix: str = "") -> list[str]:
        folder = self._folder / kind
        names = (path.relative_to(folder).as_posix().removesuffix(".json") for path in folder.rglob("*.json"))
        return sorted(name for name in names if name.startswith(prefix))

    def _file(self, kind: str, name: str) -> Path:
        return self._folder / kind / f"{name}.json"

    @contextmanager
    def _alone(self, kind: str, name: str) -> Iterator[None]:
        """One process at a time among those that swap a document; a process that dies lets go, one that sleeps may not."""
        lock = self._file(kind, name).with_suffix(".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._gone(error) from error
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not _locked(descriptor):
                if time.monotonic() >= deadline:
                    raise StateUnavailable(f"the state store {self._folder}: a process that was stopped holds {lock}")
                time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)

    def _replace(self, path: Path, raw: bytes, *, lasting: bool) -> None:
        draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as stream:
                stream.write(raw)
                stream.flush()
                if lasting:
                    os.fsync(stream.fileno())
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise self._gone(error) from error

    def _gone(self, error: OSError) -> StateUnavailable:
        return StateUnavailable(
            f"the state store {self._folder} cannot be used: {error.strerror}; make it a folder that can be written"
        )


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tag(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
