"""The seam between a source and the lake: an extractor cuts a span into partitions and reads each as Arrow."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from headwater.config import SourceSettings
from headwater.contracts import Contract
from headwater.errors import ConfigurationError, SourceRejected, SourceUnavailable
from headwater.extract.drift import Drift
from headwater.secrets import Secret

ROWS_PER_WINDOW = 500_000
MOST_WINDOWS = 64
_FIRST_PAUSE_S = 0.3
_SLOWEST_BYTES_PER_S = 1024

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
    places: Mapping[str, str] = {}
    """What the source calls each Bronze table."""

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

    @cached_property
    def drift(self) -> Drift:
        """What the source showed otherwise than its contract says, told by whatever reads it."""
        return Drift(self.source)

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

        After the contract's columns come those that it does not know, which may differ from batch to batch, and
        `row_id`. What fits no Bronze row goes to `reject`, so that read = yielded + rejected.

        Raises:
            SourceUnavailable: the source did not answer. The run retries the whole partition.
            SourceRejected: it refused the login or the query, or lacks a column that the contract requires.
        """

    def sample(self, rows: int) -> pa.Table:  # noqa: ARG002 - for those that can
        """At most `rows` of its rows with every column that the source shows, in its own types or as text.

        Raises:
            SourceUnavailable: the source did not answer.
            SourceRejected: it refused the login or the query, or this source gives no sample.
        """
        raise SourceRejected(self.source, "its extractor gives no sample of rows; write its contract by hand")

    @classmethod
    def place_of(cls, contract: Contract) -> str:
        """What the source calls the table of a contract."""
        return contract.at_source or cls.places[contract.name]

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
    """Cut `[start, end)` into equal times of about `rows` each, 64 at most, oldest first; none where there is no row.

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


def retried(ask: Callable[[], Answer], settings: SourceSettings) -> Answer:
    """Call `ask` until its source is there: as often and for as long as its settings say, after as long as it asked for.

    Only `SourceUnavailable` is tried again, and not where this was done already for a part of what is asked. Pauses grow
    and are a little random, so that many who were turned away do not come back at once.
    """
    import stamina

    again = _Again(settings.retry_for)
    try:
        for attempt in stamina.retry_context(
            on=again, attempts=settings.attempts, timeout=None, wait_initial=_FIRST_PAUSE_S
        ):
            with attempt:
                return ask()
    except SourceUnavailable as error:
        error.tried = True
        raise
    raise AssertionError("the last attempt returns or raises")


class _Again:
    """Whether another attempt may help after an error; or the seconds that its source wants to be left alone before."""

    def __init__(self, budget: timedelta) -> None:
        self._budget_s = budget.total_seconds()
        self._until: float | None = None

    def __call__(self, error: Exception) -> bool | float:
        if not isinstance(error, SourceUnavailable) or error.tried:
            return False
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._budget_s
        left_s = self._until - now
        if error.retry_after_s is None:
            return left_s > 0
        return error.retry_after_s <= left_s and max(error.retry_after_s, 0.0)


class Pace:
    """Tells an answer that drips: over the patience that its source gets, less than a kilobyte came in a second."""

    def __init__(self, patience: timedelta) -> None:
        self._patience_s = patience.total_seconds()
        self._since, self._bytes = time.monotonic(), 0

    def drips(self, got: int) -> bool:
        """Whether the answer is too slow, now that `got` more bytes of it are here."""
        self._bytes += got
        passed_s = time.monotonic() - self._since
        if passed_s < self._patience_s:
            return False
        slow = self._bytes < _SLOWEST_BYTES_PER_S * passed_s
        self._since, self._bytes = time.monotonic(), 0
        return slow


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
        raise ConfigurationError(f"{referred(source, secret)} has no {key}: add that field to the secret")
    return secret[key]


def referred(source: str, secret: Mapping[str, str]) -> str:
    """What people call a source's secret: its key in the config file, and where the reference there leads."""
    return f"secrets.{source}" + (f" ({secret.reference})" if isinstance(secret, Secret) else "")


def scrubbed(text: object, secret: Mapping[str, str]) -> str:
    """An error's text on one line, without any value of the secret but the user's name."""
    told = str(text)
    for key, value in secret.items():
        if value and key not in {"user", "username"}:
            told = told.replace(value, "***")
    return " ".join(told.split())
