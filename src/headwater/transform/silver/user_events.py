"""silver.user_events: what users did, from the stream."""

from pyspark.sql import DataFrame

from headwater.transform.steps import instant, month, text, version_of
from headwater.transform.table import silver


@silver("user_events")
def user_events(kafka_user_events: DataFrame) -> DataFrame:
    """Type every event of a user. One row per message; a repeated event has the same key."""
    typed = kafka_user_events.select(
        text("event_id"),
        text("customer_id"),
        text("session_id"),
        text("event_type"),
        *instant("event_timestamp"),
        text("page_url"),
        "metadata",
        *version_of("kafka_user_events"),
    )
    return typed.select("*", month("event_timestamp", "event_month"))
