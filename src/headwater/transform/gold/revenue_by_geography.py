"""gold.revenue_by_geography: what each country ordered on each day."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import UNKNOWN, revenue, revenue_by_customer
from headwater.transform.table import gold


@gold("revenue_by_geography")
def revenue_by_geography(orders: DataFrame, customers: DataFrame) -> DataFrame:
    """One row for each UTC day and customers' country with an order; `Unknown` where the customer has none."""
    placed = revenue_by_customer(orders, F.to_date("order_date").alias("order_date"))
    country = F.coalesce("country", F.lit(UNKNOWN)).alias("country")
    return (
        placed.join(customers.select("customer_id", "country"), "customer_id", "left")
        .groupBy("order_date", country)
        .agg(*revenue())
        .select("order_date", "country", "orders", "units", "customers", "revenue_usd", "net_revenue_usd")
    )
