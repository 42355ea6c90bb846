"""What a file of the bucket holds, by docs/datasets.md and docs/rules.md: the independent answer's own readers."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeAlias

import duckdb

Record: TypeAlias = dict[str, Any]
"""`line`, and `fields` as text in the order of the schema, None where the record is rejected."""

WHOLE: Record = {"line": 0, "fields": None}


def read_file(key: str, path: Path, schema: dict[str, str]) -> Iterator[Record]:
    """The records of a file with this key; one rejected record of line 0 where the file is damaged."""
    if key.endswith(".parquet"):
        yield from read_parquet(path, schema)
        return
    name, packing = (key, "")
    if key.endswith((".gz", ".zst")):
        name, _, packing = key.rpartition(".")
    content = path.read_bytes()
    unpacked = {"zst": _unzstd, "gz": _gunzip}.get(packing, _plain)(path, content)
    if unpacked is None:
        yield WHOLE
    elif name.endswith(".csv"):
        yield from read_csv(unpacked, schema)
    elif name.endswith(".json"):
        yield from read_json(unpacked, schema)
    else:
        yield from read_json_lines(unpacked, schema)


def read_csv(content: bytes, schema: dict[str, str]) -> Iterator[Record]:
    """Each line of a file but its header, numbered from 1 with it."""
    if not content:
        return
    header, *lines = content.removesuffix(b"\n").split(b"\n")
    names = header.decode("utf-8-sig").lower().split(",")
    for number, line in enumerate(lines, 2):
        try:
            values = next(csv.reader([line.decode()], strict=True), [])
        except (csv.Error, UnicodeDecodeError):
            values = []
        told = dict(zip(names, (value or None for value in values), strict=False))
        yield {"line": number, "fields": fields(told, schema) if len(values) == len(names) else None}


def read_json(content: bytes, schema: dict[str, str]) -> Iterator[Record]:
    """Each element of a document's array, numbered from 1, or the one object that it is."""
    try:
        told = _json(content.decode("utf-8-sig"))
    except ValueError:
        yield WHOLE
        return
    for number, each in enumerate(told if isinstance(told, list) else [told], 1):
        yield {"line": number, "fields": _object(each, schema)}


def read_json_lines(content: bytes, schema: dict[str, str]) -> Iterator[Record]:
    """Each line that is not blank, numbered from 1."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                told = _json(line.decode())
            except ValueError:
                told = None
            yield {"line": number, "fields": _object(told, schema)}


def read_parquet(path: Path, schema: dict[str, str]) -> Iterator[Record]:
    """Each row, numbered from 1; columns by name, whatever their case and order.

    The schema tells a column's type: a value that is none of its contract's is not in the column, and refuses no row.
    """
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        try:
            found = db.execute(f"SELECT * FROM read_parquet('{path}') LIMIT 0").description or []
            by_name = {name.lower(): name for name, *_ in found}
            texts = [f'"{by_name[name]}"::VARCHAR' if name in by_name else "NULL" for name in schema]
            rows = db.execute(
                f"SELECT {', '.join(texts)} FROM read_parquet('{path}') ORDER BY file_row_number"
            ).fetchall()
        except duckdb.Error:
            yield WHOLE
            return
    for number, row in enumerate(rows, 1):
        told = [text if reads(text, kind) else None for text, kind in zip(row, schema.values(), strict=True)]
        yield {"line": number, "fields": told}


def fields(told: dict[str, str | None], schema: dict[str, str]) -> list[str | None] | None:
    """A record's texts in the order of the schema; None where one does not read as its type."""
    values = [told.get(name) for name in schema]
    return values if all(reads(text, kind) for text, kind in zip(values, schema.values(), strict=True)) else None


def reads(text: str | None, kind: str) -> bool:
    """Whether a text reads as a type, exactly."""
    if text is None or kind == "VARCHAR":
        return True
    text = text.strip()
    try:
        if kind == "BIGINT":
            return bool(re.fullmatch(r"[+-]?[0-9]+(\.0*)?", text)) and -(2**63) <= int(Decimal(text)) < 2**63
        if kind.startswith("DECIMAL"):
            whole, scale = re.findall("[0-9]+", kind)
            number = Decimal(text)
            return number == round(number, int(scale)) and abs(number) < 10 ** (int(whole) - int(scale))
        if kind == "DATE":
            return date.fromisoformat(text).isoformat() == text
        if kind == "TIMESTAMP":
            return datetime.fromisoformat(text) is not None
    except (ValueError, InvalidOperation):
        return False
    return text.lower() in ("true", "false", "1", "0")


def _object(told: Any, schema: dict[str, str]) -> list[str | None] | None:
    if not isinstance(told, dict):
        return None
    return fields({name: _text(told[name]) for name in schema if name in told}, schema)


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _json(text: str) -> Any:
    return json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_nested(each)}" for name, each in value.items())
            + "}"
        )
    return "[" + ",".join(_nested(each) for each in value) + "]"


def _nested(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    return json.dumps(value, ensure_ascii=False) if value is None or isinstance(value, str) else str(_text(value))


def _plain(path: Path, content: bytes) -> bytes:
    return content


def _gunzip(path: Path, content: bytes) -> bytes | None:
    try:
        return gzip.decompress(content) if content else None
    except (EOFError, OSError, zlib.error):
        return None


def _unzstd(path: Path, content: bytes) -> bytes | None:
    """What DuckDB unpacks, which says nothing of a frame that is cut off: that is looked up in its blocks."""
    if not _is_whole_zstd(content):
        return None
    options = "compression = 'zstd', header = false, delim = chr(1), quote = '', escape = '', auto_detect = false"
    with duckdb.connect() as db:
        query = f"SELECT line FROM read_csv('{path}', {options}, columns = {{'line': 'VARCHAR'}}, parallel = false)"
        return b"".join((line or "").encode() + b"\n" for (line,) in db.execute(query).fetchall())


def _is_whole_zstd(content: bytes) -> bool:
    """Whether the bytes are one frame of RFC 8878 to its last block (and checksum), and nothing else."""
    stream = io.BytesIO(content)
    if stream.read(4) != b"\x28\xb5\x2f\xfd":
        return False
    descriptor = (stream.read(1) or b"\0")[0]
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    stream.read((1 - single) + (0, 1, 2, 4)[descriptor & 3] + (single, 2, 4, 8)[descriptor >> 6])
    last = 0
    while not last:
        header = stream.read(3)
        if len(header) < 3:
            return False
        number = int.from_bytes(header, "little")
        last, kind, size = number & 1, number >> 1 & 3, number >> 3
        size = 1 if kind == 1 else size
        if len(stream.read(size)) < size:
            return False
    return len(stream.read(4 * checksum)) == 4 * checksum and not stream.read(1)
