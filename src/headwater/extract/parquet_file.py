"""Parquet files, strictly: every row becomes a row or a refusal, numbered from 1."""

import json
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from headwater.contracts import Column
from headwater.errors import SourceRejected
from headwater.extract.conform import fitted
from headwater.extract.file_records import FileChunk, RefusedRecord, places, refused_whole

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_ROWS = 1 << 14


def read_parquet(path: Path, name: str, columns: Sequence[Column], contract_file: str) -> Generator[FileChunk]:
    """Yield a file's rows in their order; memory holds one chunk, and one page of each column.

    Columns are found by name, in any order and case; a number may be as wide as it likes, a value that does not fit its
    column's type exactly is refused with its row, as the JSON of the contract's columns. A file that is damaged
    anywhere is refused as a whole: it is read twice, so that no row of it has been given by then.

    Raises:
        SourceRejected: a required column is missing, one stands there twice, or is of a kind that can't become the
            contract's; `name` is the file's for people.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            for _ in _batches(file, names):
                pass
    except (pa.ArrowException, OSError) as error:
        yield refused_whole(path, f"no Parquet file that can be read: {' '.join(str(error).split())}")
        return
    wanted = places([each.lower() for each in names], name, columns, contract_file)
    read = {column: names[place] for column, place in wanted.items()}
    before = 0
    with pq.ParquetFile(path) as file:
        for batch in _batches(file, list(read.values())):
            yield _chunk(
                batch.rename_columns(_in_order(batch, read)), before, columns, f"{name} against {contract_file}"
            )
            before += batch.num_rows


def _batches(file: "pq.ParquetFile", names: list[str]) -> Iterator[pa.RecordBatch]:
    return iter(file.iter_batches(_ROWS, columns=names, use_threads=False))


def _in_order(batch: pa.RecordBatch, read: dict[str, str]) -> list[str]:
    """The contract's names for the file's columns, in the file's order."""
    ours = {theirs: column for column, theirs in read.items()}
    return [ours[each] for each in batch.schema.names]


def _chunk(batch: pa.RecordBatch, before: int, columns: Sequence[Column], where: str) -> FileChunk:
    arrays: dict[str, pa.Array] = {}
    refused: dict[int, list[str]] = {}
    for column in columns:
        if column.name not in batch.schema.names:
            arrays[column.name] = pa.nulls(batch.num_rows, column.arrow_type)
            continue
        try:
            arrays[column.name], reasons = _fitted(column, batch.column(column.name))
        except pa.ArrowNotImplementedError as error:
            kind = batch.schema.field(column.name).type
            raise SourceRejected(
                "external", f"{where}: {column.name} is {kind}, which can't become {column.type}; change one of the two"
            ) from error
        for row, reason in reasons.items():
            refused.setdefault(row, []).append(reason)
    rows = [row for row in range(batch.num_rows) if row not in refused]
    if refused:
        kept = pa.array(rows, pa.int64())
        arrays = {name: array.take(kept) for name, array in arrays.items()}
    return FileChunk(
        arrays,
        [before + row + 1 for row in rows],
        [RefusedRecord(before + row + 1, _raw(batch, row), "; ".join(refused[row])) for row in sorted(refused)],
    )


def _fitted(column: Column, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """As `fitted`; text in a Parquet file need not be UTF-8, and Arrow takes it as it is."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return fitted(column, values)
    text, broken = fitted(Column(column.name, "string"), values.cast(pa.large_binary()))
    array, reasons = fitted(column, text)
    return array, reasons | dict.fromkeys(broken, f"{column.name} is not UTF-8")


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
