"""A shop in which one person, C1, has values of their own in every source and in every kind of trouble."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.tiny import (
    BEFORE,
    CUSTOMERS,
    EVENTS,
    FILES,
    SOON,
    TOPICS,
    VERSIONS,
    contact,
    customer,
    event,
    order,
    write_tiny,
)
from tests.versions import Version

EMAIL, PHONE = "mira.quist@privacy.example", "+46 70 1234567"
FIRST, LAST, STREET = "Miramaria", "Quistgaard", "7 Anemone Row"
PERSON = (EMAIL, "701234567", FIRST, LAST, STREET)
"""Values of C1 alone."""
OLD_EMAIL = "old.quist@privacy.example"
"""What C1's address was in an earlier version."""
COMPANION = "Companion Person"
"""Somebody else, whose row stands in the same files."""


def _customers() -> list[Version]:
    def told(version: Version, *values: str | None) -> Version:
        return replace(version, row=(version.row[0], *values, *version.row[6:]))

    others = [
        told(customer(f"C{n}"), "Ada", COMPANION, f"c{n}@example.com", "+1 555 000 111", "1 Deal Street")
        for n in (0, 2, 3)
    ]
    first = told(customer("C1"), FIRST, LAST, OLD_EMAIL.upper(), PHONE, STREET)
    return [*others, first, told(customer("C1", SOON), FIRST, LAST, EMAIL, PHONE, STREET)]


def _visits() -> list[Version]:
    encoded = EMAIL.replace("@", "%40").replace(".", "%2E")
    urls = (f"/login?mail={encoded}&customer_id=C1", f"/?back=%2Flogin%3Fmail%3D{EMAIL.replace('@', '%2540')}")
    metadata = json.dumps({"by": {"mail": EMAIL, "tel": "0046701234567", "name": f"{FIRST} {LAST}"}, "id": 7})
    typed, nobody = event("E9", BEFORE), event("E10", BEFORE, customer_id="C2")
    return [
        *VERSIONS["redshift/customer_behavior"][1],
        replace(typed, row=(*typed.row[:7], *urls, metadata)),
        replace(nobody, row=(*nobody.row[:9], json.dumps({"invited": EMAIL, "keep": "this"}))),
        replace(event("E11", SOON, what=None), row=(*event("E11", SOON, what=None).row[:9], metadata)),
    ]


def shop() -> dict[str, Any]:
    """The tiny shop with C1 in it; C1 has orders, visits, a contact with the same address, and rows that are refused."""
    columns, contacts = VERSIONS["salesforce/Contact"]
    same = replace(
        contact(1, email=EMAIL), row=(*contact(1).row[:2], FIRST, LAST, EMAIL, PHONE, None, *contact(1).row[7:])
    )
    row = contact(3, of=9).row
    orphan = replace(
        contact(3, SOON, of=9), row=(*row[:2], "Mira", LAST, EMAIL, None, None, *contact(3, SOON, of=9).row[7:])
    )
    return VERSIONS | {
        "snowflake/CUSTOMERS": (CUSTOMERS, [*_customers(), customer("C9", SOON)]),
        "redshift/customer_behavior": (EVENTS, _visits()),
        "salesforce/Contact": (columns, [same, *contacts[1:], orphan]),
        "snowflake/ORDERS": (VERSIONS["snowflake/ORDERS"][0], [*VERSIONS["snowflake/ORDERS"][1], order("O9", SOON)]),
    }


def write_shop(folder: Path) -> Path:
    """The shop as a dataset; its messages, and its files, name C1 too, and some of them are broken."""
    told = [
        ({"order_id": "O1", "customer_id": "C1", "event_type": "PAID", "metadata": json.dumps({"to": EMAIL})}, BEFORE),
        ({"order_id": "O2", "customer_id": "C1", "event_type": None, "metadata": json.dumps({"to": EMAIL})}, BEFORE),
    ]
    clicked = {"event_id": "U7", "customer_id": "C1", "session_id": "S1", "event_type": "click"}
    escaped = EMAIL.replace("@", "\\u0040")
    clicks = [(clicked | {"page_url": f"/?m={EMAIL}", "metadata": f'{{"m": "{escaped}"}}'}, BEFORE)]
    topics = TOPICS | {
        "orders_events": [*told, *TOPICS["orders_events"]],
        "user_events": [*clicks, *TOPICS["user_events"]],
    }
    broken = f"product_id,warehouse_id,quantity,reorder_point\nP1,W1,{EMAIL},2\n"
    files = FILES | {"2024-10-30": (BEFORE, broken)}
    return write_tiny(folder, shop(), files, topics)


def in_base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
