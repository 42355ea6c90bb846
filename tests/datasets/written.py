"""Dataset folders that people wrote as text, and the writer that makes Parquet of them; it knows nothing of Headwater.

A `.table` file is columns between bars. Lines that begin with `#` are comments, the first other line names the columns
(`name: type` where the type counts). An empty field is null; blanks around a field do not count, those within single
quotes do.
"""

import datetime as dt
import re
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
_TYPES = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int8(), pa.string()),
    "bytes": pa.binary(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "null": pa.null(),
    "instant": pa.timestamp("us", "UTC"),
    "instant_ms": pa.timestamp("ms", "UTC"),
    "instant_s": pa.timestamp("s", "UTC"),
    **{str(each): each for each in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16())},
}


def table(file: Path) -> tuple[list[str], list[list[str | None]]]:
    """The header's fields, and each row's; None is null."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    header, *rows = ([field.strip() for field in line.split("|")] for line in lines)
    assert all(len(row) == len(header) for row in rows), f"{file}: a row has not as many fields as the header"
    return header, [[_unquoted(field) for field in row] for row in rows]


def _unquoted(field: str) -> str | None:
    if len(field) > 1 and field[0] == field[-1] == "'":
        return field[1:-1]
    return field or None


def write_folder(name: str, folder: Path) -> Path:
    """Make the dataset folder of what `name` says in text."""
    source = HERE / name
    folder.mkdir(parents=True)
    shutil.copy(source / "dataset.yaml", folder)
    for file in source.glob("*/*.table"):
        if file.parts[-2] != "expected":
            target = (folder / file.relative_to(source)).with_suffix(".parquet")
            target.parent.mkdir(exist_ok=True)
            pq.write_table(_arrow(file), target)
    if (source / "s3" / "objects").is_dir():
        shutil.copytree(source / "s3" / "objects", folder / "s3" / "objects")
    return folder


def _arrow(file: Path) -> pa.Table:
    header, rows = table(file)
    columns = {}
    for place, (name, kind) in enumerate(field.split(": ") for field in header):
        values = [_value(row[place], kind) for row in rows]
        columns[name] = pa.array(values, _type(kind))
    return pa.table(columns)


def _type(kind: str) -> pa.DataType:
    if digits := re.fullmatch(r"decimal\((\d+),(\d+)\)", kind):
        return pa.decimal128(int(digits[1]), int(digits[2]))
    return _TYPES[kind]


def _value(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    if kind.startswith("decimal"):
        return Decimal(text)
    if kind.startswith("instant"):
        return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    if kind.startswith(("int", "uint")):
        return int(text)
    if kind == "date":
        return dt.date.fromisoformat(text)
    if kind == "bool":
        return {"true": True, "false": False}[text]
    return text.encode() if kind == "bytes" else text


def expected(name: str, run: int, gold: str) -> tuple[list[str], list[list[str | None]]]:
    """The columns and rows that a person expects of a Gold table after a run, the rows sorted."""
    header, rows = table(HERE / name / "expected" / str(run) / f"{gold}.table")
    return header, sorted(rows, key=repr)


def told(found: pa.Table, columns: list[str]) -> list[list[str | None]]:
    """A table's rows as a person writes them, sorted."""
    assert sorted(found.column_names) == sorted(columns)
    return sorted(([_text(row[name]) for name in columns] for row in found.to_pylist()), key=repr)


def _text(value: Any) -> str | None:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat()
    return None if value is None else str(value)
