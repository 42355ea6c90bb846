"""The seam between a source and the lake: an extractor cuts a span into partitions and reads each as Arrow."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import pyarrow as pa

REJECT_SCHEMA = pa.schema(
    [
        pa.field("_row_id", pa.string(), nullable=False),
        pa.field("position", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.binary(), nullable=False),
    ]
)
"""A record that fits no Bronze row: where it stood in the source, why it was refused, and its bytes."""

Reject: TypeAlias = Callable[[pa.RecordBatch], None]
"""Takes batches of `REJECT_SCHEMA`, in any number, while a partition is read."""


@dataclass(frozen=True)
class TimeWindow:
    """The row versions whose cursor is in `[start, end)`, UTC; `start` None is the beginning of time."""

    start: datetime | None
    end: datetime


@dataclass(frozen=True)
class OffsetRange:
    """The messages of one Kafka partition in `[start, end)`."""

    topic: str
    partition: int
    start: int
    end: int


@dataclass(frozen=True)
class SourceFile:
    """One object as it was listed; a changed file is another `SourceFile`."""

    key: str
    etag: str
    size: int


Partition: TypeAlias = TimeWindow | OffsetRange | SourceFile


@dataclass(frozen=True)
class Position:
    """How far a Bronze table has consumed its source, as recorded in its last commit.

    A timestamp source uses `watermark` (the end of the span read), Kafka `offsets` (next offset per partition),
    files `files` (every file consumed).
    """

    watermark: datetime | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)
    files: frozenset[SourceFile] = frozenset()


class Extractor(ABC):
    """Reads one table, object, topic or folder of one source. It remembers nothing; `run/` keeps the position."""

    source: str
    """The source system's name, which becomes `_source`: snowflake, redshift, salesforce, external, kafka, fx_vendor."""

    row_id: str | None = None
    """The column that identifies a row in every rerun; None where the hash of the row's columns does."""

    @abstractmethod
    def check(self) -> str:
        """Log in and ask for the right to read; say in one line as whom and what was found.

        Raises:
            SourceUnavailable: the source did not answer.
            SourceRejected: it refused the login or the right, or has no such table.
        """

    def clock(self) -> datetime | None:
        """The source's own time, UTC; None where positions are not times (Kafka, files)."""
        return None

    @abstractmethod
    def partitions(self, since: Position, until: datetime) -> list[Partition]:
        """Cut what is not consumed yet into independent pieces, oldest first; none if nothing is due.

        `since` already has the overlap taken off its watermark. A first load has an empty position.
        """

    @abstractmethod
    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        """Yield a partition's rows, typed as the Bronze contract; memory holds one chunk.

        What fits no Bronze row goes to `reject`, so that read = yielded + rejected.

        Raises:
            SourceUnavailable: the source did not answer. The run retries the whole partition.
            SourceRejected: it refused the login or the query, or lacks a column that the contract requires.
        """
