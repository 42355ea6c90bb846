"""Writes a stream of Arrow batches once per `_row_id`, with memory that does not grow with the stream."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

ROW_ID = "_row_id"

_MEMORY_LIMIT = "1GB"


def write_once(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], held: Sequence[str], held_where: str
) -> tuple[int, int]:
    """Stream `batches` to a Parquet file, without the rows whose `_row_id` came before or stands in the files `held`.

    `held_where` is a condition on the held rows in SQL. Says how many rows were read and how many of them were left
    out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    read = 0
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in batches:
                read += batch.num_rows
                writer.write_batch(batch)
    except BaseException:
        path.unlink(missing_ok=True)  # the stream broke off: half of it is nothing
        raise
    if read == 0:
        path.unlink()
        return 0, 0
    repeated = _leave_out_repeated(path, list(held), held_where)
    if repeated == read:
        path.unlink()
    return read, repeated


def _leave_out_repeated(path: Path, held: list[str], held_where: str) -> int:
    """Rewrite a file without repeated rows, if it has any, and say how many there were."""
    spill = path.with_suffix(".spill")
    with duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": str(spill)}) as connection:
        # Paths are quoted, and the condition is our own.
        connection.execute("SET TimeZone = 'UTC'")
        source = f"read_parquet({_quoted(str(path))}, file_row_number = true)"
        held_ids = f"SELECT {ROW_ID} FROM read_parquet([{', '.join(map(_quoted, held))}]) WHERE {held_where}"  # noqa: S608
        known = f"AND {ROW_ID} NOT IN ({held_ids})" if held else ""
        first = f"file_row_number = min(file_row_number) OVER (PARTITION BY {ROW_ID})"
        kept = f"SELECT file_row_number FROM {source} WHERE true {known} QUALIFY {first}"  # noqa: S608
        [[total, fresh]] = connection.execute(
            f"SELECT (SELECT count(*) FROM {source}), (SELECT count(*) FROM ({kept}))"  # noqa: S608
        ).fetchall()
        if fresh < total:
            slim = path.with_suffix(".once.parquet")
            connection.execute(
                f"COPY (SELECT * EXCLUDE (file_row_number) FROM {source} WHERE file_row_number IN ({kept})"  # noqa: S608
                f" ORDER BY file_row_number) TO {_quoted(str(slim))} (FORMAT parquet, COMPRESSION zstd)"
            )
            slim.replace(path)
        return int(total - fresh)


def _quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
