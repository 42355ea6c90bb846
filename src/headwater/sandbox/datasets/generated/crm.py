"""The generated shop's customer relations: accounts, contacts, opportunities."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import names, people
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    choose,
    dates,
    decimal_text,
    flags,
    instants,
    integers,
    joined,
    micros,
    money,
    nulled,
    numbers,
    padded,
    replaced,
)
from headwater.sandbox.datasets.draws import Ints, Mask, below, unit, weighted
from headwater.sandbox.datasets.folder import table
from headwater.sandbox.datasets.generated.populations import END_US, START_US, Population, lag

_SUFFIX = "IAA"
"""Salesforce's check letters of `001Hw…` and its like: the one capital letter stands fourth of the first five."""

_STAGES = ("Prospecting", "Qualification", "Proposal", "Negotiation", "Closed Won", "Closed Lost")
_PROBABILITIES = np.array([10, 25, 50, 75, 100, 0])
_YEAR_2100 = micros(datetime(2100, 6, 30, tzinfo=UTC))
_DOOMED = 8
"""Accounts with this remainder of 20 are deleted some day; hardly anything refers to them."""


@dataclass(frozen=True)
class Crm:
    """The populations of the three objects."""

    accounts: Population
    contacts: Population
    opportunities: Population
    customers: int

    @classmethod
    def of(cls, scale: float, customers: Population) -> "Crm":
        """About 5,000 accounts, 8,000 contacts and 6,000 opportunities times `scale`."""
        return cls(
            Population.of("accounts", 5_240 * scale, old_share=0.4),
            Population.of("contacts", 9_300 * scale, old_share=0.4, older_days=700),
            Population.of("opportunities", 6_950 * scale, old_share=0.4, older_days=700),
            max(customers.old, 1),
        )

    def account_of(self, population: Population, index: Ints) -> Ints:
        """An account that existed when the thing was made, and will not be deleted."""
        existing = self.accounts.existing(population.created(index))
        account = below(f"{population.name}.account", index, existing)
        return np.where(account % 20 == _DOOMED, np.maximum(account - 1, 0), account)


def account_ids(account: Ints) -> pa.Array:
    """`001Hw0000000042IAA`."""
    return padded("001Hw", account, 10, _SUFFIX)


@dataclass(frozen=True)
class Stamps:
    """When versions were made, changed, seen and deleted; 0 where they were not deleted."""

    created: Ints
    modified: Ints
    touched: Ints
    late: Mask
    deleted: Ints

    @classmethod
    def first(cls, population: Population, index: Ints, doomed: tuple[int, ...]) -> "Stamps":
        created = population.created(index)
        deleted = np.zeros(len(index), dtype=np.int64)
        gone, at = population.changing(index, doomed)
        deleted[gone - (index[0] if len(index) else 0)] = at
        return cls(created, created, created, np.zeros(len(index), dtype=np.bool_), deleted)

    @classmethod
    def later(cls, population: Population, index: Ints, at: Ints, automated: Mask | None = None) -> "Stamps":
        created = population.created(index)
        quiet = np.zeros(len(index), dtype=np.bool_) if automated is None else automated
        late = index % 3 == 1
        return cls(created, np.where(quiet, created, at), at, late, np.zeros(len(index), dtype=np.int64))

    def columns(self, name: str, index: Ints) -> dict[str, pa.Array]:
        """The columns that every object ends with; Salesforce tells whole seconds."""
        second = 1_000_000
        visible = self.touched + lag(name, index, self.late)
        return {
            "CreatedDate": instants(self.created // second * second),
            "LastModifiedDate": instants(self.modified // second * second),
            "SystemModstamp": instants(self.touched // second * second),
            "_visible_at": instants(np.where(self.late, visible, self.touched // second * second)),
            "_deleted_at": instants(self.deleted // second * second, null=self.deleted == 0),
        }


def visible(versions: pa.Table) -> pa.Table:
    """Those that are shown before the dataset ends."""
    shown = numbers(versions["_visible_at"])
    return versions.filter(flags(shown < END_US))


def account_tables(crm: Crm) -> Iterator[pa.Table]:
    """Account: a third with a change; one in twenty of the old ones is deleted."""
    for account in crm.accounts.chunks():
        yield visible(_accounts(account, 0, Stamps.first(crm.accounts, account, (_DOOMED,))))
        changed, at = crm.accounts.changing(account, (0, 1, 2, 3, 4, 5, 6))
        # Recalculated by Salesforce itself: SystemModstamp moves, LastModifiedDate does not.
        stamps = Stamps.later(crm.accounts, changed, at, automated=changed % 20 == 6)
        yield visible(_accounts(changed, 1, stamps))


def _accounts(account: Ints, version: int, stamps: Stamps) -> pa.Table:
    country = people.country_of(account + 5_000_000)
    industry = choose(names.INDUSTRIES, below(f"account.industry.{version}", account, len(names.INDUSTRIES)))
    revenue = (10 ** (6 + 5 * unit("account.revenue", account))).astype(np.int64) * (10 + version) // 10 * 100 + 37
    phones = people.phones(account + 5_000_000)
    code = replaced(choose(people.CODES, country), account % 73 == 22, "Österreich")
    name = joined(
        people.last_names(account),
        choose((" & Söhne ", " ", " Trading "), account % 3),
        choose(names.COMPANY_FORMS, below("account.form", account, len(names.COMPANY_FORMS))),
        " ",
        decimal_text(account),
    )
    return table(
        "salesforce/Account",
        {
            "Id": account_ids(account),
            "Name": name,
            "Industry": nulled(replaced(industry, account % 61 == 20, "Énergie"), account % 37 == 9),
            "AnnualRevenue": nulled(money(revenue, 18), account % 53 == 10),
            "Phone": replaced(phones, account % 67 == 21, joined("☎ ", phones)),
            "BillingStreet": people.streets(account + 5_000_000 + version),
            "BillingCity": choose(people.CITIES, country),
            "BillingCountry": nulled(code, account % 71 == 12),
            **stamps.columns("account", account),
        },
    )


def contact_tables(crm: Crm) -> Iterator[pa.Table]:
    """Contact: a fifth change their e-mail, some move to another account, some are deleted."""
    everyone = crm.contacts
    for contact in everyone.chunks():
        account = crm.account_of(everyone, contact)
        # Few of the oldest belong to an account that is deleted later: orphans from then on.
        stray = (contact % 100 == 11) & (contact < everyone.old)
        doomed = np.maximum(contact * crm.accounts.old // max(everyone.old, 1) // 20 - 1, 0)
        account = np.where(stray, _DOOMED + 20 * doomed, account)
        yield visible(_contacts(crm, contact, account, 0, Stamps.first(everyone, contact, (9, 10, 12))))
        changed, at = everyone.changing(contact, (1, 2, 3, 4))
        stays = crm.account_of(everyone, changed)
        yield visible(_contacts(crm, changed, stays, 1, Stamps.later(everyone, changed, at)))
        moved, at = everyone.changing(contact, (5, 6, 7))
        other = below("contact.moved", moved, crm.accounts.old)
        other = np.where(other % 20 == _DOOMED, other - 1, other)
        yield visible(_contacts(crm, moved, other, 0, Stamps.later(everyone, moved, at)))


def _contacts(crm: Crm, contact: Ints, account: Ints, version: int, stamps: Stamps) -> pa.Table:
    # One in 53 has the e-mail of the contact before, who is somebody else's: two accounts share an address.
    as_whom = np.where(contact % 53 == 7, contact - 1, contact)
    person = as_whom * 7919 % crm.customers
    phones, email = people.phones(person), people.emails(person, np.full(len(contact), version))
    return table(
        "salesforce/Contact",
        {
            "Id": padded("003Hw", contact, 10, _SUFFIX),
            "AccountId": nulled(account_ids(account), contact % 83 == 30),
            "FirstName": nulled(people.first_names(person), contact % 43 == 13),
            "LastName": people.last_names(person),
            "Email": people.untidy(replaced(email, as_whom % 127 == 40, joined("zoë.", email)), as_whom + 1),
            "Phone": replaced(phones, contact % 131 == 41, joined("☎ ", phones)),
            "Title": choose((*names.JOB_TITLES, None), below("contact.title", contact, len(names.JOB_TITLES) + 1)),
            **stamps.columns("contact", contact),
        },
    )


def opportunity_tables(crm: Crm) -> Iterator[pa.Table]:
    """Opportunity: a third reach their last stage under our eyes; some are deleted."""
    deals = crm.opportunities
    for deal in deals.chunks():
        yield visible(_opportunities(crm, deal, 0, Stamps.first(deals, deal, (9, 10, 11))))
        changed, at = deals.changing(deal, (0, 1, 2, 3, 4, 5, 6))
        stamps = Stamps.later(deals, changed, at, automated=changed % 20 == 6)
        yield visible(_opportunities(crm, changed, 1, stamps))


def _opportunities(crm: Crm, deal: Ints, version: int, stamps: Stamps) -> pa.Table:
    stage = weighted(
        f"deal.stage.{version}", deal, [20, 20, 20, 15, 15, 10] if version == 0 else [5, 5, 10, 15, 40, 25]
    )
    cents = 50_000 + (unit("deal.amount", deal) ** 2 * 50_000_000).astype(np.int64)
    # Of ten records a day one orphan would be more than a gate of 2 % allows: only the history has them.
    orphan = (deal % 100 == 55) & (stamps.created < START_US)
    account = replaced(account_ids(crm.account_of(crm.opportunities, deal)), orphan, "001Hw9999999999IAA")
    return table(
        "salesforce/Opportunity",
        {
            "Id": padded("006Hw", deal, 10, _SUFFIX),
            "AccountId": nulled(account, deal % 97 == 31),
            "Name": joined("Deal ", decimal_text(deal), choose((": Frühjahr", "", " (renewal)"), deal % 3)),
            "StageName": replaced(choose(_STAGES, stage), deal % 101 == 50, "Négociation"),
            "Amount": nulled(money(cents, 18), deal % 59 == 20),
            "CloseDate": dates(_closing(deal, version, stamps.created)),
            "Probability": integers(_PROBABILITIES[stage]),
            **stamps.columns("opportunity", deal),
        },
    )


def _closing(deal: Ints, version: int, created: Ints) -> Ints:
    """When a deal is to close: months ahead; a change may move it by a month either way; few say 1970 or 2100."""
    closes = created + 30 * DAY + below("deal.closes", deal, 90) * DAY + 12 * HOUR
    if version == 1:
        closes = closes + np.where(deal % 40 == 3, 31 * DAY, 0) - np.where(deal % 40 == 25, 31 * DAY, 0)
    closes = np.where(deal % 211 == 60, 14 * DAY, closes)
    return np.where(deal % 211 == 160, _YEAR_2100, closes)
