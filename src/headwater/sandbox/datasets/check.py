"""Whether a folder is a dataset as `docs/datasets.md` describes it, and if not, what to change where.

One pass of DuckDB over each Parquet file counts what is wrong and keeps the first rows of each kind; another fetches
what stands there. Memory is bounded, whatever the files hold.
"""

# ruff: noqa: S608 - statements are put together from the names of the dataset's files and columns

import difflib
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from headwater.sandbox.datasets.columns_check import column_findings, row_rules
from headwater.sandbox.datasets.findings import Finding, Report, listed
from headwater.sandbox.datasets.folder import SOURCE_SCHEMAS
from headwater.sandbox.visible import literal, timestamp

_ABOUT = "dataset.yaml"
_KEYS = {"name": "text", "title": "text", "about": "text", "start": "instant", "end": "instant"}
_NEEDED = ("name", "start", "end")
_OBJECTS = "s3/objects"
_SHOWN = 3
_MEMORY_LIMIT = "512MB"


def check(folder: Path) -> Report:
    """Hold a folder against `docs/datasets.md`. Nothing is written but to the temporary folder."""
    if not folder.is_dir():
        missing = Finding(_ABOUT, f"there is no folder {folder}", "name the folder that holds dataset.yaml")
        return Report(str(folder), (missing,), {})
    found = list(_about(folder))
    start, end = _instants(folder)
    found += _strangers(folder)
    rows: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch, _connection(Path(scratch)) as db:
        for name in _present(folder):
            found += _FileCheck(db, folder, name, start, end).findings(rows)
        if (folder / "s3").is_dir():
            found += _objects(db, folder)
    if not _present(folder):
        found.append(Finding(".", "no source has a table", f"add a file such as {next(iter(SOURCE_SCHEMAS))}.parquet"))
    return Report(str(folder), tuple(found), rows)


def _connection(scratch: Path) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect(config={"threads": 2, "memory_limit": _MEMORY_LIMIT, "temp_directory": str(scratch)})
    db.execute("SET TimeZone = 'UTC'")
    return db


def _present(folder: Path) -> list[str]:
    return [name for name in SOURCE_SCHEMAS if (folder / f"{name}.parquet").is_file()]


# dataset.yaml


def _about(folder: Path) -> Iterator[Finding]:
    document = _read(folder)
    if isinstance(document, Finding):
        yield document
        return
    known = [*_KEYS, "scale", "version"]
    for key in document:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            fix = f"did you mean {near[0]}?" if near else f"known are {listed(known)}: take it out"
            yield Finding(_ABOUT, f"{key} is no key of a dataset", fix)
    for key in _NEEDED:
        if document.get(key) is None:
            yield Finding(_ABOUT, f"the key {key} is missing", f"add {key}: {_example(key)}")
    for key, kind in _KEYS.items():
        if (value := document.get(key)) is not None and not _is(kind, value):
            yield Finding(_ABOUT, f"{key} is {value!r}, no {kind}", f"write {key}: {_example(key)}")
    scale, version = document.get("scale", 1), document.get("version", 1)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale > 0:
        yield Finding(_ABOUT, f"scale is {scale!r}, no number above 0", "write scale: 1, or leave it out")
    if isinstance(version, bool) or not isinstance(version, int):
        yield Finding(_ABOUT, f"version is {version!r}, no whole number", "write version: 1, or leave it out")
    start, end = _instants(folder)
    if start is not None and end is not None and start >= end:
        yield Finding(_ABOUT, "end is not after start", "give a later end")


def _read(folder: Path) -> dict[str, Any] | Finding:
    try:
        document = yaml.safe_load((folder / _ABOUT).read_text("utf-8"))
    except FileNotFoundError:
        return Finding(_ABOUT, "the file is missing", f"write it, with the keys {listed(_NEEDED)}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        return Finding(_ABOUT, f"it is no YAML: {said}", "write lines such as `name: my-shop`")
    if not isinstance(document, dict):
        return Finding(_ABOUT, "it holds no keys", "write lines such as `name: my-shop`")
    return document


def _example(key: str) -> str:
    return "2024-11-01T00:00:00Z" if _KEYS[key] == "instant" else "a few words"


def _is(kind: str, value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) if kind == "text" else _instant(value) is not None


def _instant(value: object) -> datetime | None:
    """A YAML value as an instant; None for one that is none or that has no zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    aware = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(UTC) if isinstance(value, datetime) and aware else None


def _instants(folder: Path) -> tuple[datetime | None, datetime | None]:
    document = _read(folder)
    return (
        (None, None)
        if isinstance(document, Finding)
        else (_instant(document.get("start")), _instant(document.get("end")))
    )


# Files that should not be there


def _strangers(folder: Path) -> Iterator[Finding]:
    """Everything that the page does not name: a source whose file is misspelled would be silently absent."""
    known = {_ABOUT, *(f"{name}.parquet" for name in SOURCE_SCHEMAS)}
    folders = {name.partition("/")[0] for name in SOURCE_SCHEMAS}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name in folders:
            yield from _in_source(path, known)
        elif path.name != _ABOUT and not path.name.startswith("."):
            yield _stranger(path.name, [*folders, _ABOUT])


def _in_source(source: Path, known: Iterable[str]) -> Iterator[Finding]:
    files = [each for each in known if each.startswith(f"{source.name}/")]
    inside = [each for each in sorted(source.iterdir()) if not each.name.startswith(".")]
    if not any(f"{source.name}/{each.name}" in files for each in inside):
        fix = "add one of its files" if not inside else f"its files are {listed(files)}"
        yield Finding(source.name, "the folder has no table of this source", f"{fix}, or remove the folder")
    for each in inside:
        name = f"{source.name}/{each.name}"
        if name not in files and name != _OBJECTS:
            yield _stranger(name, files)


def _stranger(name: str, known: Iterable[str]) -> Finding:
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lower, 1)
    return Finding(
        name, "no dataset has such a file", f"did you mean {lower[near[0]]}?" if near else "take it out of the folder"
    )


# One Parquet file


class _FileCheck:
    """One Parquet file held against its table on the page."""

    def __init__(
        self, db: duckdb.DuckDBPyConnection, folder: Path, name: str, start: datetime | None, end: datetime | None
    ) -> None:
        self._db, self._name, self._start, self._end = db, name, start, end
        self._path, self._file = folder / f"{name}.parquet", f"{name}.parquet"

    def findings(self, rows: dict[str, int]) -> Iterator[Finding]:
        """What is wrong with the columns, then with the rows of those columns that are right."""
        try:
            schema = pq.read_schema(self._path)
            yield from column_findings(self._name, schema)
            rows[self._file] = pq.read_metadata(self._path).num_rows
            yield from self._in_rows(schema)
        except (pa.ArrowInvalid, OSError, duckdb.Error) as error:
            said = str(error).strip().splitlines()[0]
            yield Finding(self._file, f"it cannot be read as Parquet: {said}", "write the file anew")

    def _in_rows(self, schema: pa.Schema) -> Iterator[Finding]:
        if pq.read_metadata(self._path).num_rows == 0:
            story = "while a table that is there has shown no row, the tables below it are skipped and runs end with 1"
            yield Finding(self._file, "it has no rows", f"{story}: leave the file out if nothing is meant", error=False)
            return
        rules = row_rules(self._name, schema)
        counted = ", ".join(
            f"count(*) FILTER (WHERE {each.broken}), min(_row, {_SHOWN}) FILTER (WHERE {each.broken})" for each in rules
        )
        windows = "".join(f", {each.window} AS {each.alias}" for each in rules if each.window)
        source = f"read_parquet({literal(str(self._path))}, file_row_number = true)"
        rows = f"(SELECT *, file_row_number + 1 AS _row{windows} FROM {source})"
        told = self._db.execute(f"SELECT {counted} FROM {rows}").fetchone() if rules else ()
        for each, many, first in zip(rules, (told or ())[::2], (told or ())[1::2], strict=True):
            for place, row in enumerate(first or ()):
                more = many - len(first) if place == len(first) - 1 else 0
                yield Finding(self._file, each.problem + self._value(source, each.shows, row), each.fix, row,
                              each.column, each.error, more)  # fmt: skip
        yield from self._outside(schema, source)

    def _value(self, source: str, columns: tuple[str, ...], row: int) -> str:
        """What stands there, where saying so helps."""
        if not columns:
            return ""
        named = listed(f'"{name}"::VARCHAR' for name in columns)
        query = f"SELECT {named} FROM {source} WHERE file_row_number = {row - 1:d}"
        values = self._db.execute(query).fetchone() or ()
        return " (" + listed(f"{name} is {value}" for name, value in zip(columns, values, strict=True)) + ")"

    def _outside(self, schema: pa.Schema, source: str) -> Iterator[Finding]:
        """Instants that the sandbox's clock cannot come to, and a file that shows nothing at its start."""
        if "_visible_at" not in schema.names or self._start is None or self._end is None:
            return
        beyond = f"_visible_at >= {timestamp(self._end)}"
        query = f"""
            SELECT min(_visible_at) > {timestamp(self._start)}, min(file_row_number + 1) FILTER (WHERE {beyond}),
                count(*) FILTER (WHERE {beyond})
            FROM {source}"""
        first_later, row, many = self._db.execute(query).fetchone() or (False, None, 0)
        if many:
            problem, fix = (
                "it is not before `end`, when nothing happens any more",
                "let `end` be later, or leave it out",
            )
            yield Finding(self._file, problem, fix, row, "_visible_at", error=False, more=many - 1)
        elif first_later:
            problem = "nothing of it is visible at `start`: tables below it are skipped until something is"
            yield Finding(
                self._file, problem, "let `start` be later, unless that is meant", None, "_visible_at", error=False
            )


# Files on S3


def _objects(db: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[Finding]:
    """Paths that name no file of `s3/objects/`, and files there that nothing names."""
    listing, objects = folder / "s3" / "files.parquet", folder / _OBJECTS
    if not listing.is_file() or not {"key", "path"} <= set(_columns(listing)):
        return
    named: set[Path] = set()
    query = f"SELECT file_row_number + 1, path FROM read_parquet({literal(str(listing))}, file_row_number = true)"
    for row, path in db.execute(query).fetchall():
        if path is None:
            continue
        place = objects / path
        if PurePosixPath(path).is_absolute() or not place.resolve().is_relative_to(objects.resolve()):
            fix = "give a path below s3/objects/, without `..` and without a slash in front"
            yield Finding("s3/files.parquet", f"{path} leaves s3/objects/", fix, row, "path")
        elif not place.is_file():
            yield Finding("s3/files.parquet", f"there is no file {_OBJECTS}/{path}", "add the file", row, "path")
        named.add(place.resolve())
    if objects.is_dir():
        unnamed = sorted(each for each in objects.rglob("*") if each.is_file() and each.resolve() not in named)
        for each in [each for each in unnamed if not each.name.startswith(".")][:_SHOWN]:
            fix = "list it in s3/files.parquet, or remove it"
            yield Finding(str(each.relative_to(folder)), "the bucket never shows this file", fix, error=False)


def _columns(file: Path) -> list[str]:
    try:
        return list(pq.read_schema(file).names)
    except (pa.ArrowInvalid, OSError):
        return []
