"""The generated shop's events: what happens to orders, what visitors do, how stock moves."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.sandbox.datasets import names
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
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
from headwater.sandbox.datasets.generated.visits import Visits, session_ids
from headwater.sandbox.datasets.messages import in_order, messages, repeated

_EVENT_TYPES = ("PLACED", "PAID", "SHIPPED", "CANCELLED", "placed", "Paid", " SHIPPED", "Cancelled")
_ORDER_METADATA = (
    '{\\"channel\\": \\"web\\"}',
    '{\\"channel\\": \\"app\\", \\"note\\": \\"déjà vu\\"}',
    '{\\"channel\\": \\"store\\", \\"till\\": 7}',
    "",
)
_USER_EVENTS = ("page_view", "search", "product_view", "add_to_cart", "checkout", "logout")
_PAGES = ("/", "/sale", "/cart", "/checkout", "/account", "/search?q=caf%C3%A9", "/søk")
_REASONS = ("sale", "restock", "correction", "return")
_MALFORMED = (
    b'{"order_id": "O0000000001", "event_type": "PA',
    b"not json at all",
    b'["PLACED", "O0000000002"]',
    b'{"order_id": "\xff\xfe"}',
    b'{"order_id": "O0000000003"} {"order_id": "O0000000004"}',
    b"null",
)
_TROUBLE_EVERY = 331
_TOMBSTONE_EVERY = 1999


def order_messages(shop: Shop) -> Iterator[pa.Table]:
    """orders_events: PLACED of two orders in five, then PAID and mostly SHIPPED, or CANCELLED."""
    return in_order(_order_pieces(shop))


def _order_pieces(shop: Shop) -> Iterator[tuple[pa.Table, int]]:
    for every in shop.orders.chunks():
        order = every[every % 5 < 2]
        placed = shop.orders.created(order)
        cancelled = final_status(order) == CANCELLED
        paid = placed + MINUTE + below("event.paid", order, 30 * MINUTE)
        shipped = paid + 12 * HOUR + below("event.shipped", order, 60 * HOUR)
        dropped = placed + 10 * MINUTE + below("event.cancelled", order, DAY)
        sent = ~cancelled & (unit("event.sent", order) < 0.7)
        steps = ((order, placed, 0), (order[~cancelled], paid[~cancelled], 1))
        ends = ((order[sent], shipped[sent], 2), (order[cancelled], dropped[cancelled], 3))
        piece = pa.concat_tables([_order_step(shop, *step) for step in steps + ends])
        following = shop.orders.created(every[-1:] + 1)
        yield piece, int(following[0]) // 1000 * 1000


def _order_step(shop: Shop, order: Ints, at: Ints, step: int) -> pa.Table:
    order, at = order[at < END_US], at[at < END_US] // 1000 * 1000
    buyer = buyers(shop, order, shop.orders.created(order)).ids()
    number = order * 4 + step
    value = joined(
        '{"order_id": "',
        order_ids(order),
        '", "customer_id": ',
        _quoted(buyer),
        ', "event_type": "',
        choose(_EVENT_TYPES, np.where(number % 89 == 4, 4 + step, step)),
        '", "event_timestamp": "',
        iso_millis(at),
        '", "metadata": "',
        choose(_ORDER_METADATA, weighted("event.metadata", number, [60, 20, 15, 5])),
        '"}',
    )
    return _troubled("order_event/1", number, order, order_ids(order), value, at)


def user_messages(shop: Shop, visits: Visits) -> Iterator[pa.Table]:
    """user_events: what visitors do in their sessions."""
    return in_order(_user_pieces(shop, visits))


def _user_pieces(shop: Shop, visits: Visits) -> Iterator[tuple[pa.Table, int]]:
    for every in visits.chunks():
        session, at = visits.moments(every)
        started = visits.sessions.created(session)
        last_start = int(visits.sessions.created(session[-1:])[0])
        kept = at < END_US
        number, session, started, at = every[kept], session[kept], started[kept], at[kept] // 1000 * 1000
        customer = visits.customers(shop, session, started)
        customer_id = nulled(customer_ids(customer), session % 40 == 11)
        page = joined("/p/", product_ids(below("user.product", number, shop.products.existing(started))))
        value = joined(
            '{"event_id": "',
            padded("U", number, 11),
            '", "customer_id": ',
            _quoted(customer_id),
            ', "session_id": "',
            session_ids(visits, session, started),
            '", "event_type": "',
            choose(_USER_EVENTS, weighted("user.type", number, [50, 12, 20, 10, 5, 3])),
            '", "event_timestamp": "',
            iso_millis(at),
            '", "page_url": "https://shop.example',
            replaced(choose(_PAGES, below("user.page", number, len(_PAGES))), number % 3 == 0, page),
            '", "metadata": ',
            choose(('"{\\"ab\\": \\"B\\"}"', '{"scroll": 0.5}', "null"), weighted("user.metadata", number, [6, 2, 2])),
            "}",
        )
        yield _troubled("user_event/1", number, customer, customer_id, value, at), last_start // 1000 * 1000


def stock_messages(shop: Shop, scale: float) -> Iterator[pa.Table]:
    """inventory_updates: the level of a product in a warehouse after something moved it."""
    moves = Population.of("stock", 20_000 * scale, old_share=0.0)
    return in_order(_stock_pieces(shop, moves))


def _stock_pieces(shop: Shop, moves: Population) -> Iterator[tuple[pa.Table, int]]:
    for number in moves.chunks():
        at = moves.created(number) // 1000 * 1000
        product = below("stock.product", number, shop.products.existing(at))
        value = joined(
            '{"product_id": "',
            product_ids(product),
            '", "warehouse_id": "',
            choose(names.WAREHOUSES, below("stock.warehouse", number, len(names.WAREHOUSES))),
            '", "quantity": ',
            decimal_text(below("stock.quantity", number, 400)),
            ', "event_timestamp": "',
            iso_millis(at),
            '", "reason": "',
            choose(_REASONS, weighted("stock.reason", number, [70, 15, 5, 10])),
            '"}',
        )
        # So few a day that one broken message would be more than a gate of 2 % allows: only the history has them.
        whole = _troubled("inventory_update/1", number, product, product_ids(product), value, at, until=START_US)
        yield whole, int(moves.created(number[-1:] + 1)[0]) // 1000 * 1000


def _troubled(
    kind: str, number: Ints, keyed: Ints, key: pa.Array, value: pa.Array, at: Ints, until: int = END_US
) -> pa.Table:
    """Messages of which few are malformed, tombstones, without a key, or told twice."""
    early = at < until
    broken = early & (number % _TROUBLE_EVERY == 100)
    gone = early & (number % _TOMBSTONE_EVERY == 50)
    raw = replaced(value.cast(pa.binary()), broken, choose(_MALFORMED, number // _TROUBLE_EVERY % len(_MALFORMED)))
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


def _quoted(words: pa.Array) -> pa.Array:
    """Each text as JSON: in quotes, or `null`."""
    return pc.fill_null(joined('"', words, '"'), text("null"))
