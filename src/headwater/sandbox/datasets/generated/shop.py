"""The generated shop's warehouse tables: orders, customers, products."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import names, people
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    MINUTE,
    amended,
    choose,
    decimal_text,
    flags,
    instants,
    integers,
    joined,
    micros,
    money,
    nulled,
    padded,
    replaced,
)
from headwater.sandbox.datasets.draws import Ints, Mask, below, unit, weighted
from headwater.sandbox.datasets.folder import table
from headwater.sandbox.datasets.generated.populations import CHUNK, END_US, Population, lag

_STATUSES = ("PLACED", "PAID", "SHIPPED", "COMPLETED", "CANCELLED", "RETURNED", "REFUNDED")
_STATUS_WEIGHTS = [4.0, 5.0, 16.0, 68.0, 4.0, 2.0, 1.0]
_SPELLINGS = (*_STATUSES, *(status.title() for status in _STATUSES), *(status.lower() for status in _STATUSES))
CANCELLED = _STATUSES.index("CANCELLED")
_LATE_CUSTOMERS = 900_000_000
"""Customers of late orders are numbered from here: `C900000007` is the customer of order 7."""
_SEGMENTS = ("consumer", "small business", "enterprise", None)
_MONTH = 31 * DAY
"""As long as the longest month: so much later or earlier is another month."""
_YEARS = (micros(datetime(1970, 1, 1, tzinfo=UTC)), micros(datetime(2100, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)))
_TOO_MANY_DIGITS = ("9999999999999999.9950", "-9999999999999999.9999")
"""Amounts that the source's column holds, and that rounded to cents have a digit more than Silver's."""


@dataclass(frozen=True)
class Shop:
    """The populations that the shop's tables and events refer to."""

    orders: Population
    customers: Population
    products: Population

    @classmethod
    def of(cls, scale: float) -> "Shop":
        """The brief's volumes times `scale`."""
        return cls(
            Population.of("orders", 100_000 * scale, old_share=0.0),
            Population.of("customers", 50_000 * scale, old_share=0.4),
            Population.of("products", 10_000 * scale, old_share=0.8),
        )


def customer_ids(customer: Ints) -> pa.Array:
    """`C000000042`; one in 911 `Ç000000450`."""
    return amended(padded("C", customer, 9), customer % 911 == 450, lambda at: padded("Ç", customer[at], 9))


def product_ids(product: Ints) -> pa.Array:
    """`0000042`: digits only, so that whoever reads them as numbers loses the zeros; one in 487 `É000200`."""
    return amended(padded("", product, 7), product % 487 == 200, lambda at: padded("É", product[at], 6))


def order_ids(order: Ints) -> pa.Array:
    """`O0000000042`; one in 907 `Ö0000000310`."""
    return amended(padded("O", order, 10), order % 907 == 310, lambda at: padded("Ö", order[at], 10))


@dataclass(frozen=True)
class Buyers:
    """Who placed each order."""

    number: Ints
    unknown: Mask
    missing: Mask

    def ids(self) -> pa.Array:
        """Their ids: null, of nobody, or of a customer who appears a day later, for few orders."""
        known = replaced(customer_ids(self.number), self.unknown, padded("X", self.number, 9))
        return nulled(known, self.missing)


def buyers(shop: Shop, order: Ints, placed: Ints) -> Buyers:
    """A customer who exists two hours before the order, some buying much more often than others."""
    existing = shop.customers.existing(placed)
    number = (unit("order.customer", order) ** 1.5 * existing).astype(np.int64)
    late = appears_late(order)
    return Buyers(np.where(late, _LATE_CUSTOMERS + order, number), order % 331 == 5, (order % 509 == 13) & ~late)


def appears_late(order: Ints) -> Mask:
    """The orders whose customer becomes visible only a day after them."""
    late: Mask = (order % 499 == 7) & (order % 331 != 5)
    return late


def final_status(order: Ints) -> Ints:
    """Where an order ends, as a position in the statuses."""
    return weighted("order.status", order, _STATUS_WEIGHTS)


def order_tables(shop: Shop) -> Iterator[pa.Table]:
    """ORDERS: one version of most, two or three of every tenth."""
    for order in shop.orders.chunks():
        placed = shop.orders.created(order)
        versioned = order % 10 == 3
        final = final_status(order)
        yield _order_versions(shop, order, placed, 0, np.where(versioned, 0, final))
        thrice = versioned & (order % 50 == 3)
        paid = placed + HOUR + MINUTE + below("order.paid", order, 6 * HOUR)
        yield _order_versions(shop, order[thrice], paid[thrice], 1, np.ones(thrice.sum(), dtype=np.int64))
        done = placed + 8 * HOUR + below("order.done", order, 5 * DAY)
        moved = np.where(final < 2, 2, final)
        yield _order_versions(shop, order[versioned], done[versioned], 2, moved[versioned])
        yield from _odd_versions(shop, order, done)


def _odd_versions(shop: Shop, order: Ints, done: Ints) -> Iterator[pa.Table]:
    """A third version of few: stamped before the second or with its stamp, or committed across midnight.

    A run at midnight has read past the stamp of what is committed across it: within the hour that runs look back, or
    hours beyond, where no later run finds it.
    """
    seen = done + _lag(order, 2)
    midnight = (done // DAY + 2) * DAY
    for remainder, at, visible in (
        (83, done - HOUR // 2, seen + HOUR // 6),
        (183, done, seen + HOUR // 3),
        (133, midnight - HOUR // 3, midnight + HOUR // 4),
        (233, midnight - 5 * HOUR, midnight + 2 * HOUR),
    ):
        odd = order % 250 == remainder
        returned = np.full(odd.sum(), _STATUSES.index("RETURNED"))
        yield _order_versions(shop, order[odd], at[odd], 3, returned, visible[odd])


def _lag(order: Ints, version: int) -> Ints:
    return lag(f"order.{version}", order, order % 101 == 23)


def _order_versions(
    shop: Shop, order: Ints, at: Ints, version: int, status: Ints, visible: Ints | None = None
) -> pa.Table:
    placed = shop.orders.created(order)
    visible = at + _lag(order, version) if visible is None else visible
    kept = visible < END_US
    order, placed, at, visible, status = order[kept], placed[kept], at[kept], visible[kept], status[kept]
    customer = buyers(shop, order, placed)
    country = people.country_of(customer.number)
    product = below("order.product", order, shop.products.existing(placed))
    quantity = 1 + weighted("order.quantity", order, [60, 20, 8, 5, 3, 1]) + (version == 3)
    # A negative quantity is a slip that the last version of an order with several puts right.
    slipped = (order % 503 == 11) & (version < 2)
    spelling = np.where(order % 20 == 9, len(_STATUSES) * (1 + order // 20 % 2), 0) + status
    return table(
        "snowflake/ORDERS",
        {
            "ORDER_ID": order_ids(order),
            "CUSTOMER_ID": customer.ids(),
            "ORDER_DATE": instants(_business_dates(order, placed, version)),
            "PRODUCT_ID": product_ids(product),
            "QUANTITY": integers(np.where(slipped, -quantity, quantity)),
            "AMOUNT": _amounts(order, _local_cents(price_cents(product) * quantity, country)),
            "CURRENCY": _currencies(order, country),
            "STATUS": replaced(choose(_SPELLINGS, spelling), order % 1009 == 95, "Zurückgeschickt"),
            "LAST_MODIFIED_TS": instants(at),
            "_visible_at": instants(visible),
        },
    )


def _business_dates(order: Ints, placed: Ints, version: int) -> Ints:
    """When it was placed; a later version may say a month more or less, and few say a year that cannot be."""
    if version == 2:
        placed = placed + np.where(order % 370 == 33, _MONTH, 0) - np.where(order % 370 == 183, _MONTH, 0)
    placed = np.where(order % 1499 == 77, _YEARS[0], placed)
    return np.where(order % 1499 == 700, _YEARS[1], placed)


def _amounts(order: Ints, cents: Ints) -> pa.Array:
    """Cents; one in 211 with two decimals more, half of them just half a cent; one in 997 beyond what Silver holds."""
    more = np.where(order // 211 % 2 == 0, 50, below("order.fraction", order, 100))
    units = cents * 100 + np.where(order % 211 == 40, more, 0)
    amounts = money(units, 20, 4)
    return amended(amounts, order % 997 == 60, lambda at: choose(_TOO_MANY_DIGITS, order[at] % 2).cast(amounts.type))


def _currencies(order: Ints, country: Ints) -> pa.Array:
    """ISO codes; one in 97 in small letters or with spaces around it, one in 487 of no country; few signs."""
    spelled = [
        *people.CURRENCIES,
        *(c.lower() for c in people.CURRENCIES),
        *(f" {c} " for c in people.CURRENCIES),
        "XXX",
    ]
    untidy = np.where(order % 97 == 19, len(people.CURRENCIES) * (1 + order // 97 % 2), 0)
    told = choose(spelled, np.where(order % 487 == 17, len(spelled) - 1, country + untidy))
    return replaced(told, order % 1201 == 90, "€")


def _local_cents(us_cents: Ints, country: Ints) -> Ints:
    """The same price in a country's money; whole units where it has no small ones."""
    local: Ints = np.rint(us_cents * people.LEVELS[country]).astype(np.int64)
    return np.where(people.LEVELS[country] >= 100, local // 100 * 100, local)


def price_cents(product: Ints) -> Ints:
    """A list price between 2 and 400 US dollars, most of them low."""
    return np.asarray(200 + unit("product.price", product) ** 3 * 39_800, dtype=np.int64)


def customer_tables(shop: Shop) -> Iterator[pa.Table]:
    """CUSTOMERS: four of ten since before the history, a quarter of all with a change, few with two."""
    everyone = shop.customers
    for customer in everyone.chunks():
        created = everyone.created(customer)
        yield _customer_versions(customer, created, created, 0)
        changed, at = everyone.changing(customer, (3, 4, 5, 6, 7, 8))
        yield _customer_versions(changed, everyone.created(changed), at, 1)
        twice = changed % 20 == 8
        again = at[twice] + 5 * DAY + below("customer.again", changed[twice], 40 * DAY)
        yield _customer_versions(changed[twice], everyone.created(changed[twice]), again, 2)
    for first in range(7, shop.orders.count, 499 * CHUNK):
        order = np.arange(first, min(first + 499 * CHUNK, shop.orders.count), 499, dtype=np.int64)
        order = order[appears_late(order)]
        placed = shop.orders.created(order)
        appears = placed + DAY + below("customer.late", order, 4 * HOUR)
        yield _customer_versions(_LATE_CUSTOMERS + order, placed, appears, 0)


def _customer_versions(customer: Ints, created: Ints, at: Ints, version: int) -> pa.Table:
    kept = at < END_US
    customer, created, at = customer[kept], created[kept], at[kept]
    country = people.country_of(customer)
    moved = customer + 7_000_000_000 * version
    codes = [*people.CODES, *(f" {code.lower()}" for code in people.CODES), "Österreich", None]
    phones = people.phones(customer)
    email = people.emails(customer, np.where(customer % 2 == 0, version, 0))
    spelled = np.where(customer % 113 == 6, len(people.CODES) + country, country)
    segment = weighted(f"customer.segment.{version}", customer, [70, 18, 8, 4])
    return table(
        "snowflake/CUSTOMERS",
        {
            "CUSTOMER_ID": customer_ids(customer),
            "FIRST_NAME": nulled(people.first_names(customer), customer % 307 == 2),
            "LAST_NAME": people.last_names(customer),
            "EMAIL": people.untidy(replaced(email, customer % 409 == 30, joined("zoë.", email)), customer),
            "PHONE": nulled(replaced(phones, customer % 419 == 31, joined("☎ ", phones)), customer % 17 == 1),
            "ADDRESS": people.streets(moved),
            "CITY": choose(people.CITIES, country),
            "COUNTRY": choose(
                codes,
                np.where(customer % 97 == 11, len(codes) - 1, np.where(customer % 1021 == 32, len(codes) - 2, spelled)),
            ),
            "SEGMENT": replaced(choose(_SEGMENTS, segment), customer % 431 == 33, "Geschäftskunde"),
            "CREATED_TS": instants(created),
            "LAST_MODIFIED_TS": instants(at),
            "_visible_at": instants(at),
        },
    )


def product_tables(shop: Shop) -> Iterator[pa.Table]:
    """PRODUCTS: most since before the history; four of ten with another price later, one in twenty withdrawn."""
    goods = shop.products
    for product in goods.chunks():
        yield _product_versions(product, goods.created(product), 0)
        changed, at = goods.changing(product, (1, 2, 3, 4, 5, 6, 7, 8))
        yield _product_versions(changed, at, 1)


def _product_versions(product: Ints, at: Ints, version: int) -> pa.Table:
    product, at = product[at < END_US], at[at < END_US]
    cents = price_cents(product)
    percent = 85 + below("product.reprice", product, 31)
    name = joined(
        choose(names.BRANDS, below("product.brand", product, len(names.BRANDS))),
        " ",
        choose(names.THINGS, below("product.thing", product, len(names.THINGS))),
        " ",
        decimal_text(product),
    )
    return table(
        "snowflake/PRODUCTS",
        {
            "PRODUCT_ID": product_ids(product),
            "NAME": name,
            "CATEGORY": nulled(
                choose(names.CATEGORIES, below("product.category", product, len(names.CATEGORIES))), product % 89 == 5
            ),
            "BRAND": choose(names.BRANDS, below("product.brand", product, len(names.BRANDS))),
            "LIST_PRICE": money(cents if version == 0 else cents * percent // 100, 10),
            "CURRENCY": replaced(
                choose(("USD", "usd"), (product % 61 == 8).astype(np.int64)), product % 491 == 33, "€"
            ),
            "ACTIVE": flags((product % 20 != 8) | (version == 0)),
            "LAST_MODIFIED_TS": instants(at),
            "_visible_at": instants(at),
        },
    )
