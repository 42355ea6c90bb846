"""The verbs that an engine has, and what a commit carries."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pyarrow as pa

if TYPE_CHECKING:  # whoever only looks into a log starts faster without it
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Table:
    """A Delta table by its place: `path` is below the lake's root.

    Of one that is `append_only` each version names all files that an earlier one named.
    """

    name: str
    path: str
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()
    change_data_feed: bool = False
    append_only: bool = False

    @property
    def app_id(self) -> str:
        """The one Delta `txn` application of this table, whoever writes it."""
        return f"headwater:{self.name}"


@dataclass(frozen=True)
class Commit:
    """What stands beside the rows: at most one commit has this version of this table's application.

    `inputs` says what was consumed (Bronze: its position; others: the version of each input); `metadata` holds the
    run, the verdict and the counts.
    """

    app_id: str
    version: int
    inputs: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """A table's newest state: its Delta version, the last `txn` version, and what the last commit recorded.

    `inputs` is None where the last commit does not say what it consumed; `schema` has the table's columns.
    """

    version: int
    txn: int
    inputs: Mapping[str, Any] | None
    metadata: Mapping[str, Any]
    schema: pa.Schema


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run to move a table; `first` is the lowest version of the table's application it may commit.

    What it stages lies below a folder that says so. Once another run has committed that version, or a later one,
    nothing more of the attempt can be committed.
    """

    run_id: str
    first: int

    def folder(self, part: int | None = None) -> str:
        """The folder of what the attempt stages, or of a part of it."""
        return f"{self.run_id}-{self.first}" + ("" if part is None else f"-{part}")

    @classmethod
    def of(cls, path: str) -> "Attempt | None":
        """Whose a file or folder below a table is, by its path; None where nobody's name is in it."""
        for part in path.split("/"):
            if match := _FOLDER.fullmatch(part):
                return cls(match[1], int(match[2]))
        return None


_FOLDER = re.compile(r"(\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{6})-(\d+)(?:-\d+)?")


@dataclass(frozen=True)
class File:
    """A file by its path from the table's; `modified` is when it was written, by the clock of where it is."""

    path: str
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file below a table's path: its path from there, and its partition values as text (None is null).

    `statistics` is the bounds of its columns as the Delta log writes them down.
    """

    path: str
    rows: int
    bytes: int
    partition: Mapping[str, str | None]
    modified: datetime
    statistics: str


@dataclass(frozen=True)
class Staged:
    """Files that no commit names yet, all below `folder`, which is below the table's path."""

    folder: str
    files: tuple[StagedFile, ...] = ()

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def where(self, **partition: str) -> "Staged":
        """The files whose partition has these values."""
        asked = partition.items()
        return Staged(self.folder, tuple(file for file in self.files if asked <= file.partition.items()))


@dataclass(frozen=True)
class Found:
    """The files of a table's version in which something was found."""

    version: int
    files: tuple[StagedFile, ...]


class Held(Enum):
    """Which rows of a table a stream can meet again, where that is not told by a cursor."""

    NOTHING = "nothing"
    ANYTHING = "anything"


@dataclass(frozen=True)
class HeldSince:
    """Only rows whose cursor is at or after an instant can be met again."""

    cursor: str
    instant: datetime


Repeats: TypeAlias = Held | HeldSince


class Engine(Protocol):
    """PySpark to compute, Delta to keep. Every write is staged first, judged by whoever calls, then committed."""

    @property
    def session(self) -> "SparkSession":
        """The PySpark session, started when first asked for."""
        ...

    def head(self, table: Table) -> Head | None:
        """The table's newest state from a fresh handle; None where it was never committed."""
        ...

    def read(self, table: Table, version: int | None) -> "DataFrame":
        """The table at a version; empty, typed by its schema, at None."""
        ...

    def scan(self, table: Table, version: int, columns: Sequence[str]) -> pa.RecordBatchReader:
        """Some columns of the table at a version as a stream, without a session."""
        ...

    def rows(self, table: Table, version: int) -> int:
        """How many rows the table had at a version, by its log."""
        ...

    def changes(self, table: Table, after: int, until: int) -> "DataFrame":
        """The rows that an append-only table gained in the versions `(after, until]`, without its partition columns."""
        ...

    def grew(self, table: Table, after: int, until: int) -> bool:
        """Whether an append-only table only gained rows between two versions, so that `changes` says which.

        Not so where somebody was forgotten in between: files were written anew, and the earlier version is gone.
        """
        ...

    def land(
        self, table: Table, batches: Iterable[pa.RecordBatch], folder: str, repeats: Repeats
    ) -> tuple[Staged, int]:
        """Stage a stream once per `_row_id`; also say how many of its rows the table or the stream had already.

        A batch may lack columns of the table, which are null, and have more of them, which the file has too.
        """
        ...

    def stage(self, table: Table, rows: "DataFrame", folder: str, partition_by: Sequence[str]) -> Staged:
        """Write rows as Parquet below the table's path, without committing them."""
        ...

    def staged(self, table: Table, staged: Staged) -> "DataFrame":
        """Read back all that was staged with `staged`, its partition columns as text; `staged` is not empty."""
        ...

    def discard(self, table: Table, staged: Staged) -> None:
        """Remove staged files that will not be committed."""
        ...

    def sweep(self, table: Table, ended: Attempt, below: Sequence[str]) -> list[File]:
        """Remove what dead attempts staged in folders in `below`, and say what that was.

        `ended` is an attempt that has ended, and `ended.first` the last version that it committed: whatever else its
        run staged is dead, and what others staged for that version or one before. Attempts that died before the last
        few commits, of a table that is not append only, are left to `vacuum`.
        """
        ...

    def vacuum(self, table: Table, since: datetime, given_up: Callable[[File], bool], *, dry_run: bool) -> list[File]:
        """Remove the files that no version names which was the newest at `since` or later; say what they were.

        Of a file that no version ever named `given_up` says whether nobody can commit it any more. Nothing is
        written: a reader of an older version misses its files, and no other. Broken off and repeated it does no harm.
        """
        ...

    def find(self, table: Table, look: Callable[[pa.RecordBatch], bool]) -> Found | None:
        """The files of the table that stands in whose texts `look` finds something; None where there is no table.

        `look` sees every batch of each file's columns of text, lists and bytes, in which nobody's type is changed.
        """
        ...

    def rewrite(
        self,
        table: Table,
        found: Found,
        change: Callable[[pa.RecordBatch], pa.RecordBatch],
        attempt: Attempt,
        commit: Commit,
    ) -> int:
        """Write files anew as `change` makes their batches, swap them in one commit, and say the Delta version.

        Without files it is a commit alone. Refuses as `append` does.

        Raises:
            LakeError: the table has moved since it was found.
        """
        ...

    def begin_anew(self, table: Table, given_up: Callable[[File], bool]) -> int:
        """Make the version that stands the first: its log, statistics, changes and files before it go for good.

        Say how many files that were. `given_up` is told of files that no version names, as in `vacuum`. Broken off and
        repeated it does no harm.
        """
        ...

    def append(self, table: Table, staged: Staged, commit: Commit) -> int:
        """Add staged files and say the Delta version; columns that the table lacks it gains in the same commit.

        Raises:
            CommitRefused: the table records `commit.version` or a higher one already.
        """
        ...

    def replace(self, table: Table, staged: Staged, commit: Commit) -> int:
        """Make staged files the whole table and say the Delta version; refuses as `append` does."""
        ...

    def insert(self, table: Table, rows: pa.Table, on: str) -> int:
        """Add the rows whose `on` the table lacks, and say how many there were."""
        ...

    def mark(self, table: Table, rows: pa.Table, on: str) -> int:
        """Give the table's rows whose `on` is among `rows` the other values of these, and say how many there were."""
        ...

    def overwrite(self, table: Table, rows: pa.Table, where: Mapping[str, str | int], commit: Commit) -> None:
        """Put `rows` in the place of the table's rows that have these values; refuses as `append` does.

        Unlike there, writers of one table may have an application each.
        """
        ...
