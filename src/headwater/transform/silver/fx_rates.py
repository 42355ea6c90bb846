"""silver.fx_rates: exchange rates as published, one a day and pair."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import code, version_of
from headwater.transform.table import silver


@silver("fx_rates")
def fx_rates(fx_vendor_rates: DataFrame) -> DataFrame:
    """Name the pair of every published version of a rate. One row per input version."""
    return fx_vendor_rates.select(
        F.col("date"),
        code("base_currency"),
        code("quote_currency"),
        F.concat(code("base_currency"), F.lit("/"), code("quote_currency")).alias("ccy_pair"),
        F.col("rate"),
        F.col("as_of_time"),
        *version_of("fx_vendor_rates"),
    )
