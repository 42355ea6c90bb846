"""The files below a table, on this machine or on S3: written, looked at and removed without the Delta log."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import obstore
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.engine.protocol import File
from headwater.object_store import Place

DRAFTS = "headwater-land-"
"""How folders of drafts and of spilled rows begin, where this machine has temporary files; the process' number follows."""

_FOOTER_BYTES = 64 << 10
_FOOTER_END = 8
"""A Parquet file ends with the length of its footer (4 bytes) and `PAR1`."""

_AT_ONCE = 16
_TRIES = 100
_PART_BYTES = 16 << 20
_PARTS_AT_ONCE = 4


class Files(Protocol):
    """The files below one folder, a table's; every path is relative to it."""

    def listed(self, folder: str) -> list[File]:
        """All files below a folder, sorted by path; none where there is no such folder; the table's own is ""."""
        ...

    def folders(self, folder: str) -> list[str]:
        """The folders in a folder, as paths; none where there is no such folder."""
        ...

    def footers(self, files: Sequence[File]) -> list[pq.FileMetaData]:
        """The footers of Parquet files, read without what is before them."""
        ...

    def written(self, path: str) -> AbstractContextManager[Path]:
        """Where to write on this machine: a file that is there when the block ends well becomes `path`."""
        ...

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, and folders that are empty then; one that is gone already is no error."""
        ...

    def prune(self, folder: str) -> None:
        """Remove a folder, if there is one, and all in it, as far as they hold no file."""
        ...


def files_below(table: Place) -> Files:
    """The files of a table by its place."""
    return _Bucket(table) if table.is_on_s3 else _Folder(Path(table.uri))


def sweep_drafts() -> None:
    """Remove the drafts on this machine that processes left which are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{DRAFTS}*"):
        process = folder.name.removeprefix(DRAFTS).partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


class _Folder:
    """`Files` of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def listed(self, folder: str) -> list[File]:
        found = sorted(path for path in (self._root / folder).rglob("*") if path.is_file())
        return [self._file(path) for path in found]

    def folders(self, folder: str) -> list[str]:
        place = self._root / folder
        if not place.is_dir():
            return []
        return sorted(path.relative_to(self._root).as_posix() for path in place.iterdir() if path.is_dir())

    def footers(self, files: Sequence[File]) -> list[pq.FileMetaData]:
        return [pq.read_metadata(self._root / file.path) for file in files]

    @contextmanager
    def written(self, path: str) -> Iterator[Path]:
        """The file is written where it will stand: no commit names it yet."""
        place = self._root / path
        _make(place.parent)
        try:
            yield place
        finally:
            if not place.exists():
                self._leave(place.parent)

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            place = self._root / path
            place.unlink(missing_ok=True)
            self._leave(place.parent)

    def prune(self, folder: str) -> None:
        place = self._root / folder
        for each in sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True):
            with suppress(OSError):
                each.rmdir()
        self._leave(place)

    def _leave(self, folder: Path) -> None:
        """Remove a folder and those above it, below the table's own, that hold nothing."""
        with suppress(OSError):
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent

    def _file(self, path: Path) -> File:
        stat = path.stat()
        modified = datetime.fromtimestamp(stat.st_mtime, UTC)
        return File(path.relative_to(self._root).as_posix(), stat.st_size, modified)


def _make(folder: Path) -> None:
    """Make a folder and those above it, of which another window that leaves nothing behind may be removing one."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):  # what is gone again between two looks is either
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


class _Bucket:
    """`Files` of a bucket."""

    def __init__(self, table: Place) -> None:
        self._store, self._prefix = table.objects, f"{table.prefix}/" if table.prefix else ""

    def listed(self, folder: str) -> list[File]:
        pages = obstore.list(self._store, self._key(folder))
        found = (File(self._path(each["path"]), each["size"], each["last_modified"]) for page in pages for each in page)
        return sorted(found, key=lambda file: file.path)

    def folders(self, folder: str) -> list[str]:
        found = obstore.list_with_delimiter(self._store, self._key(folder))["common_prefixes"]
        return sorted(self._path(each).rstrip("/") for each in found)

    def footers(self, files: Sequence[File]) -> list[pq.FileMetaData]:
        with ThreadPoolExecutor(min(_AT_ONCE, len(files) or 1)) as pool:
            return list(pool.map(self._footer, files))

    @contextmanager
    def written(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=f"{DRAFTS}{os.getpid()}-") as folder:
            draft = Path(folder) / Path(path).name
            yield draft
            if draft.exists():
                key = self._prefix + path
                obstore.put(self._store, key, draft, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def remove(self, paths: Iterable[str]) -> None:
        if keys := [self._prefix + path for path in paths]:
            obstore.delete(self._store, keys)

    def prune(self, folder: str) -> None:
        """S3 has no folders."""

    def _key(self, folder: str) -> str | None:
        return f"{self._prefix}{folder}/" if folder else self._prefix or None

    def _path(self, key: str) -> str:
        return key.removeprefix(self._prefix)

    def _footer(self, file: File) -> pq.FileMetaData:
        end = self._last(file, _FOOTER_BYTES)
        needed = int.from_bytes(end[-_FOOTER_END:-4], "little") + _FOOTER_END
        if needed > len(end):
            end = self._last(file, needed)
        return pq.read_metadata(pa.BufferReader(end))

    def _last(self, file: File, length: int) -> bytes:
        start = max(0, file.bytes - length)
        return bytes(obstore.get_range(self._store, self._prefix + file.path, start=start, end=file.bytes))
