"""silver.accounts: companies of the CRM, each with one e-mail address to find its customers by."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import email, first_of_each, money, newest, text, version_of
from headwater.transform.table import silver


@silver("accounts")
def accounts(salesforce_accounts: DataFrame, salesforce_contacts: DataFrame) -> DataFrame:
    """Clean every version of an account and give it its primary e-mail address. One row per input version.

    All versions of an account get the address that its contacts give it now, deleted contacts left out.
    """
    cleaned = salesforce_accounts.select(
        text("id", "account_id"),
        text("name"),
        text("industry"),
        *money("annual_revenue"),
        text("phone"),
        text("billing_street"),
        text("billing_city"),
        text("billing_country"),
        F.col("created_date"),
        F.col("last_modified_date"),
        F.col("system_modstamp"),
        F.col("is_deleted"),
        *version_of("salesforce_accounts"),
    )
    return cleaned.join(_primary_emails(salesforce_contacts), "account_id", "left")


def _primary_emails(salesforce_contacts: DataFrame) -> DataFrame:
    """For each account with an e-mail address, that of its oldest contact; of equally old ones the smaller id's."""
    contacts = salesforce_contacts.select(
        text("id", "contact_id"),
        text("account_id"),
        email("email", "primary_email"),
        "created_date",
        "system_modstamp",
        "is_deleted",
        "_ingest_ts",
        "_run_id",
        "_row_id",
    )
    reachable = newest(contacts, "contact_id", "system_modstamp").where(
        ~F.coalesce("is_deleted", F.lit(False)) & F.col("account_id").isNotNull() & F.col("primary_email").isNotNull()
    )
    oldest_first = [F.col("created_date").asc_nulls_last(), F.col("contact_id").asc()]
    return first_of_each(reachable, ["account_id"], oldest_first).select("account_id", "primary_email")
