"""Parquet files, strictly: every row becomes a row or a refusal, numbered from 1."""

import json
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from headwater.contracts import Column
from headwater.extract.beside import divided
from headwater.extract.file_records import FileChunk, Places, RefusedRecord, places, refused_whole
from headwater.extract.fitted import fitted

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_ROWS = 1 << 14


def read_parquet(path: Path, name: str, columns: Sequence[Column], contract_file: str) -> Generator[FileChunk]:
    """Yield a file's rows in their order; memory holds one chunk, and one page of each column.

    Columns are found by name, in any order and case; a number may be as wide as it likes. A value that does not fit its
    column's type exactly stands beside it, as the file's schema declares another type; text that is not UTF-8 is refused
    with its row, as JSON. A file that is damaged anywhere is refused as a whole: it is read twice, so that no row of it
    has been given by then.

    Raises:
        SourceRejected: a required column is missing, or one stands there twice; `name` is the file's for people.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            for _ in _batches(file):
                pass
    except (pa.ArrowException, OSError) as error:
        yield refused_whole(path, f"no Parquet file that can be read: {' '.join(str(error).split())}")
        return
    wanted = places([each.lower() for each in names], name, columns, contract_file)
    ours = {place: column for column, place in (wanted.known | wanted.unknown).items()}
    before = 0
    with pq.ParquetFile(path) as file:
        for batch in _batches(file):
            shown = batch.rename_columns([ours[place] for place in range(len(names))])
            yield _chunk(shown, before, columns, wanted)
            before += batch.num_rows


def _batches(file: "pq.ParquetFile") -> Iterator[pa.RecordBatch]:
    return iter(file.iter_batches(_ROWS, use_threads=False))


def _chunk(batch: pa.RecordBatch, before: int, columns: Sequence[Column], wanted: Places) -> FileChunk:
    arrays: dict[str, pa.Array] = {}
    besides: dict[str, pa.Array] = {}
    unknown: dict[str, pa.Array] = {}
    refused: dict[int, list[str]] = {}
    for column in columns:
        if column.name not in wanted.known:
            arrays[column.name] = pa.nulls(batch.num_rows, column.arrow_type)
            continue
        arrays[column.name], others, reasons = _divided(column, batch.column(column.name))
        besides |= others
        for row, reason in reasons.items():
            refused.setdefault(row, []).append(reason)
    for name in wanted.unknown:
        unknown[name], reasons = _readable(name, batch.column(name))
        for row, reason in reasons.items():
            refused.setdefault(row, []).append(reason)
    rows = [row for row in range(batch.num_rows) if row not in refused]
    if refused:
        kept = pa.array(rows, pa.int64())
        arrays, besides, unknown = (
            {name: array.take(kept) for name, array in each.items()} for each in (arrays, besides, unknown)
        )
    return FileChunk(
        arrays,
        [before + row + 1 for row in rows],
        [RefusedRecord(before + row + 1, _raw(batch, row), "; ".join(refused[row])) for row in sorted(refused)],
        unknown,
        besides,
        wanted.lacking,
    )


def _divided(column: Column, values: pa.Array) -> tuple[pa.Array, dict[str, pa.Array], dict[int, str]]:
    text, broken = _readable(column.name, values)
    array, besides, reasons = divided(column, text, values.type)
    return array, besides, reasons | broken


def _readable(name: str, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """The values; text in a Parquet file need not be UTF-8, and Arrow takes it as it is: what is not is null here."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return values, {}
    text, broken = fitted(Column(name, "string"), values.cast(pa.large_binary()))
    return text, dict.fromkeys(broken, f"{name} is not UTF-8")


def _raw(batch: pa.RecordBatch, row: int) -> bytes:
    return json.dumps(
        {name: _told(batch.column(name)[row]) for name in batch.schema.names}, ensure_ascii=False
    ).encode()


def _told(value: pa.Scalar) -> object:
    """A value as JSON can show it, whatever its bytes."""
    told = value.as_buffer().to_pybytes() if _is_text(value) else value.as_py()
    if isinstance(told, bytes):
        return told.decode(errors="backslashreplace")
    return told if isinstance(told, bool | int | None) else str(told)


def _is_text(value: pa.Scalar) -> bool:
    return bool(value.is_valid and (pa.types.is_string(value.type) or pa.types.is_large_string(value.type)))
