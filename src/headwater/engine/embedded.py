"""The embedded engine: Sail computes in this process, delta-rs commits. No Java."""

import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.table import TableMerger
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from headwater.engine import delta
from headwater.engine.landing import write_once
from headwater.engine.protocol import Commit, Head, Held, HeldSince, Repeats, Staged, Table
from headwater.errors import LakeError

_POOL_BYTES = 1 << 30
_ATTEMPTS = 20

_SAIL = {
    # Sorts, windows and sort-merge joins spill beyond this pool; hash joins never do.
    "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
    "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(_POOL_BYTES),
    "SAIL_OPTIMIZER__PREFER_HASH_JOIN": "false",
    "RUST_LOG": "error",
}


class EmbeddedEngine:
    """An `Engine` in this process, for a lake on the local disk.

    Without a `session` it starts Sail when one is first needed, and ends it at `close`.
    """

    def __init__(self, lake: str, session: SparkSession | None = None) -> None:
        if "://" in lake:
            raise LakeError(f"{lake}: the embedded engine keeps its lake on the local disk; set `lake:` to a folder")
        self._lake = Path(lake)
        self._given = session
        self._server: Any = None
        self._starting = threading.Lock()
        self._merging: dict[str, threading.Lock] = defaultdict(threading.Lock)

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
        from pysail.spark import SparkConnectServer

        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        _, port = self._server.listening_address
        session: SparkSession = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        return session

    def close(self) -> None:
        """End the session and its server, if they were started."""
        if self._server is not None:
            self._session.stop()
            self._server.stop()

    def head(self, table: Table) -> Head | None:
        return delta.head(self._uri(table), table.app_id)

    def read(self, table: Table, version: int | None) -> DataFrame:
        if version is None:
            return self.session.createDataFrame([], from_arrow_schema(table.schema))
        reader = self.session.read.format("delta").option("versionAsOf", str(version))
        return reader.load(self._uri(table))

    def scan(self, table: Table, version: int, columns: Sequence[str]) -> pa.RecordBatchReader:
        dataset = DeltaTable(self._uri(table), version=version).to_pyarrow_dataset()
        return dataset.scanner(columns=list(columns), batch_readahead=2, fragment_readahead=1).to_reader()

    def rows(self, table: Table, version: int) -> int:
        actions = pa.table(DeltaTable(self._uri(table), version=version).get_add_actions(flatten=True))
        return sum(actions["num_records"].to_pylist())

    def changes(self, table: Table, after: int, until: int) -> DataFrame:
        files = sorted(self._files(table, until) - self._files(table, after))
        if not files:
            return self.read(table, None).drop(*table.partition_by)
        return self.session.read.parquet(*files)

    def land(
        self, table: Table, batches: Iterable[pa.RecordBatch], folder: str, repeats: Repeats
    ) -> tuple[Staged, int]:
        root = Path(self._uri(table))
        path = root / folder / "part-0.parquet"
        schema = pa.schema([field for field in table.schema if field.name not in table.partition_by])
        held, held_where = self._held(table, repeats)
        read, repeated = write_once(path, schema, batches, held, held_where)
        if read == repeated:
            return Staged(folder), repeated
        return Staged(folder, (delta.staged_file(root, path, _partition(folder)),)), repeated

    def stage(self, table: Table, rows: DataFrame, folder: str, partition_by: Sequence[str]) -> Staged:
        root = Path(self._uri(table))
        place = root / folder
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        writer = rows.write.mode("overwrite").option("compression", "zstd")
        (writer.partitionBy(*partition_by) if partition_by else writer).parquet(str(place))
        paths = sorted(place.rglob("*.parquet"))
        described = [
            delta.staged_file(root, path, _partition(path.parent.relative_to(place).as_posix())) for path in paths
        ]
        return Staged(folder, tuple(file for file in described if file.rows))

    def staged(self, table: Table, staged: Staged) -> DataFrame:
        rows = self.session.read.parquet(str(Path(self._uri(table)) / staged.folder))
        for column in staged.files[0].partition:
            # Without a value a partition's folder is `column=`: no partition holds the empty text.
            rows = rows.withColumn(column, F.nullif(F.col(column).cast("string"), F.lit("")))
        return rows

    def discard(self, table: Table, staged: Staged) -> None:
        root = Path(self._uri(table))
        for file in staged.files:
            (root / file.path).unlink(missing_ok=True)

    def append(self, table: Table, staged: Staged, commit: Commit) -> int:
        return delta.put(self._uri(table), table, staged, commit, overwrite=False)

    def replace(self, table: Table, staged: Staged, commit: Commit) -> int:
        return delta.put(self._uri(table), table, staged, commit, overwrite=True)

    def insert(self, table: Table, rows: pa.Table, on: str) -> int:
        metrics = self._merged(table, rows, on, lambda merge: merge.when_not_matched_insert_all())
        return int(metrics["num_target_rows_inserted"])

    def settle(self, table: Table, rows: pa.Table, on: str) -> None:
        if rows.num_rows == 0 and delta.open_table(self._uri(table)) is None:
            return
        # Lists can't be compared in a merge; what we settle says the same in a text beside them.
        plain = [field.name for field in rows.schema if field.name != on and not pa.types.is_list(field.type)]
        differs = " OR ".join(f"(t.{name} IS DISTINCT FROM s.{name})" for name in plain)

        def exactly(merge: TableMerger) -> TableMerger:
            updated = merge.when_matched_update_all(predicate=differs)
            return updated.when_not_matched_insert_all().when_not_matched_by_source_delete()

        self._merged(table, rows, on, exactly)

    def _merged(
        self, table: Table, rows: pa.Table, on: str, clauses: Callable[[TableMerger], TableMerger]
    ) -> dict[str, Any]:
        """Merge and say what was written; a writer that was faster only makes it start again."""
        with self._merging[table.name]:
            for _ in range(_ATTEMPTS):
                merge = self._existing(table).merge(rows, f"t.{on} = s.{on}", "s", "t", streamed_exec=False)
                try:
                    metrics = clauses(merge).execute()
                except CommitFailedError:
                    continue
                else:
                    return metrics
        raise LakeError(f"{table.name}: other writers were faster {_ATTEMPTS} times; run again")

    def overwrite(self, table: Table, rows: pa.Table, where: Mapping[str, str | int]) -> None:
        with self._merging[table.name]:
            handle = self._existing(table)
            equal = [f'"{name}" = {_literal(value)}' for name, value in where.items()]
            properties = CommitProperties(max_commit_retries=_ATTEMPTS)
            write_deltalake(handle, rows, mode="overwrite", predicate=" AND ".join(equal), commit_properties=properties)

    def _uri(self, table: Table) -> str:
        return str(self._lake / table.path)

    def _existing(self, table: Table) -> DeltaTable:
        """A fresh handle on a table, made empty if it was not there."""
        return DeltaTable.create(
            self._uri(table),
            table.schema,
            mode="ignore",
            partition_by=list(table.partition_by),
            configuration=delta.configuration(table),
        )

    def _files(self, table: Table, version: int) -> set[str]:
        return set(DeltaTable(self._uri(table), version=version).file_uris())

    def _held(self, table: Table, repeats: Repeats) -> tuple[list[str], str]:
        """The files that may hold a row of the stream, and which of their rows may, as a condition in SQL."""
        if repeats is Held.NOTHING or (handle := delta.open_table(self._uri(table))) is None:
            return [], "true"
        if isinstance(repeats, HeldSince):
            newest = pa.table(handle.get_add_actions(flatten=True))
            bound = f"max.{repeats.cursor}"
            cursor = '"' + repeats.cursor.replace('"', '""') + '"'
            where = f"{cursor} >= TIMESTAMPTZ '{repeats.instant.isoformat()}'"
            if bound not in newest.column_names:
                return handle.file_uris(), where
            instants = newest[bound].cast(pa.timestamp("us", tz="UTC")).to_pylist()
            paths = newest["path"].to_pylist()
            recent = [
                path for path, most in zip(paths, instants, strict=True) if most is None or most >= repeats.instant
            ]
            return [f"{self._uri(table)}/{unquote(path)}" for path in recent], where
        return handle.file_uris(), "true"


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _partition(folder: str) -> dict[str, str | None]:
    """The partition values that the names of folders tell: `country=DE/month=2024-11`."""
    pairs = (part.partition("=") for part in folder.split("/") if "=" in part)
    return {name: unquote(value) or None for name, _, value in pairs}
