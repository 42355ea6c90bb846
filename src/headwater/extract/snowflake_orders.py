"""Orders, customers and products from Snowflake, as Arrow chunks."""

import logging
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headwater.config import SnowflakeSettings
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
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

TABLES = {"snowflake_orders": "ORDERS", "snowflake_customers": "CUSTOMERS", "snowflake_products": "PRODUCTS"}
"""What each Bronze table is called in Snowflake."""

_BATCH_ROWS = 50_000
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")

# The client's Arrow code takes its first steps under a C++ lock that calls Python: two threads that take them at once
# wait for each other for ever, one with that lock and one with the interpreter's.
_FIRST_STEPS = threading.Lock()
_STEPS_TAKEN = threading.Event()
_FIRST_ANSWER = "SELECT 1, 1.5, CURRENT_TIMESTAMP()"

_NO_WAREHOUSE = 606
_NOT_THERE_OR_NO_RIGHT = frozenset({2003, 2043, 3001, 2140})
_NO_SUCH_ACCOUNT = frozenset({290403, 290404})
_SESSION_LOST = frozenset({390104, 390110, 390111, 390112, 390114, 390115})


class SnowflakeExtractor(Extractor):
    """Row versions of one Snowflake table, one time window per partition.

    Windows are independent: when the third of five fails, the first two stay landed and the next run begins at the
    third. TIMESTAMP_NTZ columns are taken as UTC, the others as the instant they name.
    """

    source = "snowflake"
    places = TABLES

    def __init__(self, settings: SnowflakeSettings, secret: Mapping[str, str], contract: Contract) -> None:
        """`secret` has `user` and `password`."""
        self._settings = settings
        self._secret = secret
        database = setting(self.source, "database", settings.database)
        schema = setting(self.source, "schema", settings.schema)
        parts = (database, schema, self.place_of(contract))
        self._rows = f"FROM {'.'.join(_quoted(part) for part in parts)}"
        self._place = ".".join(parts)
        self._cursor_column = contract.cursor or ""
        self._shape = BronzeShape(self.source, self._place, contract, self.drift)
        self._free: list[SnowflakeConnection] = []
        """Logins that nobody uses now; two windows that are read at once have one each."""

    def check(self) -> str:
        with self._cursor() as cursor:
            found = self._columns(cursor)
            self._answered(lambda: cursor.execute(f"SELECT 1 {self._rows} LIMIT 1"))
        who = self._secret["user"] + (f" with role {self._settings.role}" if self._settings.role else "")
        return f"logged in as {who}; {self._place} can be read and has {len(found)} columns"

    def clock(self) -> datetime:
        with self._cursor() as cursor:
            (now,) = self._one(cursor, "SELECT CURRENT_TIMESTAMP()")
        return utc(now)

    def without_cursor(self) -> int:
        with self._cursor() as cursor:
            column = _name(self._columns(cursor)[self._cursor_column])
            (rows,) = self._one(cursor, f"SELECT COUNT(*) {self._rows} WHERE {column} IS NULL")
        return int(rows)

    def partitions(self, since: Position, until: datetime) -> list[Partition]:
        """Cut what is due into windows of about `rows_per_window`; none where Snowflake counts no row."""
        if since.watermark is not None and since.watermark >= until:
            return []
        with self._cursor() as cursor:
            column = _name(self._columns(cursor)[self._cursor_column])
            where, bounds = _between(column, since.watermark, until)
            counted = f"SELECT COUNT(*), MIN({column}), MAX({column}) {self._rows} WHERE {where}"
            span = CursorSpan.told(
                self.source, f"{self._place}.{self._cursor_column}", self._one(cursor, counted, bounds)
            )
        return windows(since.watermark, until, span, self.rows_per_window)

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        """Yield the window's rows, typed as the Bronze contract; memory holds the chunks that the client prefetches.

        Raises:
            SourceUnavailable: Snowflake did not answer, or lost the session. The run retries the window.
            SourceRejected: Snowflake refused the login or the query, or lacks a required column.
        """
        if not isinstance(partition, TimeWindow):
            raise TypeError(f"a time window was expected, not {partition}")
        with self._cursor() as cursor:
            found = self._columns(cursor)
            chosen = ", ".join(f"{_name(there)} AS {_name(here)}" for here, there in found.items())
            where, bounds = _between(_name(found[self._cursor_column]), partition.start, partition.end)
            self._answered(lambda: cursor.execute(f"SELECT {chosen} {self._rows} WHERE {where}", bounds))
            tables, rows = cursor.fetch_arrow_batches(force_microsecond_precision=True), 0
            while (table := self._answered(lambda: next(tables, None))) is not None:
                rows += table.num_rows
                declared = dict(zip(table.schema.names, table.schema.types, strict=True))
                for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
                    yield self._shape.cast(batch, reject, declared=declared)
            if rows != cursor.rowcount:
                raise SourceUnavailable(
                    self.source, f"{rows} of {cursor.rowcount} rows came while reading {self._place}", whole=False
                )

    def again(self, rejects: pa.Table, reject: Reject) -> Iterator[pa.RecordBatch]:
        return from_records(self._shape, rejects, reject)

    def sample(self, rows: int) -> pa.Table:
        """The columns as Snowflake types them, their names in small letters."""
        with self._cursor() as cursor:
            names = [column.name.lower() for column in cursor.describe(f"SELECT * {self._rows}") or []]
            cursor.execute(f"SELECT * {self._rows} LIMIT {int(rows)}")
            tables = list(cursor.fetch_arrow_batches(force_microsecond_precision=True))
        if not tables:
            return pa.table({name: pa.nulls(0) for name in names})
        return pa.concat_tables(tables, promote_options="permissive").rename_columns(names)

    def _columns(self, cursor: "SnowflakeCursor") -> dict[str, str]:
        described = self._answered(lambda: cursor.describe(f"SELECT * {self._rows}")) or []
        return self._shape.columns(column.name for column in described)

    def _one(self, cursor: "SnowflakeCursor", query: str, bounds: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        row = self._answered(lambda: cursor.execute(query, bounds).fetchone())  # type: ignore[union-attr]
        if not isinstance(row, tuple):
            raise SourceUnavailable(self.source, f"no row came back for: {query}")
        return row

    @contextmanager
    def _cursor(self) -> Iterator["SnowflakeCursor"]:
        """Log in, unless a login of before is free; after an error it is not used again. Their errors become ours."""
        from snowflake.connector import errors
        from snowflake.connector.vendored.requests.exceptions import RequestException

        try:
            connection = self._free.pop()  # to look before would be a race of two windows for the last one
        except IndexError:
            connection = self._log_in()
        unhurt = False
        try:
            self._answered(lambda: _take_first_steps(connection))
            yield connection.cursor()
            unhurt = True
        except errors.Error as error:
            raise self._told(error) from error
        except RequestException as error:
            raise SourceUnavailable(self.source, self._unanswered(error)) from error
        finally:
            if unhurt:
                self._free.append(connection)
            else:
                self._log_out(connection)

    def close(self) -> None:
        with suppress(IndexError):
            while True:
                self._log_out(self._free.pop())

    def _log_in(self) -> "SnowflakeConnection":
        from snowflake.connector import errors

        try:
            return self._answered(self._connect)
        except errors.Error as error:
            raise self._refused(error) from error

    def _log_out(self, connection: "SnowflakeConnection") -> None:
        with suppress(SourceUnavailable):
            self._answered(connection.close)

    def _answered(self, ask: Callable[[], Answer]) -> Answer:
        """Ask in a thread of its own, and go on without it where no answer comes in time.

        The client minds the time between two bytes, not whether an answer ever ends, and nobody else can end its wait.
        """
        answer: Future[Answer] = Future()

        def work() -> None:
            try:
                answer.set_result(ask())
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
                answer.set_exception(error)

        threading.Thread(target=work, name="snowflake", daemon=True).start()
        silence_s = self._settings.answer_timeout.total_seconds()
        if not wait([answer], silence_s).done:
            raise SourceUnavailable(self.source, self._unanswered(f"nothing within {silence_s:.0f} s"))
        return answer.result()

    def _connect(self) -> "SnowflakeConnection":
        import snowflake.connector

        logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)  # every error is raised as well
        settings = self._settings
        places = {"host": settings.host, "port": settings.port, "role": settings.role, "warehouse": settings.warehouse}
        connection = snowflake.connector.connect(
            account=settings.account or setting(self.source, "account", settings.host),
            user=credential(self.source, self._secret, "user"),
            password=credential(self.source, self._secret, "password"),
            protocol=settings.protocol,
            database=settings.database,
            schema=settings.schema,
            **{key: value for key, value in places.items() if value is not None},
            application="Headwater",
            paramstyle="qmark",
            arrow_number_to_decimal=True,  # else NUMBER(10,2) arrives as double
            login_timeout=math.ceil(settings.connect_timeout.total_seconds()),
            network_timeout=math.ceil(settings.answer_timeout.total_seconds()),
            session_parameters={"TIMEZONE": "UTC", "CLIENT_TELEMETRY_ENABLED": False},
            log_imported_packages_in_telemetry=False,
            platform_detection_timeout_seconds=0,  # else it asks the cloud's metadata services where it runs
        )
        connection.telemetry_enabled = False
        return connection

    def _refused(self, error: Any) -> SourceError:
        """Why a login failed; 250001 is the connector's number for both silence and a refusal, told apart by class."""
        from snowflake.connector import errors

        number, text = error.errno or 0, scrubbed(error.msg or error, self._secret)
        if 390_000 <= number < 391_000:
            return SourceRejected(
                self.source,
                f"Snowflake refused the login: check user and password in {referred(self.source, self._secret)} and "
                f"data_sources.snowflake.role ({text})",
                whole=True,
            )
        if number in _NO_SUCH_ACCOUNT or isinstance(error, errors.ForbiddenError):
            return SourceRejected(
                self.source,
                f"there is no such account: check data_sources.snowflake.account and host ({text})",
                whole=True,
            )
        return SourceUnavailable(self.source, self._unanswered(text))

    def _told(self, error: Any) -> SourceError:
        """What an error after the login means to whoever runs us."""
        from snowflake.connector import errors

        number, text = error.errno or 0, scrubbed(error.msg or error, self._secret)
        if number in _NOT_THERE_OR_NO_RIGHT:
            return SourceRejected(
                self.source,
                f"{self._place} does not exist, or the role may not read it: check database, schema and role in "
                f"data_sources.snowflake and the role's SELECT right ({text})",
            )
        if number == _NO_WAREHOUSE:
            return SourceRejected(
                self.source, f"no warehouse is running for the query: check data_sources.snowflake.warehouse ({text})"
            )
        refused = isinstance(error, errors.ProgrammingError | errors.DataError | errors.NotSupportedError)
        if refused and number not in _SESSION_LOST:
            return SourceRejected(self.source, f"Snowflake refused the query on {self._place}: {text}")
        return SourceUnavailable(self.source, self._unanswered(text))

    def _unanswered(self, error: object) -> str:
        where = self._settings.host or self._settings.account
        return f"{where} did not answer while reading {self._place}: {scrubbed(error, self._secret)}"


def _take_first_steps(connection: "SnowflakeConnection") -> None:
    """Have the client read an answer as rows and as Arrow, once in this process, while no other thread does."""
    with _FIRST_STEPS:
        if _STEPS_TAKEN.is_set():
            return
        with connection.cursor() as cursor:
            cursor.execute(_FIRST_ANSWER)
            for batch in cursor.get_result_batches() or []:
                next(iter(batch))
                batch.to_arrow()
        _STEPS_TAKEN.set()


def _between(column: str, start: datetime | None, end: datetime) -> tuple[str, tuple[Any, ...]]:
    """A condition with its bounds; a null cursor is never between."""
    bound_end = ("TIMESTAMP_NTZ", end.astimezone(UTC).replace(tzinfo=None))
    if start is None:
        return f"{column} < ?", (bound_end,)
    return f"{column} >= ? AND {column} < ?", (("TIMESTAMP_NTZ", start.astimezone(UTC).replace(tzinfo=None)), bound_end)


def _quoted(name: str) -> str:
    """A name as Snowflake keeps it: upper case, unless it could only be written in quotes."""
    return _name(name.upper() if _PLAIN.fullmatch(name) else name)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
