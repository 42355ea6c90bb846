"""What becomes of a verdict: the rows that broke its rules, what somebody accepted, and evidence of all of it."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.engine import Commit, Head, Table
from headwater.masking import mask_told
from headwater.masking.embedded import without_contacts_in_each
from headwater.quality import evidence, samples, shares
from headwater.quality.evidence import Occasion
from headwater.quality.freshness import RULE as FRESHNESS
from headwater.quality.rules import NULLED, PARSE, RULES
from headwater.quality.shares import BatchShares, Sample
from headwater.quality.verdict import Acceptance, Candidate, Check, Verdict
from headwater.run.context import Context
from headwater.run.tables import evidence_table

_LOG = logging.getLogger("headwater.run")


@dataclass(frozen=True)
class Broken:
    """The rows of a batch that broke rules: refused versions, accepted ones with nulled fields, records that are no rows."""

    refused: DataFrame | None
    nulled: DataFrame | None
    rejects: Mapping[str, DataFrame]


def batch_samples(context: Context, contract: Contract, batch: BatchShares, broken: Broken) -> dict[str, Sample]:
    """Some of the rows of a batch for each rule that more of them broke than may, and for each that nulled a field."""
    limits, masked = context.limits.tables[contract.name], masked_columns(context, contract)
    found = {}
    for rule in (PARSE, *batch.broken):
        if batch.share(rule) <= limits.refused_share(rule):
            continue
        if rule == PARSE:
            positions = {name: samples.some_keys(each.select("position")) for name, each in broken.rejects.items()}
            told = [f"{name} {place}" for name, some in positions.items() for place in some["position"].to_pylist()]
            found[shares.REFUSED + rule] = Sample(records=without_contacts_in_each(told[: samples.MOST]))
        elif broken.refused is not None:
            rows = broken.refused.where(F.array_contains(RULES, rule))
            found[shares.REFUSED + rule] = samples.of_versions(rows, contract, masked)
    for rule in batch.nulled:
        if broken.nulled is not None:
            rows = broken.nulled.where(F.array_contains(NULLED, rule))
            found[shares.NULLED + rule] = samples.of_rows(rows, contract, masked)
    return found


def sampled(
    context: Context, verdict: Verdict, candidate: Candidate, versions: Callable[[], DataFrame] | None = None
) -> Verdict:
    """The verdict with some of the rows that broke each failed rule of the candidate.

    `versions` are the row versions that a Silver candidate is made of: of what keeps it from being published the records
    are looked up among them. Nothing of this decides anything: what cannot be found out is left out.
    """

    def looked_at(check: Check) -> Check:
        if check.success or check.observed is None or check.rule.startswith((shares.REFUSED, shares.NULLED)):
            return check
        try:
            return _with_rows(context, check, candidate, versions if check.severity == "critical" else None)
        except Exception as error:  # noqa: BLE001 - it is only shown, and the verdict stands without it
            _LOG.warning("%s: rows that broke %s cannot be shown", verdict.table, check.rule, exc_info=error)
            return check

    return replace(verdict, checks=tuple(map(looked_at, verdict.checks)))


def _with_rows(context: Context, check: Check, candidate: Candidate, versions: Callable[[], DataFrame] | None) -> Check:
    contract = candidate.contract
    rows = samples.breaking(candidate, check.rule)
    if rows is None:
        return check
    found = samples.some_keys(rows)
    keys = samples.shown(found, contract, masked_columns(context, contract))
    records: tuple[str, ...] = ()
    if versions is not None and found.num_rows:
        made_of = versions().where(_any_of(found.select([*contract.key]).to_pylist()))
        order = [F.col(contract.cursor).desc_nulls_last()] if contract.cursor else []
        newest = made_of.orderBy(*contract.key, *order, F.col("_row_id").desc())
        newest = newest.select("_input", "_row_id").limit(samples.MOST)
        records = samples.records(newest.toArrow())
    return replace(check, keys=keys, records=records)


def masked_columns(context: Context, contract: Contract) -> list[str]:
    """The columns of a table whose values are masked where it lies."""
    masks, function = context.masking.masks, context.functions[contract.name]
    return [
        column.name
        for column in contract.columns
        if mask_told(contract, column, function.inputs, masks) not in ("", "none")
    ]


def _any_of(keys: Sequence[Mapping[str, Any]]) -> Expression:
    """That a row has one of these keys."""
    each = (
        reduce(lambda both, one: both & one, (F.col(name).eqNullSafe(F.lit(value)) for name, value in key.items()))
        for key in keys
    )
    return reduce(lambda either, one: either | one, each)


@dataclass(frozen=True)
class Accepted:
    """An acceptance as the evidence has it: the rule, what was observed of it, and of what inputs."""

    rule: str
    observed: float | None
    inputs: Mapping[str, int]
    acceptance: Acceptance

    def covers(self, check: Check, inputs: Mapping[str, int]) -> bool:
        """Whether a check of a candidate that was made of `inputs` is what was accepted.

        The same batch breaks a rule as much as before, but for its age, which grows.
        """
        same = self.rule == FRESHNESS or self.observed == check.observed
        return check.observed is not None and same and self.inputs == inputs


def with_acceptances(context: Context, verdict: Verdict, occasion: Occasion) -> Verdict:
    """The verdict with what somebody accepted of this very batch.

    An acceptance is bound to the version that the batch would become, of which there is one commit at most: so it is
    used once, and lasts until then, whatever dies meanwhile.
    """
    if not verdict.failed:
        return verdict
    name = verdict.table.rpartition(".")[2]
    known = {each.rule: each for each in acceptances(context, context.contracts[name], occasion.target_version)}

    def looked_at(check: Check) -> Check:
        found = known.get(check.rule)
        if found is None or check not in verdict.failed:
            return check
        if found.covers(check, occasion.inputs):
            return replace(check, accepted=found.acceptance)
        of = f"{found.acceptance.by} accepted it of run {found.acceptance.run_id}, which judged another batch"
        return replace(check, detail=f"{check.detail} ({of})")

    return replace(verdict, checks=tuple(map(looked_at, verdict.checks)))


def acceptances(context: Context, contract: Contract, target_version: int) -> list[Accepted]:
    """What was accepted of batches that would become a version of a table; of each rule the newest."""
    newest: dict[str, Accepted] = {}
    for row in evidence_rows(context, contract, "acceptance"):
        if row["target_version"] == target_version:
            said = Acceptance(**json.loads(row["accepted"]))
            found = Accepted(row["rule"], row["observed"], json.loads(row["inputs"]), said)
            if row["rule"] not in newest or newest[row["rule"]].acceptance.at < said.at:
                newest[row["rule"]] = found
    return list(newest.values())


def evidence_rows(context: Context, contract: Contract, kind: evidence.Kind) -> Iterator[dict[str, Any]]:
    """The evidence of one kind that there is of a table, without what Great Expectations says itself."""
    table = evidence_table(contract)
    head = context.engine.head(table)
    if head is None or "kind" not in head.schema.names:
        return
    columns = [name for name in evidence.SCHEMA.names if name != "validation"]
    for batch in context.engine.scan(table, head.version, columns):
        ours = pc.and_(pc.equal(batch["table"], contract.name), pc.equal(batch["kind"], kind))
        yield from pa.RecordBatch.filter(batch, ours).to_pylist()


def keep_evidence(context: Context, verdict: Verdict, occasion: Occasion, before: Head | None, table: Table) -> None:
    """Write a verdict down; `before` is the evidence as it stood when the work was planned.

    Raises:
        CommitRefused: somebody else wrote it down since.
    """
    rows = evidence.rows(verdict, occasion)
    where = occasion.replaces(verdict.table.rpartition(".")[2], verdict)
    commit = Commit(table.app_id, (before.txn if before else 0) + 1, {}, {"run_id": context.run_id})
    context.engine.overwrite(table, rows, where, commit)


def accepted_told(verdict: Verdict) -> list[dict[str, Any]]:
    """What a commit says of the rules that were accepted for it."""
    return [{"rule": check.rule, **asdict(check.accepted)} for check in verdict.accepted if check.accepted]
