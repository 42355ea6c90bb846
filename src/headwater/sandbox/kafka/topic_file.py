"""The messages of one topic as a dataset's Parquet file holds them."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.errors import SandboxError

PARTITIONS = 3
_BATCH_ROWS = 20_000
_COLUMNS = ["partition", "key", "value", "headers", "timestamp"]


class Message(NamedTuple):
    """One message, as the producer takes it."""

    partition: int
    key: str | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]] | None
    timestamp_ms: int


class TopicFile:
    """A topic's whole history; a message's offset is its rank among the rows of its partition."""

    def __init__(self, path: Path) -> None:
        """Read which rows belong to which partition and when each becomes visible.

        Raises:
            SandboxError: a partition's rows are not in the order in which they become visible.
        """
        self.topic = path.stem
        self._path = path
        table = pq.read_table(path, columns=["partition", "_visible_at"])
        partition = table["partition"].to_numpy()
        visible = table["_visible_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        self.partitions = max(PARTITIONS, int(partition.max()) + 1 if len(partition) else 0)
        self._visible = [visible[partition == each] for each in range(self.partitions)]
        if any((np.diff(times) < 0).any() for times in self._visible):
            raise SandboxError(
                f"{path}: the rows of a partition must stand in the order of `_visible_at`: sort the file"
            )

    def visible_rows(self, at: datetime) -> list[int]:
        """How many messages each partition shows at `at`."""
        instant = pa.scalar(at, pa.timestamp("us", "UTC")).cast(pa.int64()).as_py()
        return [int(np.searchsorted(times, instant, side="right")) for times in self._visible]

    def messages(self, begin: list[int], end: list[int]) -> Iterator[Message]:
        """The messages whose rank in their partition is in `[begin, end)`, in file order; one batch in memory."""
        seen = np.zeros(self.partitions, dtype=np.int64)
        file = pq.ParquetFile(self._path)
        for batch in file.iter_batches(
            _BATCH_ROWS, columns=[each for each in _COLUMNS if each in file.schema_arrow.names]
        ):
            partition = batch.column("partition").to_numpy()
            rank = np.empty(len(partition), dtype=np.int64)
            for each in range(self.partitions):
                own = partition == each
                rank[own] = seen[each] + np.arange(own.sum())
                seen[each] += own.sum()
            wanted = (rank >= np.array(begin)[partition]) & (rank < np.array(end)[partition])
            if wanted.any():
                yield from _messages(batch.filter(pa.array(wanted)))


def _messages(batch: pa.RecordBatch) -> Iterator[Message]:
    milliseconds = pc.cast(batch.column("timestamp"), pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
    keys, values, headers = (_or_null(batch, each) for each in ("key", "value", "headers"))
    partitions = batch.column("partition").to_pylist()
    return map(Message, partitions, keys.to_pylist(), values.to_pylist(), _headers(headers), milliseconds.to_pylist())


def _or_null(batch: pa.RecordBatch, name: str) -> Any:
    """A column, null throughout where the file lacks it."""
    return batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows)


def _headers(column: Any) -> list[list[tuple[str, str | bytes | None]] | None]:
    if column.null_count == len(column) or len(column.flatten()) == 0:
        return [None] * len(column)
    flat = column.flatten()
    pairs = list(zip(flat.field("key").to_pylist(), flat.field("value").to_pylist(), strict=True))
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_pylist()
    found: list[list[tuple[str, str | bytes | None]] | None] = []
    position = 0
    for length in lengths:
        found.append(pairs[position : position + length] or None)
        position += length
    return found
