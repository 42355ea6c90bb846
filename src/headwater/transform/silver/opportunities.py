"""silver.opportunities: what the CRM's companies may buy."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import money, text, version_of
from headwater.transform.table import silver


@silver("opportunities")
def opportunities(salesforce_opportunities: DataFrame) -> DataFrame:
    """Clean every version of an opportunity. One row per input version."""
    return salesforce_opportunities.select(
        text("id", "opportunity_id"),
        text("account_id"),
        text("name"),
        text("stage_name", "stage"),
        *money("amount"),
        F.col("close_date"),
        F.col("probability"),
        F.col("created_date"),
        F.col("last_modified_date"),
        F.col("system_modstamp"),
        F.col("is_deleted"),
        *version_of("salesforce_opportunities"),
    )
