"""silver.contacts: people of the CRM's companies."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import email, text, version_of
from headwater.transform.table import silver


@silver("contacts")
def contacts(salesforce_contacts: DataFrame) -> DataFrame:
    """Clean every version of a contact. One row per input version."""
    return salesforce_contacts.select(
        text("id", "contact_id"),
        text("account_id"),
        text("first_name"),
        text("last_name"),
        email("email"),
        text("phone"),
        text("title"),
        F.col("created_date"),
        F.col("last_modified_date"),
        F.col("system_modstamp"),
        F.col("is_deleted"),
        *version_of("salesforce_contacts"),
    )
