"""The dataset `generated`: an invented shop, the same on every machine."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from headwater.sandbox.datasets.files import write_files
from headwater.sandbox.datasets.folder import About, write_table
from headwater.sandbox.datasets.generated.back_office import back_office_files
from headwater.sandbox.datasets.generated.crm import Crm, account_tables, contact_tables, opportunity_tables
from headwater.sandbox.datasets.generated.events import order_messages, stock_messages, user_messages
from headwater.sandbox.datasets.generated.populations import END, FIRST, START
from headwater.sandbox.datasets.generated.service import (
    Desk,
    case_tables,
    lead_tables,
    solution_tables,
    task_tables,
)
from headwater.sandbox.datasets.generated.shop import Shop, customer_tables, order_tables, product_tables
from headwater.sandbox.datasets.generated.stock import stock_files
from headwater.sandbox.datasets.generated.visits import Visits, behavior_tables
from headwater.sandbox.datasets.rates import corrections, rates

ABOUT = About(
    name="generated",
    title="An invented shop",
    about="Deterministic; a year of history before the start clock and 60 days after it, with the usual troubles.",
    version=2,
    start=START,
    end=END,
)


def parts(folder: Path, scale: float) -> dict[str, Callable[[], int]]:
    """What has to be written, by its path in the folder: independent of one another, the longest first."""
    shop = Shop.of(scale)
    crm = Crm.of(scale, shop.customers)
    desk = Desk.of(scale, crm)
    return {
        "snowflake/ORDERS": lambda: write_table(folder, "snowflake/ORDERS", order_tables(shop)),
        "kafka/orders_events": lambda: write_table(folder, "kafka/orders_events", order_messages(shop)),
        "snowflake/CUSTOMERS": lambda: write_table(folder, "snowflake/CUSTOMERS", customer_tables(shop)),
        "kafka/user_events": lambda: write_table(
            folder, "kafka/user_events", user_messages(shop, Visits.of("user", 50_000 * scale))
        ),
        "redshift/customer_behavior": lambda: write_table(
            folder, "redshift/customer_behavior", behavior_tables(shop, Visits.of("behavior", 50_000 * scale))
        ),
        "kafka/inventory_updates": lambda: write_table(folder, "kafka/inventory_updates", stock_messages(shop, scale)),
        "s3/files": lambda: write_files(folder, stock_files(shop, scale), back_office_files(shop, scale)),
        "snowflake/PRODUCTS": lambda: write_table(folder, "snowflake/PRODUCTS", product_tables(shop)),
        "salesforce/Contact": lambda: write_table(folder, "salesforce/Contact", contact_tables(crm)),
        "salesforce/Opportunity": lambda: write_table(folder, "salesforce/Opportunity", opportunity_tables(crm)),
        "salesforce/Task": lambda: write_table(folder, "salesforce/Task", task_tables(desk)),
        "salesforce/Lead": lambda: write_table(folder, "salesforce/Lead", lead_tables(desk)),
        "salesforce/Case": lambda: write_table(folder, "salesforce/Case", case_tables(desk)),
        "salesforce/Solution": lambda: write_table(folder, "salesforce/Solution", solution_tables(desk)),
        "salesforce/Account": lambda: write_table(folder, "salesforce/Account", account_tables(crm)),
        "fx/rates": lambda: write_table(folder, "fx/rates", _rate_tables()),
    }


def _rate_tables() -> list[pa.Table]:
    """The bank's rates from 20 days before the first order, corrected weekly and, after the start clock, daily."""
    published = rates((FIRST - timedelta(days=20)).date(), END.date())
    weekly = corrections(published, FIRST.date(), START.date(), every_days=7)
    return [published, weekly, corrections(published, START.date(), END.date(), every_days=1)]
