"""Customer behaviour from Redshift, streamed over PostgreSQL's protocol.

The client is psycopg. Neither of the columnar ones suits a real cluster: ADBC's PostgreSQL driver dropped Redshift in
1.12, and connectorx logs in seven times in 30 seconds with a wrong password, and panics where a stream breaks. Only
plain queries are sent, for Redshift has no binary COPY; values come as text and are cast a column at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headwater.config import RedshiftSettings
from headwater.contracts import Contract
from headwater.errors import SourceError, SourceRejected, SourceUnavailable
from headwater.extract.base_extractor import (
    CursorSpan,
    Extractor,
    Partition,
    Position,
    Reject,
    TimeWindow,
    credential,
    scrubbed,
    setting,
    utc,
    windows,
)
from headwater.extract.conform import BronzeShape

if TYPE_CHECKING:
    from psycopg import Connection, Error
    from psycopg.sql import Composed

TABLES = {"redshift_behavior": "customer_behavior"}
"""What each Bronze table is called in Redshift."""

_CONNECT_TIMEOUT_S = 10
_FETCH_ROWS = 5_000
_BATCH_ROWS = 20_000

_NOT_THERE_OR_NO_RIGHT = frozenset({"42P01", "42501", "3F000"})
_PASSING = frozenset({"08", "40", "53", "55", "57", "58", "XX"})
"""Classes of SQLSTATE that say something about the moment and not about the query."""

_BUSY = ("too many", "remaining connection slots", "starting up", "shutting down", "recovery mode", "limit exceeded")


class RedshiftExtractor(Extractor):
    """Row versions of one Redshift table, one time window per partition, each a single streamed query.

    `timestamp` columns are taken as UTC, `timestamptz` as the instant they name.
    """

    source = "redshift"

    def __init__(self, settings: RedshiftSettings, secret: Mapping[str, str], contract: Contract) -> None:
        """`secret` has `user` and `password`."""
        self._settings = settings
        self._secret = secret
        self._schema = setting(self.source, "schema", settings.schema)
        self._table = TABLES[contract.name]
        self._place = f"{self._schema}.{self._table}"
        self._cursor_column = contract.cursor or ""
        self._shape = BronzeShape(self.source, self._place, contract)

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
        """Cut what is due into windows of about a million rows; none where Redshift counts no row."""
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
            found = self._columns(connection)
            rows_of, bounds = _between(partition.start, partition.end)
            chosen = self._query(f"SELECT {{names}} {rows_of}", found[self._cursor_column], list(found.values()))
            _as_told(connection)
            with connection.cursor() as cursor:
                for rows in _in_batches(cursor.stream(chosen, bounds, size=_FETCH_ROWS)):
                    yield self._shape.cast(_batch(list(found), rows), reject)

    def _columns(self, connection: "Connection[Any]") -> dict[str, str]:
        described = connection.execute(self._query("SELECT * FROM {table} LIMIT 0")).description or []
        return self._shape.columns(column.name for column in described)

    def _query(self, text: str, c: str = "", names: Sequence[str] = ()) -> "Composed":
        """A statement with its names quoted; values are always bound."""
        from psycopg import sql

        return sql.SQL(text).format(
            table=sql.Identifier(self._schema, self._table),
            c=sql.Identifier(c),
            names=sql.SQL(", ").join(map(sql.Identifier, names)),
        )

    def _one(self, connection: "Connection[Any]", query: "Composed", bounds: Sequence[Any] = ()) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = connection.execute(query, bounds).fetchone()
        if row is None:
            raise SourceUnavailable(self.source, f"no row came back while reading {self._place}")
        return row

    @contextmanager
    def _connection(self) -> Iterator["Connection[Any]"]:
        """Log in, and log out at the end; Redshift's errors become ours."""
        import psycopg

        settings = self._settings
        try:
            connection = psycopg.connect(
                host=setting(self.source, "host", settings.host),
                port=settings.port,
                dbname=setting(self.source, "database", settings.database),
                user=credential(self.source, self._secret, "user"),
                password=credential(self.source, self._secret, "password"),
                sslmode=settings.ssl_mode,
                connect_timeout=_CONNECT_TIMEOUT_S,
                application_name="headwater",
                client_encoding="utf8",  # Redshift calls it UNICODE, which psycopg does not know
                prepare_threshold=None,  # Redshift has no DEALLOCATE ALL
                autocommit=True,
            )
        except psycopg.Error as error:
            raise self._refused(error) from error
        try:
            with connection:
                yield connection
        except psycopg.Error as error:
            raise self._told(error) from error

    def _refused(self, error: "Error") -> SourceError:
        """Why a login failed: libpq tells it by its text alone, `FATAL` being the server's own word."""
        text = scrubbed(error, self._secret)
        where = f"{self._settings.host}:{self._settings.port}"
        if "FATAL" not in text and "SSL" not in text:
            return SourceUnavailable(self.source, f"{where} did not answer: {text}")
        if any(word in text for word in _BUSY):
            return SourceUnavailable(self.source, f"{where} takes no login now: {text}")
        return SourceRejected(
            self.source,
            f"{where} refused the login: check user and password in secrets.redshift and data_sources.redshift.database "
            f"({text})",
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


def _between(start: datetime | None, end: datetime) -> tuple[str, tuple[datetime, ...]]:
    """The rest of a query, and its bounds: the rows whose cursor `{c}` is in `[start, end)`; a null cursor never is."""
    until = end.astimezone(UTC).replace(tzinfo=None)
    if start is None:
        return "FROM {table} WHERE {c} < %s", (until,)
    return "FROM {table} WHERE {c} >= %s AND {c} < %s", (start.astimezone(UTC).replace(tzinfo=None), until)


def _as_told(connection: "Connection[Any]") -> None:
    """Take every value but booleans as the text that the server sent: exact, and whatever it holds."""
    from psycopg.types.string import TextLoader

    for kind in connection.adapters.types:
        if kind.name != "bool":
            connection.adapters.register_loader(kind.oid, TextLoader)


def _in_batches(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH_ROWS)):
        yield batch


def _batch(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=list(names))
