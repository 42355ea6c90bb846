"""The embedded engine: Sail computes in this process, delta-rs commits. No Java."""

import json
import os
import shutil
import tempfile
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.table import TableMerger
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from headwater.engine import delta, erasure, leftovers
from headwater.engine.files import DRAFTS, Files, files_below
from headwater.engine.landing import ROW_ID, write_once
from headwater.engine.protocol import Attempt, Commit, File, Found, Head, Held, HeldSince, Repeats, Staged, Table
from headwater.errors import LakeError
from headwater.object_store import Place

_POOL_BYTES = 1 << 30
_ATTEMPTS = 20

_Answer = TypeVar("_Answer")

_SAIL = {
    # Sorts, windows and sort-merge joins spill beyond this pool; hash joins never do.
    "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
    "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(_POOL_BYTES),
    "SAIL_OPTIMIZER__PREFER_HASH_JOIN": "false",
    # Between two questions a run may read from its sources for hours; after some minutes Sail would end its session.
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": "86400",
    "RUST_LOG": "error",
}


class EmbeddedEngine:
    """An `Engine` in this process, for a lake on this machine or on S3.

    Without a `session` it starts Sail when one is first needed, and ends it at `close`.
    """

    def __init__(self, lake: Place, session: SparkSession | None = None) -> None:
        self._lake = lake
        self._given = session
        self._server: Any = None
        self._spill = ""
        self._starting = threading.Lock()
        self._writing: dict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def session(self) -> SparkSession:
        """The PySpark session on Sail, started when first asked for; times are UTC."""
        with self._starting:
            return self._session

    @cached_property
    def _session(self) -> SparkSession:
        if self._given is not None:
            return self._given
        for name, value in _SAIL.items():
            os.environ.setdefault(name, value)
        os.environ.update(self._lake.environment)
        # Rows lie in what is spilled: of a process that was killed it can be told whose it was, and is swept.
        self._spill = tempfile.mkdtemp(prefix=f"{DRAFTS}{os.getpid()}-")
        os.environ["SAIL_RUNTIME__TEMPORARY_FILES__PATHS"] = json.dumps([self._spill])
        from pysail.spark import SparkConnectServer

        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        _, port = self._server.listening_address
        session: SparkSession = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        # Else PySpark looks up, for each of its calls, from which line it came, which Sail has no use for.
        session.conf.set("spark.python.sql.dataFrameDebugging.enabled", "false")
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close, but after Ctrl-C: it has ended the server too, which a session would go on asking for ten minutes."""
        if kind is not KeyboardInterrupt:
            self.close()

    def close(self) -> None:
        """End the session and its server, if they were started."""
        if self._server is not None:
            self._session.stop()
            self._server.stop()
            shutil.rmtree(self._spill, ignore_errors=True)

    def head(self, table: Table) -> Head | None:
        return delta.head(self._place(table), table.app_id)

    def read(self, table: Table, version: int | None) -> DataFrame:
        if version is None:
            return self.session.createDataFrame([], from_arrow_schema(table.schema))
        reader = self.session.read.format("delta").option("versionAsOf", str(version))
        return reader.load(self._place(table).uri)

    def scan(self, table: Table, version: int, columns: Sequence[str]) -> pa.RecordBatchReader:
        return self._stream(table, delta.open_version(self._place(table), version), columns)

    def rows(self, table: Table, version: int) -> int:
        actions = pa.table(delta.open_version(self._place(table), version).get_add_actions(flatten=True))
        return sum(actions["num_records"].to_pylist())

    def changes(self, table: Table, after: int, until: int) -> DataFrame:
        files = sorted(self._uris(table, until) - self._uris(table, after))
        if not files:
            return self.read(table, None).drop(*table.partition_by)
        return self.session.read.parquet(*files)

    def grew(self, table: Table, after: int, until: int) -> bool:
        return erasure.grew(self._place(table), after, until)

    def land(
        self, table: Table, batches: Iterable[pa.RecordBatch], folder: str, repeats: Repeats
    ) -> tuple[Staged, int]:
        files, path = self._files(table), f"{folder}/part-0.parquet"
        schema = pa.schema([field for field in table.schema if field.name not in table.partition_by])
        with files.written(path) as draft:
            read, repeated = write_once(draft, schema, batches, self._held(table, repeats))
        if read == repeated:
            return Staged(folder), repeated
        return self._staged(table, folder, lambda _: _partition(folder)), repeated

    def stage(self, table: Table, rows: DataFrame, folder: str, partition_by: Sequence[str]) -> Staged:
        files = self._files(table)
        files.remove(file.path for file in files.listed(folder))
        place = self._place(table).at(folder)
        if not place.is_on_s3:
            Path(place.uri).mkdir(parents=True, exist_ok=True)
        writer = rows.write.mode("overwrite").option("compression", "zstd")
        (writer.partitionBy(*partition_by) if partition_by else writer).parquet(place.uri)
        return self._staged(table, folder, lambda path: _partition(path.removeprefix(f"{folder}/")))

    def _staged(self, table: Table, folder: str, partition: Callable[[str], dict[str, str | None]]) -> Staged:
        """What was written below a folder; a file without rows counts for nothing."""
        files = self._files(table)
        listed = [file for file in files.listed(folder) if file.path.endswith(".parquet")]
        described = (
            delta.staged_file(table, file, footer, partition(file.path))
            for file, footer in zip(listed, files.footers(listed), strict=True)
        )
        return Staged(folder, tuple(file for file in described if file.rows))

    def staged(self, table: Table, staged: Staged) -> DataFrame:
        rows = self.session.read.parquet(self._place(table).at(staged.folder).uri)
        for column in staged.files[0].partition:
            # Without a value a partition's folder is `column=`: no partition holds the empty text.
            rows = rows.withColumn(column, F.nullif(F.col(column).cast("string"), F.lit("")))
        return rows

    def discard(self, table: Table, staged: Staged) -> None:
        self._files(table).remove(file.path for file in staged.files)

    def sweep(self, table: Table, ended: Attempt, below: Sequence[str]) -> list[File]:
        return leftovers.sweep(self._place(table), table, ended, below)

    def vacuum(self, table: Table, since: datetime, given_up: Callable[[File], bool], *, dry_run: bool) -> list[File]:
        return leftovers.vacuum(self._place(table), table, since, given_up, dry_run=dry_run)

    def find(self, table: Table, look: Callable[[pa.RecordBatch], bool]) -> Found | None:
        return erasure.found(self._place(table), table, look)

    def rewrite(
        self,
        table: Table,
        found: Found,
        change: Callable[[pa.RecordBatch], pa.RecordBatch],
        attempt: Attempt,
        commit: Commit,
    ) -> int:
        staged = erasure.rewritten(self._place(table), table, found, change, attempt)
        return erasure.swap(self._place(table), table, found, staged, commit)

    def begin_anew(self, table: Table, given_up: Callable[[File], bool]) -> int:
        return erasure.begin_anew(self._place(table), table, given_up)

    def append(self, table: Table, staged: Staged, commit: Commit) -> int:
        return delta.put(self._place(table), table, staged, commit, overwrite=False)

    def replace(self, table: Table, staged: Staged, commit: Commit) -> int:
        return delta.put(self._place(table), table, staged, commit, overwrite=True)

    def insert(self, table: Table, rows: pa.Table, on: str) -> int:
        def inserted() -> int:
            handle = delta.existing(self._place(table), table)
            merge = _merge(handle, rows, on)
            return int(merge.when_not_matched_insert_all().execute()["num_target_rows_inserted"])

        return self._alone(table, inserted)

    def mark(self, table: Table, rows: pa.Table, on: str) -> int:
        def marked() -> int:
            merge = _merge(delta.existing(self._place(table), table), rows, on)
            values = {name: f"s.{name}" for name in rows.schema.names if name != on}
            return int(merge.when_matched_update(values).execute()["num_target_rows_updated"])

        return self._alone(table, marked)

    def overwrite(self, table: Table, rows: pa.Table, where: Mapping[str, str | int], commit: Commit) -> None:
        predicate = " AND ".join(f'"{name}" = {_literal(value)}' for name, value in where.items())

        def overwritten() -> None:
            handle = delta.existing(self._place(table), table)
            delta.refuse_what_is_done(handle, table, commit)
            delta.widen(handle, table)
            properties = delta.commit_properties(commit, uuid.uuid4().hex)
            write_deltalake(handle, rows, mode="overwrite", predicate=predicate, commit_properties=properties)

        self._alone(table, overwritten)

    def _alone(self, table: Table, write: Callable[[], _Answer]) -> _Answer:
        """Write as the only one in this process; a writer elsewhere that was faster only makes it start again."""
        with self._writing[table.path]:
            for _ in range(_ATTEMPTS):
                try:
                    return write()
                except CommitFailedError:
                    continue
        raise LakeError(f"{table.name}: other writers were faster {_ATTEMPTS} times; run again")

    def _place(self, table: Table) -> Place:
        return self._lake.at(table.path)

    def _files(self, table: Table) -> Files:
        return files_below(self._place(table))

    def _uris(self, table: Table, version: int) -> set[str]:
        return set(delta.open_version(self._place(table), version).file_uris())

    def _stream(
        self, table: Table, handle: DeltaTable, columns: Sequence[str], where: ds.Expression | None = None
    ) -> pa.RecordBatchReader:
        """Some columns of the rows that fulfil a condition; files that by the log hold none are not opened."""
        dataset = handle.to_pyarrow_dataset(filesystem=self._place(table).filesystem)
        scanner = dataset.scanner(columns=list(columns), filter=where, batch_readahead=2, fragment_readahead=1)
        return scanner.to_reader()

    def _held(self, table: Table, repeats: Repeats) -> pa.RecordBatchReader | None:
        """The `_row_id` of every row of the table that a stream may bring again."""
        if repeats is Held.NOTHING or (handle := delta.open_table(self._place(table))) is None:
            return None
        where = ds.field(repeats.cursor) >= pa.scalar(repeats.instant) if isinstance(repeats, HeldSince) else None
        return self._stream(table, handle, [ROW_ID], where)


def _merge(handle: DeltaTable, rows: pa.Table, on: str) -> TableMerger:
    """A merge of rows into a table by one column; a table from before some of their columns gains these."""
    return handle.merge(rows, f"t.{on} = s.{on}", "s", "t", merge_schema=True, streamed_exec=False)


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _partition(folder: str) -> dict[str, str | None]:
    """The partition values that the names of folders tell: `country=DE/month=2024-11`."""
    pairs = (part.partition("=") for part in folder.split("/") if "=" in part)
    return {name: unquote(value) or None for name, _, value in pairs}
