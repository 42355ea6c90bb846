"""Gold, on rows small enough to add up by hand."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from tests.frames import at, frame, rows

from headwater.transform.gold.customer_360 import customer_360
from headwater.transform.gold.product_perf_daily import product_perf_daily
from headwater.transform.gold.revenue_by_geography import revenue_by_geography
from headwater.transform.gold.revenue_by_industry import revenue_by_industry


def _customers(spark: SparkSession, *told: str) -> DataFrame:
    return frame(spark, "customer_id | email | country", *told, table="customers")


def _accounts(spark: SparkSession, *told: str) -> DataFrame:
    return frame(
        spark, "account_id | primary_email | industry | billing_city | last_modified_date", *told, table="accounts"
    )


def _orders(spark: SparkSession, *told: str) -> DataFrame:
    header = "order_id | customer_id | product_id | order_date | quantity | amount_usd | status"
    return frame(spark, header, *told, table="orders")


def _behavior(spark: SparkSession, *told: str) -> DataFrame:
    return frame(spark, "event_id | customer_id | session_id | event_ts", *told, table="behavior")


def _money(text: str) -> Decimal:
    return Decimal(text)


# customer_360


def test_a_customer_has_its_company_its_orders_and_its_visits(spark: SparkSession):
    table = customer_360(
        _customers(spark, "C1 | ann@x.com | DE"),
        frame(
            spark,
            "account_id | primary_email | industry | annual_revenue | billing_city",
            "A1 | ann@x.com | Retail | 1000.50 | Berlin",
            table="accounts",
        ),
        _orders(
            spark,
            "O1 | C1 | P1 | 2024-11-01 10:00 | 1 | 10.10 | SHIPPED",
            "O2 | C1 | P1 | 2024-11-02 10:00 | 1 | 5.00 | CANCELLED",
            "O3 | C1 | P1 | 2024-11-01 11:00 | 1 | | PLACED",
        ),
        _behavior(
            spark,
            "E1 | C1 | S1 | 2024-11-03 10:00",
            "E2 | C1 | S1 | 2024-11-03 10:01",
            "E3 | C1 | S2 | 2024-11-03 09:00",
            "E4 | C1 |    | 2024-11-03 08:00",
        ),
    )
    [(key, customer_id, email, country, *company_and_metrics)] = rows(table)
    assert (key, customer_id, email, country) == ("C1", "C1", "ann@x.com", "DE")
    assert company_and_metrics == [
        "Retail", _money("1000.50"), "Berlin",
        3, _money("15.10"), at("2024-11-02 10:00"),
        4, 2, at("2024-11-03 10:01"),
    ]  # fmt: skip


def test_a_customer_without_company_orders_or_visits_has_nothing_there(spark: SparkSession):
    table = customer_360(
        _customers(spark, "C1 | | ", "C2 | bob@x.com | FR"),
        _accounts(spark, "A1 | | Retail | Berlin | 2024-01-01"),
        _orders(spark),
        _behavior(spark, "E1 | | S1 | 2024-11-03 10:00", "E2 | C2 | | 2024-11-03 10:00"),
    )
    metrics = ("customer_id", "industry", "total_orders", "total_revenue", "total_events", "total_sessions")
    assert rows(table, *metrics) == [("C1", None, None, None, None, None), ("C2", None, None, None, 1, 0)]


def test_a_customer_with_orders_that_nobody_could_price_has_no_revenue(spark: SparkSession):
    unpriced = _orders(spark, "O1 | C1 | P1 | 2024-11-01 10:00 | 1 | | PLACED")
    table = customer_360(_customers(spark, "C1 | | "), _accounts(spark), unpriced, _behavior(spark))
    assert rows(table, "total_orders", "total_revenue") == [(1, None)]


@pytest.mark.parametrize(
    ("accounts", "industry"),
    [
        (("A1 | a@x.com | Old | | 2024-01-01", "A2 | a@x.com | New | | 2024-02-01"), "New"),
        (("A2 | a@x.com | Greater | | 2024-01-01", "A1 | a@x.com | Smaller | | 2024-01-01"), "Smaller"),
    ],
    ids=["the one modified last", "at a tie the smaller id"],
)
def test_of_accounts_with_one_email_a_customer_gets_one(spark: SparkSession, accounts: tuple[str, ...], industry: str):
    table = customer_360(
        _customers(spark, "C1 | a@x.com | DE", "C2 | a@x.com | FR"),
        _accounts(spark, *accounts),
        _orders(spark, "O1 | C1 | P1 | 2024-11-01 10:00 | 1 | 1.00 |"),
        _behavior(spark),
    )
    assert rows(table, "customer_key", "industry", "total_orders") == [("C1", industry, 1), ("C2", industry, None)]


# product_perf_daily


def _products(spark: SparkSession) -> DataFrame:
    return frame(spark, "product_id | name | category", "P1 | Cup | Kitchen", table="products")


def _inventory(spark: SparkSession, *told: str) -> DataFrame:
    return frame(spark, "product_id | warehouse_id | origin | stock_ts | quantity", *told, table="inventory")


def test_a_products_day_is_added_up(spark: SparkSession):
    table = product_perf_daily(
        _orders(
            spark,
            "O1 | C1 | P1 | 2024-11-01 00:00 | 2 | 10.00 | SHIPPED",
            "O2 | C1 | P1 | 2024-11-01 23:59:59 | 1 | 5.01 | cancelled",
            "O3 | C2 | P1 | 2024-11-01 12:00 | 4 | | PLACED",
            "O4 | C2 | P1 | 2024-11-01 12:00 | 1 | 2.00 | Refunded",
            "O5 | C2 | P1 | 2024-11-01 12:00 | 1 | 3.00 | RETURNED",
            "O6 | C3 | P1 | 2024-11-01 12:00 | 1 | 4.00 |",
            "O7 | C1 | P2 | 2024-11-02 00:00 | 1 | | PLACED",
        ),
        _products(spark),
        _inventory(spark),
    )
    assert rows(table) == [
        (
            date(2024, 11, 1),
            "P1",
            "Cup",
            "Kitchen",
            6,
            10,
            3,
            _money("24.01"),
            _money("14.00"),
            1,
            _money("4.00"),
            None,
        ),
        (date(2024, 11, 2), "P2", None, None, 1, 1, 1, _money("0.00"), _money("0.00"), 0, None, None),
    ]


def test_free_units_have_no_average_price(spark: SparkSession):
    free = _orders(spark, "O1 | C1 | P1 | 2024-11-01 00:00 | 0 | 10.00 | SHIPPED")
    table = product_perf_daily(free, _products(spark), _inventory(spark))
    assert rows(table, "revenue_usd", "average_price_usd") == [(_money("10.00"), None)]


STOCK = (
    "P1 | W1 | erp   | 2024-11-01 00:00 | 100",
    "P1 | W1 | event | 2024-11-01 15:00 | 90",
    "P1 | W1 | event | 2024-11-01 16:00 | 80",
    "P1 | W2 | erp   | 2024-11-02 00:00 | 7",
    "P1 | W2 | event | 2024-11-02 00:00 | 5",  # at a tie the event knows better
    "P1 | W1 | event | 2024-11-04 00:00 | 0",
    "P2 | W1 | erp   | 2024-11-01 00:00 | 1000",
)


@pytest.mark.parametrize(
    ("day", "stock"),
    [
        pytest.param("2024-10-31", None, id="before anyone counted"),
        pytest.param("2024-11-01", 80, id="the newest record of the day"),
        pytest.param("2024-11-02", 85, id="both warehouses, each at its newest"),
        pytest.param("2024-11-03", 85, id="a day without a record"),
        pytest.param("2024-11-04", 5, id="sold out in one of them; the day's first instant belongs to it"),
        pytest.param("2025-12-31", 5, id="long after"),
    ],
)
def test_stock_on_hand_is_what_lay_in_all_warehouses_at_the_end_of_the_day(
    spark: SparkSession, day: str, stock: int | None
):
    sold = _orders(spark, f"O1 | C1 | P1 | {day} 08:00 | 1 | 1.00 |")
    table = product_perf_daily(sold, _products(spark), _inventory(spark, *STOCK))
    assert rows(table, "orders", "stock_on_hand") == [(1, stock)]


DAYS = st.integers(1, 6)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.dictionaries(
        st.tuples(st.sampled_from(["P1", "P2"]), st.sampled_from(["W1", "W2"]), st.sampled_from(["erp", "event"]),
                  DAYS, st.sampled_from([0, 12])),
        st.integers(0, 9),
        max_size=12,
    ),
    sold=st.sets(st.tuples(st.sampled_from(["P1", "P2"]), DAYS), min_size=1, max_size=6),
)  # fmt: skip
def test_stock_on_hand_equals_a_walk_through_the_records(
    spark: SparkSession, records: dict[tuple[str, str, str, int, int], int], sold: set[tuple[str, int]]
):
    told = [f"{p} | {w} | {o} | 2024-11-0{d} {h:02}:00 | {n}" for (p, w, o, d, h), n in records.items()]
    orders = [f"O{i} | C1 | {p} | 2024-11-0{d} 08:00 | 1 | 1.00 |" for i, (p, d) in enumerate(sorted(sold))]
    table = product_perf_daily(_orders(spark, *orders), _products(spark), _inventory(spark, *told))

    def walk(product: str, day: int) -> int | None:
        newest: dict[str, tuple[int, int, bool, int]] = {}
        for (p, warehouse, origin, d, hour), level in records.items():
            if p == product and d <= day:
                record = (d, hour, origin == "event", level)
                newest[warehouse] = max(newest.get(warehouse, record), record)
        return sum(level for *_, level in newest.values()) if newest else None

    assert rows(table, "product_id", "order_date", "stock_on_hand") == [
        (product, date(2024, 11, day), walk(product, day)) for product, day in sorted(sold)
    ]


# revenue_by_geography


def test_a_countrys_day_is_added_up_and_customers_without_one_are_unknown(spark: SparkSession):
    table = revenue_by_geography(
        _orders(
            spark,
            "O1 | C1 | P1 | 2024-11-01 10:00 | 2 | 10.00 | SHIPPED",
            "O2 | C1 | P2 | 2024-11-01 11:00 | 1 | 5.00 | CANCELLED",
            "O3 | C2 | P1 | 2024-11-01 12:00 | 1 | | PLACED",
            "O4 | C3 | P1 | 2024-11-01 12:00 | 3 | 1.00 | PLACED",
            "O5 | C4 | P1 | 2024-11-01 12:00 | 4 | | PLACED",
            "O6 | C1 | P1 | 2024-11-02 00:00 | 1 | 1.00 | PLACED",
        ),
        _customers(spark, "C1 | | DE", "C2 | | DE", "C3 | | "),
    )
    assert rows(table) == [
        (date(2024, 11, 1), "DE", 3, 4, 2, _money("15.00"), _money("10.00")),
        (date(2024, 11, 1), "Unknown", 2, 7, 2, _money("1.00"), _money("1.00")),
        (date(2024, 11, 2), "DE", 1, 1, 1, _money("1.00"), _money("1.00")),
    ]


# revenue_by_industry


def _opportunities(spark: SparkSession, *told: str) -> DataFrame:
    return frame(spark, "opportunity_id | account_id | stage | amount | close_date", *told, table="opportunities")


def test_an_industrys_month_is_added_up_beside_what_it_may_still_buy(spark: SparkSession):
    table = revenue_by_industry(
        _orders(
            spark,
            "O1 | C1 | P1 | 2024-11-01 10:00 | 2 | 10.00 | SHIPPED",
            "O2 | C1 | P2 | 2024-11-30 23:59 | 1 | 5.00 | RETURNED",
            "O3 | C2 | P1 | 2024-11-05 12:00 | 1 | 2.00 | PLACED",
            "O4 | C3 | P1 | 2024-11-05 12:00 | 1 | | PLACED",
        ),
        _customers(spark, "C1 | a@x.com | DE", "C2 | a@x.com | DE", "C3 | | "),
        _accounts(
            spark,
            "A1 | a@x.com | Retail | | 2024-02-01",
            "A2 | a@x.com | Mining | | 2024-01-01",
            "A3 | | | | 2024-01-01",
        ),
        _opportunities(
            spark,
            "1 | A1 | Proposal    | 100.00 | 2024-11-15",
            "2 | A1 |             | 1.00   | 2024-11-15",
            "3 | A1 | Closed Won  | 999.00 | 2024-11-15",
            "4 | A1 | Closed Lost | 999.00 | 2024-11-15",
            "5 | A1 | Proposal    | 999.00 |",
            "6 | A2 | Proposal    | 50.00  | 2024-11-15",
            "7 | A3 | Proposal    |        | 2024-12-31",
            "8 |    | Proposal    | 3.00   | 2024-11-15",
        ),
    )
    zero = _money("0.00")
    assert rows(table) == [
        ("2024-11", "Mining", 0, 0, 0, zero, zero, _money("50.00")),
        ("2024-11", "Retail", 3, 4, 2, _money("17.00"), _money("12.00"), _money("101.00")),
        ("2024-11", "Unknown", 1, 1, 1, zero, zero, _money("3.00")),
        ("2024-12", "Unknown", 0, 0, 0, zero, zero, zero),
    ]
