"""Customer behaviour from Redshift, streamed over PostgreSQL's protocol.

The client is psycopg. Neither of the columnar ones suits a real cluster: ADBC's PostgreSQL driver dropped Redshift in
1.12, and connectorx logs in seven times in 30 seconds with a wrong password, and panics where a stream breaks. Only
plain queries are sent, for Redshift has no binary COPY; values come as text and are cast a column at a time.
"""

import math
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headwater.config import RedshiftSettings
from headwater.contracts import Contract
from headwater.errors import SourceError, SourceRejected, SourceUnavailable
from headwater.extract.again import from_records
from headwater.extract.base_extractor import (
    Answer,
    CursorSpan,
    Extractor,
    Partition,
    Position,
    Reject,
    TimeWindow,
    credential,
    referred,
    scrubbed,
    setting,
    utc,
    windows,
)
from headwater.extract.conform import BronzeShape

if TYPE_CHECKING:
    from psycopg import Column as DBColumn
    from psycopg import Connection, Cursor, Error
    from psycopg.sql import Composed

TABLES = {"redshift_behavior": "customer_behavior"}
"""What each Bronze table is called in Redshift."""

_FETCH_ROWS = 2_000
"""So many rows are held as Python's values: more would not stay in the processor's cache, and take twice the time."""
_BATCH_ROWS = 20_000
_STILL_THERE_S = 60
"""After so long without a word it is asked whether the line still stands: AWS forgets one that is silent for 350 s."""

_INSTANT = pa.timestamp("us", tz="UTC")
_TYPES = {
    16: pa.bool_(),
    **dict.fromkeys((20, 21, 23), pa.int64()),
    **dict.fromkeys((700, 701), pa.float64()),
    1082: pa.date32(),
    **dict.fromkeys((1114, 1184), _INSTANT),
}
_NUMERIC, _WIDEST, _ANY_SCALE = 1700, 38, 10

_NOT_THERE_OR_NO_RIGHT = frozenset({"42P01", "42501", "3F000"})
_PASSING = frozenset({"08", "40", "53", "55", "57", "58", "XX"})
"""Classes of SQLSTATE that say something about the moment and not about the query."""

_DISTRUST = ("certificate", "does not support SSL")
"""What libpq says where TLS fails for what somebody has set; an `SSL SYSCALL error` is a line that broke."""

_BUSY = ("too many", "remaining connection slots", "starting up", "shutting down", "recovery mode", "limit exceeded")


class RedshiftExtractor(Extractor):
    """Row versions of one Redshift table, one time window per partition, each a single streamed query.

    `timestamp` columns are taken as UTC, `timestamptz` as the instant they name.
    """

    source = "redshift"
    places = TABLES

    def __init__(self, settings: RedshiftSettings, secret: Mapping[str, str], contract: Contract) -> None:
        """`secret` has `user` and `password`."""
        self._settings = settings
        self._secret = secret
        self._schema = setting(self.source, "schema", settings.schema)
        self._table = self.place_of(contract)
        self._place = f"{self._schema}.{self._table}"
        self._cursor_column = contract.cursor or ""
        self._shape = BronzeShape(self.source, self._place, contract, self.drift)
        self._free: list[Connection[Any]] = []
        """Logins that nobody uses now; two windows that are read at once have one each."""

    def check(self) -> str:
        with self._connection() as connection:
            found = self._columns(connection)
            (who,) = self._one(connection, self._query("SELECT current_user"))
        return f"logged in as {who}; {self._place} can be read and has {len(found)} columns"

    def clock(self) -> datetime:
        with self._connection() as connection:
            (now,) = self._one(connection, self._query("SELECT getdate()"))
        return utc(now)

    def without_cursor(self) -> int:
        with self._connection() as connection:
            column = self._columns(connection)[self._cursor_column]
            counted = self._query("SELECT count(*) FROM {table} WHERE {c} IS NULL", c=column)
            (rows,) = self._one(connection, counted)
        return int(rows)

    def partitions(self, since: Position, until: datetime) -> list[Partition]:
        """Cut what is due into windows of about `rows_per_window`; none where Redshift counts no row."""
        if since.watermark is not None and since.watermark >= until:
            return []
        with self._connection() as connection:
            column = self._columns(connection)[self._cursor_column]
            rows_of, bounds = _between(since.watermark, until)
            counted = self._query(f"SELECT count(*), min({{c}}), max({{c}}) {rows_of}", c=column)
            span = CursorSpan.told(self.source, f"{self._place}.{column}", self._one(connection, counted, bounds))
        return windows(since.watermark, until, span, self.rows_per_window)

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        """Yield the window's rows, typed as the Bronze contract; memory holds one batch.

        Raises:
            SourceUnavailable: Redshift did not answer, or broke off. The run retries the window.
            SourceRejected: Redshift refused the login or the query, or lacks a required column.
        """
        if not isinstance(partition, TimeWindow):
            raise TypeError(f"a time window was expected, not {partition}")
        with self._connection() as connection:
            described = self._described(connection)
            found = self._shape.columns(described)
            declared = {name: described[there] for name, there in found.items()}
            rows_of, bounds = _between(partition.start, partition.end)
            chosen = self._query(f"SELECT {{names}} {rows_of}", found[self._cursor_column], list(found.values()))
            with connection.cursor() as cursor:
                _as_told(cursor)
                batches = _in_batches(_as_they_come(declared), cursor.stream(chosen, bounds, size=_FETCH_ROWS))
                while (batch := self._answered(connection, lambda: next(batches, None))) is not None:
                    yield self._shape.cast(batch, reject, declared=declared)

    def again(self, rejects: pa.Table, reject: Reject) -> Iterator[pa.RecordBatch]:
        return from_records(self._shape, rejects, reject)

    def sample(self, rows: int) -> pa.Table:
        """The columns as Redshift types them; what Arrow has no type for is text."""
        with self._connection() as connection:
            cursor = connection.execute(self._query("SELECT * FROM {table} LIMIT %s"), (rows,))
            names = [column.name for column in cursor.description or []]
            told = cursor.fetchall()
        return pa.table({name: _natural([row[place] for row in told]) for place, name in enumerate(names)})

    def _columns(self, connection: "Connection[Any]") -> dict[str, str]:
        return self._shape.columns(self._described(connection))

    def _described(self, connection: "Connection[Any]") -> dict[str, pa.DataType]:
        """The table's columns, and the types that it declares for them."""
        nothing = self._query("SELECT * FROM {table} LIMIT 0")
        described = self._answered(connection, lambda: connection.execute(nothing)).description or []
        return {column.name: _declared(column) for column in described}

    def _query(self, text: str, c: str = "", names: Sequence[str] = ()) -> "Composed":
        """A statement with its names quoted; values are always bound."""
        from psycopg import sql

        return sql.SQL(text).format(
            table=sql.Identifier(self._schema, self._table),
            c=sql.Identifier(c),
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
        )

    def _one(self, connection: "Connection[Any]", query: "Composed", bounds: Sequence[Any] = ()) -> tuple[Any, ...]:
        cursor = self._answered(connection, lambda: connection.execute(query, bounds))
        row: tuple[Any, ...] | None = cursor.fetchone()
        if row is None:
            raise SourceUnavailable(self.source, f"no row came back while reading {self._place}")
        return row

    def _answered(self, connection: "Connection[Any]", ask: Callable[[], Answer]) -> Answer:
        """Ask, and cut the line where no answer comes in time: libpq itself waits for ever for one."""
        import psycopg

        silence_s = self._settings.answer_timeout.total_seconds()
        cut = threading.Event()

        def hang_up() -> None:
            cut.set()
            with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

        watch = threading.Timer(silence_s, hang_up)
        watch.start()
        try:
            return ask()
        except psycopg.Error as error:
            if cut.is_set():
                said = f"no answer within {silence_s:.0f} s while reading {self._place}"
                raise SourceUnavailable(self.source, said) from error
            raise
        finally:
            watch.cancel()
            watch.join()

    @contextmanager
    def _connection(self) -> Iterator["Connection[Any]"]:
        """Log in, unless a login of before is free; after an error it is not used again. Their errors become ours."""
        import psycopg

        try:
            connection = self._free.pop()  # to look before would be a race of two windows for the last one
        except IndexError:
            connection = self._connect()
        unhurt = False
        try:
            yield connection
            unhurt = True
        except psycopg.Error as error:
            raise self._told(error) from error
        finally:
            if unhurt:
                self._free.append(connection)
            else:
                connection.close()
                self.close()  # what ended this login may have ended the others

    def close(self) -> None:
        with suppress(IndexError):
            while True:
                self._free.pop().close()

    def _connect(self) -> "Connection[Any]":
        import psycopg

        settings = self._settings
        try:
            return psycopg.connect(
                host=setting(self.source, "host", settings.host),
                port=settings.port,
                dbname=setting(self.source, "database", settings.database),
                user=credential(self.source, self._secret, "user"),
                password=credential(self.source, self._secret, "password"),
                sslmode=settings.ssl_mode,
                connect_timeout=math.ceil(settings.connect_timeout.total_seconds()),
                keepalives_idle=_STILL_THERE_S,
                application_name="headwater",
                client_encoding="utf8",  # Redshift calls it UNICODE, which psycopg does not know
                prepare_threshold=None,  # Redshift has no DEALLOCATE ALL
                autocommit=True,
            )
        except psycopg.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: "Error") -> SourceError:
        """Why a login failed: libpq tells it by its text alone, `FATAL` being the server's own word."""
        text = scrubbed(error, self._secret)
        where = f"{self._settings.host}:{self._settings.port}"
        if "FATAL" not in text and not any(word in text for word in _DISTRUST):
            return SourceUnavailable(self.source, f"{where} did not answer: {text}")
        if any(word in text for word in _BUSY):
            return SourceUnavailable(self.source, f"{where} takes no login now: {text}")
        return SourceRejected(
            self.source,
            f"{where} refused the login: check user and password in {referred(self.source, self._secret)} and "
            f"data_sources.redshift.database ({text})",
            whole=True,
        )

    def _told(self, error: "Error") -> SourceError:
        """What an error of a query means to whoever runs us."""
        import psycopg

        state, text = error.sqlstate or "", scrubbed(error, self._secret)
        if state in _NOT_THERE_OR_NO_RIGHT:
            return SourceRejected(
                self.source,
                f"{self._place} does not exist, or {self._secret['user']} may not read it: check "
                f"data_sources.redshift.schema and the user's USAGE and SELECT rights ({text})",
            )
        if state[:2] in _PASSING or (not state and isinstance(error, psycopg.OperationalError)):
            return SourceUnavailable(self.source, f"Redshift broke off while reading {self._place}: {text}")
        return SourceRejected(self.source, f"Redshift refused the query on {self._place}: {text}")


def _declared(column: "DBColumn") -> pa.DataType:
    """A column's type by its number in PostgreSQL's catalogue; whatever else there is comes as text."""
    if column.type_code == _NUMERIC:
        return pa.decimal128(column.precision or _WIDEST, column.scale or (0 if column.precision else _ANY_SCALE))
    return _TYPES.get(column.type_code, pa.string())


def _natural(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _between(start: datetime | None, end: datetime) -> tuple[str, tuple[datetime, ...]]:
    """The rest of a query, and its bounds: the rows whose cursor `{c}` is in `[start, end)`; a null cursor never is."""
    until = end.astimezone(UTC).replace(tzinfo=None)
    if start is None:
        return "FROM {table} WHERE {c} < %s", (until,)
    return "FROM {table} WHERE {c} >= %s AND {c} < %s", (start.astimezone(UTC).replace(tzinfo=None), until)


def _as_told(cursor: "Cursor[Any]") -> None:
    """Take every value but booleans as the text that the server sent: exact, and whatever it holds."""
    from psycopg.types.string import TextLoader

    for kind in cursor.adapters.types:
        if kind.name != "bool":
            cursor.adapters.register_loader(kind.oid, TextLoader)


def _as_they_come(declared: Mapping[str, pa.DataType]) -> pa.Schema:
    """What the values of columns come as: text, but for booleans."""
    return pa.schema([(name, kind if pa.types.is_boolean(kind) else pa.string()) for name, kind in declared.items()])


def _in_batches(types: pa.Schema, rows: Iterable[Sequence[Any]]) -> Iterator[pa.RecordBatch]:
    remaining = iter(rows)
    while pieces := list(islice(_pieces(types, remaining), _BATCH_ROWS // _FETCH_ROWS)):
        yield pa.concat_batches(pieces)


def _pieces(types: pa.Schema, rows: Iterator[Sequence[Any]]) -> Iterator[pa.RecordBatch]:
    """A few rows at a time, in one list: a column is every n-th value of it."""
    width = len(types)
    while values := list(chain.from_iterable(islice(rows, _FETCH_ROWS))):
        columns = [pa.array(values[place::width], field.type) for place, field in enumerate(types)]
        yield pa.RecordBatch.from_arrays(columns, schema=types)
