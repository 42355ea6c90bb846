"""Visitors' sessions, and the analytics database's `customer_behavior`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import people
from headwater.sandbox.datasets.columns import (
    HOUR,
    MINUTE,
    SECOND,
    amended,
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
from headwater.sandbox.datasets.folder import URLS, table
from headwater.sandbox.datasets.generated.populations import END_US, START_US, Population, chunks, lag
from headwater.sandbox.datasets.generated.shop import Shop, customer_ids, product_ids

_SIZES = np.array([1, 2, 3, 4, 5, 6, 7, 4])
"""Events of eight sessions in turn: 32 together."""
_SESSION = np.repeat(np.arange(8), _SIZES)
_PLACE = np.concatenate([np.arange(size) for size in _SIZES])

_NAMES = ("page_view", "product_view", "search", "add_to_cart", "checkout", "purchase", "login")
_DEVICES = ("mobile", "desktop", "tablet", "Mobile", None)
_STATES = ("US-CA", "us-ny", "DE-BY", "GB-ENG", "FR-IDF", "JP-27", "CA-QC")
_METADATA = (
    None,
    '{"campaign": "spring", "source": "newsletter"}',
    '{"ab": {"checkout": "B"}, "referrer": "https://search.example/?q=café"}',
    '{"items": [1, 2, 3]}',
    "{}",
    "[]",
    '"just words"',
    "42",
    "true",
    "null",
    "",
    "  ",
    "no JSON: naïve",
    '{"cut": "of',
    '{"a": {"b": {"c": {"d": [null, {"e": "ü"}]}}}}',
)
_METADATA_WEIGHTS = [30.0, 25, 16, 12, 5, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1]
_PAGES = ("/cart", "/sale?ü=1", "/account", "/søk", "/help", "/")
_HOW_MANY_PAGES = [3.0, 27, 24, 15, 9, 6, 4, 3, 2, 2, 2, 2, 1]
_NO_PLACES = (
    "unknown", "95.00,10.00", "geo:", "geo:91,0", "N/A", "37.77", "USA", "US-CALIFORNIA", "日本", "37,77;-122,42",
    "+37.77-122.42", " , ",
)  # fmt: skip


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
    told = replaced(told, session % 211 == 20, untold)
    return amended(told, session % 401 == 40, lambda at: joined("séance-", decimal_text(session[at])))


def behavior_tables(shop: Shop, visits: Visits) -> Iterator[pa.Table]:
    """customer_behavior: append only, some of it visible up to 50 minutes after it happened, few hours after."""
    for number in visits.chunks():
        session, at = visits.moments(number)
        visible = at + lag("behavior", number, number % 67 == 5)
        visible = np.where(number % 307 == 60, at + 2 * HOUR + below("behavior.held", number, 180 * MINUTE), visible)
        at = np.where((number % 997 == 500) & (at < START_US), number * SECOND, at)
        kept = visible < END_US
        yield _behavior(shop, visits, number[kept], session[kept], at[kept], visible[kept])


def _behavior(shop: Shop, visits: Visits, number: Ints, session: Ints, at: Ints, visible: Ints) -> pa.Table:
    started = visits.sessions.created(session)
    customer = visits.customers(shop, session, started)
    customer_id = replaced(customer_ids(customer), number % 487 == 9, padded("X", customer, 9))
    page = joined(
        "https://shop.example/p/", product_ids(below("behavior.product", number, shop.products.existing(started)))
    )
    event_id = amended(padded("E", number, 11), number % 997 == 61, lambda at: padded("É", number[at], 11))
    event_name = choose(_NAMES, weighted("behavior.name", number, [45, 25, 10, 8, 4, 3, 5]))
    device = choose(_DEVICES, weighted("behavior.device", session, [55, 30, 8, 4, 3]))
    return table(
        "redshift/customer_behavior",
        {
            "event_id": nulled(event_id, number % 1999 == 7),
            "customer_id": nulled(customer_id, number % 401 == 8),
            "event_name": replaced(event_name, number % 503 == 62, "página_vista"),
            "event_ts": instants(at),
            "session_id": nulled(session_ids(visits, session, started), session % 307 == 30),
            "device": replaced(device, session % 293 == 41, "Téléphone"),
            "geo": _places(customer, session),
            **_pages(number, page),
            "metadata": choose(_METADATA, weighted("behavior.metadata", number, _METADATA_WEIGHTS)),
            "_visible_at": instants(visible),
        },
    )


def _pages(number: Ints, first: pa.Array) -> dict[str, pa.Array]:
    """None to twelve pages; one in 47 events lacks the first of several, one in 53 the third or has it blank."""
    many = weighted("behavior.pages", number, _HOW_MANY_PAGES)
    columns = {}
    for place, name in enumerate(URLS, 1):
        page = first if place == 1 else choose(_PAGES, (number + place) % len(_PAGES))
        gone = many < place
        if place == 1:
            gone |= number % 47 == 12
        if place == 3:
            page = replaced(page, number % 106 == 20, "  ")
            gone |= number % 106 == 73
        columns[name] = nulled(page, gone)
    return columns


def _places(customer: Ints, session: Ints) -> pa.Array:
    """Where from, in one of five notations: a country, a country and its region, a position in three; or no place."""
    place = choose(people.CODES, people.country_of(customer))
    kind = weighted("geo.kind", session, [40, 22, 20, 5, 5, 4, 4])
    place = replaced(place, kind == 1, choose(_STATES, below("geo.state", session, len(_STATES))))
    north, east = below("geo.north", session, 9_000), below("geo.east", session, 18_000)
    south, west = session % 4 == 0, session % 3 == 0
    pair = joined(_degrees(north, south), ",", _degrees(east, west))
    place = replaced(place, kind == 2, pair)
    place = replaced(place, kind == 3, joined("geo:", pair, choose(("", ",12.5", ";u=35"), session // 3 % 3)))
    place = replaced(place, kind == 4, joined(_iso6709(north, south, 2), _iso6709(east, west, 3), "/"))
    return nulled(replaced(place, kind == 5, choose(_NO_PLACES, session % len(_NO_PLACES))), kind == 6)


def _iso6709(hundredths: Ints, negative: np.ndarray, digits: int) -> pa.Array:
    sign = choose(("+", "-"), negative.astype(np.int64))
    return joined(sign, padded("", hundredths // 100, digits), padded(".", hundredths % 100, 2))


def _degrees(hundredths: Ints, negative: np.ndarray) -> pa.Array:
    whole = decimal_text(hundredths // 100)
    return joined(choose(("", "-"), negative.astype(np.int64)), whole, padded(".", hundredths % 100, 2))
