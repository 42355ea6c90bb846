"""Orders, customers and products out of receipts, households and the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.sandbox.datasets import people
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    MINUTE,
    choose,
    flags,
    instants,
    integers,
    joined,
    micros,
    money,
    nulled,
    numbers,
    padded,
    text,
)
from headwater.sandbox.datasets.completejourney.source import Journey, Sales, country_of_store
from headwater.sandbox.datasets.draws import Ints, below
from headwater.sandbox.datasets.folder import table

START = datetime(2017, 12, 1, tzinfo=UTC)
END = datetime(2018, 1, 2, tzinfo=UTC)
END_US = micros(END)
YEAR_US = micros(datetime(2017, 1, 1, tzinfo=UTC))
_KNOWN_US = micros(datetime(2016, 10, 1, tzinfo=UTC))
"""Products and households are known within six weeks from here: before the first mailing, 2016-11-14."""
_CHUNK = 250_000
_SEGMENTS = {
    "Under 15K": "modest", "15-24K": "modest", "25-34K": "modest", "35-49K": "middle", "50-74K": "middle",
    "75-99K": "middle", "100-124K": "affluent", "125-149K": "affluent", "150-174K": "affluent",
    "175-199K": "affluent", "200-249K": "affluent", "250K+": "affluent",
}  # fmt: skip


def customer_ids(household: Ints) -> pa.Array:
    """`H0042`."""
    return padded("H", household, 4)


def product_ids(product: Ints) -> pa.Array:
    """`00025671`."""
    return padded("", product, 8)


def order_ids(sales: Sales, row: Ints) -> pa.Array:
    """`B31198570044-01095275-0`: the receipt, the product, which of its lines."""
    receipt = padded("B", sales.basket[row], 11, "-")
    return joined(receipt, product_ids(sales.product[row]), padded("-", sales.line[row], 2))


def change_time(stream: str, index: Ints) -> Ints:
    """An instant of 2017 per thing that changes, on any day alike."""
    return YEAR_US + DAY + below(stream, index, 364 * DAY)


def order_tables(journey: Journey) -> Iterator[pa.Table]:
    """ORDERS: one per line of a receipt; those of every 50th receipt are told as placed before they are completed."""
    sales = journey.sales
    for first in range(0, len(sales), _CHUNK):
        row = np.arange(first, min(first + _CHUNK, len(sales)), dtype=np.int64)
        slow = sales.basket[row] % 50 == 7
        yield _orders(sales, row, sales.at[row], np.where(slow, 0, 1))
        later = row[slow]
        returned = later % 40 == 0
        yield _orders(sales, later, sales.at[later] + HOUR + below("journey.done", later, 3 * DAY), 1 + returned)


def _orders(sales: Sales, row: Ints, at: Ints, status: Ints) -> pa.Table:
    row, status, at = row[at < END_US], status[at < END_US], at[at < END_US]
    columns = {
        "ORDER_ID": order_ids(sales, row),
        "CUSTOMER_ID": customer_ids(sales.household[row]),
        "ORDER_DATE": instants(sales.at[row]),
        "PRODUCT_ID": product_ids(sales.product[row]),
        "QUANTITY": integers(sales.quantity[row]),
        "AMOUNT": money(sales.cents[row], 10),
        "CURRENCY": choose(people.CURRENCIES, country_of_store(sales.store[row])),
        "STATUS": choose(("PLACED", "COMPLETED", "RETURNED"), status),
        "LAST_MODIFIED_TS": instants(at),
        "_visible_at": instants(at),
    }
    return table("snowflake/ORDERS", columns)


def customer_tables(journey: Journey) -> Iterator[pa.Table]:
    """CUSTOMERS: every household; one in seven moves house in the course of the year."""
    where = np.arange(len(journey.households), dtype=np.int64)
    segments = _segments(journey)
    household = journey.households
    created = _KNOWN_US + below("journey.joined", household, 40 * DAY)
    yield _customers(journey, where, created, created, 0, segments)
    moved = where[household % 7 == 3]
    yield _customers(journey, moved, created[moved], change_time("journey.moved", household[moved]), 1, segments)


def _customers(
    journey: Journey, where: Ints, created: Ints, at: Ints, version: int, segments: list[str | None]
) -> pa.Table:
    household = journey.households[where]
    country = journey.home_country[where]
    columns = {
        "CUSTOMER_ID": customer_ids(household),
        "FIRST_NAME": people.first_names(household),
        "LAST_NAME": people.last_names(household),
        "EMAIL": people.emails(household, np.zeros(len(household), dtype=np.int64)),
        "PHONE": people.phones(household),
        "ADDRESS": people.streets(household + 1_000_000 * version),
        "CITY": choose(people.CITIES, country),
        "COUNTRY": choose(people.CODES, country),
        "SEGMENT": choose(segments, where),
        "CREATED_TS": instants(created),
        "LAST_MODIFIED_TS": instants(at),
        "_visible_at": instants(at),
    }
    return table("snowflake/CUSTOMERS", columns)


def _segments(journey: Journey) -> list[str | None]:
    """What a household's income says of it; null for those that were not asked."""
    asked = journey.table("demographics", ["household_id", "income"]).to_pydict()
    known = {number: _SEGMENTS.get(income) for number, income in zip(*asked.values(), strict=True)}
    return [known.get(int(number)) for number in journey.households]


@dataclass(frozen=True)
class _Catalogue:
    """The products sold or listed, rising by number: their price in cents and whether any was sold."""

    product: Ints
    cents: Ints
    sold: Ints


def _catalogue(sales: Sales, listed: Ints) -> _Catalogue:
    """The mean price on the shelf over the year, of what was ever sold."""
    product = np.union1d(listed, sales.product)
    where = np.searchsorted(product, sales.product)
    sold = np.bincount(where, sales.quantity, len(product)).astype(np.int64)
    cents = np.bincount(where, sales.shelf_cents, len(product))
    return _Catalogue(product, np.rint(cents / np.maximum(sold, 1)).astype(np.int64), sold)


def product_tables(journey: Journey) -> Iterator[pa.Table]:
    """PRODUCTS: the catalogue, and 17 products that were sold without being in it; one in 40 changes its price."""
    words = ["product_id", "manufacturer_id", "brand", "product_category", "product_type", "package_size"]
    listed = journey.table("products", words).sort_by("product_id").combine_chunks()
    catalogue = _catalogue(journey.sales, numbers(listed["product_id"]))
    row = np.searchsorted(numbers(listed["product_id"]), catalogue.product)
    missing = ~np.isin(catalogue.product, numbers(listed["product_id"]))
    told = listed.take(integers(np.where(missing, 0, row)))
    known = {name: nulled(told[name].combine_chunks(), missing) for name in words[1:]}
    every = np.arange(len(catalogue.product), dtype=np.int64)
    yield _products(catalogue, known, every, _KNOWN_US + below("journey.listed", every, 30 * DAY) // MINUTE * MINUTE, 0)
    repriced = every[catalogue.product % 40 == 3]
    yield _products(catalogue, known, repriced, change_time("journey.repriced", repriced), 1)


def _products(catalogue: _Catalogue, known: dict[str, pa.Array], where: Ints, at: Ints, version: int) -> pa.Table:
    row = integers(where)
    kind, size, brand, maker = (
        known[name].take(row) for name in ("product_type", "package_size", "brand", "manufacturer_id")
    )
    cents = catalogue.cents[where] * (100 + version * (below("journey.percent", where, 21) - 10)) // 100
    never = (catalogue.sold[where] == 0) | (cents > 9_999_999_999)
    sized = pc.coalesce(joined(kind, " ", size), kind, joined("Product ", product_ids(catalogue.product[where])))
    columns = {
        "PRODUCT_ID": product_ids(catalogue.product[where]),
        "NAME": sized,
        "CATEGORY": known["product_category"].take(row),
        "BRAND": joined(brand, " ", maker.cast(pa.string())),
        "LIST_PRICE": nulled(money(cents, 10), never),
        "CURRENCY": pa.repeat(text("USD"), len(where)),
        "ACTIVE": flags(catalogue.sold[where] > 0),
        "LAST_MODIFIED_TS": instants(at),
        "_visible_at": instants(at),
    }
    return table("snowflake/PRODUCTS", columns)
