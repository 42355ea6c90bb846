"""The independent answer is right: tiny datasets with their expected rows worked out by hand."""

import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from tests.e2e.compare import differences
from tests.e2e.oracle import answer
from tests.versions import DAY, INSTANT, T0, Version, write_versions

from headwater.contracts import Contracts

TEXT, WHOLE = pa.string(), pa.int64()
MONEY, REVENUE = pa.decimal128(10, 2), pa.decimal128(18, 2)
CUSTOMERS = [
    ("CUSTOMER_ID", TEXT), ("FIRST_NAME", TEXT), ("LAST_NAME", TEXT), ("EMAIL", TEXT), ("PHONE", TEXT),
    ("ADDRESS", TEXT), ("CITY", TEXT), ("COUNTRY", TEXT), ("SEGMENT", TEXT), ("CREATED_TS", INSTANT),
    ("LAST_MODIFIED_TS", INSTANT),
]  # fmt: skip
PRODUCTS = [
    ("PRODUCT_ID", TEXT), ("NAME", TEXT), ("CATEGORY", TEXT), ("BRAND", TEXT), ("LIST_PRICE", MONEY),
    ("CURRENCY", TEXT), ("ACTIVE", pa.bool_()), ("LAST_MODIFIED_TS", INSTANT),
]  # fmt: skip
ORDERS = [
    ("ORDER_ID", TEXT), ("CUSTOMER_ID", TEXT), ("ORDER_DATE", INSTANT), ("PRODUCT_ID", TEXT), ("QUANTITY", WHOLE),
    ("AMOUNT", MONEY), ("CURRENCY", TEXT), ("STATUS", TEXT), ("LAST_MODIFIED_TS", INSTANT),
]  # fmt: skip
BEHAVIOR = [
    ("event_id", TEXT), ("customer_id", TEXT), ("event_name", TEXT), ("event_ts", INSTANT), ("session_id", TEXT),
    ("device", TEXT), ("geo", TEXT), ("url_1", TEXT), ("url_2", TEXT), ("metadata", TEXT),
]  # fmt: skip
STAMPS = [("CreatedDate", INSTANT), ("LastModifiedDate", INSTANT), ("SystemModstamp", INSTANT)]
ACCOUNTS = [
    ("Id", TEXT), ("Name", TEXT), ("Industry", TEXT), ("AnnualRevenue", REVENUE), ("Phone", TEXT),
    ("BillingStreet", TEXT), ("BillingCity", TEXT), ("BillingCountry", TEXT), *STAMPS,
]  # fmt: skip
CONTACTS = [
    ("Id", TEXT), ("AccountId", TEXT), ("FirstName", TEXT), ("LastName", TEXT), ("Email", TEXT), ("Phone", TEXT),
    ("Title", TEXT), *STAMPS,
]  # fmt: skip
OPPORTUNITIES = [
    ("Id", TEXT), ("AccountId", TEXT), ("Name", TEXT), ("StageName", TEXT), ("Amount", REVENUE),
    ("CloseDate", pa.date32()), ("Probability", WHOLE), *STAMPS,
]  # fmt: skip
RATES = [
    ("date", pa.date32()), ("base_currency", TEXT), ("quote_currency", TEXT), ("rate", pa.decimal128(20, 10)),
    ("as_of_time", INSTANT),
]  # fmt: skip
MESSAGES = pa.schema(
    [
        ("partition", pa.int32()), ("key", TEXT), ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("key", TEXT), ("value", pa.binary())]))), ("timestamp", INSTANT),
        ("_visible_at", INSTANT),
    ]
)  # fmt: skip
BEFORE = T0 - DAY


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def version(*row: Any, seen: datetime = BEFORE, gone: datetime | None = None) -> Version:
    return Version(row, seen, gone)


def customer(name: str, email: str | None = None, country: str | None = None, seen: datetime = BEFORE) -> Version:
    return version(name, None, None, email, None, None, None, country, None, None, seen, seen=seen)


def product(name: str) -> Version:
    return version(name, f"The {name}", "Things", None, None, None, None, BEFORE)


def order(
    name: str,
    money: str = "1.00",
    currency: str = "USD",
    on: str = "2024-10-31",
    *,
    seen: datetime = BEFORE,
    stamp: datetime | None = None,
    customer: str | None = "C1",
    quantity: int | None = 1,
    status: str | None = "PAID",
    gone: datetime | None = None,
) -> Version:
    row = (name, customer, at(on), "P1", quantity, Decimal(money), currency, status, stamp or seen)
    return version(*row, seen=seen, gone=gone)


def rate(on: str, quote: str, worth: str, base: str = "EUR", seen: datetime = BEFORE) -> Version:
    return version(date.fromisoformat(on), base, quote, Decimal(worth), seen, seen=seen)


def contact(
    name: str, account: str | None, email: str, created: str, seen: datetime, gone: datetime | None = None
) -> Version:
    return version(name, account, None, None, email, None, None, at(created), seen, seen, seen=seen, gone=gone)


def account(name: str, industry: str | None, modified: datetime = BEFORE) -> Version:
    return version(
        name, name, industry, Decimal("5.00"), None, None, "Bern", None, modified, modified, modified, seen=modified
    )


def write_messages(file: Path, *messages: tuple[int, Any, datetime]) -> None:
    rows = [
        {"partition": partition, "value": value if isinstance(value, bytes | None) else json.dumps(value).encode(),
         "timestamp": seen, "_visible_at": seen}
        for partition, value, seen in messages
    ]  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, MESSAGES), file)


def write_files(folder: Path, *files: tuple[str, str, datetime]) -> None:
    for number, (_, content, _) in enumerate(files):
        path = folder / "s3" / "objects" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    shown = [version(key, str(number), seen=seen) for number, (key, _, seen) in enumerate(files)]
    write_versions(folder / "s3" / "files.parquet", [("key", TEXT), ("path", TEXT)], shown)


class Answer:
    """A tiny dataset and what the oracle says of it."""

    def __init__(self, folder: Path) -> None:
        self.dataset, self.out = folder / "dataset", folder / "answer"

    def of(self, name: str, columns: Sequence[tuple[str, pa.DataType]], *versions: Version) -> None:
        write_versions(self.dataset / f"{name}.parquet", columns, versions)

    def after(self, *instants: datetime) -> None:
        answer(self.dataset, self.out, list(instants))

    def rows(self, table: str, columns: str, order: str = "ALL") -> list[tuple[Any, ...]]:
        (file,) = self.out.glob(f"*/{table}.parquet")
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            return db.execute(f"SELECT {columns} FROM '{file}' ORDER BY {order}").fetchall()

    def refused(self, table: str) -> dict[str, int]:
        return dict(json.loads((self.out / "quarantine.json").read_text(encoding="utf-8"))[table])

    def counts(self, of: str) -> dict[str, int]:
        return dict(json.loads((self.out / "counts.json").read_text(encoding="utf-8"))[of])


@pytest.fixture
def tiny(tmp_path: Path) -> Answer:
    """A dataset with one customer and one product, to write more into."""
    tiny = Answer(tmp_path)
    tiny.of("snowflake/CUSTOMERS", CUSTOMERS, customer("C1", " Ann@Example.COM ", " ch"))
    tiny.of("snowflake/PRODUCTS", PRODUCTS, product("P1"))
    return tiny


def test_orders_are_priced_as_by_hand(tiny: Answer) -> None:
    tiny.of(
        "fx/rates", RATES,
        rate("2024-10-20", "USD", "1.08"), rate("2024-10-20", "CHF", "0.94"),
        rate("2024-11-01", "USD", "1.085"), rate("2024-11-01", "GBP", "0.84"), rate("2024-11-01", "JPY", "165.5"),
        rate("2024-11-05", "JPY", "170"),
        rate("2024-11-01", "SEK", "10"), rate("2024-11-01", "SEK", "11.5", seen=BEFORE + timedelta(hours=1)),
    )  # fmt: skip
    tiny.of(
        "snowflake/ORDERS", ORDERS,
        order("01 on the day", "10.00", "EUR", "2024-11-01T23:59:59.999999"),
        order("02 Sunday", "10.00", "EUR", "2024-11-03T12:00:00"),
        order("03 before any rate", "10.00", "EUR", "2024-10-19"),
        order("04 both legs", "100.00", " gbp ", "2024-11-02"),
        order("05 JPY where its own later date lacks USD", "1000.00", "JPY", "2024-11-06"),
        order("06 USD needs none", "12.34", "usd", "2024-01-01"),
        order("07 unknown currency", "5.00", "XXX", "2024-11-02"),
        order("08 seven days old", "100.00", "CHF", "2024-10-27"),
        order("09 eight days old", "100.00", "CHF", "2024-10-28"),
        order("10 half a cent", "1.00", "EUR", "2024-11-01"),
        order("11 half a cent less than none", "-1.00", "EUR", "2024-11-01"),
        order("12 corrected rate", "100.00", "SEK", "2024-11-01"),
    )  # fmt: skip

    tiny.after(T0)

    priced = {name[:2]: usd and str(usd) for name, usd in tiny.rows("orders", "order_id, amount_usd")}
    assert priced == {
        "01": "10.85",  # 10 x 1.085
        "02": "10.85",  # Friday's
        "03": None,
        "04": "129.17",  # 108.50 / 0.84 = 129.1666...
        "05": "6.56",  # 1085 / 165.5 = 6.5558...; with the 170 of the 5th it were 6.38
        "06": "12.34",
        "07": None,
        "08": "114.89",  # 108 / 0.94 = 114.8936...
        "09": None,
        "10": "1.09",  # 1.085, and half goes away from zero
        "11": "-1.09",
        "12": "9.43",  # 108.50 / 11.5 = 9.4347...; before its correction 10.85
    }
    assert tiny.refused("orders") == {}


def test_another_base_prices_too_and_the_first_in_the_alphabet_counts(tiny: Answer) -> None:
    tiny.of(
        "fx/rates", RATES,
        rate("2024-11-01", "USD", "1.1"), rate("2024-11-01", "GBP", "0.8"),
        rate("2024-11-01", "GBP", "0.5", base="CHF"), rate("2024-11-01", "USD", "2", base="CHF"),
        rate("2024-11-01", "NOK", "10", base="usd"), rate("2024-11-01", "EUR", "7"),
    )  # fmt: skip
    tiny.of(
        "snowflake/ORDERS", ORDERS,
        order("1", "10.00", "GBP", "2024-11-01"), order("2", "10.00", "NOK", "2024-11-01"),
        order("3", "10.00", "EUR", "2024-11-01"),
    )  # fmt: skip

    tiny.after(T0)

    assert tiny.rows("orders", "amount_usd::VARCHAR") == [("1.00",), ("11.00",), ("40.00",)]
    assert tiny.rows("orders", "order_id, amount_usd::VARCHAR") == [("1", "40.00"), ("2", "1.00"), ("3", "11.00")]


def test_what_lands_is_what_a_run_saw_inside_its_span(tiny: Answer) -> None:
    half, day = timedelta(minutes=30), DAY
    first, second = T0 + timedelta(hours=2), T0 + timedelta(hours=3)
    tiny.of(
        "snowflake/ORDERS", ORDERS,
        order("late within the overlap", seen=T0 + half, stamp=T0 - half),
        order("late beyond it", seen=T0 + half, stamp=T0 - 3 * half),
        order("stamped at the end of the span", seen=T0),
        order("replaced unseen", "1.00", seen=first), order("replaced unseen", "2.00", seen=second),
        order("changed", "3.00"), order("changed", "4.00", seen=first),
        order("gone", seen=BEFORE, gone=first),
        order("gone unseen", seen=first, gone=second),
        order("back as it was", gone=first), order("back as it was", seen=first, stamp=BEFORE),
    )  # fmt: skip

    tiny.after(T0, T0 + day)

    assert tiny.rows("orders", "order_id, amount::VARCHAR") == [
        ("back as it was", "1.00"),
        ("changed", "4.00"),
        ("gone", "1.00"),
        ("late within the overlap", "1.00"),
        ("replaced unseen", "2.00"),
        ("stamped at the end of the span", "1.00"),
    ]
    assert tiny.counts("landed")["snowflake_orders"] == 7


def test_a_run_that_finds_nothing_new_moves_nothing(tiny: Answer) -> None:
    late = order("late", seen=T0 + DAY, stamp=T0 - timedelta(minutes=30))
    tiny.of("snowflake/ORDERS", ORDERS, order("first"), late)

    tiny.after(T0, T0 + timedelta(hours=12), T0 + DAY)

    assert tiny.rows("orders", "order_id") == [("first",), ("late",)]


def test_refused_versions_neither_win_nor_stay_refused_once_their_parent_comes(tiny: Answer) -> None:
    soon = T0 + timedelta(hours=1)
    tiny.of("snowflake/CUSTOMERS", CUSTOMERS, customer("C1"), customer("C2", seen=soon))
    tiny.of(
        "snowflake/ORDERS", ORDERS,
        order("good, then bad", "1.00"), order("good, then bad", "2.00", seen=soon, quantity=-1),
        order("bad, then good", quantity=-1, customer=" "), order("bad, then good", "3.00", seen=soon),
        order("waits for its customer", customer="C2"),
        order("nobody's", customer="X"),
        order("  "),
    )  # fmt: skip

    tiny.after(T0)
    assert tiny.rows("orders", "order_id, amount::VARCHAR") == [("good, then bad", "1.00")]
    assert tiny.refused("orders") == {
        "customer_id:reference": 2, "customer_id:required": 1, "order_id:required": 1, "quantity:range": 1,
    }  # fmt: skip
    assert tiny.counts("quarantined")["orders"] == 4

    tiny.after(T0, T0 + DAY)
    assert tiny.rows("orders", "order_id, amount::VARCHAR") == [
        ("bad, then good", "3.00"), ("good, then bad", "1.00"), ("waits for its customer", "1.00"),
    ]  # fmt: skip
    assert tiny.refused("orders") == {
        "customer_id:reference": 1, "customer_id:required": 1, "order_id:required": 1, "quantity:range": 2,
    }  # fmt: skip


def test_the_industry_follows_the_oldest_contact_that_is_left(tiny: Answer) -> None:
    soon, later = T0 + timedelta(hours=1), T0 + DAY + timedelta(hours=1)
    tiny.of("snowflake/CUSTOMERS", CUSTOMERS, customer("C1", " Ann@Example.COM "), customer("C2", "bob@example.com"))
    tiny.of("snowflake/ORDERS", ORDERS, order("O1", "5.00", on="2024-10-31"), order("O2", "7.00", customer="C2"))
    tiny.of("salesforce/Account", ACCOUNTS, account("A1", "Mining"), account("A2", None), account("A3", "Shipping"))
    tiny.of(
        "salesforce/Contact", CONTACTS,
        contact("K1", "A1", "ANN@example.com", "2020-01-01", BEFORE, gone=soon),
        contact("K2", "A1", "bob@example.com", "2021-01-01", BEFORE),
        contact("K3", "A3", "ann@example.com", "2020-01-01", BEFORE),
        contact("K3", "A2", "ann@example.com", "2020-01-01", later),
        contact("K0", "A3", "", "2019-01-01", BEFORE),
    )  # fmt: skip
    won = (Decimal("100.00"), date(2024, 12, 1), 50, BEFORE, BEFORE, BEFORE)
    tiny.of(
        "salesforce/Opportunity", OPPORTUNITIES,
        version("1", "A1", None, "Closed Won", *won), version("2", "A1", None, "closed won", *won),
        version("3", "A2", None, None, *won), version("4", "A9", None, None, *won),
        version("5", "A1", None, "Open", *won, gone=soon),
    )  # fmt: skip
    industries = "customer_id, industry"

    tiny.after(T0)  # A1 and A3 share Ann's address, and A1 has the smaller id
    assert tiny.rows("customer_360", industries) == [("C1", "Mining"), ("C2", None)]
    assert tiny.rows("revenue_by_industry", "month, industry, revenue_usd::VARCHAR, open_pipeline::VARCHAR") == [
        ("2024-10", "Mining", "5.00", "0.00"), ("2024-10", "Unknown", "7.00", "0.00"),
        ("2024-12", "Mining", "0.00", "200.00"), ("2024-12", "Unknown", "0.00", "100.00"),
    ]  # fmt: skip
    assert tiny.refused("opportunities") == {"account_id:reference": 1}

    tiny.after(T0, T0 + DAY)  # K1 is deleted
    assert tiny.rows("customer_360", industries) == [("C1", "Shipping"), ("C2", "Mining")]
    assert tiny.rows("contacts", "contact_id") == [("K0",), ("K2",), ("K3",)]
    assert tiny.rows("opportunities", "opportunity_id") == [("1",), ("2",), ("3",)]

    tiny.after(T0, T0 + DAY, T0 + 2 * DAY)  # K3 moves to A2
    assert tiny.rows("customer_360", industries) == [("C1", None), ("C2", "Mining")]
    assert tiny.rows("accounts", "account_id, primary_email") == [
        ("A1", "bob@example.com"), ("A2", "ann@example.com"), ("A3", None),
    ]  # fmt: skip


def test_messages_and_files_become_stock(tiny: Answer) -> None:
    def level(quantity: Any, stamp: str, product: Any = "P1") -> dict[str, Any]:
        return {"product_id": product, "warehouse_id": "W1", "quantity": quantity, "event_timestamp": stamp}

    write_messages(
        tiny.dataset / "kafka" / "inventory_updates.parquet",
        *[(0, level(number, "2024-10-30T12:00:00Z"), BEFORE) for number in range(12)],  # '0:9' is the greatest text
        (1, level(50, "2024-10-31T01:30:00.5+01:30"), BEFORE),
        (1, level(7, "2024-10-32T00:00:00Z"), BEFORE),
        (1, level(7, ""), BEFORE),
        (1, level(-1, "2024-10-30T12:00:00Z"), BEFORE),
        (1, level("seven", "2024-10-30T12:00:00Z"), BEFORE),
        (2, None, BEFORE), (2, b"[1]", BEFORE), (2, b'{"a": 1} {}', BEFORE), (2, b"\xff", BEFORE), (2, b"null", BEFORE),
        (2, level(99, "2024-10-31T12:00:00Z"), T0 + timedelta(seconds=1)),
    )  # fmt: skip
    head = "product_id,warehouse_id,quantity,reorder_point\n"
    write_files(
        tiny.dataset,
        ("erp-export/inventory/2024-10-31/inventory.csv", f'{head}P1,"W2, North",20,\nP1,W1,1\nP1,W1,x,1\n', BEFORE),
        ("erp-export/inventory/2024-11-01/inventory.csv", f"{head}P1,W1,1000,5\nP1,W9,,5\n", BEFORE),
    )
    tiny.of(
        "snowflake/ORDERS", ORDERS,
        order("1", "10.00", on="2024-10-30", quantity=3), order("2", "1.00", on="2024-10-31", status="cancelled"),
        order("3", "9.99", "XXX", on="2024-10-31", quantity=0), order("4", on="2024-10-29"),
        order("5", "2.00", on="2024-11-01", status=None),
    )  # fmt: skip

    tiny.after(T0)

    assert {table: many for table, many in tiny.counts("rejected").items() if many} == {
        "kafka_inventory_updates": 6,
        "external_inventory": 2,
    }
    assert tiny.refused("inventory") == {
        "quantity:range": 1, "quantity:required": 1, "stock_ts:required": 1, "stock_ts:type": 1,
    }  # fmt: skip
    assert tiny.rows("inventory", "warehouse_id, origin, stock_ts::VARCHAR, quantity") == [
        ("W1", "erp", "2024-11-01 00:00:00+00", 1000),
        ("W1", "event", "2024-10-30 12:00:00+00", 9),
        ("W1", "event", "2024-10-31 00:00:00.5+00", 50),
        ("W2, North", "erp", "2024-10-31 00:00:00+00", 20),
    ]
    perf = "order_date::VARCHAR, revenue_usd::VARCHAR, net_revenue_usd::VARCHAR, cancelled_orders, average_price_usd::VARCHAR"
    assert tiny.rows("product_perf_daily", f"{perf}, stock_on_hand") == [
        ("2024-10-29", "1.00", "1.00", 0, "1.00", None),
        ("2024-10-30", "10.00", "10.00", 0, "3.33", 9),
        ("2024-10-31", "1.00", "0.00", 1, "1.00", 70),
        ("2024-11-01", "2.00", "2.00", 0, "2.00", 1020),
    ]


def test_fields_of_messages_are_text_and_what_is_no_text_is_compact_json(tiny: Answer) -> None:
    sent = b'"event_type": " view ", "event_timestamp": "2024-10-30T12:00:00Z", "metadata" : {"a":  [1, 2.50]} }'
    event = b'{"event_id": "U1", ' + sent
    write_messages(tiny.dataset / "kafka" / "user_events.parquet", (0, event, BEFORE))
    placed = {"order_id": "O1", "event_type": " paid", "event_timestamp": "2024-10-30T12:00:00Z", "metadata": ""}
    write_messages(
        tiny.dataset / "kafka" / "orders_events.parquet",
        (0, placed, BEFORE), (0, placed, BEFORE), (0, placed | {"event_type": "LOST"}, BEFORE),
    )  # fmt: skip

    tiny.after(T0)

    assert tiny.rows("user_events", "event_id, event_type, customer_id, metadata") == [
        ("U1", "view", None, '{"a":[1,2.5]}')
    ]
    assert tiny.rows("order_events", "order_id, event_type, metadata, event_month") == [("O1", "PAID", "", "2024-10")]
    assert tiny.refused("order_events") == {"event_type:allowed": 1}


def test_behavior_is_taken_apart(tiny: Answer) -> None:
    def event(name: str | None, session: str | None, geo: str | None, *urls: str | None) -> Version:
        return version(name, "C1", "view", BEFORE, session, None, geo, *urls, None)

    tiny.of(
        "redshift/customer_behavior", BEHAVIOR,
        event("1", "S20241030235959-aF0", "us-ca", "/a", " "), event("2", "S20240230000000-00", " 37.77 ,-122.42", None, "/b"),
        event("3", "S20241030246060-00", "95,10", None, None), event(None, None, "USA", "/a", "/b"),
        event("4", " ", " DE ", "/a", "/b"),
    )  # fmt: skip

    tiny.after(T0)

    shown = "event_id, session_start_ts::VARCHAR, geo_country, geo_region, geo_latitude, geo_longitude, urls"
    assert tiny.rows("behavior", shown) == [
        ("1", "2024-10-30 23:59:59+00", "US", "CA", None, None, ["/a"]),
        ("2", None, None, None, 37.77, -122.42, ["/b"]),
        ("3", None, None, None, None, None, []),
        ("4", None, "DE", None, None, None, ["/a", "/b"]),
    ]
    assert tiny.refused("behavior") == {"event_id:required": 1}
    assert tiny.rows("customer_360", "email, country, total_orders, total_events, total_sessions") == [
        ("ann@example.com", "CH", None, 4, 3)
    ]


def test_a_position_is_told_in_three_ways(tiny: Answer) -> None:
    told = {
        " 37.77 , -122.42": (37.77, -122.42), "geo:37.77,-122.42": (37.77, -122.42), "GEO:-8.5,115.25,30.5;u=35": (-8.5, 115.25),
        "+37.77-122.42/": (37.77, -122.42), "-08.5+115.25+30.5/": (-8.5, 115.25), "+00+000/": (0.0, 0.0),
        "geo:+37.77,-122.42": (None, None), "geo:37.77 ,-122.42": (None, None), "geo:37.77,-122.42;crs=nad27": (None, None),
        "geo:91,0": (None, None), "+90.5+000/": (None, None), "+37.77-22.42/": (None, None), "+37.77-122.42": (None, None),
        "-0.5,180": (-0.5, 180.0), "37,77;-122,42": (None, None), "geo:": (None, None), "/": (None, None),
    }  # fmt: skip
    events = [version(f"{n:02}", "C1", "view", BEFORE, None, None, geo, *4 * [None]) for n, geo in enumerate(told)]
    pages = [(name, TEXT) for name in ("url_10", "url_2", "metadata")]
    tiny.of("redshift/customer_behavior", [*BEHAVIOR[:7], *pages, ("url_1", TEXT)], *events)

    tiny.after(T0)

    assert tiny.rows("behavior", "event_id, geo_latitude, geo_longitude") == [
        (f"{n:02}", *place) for n, place in enumerate(told.values())
    ]


def test_an_instant_is_told_in_four_ways(tiny: Answer) -> None:
    told = {
        "2024-10-30T12:00:00.25+02:00": "2024-10-30 10:00:00.25+00", "2024-10-30T12:00:00": "2024-10-30 12:00:00+00",
        1730289600: "2024-10-30 12:00:00+00", " 1730289600123 ": "2024-10-30 12:00:00.123+00", "1970-01-01T00:00:00Z":
        "1970-01-01 00:00:00+00", 4102444800: "2100-01-01 00:00:00+00", "100000000": "1973-03-03 09:46:40+00",
        20241030: None, "2024-10-30": None, "2024-10-30T24:00:00": None, 17302896001: None, 1730289600.5: None, True: None,
        "2024-10-30 12:00:00": None, -1730289600: None, "2024-02-30T12:00:00": None,
    }  # fmt: skip
    events = [{"event_id": f"{n:02}", "event_type": "view", "event_timestamp": stamp} for n, stamp in enumerate(told)]
    write_messages(tiny.dataset / "kafka" / "user_events.parquet", *((0, event, BEFORE) for event in events))

    tiny.after(T0)

    meant = [(f"{n:02}", instant) for n, instant in enumerate(told.values()) if instant]
    assert tiny.rows("user_events", "event_id, event_timestamp::VARCHAR") == meant
    assert tiny.refused("user_events") == {"event_timestamp:type": len(told) - len(meant)}


def test_as_a_process_it_gets_only_a_folder_and_instants(tiny: Answer) -> None:
    tiny.of("snowflake/ORDERS", ORDERS, order("late", seen=T0, stamp=BEFORE), order("first", stamp=BEFORE))
    oracle = Path(__file__).with_name("oracle.py")
    instants = ["--instant", (T0 - timedelta(hours=1)).isoformat(), "--instant", T0.isoformat()]

    for overlap, landed in ((3600, 1), (24 * 3600, 2)):
        given = [*instants, "--overlap", f"snowflake_orders={overlap}"]
        subprocess.run([sys.executable, oracle, tiny.dataset, tiny.out, *given], check=True, timeout=120)
        assert tiny.counts("landed")["snowflake_orders"] == landed


def test_a_cent_a_type_or_a_row_too_many_is_told(tiny: Answer, tmp_path: Path, contracts: Contracts) -> None:
    tiny.of("snowflake/ORDERS", ORDERS, order("O1", "3.00"), order("O2"))
    tiny.after(T0)
    lake = tmp_path / "lake"
    for file in tiny.out.glob("*/*.parquet"):
        write_deltalake(lake / contracts[file.stem].path, pq.read_table(file))
    for name, landed in tiny.counts("landed").items():
        write_deltalake(lake / contracts[name].path, pa.table({"_row_id": pa.array([""] * landed, TEXT)}))
    assert differences(lake, tiny.out, contracts) == []

    orders = pq.read_table(tiny.out / "silver" / "orders.parquet")
    amounts = pa.array([Decimal("3.01"), Decimal("1.00")], pa.decimal128(18, 2))
    cent = orders.sort_by("order_id").set_column(orders.schema.get_field_index("amount"), "amount", amounts)
    write_deltalake(lake / "silver" / "orders", cent, mode="overwrite")
    twice = pq.read_table(tiny.out / "gold" / "revenue_by_geography.parquet")
    write_deltalake(lake / "gold" / "revenue_by_geography", twice, mode="append")
    products = pq.read_table(tiny.out / "silver" / "products.parquet").drop_columns("active")
    write_deltalake(lake / "silver" / "products", products, mode="overwrite", schema_mode="overwrite")

    told = "\n".join(differences(lake, tiny.out, contracts))
    assert "order_id=O1: amount: lake Decimal('3.01'), answer Decimal('3.00')" in told
    assert "silver.orders: 1 of the lake's 2 rows are not in the answer" in told
    assert "gold.revenue_by_geography: 1 of the lake's 2 rows are not in the answer, 0 of the answer's 1" in told
    assert "silver.products.active: the lake has None, the answer bool" in told


@pytest.mark.parametrize(("file", "beside"), [("oracle.py", {"oracle_files"}), ("oracle_files.py", set())])
def test_it_shares_nothing_with_what_it_judges(file: str, beside: set[str]) -> None:
    source = ast.parse(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    plain = [alias.name for node in ast.walk(source) if isinstance(node, ast.Import) for alias in node.names]
    parts = [node.module or "" for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    imported = {name.partition(".")[0] for name in [*plain, *parts]}

    assert imported - sys.stdlib_module_names == {"duckdb"} | beside
