"""The seam between a source and the lake: an extractor cuts a span into partitions and reads each as Arrow."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from headwater.contracts import Contract
from headwater.errors import ConfigurationError, SourceRejected, SourceUnavailable

ROWS_PER_WINDOW = 1_000_000
MOST_WINDOWS = 64
ATTEMPTS = 3
_LONGEST_PAUSE_S = 60.0

Answer = TypeVar("Answer")

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

    by_cursor: bool = True
    """Read by the span of a timestamp; otherwise each message or file is read once."""

    unseen: str = "rows committed later than the overlap, deleted for good or without a cursor, versions soon replaced"
    """What this way of reading does not see, for people."""

    rows_per_window: int = ROWS_PER_WINDOW
    """About so many rows go into one partition, where a partition is a window of time; no more where it is of offsets."""

    row_id: str | None = None
    """The column that identifies a row in every rerun; None where the hash of the row's columns does."""

    @abstractmethod
    def __init__(self, settings: Any, secret: Mapping[str, str], contract: Contract) -> None:
        """`settings` is the source's own block of `data_sources`, `secret` what its reference leads to."""

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

    def without_cursor(self) -> int:
        """How many rows the source has that no span shows, because their cursor is null."""
        return 0

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

    def close(self) -> None:  # noqa: B027 - most keep nothing open
        """End the connections that are kept between two reads. Several partitions may be read at once until then."""


@dataclass(frozen=True)
class CursorSpan:
    """What a table's cursor column says of a span: how many rows, and where the first and the last stand (UTC)."""

    rows: int
    oldest: datetime | None = None
    newest: datetime | None = None

    @classmethod
    def told(cls, source: str, column: str, answer: Sequence[object]) -> "CursorSpan":
        """From a source's `COUNT(*), MIN(cursor), MAX(cursor)`.

        Raises:
            SourceRejected: the cursor holds no timestamps.
        """
        rows, oldest, newest = answer
        if not rows:
            return cls(0)
        if not isinstance(rows, int) or not isinstance(oldest, datetime) or not isinstance(newest, datetime):
            raise SourceRejected(
                source, f"{column} orders the row versions and must be a timestamp, but holds such as {oldest!r}"
            )
        return cls(rows, utc(oldest), utc(newest))


def windows(start: datetime | None, end: datetime, span: CursorSpan, rows: int = ROWS_PER_WINDOW) -> list[Partition]:
    """Cut `[start, end)` into equal times of about so many rows each, oldest first; none where there is no row.

    The pieces touch: together they are the whole span, so that a row that appears meanwhile is in one of them.
    """
    if not span.rows or span.oldest is None or span.newest is None:
        return []
    pieces = min(math.ceil(span.rows / rows), MOST_WINDOWS)
    step = (span.newest - span.oldest) / pieces
    edges = sorted({span.oldest + step * piece for piece in range(1, pieces)})
    inner = [edge for edge in edges if (start is None or edge > start) and edge < end]
    return [TimeWindow(*ends) for ends in zip([start, *inner], [*inner, end], strict=True)]


def utc(moment: datetime) -> datetime:
    """A source's instant with its zone; one told without a zone is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def retried(ask: Callable[[], Answer]) -> Answer:
    """Call `ask` until its source is there: three times in all, after as long as the source asked for.

    Only `SourceUnavailable` is tried again, and a source that wants to be left alone for over a minute is. For single
    requests; a partition that breaks off is the run's to repeat, whole.
    """
    import stamina

    return stamina.retry(on=pause, attempts=ATTEMPTS, timeout=2 * _LONGEST_PAUSE_S, wait_initial=0.2)(ask)()


def pause(error: Exception) -> bool | float:
    """Whether another attempt may help after an error; or the seconds that its source wants to be left alone before."""
    if not isinstance(error, SourceUnavailable):
        return False
    if error.retry_after_s is None:
        return True
    return error.retry_after_s <= _LONGEST_PAUSE_S and max(error.retry_after_s, 0.0)


def setting(source: str, key: str, value: str | None) -> str:
    """A setting that a source can't do without.

    Raises:
        ConfigurationError: it is not set.
    """
    if not value:
        raise ConfigurationError(f"data_sources.{source}.{key} is not set: add it to the config file")
    return value


def credential(source: str, secret: Mapping[str, str], key: str) -> str:
    """One field of a source's secret.

    Raises:
        ConfigurationError: the secret has no such field.
    """
    if not secret.get(key):
        raise ConfigurationError(f"secrets.{source} has no {key}: add that field to the secret")
    return secret[key]


def scrubbed(text: object, secret: Mapping[str, str]) -> str:
    """An error's text on one line, without any value of the secret but the user's name."""
    told = str(text)
    for key, value in secret.items():
        if value and key not in {"user", "username"}:
            told = told.replace(value, "***")
    return " ".join(told.split())
