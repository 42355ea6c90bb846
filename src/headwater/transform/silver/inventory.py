"""silver.inventory: stock levels, counted each day by the ERP and changed by events in between."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import instant, text, version_of
from headwater.transform.table import silver


@silver("inventory", versions=("external_inventory", "kafka_inventory_updates"))
def inventory(external_inventory: DataFrame, kafka_inventory_updates: DataFrame) -> DataFrame:
    """Put the levels of both origins into one form. One row per line of a file and per message.

    The ERP's level holds from the beginning of its file's day in UTC.
    """
    counted = external_inventory.select(
        text("product_id"),
        text("warehouse_id"),
        F.lit("erp").alias("origin"),
        F.col("file_date").cast("timestamp").alias("stock_ts"),
        F.col("file_date").cast("string").alias("_raw_stock_ts"),
        F.col("quantity"),
        F.col("reorder_point"),
        *version_of("external_inventory"),
    )
    happened, as_sent = instant("event_timestamp")
    changed = kafka_inventory_updates.select(
        text("product_id"),
        text("warehouse_id"),
        F.lit("event").alias("origin"),
        happened.alias("stock_ts"),
        as_sent.alias("_raw_stock_ts"),
        F.col("quantity"),
        F.lit(None).cast("bigint").alias("reorder_point"),
        *version_of("kafka_inventory_updates"),
    )
    return counted.unionByName(changed)
