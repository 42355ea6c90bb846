"""silver.products: products with their list price to the cent."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import code, money, text, version_of
from headwater.transform.table import silver


@silver("products")
def products(snowflake_products: DataFrame) -> DataFrame:
    """Clean every version of a product. One row per input version."""
    return snowflake_products.select(
        text("product_id"),
        text("name"),
        text("category"),
        text("brand"),
        *money("list_price"),
        code("currency"),
        F.col("active"),
        F.col("last_modified_ts"),
        *version_of("snowflake_products"),
    )
