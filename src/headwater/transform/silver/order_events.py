"""silver.order_events: what happened to orders, from the stream."""

from pyspark.sql import DataFrame

from headwater.transform.steps import code, instant, month, text, version_of
from headwater.transform.table import silver


@silver("order_events")
def order_events(kafka_orders_events: DataFrame) -> DataFrame:
    """Type every event of an order. One row per message; a repeated event has the same key."""
    typed = kafka_orders_events.select(
        text("order_id"),
        code("event_type"),
        *instant("event_timestamp"),
        text("customer_id"),
        "metadata",
        *version_of("kafka_orders_events"),
    )
    return typed.select("*", month("event_timestamp", "event_month"))
