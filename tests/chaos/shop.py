"""The shop of a few rows, with what a crash could harm: windows to stop between, and rows that are told late or twice."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.e2e import tiny
from tests.e2e.tiny import BEFORE, SOON, T0, T1, Lake
from tests.versions import Version

from headwater.sandbox import Status

INSTANTS = (T0, T1)

ROWS_PER_COMMIT = {
    "snowflake_orders": 4,
    "redshift_behavior": 4,
    "salesforce_contacts": 2,
    "kafka_orders_events": 3,
    "kafka_user_events": 2,
}
"""The tables that land in several commits at each instant."""

_HOUR = timedelta(hours=1)
_LATE, _AGAIN = T0 - _HOUR / 2, T0 - _HOUR / 3
"""Within the overlap: when a row was stamped that its source shows after the first run; when one that is read twice."""


def _spread(make: Any, name: str) -> list[Version]:
    """Rows some hours apart, at both instants, so that what is due can be cut."""
    steps = [*(BEFORE - n * 7 * _HOUR for n in range(1, 6)), *(SOON + n * 2 * _HOUR for n in range(1, 5))]
    return [make(f"{name}{number}", at) for number, at in enumerate(steps)]


def _late(version: Version) -> Version:
    return replace(version, visible_at=SOON)


def _with(table: str, *rows: Version) -> tuple[Any, list[Version]]:
    columns, versions = tiny.VERSIONS[table]
    return columns, [*versions, *rows]


def _contacts() -> list[Version]:
    return [tiny.contact(10 + hours, BEFORE - hours * _HOUR, f"c{hours}@example.com") for hours in (3, 9, 15)] + [
        tiny.contact(20 + hours, SOON + hours * _HOUR, f"d{hours}@example.com") for hours in (3, 6, 9)
    ]


def _rates() -> list[Version]:
    day = tiny.THURSDAY
    return [
        *(tiny.rate(day - n * timedelta(days=1), "USD", f"1.0{n}00", BEFORE - n * 9 * _HOUR) for n in (1, 2, 3)),
        tiny.rate(tiny.FRIDAY, "CHF", "0.9400", SOON + 4 * _HOUR),
    ]


VERSIONS: tiny.Tables = tiny.VERSIONS | {
    "snowflake/ORDERS": _with(
        "snowflake/ORDERS",
        *_spread(tiny.order, "W"),
        tiny.order("A1", _AGAIN),
        _late(tiny.order("L1", _LATE)),
    ),
    "snowflake/CUSTOMERS": _with("snowflake/CUSTOMERS", _late(tiny.customer("C5", _LATE))),
    "redshift/customer_behavior": _with(
        "redshift/customer_behavior",
        *_spread(tiny.event, "W"),
        tiny.event("A1", _AGAIN),
        _late(tiny.event("L1", _LATE)),
    ),
    "salesforce/Account": _with("salesforce/Account", tiny.account(3, _AGAIN), _late(tiny.account(4, _LATE))),
    "salesforce/Contact": _with("salesforce/Contact", *_contacts()),
    "fx/rates": _with("fx/rates", *_rates()),
}


def _message(number: int, at: datetime) -> tuple[dict[str, Any], datetime]:
    said = {"event_id": f"W{number}", "customer_id": "C1", "session_id": "S2", "event_type": "click", "page_url": "/"}
    return said, at


TOPICS: tiny.Topics = tiny.TOPICS | {
    "user_events": [
        *tiny.TOPICS["user_events"],
        *(_message(number, at) for number, at in enumerate([BEFORE] * 6 + [SOON] * 6)),
    ]
}


def write_shop(folder: Path) -> Path:
    """Write it as a dataset."""
    return tiny.write_tiny(folder, VERSIONS, topics=TOPICS)


def lake_beside(sandbox: Status, folder: Path, **settings: Any) -> Lake:
    """A lake of its own, not read yet, whose tables land in several commits."""
    tables = {name: {"rows_per_commit": rows} for name, rows in ROWS_PER_COMMIT.items()}
    return Lake.beside(sandbox, folder, **tiny.merged({"tables": tables}, settings))
