"""SnowflakeExtractor over its live stand-in, read with Snowflake's own connector."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import snowflake.connector

from headwater.config import SnowflakeSettings
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract import SnowflakeExtractor
from headwater.extract.base_extractor import Position, TimeWindow
from headwater.sandbox.snowflake import SnowflakeStandIn

pytestmark = pytest.mark.slow

T0 = datetime(2024, 11, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
END = T0 + timedelta(days=1)
NOON = T0 + timedelta(hours=12)
ORDERS = 40_000
INSTANT = pa.timestamp("us", "UTC")


def write_table(folder: Path, name: str, columns: dict[str, pa.Array]) -> None:
    rows = len(next(iter(columns.values())))
    columns |= {"_visible_at": pa.array([T0] * rows, INSTANT), "_deleted_at": pa.nulls(rows, INSTANT)}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def write_dataset(folder: Path) -> Path:
    """Orders a second and a microsecond apart, more than the stand-in sends at once; one product; no customer."""
    numbers = range(ORDERS)
    moments = [T0 + timedelta(seconds=2 * number, microseconds=number) for number in range(ORDERS - 3)]
    moments += [NOON - US, NOON, NOON + US]
    texts = {"CUSTOMER_ID": "C1", "PRODUCT_ID": "P1", "CURRENCY": "EUR", "STATUS": "PAID"}
    write_table(
        folder / "snowflake",
        "ORDERS",
        {
            "ORDER_ID": pa.array([f"O{number}" for number in numbers]),
            "CUSTOMER_ID": pa.array([None if number % 7 == 0 else "C1" for number in numbers]),
            "ORDER_DATE": pa.array([None if number % 5 == 0 else T0 + number * US for number in numbers], INSTANT),
            "PRODUCT_ID": pa.array([texts["PRODUCT_ID"]] * ORDERS),
            "QUANTITY": pa.array([None if number % 3 == 0 else number for number in numbers], pa.int64()),
            "AMOUNT": pa.array([Decimal(number).scaleb(-2) for number in numbers], pa.decimal128(10, 2)),
            "CURRENCY": pa.array([texts["CURRENCY"]] * ORDERS),
            "STATUS": pa.array([texts["STATUS"]] * ORDERS),
            "LAST_MODIFIED_TS": pa.array(moments, INSTANT),
        },
    )
    customer = ("CUSTOMER_ID", "FIRST_NAME", "LAST_NAME", "EMAIL", "PHONE", "ADDRESS", "CITY", "COUNTRY", "SEGMENT")
    write_table(
        folder / "snowflake",
        "CUSTOMERS",
        {name: pa.array([], pa.string()) for name in customer}
        | {name: pa.array([], INSTANT) for name in ("CREATED_TS", "LAST_MODIFIED_TS")},
    )
    write_table(
        folder / "snowflake",
        "PRODUCTS",
        {name: pa.array(["P1"]) for name in ("PRODUCT_ID", "NAME", "CATEGORY", "BRAND")}
        | {
            "LIST_PRICE": pa.array([Decimal("99999999.99")], pa.decimal128(10, 2)),
            "CURRENCY": pa.array(["EUR"]),
            "ACTIVE": pa.array([True]),
            "LAST_MODIFIED_TS": pa.array([T0], INSTANT),
        },
    )
    return folder


@dataclass
class Snowflake:
    """A running stand-in: how Headwater reaches it, and how a person changes its tables."""

    settings: SnowflakeSettings
    secret: dict[str, str]

    def sql(self, *statements: str) -> None:
        with snowflake.connector.connect(
            user=self.secret["user"],
            password=self.secret["password"],
            account=self.settings.account,
            host=self.settings.host,
            port=self.settings.port,
            protocol="http",
            database=self.settings.database,
            schema=self.settings.schema,
            platform_detection_timeout_seconds=0,
            session_parameters={"CLIENT_TELEMETRY_ENABLED": False},
        ) as connection:
            for statement in statements:
                connection.cursor().execute(statement)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snowflake]:
    folder = tmp_path_factory.mktemp("snowflake")
    stand_in = SnowflakeStandIn(folder / "stand-in", None)
    try:
        connection = stand_in.start(write_dataset(folder / "dataset"), END)
        yield Snowflake(SnowflakeSettings(enabled=True, **connection.settings), connection.secret)
    finally:
        stand_in.stop()


@pytest.fixture
def orders(source, contracts) -> SnowflakeExtractor:
    return SnowflakeExtractor(source.settings, source.secret, contracts["snowflake_orders"])


@pytest.fixture
def products(source, contracts) -> SnowflakeExtractor:
    return SnowflakeExtractor(source.settings, source.secret, contracts["snowflake_products"])


def read(extractor: SnowflakeExtractor, *windows: TimeWindow) -> list[dict]:
    rows: list[dict] = []
    for window in windows:
        for batch in extractor.read(window, pytest.fail):
            rows += batch.to_pylist()
    return rows


def test_check_says_as_whom_and_what_was_found(orders):
    assert orders.check() == "logged in as ETL_USER; ETL_PROJECT_DB.RAW.ORDERS can be read and has 9 columns"


def test_the_clock_is_the_sources_own(orders):
    assert orders.clock() == END


def test_a_first_load_is_one_window_and_reads_each_row_once_in_bounded_batches(orders, contracts):
    windows = orders.partitions(Position(), END)
    assert windows == [TimeWindow(None, END)]

    batches = list(orders.read(windows[0], pytest.fail))

    assert len(batches) > 1
    assert all(batch.schema == contracts["snowflake_orders"].arrow_schema for batch in batches)
    rows = {row["order_id"]: row for batch in batches for row in batch.to_pylist()}
    assert sum(batch.num_rows for batch in batches) == len(rows) == ORDERS
    assert rows["O1234"]["amount"] == Decimal("12.3400")
    assert rows["O1234"]["order_date"] == T0 + 1234 * US
    assert rows["O1234"]["last_modified_ts"] == T0 + timedelta(seconds=2468, microseconds=1234)
    assert (rows["O1235"]["order_date"], rows["O1235"]["quantity"]) == (None, 1235)
    assert (rows["O21"]["customer_id"], rows["O21"]["quantity"]) == (None, None)


def test_however_a_load_is_cut_each_row_is_read_once(orders):
    orders.rows_per_window = 7_001

    windows = orders.partitions(Position(), END)
    rows = read(orders, *windows)

    assert len(windows) == 6
    assert len({row["order_id"] for row in rows}) == len(rows) == ORDERS


def test_a_window_begins_with_its_start_and_ends_before_its_end_to_the_microsecond(orders):
    until_noon = read(orders, TimeWindow(NOON - US, NOON))
    at_noon = read(orders, TimeWindow(NOON, NOON + US))

    assert [row["order_id"] for row in until_noon] == [f"O{ORDERS - 3}"]
    assert [row["order_id"] for row in at_noon] == [f"O{ORDERS - 2}"]


def test_a_later_span_is_one_window_and_an_empty_one_none(orders):
    assert orders.partitions(Position(watermark=NOON), END) == [TimeWindow(NOON, END)]
    assert orders.partitions(Position(watermark=END), END) == []
    assert orders.partitions(Position(watermark=END), END + timedelta(days=1)) == []


def test_an_empty_table_gives_no_window_and_no_row(source, contracts):
    customers = SnowflakeExtractor(source.settings, source.secret, contracts["snowflake_customers"])

    assert customers.partitions(Position(), END) == []
    assert read(customers, TimeWindow(None, END)) == []


def test_a_price_is_widened_exactly(products):
    (row,) = read(products, *products.partitions(Position(), END))

    assert row["list_price"] == Decimal("99999999.9900")
    assert row["active"] is True


@pytest.fixture
def changed(source) -> Iterator[Snowflake]:
    """PRODUCTS may be changed; it is put back afterwards."""
    source.sql("CREATE TABLE KEPT AS SELECT * FROM PRODUCTS")
    try:
        yield source
    finally:
        source.sql("DROP TABLE IF EXISTS PRODUCTS", "CREATE TABLE PRODUCTS AS SELECT * FROM KEPT", "DROP TABLE KEPT")


def test_a_row_without_cursor_is_not_claimed(changed, products):
    changed.sql("INSERT INTO PRODUCTS (PRODUCT_ID) VALUES ('P2')")

    assert [row["product_id"] for row in read(products, TimeWindow(None, END))] == ["P1"]


def test_a_required_column_dropped_at_the_source_is_named(changed, products):
    changed.sql("ALTER TABLE PRODUCTS DROP COLUMN PRODUCT_ID")

    expected = r"^snowflake: ETL_PROJECT_DB\.RAW\.PRODUCTS has no column product_id, which config/contracts/bronze/"
    with pytest.raises(SourceRejected, match=expected):
        products.partitions(Position(), END)
    with pytest.raises(SourceRejected, match=expected):
        read(products, TimeWindow(None, END))


def test_a_dropped_optional_column_is_null_and_new_ones_come_in_their_types(changed, products, caplog):
    changed.sql(
        "ALTER TABLE PRODUCTS DROP COLUMN BRAND",
        "ALTER TABLE PRODUCTS ADD COLUMN SHELF VARCHAR",
        "ALTER TABLE PRODUCTS ADD COLUMN PACKS NUMBER(38,0)",
        "ALTER TABLE PRODUCTS ADD COLUMN WEIGHT NUMBER(10,3)",
        "ALTER TABLE PRODUCTS ADD COLUMN SEEN_AT TIMESTAMP_NTZ",
        "UPDATE PRODUCTS SET SHELF = 'A1', PACKS = 12, WEIGHT = 1.125, SEEN_AT = '2024-11-01 00:00:00'",
    )

    [batch] = products.read(*products.partitions(Position(), END), pytest.fail)

    [row] = batch.to_pylist()
    assert row["brand"] is None
    assert (row["shelf"], row["packs"], row["weight"]) == ("A1", 12, Decimal("1.1250000000"))
    assert row["seen_at"] == T0
    assert [batch.schema.field(name).type for name in ("packs", "weight", "seen_at")] == [
        pa.int64(),
        pa.decimal128(38, 10),
        pa.timestamp("us", "UTC"),
    ]
    assert set(products.drift.missing()) == {"brand"}
    assert "has no column brand" in caplog.text
    assert "merged in: PACKS, SEEN_AT, SHELF, WEIGHT" in caplog.text


def test_a_price_of_another_type_stays_in_its_column_where_it_fits_and_else_beside_it(changed, products):
    changed.sql(
        "DROP TABLE PRODUCTS",
        "CREATE TABLE PRODUCTS AS SELECT * REPLACE (CAST(LIST_PRICE AS VARCHAR) AS LIST_PRICE) FROM KEPT",
        "INSERT INTO PRODUCTS SELECT * REPLACE ('P2' AS PRODUCT_ID, 'on request' AS LIST_PRICE) FROM PRODUCTS",
    )

    rows = read(products, TimeWindow(None, END))

    assert sorted((row["product_id"], row["list_price"], row["list_price__string"]) for row in rows) == [
        ("P1", Decimal("99999999.9900"), None),
        ("P2", None, "on request"),
    ]


def test_a_price_with_more_digits_than_bronze_has_stands_beside_it_and_is_not_rounded(changed, products):
    changed.sql(
        "DROP TABLE PRODUCTS",
        "CREATE TABLE PRODUCTS AS SELECT * REPLACE (CAST('1.23456' AS NUMBER(20,5)) AS LIST_PRICE) FROM KEPT",
    )

    [row] = read(products, TimeWindow(None, END))

    assert (row["list_price"], row["list_price__decimal"]) == (None, Decimal("1.2345600000"))


def test_a_cursor_that_is_no_instant_any_more_is_refused(changed, products):
    changed.sql(
        "ALTER TABLE PRODUCTS DROP COLUMN LAST_MODIFIED_TS",
        "ALTER TABLE PRODUCTS ADD COLUMN LAST_MODIFIED_TS VARCHAR",
        "UPDATE PRODUCTS SET LAST_MODIFIED_TS = '2024-10-01 00:00:00'",
    )

    with pytest.raises(SourceRejected, match=r"RAW\.PRODUCTS .*VARCHAR"):
        products.partitions(Position(), END)


def test_a_table_that_is_not_there_is_named_with_the_fix(changed, products):
    changed.sql("DROP TABLE PRODUCTS")

    with pytest.raises(
        SourceRejected, match=r"RAW\.PRODUCTS does not exist, or the role may not read it: check database"
    ):
        products.check()


def test_a_wrong_password_is_refused_at_once_and_not_shown(source, contracts):
    wrong = source.secret | {"password": "not-the-password"}
    before = time.monotonic()

    with pytest.raises(SourceRejected, match=r"check user and password in secrets\.snowflake") as caught:
        SnowflakeExtractor(source.settings, wrong, contracts["snowflake_orders"]).check()

    assert time.monotonic() - before < 5
    assert "not-the-password" not in str(caught.value)


def test_a_closed_port_is_unavailable_soon(source, contracts):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens on it
        settings = replace(source.settings, port=held.getsockname()[1])
        before = time.monotonic()

        with pytest.raises(
            SourceUnavailable, match=r"127\.0\.0\.1 did not answer while reading ETL_PROJECT_DB\.RAW\.ORDERS"
        ):
            SnowflakeExtractor(settings, source.secret, contracts["snowflake_orders"]).partitions(Position(), END)

    assert time.monotonic() - before < 10


def test_a_result_that_breaks_off_is_unavailable_and_never_a_short_read(orders, monkeypatch):
    from snowflake.connector import result_batch

    monkeypatch.setattr(result_batch.ArrowResultBatch, "_download", gone)

    with pytest.raises(SourceUnavailable, match=r"did not answer while reading ETL_PROJECT_DB\.RAW\.ORDERS"):
        read(orders, TimeWindow(None, END))


def gone(*_: object, **__: object) -> None:
    raise snowflake.connector.errors.InterfaceError(msg="290403 (08001): 403 Forbidden: the link expired", errno=290403)
