"""silver.customers: customers with their e-mail and country in one spelling."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import code, email, text, version_of
from headwater.transform.table import silver


@silver("customers")
def customers(snowflake_customers: DataFrame) -> DataFrame:
    """Clean every version of a customer. One row per input version."""
    return snowflake_customers.select(
        text("customer_id"),
        text("first_name"),
        text("last_name"),
        email("email"),
        text("phone"),
        text("address"),
        text("city"),
        code("country"),
        text("segment"),
        F.col("created_ts"),
        F.col("last_modified_ts"),
        *version_of("snowflake_customers"),
    )
