"""gold.product_perf_daily: how each product sold on each day, and how much of it was left."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from headwater.transform.steps import first_of_each, revenue, revenue_by_customer, share, stacked
from headwater.transform.table import gold


@gold("product_perf_daily")
def product_perf_daily(orders: DataFrame, products: DataFrame, inventory: DataFrame) -> DataFrame:
    """One row for each UTC day and product with an order."""
    sold = (
        revenue_by_customer(orders, F.to_date("order_date").alias("order_date"), F.col("product_id"))
        .groupBy("order_date", "product_id")
        .agg(
            *revenue(),
            F.sum("cancelled_orders").alias("cancelled_orders"),
            F.sum("priced_units").alias("priced_units"),
        )
    )
    return (
        _with_stock(sold, inventory)
        .join(products.select("product_id", "name", "category"), "product_id", "left")
        .select(
            "order_date",
            "product_id",
            "name",
            "category",
            "orders",
            "units",
            "customers",
            "revenue_usd",
            "net_revenue_usd",
            "cancelled_orders",
            share(F.col("revenue_usd"), F.col("priced_units")).alias("average_price_usd"),
            "stock_on_hand",
        )
    )


def _with_stock(sold: DataFrame, inventory: DataFrame) -> DataFrame:
    """Add `stock_on_hand`: the stock of all warehouses at the end of `order_date`; null before the first record.

    Each record becomes the change that it made to its warehouse. The stock of a day is then the sum of all changes
    up to it, whatever their warehouse: a running sum over records and days, instead of a join of each with each.
    """
    changes = _daily_changes(inventory).groupBy("product_id", "day").agg(F.sum("change").alias("change"))
    asked = sold.withColumn("day", F.col("order_date")).withColumn("change", F.lit(None).cast("bigint"))
    until_now = Window.partitionBy("product_id").orderBy("day").rangeBetween(Window.unboundedPreceding, 0)
    stocked = stacked(asked, changes).withColumn("stock_on_hand", F.sum("change").over(until_now))
    return stocked.where(F.col("order_date").isNotNull()).drop("day", "change")


def _daily_changes(inventory: DataFrame) -> DataFrame:
    """For each product, warehouse and day with a record: by how much the day's last level exceeds the one before."""
    levels = first_of_each(
        inventory.select(
            "product_id", "warehouse_id", F.to_date("stock_ts").alias("day"), "stock_ts", "origin", "quantity"
        ),
        ["product_id", "warehouse_id", "day"],
        [F.col("stock_ts").desc(), (F.col("origin") == "event").desc()],
    )
    before = F.lag("quantity", 1, 0).over(Window.partitionBy("product_id", "warehouse_id").orderBy("day"))
    return levels.select("product_id", "day", (F.col("quantity") - before).alias("change"))
