"""Holds whole tables, as readers see them, against their contracts and limits: nothing is moved, all is written down."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from headwater.config import Settings
from headwater.contracts import Contract
from headwater.engine import Head
from headwater.masking import Masking, masks_of
from headwater.quality.evidence import Occasion
from headwater.quality.verdict import Candidate, Verdict
from headwater.run.context import Context
from headwater.run.opened import opened
from headwater.run.plan import planned
from headwater.run.tables import evidence_table, lake_table
from headwater.run.verdicts import keep_evidence, sampled


@dataclass(frozen=True)
class Published:
    """What was found of one table; no verdict on one that has not been written yet."""

    contract: Contract
    version: int | None = None
    verdict: Verdict | None = None


@contextmanager
def looking(settings: Settings, at: datetime | None) -> Iterator[Context]:
    """The context of looking at what is published; values are masked where they lie, so no key is needed.

    Raises:
        ConfigurationError: settings, contracts or limits are wrong.
        LakeError: the lake cannot be reached.
    """
    with opened(settings, at, ()) as shared:
        shared.gate.warm()
        yield replace(shared, masking=Masking(masks_of(settings, shared.contracts)))


def judge_published(context: Context, names: Sequence[str] = ()) -> Iterator[Published]:
    """Judge tables by their bare names, by default all of Silver and Gold that the enabled sources reach.

    The gate judges them by the very checks that it has for a candidate: keys, what is required, references to the
    parents as they stand, conservation of what a Gold table was made of, volume, freshness. Evidence is kept of each.
    """
    planned_names = planned(context.settings, context.contracts, context.functions, None).tables()
    for name in names or [each for each in planned_names if context.contracts[each].layer != "bronze"]:
        contract = context.contracts[name]
        head = context.engine.head(lake_table(contract))
        yield Published(contract) if head is None else _judged(context, contract, head)


def _judged(context: Context, contract: Contract, head: Head) -> Published:
    engine, inputs = context.engine, head.inputs or {}
    parents = {key.parent: lake_table(context.contracts[key.parent]) for key in contract.foreign_keys}
    standing = {name: at.version for name, table in parents.items() if (at := engine.head(table)) is not None}
    made_of = context.functions[contract.name].inputs if contract.conserved else ()
    candidate = Candidate(
        contract=contract,
        rows=engine.read(lake_table(contract), head.version).select(*contract.column_names),
        limits=context.limits.tables[contract.name],
        at=context.at,
        parents={name: engine.read(parents[name], version) for name, version in standing.items()},
        # As it was made of: what its inputs have gained since is not lost, but not there yet.
        inputs={name: engine.read(lake_table(context.contracts[name]), inputs.get(name)) for name in made_of},
        written=head.metadata.get("counts", {}).get("rows", 0),
    )
    verdict = sampled(context, context.gate.judge(candidate), candidate)
    occasion = Occasion(context.run_id, head.txn, context.at, "published", inputs)
    evidence = evidence_table(contract, "published")
    keep_evidence(context, verdict, occasion, engine.head(evidence), evidence)
    return Published(contract, head.version, verdict)
