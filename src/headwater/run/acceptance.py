"""Lets one batch that the gate refused pass one rule that it broke, once: somebody looked at it, and says why."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headwater.config import Settings
from headwater.contracts import Contract
from headwater.engine import Commit
from headwater.errors import ConfigurationError, NothingToAccept
from headwater.masking import load_masking
from headwater.observe.ledger import runs_called
from headwater.quality.evidence import Occasion, acceptance_row
from headwater.quality.verdict import Acceptance
from headwater.run.build import Build
from headwater.run.context import Context
from headwater.run.opened import opened
from headwater.run.plan import everything_below
from headwater.run.tables import evidence_table, lake_table
from headwater.run.verdicts import acceptances, evidence_rows
from headwater.state import Waiting


@dataclass(frozen=True)
class Refused:
    """A check that failed and the batch that it kept back.

    `below` are the tables that wait for it; `accepted` says who accepted it before, if anybody did; `others` are the
    rules that keep the batch back too.
    """

    contract: Contract
    run_id: str
    check: Mapping[str, Any]
    target_version: int
    inputs: Mapping[str, int]
    below: tuple[str, ...]
    accepted: Acceptance | None = None
    others: tuple[str, ...] = ()


@contextmanager
def accepting(settings: Settings, at: datetime | None = None) -> Iterator[Context]:
    """The context of accepting: what a run would plan is planned with the masks of a run."""
    with opened(settings, at, ()) as shared:
        yield replace(shared, masking=load_masking(settings, shared.contracts))


def refused(context: Context, contract: Contract, run_id: str, rule: str) -> Refused:
    """What `rule` kept back in a run, which is named, or by the beginning of its name.

    Raises:
        ConfigurationError: no such run refused a batch of the table, or it has no such rule.
        NothingToAccept: the rule did not fail there, was not judged, or the batch is no longer what would be published.
    """
    rows = [row for row in evidence_rows(context, contract, "gate") if row["passed"] is False]
    run = _run(contract, run_id, sorted({row["run_id"] for row in rows}))
    checks = {row["rule"]: row for row in rows if row["run_id"] == run}
    if rule not in checks:
        failed = [name for name, row in checks.items() if not row["success"]]
        raise ConfigurationError(f"run {run} judged no rule {rule} of {contract.table}; failed: {_listed(failed)}")
    check = checks[rule]
    _see_that_it_failed(contract, run, check)
    found = Refused(
        contract=contract,
        run_id=run,
        check=check,
        target_version=check["target_version"],
        inputs=_inputs(check),
        below=everything_below(contract.name, context.contracts, context.functions),
    )
    _see_that_it_waits(context, found)
    known = {each.rule: each for each in acceptances(context, contract, found.target_version)}

    def acceptance(name: str) -> Acceptance | None:
        it = known.get(name)
        same = it is not None and it.inputs == found.inputs and it.observed == checks[name]["observed"]
        return it.acceptance if it is not None and same else None

    failed = [name for name, row in checks.items() if not row["success"] and row["severity"] == "critical"]
    others = tuple(name for name in failed if name != rule and acceptance(name) is None)
    return replace(found, accepted=acceptance(rule), others=others)


def accept(context: Context, found: Refused, why: str, waiting: Waiting) -> Acceptance:
    """Write down that a batch may pass the rule that it broke; the next run that judges that very batch heeds it.

    `waiting` is told of a run that works on the table, for whose end is waited.

    Raises:
        NothingToAccept: the batch was published, or another came, meanwhile.
        TableIsHeld: a run works on the table, and went on for longer than `lease.wait`.
        CommitRefused: somebody else accepted something of the table at the same instant.
    """
    contract, table = found.contract, evidence_table(found.contract, "acceptance")
    with context.leases.held(contract.name, waiting):
        found = refused(context, contract, found.run_id, found.check["rule"])
        if found.accepted is not None:
            return found.accepted
        by = context.holder.who
        said = Acceptance(by, context.began.isoformat(), why, found.run_id)
        occasion = Occasion(found.run_id, found.target_version, context.at, "acceptance", found.inputs)
        rows = acceptance_row(contract.name, occasion, found.check, said)
        where: dict[str, str | int] = {
            "table": contract.name,
            "kind": "acceptance",
            "rule": found.check["rule"],
            "run_id": found.run_id,
        }
        head = context.engine.head(table)
        commit = Commit(table.app_id, (head.txn if head else 0) + 1, {}, {"run_id": context.run_id})
        context.leases.check(contract.name)
        context.engine.overwrite(table, rows, where, commit)
    return said


def _run(contract: Contract, asked: str, known: Sequence[str]) -> str:
    matching = runs_called(asked, known)
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise ConfigurationError(
            f"{len(matching)} runs that refused a batch of {contract.table} begin with {asked}; write more of it"
        )
    newest = f"; the newest that did is {known[-1]}" if known else ""
    raise ConfigurationError(f"no run {asked} refused a batch of {contract.table}{newest}")


def _see_that_it_failed(contract: Contract, run: str, check: Mapping[str, Any]) -> None:
    rule = check["rule"]
    if check["success"]:
        raise NothingToAccept(f"{rule} did not fail in run {run}: {check['detail']}")
    if check["severity"] != "critical":
        raise NothingToAccept(f"{rule} is a warning: it kept no batch of {contract.table} back")
    if check["observed"] is None:
        raise NothingToAccept(
            f"{rule} was not judged in run {run} ({check['detail']}): only what was seen can be accepted; run again"
        )


def _see_that_it_waits(context: Context, found: Refused) -> None:
    """That a run of now would judge the very batch."""
    contract, run = found.contract, found.run_id
    head = context.engine.head(lake_table(contract))
    if (head.txn if head else 0) + 1 != found.target_version:
        raise NothingToAccept(f"{contract.table} was published since run {run}: that batch does not wait any more")
    now = Build(context, context.functions[contract.name], contract).inputs
    if now != found.inputs:
        moved = [name for name in {**found.inputs, **now} if found.inputs.get(name) != now.get(name)]
        told = ", ".join(f"{name} from {found.inputs.get(name)} to {now.get(name)}" for name in moved)
        raise NothingToAccept(
            f"another batch of {contract.table} waits than run {run} judged (versions moved: {told}); run again, and "
            f"accept what that run refuses"
        )


def _inputs(check: Mapping[str, Any]) -> Mapping[str, int]:
    told: Mapping[str, int] = json.loads(check["inputs"] or "{}")
    return told


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
