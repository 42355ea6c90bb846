"""Behaviour out of mailings and coupons, and the three topics out of a sample of the receipts."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import people
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    MINUTE,
    choose,
    compact_seconds,
    decimal_text,
    hexadecimal,
    instants,
    iso_millis,
    joined,
    numbers,
    padded,
    text,
)
from headwater.sandbox.datasets.completejourney.shop import END_US, customer_ids, order_ids, product_ids
from headwater.sandbox.datasets.completejourney.source import Journey, Sales
from headwater.sandbox.datasets.draws import Ints, below, bits
from headwater.sandbox.datasets.folder import PARTITIONS, table
from headwater.sandbox.datasets.messages import in_order, messages

_STEPS = ("PLACED", "PAID", "SHIPPED")


def behavior_tables(journey: Journey) -> Iterator[pa.Table]:
    """customer_behavior: each coupon redeemed, each campaign mailed to a household."""
    told = journey.table("coupon_redemptions", ["household_id", "coupon_upc", "campaign_id", "redemption_date"])
    row = np.arange(told.num_rows, dtype=np.int64)
    at = (
        numbers(told["redemption_date"].cast(pa.timestamp("us"))) + 8 * HOUR + below("journey.redeemed", row, 12 * HOUR)
    )
    upc = decimal_text(numbers(told["coupon_upc"]))
    metadata = joined('{"campaign": ', decimal_text(numbers(told["campaign_id"])), ', "coupon_upc": "', upc, '"}')
    yield _behavior(journey, "R", "coupon_redeemed", "till", numbers(told["household_id"]), at, metadata)
    household, campaign, mailed = mailings(journey)
    metadata = joined('{"campaign": ', decimal_text(campaign), "}")
    yield _behavior(journey, "M", "campaign_mailed", "mail", household, mailed, metadata)


def mailings(journey: Journey) -> tuple[Ints, Ints, Ints]:
    """Household, campaign and instant of each mailing: the morning of the campaign's first day."""
    sent = journey.table("campaigns", ["campaign_id", "household_id"])
    told = journey.table("campaign_descriptions", ["campaign_id", "start_date"]).sort_by("campaign_id")
    first = numbers(told["start_date"].cast(pa.timestamp("us")))
    campaign = numbers(sent["campaign_id"])
    row = np.arange(sent.num_rows, dtype=np.int64)
    at = (
        first[np.searchsorted(numbers(told["campaign_id"]), campaign)]
        + 8 * HOUR
        + below("journey.mailed", row, 4 * HOUR)
    )
    return numbers(sent["household_id"]), campaign, at


def _behavior(
    journey: Journey, prefix: str, name: str, device: str, household: Ints, at: Ints, metadata: pa.Array
) -> pa.Table:
    row = np.arange(len(at), dtype=np.int64)
    country = journey.home_country[journey.position(household)]
    columns = {
        "event_id": padded(prefix, row, 6),
        "customer_id": customer_ids(household),
        "event_name": pa.repeat(text(name), len(at)),
        "event_ts": instants(at),
        "session_id": _session_ids(at, household),
        "device": pa.repeat(text(device), len(at)),
        "geo": choose(people.CODES, country),
        "metadata": metadata,
        "_visible_at": instants(at),
    }
    return table("redshift/customer_behavior", columns)


def _session_ids(at: Ints, household: Ints) -> pa.Array:
    return joined(compact_seconds("S", at), hexadecimal("-", bits("journey.session", household), 8))


def _sample(sales: Sales) -> Ints:
    """The rows of every twentieth receipt."""
    return np.flatnonzero(sales.basket % 20 == 0)


def order_messages(journey: Journey) -> Iterator[pa.Table]:
    """orders_events: each line of every twentieth receipt placed and paid, one in four shipped."""
    sales = journey.sales
    row = _sample(sales)
    placed = sales.at[row]
    paid = placed + MINUTE + below("journey.paid", row, 10 * MINUTE)
    sent = row % 4 == 0
    shipped = paid[sent] + HOUR + below("journey.shipped", row[sent], DAY)
    steps = [_order_step(sales, row, placed, 0), _order_step(sales, row, paid, 1)]
    return in_order([(pa.concat_tables([*steps, _order_step(sales, row[sent], shipped, 2)]), END_US)])


def _order_step(sales: Sales, row: Ints, at: Ints, step: int) -> pa.Table:
    row, at = row[at < END_US], at[at < END_US] // 1000 * 1000
    key = order_ids(sales, row)
    value = joined(
        '{"order_id": "',
        key,
        '", "customer_id": "',
        customer_ids(sales.household[row]),
        f'", "event_type": "{_STEPS[step]}", "event_timestamp": "',
        iso_millis(at),
        '", "metadata": "{\\"store\\": ',
        decimal_text(sales.store[row]),
        '}"}',
    )
    return _plain("order_event/1", row, key, value, at)


def user_messages(journey: Journey) -> Iterator[pa.Table]:
    """user_events: three of five mailings are opened within two days (invented)."""
    household, campaign, mailed = mailings(journey)
    row = np.flatnonzero(np.arange(len(mailed)) % 5 < 3)
    at = (mailed[row] + HOUR + below("journey.opened", row, 2 * DAY)) // 1000 * 1000
    row, at = row[at < END_US], at[at < END_US]
    customer = customer_ids(household[row])
    value = joined(
        '{"event_id": "',
        padded("U", row, 6),
        '", "customer_id": "',
        customer,
        '", "session_id": "',
        _session_ids(at, household[row]),
        '", "event_type": "mailing_opened", "event_timestamp": "',
        iso_millis(at),
        '", "page_url": "https://shop.example/campaign/',
        decimal_text(campaign[row]),
        '", "metadata": null}',
    )
    return in_order([(_plain("user_event/1", household[row], customer, value, at), END_US)])


def stock_messages(journey: Journey) -> Iterator[pa.Table]:
    """inventory_updates: the level (invented) that each line of every hundredth receipt leaves in its store."""
    sales = journey.sales
    row = np.flatnonzero(sales.basket % 100 == 0)
    at = sales.at[row] // 1000 * 1000
    key = product_ids(sales.product[row])
    value = joined(
        '{"product_id": "',
        key,
        '", "warehouse_id": "',
        padded("S", sales.store[row], 5),
        '", "quantity": ',
        decimal_text(below("journey.level", row, 120)),
        ', "event_timestamp": "',
        iso_millis(at),
        '", "reason": "sale"}',
    )
    return in_order([(_plain("inventory_update/1", sales.product[row], key, value, at), END_US)])


def _plain(kind: str, keyed: Ints, key: pa.Array, value: pa.Array, at: Ints) -> pa.Table:
    untraced = np.zeros(len(at), dtype=np.bool_), key
    return messages(kind, below("journey.partition", keyed, PARTITIONS), key, value.cast(pa.binary()), at, untraced)
