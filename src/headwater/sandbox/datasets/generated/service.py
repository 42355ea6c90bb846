"""The generated shop's service desk in Salesforce: leads, cases, tasks, solutions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import names, people
from headwater.sandbox.datasets.columns import (
    DAY,
    choose,
    dates,
    decimal_text,
    flags,
    instants,
    integers,
    joined,
    money,
    nulled,
    padded,
    replaced,
)
from headwater.sandbox.datasets.draws import Ints, below, unit, weighted
from headwater.sandbox.datasets.folder import table
from headwater.sandbox.datasets.generated.crm import Crm, Stamps, account_ids, visible
from headwater.sandbox.datasets.generated.populations import Population

_ONE_CAPITAL, _TWO_CAPITALS = "IAA", "MAA"
"""Salesforce's check letters: of `500Hw…` the fourth of the first five letters is a capital, of `00QHw…` the third too."""

_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Trade Show", None)
_SUBJECTS = (
    "Order did not arrive",
    "Wrong colour",
    'The 27" screen is cracked',
    "Rückgabe, bitte",
    "請求書について",
    "Invoice, again",
)
_NOTES = (
    "Called twice, nobody there.",
    'Says: "never again".\nWants a refund, or a new one.',
    "Très déçue; veut être rappelée.",
    "",
    None,
)
_REMEDIES = (
    "Switch it off, wait, switch it on.",
    "Send the part again, free of charge.",
    "Schlüssel nach links drehen.",
    None,
)


@dataclass(frozen=True)
class Desk:
    """The populations of the four objects, and the accounts, contacts and opportunities that they speak of."""

    leads: Population
    cases: Population
    tasks: Population
    solutions: Population
    crm: Crm

    @classmethod
    def of(cls, scale: float, crm: Crm) -> "Desk":
        """About 2,000 leads, 1,500 cases, 3,000 tasks and 1,000 solutions times `scale`."""
        return cls(
            Population.of("leads", 2_000 * scale, old_share=0.2, older_days=600),
            Population.of("cases", 1_500 * scale, old_share=0.2, older_days=600),
            Population.of("tasks", 3_000 * scale, old_share=0.2, older_days=500),
            Population.of("solutions", 1_000 * scale, old_share=0.2, older_days=600),
            crm,
        )


def lead_tables(desk: Desk) -> Iterator[pa.Table]:
    """Lead: a quarter are worked on, a tenth become an account and a contact, some are deleted."""
    leads = desk.leads
    for lead in leads.chunks():
        yield visible(_leads(desk, lead, 0, Stamps.first(leads, lead, (12, 13))))
        changed, at = leads.changing(lead, (0, 1, 2, 3, 4))
        yield visible(_leads(desk, changed, 1, Stamps.later(leads, changed, at)))
        won, at = leads.changing(lead, (5, 6))
        yield visible(_leads(desk, won, 2, Stamps.later(leads, won, at)))


def _leads(desk: Desk, lead: Ints, version: int, stamps: Stamps) -> pa.Table:
    person = lead + 9_000_000
    lost = np.full(len(lead), version != 2)
    contact = below("lead.contact", lead, desk.crm.contacts.existing(stamps.created))
    cents = 1_000_000 + (unit("lead.revenue", lead) ** 3 * 9_000_000_000).astype(np.int64)
    return table(
        "salesforce/Lead",
        {
            "Id": padded("00QHw", lead, 10, _TWO_CAPITALS),
            "FirstName": nulled(people.first_names(person), lead % 31 == 3),
            "LastName": people.last_names(person),
            "Company": joined(people.last_names(person + 1), " ", choose(names.COMPANY_FORMS, lead % 7)),
            "Title": choose((*names.JOB_TITLES, None), below("lead.title", lead, len(names.JOB_TITLES) + 1)),
            "Email": people.untidy(people.emails(person, np.zeros(len(lead), dtype=np.int64)), lead),
            "Phone": people.phones(person),
            "Industry": nulled(choose(names.INDUSTRIES, below("lead.industry", lead, 8)), lead % 19 == 4),
            "AnnualRevenue": nulled(money(cents, 18), lead % 3 == 0),
            "Country": choose(people.CODES, people.country_of(person)),
            "LeadSource": choose(_SOURCES, below("lead.source", lead, len(_SOURCES))),
            "Status": choose(
                ("Open - Not Contacted", "Working - Contacted", "Closed - Converted"), [version] * len(lead)
            ),
            "Rating": choose(("Hot", "Warm", "Cold", None), below(f"lead.rating.{version}", lead, 4)),
            "IsConverted": flags(~lost),
            "ConvertedDate": nulled(dates(stamps.touched), lost),
            "ConvertedAccountId": nulled(account_ids(desk.crm.account_of(desk.crm.contacts, contact)), lost),
            "ConvertedContactId": nulled(padded("003Hw", contact, 10, _ONE_CAPITAL), lost),
            **stamps.columns("lead", lead),
        },
    )


def case_tables(desk: Desk) -> Iterator[pa.Table]:
    """Case: two thirds are closed under our eyes; few are deleted."""
    cases = desk.cases
    for case in cases.chunks():
        yield visible(_cases(desk, case, 0, Stamps.first(cases, case, (19,))))
        closed, at = cases.changing(case, tuple(range(13)))
        yield visible(_cases(desk, closed, 1, Stamps.later(cases, closed, at)))


def _cases(desk: Desk, case: Ints, version: int, stamps: Stamps) -> pa.Table:
    contacts = desk.crm.contacts
    contact = below("case.contact", case, contacts.existing(stamps.created))
    person = case + 12_000_000
    from_web = below("case.origin", case, 3) == 2
    is_open = np.full(len(case), version == 0)
    return table(
        "salesforce/Case",
        {
            "Id": padded("500Hw", case, 10, _ONE_CAPITAL),
            "CaseNumber": padded("", case + 1001, 8),
            "AccountId": nulled(account_ids(desk.crm.account_of(contacts, contact)), case % 41 == 7),
            "ContactId": nulled(padded("003Hw", contact, 10, _ONE_CAPITAL), case % 29 == 5),
            "Subject": choose(_SUBJECTS, below("case.subject", case, len(_SUBJECTS))),
            "Description": choose(_NOTES, below("case.description", case, len(_NOTES))),
            "Type": choose(("Question", "Problem", "Feature Request", None), below("case.type", case, 4)),
            "Reason": choose(("Shipping", "Quality", "Invoice", None), below("case.reason", case, 4)),
            "Status": choose(("New", "Working", "Escalated") if version == 0 else ("Closed",) * 3, case % 3),
            "Priority": choose(("High", "Medium", "Low"), weighted(f"case.priority.{version}", case, [1, 4, 2])),
            "Origin": choose(("Phone", "Email", "Web"), below("case.origin", case, 3)),
            "SuppliedName": nulled(joined(people.first_names(person), " ", people.last_names(person)), ~from_web),
            "SuppliedEmail": nulled(
                people.untidy(people.emails(person, np.zeros(len(case), dtype=np.int64)), case), ~from_web
            ),
            "IsClosed": flags(~is_open),
            "ClosedDate": instants(stamps.touched // 1_000_000 * 1_000_000, null=is_open),
            **stamps.columns("case", case),
        },
    )


def task_tables(desk: Desk) -> Iterator[pa.Table]:
    """Task: half are done under our eyes, some are deleted."""
    tasks = desk.tasks
    for task in tasks.chunks():
        yield visible(_tasks(desk, task, 0, Stamps.first(tasks, task, (17, 18))))
        done, at = tasks.changing(task, tuple(range(10)))
        yield visible(_tasks(desk, done, 1, Stamps.later(tasks, done, at)))


def _tasks(desk: Desk, task: Ints, version: int, stamps: Stamps) -> pa.Table:
    crm, created = desk.crm, stamps.created
    contact = below("task.contact", task, crm.contacts.existing(created))
    lead = below("task.lead", task, desk.leads.existing(created))
    deal = below("task.deal", task, crm.opportunities.existing(created))
    case = below("task.case", task, desk.cases.existing(created))
    account = account_ids(crm.account_of(crm.contacts, contact))
    to_lead, about = task % 4 == 3, below("task.what", task, 4)
    what = replaced(account, about == 1, padded("006Hw", deal, 10, _ONE_CAPITAL))
    what = replaced(what, about == 2, padded("500Hw", case, 10, _ONE_CAPITAL))
    who = replaced(padded("003Hw", contact, 10, _ONE_CAPITAL), to_lead, padded("00QHw", lead, 10, _TWO_CAPITALS))
    kind = below("task.kind", task, 3)
    return table(
        "salesforce/Task",
        {
            "Id": padded("00THw", task, 10, _TWO_CAPITALS),
            "WhoId": nulled(who, task % 17 == 6),
            # Salesforce takes nothing beside a lead.
            "WhatId": nulled(what, to_lead | (about == 3)),
            "AccountId": nulled(account, to_lead),
            "Subject": joined(choose(("Task: ", "Email: ", "Call: "), kind), choose(_SUBJECTS, task % len(_SUBJECTS))),
            "ActivityDate": nulled(dates(created + below("task.due", task, 30) * DAY), task % 23 == 8),
            "Status": choose(("Not Started", "In Progress") if version == 0 else ("Completed",) * 2, task % 2),
            "Priority": choose(("High", "Normal", "Low"), weighted("task.priority", task, [1, 5, 1])),
            "TaskSubtype": choose(("Task", "Email", "Call"), kind),
            "Description": choose(_NOTES, below("task.description", task, len(_NOTES))),
            "IsClosed": flags(np.full(len(task), version == 1)),
            **stamps.columns("task", task),
        },
    )


def solution_tables(desk: Desk) -> Iterator[pa.Table]:
    """Solution: some are reviewed by a person, some are counted by Salesforce alone."""
    solutions = desk.solutions
    for solution in solutions.chunks():
        yield visible(_solutions(solution, 0, Stamps.first(solutions, solution, (19,))))
        changed, at = solutions.changing(solution, tuple(range(14)))
        stamps = Stamps.later(solutions, changed, at, automated=changed % 20 > 6)
        yield visible(_solutions(changed, 1, stamps))


def _solutions(solution: Ints, version: int, stamps: Stamps) -> pa.Table:
    reviewed = (solution % 20 <= 6) & (version == 1)
    return table(
        "salesforce/Solution",
        {
            "Id": padded("501Hw", solution, 10, _ONE_CAPITAL),
            "SolutionNumber": padded("", solution + 1, 8),
            "SolutionName": joined(choose(_SUBJECTS, solution % len(_SUBJECTS)), " (", decimal_text(solution), ")"),
            "SolutionNote": choose(_REMEDIES, below("solution.note", solution, len(_REMEDIES))),
            "Status": choose(("Draft", "Reviewed"), reviewed.astype(np.int64)),
            "IsPublished": flags(reviewed & (solution % 2 == 0)),
            "IsReviewed": flags(reviewed),
            "TimesUsed": nulled(integers(below(f"solution.used.{version}", solution, 40)), solution % 11 == 6),
            **stamps.columns("solution", solution),
        },
    )
