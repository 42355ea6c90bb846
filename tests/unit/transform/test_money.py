"""What an order is worth in US dollars, to the last digit."""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from tests.frames import frame, rows

from headwater.transform.silver.orders import orders
from headwater.transform.steps import in_usd, share

ECB = (
    "2024-10-31 | EUR | USD | 1.0700",
    "2024-10-31 | EUR | JPY | 164.00",
    "2024-11-01 | EUR | USD | 1.0800",  # a Friday
    "2024-11-01 | EUR | GBP | 0.8400",
    "2024-11-01 | EUR | JPY | 165.43",
    "2024-11-04 | EUR | USD | 1.0900",
)


def _usd(
    spark: SparkSession, amount: str, currency: str, on: str, rates: tuple[str, ...] = ECB, max_age_days: int = 7
) -> Decimal | None:
    order = frame(spark, "amount decimal(18,2) | currency | order_date timestamp", f"{amount} | {currency} | {on}")
    listed = frame(spark, "date | base_currency | quote_currency | rate", *rates, table="fx_rates")
    [(worth,)] = rows(in_usd(order, on="order_date", rates=listed, max_age_days=max_age_days), "amount_usd")
    return worth


def test_an_order_is_priced_at_the_last_rate_before_a_weekend(spark: SparkSession):
    orders_in = frame(
        spark, "order_id | currency | amount | order_date", "O1 | EUR | 10.00 | 2024-11-03 10:00",
        table="snowflake_orders",
    )  # fmt: skip
    rates = frame(
        spark, "date | base_currency | quote_currency | rate", "2024-11-01 | EUR | USD | 1.080000", table="fx_rates"
    )

    assert rows(orders(orders_in, rates), "order_id", "amount_usd") == [("O1", Decimal("10.80"))]


@pytest.mark.parametrize(
    ("amount", "currency", "on", "worth"),
    [
        pytest.param("10.00", "EUR", "2024-11-01 00:00", "10.80", id="the day's own rate, from its first instant"),
        pytest.param("10.00", "EUR", "2024-11-01 23:59:59.999999", "10.80", id="to its last"),
        pytest.param("10.00", "EUR", "2024-11-04 00:00", "10.90", id="the next day has its own"),
        pytest.param("100.00", "GBP", "2024-11-03 12:00", "128.57", id="both legs on a Sunday: 100 x 1.08 / 0.84"),
        pytest.param("12345", "JPY", "2024-11-01 12:00", "80.59", id="yen: 12345 x 1.08 / 165.43"),
        pytest.param("1", "JPY", "2024-11-01 12:00", "0.01", id="the least yen"),
        pytest.param("-12345", "JPY", "2024-11-01 12:00", "-80.59", id="a refund"),
        pytest.param("0.00", "EUR", "2024-11-01 12:00", "0.00", id="nothing"),
        pytest.param("10.00", "USD", "1999-01-01 12:00", "10.00", id="dollars need no rate"),
        pytest.param("10.00", "EUR", "2024-10-30 23:59", None, id="before any rate"),
        pytest.param("10.00", "EUR", "2024-11-11 23:59", "10.90", id="seven days old"),
        pytest.param("10.00", "EUR", "2024-11-12 00:00", None, id="eight days old"),
        pytest.param("10.00", "XXX", "2024-11-01 12:00", None, id="a currency that nobody knows"),
        pytest.param("10.00", "", "2024-11-01 12:00", None, id="no currency"),
        pytest.param("", "EUR", "2024-11-01 12:00", None, id="no amount"),
        pytest.param("10.00", "EUR", "", None, id="no day"),
    ],
)
def test_an_order_by_hand(spark: SparkSession, amount: str, currency: str, on: str, worth: str | None):
    assert _usd(spark, amount, currency, on) == (worth and Decimal(worth))


def test_a_day_counts_only_if_both_currencies_have_a_rate_on_it(spark: SparkSession):
    # On the 4th the dollar has a rate and the pound none: both legs are those of the 1st.
    assert _usd(spark, "100.00", "GBP", "2024-11-04 12:00") == Decimal("128.57")
    # The pound's rate of the 1st is then eight days old, however new the dollar's is.
    assert _usd(spark, "100.00", "GBP", "2024-11-09 12:00") is None


def test_the_oldest_usable_rate_is_a_setting(spark: SparkSession):
    assert _usd(spark, "10.00", "EUR", "2024-11-03 12:00", max_age_days=1) is None
    assert _usd(spark, "10.00", "EUR", "2024-11-02 12:00", max_age_days=1) == Decimal("10.80")
    assert _usd(spark, "10.00", "EUR", "2024-11-01 12:00", max_age_days=0) == Decimal("10.80")


def test_rates_may_be_based_on_the_dollar(spark: SparkSession):
    rates = ("2024-11-01 | USD | EUR | 0.8", "2024-11-01 | USD | JPY | 150")
    assert _usd(spark, "10.00", "EUR", "2024-11-01 12:00", rates) == Decimal("12.50")
    assert _usd(spark, "100", "JPY", "2024-11-01 12:00", rates) == Decimal("0.67")


def test_of_two_bases_the_first_by_name_counts_and_an_order_stays_one(spark: SparkSession):
    rates = ("2024-11-01 | USD | GBP | 0.5", *ECB, "2024-11-01 | CHF | GBP | 1", "2024-11-01 | CHF | EUR | 1")
    assert _usd(spark, "100.00", "GBP", "2024-11-01 12:00", rates) == Decimal("128.57")


@pytest.mark.parametrize(
    ("amount", "leg", "worth"),
    [("0.01", "0.5", "0.01"), ("-0.01", "0.5", "-0.01"), ("0.01", "0.4999999999", "0.00"), ("1.01", "2.5", "2.53")],
)
def test_half_a_cent_is_rounded_away_from_zero_and_only_once(spark: SparkSession, amount: str, leg: str, worth: str):
    rates = (f"2024-11-01 | EUR | USD | {leg}",)
    assert _usd(spark, amount, "EUR", "2024-11-01 12:00", rates) == Decimal(worth)


def test_a_hair_below_half_a_cent_is_not_half_a_cent(spark: SparkSession):
    # 20000000.00 x 0.0000000001 / 0.4000000001 is 0.00499999999875: nine decimals would make half a cent of it.
    rates = ("2024-11-01 | EUR | USD | 0.0000000001", "2024-11-01 | EUR | XAU | 0.4000000001")
    assert _usd(spark, "20000000.00", "XAU", "2024-11-01 12:00", rates) == Decimal("0.00")


def test_a_price_with_more_digits_than_its_column_is_no_price(spark: SparkSession):
    rates = ("2024-11-01 | EUR | USD | 9999999999", "2024-11-01 | EUR | XAU | 0.0000000001")
    assert _usd(spark, "9999999999999999.99", "XAU", "2024-11-01 12:00", rates) is None
    assert _usd(spark, "8999999999999999.00", "EUR", "2024-11-01 12:00", ("2024-11-01 | EUR | USD | 1",)) == Decimal(
        "8999999999999999.00"
    )


def test_an_order_never_becomes_two(spark: SparkSession):
    many = frame(
        spark,
        "order_id | currency | amount | order_date",
        *(
            f"O{day} | {currency} | 1.00 | 2024-11-{day:02} 12:00"
            for day in range(1, 20)
            for currency in ("EUR", "GBP")
        ),
        table="snowflake_orders",
    )
    rates = frame(spark, "date | base_currency | quote_currency | rate", *ECB, table="fx_rates")
    assert len(rows(orders(many, rates), "_row_id")) == 38


AMOUNTS = st.decimals("-99999999999.99", "99999999999.99", places=2)
LEGS = st.decimals("0.0000000001", "99999.9999999999", places=10)
ROUND_LEGS = st.sampled_from([Decimal("0.5"), Decimal("0.8"), Decimal("1.25"), Decimal(2), Decimal(8), Decimal(160)])


def _exactly(amount: Decimal, usd_leg: Decimal, leg: Decimal) -> Decimal | None:
    with localcontext(prec=100):
        worth = (amount * usd_leg / leg).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        return worth if abs(worth) < Decimal("9e15") else None


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(usd_leg=LEGS | ROUND_LEGS, orders_of=st.lists(st.tuples(AMOUNTS, LEGS | ROUND_LEGS), min_size=40, max_size=60))
def test_any_price_is_the_exact_quotient_rounded_once(
    spark: SparkSession, usd_leg: Decimal, orders_of: list[tuple[Decimal, Decimal]]
):
    day = date(2024, 11, 1)
    listed = [(day, "EUR", "USD", usd_leg)]
    listed += [(day, "EUR", f"C{number}", leg) for number, (_, leg) in enumerate(orders_of)]
    rate = pa.decimal128(20, 10)
    rates = pa.table(
        {
            "date": [row[0] for row in listed],
            "base_currency": [row[1] for row in listed],
            "quote_currency": [row[2] for row in listed],
            "rate": pa.array([row[3] for row in listed], rate),
        }
    )
    placed = pa.table(
        {
            "currency": [f"C{number}" for number in range(len(orders_of))],
            "amount": pa.array([amount for amount, _ in orders_of], pa.decimal128(18, 2)),
            "order_date": pa.array([datetime(2024, 11, 1, tzinfo=UTC)] * len(orders_of), pa.timestamp("us", "UTC")),
        }
    )
    priced = in_usd(spark.createDataFrame(placed), on="order_date", rates=spark.createDataFrame(rates))

    found = dict(rows(priced, "currency", "amount_usd"))
    assert found == {f"C{number}": _exactly(amount, usd_leg, leg) for number, (amount, leg) in enumerate(orders_of)}


@pytest.mark.parametrize(
    ("total", "units", "average"),
    [("10.00", 4, "2.50"), ("0.05", 2, "0.03"), ("-0.05", 2, "-0.03"), ("10.00", 3, "3.33"), ("1.00", 0, None), ("", 3, None)],
)  # fmt: skip
def test_an_average_price_is_exact_to_the_cent(spark: SparkSession, total: str, units: int, average: str | None):
    sums = frame(spark, "total decimal(28,2) | units bigint", f"{total} | {units}")
    assert rows(sums.select(share(F.col("total"), F.col("units")))) == [(average and Decimal(average),)]
