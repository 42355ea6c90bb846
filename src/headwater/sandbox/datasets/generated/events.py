"""The generated shop's events: what happens to orders, what visitors do, how stock moves."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.sandbox.datasets import names
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    amended,
    choose,
    decimal_text,
    hexadecimal,
    iso_millis,
    joined,
    nulled,
    padded,
    replaced,
    text,
)
from headwater.sandbox.datasets.draws import Ints, below, bits, unit, weighted
from headwater.sandbox.datasets.folder import PARTITIONS
from headwater.sandbox.datasets.generated.populations import END_US, START_US, Population
from headwater.sandbox.datasets.generated.shop import (
    CANCELLED,
    Shop,
    buyers,
    customer_ids,
    final_status,
    order_ids,
    product_ids,
)
from headwater.sandbox.datasets.generated.stock import Counts
from headwater.sandbox.datasets.generated.visits import Visits, session_ids
from headwater.sandbox.datasets.messages import in_order, messages, repeated

_EVENT_TYPES = ("PLACED", "PAID", "SHIPPED", "CANCELLED", "placed", "Paid", " SHIPPED", "Cancelled", "ОПЛАЧЕНО")
_METADATA = (
    '"{\\"channel\\": \\"web\\"}"',
    '"{\\"channel\\": \\"app\\", \\"note\\": \\"déjà vu\\"}"',
    '"{\\"channel\\": \\"store\\", \\"till\\": 7}"',
    '""',
    '{"channel": "web", "basket": [1, {"a": null}], "café": true}',
    "[1, 2, []]",
    "7",
    "0.5",
    "false",
    "null",
    '"no JSON: naïve"',
    '"{\\"cut\\": \\"of"',
    "{}",
)
_ORDER_METADATA = [55.0, 19, 14, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1]
_USER_METADATA = [50.0, 2, 1, 2, 20, 1, 1, 1, 1, 18, 1, 1, 1]
_USER_EVENTS = ("page_view", "search", "product_view", "add_to_cart", "checkout", "logout")
_PAGES = ("/", "/sale", "/cart", "/checkout", "/account", "/search?q=caf%C3%A9", "/søk")
_REASONS = ("sale", "restock", "correction", "return", "Zählung")
_YEARS = ('"1970-01-01T00:00:00.000Z"', '"2100-12-31T23:59:59.999Z"')
_NO_INSTANTS = ('"soon"', '""', '"2024-13-01T00:00:00Z"', "20241101", '"2024-11-01"', "null", "1730419200.5")
_MALFORMED = (
    b'{"order_id": "O0000000001", "event_type": "PA',
    b"not json at all",
    b'["PLACED", "O0000000002"]',
    b'{"order_id": "\xff\xfe"}',
    b'{"order_id": "O0000000003"} {"order_id": "O0000000004"}',
    b"null",
)
_TROUBLE_EVERY = 331
_TROUBLE_EARLY_EVERY = 151
_TOMBSTONE_EVERY = 907


def order_messages(shop: Shop) -> Iterator[pa.Table]:
    """orders_events: PLACED of two orders in five, then PAID and mostly SHIPPED, or CANCELLED."""
    return in_order(_order_pieces(shop))


def _order_pieces(shop: Shop) -> Iterator[tuple[pa.Table, int]]:
    for every in shop.orders.chunks():
        order = every[every % 5 < 2]
        placed = shop.orders.created(order)
        cancelled = final_status(order) == CANCELLED
        after = MINUTE + below("event.paid", order, 30 * MINUTE)
        paid = placed + np.where(order % 103 == 41, -after, after)
        shipped = placed + after + 12 * HOUR + below("event.shipped", order, 60 * HOUR)
        dropped = placed + 10 * MINUTE + below("event.cancelled", order, DAY)
        sent = ~cancelled & (unit("event.sent", order) < 0.7)
        steps = ((order, placed, 0), (order[~cancelled], paid[~cancelled], 1))
        ends = ((order[sent], shipped[sent], 2), (order[cancelled], dropped[cancelled], 3))
        piece = pa.concat_tables([_order_step(shop, *step) for step in steps + ends])
        following = shop.orders.created(every[-1:] + 1)
        # No message is older than this: one that is told before its cause is so by half an hour at most.
        yield piece, int(following[0]) // 1000 * 1000 - HOUR


def _order_step(shop: Shop, order: Ints, at: Ints, step: int) -> pa.Table:
    order, at = order[at < END_US], at[at < END_US] // 1000 * 1000
    buyer = buyers(shop, order, shop.orders.created(order)).ids()
    number = order * 4 + step
    kind = np.where(number % 499 == 12, len(_EVENT_TYPES) - 1, np.where(number % 89 == 4, 4 + step, step))
    value = joined(
        '{"order_id": ',
        _quoted(nulled(order_ids(order), number % 701 == 11)),
        ', "customer_id": ',
        _quoted(buyer),
        ', "event_type": "',
        choose(_EVENT_TYPES, kind),
        '", "event_timestamp": ',
        _stamps(number, at),
        _metadata("event.metadata", number, _ORDER_METADATA),
        "}",
    )
    return _troubled("order_event/1", number, order, order_ids(order), value, at)


def user_messages(shop: Shop, visits: Visits) -> Iterator[pa.Table]:
    """user_events: what visitors do in their sessions."""
    return in_order(_user_pieces(shop, visits))


def _user_pieces(shop: Shop, visits: Visits) -> Iterator[tuple[pa.Table, int]]:
    for every in visits.chunks():
        session, at = visits.moments(every)
        last_start = int(visits.sessions.created(session[-1:])[0])
        number, at = every[at < END_US], at[at < END_US] // 1000 * 1000
        told = _user_events(shop, visits, number, at, at)
        # Told once more: with an older stamp, which loses, or with the same, where the greater position wins.
        again = (number % 211 == 30) | (number % 211 == 130)
        which, since = number[again], at[again]
        stamp, later = since - np.where(which % 211 == 30, 10 * MINUTE, 0), since + 2 * SECOND
        corrected = _user_events(
            shop, visits, which[later < END_US], stamp[later < END_US], later[later < END_US], "/new"
        )
        yield pa.concat_tables([told, corrected]), last_start // 1000 * 1000


def _user_events(shop: Shop, visits: Visits, number: Ints, stamp: Ints, at: Ints, page: str = "") -> pa.Table:
    """Messages told at `at` of what happened at `stamp`; on `page`, if one is given."""
    session, _ = visits.moments(number)
    started = visits.sessions.created(session)
    customer = visits.customers(shop, session, started)
    customer_id = nulled(customer_ids(customer), session % 40 == 11)
    product = joined("/p/", product_ids(below("user.product", number, shop.products.existing(started))))
    pages = replaced(choose(_PAGES, below("user.page", number, len(_PAGES))), number % 3 == 0, product)
    kind = choose(_USER_EVENTS, weighted("user.type", number, [50, 12, 20, 10, 5, 3]))
    event_id = amended(padded("U", number, 11), number % 997 == 14, lambda at: padded("Ü", number[at], 11))
    value = joined(
        '{"event_id": ',
        _quoted(nulled(event_id, number % 1499 == 13)),
        ', "customer_id": ',
        _quoted(customer_id),
        ', "session_id": "',
        session_ids(visits, session, started),
        '", "event_type": "',
        replaced(kind, number % 503 == 15, "página_vista"),
        '", "event_timestamp": ',
        _stamps(number, stamp),
        ', "page_url": "https://shop.example',
        replaced(pages, np.full(len(number), bool(page)), page),
        '"',
        _metadata("user.metadata", number, _USER_METADATA),
        "}",
    )
    return _troubled("user_event/1", number, customer, customer_id, value, at)


def stock_messages(shop: Shop, scale: float) -> Iterator[pa.Table]:
    """inventory_updates: the level of a product in a warehouse after something moved it."""
    moves = Population.of("stock", 20_000 * scale, old_share=0.0)
    return in_order(_stock_pieces(shop, moves, Counts.of(shop, scale)))


def _stock_pieces(shop: Shop, moves: Population, counts: Counts) -> Iterator[tuple[pa.Table, int]]:
    for number in moves.chunks():
        at = moves.created(number) // 1000 * 1000
        product, stamp = below("stock.product", number, shop.products.existing(at)), at.copy()
        # Few say what they changed at the very instant for which the ERP counted the product.
        tied = np.flatnonzero(number % 31 == 5)
        counted, products = counts.counted(at[tied], number[tied])
        product[tied[counted]], stamp[tied[counted]] = products, at[tied[counted]] // DAY * DAY
        early = at < START_US
        value = joined(
            '{"product_id": ',
            _quoted(nulled(product_ids(product), early & (number % 499 == 14))),
            ', "warehouse_id": "',
            choose(names.WAREHOUSES, below("stock.warehouse", number, len(names.WAREHOUSES))),
            '", "quantity": ',
            decimal_text(below("stock.quantity", number, 400)),
            ', "event_timestamp": ',
            _stamps(number, stamp, until=START_US),
            ', "reason": "',
            choose(_REASONS, weighted("stock.reason", number, [70, 15, 5, 9, 1])),
            '"}',
        )
        # So few a day that one broken message would be more than a gate of 2 % allows: only the history has them.
        whole = _troubled("inventory_update/1", number, product, product_ids(product), value, at, until=START_US)
        yield whole, int(moves.created(number[-1:] + 1)[0]) // 1000 * 1000


def _troubled(
    kind: str, number: Ints, keyed: Ints, key: pa.Array, value: pa.Array, at: Ints, until: int = END_US
) -> pa.Table:
    """Messages of which few are malformed, tombstones, without a key, or told twice."""
    early, every = at < until, _TROUBLE_EVERY if until == END_US else _TROUBLE_EARLY_EVERY
    broken = early & (number % every == 100)
    gone = early & (number % _TOMBSTONE_EVERY == 50)
    raw = replaced(value.cast(pa.binary()), broken, choose(_MALFORMED, number // every % len(_MALFORMED)))
    traces = (number % 10 == 0, hexadecimal("", bits(f"{kind}.trace", number), 16))
    table = messages(
        kind,
        below(f"{kind}.partition", keyed, PARTITIONS),
        nulled(key, number % 701 == 6),
        nulled(raw, gone),
        at,
        traces,
    )
    return repeated(table, number % _TROUBLE_EVERY == 200, SECOND)


def _stamps(number: Ints, at: Ints, until: int = END_US) -> pa.Array:
    """Instants as JSON: mostly ISO 8601 in UTC, in each of the other notations one in some twenty, few no instants.

    Those that are no instants come before `until` only.
    """

    def notation(written: Callable[[Ints], pa.Array]) -> Callable[[Ints], pa.Array]:
        return lambda few: written(at[few])

    told = joined('"', iso_millis(at), '"')
    for every, rest, written in (
        (17, 3, lambda us: joined('"', iso_millis(us + 2 * HOUR, "+02:00"), '"')),
        (19, 5, lambda us: joined('"', iso_millis(us, ""), '"')),
        (23, 6, lambda us: decimal_text(us // 1000)),
        (29, 7, lambda us: decimal_text(us // SECOND)),
        (31, 8, lambda us: joined('"', decimal_text(us // 1000), '"')),
        (997, 10, lambda us: choose(_YEARS, us // SECOND % 2)),
    ):
        told = amended(told, number % every == rest, notation(written))
    never = (number % 499 == 9) & (at < until)
    return replaced(told, never, choose(_NO_INSTANTS, number // 499 % len(_NO_INSTANTS)))


def _metadata(stream: str, number: Ints, weights: list[float]) -> pa.Array:
    """A field of any shape, with the comma before it; one in 83 messages lacks it."""
    field = joined(', "metadata": ', choose(_METADATA, weighted(stream, number, weights)))
    return replaced(field, number % 83 == 16, "")


def _quoted(words: pa.Array) -> pa.Array:
    """Each text as JSON: in quotes, or `null`."""
    return pc.fill_null(joined('"', words, '"'), text("null"))
