"""The first rows of a file with every column that it has: what a contract is drafted from."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from headwater.errors import SourceRejected
from headwater.extract.csv_file import csv_records
from headwater.extract.json_file import json_objects


def sample_csv(path: Path, rows: int) -> pa.Table:
    """Rows as text by the names of the header, in small letters; an empty value is null."""
    names: list[str] = []
    told: list[list[str | None]] = []
    with path.open("rb") as file:
        for records in csv_records(file):
            rows_told = records.fields or zip(*map(pa.Array.to_pylist, records.columns), strict=True)
            fields: list[list[str | None]] = [list(row) for row in rows_told]
            if not names and fields:
                names, fields = [(name or "").strip().lower() for name in fields[0]], fields[1:]
            told += [each for each in fields if len(each) == len(names)]
            if len(told) >= rows:
                break
    columns = [pa.array([each[place] or None for each in told[:rows]], pa.string()) for place in range(len(names))]
    return pa.table(columns, names=names)


def sample_json(path: Path, rows: int) -> pa.Table:
    """Objects of one document, their fields as text."""
    return _of_objects(path, rows, by_line=False)


def sample_json_lines(path: Path, rows: int) -> pa.Table:
    """Objects of lines, their fields as text."""
    return _of_objects(path, rows, by_line=True)


def sample_parquet(path: Path, rows: int) -> pa.Table:
    """Rows in the file's own types, column names in small letters."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            batches = list(islice(file.iter_batches(min(rows, 1 << 14)), -(-rows // (1 << 14))))
            told = pa.Table.from_batches(batches, schema=file.schema_arrow).slice(0, rows)
    except (pa.ArrowException, OSError) as error:
        raise SourceRejected("external", f"the newest file is no Parquet file that can be read: {error}") from error
    return told.rename_columns([name.lower() for name in told.column_names])


def _of_objects(path: Path, rows: int, *, by_line: bool) -> pa.Table:
    try:
        told = list(islice(json_objects(path, by_line=by_line), rows))
    except (ValueError, RecursionError) as error:
        raise SourceRejected("external", f"the newest file is no JSON document: {error}") from error
    names = dict.fromkeys(name for each in told for name in each)
    return pa.table({name: pa.array([_text(each.get(name)) for each in told], pa.string()) for name in names})


def _text(value: Any) -> str | None:
    """A field as text; one that is no text, as JSON without blanks."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
