"""Snowflake's stand-in, asked by Snowflake's own connector."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import snowflake.connector
from snowflake.connector.errors import DatabaseError, ProgrammingError
from tests.versions import DAY, INSTANT, T0, US, Version, standing, write_versions

from headwater.sandbox.snowflake import SnowflakeStandIn
from headwater.sandbox.stand_in import Connection

pytestmark = pytest.mark.slow

ORDERS = (
    ("ORDER_ID", pa.string()),
    ("QUANTITY", pa.int64()),
    ("AMOUNT", pa.decimal128(10, 2)),
    ("ORDER_DATE", INSTANT),
    ("LAST_MODIFIED_TS", INSTANT),
)
MANY = 60_000


def naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def order(
    name: str, quantity: int | None, amount: str, modified: datetime, late: timedelta = timedelta(0), **gone: datetime
) -> Version:
    row = (name, quantity, Decimal(amount), None if quantity is None else modified, modified)
    return Version(row, modified + late, gone.get("deleted_at"))


HISTORY = [
    order("O1", 1, "10.00", T0 - DAY),
    order("O2", 2, "-0.01", T0 - DAY, deleted_at=T0 + DAY),
    order("O3", None, "99999999.99", T0 - 2 * DAY),
    order("O1", 3, "12.50", T0 + DAY / 2),
    order("O4", 4, "4.00", T0 + DAY / 3, late=DAY),  # committed late: seen a day after its change
    order("O5", 5, "5.00", T0),  # seen exactly at the clock
    order("O6", 6, "6.00", T0 + US),  # ... and a moment after it
    order("O5", 6, "5.50", T0 + DAY, deleted_at=T0 + DAY + 3 * US),  # appears and goes within one advance
    order("O2", 7, "7.00", T0 + 2 * DAY),  # comes back
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_versions(folder / "snowflake" / "ORDERS.parquet", ORDERS, HISTORY)
    products = [Version((f"P{number:06}", T0 - number * US), T0 - DAY) for number in range(MANY)]
    columns = (("PRODUCT_ID", pa.string()), ("LAST_MODIFIED_TS", INSTANT))
    write_versions(folder / "snowflake" / "PRODUCTS.parquet", columns, products)
    return folder


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[SnowflakeStandIn]:
    snowflake_here = SnowflakeStandIn(tmp_path / "snowflake", None)
    yield snowflake_here
    snowflake_here.stop()


Asked = Callable[..., list[tuple[Any, ...]]]


def client(connection: Connection, **changes: Any) -> snowflake.connector.SnowflakeConnection:
    """Snowflake's own client with the settings and the secret that the stand-in gave."""
    quiet = {"session_parameters": {"CLIENT_TELEMETRY_ENABLED": False}, "platform_detection_timeout_seconds": 0}
    return snowflake.connector.connect(**{**connection.settings, **connection.secret, **quiet, **changes})


def asked(connection: Connection, query: str, *parameters: Any, **changes: Any) -> list[tuple[Any, ...]]:
    with client(connection, **changes) as session:
        return list(session.cursor().execute(query, parameters or None))


def orders(connection: Connection) -> list[tuple[Any, ...]]:
    """The rows in the columns that the file has; those that it lacks are null."""
    return sorted(asked(connection, f"SELECT {', '.join(name for name, _ in ORDERS)} FROM ORDERS"), key=repr)


def as_snowflake_tells(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same rows with timestamps as TIMESTAMP_NTZ: in UTC, without a zone."""
    plain = [tuple(naive(value) if isinstance(value, datetime) else value for value in row) for row in rows]
    return sorted(plain, key=repr)


def test_its_tables_show_what_the_dataset_shows_at_the_clock(stand_in, dataset):
    connection = stand_in.start(dataset, T0)

    assert orders(connection) == as_snowflake_tells(standing(HISTORY, T0))
    assert asked(connection, "SELECT CURRENT_TIMESTAMP(), SYSDATE()") == [(T0, naive(T0))]
    for until in (T0 + DAY + US, T0 + 3 * DAY):
        stand_in.advance(asked(connection, "SELECT CURRENT_TIMESTAMP()")[0][0], until)
        assert orders(connection) == as_snowflake_tells(standing(HISTORY, until))
        assert asked(connection, "SELECT CURRENT_TIMESTAMP(), SYSDATE()") == [(until, naive(until))]
    assert [row[0] for row in orders(connection)] == ["O1", "O2", "O3", "O4", "O6"]


def test_it_starts_anew_at_any_clock_on_the_same_port_with_the_same_password(stand_in, dataset, tmp_path):
    first = stand_in.start(dataset, T0)
    asked(first, "DELETE FROM ORDERS")
    stand_in.stop()

    again = SnowflakeStandIn(tmp_path / "snowflake", first.settings["port"])
    try:
        second = again.start(dataset, T0 + 3 * DAY)
        assert second == first
        assert orders(second) == as_snowflake_tells(standing(HISTORY, T0 + 3 * DAY))
    finally:
        again.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", second.settings["port"]))


@pytest.fixture(scope="module")
def source(dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    snowflake_here = SnowflakeStandIn(tmp_path_factory.mktemp("stand-in"), None)
    try:
        yield snowflake_here.start(dataset, T0)
    finally:
        snowflake_here.stop()


@pytest.mark.parametrize("wrong", [{"password": "guessed"}, {"user": "SOMEBODY"}])
def test_a_wrong_login_is_refused_as_snowflake_refuses_it(source, wrong):
    with pytest.raises(DatabaseError, match="Incorrect username or password was specified") as refused:
        client(source, **wrong)
    assert refused.value.errno == 390100


def test_a_large_result_comes_in_several_chunks(source):
    with client(source) as session:
        cursor = session.cursor().execute("SELECT * FROM PRODUCTS")
        chunks = list(cursor.fetch_arrow_batches())

        assert len(chunks) > 2
        assert max(chunk.num_rows for chunk in chunks) <= MANY / 2
        assert len({each for chunk in chunks for each in chunk["PRODUCT_ID"].to_pylist()}) == MANY


def test_a_chunk_can_be_fetched_by_another_session(source):
    with client(source) as session:
        batches = session.cursor().execute("SELECT * FROM PRODUCTS").get_result_batches()
    with client(source) as another:
        assert sum(batch.to_arrow(connection=another).num_rows for batch in batches) == MANY


@pytest.mark.parametrize(("paramstyle", "mark"), [("pyformat", "%s"), ("qmark", "?")])
@pytest.mark.parametrize("zone", [UTC, None])
def test_a_bound_timestamp_is_compared_to_the_microsecond(source, paramstyle, mark, zone):
    edge = (T0 - 5 * US).replace(tzinfo=zone)

    found = asked(
        source,
        f"SELECT COUNT(*), MIN(LAST_MODIFIED_TS) FROM PRODUCTS WHERE LAST_MODIFIED_TS >= {mark}",
        edge,
        paramstyle=paramstyle,
    )

    assert found == [(6, naive(T0 - 5 * US))]


def test_the_columns_have_snowflakes_types(source):
    described = {row[0]: row[1] for row in asked(source, "DESCRIBE TABLE ORDERS")}

    assert described["QUANTITY"] == "NUMBER(38,0)"
    assert described["AMOUNT"] == "NUMBER(20,4)"
    assert described["ORDER_DATE"].startswith("TIMESTAMP_NTZ")
    with client(source) as session:
        cursor = session.cursor().execute("SELECT * FROM ORDERS LIMIT 0")
        assert [each.name for each in cursor.description][: len(ORDERS)] == [name for name, _ in ORDERS]
        assert list(cursor.fetch_arrow_batches()) == []


def test_a_null_timestamp_is_null_in_rows_and_in_arrow(source):
    query = "SELECT ORDER_DATE FROM ORDERS WHERE ORDER_ID = 'O3'"

    assert asked(source, query) == [(None,)]
    with client(source) as session:
        (batch,) = session.cursor().execute(query).fetch_arrow_batches()
        assert batch["ORDER_DATE"].to_pylist() == [None]


def test_the_time_is_the_sandboxs_wherever_a_statement_asks_for_it(source):
    query = "SELECT COUNT(*) FROM ORDERS WHERE LAST_MODIFIED_TS >= DATEADD(day, -1, SYSDATE()) AND CURRENT_DATE = '2024-11-01'"

    assert asked(source, query) == [(3,)]
    assert asked(source, "SELECT 'not CURRENT_TIMESTAMP()'") == [("not CURRENT_TIMESTAMP()",)]


def test_what_is_not_there_is_refused_as_snowflake_refuses_it(source):
    for query, code in (("SELECT * FROM NOWHERE", 2003), ("SELECT NOTHING FROM ORDERS", 2043), ("SELEC", 1003)):
        with pytest.raises(ProgrammingError) as refused:
            asked(source, query)
        assert refused.value.errno == code
    with pytest.raises(ProgrammingError, match="does not have a current database"):
        asked(source, "SELECT * FROM ORDERS", database="ELSEWHERE")
