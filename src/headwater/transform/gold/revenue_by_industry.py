"""gold.revenue_by_industry: what each industry ordered in each month, and what it may still buy."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import UNKNOWN, account_of_email, month, revenue, revenue_by_customer, stacked
from headwater.transform.table import gold

CLOSED = ("Closed Won", "Closed Lost")
"""Stages in which an opportunity is no longer open."""

_SUMS = {
    "orders": "bigint",
    "units": "bigint",
    "customers": "bigint",
    "revenue_usd": "decimal(28,2)",
    "net_revenue_usd": "decimal(28,2)",
    "open_pipeline": "decimal(28,2)",
}


@gold("revenue_by_industry")
def revenue_by_industry(
    orders: DataFrame, customers: DataFrame, accounts: DataFrame, opportunities: DataFrame
) -> DataFrame:
    """One row for each UTC month and industry with an order or with an open opportunity that closes in it.

    A customer's industry is that of the account whose primary e-mail address is the customer's; an opportunity's is
    that of its own account; `Unknown` without an account or where the account has none.
    """
    earned = _revenue(orders, customers, accounts)
    both = stacked(
        earned.withColumn("open_pipeline", F.lit(None).cast("decimal(28,2)")), _pipeline(opportunities, accounts)
    )
    sums = [F.coalesce(F.sum(name), F.lit(0)).cast(kind).alias(name) for name, kind in _SUMS.items()]
    return both.groupBy("month", "industry").agg(*sums)


def _revenue(orders: DataFrame, customers: DataFrame, accounts: DataFrame) -> DataFrame:
    company = account_of_email(accounts).select(F.col("primary_email").alias("email"), "industry")
    industries = customers.select("customer_id", "email").join(company, "email", "left").drop("email")
    return (
        revenue_by_customer(orders, month("order_date", "month"))
        .join(industries, "customer_id", "left")
        .groupBy("month", _industry())
        .agg(*revenue())
    )


def _pipeline(opportunities: DataFrame, accounts: DataFrame) -> DataFrame:
    """What may still be bought: opportunities that are not closed, by the month in which they should be."""
    is_open = ~F.coalesce(F.col("stage").isin(*CLOSED), F.lit(False)) & F.col("close_date").isNotNull()
    return (
        opportunities.where(is_open)
        .join(accounts.select("account_id", "industry"), "account_id", "left")
        .groupBy(month("close_date", "month"), _industry())
        .agg(F.sum("amount").cast("decimal(28,2)").alias("open_pipeline"))
    )


def _industry() -> Column:
    return F.coalesce("industry", F.lit(UNKNOWN)).alias("industry")
