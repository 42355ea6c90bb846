"""Invented accounts, contacts and opportunities of every fifth household, as if it were a small company."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import names, people
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    choose,
    dates,
    instants,
    integers,
    joined,
    micros,
    money,
    padded,
)
from headwater.sandbox.datasets.completejourney.shop import change_time
from headwater.sandbox.datasets.completejourney.source import Journey
from headwater.sandbox.datasets.draws import Ints, below, unit
from headwater.sandbox.datasets.folder import table

_KNOWN_US = micros(datetime(2016, 12, 1, tzinfo=UTC))
_SUFFIX = "IAA"
_STAGES = ("Prospecting", "Proposal", "Closed Won", "Closed Lost")
_PROBABILITIES = np.array([10, 50, 100, 0])
_SECOND = 1_000_000


def _ids(kind: str, number: Ints) -> pa.Array:
    return padded(f"{kind}Cj", number, 10, _SUFFIX)


def _clients(journey: Journey) -> Ints:
    clients: Ints = journey.households[journey.households % 5 == 0]
    return clients


def _created(household: Ints, after: int = 0) -> Ints:
    return _KNOWN_US + after + below("journey.client", household, 20 * DAY) // _SECOND * _SECOND


def _stamps(created: Ints, at: Ints) -> dict[str, pa.Array]:
    touched = instants(at // _SECOND * _SECOND)
    return {
        "CreatedDate": instants(created),
        **dict.fromkeys(("LastModifiedDate", "SystemModstamp", "_visible_at"), touched),
    }


def account_tables(journey: Journey) -> Iterator[pa.Table]:
    """Account: one per client; a quarter report another revenue in the course of the year."""
    client = _clients(journey)
    yield _accounts(journey, client, _created(client), 0)
    changed = client[client // 5 % 4 == 1]
    yield _accounts(journey, changed, change_time("journey.revenue", changed), 1)


def _accounts(journey: Journey, client: Ints, at: Ints, version: int) -> pa.Table:
    country = journey.home_country[journey.position(client)]
    revenue = (10 ** (7 + 3 * unit("journey.revenue", client))).astype(np.int64) * (10 + version) // 10
    columns = {
        "Id": _ids("001", client),
        "Name": joined(people.last_names(client), " & Co ", padded("", client, 4)),
        "Industry": choose(names.INDUSTRIES, below("journey.industry", client, len(names.INDUSTRIES))),
        "AnnualRevenue": money(revenue, 18),
        "Phone": people.phones(client),
        "BillingStreet": people.streets(client),
        "BillingCity": choose(people.CITIES, country),
        "BillingCountry": choose(people.CODES, country),
        **_stamps(_created(client), at),
    }
    return table("salesforce/Account", columns)


def contact_tables(journey: Journey) -> Iterator[pa.Table]:
    """Contact: the household itself, with its e-mail; of every third client a colleague with another one."""
    client = _clients(journey)
    yield _contacts(client, client, 0)
    colleague = client[client // 5 % 3 == 0]
    yield _contacts(colleague, colleague + 50_000, 1)


def _contacts(client: Ints, person: Ints, place: int) -> pa.Table:
    at = _created(client, (1 + place) * HOUR)
    columns = {
        "Id": _ids("003", client * 2 + place),
        "AccountId": _ids("001", client),
        "FirstName": people.first_names(person),
        "LastName": people.last_names(person),
        "Email": people.emails(person, np.zeros(len(person), dtype=np.int64)),
        "Phone": people.phones(person),
        "Title": choose(names.JOB_TITLES, below("journey.title", person, len(names.JOB_TITLES))),
        **_stamps(at, at),
    }
    return table("salesforce/Contact", columns)


def opportunity_tables(journey: Journey) -> Iterator[pa.Table]:
    """Opportunity: what each client spent in 2017, once more; two of three are decided in the course of the year."""
    client = _clients(journey)
    sales = journey.sales
    spent = np.bincount(journey.position(sales.household), sales.cents).astype(np.int64)
    yield _opportunities(journey, client, spent, _created(client, 3 * HOUR), client // 5 % 2)
    decided = client[client // 5 % 3 > 0]
    yield _opportunities(journey, decided, spent, change_time("journey.decided", decided), 2 + decided // 10 % 2)


def _opportunities(journey: Journey, client: Ints, spent: Ints, at: Ints, stage: Ints) -> pa.Table:
    created = _created(client, 3 * HOUR)
    columns = {
        "Id": _ids("006", client),
        "AccountId": _ids("001", client),
        "Name": joined("Supplies 2018 for ", padded("", client, 4)),
        "StageName": choose(_STAGES, stage),
        "Amount": money(spent[journey.position(client)], 18),
        "CloseDate": dates(created + 60 * DAY + below("journey.close", client, 330) * DAY),
        "Probability": integers(_PROBABILITIES[stage]),
        **_stamps(created, at),
    }
    return table("salesforce/Opportunity", columns)
