"""The shop on which every mutant shows: few rows, but one for each way in which a table can be computed wrongly.

It opens at `T0`, the first instant of a month and a Friday, and much has changed by `T1`, a day later. What happens in
between is visible from `SOON` on; `LATE` stamps lie before `T0`, within the overlap of an hour.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from tests.e2e.tiny import (
    ACCOUNTS,
    BEFORE,
    CONTACTS,
    CUSTOMERS,
    EVENTS,
    OPPORTUNITIES,
    ORDERS,
    PRODUCTS,
    RATES,
    SOON,
    STRING,
    T1,
    record_id,
)
from tests.mutants.shop_events import write_files, write_topics
from tests.versions import T0, Version, write_about, write_versions

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LATE = T0 + 30 * MINUTE
"""When what was stamped before `T0` is seen too late for the run at `T0`."""
INSTANTS = (T0, T1)


def order(name: str | None, seen: datetime = BEFORE, stamp: datetime | None = None, **other: Any) -> Version:
    """A version of an order: 2 of P1 for 20 euros by C1, on October 31st, unless it is told otherwise."""
    row: dict[str, Any] = {"customer": "C1", "on": BEFORE, "product": "P1", "quantity": 2, "amount": "20.00"}
    row |= {"currency": "EUR", "status": "PAID"} | other
    worth = None if row["amount"] is None else Decimal(row["amount"])
    told = (row["customer"], row["on"], row["product"], row["quantity"], worth, row["currency"], row["status"])
    return Version((name, *told, stamp or seen), seen)


def on(month: int, day: int, hour: int = 12, minute: int = 0) -> datetime:
    return T0.replace(month=month, day=day, hour=hour, minute=minute)


_PRICED = [
    order("the day's rate"),
    order("the day before", on=on(10, 30)),
    order("an early hour of the day", on=on(10, 30, 0, 30)),
    order("a late hour of the day", on=on(10, 30, 23, 30)),
    order("Sunday at Friday's rate", on=on(10, 27)),
    order("seven days old", on=on(10, 27), currency="JPY", amount="3000.00"),
    order("eight days old", on=on(10, 28), currency="JPY", amount="3000.00"),
    order("half a cent", amount="1.00"),
    order("half a cent less than none", amount="-1.00"),
    order("two bases", currency="GBP"),
    order("dollars", currency="USD", amount="12.34"),
    order("a code with spaces", currency=" gbp "),
    order("no such currency", currency="XXX", quantity=5),
    order("restated", currency="SEK", amount="100.00"),
    order("many decimals", currency="NOK", amount="9999.99"),
    order("as many digits as fit", amount="99999999.99", currency="JPY", on=on(10, 25)),
    order("alone on its day", on=on(10, 21), currency="XXX"),
]
_STATES = [
    order("cancelled", status="CANCELLED"),
    order("cancelled in small letters", status="cancelled"),
    order("returned", status="Returned"),
    order("refunded", status="REFUNDED"),
    order("no status", status=None),
    order("blank status", status="  "),
    order("last minute of the month", on=T0 - 30 * MINUTE),
    order("first minute of the month", T1 - HOUR, on=T0 + 30 * MINUTE),
    order("nothing ordered", quantity=0),
    order("less than nothing", quantity=-1),
    order("moves to another month", on=on(10, 30)),
    order("moves to another month", SOON, on=T0 + HOUR),
    order("another customer", customer="C2"),
    order("and another", customer="C3"),
    order("and one abroad", customer="C4"),
]
_VERSIONS = [
    order("good, then bad", amount="5.00"),
    order("good, then bad", SOON, quantity=-3),
    order("bad, then good", quantity=-3),
    order("bad, then good", SOON, amount="6.00"),
    order("changes", amount="7.00"),
    order("changes", SOON, amount="8.00", status="SHIPPED"),
    order("older stamp, seen later", stamp=T0 - 5 * MINUTE, amount="9.00"),
    order("older stamp, seen later", LATE, stamp=T0 - 40 * MINUTE, amount="10.00"),
    *(order(f"tie {n}", stamp=T0 - 10 * MINUTE, amount=f"{n}.10") for n in range(8)),
    *(order(f"tie {n}", LATE, stamp=T0 - 10 * MINUTE, amount=f"{n}.20") for n in range(8)),
    order(None),
    order(None),
    order("   "),
    order("no customer", customer=None),
    order("no currency", currency=" "),
    order("customer comes", customer="C9"),
    order("customer never comes", customer="CX"),
    order("product comes", product="P9"),
    order("product never comes", product="PX"),
]
_WHEN_SEEN = [
    order("seen in the overlap already", stamp=T0 - 30 * MINUTE),
    order("late within the overlap", LATE, stamp=T0 - 30 * MINUTE),
    order("late at the overlap's beginning", LATE, stamp=T0 - HOUR),
    order("late beyond the overlap", LATE, stamp=T0 - 90 * MINUTE),
    order("stamped at the end of the span", T0, amount="1.50"),
    order("stamped at the end of the span", SOON, amount="2.50"),
]


def customer(name: str, at: datetime = BEFORE, email: str | None = None, country: str | None = "DE") -> Version:
    return Version((name, " Ada ", "Kent", email, "", None, "Ulm", country, "B2C", BEFORE, at), at)


_CUSTOMERS = [
    customer("C1", email=" Ann@Example.COM ", country=" de"),
    customer("C2", email="bob@example.com", country=None),
    customer("C3", email="cid@example.com", country="fr"),
    customer("C4", email="nobody@example.com", country="CH"),
    customer("C5", email="eve@example.com"),
    customer("C6", email=""),
    customer("C3", SOON, email="cid@example.com", country="US"),
    customer("C9", SOON),
    customer(" "),
]


def product(name: str, at: datetime = BEFORE, price: str | None = "9.50") -> Version:
    return Version((name, f"Tea {name}", "Tea", " ", price and Decimal(price), "eur", True, at), at)


_PRODUCTS = [
    product("P1"),
    product("007", price="9.55"),
    product("P3", price=None),
    product("P1", SOON, "10.50"),
    product("P9", SOON),
]


_EVENT = (*EVENTS, *((name, STRING) for name in ("url_3", "url_10", "url_12")))


def event(name: str | None, at: datetime = BEFORE, seen: datetime | None = None, **other: Any) -> Version:
    """A version of an event: a page view by C1 in a session of the event's second, unless it is told otherwise."""
    row = {"customer_id": "C1", "event_name": "view", "session_id": f"S{at:%Y%m%d%H%M%S}-9f3a"} | other
    row |= {"event_id": name, "event_ts": at}
    return Version(tuple(row.get(column) for column, _ in _EVENT), seen or at)


_EVENTS = [
    event("E01", url_1="/a", url_2="/b", geo="us-ca", metadata=" {} "),
    event("E02", url_1="/a", url_2="/a", geo=" DE ", customer_id="C2"),
    event("E03", url_1=" ", url_2="/b", geo="37.77,-122.42"),
    event("E04", geo="90,180"),
    event("E05", geo="95,10"),
    event("E06", geo="10,185"),
    event("E07", geo="USA", session_id=None),
    event("E20", geo="geo:48.2,16.3,190;u=30", url_1="/1", url_2="/2", url_3="/3", url_10="/10", url_12="/12"),
    event("E21", geo="+40.20-075.00+12/", url_2="/2", url_12="/12"),
    event("E08", session_id="S20240230000000-00"),
    event("E09", session_id="S20241002030405-aF"),
    event("E10", customer_id=None),
    event("E11", customer_id="CX"),
    event("E12", customer_id="C9"),
    event("E13", event_name=" "),
    event(None),
    event("E14", on(10, 31, 23, 45), on(10, 31, 23, 46), session_id="S20241002030405-aF"),
    event("E15", T0 - HOUR, LATE),
    event("E16", T0 - 30 * MINUTE, LATE),
    event("E17", T0 - 90 * MINUTE, LATE),
    event("E18", T0, url_1="/first"),
    event("E18", SOON, url_1="/second"),
    event("E19", SOON),
]


def account(
    number: int, industry: str | None, modified: datetime = BEFORE, *, seen: datetime | None = None, **other: Any
) -> Version:
    place = ("1", " Lane 1", "Ulm", "Germany")
    worth = Decimal(other.get("revenue", "1000.00"))
    stamp = other.get("stamp", seen or modified)
    told = (record_id("001", number), f"Kent {number}", industry, worth, *place, BEFORE, modified, stamp)
    return Version(told, seen or modified, other.get("gone"))


_ACCOUNTS = [
    account(1, "Retail"),
    account(2, "Energy", BEFORE + HOUR, seen=BEFORE + HOUR),
    account(3, "Mining"),
    account(4, "Shipping"),
    account(5, None),
    account(6, "Farming"),
    account(7, "Fishing", gone=SOON),
    account(8, "Weaving", SOON),
    account(3, "Printing", SOON),
    account(9, "Brewing", revenue="9999999999999999.00"),
    account(10, "Late", LATE, stamp=T0 - HOUR),
    account(11, "Later", LATE, stamp=T0 - 90 * MINUTE),
    account(13, "Quarrying", SOON),
    account(12, "At the end", T0),
    account(12, "After the end", SOON),
]


def contact(
    number: int, of: int | None, email: str | None, since: datetime | None, seen: datetime = BEFORE, **other: Any
) -> Version:
    owner = None if of is None else record_id("001", of)
    told = (record_id("003", number), owner, "Ada", " ", email, None, "Dr", since, seen, seen)
    return Version(told, seen, other.get("gone"))


_CONTACTS = [
    contact(1, 1, "ANN@example.com", on(3, 1)),
    contact(2, 1, "eve@example.com", on(4, 1)),
    contact(3, 2, " ann@example.com", on(3, 1)),
    contact(4, 3, "bob@example.com", on(3, 1)),
    contact(5, 3, "zoe@example.com", on(3, 1)),
    contact(6, 4, "bob@example.com", on(5, 1)),
    contact(7, 4, "eve@example.com", on(2, 1), gone=SOON),
    contact(8, 5, "cid@example.com", on(2, 1)),
    contact(9, 6, "", on(2, 1)),
    contact(10, 6, None, on(1, 1)),
    contact(11, 2, "first@example.com", on(1, 1)),
    contact(11, 9, "second@example.com", on(1, 1), SOON),
    contact(12, 7, "gone@example.com", on(1, 1)),
    contact(13, 99, "stranger@example.com", on(1, 1)),
    contact(14, 99, "stranger@example.com", on(1, 1), gone=SOON),
    contact(15, 8, "early@example.com", on(1, 1)),
    contact(16, None, "nowhere@example.com", on(1, 1)),
    contact(17, 9, "undated@example.com", None),
    contact(18, 6, "far@example.com", on(6, 1)),
    contact(19, 13, "Bob@example.com", on(7, 1)),
]


def opportunity(number: int, stage: str | None = "Prospecting", of: int | None = 1, **other: Any) -> Version:
    seen = other.get("seen", BEFORE)
    owner = None if of is None else record_id("001", of)
    worth = None if "amount" in other else Decimal(100 * number)
    closes = other.get("closes", date(2024, 11, 30))
    told = (record_id("006", number), owner, "Deal ", stage, worth, closes, other.get("odds", 50))
    return Version((*told, BEFORE, seen, seen), seen, other.get("gone"))


_OPPORTUNITIES = [
    opportunity(1),
    opportunity(2, "Closed Won"),
    opportunity(3, "Closed Lost"),
    opportunity(4, "closed won"),
    opportunity(5, None),
    opportunity(6, of=None),
    opportunity(7, of=5),
    opportunity(8, closes=None),
    opportunity(9, closes=date(2025, 1, 1), amount=None, of=6),
    opportunity(10, odds=0),
    opportunity(11, odds=100),
    opportunity(12, odds=101),
    opportunity(13, gone=SOON),
    opportunity(14, of=8),
    opportunity(15, of=98),
    opportunity(16, of=98, gone=SOON),
    opportunity(17, "Negotiation", of=2),
    opportunity(17, "Closed Won", of=2, seen=SOON),
    opportunity(18, of=7),
]


def rate(day: date, quote: str, worth: str, seen: datetime = BEFORE, base: str = "EUR", stamp: Any = None) -> Version:
    return Version((day, base, quote, Decimal(worth), stamp or seen), seen)


_RATES = [
    *(rate(date(2024, 10, day), "USD", f"1.0{day}5") for day in (18, 25, 30)),
    rate(date(2024, 10, 31), "USD", "1.0850"),
    rate(date(2024, 11, 1), "USD", "1.0950", SOON),
    rate(date(2024, 10, 20), "USD", "1.0000"),
    rate(date(2024, 10, 20), "JPY", "165.5"),
    rate(date(2024, 10, 30), "GBP", "0.8100"),
    rate(date(2024, 10, 31), "GBP", "0.8400"),
    rate(date(2024, 10, 31), "USD", "1.2000", base="CHF"),
    rate(date(2024, 10, 31), "GBP", "0.9000", base="CHF"),
    rate(date(2024, 10, 31), "SEK", "10.0000"),
    rate(date(2024, 10, 31), "SEK", "11.5000", SOON),
    rate(date(2024, 10, 31), " nok ", "11.0123456789"),
    rate(date(2024, 10, 31), "DKK", "0"),
    rate(date(2024, 10, 31), "ISK", "150", LATE, stamp=T0 - HOUR),
    rate(date(2024, 10, 31), "PLN", "4.3", LATE, stamp=T0 - 90 * MINUTE),
    rate(date(2024, 10, 31), "CZK", "25.0", T0),
    rate(date(2024, 10, 31), "CZK", "25.5", SOON),
    rate(date(2024, 10, 31), "HUF", "400", stamp=T0 - 20 * MINUTE),
]

_TABLES: dict[str, tuple[Sequence[tuple[str, pa.DataType]], list[Version]]] = {
    "snowflake/ORDERS": (ORDERS, _PRICED + _STATES + _VERSIONS + _WHEN_SEEN),
    "snowflake/CUSTOMERS": (CUSTOMERS, _CUSTOMERS),
    "snowflake/PRODUCTS": (PRODUCTS, _PRODUCTS),
    "redshift/customer_behavior": (_EVENT, _EVENTS),
    "salesforce/Account": (ACCOUNTS, _ACCOUNTS),
    "salesforce/Contact": (CONTACTS, _CONTACTS),
    "salesforce/Opportunity": (OPPORTUNITIES, _OPPORTUNITIES),
    "fx/rates": (RATES, _RATES),
}


def write_shop(folder: Path) -> Path:
    """Write the shop as a dataset."""
    for name, (columns, rows) in _TABLES.items():
        write_versions(folder / f"{name}.parquet", columns, rows)
    write_files(folder / "s3")
    write_topics(folder / "kafka")
    return write_about(folder, "shop")
