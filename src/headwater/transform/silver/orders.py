"""silver.orders: orders with their price in US dollars."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import MAX_AGE_DAYS, code, in_usd, money, month, text, version_of
from headwater.transform.table import silver


@silver("orders")
def orders(snowflake_orders: DataFrame, fx_rates: DataFrame, *, fx_max_age_days: int = MAX_AGE_DAYS) -> DataFrame:
    """Price every version of an order at the rates of its day.

    One row per input version: the contract says which version wins. `amount_usd` is null where no rate is at most
    `fx_max_age_days` old; the gate, not this function, decides how many such orders are acceptable.
    """
    cleaned = snowflake_orders.select(
        text("order_id"),
        text("customer_id"),
        text("product_id"),
        F.col("order_date"),
        F.col("quantity"),
        *money("amount"),
        code("currency"),
        text("status"),
        F.col("last_modified_ts"),
        *version_of("snowflake_orders"),
    )
    priced = in_usd(cleaned, on="order_date", rates=fx_rates, max_age_days=fx_max_age_days)
    return priced.select("*", month("order_date", "order_month"))
