"""Visitors' sessions, and the analytics database's `customer_behavior`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import people
from headwater.sandbox.datasets.columns import (
    SECOND,
    choose,
    compact_seconds,
    decimal_text,
    hexadecimal,
    instants,
    joined,
    nulled,
    padded,
    replaced,
)
from headwater.sandbox.datasets.draws import Ints, below, bits, unit, weighted
from headwater.sandbox.datasets.folder import table
from headwater.sandbox.datasets.generated.populations import END_US, Population, chunks, lag
from headwater.sandbox.datasets.generated.shop import Shop, customer_ids, product_ids

_SIZES = np.array([1, 2, 3, 4, 5, 6, 7, 4])
"""Events of eight sessions in turn: 32 together."""
_SESSION = np.repeat(np.arange(8), _SIZES)
_PLACE = np.concatenate([np.arange(size) for size in _SIZES])

_NAMES = ("page_view", "product_view", "search", "add_to_cart", "checkout", "purchase", "login")
_DEVICES = ("mobile", "desktop", "tablet", "Mobile", None)
_STATES = ("US-CA", "US-NY", "DE-BY", "GB-ENG", "FR-IDF", "JP-27", "CA-QC")
_METADATA = (
    None,
    '{"campaign": "spring", "source": "newsletter"}',
    '{"ab": {"checkout": "B"}, "referrer": "https://search.example/?q=café"}',
    '{"items": [1, 2, 3]}',
    "{}",
)


@dataclass(frozen=True)
class Visits:
    """Events in sessions of one to seven, half a minute or a few apart."""

    stream: str
    sessions: Population
    count: int

    @classmethod
    def of(cls, stream: str, events_at_start: float) -> "Visits":
        """Visits with about `events_at_start` events before the start clock."""
        sessions = Population.of(f"{stream}.session", events_at_start / 4, old_share=0.0)
        return cls(stream, sessions, sessions.count // 8 * 32)

    def chunks(self) -> list[Ints]:
        """The numbers of all events, some at a time."""
        return chunks(self.count)

    def moments(self, event: Ints) -> tuple[Ints, Ints]:
        """The session of each event, and its instant."""
        session = event // 32 * 8 + _SESSION[event % 32]
        place = _PLACE[event % 32]
        pause = place * 80 * SECOND + below(f"{self.stream}.pause", event, 60 * SECOND)
        return session, self.sessions.created(session) + np.where(place == 0, 0, pause)

    def customers(self, shop: Shop, session: Ints, started: Ints) -> Ints:
        """Who it is: some come much more often than others."""
        return (unit(f"{self.stream}.customer", session) ** 1.3 * shop.customers.existing(started)).astype(np.int64)


def session_ids(visits: Visits, session: Ints, started: Ints) -> pa.Array:
    """`S20241101093000-1a2b3c4d`; one in 211 says no time."""
    token = hexadecimal("-", bits(f"{visits.stream}.token", session), 8)
    told = joined(compact_seconds("S", started), token)
    untold = choose(("unknown", "S-", "S2024-13-45", "anonymous"), session // 211 % 4)
    return replaced(told, session % 211 == 20, untold)


def behavior_tables(shop: Shop, visits: Visits) -> Iterator[pa.Table]:
    """customer_behavior: append only, some of it visible up to 50 minutes after it happened."""
    for number in visits.chunks():
        session, at = visits.moments(number)
        visible = at + lag("behavior", number, number % 67 == 5)
        kept = visible < END_US
        yield _behavior(shop, visits, number[kept], session[kept], at[kept], visible[kept])


def _behavior(shop: Shop, visits: Visits, number: Ints, session: Ints, at: Ints, visible: Ints) -> pa.Table:
    started = visits.sessions.created(session)
    customer = visits.customers(shop, session, started)
    customer_id = replaced(customer_ids(customer), number % 487 == 9, padded("X", customer, 9))
    page = joined(
        "https://shop.example/p/", product_ids(below("behavior.product", number, shop.products.existing(started)))
    )
    return table(
        "redshift/customer_behavior",
        {
            "event_id": nulled(padded("E", number, 11), number % 1999 == 7),
            "customer_id": nulled(customer_id, number % 401 == 8),
            "event_name": choose(_NAMES, weighted("behavior.name", number, [45, 25, 10, 8, 4, 3, 5])),
            "event_ts": instants(at),
            "session_id": nulled(session_ids(visits, session, started), session % 307 == 30),
            "device": choose(_DEVICES, weighted("behavior.device", session, [55, 30, 8, 4, 3])),
            "geo": _places(customer, session),
            "url_1": nulled(page, number % 47 == 12),
            "url_2": nulled(choose(("/cart", "/sale?ü=1", "/account"), number % 3), number % 2 == 0),
            "metadata": choose(_METADATA, weighted("behavior.metadata", number, [30, 30, 20, 15, 5])),
            "_visible_at": instants(visible),
        },
    )


def _places(customer: Ints, session: Ints) -> pa.Array:
    """Where from, in one of three notations: a country, a country and its region, latitude and longitude."""
    country = choose(people.CODES, people.country_of(customer))
    north, east = below("geo.north", session, 9_000), below("geo.east", session, 18_000)
    point = joined(_degrees(north, session % 4 == 0), ",", _degrees(east, session % 3 == 0))
    kind = weighted("geo.kind", session, [45, 25, 26, 4])
    region = choose(_STATES, below("geo.state", session, len(_STATES)))
    return nulled(replaced(replaced(country, kind == 1, region), kind == 2, point), kind == 3)


def _degrees(hundredths: Ints, negative: np.ndarray) -> pa.Array:
    whole = decimal_text(hundredths // 100)
    return joined(choose(("", "-"), negative.astype(np.int64)), whole, padded(".", hundredths % 100, 2))
