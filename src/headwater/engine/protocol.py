"""The verbs that an engine has, and what a commit carries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Table:
    """A Delta table by its place: `path` is below the lake's root."""

    name: str
    path: str
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()
    change_data_feed: bool = False

    @property
    def app_id(self) -> str:
        """The one Delta `txn` application of this table, whoever writes it."""
        return f"headwater:{self.name}"


@dataclass(frozen=True)
class Commit:
    """What stands beside the rows: at most one commit has this version of this table's application.

    `inputs` says what was consumed (Bronze: its position; others: the version of each input); `metadata` holds the
    verdict and the counts.
    """

    app_id: str
    version: int
    inputs: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """A table's newest state: its Delta version, the last `txn` version, and what the last commits recorded."""

    version: int
    txn: int
    inputs: Mapping[str, Any] | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Staged:
    """Parquet files written below a table's path that no commit names yet, and the rows they hold."""

    files: tuple[str, ...]
    rows: int
    bytes: int


class Engine(Protocol):
    """PySpark to compute, Delta to keep. Every write is staged first, judged by whoever calls, then committed."""

    @property
    def session(self) -> SparkSession: ...

    def head(self, table: Table) -> Head | None:
        """The table's newest state from a fresh handle; None where it was never committed."""
        ...

    def read(self, table: Table, version: int | None = None) -> DataFrame:
        """The table at a version, or now; empty, typed by its schema, where it was never committed."""
        ...

    def changes(self, table: Table, after: int, until: int) -> DataFrame:
        """The rows that an append-only table gained in the versions `(after, until]`."""
        ...

    def land(
        self, table: Table, batches: Iterable[pa.RecordBatch], folder: str, held_from: Any | None
    ) -> tuple[Staged, int]:
        """Stage a stream without the rows whose `_row_id` the table or the stream has already; also count those.

        `held_from` bounds which rows of the table can be met again (None: any).
        """
        ...

    def stage(self, table: Table, rows: DataFrame, folder: str) -> Staged:
        """Write a table's rows as Parquet below its path, without committing them."""
        ...

    def staged(self, table: Table, files: Staged) -> DataFrame:
        """Read back what is staged."""
        ...

    def append(self, table: Table, staged: Staged, commit: Commit) -> int:
        """Add staged files and say the Delta version; raises `CommitRefused` where `commit.version` is taken."""
        ...

    def replace(self, table: Table, staged: Staged, commit: Commit) -> int:
        """Make staged files the whole table; raises `CommitRefused` where `commit.version` is taken."""
        ...

    def merge(self, table: Table, rows: pa.Table, on: Sequence[str], commit: Commit | None) -> int: ...
