"""Writes a stream of Arrow batches once per `_row_id`, with memory that does not grow with the stream."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.engine import memory

ROW_ID = "_row_id"

_SPARING: Final[dict[str, Any]] = {"memory_limit": "128MB", "preserve_insertion_order": False}
_HASHED = 1 << 22
"""The hashes of up to so many identities of a file are held in memory (32 MB); more of them are grouped on disk."""
_LOOKED_AT = 8_192
_REPEATING = 0.5
"""A column has a dictionary where the first rows have at most so many distinct values a row."""


def write_once(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], held: pa.RecordBatchReader | None
) -> tuple[int, int]:
    """Stream `batches` to a Parquet file, without the rows whose `_row_id` came before or is one of `held`.

    The file has the columns of `schema` and those that batches have beside them; where a batch lacks one it is null.
    `held` is read once, and only if there were rows. Says how many rows were read and how many of them were left out.
    """
    read, identities = 0, _Identities()
    try:
        with _Widening(path, schema) as file:
            for batch in identities.of(batches):
                read += batch.num_rows
                file.write(batch)
        if read == 0:
            return 0, 0
        repeated = 0 if held is None and identities.differ() else _leave_out_repeated(path, held)
    except BaseException:
        path.unlink(missing_ok=True)  # the stream broke off: half of it is nothing
        raise
    if repeated == read:
        path.unlink()
    return read, repeated


class _Identities:
    """Whether no `_row_id` of a stream came twice, by their hashes, which are gathered as it passes."""

    def __init__(self) -> None:
        self._hashes: list[pa.ChunkedArray] = []
        self._rows = 0

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches."""
        with memory.cursor() as connection:
            for batch in batches:
                self._rows += batch.num_rows
                if self._rows > _HASHED:
                    self._hashes.clear()
                else:
                    connection.register("batch", pa.table({ROW_ID: batch.column(ROW_ID)}))
                    told = connection.sql(f"SELECT hash({ROW_ID}) AS hashed FROM batch").to_arrow_table()  # noqa: S608
                    self._hashes.append(told["hashed"])
                yield batch

    def differ(self) -> bool:
        """False also where there were too many to hold."""
        if self._rows > _HASHED:
            return False
        hashes = np.sort(np.concatenate([each.to_numpy() for each in self._hashes]))
        return not (hashes[1:] == hashes[:-1]).any()


class _Widening:
    """A Parquet file that may be given wider batches on the way: what it has by then is copied under the new schema."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        if more := [field for field in batch.schema if field.name not in self._schema.names]:
            self._widen(more)
        if batch.schema != self._schema:
            batch = _under(batch, self._schema)
        if self._writer is None:
            self._writer = _writer(self._path, batch)
        self._writer.write_batch(batch)

    def _widen(self, more: Sequence[pa.Field]) -> None:
        self._schema = pa.schema([*self._schema, *more])
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        narrow = self._path.with_suffix(".narrow.parquet")
        self._path.replace(narrow)
        try:
            with pq.ParquetFile(narrow) as file:
                for batch in file.iter_batches():
                    self.write(batch)
        finally:
            narrow.unlink()


def _under(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the columns of a schema: null where it has none of the name."""
    held = set(batch.schema.names)
    arrays = [
        batch.column(field.name) if field.name in held else pa.nulls(batch.num_rows, field.type) for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _leave_out_repeated(path: Path, held: pa.RecordBatchReader | None) -> int:
    """Rewrite a file without repeated rows, if it has any, and say how many there were."""
    spill, slim = path.with_suffix(".spill"), path.with_suffix(".once.parquet")
    try:
        with duckdb.connect(config=_SPARING | {"temp_directory": str(spill)}) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would stand amid what a command prints
            # Paths are quoted.
            source = f"read_parquet({_quoted(str(path))}, file_row_number = true)"
            known = ""
            if held is None and _all_differ(connection, source):
                return 0
            if held is not None:
                connection.register("held", held)
                known = f"OR {ROW_ID} IN (SELECT {ROW_ID} FROM held)"  # noqa: S608
            first = f"min(file_row_number) OVER (PARTITION BY {ROW_ID})"
            told = f"SELECT file_row_number AS number, {ROW_ID}, {first} AS first FROM {source}"  # noqa: S608
            left_out = f"SELECT number FROM ({told}) WHERE number <> first {known} ORDER BY number"  # noqa: S608
            numbers = connection.sql(left_out).to_arrow_table()["number"].to_numpy()
        with pq.ParquetFile(path) as file:
            some = 0 < numbers.size < file.metadata.num_rows
            if some:
                _copy_without(file, slim, numbers)
        if some:
            slim.replace(path)
        return int(numbers.size)
    finally:
        slim.unlink(missing_ok=True)
        shutil.rmtree(spill, ignore_errors=True)


def _copy_without(file: pq.ParquetFile, to: Path, numbers: npt.NDArray[np.int64]) -> None:
    """Copy a file, a few rows at a time, without those of the given numbers, which are in order and not all."""
    writer: pq.ParquetWriter | None = None
    begin = 0
    for batch in file.iter_batches():
        here = numbers[slice(*np.searchsorted(numbers, (begin, begin + batch.num_rows)))] - begin
        begin += batch.num_rows
        keep = np.ones(batch.num_rows, np.bool_)
        keep[here] = False
        if not keep.any():
            continue
        kept = batch.filter(pa.array(keep))
        writer = writer or _writer(to, kept)
        writer.write_batch(kept)
    if writer is not None:
        writer.close()


def _all_differ(connection: duckdb.DuckDBPyConnection, source: str) -> bool:
    """Whether no `_row_id` comes twice: by their hashes, which takes a third of the time of looking closely."""
    hashes = f"SELECT hash({ROW_ID}) AS hashed, count(*) AS rows FROM {source} GROUP BY hashed"  # noqa: S608
    [[most]] = connection.execute(f"SELECT max(rows) FROM ({hashes})").fetchall()  # noqa: S608
    return bool(most == 1)


def _writer(path: Path, first: pa.RecordBatch) -> pq.ParquetWriter:
    """Columns have a dictionary where the values of the first rows come again; elsewhere it would be thrown away."""
    few = first.slice(0, _LOOKED_AT)
    flat = [field.name for field in few.schema if not pa.types.is_nested(field.type)]
    repeating = [name for name in flat if pc.count_distinct(few.column(name)).as_py() <= _REPEATING * few.num_rows]
    return pq.ParquetWriter(path, first.schema, compression="zstd", use_dictionary=repeating)


def _quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
