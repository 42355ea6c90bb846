"""What several tables share: cleaning, the newest version of a row, prices in US dollars, who belongs to whom.

Every step is written so that Spark and Sail give the same digits: days and months are those of a session in UTC,
text that may not parse goes through `try_cast`, and money is divided as whole numbers.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

MAX_AGE_DAYS = 7
"""How old, in days, a rate may be that still prices an order."""

NOT_REVENUE = ("CANCELLED", "REFUNDED", "RETURNED")
"""Status, in capitals, of orders that net revenue leaves out."""

UNKNOWN = "Unknown"
"""The country or industry of orders whose customer has none."""

_INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-](0\d|1[0-4]):[0-5]\d)?$"
_SECONDS, _MILLISECONDS = r"^\d{9,10}$", r"^\d{12,13}$"
# Prices of this size have more digits than their column; far below it the whole numbers fit the engines' types.
_TOO_LARGE_USD = 9e15
# A rate has ten decimals: this many units make it a whole number.
_UNITS = Decimal(10**10)
_DAYS_OF_A_CURRENCY = 1 << 32
_NO_DAY = -(1 << 31)


def text(column: str, name: str | None = None) -> Column:
    """A text column without spaces at its ends; nothing left is null."""
    return F.nullif(F.trim(F.col(column)), F.lit("")).alias(name or column)


def code(column: str, name: str | None = None) -> Column:
    """`text` in capitals: currencies, countries, kinds of events."""
    return F.upper(text(column)).alias(name or column)


def email(column: str, name: str | None = None) -> Column:
    """`text` in small letters, as e-mail addresses are compared."""
    return F.lower(text(column)).alias(name or column)


def money(column: str) -> list[Column]:
    """A decimal column to the cent, half away from zero, and `_raw_<column>`, which says what has too many digits."""
    cents = F.col(column).try_cast("decimal(18,2)")
    # Only what did not fit is spelled out: text of every amount would cost more than the rest of its cleaning.
    raw = F.when(cents.isNull(), F.col(column).cast("string"))
    return [cents.alias(column), raw.alias(f"_raw_{column}")]


def instant(column: str) -> list[Column]:
    """A column of text as a UTC timestamp, and `_raw_<column>`; null where the text is no instant.

    An instant is ISO 8601 (in UTC where it has no zone), or the seconds or milliseconds since 1970.
    """
    raw = text(column)
    seconds = F.when(raw.rlike(_SECONDS), raw).try_cast("bigint")
    milliseconds = F.when(raw.rlike(_MILLISECONDS), raw).try_cast("bigint")
    # Every session is in UTC, and so is text without a zone.
    iso = F.when(raw.rlike(_INSTANT), raw).try_cast("timestamp")
    parsed = F.coalesce(iso, F.timestamp_millis(F.coalesce(milliseconds, seconds * F.lit(1000))))
    return [parsed.alias(column), raw.alias(f"_raw_{column}")]


def month(column: str, name: str) -> Column:
    """The month of a timestamp or date, as `yyyy-MM` in UTC."""
    return F.date_format(F.col(column), "yyyy-MM").alias(name)


def version_of(bronze: str) -> list[Column]:
    """The columns that say which landed version a row came from."""
    return [F.col("_row_id"), F.col("_ingest_ts"), F.col("_run_id"), F.lit(bronze).alias("_input")]


def first_of_each(rows: DataFrame, key: Sequence[str], order: Sequence[Column]) -> DataFrame:
    """One row for each value of `key`: the first by `order`, which should leave no ties."""
    ranked = rows.withColumn("_rank", F.row_number().over(Window.partitionBy(*key).orderBy(*order)))
    return ranked.where(F.col("_rank") == 1).drop("_rank")


def stacked(rows: DataFrame, more: DataFrame) -> DataFrame:
    """The rows of both under the columns of `rows`; what `more` lacks is null.

    `unionByName(allowMissingColumns=True)` would give those nulls no type on Sail.
    """
    held = set(more.columns)
    filled = [F.col(name) if name in held else F.lit(None).cast(kind).alias(name) for name, kind in rows.dtypes]
    return rows.unionByName(more.select(*filled))


def newest(versions: DataFrame, key: str, cursor: str) -> DataFrame:
    """The newest landed version of each key: by cursor, then by landing, then by the greater `_row_id`."""
    order = [F.col(column).desc_nulls_last() for column in (cursor, "_ingest_ts", "_run_id", "_row_id")]
    return first_of_each(versions.where(F.col(key).isNotNull()), [key], order)


def in_usd(rows: DataFrame, *, on: str, rates: DataFrame, max_age_days: int = MAX_AGE_DAYS) -> DataFrame:
    """Add `amount_usd`, decimal(18,2): the column `amount` of `currency` at the rates of the UTC day of `on`.

    The day's rates are those of the newest date, not after it and at most `max_age_days` before it, on which both the
    dollar and the currency have one. No such date: null. US dollars are worth themselves. The result is exact:
    amount times the dollar's leg, divided by the currency's, rounded half away from zero to the cent.

    `rates` is read here: a price list is small, and looking each row up in it is far cheaper than a join, for which
    an engine may sort all rows.
    """
    cents, currency = F.col("amount").cast("decimal(18,2)"), F.col("currency")
    priced = rows.withColumn("_legs", _price_list(rates, max_age_days)(currency, F.to_date(F.col(on))))
    usd = F.when(currency == "USD", cents).otherwise(_quotient(cents, F.col("_legs.usd_leg"), F.col("_legs.leg")))
    return priced.withColumn("amount_usd", usd).drop("_legs")


def _price_list(rates: DataFrame, max_age_days: int) -> Callable[[Column, Column], Column]:
    """A function of a currency and a day: its `leg` and the dollar's `usd_leg`, or null."""
    listed = dated_legs(rates).toArrow().sort_by([("currency", "ascending"), ("date", "ascending")])
    listed = listed.combine_chunks()
    currencies = listed["currency"].unique()
    legs = [listed["usd_leg"].combine_chunks(), listed["leg"].combine_chunks()]
    # Currency and day as one number that sorts by both: the line that counts is the last one not above what is asked.
    days = listed["date"].cast(pa.int32()).to_numpy()
    lines = _numbered(pc.index_in(listed["currency"], currencies), days)

    def line_of(currency: pa.Array, day: pa.Array) -> pa.Array:
        number = pc.index_in(currency.cast(pa.string()), currencies)
        asked_day = pc.fill_null(day.cast(pa.int32()), _NO_DAY).to_numpy(zero_copy_only=False)
        asked = _numbered(number, asked_day)
        line = np.searchsorted(lines, asked, side="right") - 1
        held = (line >= 0) & number.is_valid().to_numpy(zero_copy_only=False)
        held[held] = asked[held] - lines[line[held]] <= max_age_days
        place = pa.array(line, mask=~held)
        return pa.StructArray.from_arrays([leg.take(place) for leg in legs], names=["usd_leg", "leg"])

    # The stubs of PySpark 4.1.1 do not have it yet.
    udf = cast("Any", F).arrow_udf(line_of, "struct<usd_leg:decimal(20,10),leg:decimal(20,10)>")
    return cast("Callable[[Column, Column], Column]", udf)


def _numbered(currency: pa.Array, day: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    number = pc.fill_null(currency, -1).to_numpy(zero_copy_only=False)
    return cast("npt.NDArray[np.int64]", number.astype(np.int64) * _DAYS_OF_A_CURRENCY + day)


def dated_legs(rates: DataFrame) -> DataFrame:
    """For each `currency` but the dollar, and each `date` on which both have a rate: its `leg` and the dollar's `usd_leg`.

    Both legs are units for one unit of the same base on the same date; of several bases the first by name counts.
    """
    quoted = rates.where((F.col("rate") > 0) & (F.col("base_currency") != F.col("quote_currency"))).select(
        "date", "base_currency", F.col("quote_currency").alias("currency"), F.col("rate").alias("leg")
    )
    one = F.lit(Decimal(1)).cast("decimal(20,10)").alias("leg")
    base = quoted.select("date", "base_currency").distinct().withColumn("currency", F.col("base_currency"))
    legs = quoted.unionByName(base.select("date", "base_currency", "currency", one))
    dollar = legs.where(F.col("currency") == "USD").select("date", "base_currency", F.col("leg").alias("usd_leg"))
    both = legs.where(F.col("currency") != "USD").join(dollar, ["date", "base_currency"])
    dated = first_of_each(both, ["currency", "date"], [F.col("base_currency").asc()])
    return dated.select("currency", "date", "usd_leg", "leg")


def share(total: Column, parts: Column) -> Column:
    """A sum of money divided by a count, exact to the cent, half away from zero; null for a count of 0."""
    counted = F.when(parts > 0, parts).cast("decimal(20,10)")
    return _quotient(total, F.lit(Decimal(1)).cast("decimal(20,10)"), counted)


def _quotient(amount: Column, times: Column, divisor: Column) -> Column:
    """`amount * times / divisor` as decimal(18,2), half away from zero; null where it has too many digits.

    The engines disagree about the digits of decimal / decimal, so this divides whole numbers: cents by ten-billionths.
    """
    size = F.abs(amount).cast("double") * times.cast("double") / divisor.cast("double")
    cents = (F.abs(amount) * F.lit(Decimal(100))).cast("decimal(18,0)")
    product = cents * (times * _UNITS).cast("decimal(20,0)") * F.lit(Decimal(2))
    units = (divisor * _UNITS).cast("decimal(20,0)")
    rounded = F.call_function("div", product + units, units * F.lit(Decimal(2)))
    signed = F.when(amount < 0, -rounded).otherwise(rounded).cast("decimal(18,0)")
    return F.when(size < _TOO_LARGE_USD, (signed * F.lit(Decimal("0.01"))).cast("decimal(18,2)"))


def account_of_email(accounts: DataFrame) -> DataFrame:
    """One account for each `primary_email`: the one modified last, the smaller `account_id` at a tie."""
    order = [F.col("last_modified_date").desc_nulls_last(), F.col("account_id").asc()]
    return first_of_each(accounts.where(F.col("primary_email").isNotNull()), ["primary_email"], order)


def revenue_by_customer(orders: DataFrame, *by: Column) -> DataFrame:
    """Orders summed by the named columns `by` and by customer, so that `revenue` counts customers by counting rows."""
    net = F.coalesce(~F.upper("status").isin(*NOT_REVENUE), F.lit(True))
    cancelled = F.coalesce(F.upper("status") == "CANCELLED", F.lit(False))
    return orders.groupBy(*by, F.col("customer_id")).agg(
        F.count("order_id").alias("orders"),
        F.sum("quantity").alias("units"),
        F.sum("amount_usd").alias("revenue_usd"),
        F.sum(F.when(net, F.col("amount_usd"))).alias("net_revenue_usd"),
        F.sum(F.when(cancelled, 1).otherwise(0)).alias("cancelled_orders"),
        F.sum(F.when(F.col("amount_usd").isNotNull(), F.col("quantity"))).alias("priced_units"),
    )


def revenue() -> list[Column]:
    """The measures of every revenue table, from rows of `revenue_by_customer`; empty sums are 0."""

    def money_sum(column: str) -> Column:
        return F.coalesce(F.sum(column), F.lit(0)).cast("decimal(28,2)").alias(column)

    return [
        F.sum("orders").alias("orders"),
        F.sum("units").alias("units"),
        F.count("customer_id").alias("customers"),
        money_sum("revenue_usd"),
        money_sum("net_revenue_usd"),
    ]
