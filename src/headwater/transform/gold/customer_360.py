"""gold.customer_360: each customer with its company, its orders and its visits."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import account_of_email
from headwater.transform.table import gold


@gold("customer_360")
def customer_360(customers: DataFrame, accounts: DataFrame, orders: DataFrame, behavior: DataFrame) -> DataFrame:
    """One row for each customer.

    The company is the account whose primary e-mail address is the customer's. Metrics are null for a customer
    without any order, or without any event.
    """
    company = account_of_email(accounts).select(
        F.col("primary_email").alias("email"), "account_id", "industry", "annual_revenue", "billing_city"
    )
    joined = (
        customers.select("customer_id", "email", "country")
        .join(company, "email", "left")
        .join(_orders_of_customers(orders), "customer_id", "left")
        .join(_visits_of_customers(behavior), "customer_id", "left")
    )
    return joined.select(
        F.coalesce("customer_id", "account_id").alias("customer_key"),
        "customer_id",
        "email",
        "country",
        "industry",
        "annual_revenue",
        "billing_city",
        "total_orders",
        "total_revenue",
        "last_order_date",
        "total_events",
        "total_sessions",
        "last_activity_date",
    )


def _orders_of_customers(orders: DataFrame) -> DataFrame:
    return orders.groupBy("customer_id").agg(
        F.count("order_id").alias("total_orders"),
        F.sum("amount_usd").cast("decimal(28,2)").alias("total_revenue"),
        F.max("order_date").alias("last_order_date"),
    )


def _visits_of_customers(behavior: DataFrame) -> DataFrame:
    """Events and different sessions of each customer.

    Counted by session first: a distinct count in one step keeps every session of a customer in memory.
    """
    sessions = behavior.groupBy("customer_id", "session_id").agg(
        F.count("event_id").alias("events"), F.max("event_ts").alias("last_ts")
    )
    return sessions.groupBy("customer_id").agg(
        F.sum("events").alias("total_events"),
        F.count("session_id").alias("total_sessions"),
        F.max("last_ts").alias("last_activity_date"),
    )
