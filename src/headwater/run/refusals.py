"""What a source told that is no row, kept until its turn to be landed comes, in memory that does not grow with it."""

import tempfile
from collections.abc import Iterator

import pyarrow as pa

from headwater.extract.base_extractor import REJECT_SCHEMA

_IN_MEMORY = 8 << 20
_AT_ONCE = 16 << 20


class Refusals:
    """Batches of rejects in a file without a name, which is in memory while it is small."""

    def __init__(self) -> None:
        self.rows = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._file, REJECT_SCHEMA)
        self.rows += batch.num_rows
        self._writer.write_batch(batch)

    def some_at_a_time(self) -> Iterator[pa.Table]:
        """All of them, in tables of some 16 MB; nothing is added afterwards."""
        if self._writer is None:
            return
        self._writer.close()
        self._file.seek(0)
        waiting: list[pa.RecordBatch] = []
        with pa.ipc.open_stream(self._file) as batches:
            for batch in batches:
                waiting.append(batch)
                if sum(each.nbytes for each in waiting) >= _AT_ONCE:
                    yield pa.Table.from_batches(waiting, REJECT_SCHEMA)
                    waiting = []
        if waiting:
            yield pa.Table.from_batches(waiting, REJECT_SCHEMA)

    def close(self) -> None:
        self._file.close()
