"""Recomputes a Silver or Gold table from recorded versions of its inputs, and publishes it if the gate lets it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.engine import Attempt, Commit, Head, Staged, Table
from headwater.masking import tokens
from headwater.quality import evidence, freshness
from headwater.quality.evidence import Occasion
from headwater.quality.freshness import standing_checks
from headwater.quality.newest import END, OVERTAKEN, newest
from headwater.quality.rules import NULLED, RULES, forgiven, judged, reasons
from headwater.quality.shares import BatchShares
from headwater.quality.typed import VERSION_COLUMNS
from headwater.quality.verdict import Candidate, Verdict
from headwater.run.came import CAME, balance, came
from headwater.run.context import Context
from headwater.run.covered import READ_UNTIL, covered
from headwater.run.events import Committed, Committing, Judged, Judging
from headwater.run.events import Staged as FilesStaged
from headwater.run.masked import check_inputs, masks_differ
from headwater.run.quarantine import Quarantine, Replay
from headwater.run.reading import Reading
from headwater.run.report import TableReport
from headwater.run.tables import evidence_table, lake_table, quarantine_table, rejects_table
from headwater.run.verdicts import Broken, accepted_told, batch_samples, keep_evidence, sampled, with_acceptances
from headwater.transform.table import TableFunction

_UNJUDGED = "unjudged"


@dataclass
class Build:
    """One Silver or Gold table's step in one run."""

    context: Context
    function: TableFunction
    contract: Contract
    replay: Replay | None = None
    """What of a Silver table's quarantine is judged again, though no input may have moved."""
    _beside: dict[str, Head | None] = field(default_factory=dict)
    """Quarantine and evidence as they stood when the work was planned."""
    _unjudged: bool = False
    """Whether rows stay in quarantine that the inputs of now have not judged."""

    def standing(self) -> TableReport | None:
        """What is to say of a table whose inputs did not move; None if one did."""
        head = self.context.engine.head(self._table)
        return self._standing(head) if head is not None and self._is_done(head) else None

    def run(self) -> TableReport:
        """Bring the table to the newest versions of its inputs, or leave it alone if it is there already.

        Raises:
            BalanceBroken: a version came to no end, or to two; nothing was committed.
            CommitRefused: another writer moved the table meanwhile.
            MaskedOtherwise: the table, or one that it reads, stands with other masks than the settings ask for.
        """
        head = self.context.engine.head(self._table)
        if head is not None and self._is_done(head) and self.replay is None:
            return self._standing(head)
        head = self._with_history(head)
        self._beside = {table.name: self.context.engine.head(table) for table in self._tables_beside}
        first = head.txn + 1 if head else 1
        with self.context.attempting(self._table, lambda: first):
            report = self._silver(head) if self.contract.layer == "silver" else self._gold(head)
        return replace(report, consumed=((head.inputs if head else None) or {}, self._inputs))

    def _with_history(self, head: Head | None) -> Head | None:
        """The head; without inputs, so that all counts as new, where somebody was forgotten in the versions since."""
        if head is None or head.inputs is None:
            return head
        seen = {name: head.inputs.get(name) for name in self.function.versions if name in self._inputs}
        tables = {name: lake_table(self.context.contracts[name]) for name in seen}
        grew = self.context.engine.grew
        cut = [
            n for n, version in seen.items() if version is not None and not grew(tables[n], version, self._inputs[n])
        ]
        return replace(head, inputs=None) if cut else head

    def _is_done(self, head: Head) -> bool:
        """Whether nothing moved, the table's masks are those that the settings ask for, and no replay left rows unjudged."""
        differs = masks_differ(self.context, self.contract, head)
        return head.inputs == self._inputs and not differs and not head.metadata.get(_UNJUDGED)

    def _standing(self, head: Head) -> TableReport:
        """Nothing moved: the table stands, but what stands grows old."""
        told = head.metadata.get("newest")
        newest = datetime.fromisoformat(told) if told else None
        limits = self.context.limits.tables[self.contract.name]
        verdict = Verdict(self.contract.table, standing_checks(self.contract, limits, newest, self.context.at))
        if verdict.failed or verdict.warnings:
            table = evidence_table(self.contract, "standing")
            occasion = Occasion(self.context.run_id, head.txn, self.context.at, "standing", head.inputs or {})
            keep_evidence(self.context, verdict, occasion, self.context.engine.head(table), table)
        checks = tuple(map(evidence.told, verdict.checks))
        report = TableReport(self.contract.name, self.contract.layer, "unchanged", version=head.version, checks=checks)
        return replace(report, outcome="gate failed", reason=verdict.why) if verdict.failed else report

    @cached_property
    def _table(self) -> Table:
        return lake_table(self.contract)

    @property
    def _tables_beside(self) -> list[Table]:
        quarantines = [quarantine_table(self.contract)] if self.contract.layer == "silver" else []
        return [*quarantines, evidence_table(self.contract)]

    @cached_property
    def _heads(self) -> dict[str, Head]:
        """Everything that the table depends on, as it stood when this was planned: its inputs, and its rows' parents."""
        names = dict.fromkeys((*self.function.inputs, *(key.parent for key in self.contract.foreign_keys)))
        heads = {name: self.context.engine.head(lake_table(self.context.contracts[name])) for name in names}
        if self.contract.layer == "gold":
            check_inputs(self.context, self.contract, heads)
        return {name: head for name, head in heads.items() if head is not None}

    @cached_property
    def _inputs(self) -> dict[str, int]:
        """The version of each of them."""
        return {name: head.version for name, head in self._heads.items()}

    @property
    def inputs(self) -> Mapping[str, int]:
        """What the table would be made of now."""
        return self._inputs

    @cached_property
    def _reading(self) -> Reading:
        return Reading(self.context, self.function, self.contract, self._inputs)

    def _gold(self, head: Head | None) -> TableReport:
        txn = head.txn + 1 if head else 1
        folder = Attempt(self.context.run_id, txn).folder()
        staged = self.context.engine.stage(self._table, self._reading.computed(), folder, self.contract.partition_by)
        return self._publish(head, txn, staged, self._candidate(staged), None, {"rows": staged.rows})

    def _silver(self, head: Head | None) -> TableReport:
        engine, txn = self.context.engine, head.txn + 1 if head else 1
        quarantine = Quarantine(self._reading, self._beside[quarantine_table(self.contract).name], txn, self.replay)
        if self.replay is not None and not quarantine.asked:
            return TableReport(
                self.contract.name, "silver", "unchanged", {"asked": 0}, version=head.version if head else None
            )
        expected, rows = came(self._reading, head, quarantine.standing(), self._reading.computed())
        if self._forgives:
            rows = forgiven(rows, self.contract)
        marked = quarantine.refusing_what_stays(judged(rows, self.contract, self._reading.parents))
        folder = Attempt(self.context.run_id, txn).folder()
        staged = engine.stage(self._table, self._ends(marked), folder, ("end", CAME, *self.contract.partition_by))
        terms = balance(self.contract.table, staged, expected)
        terms |= {"asked": quarantine.asked, "held_back": quarantine.held_back} if self.replay is not None else {}
        if tokenized := self.context.masking.tokenized(self.contract.name):
            tokens.keep(engine, rows, tokenized, self.context.run_id, self.contract.name)
        quarantine.leave(self._table, staged.where(end="quarantined"))
        if self.replay is not None and head is not None and not self._moves(head, terms):
            engine.discard(self._table, staged)
            return TableReport(self.contract.name, "silver", "unchanged", terms, version=head.version)
        batch = self._batch(staged, head)
        accepted = staged.where(end="accepted")
        for end in ("superseded", "deleted", "quarantined"):
            engine.discard(self._table, staged.where(end=end))
        self._unjudged = bool(quarantine.held_back) and self._is_behind(head)
        report = self._publish(head, txn, accepted, self._candidate(accepted), batch, terms)
        if report.outcome == "gate failed":
            quarantine.take_back()
        return report

    def _moves(self, head: Head, terms: Mapping[str, int]) -> bool:
        """Whether the table would be another one: where no input moved and every row tried again is refused, it is not."""
        ended = terms["new"] or terms["accepted"] or terms["deleted"] or terms["superseded"]
        stands = head.metadata.get("counts", {}).get("rows") == terms["rows"]
        return bool(ended) or not stands or head.inputs != self._inputs

    def _is_behind(self, head: Head | None) -> bool:
        """Whether the table as it stands has not judged all rows by the inputs of now."""
        return head is None or head.inputs != self._inputs or bool(head.metadata.get(_UNJUDGED))

    def _ends(self, marked: DataFrame) -> DataFrame:
        """Every version with its end; only accepted ones keep their partition, only refused ones which version they are.

        Here values are masked: they were judged raw, and no raw one is written, of refused versions neither.
        """
        new = F.col(CAME) == "new"
        ended = newest(marked, self.contract, batch=new).withColumn(
            CAME, F.when(new & F.col(OVERTAKEN), F.lit("overtaken")).otherwise(F.col(CAME))
        )
        accepted, refused = F.col(END) == "accepted", F.col(END) == "quarantined"
        masks, columns = self.context.masking.of(self.contract.name), []
        for name in self.contract.column_names:
            kept = F.when(accepted, F.col(name)) if name in masks or name in self.contract.partition_by else F.col(name)
            columns.append((masks[name].over(kept) if name in masks else kept).alias(name))
        described = [F.when(refused, F.col(name)).alias(name) for name in (*VERSION_COLUMNS, RULES)]
        said = F.when(refused, reasons(self.contract)).alias("_reason")
        noted = [F.when(accepted, F.col(NULLED)).alias(NULLED)] if self._forgives else []
        return ended.select(*columns, *described, *noted, said, F.col(END).alias("end"), CAME)

    @property
    def _forgives(self) -> bool:
        """Whether a field that its contract does not allow is set to null, and its row kept."""
        return self.contract.held and self.context.limits.schema_contracts.validation_mode == "loose"

    def _batch(self, staged: Staged, head: Head | None) -> BatchShares:
        """What came new, as the gate judges it before the split."""
        broken: dict[str, int] = {}
        rows, refused = None, staged.where(end="quarantined", came="new")
        if refused.files:
            rows = self.context.engine.staged(self._table, refused)
            rows = rows.where((F.col("end") == "quarantined") & (F.col(CAME) == "new"))
            broken = _counted(rows, RULES)
        rejects = self._rejects_since(head)
        rejected = sum(each.count() for each in rejects.values())
        nulled = self._nulled(staged)
        batch = BatchShares(
            staged.where(came="new").rows, rejected, broken, {} if nulled is None else _counted(nulled, NULLED)
        )
        return replace(batch, samples=batch_samples(self.context, self.contract, batch, Broken(rows, nulled, rejects)))

    def _nulled(self, staged: Staged) -> DataFrame | None:
        """What is newly accepted, with the names of the rules for which it had a field set to null; None of no rows."""
        accepted = staged.where(end="accepted")
        if not self._forgives or not accepted.files:
            return None
        rows = self.context.engine.staged(self._table, accepted)
        return rows.where((F.col("end") == "accepted") & F.col(CAME).isin("new", "retried"))

    def _rejects_since(self, head: Head | None) -> dict[str, DataFrame]:
        """The records of the sources' batches that lie in the rejects: the gate holds them against the batch too."""
        run = head.metadata.get("run_id") if head and head.inputs is not None else None
        found = {}
        for name in self.function.versions:
            table = rejects_table(self.context.contracts[name])
            if (at := self.context.engine.head(table)) is not None:
                rejects = self.context.engine.read(table, at.version)
                found[name] = rejects if run is None else rejects.where(F.col("_run_id") > run)
        return found

    def _candidate(self, staged: Staged) -> DataFrame:
        """What is about to become the table, as it was written."""
        if not staged.files:
            return self.context.engine.read(self._table, None)
        rows = self.context.engine.staged(self._table, staged)
        if "end" in staged.files[0].partition:
            rows = rows.where(F.col("end") == "accepted")
        return rows.select(*(F.col(column.name).cast(column.type) for column in self.contract.columns))

    def _publish(
        self,
        head: Head | None,
        txn: int,
        staged: Staged,
        candidate: DataFrame,
        batch: BatchShares | None,
        terms: dict[str, int],
    ) -> TableReport:
        context, name = self.context, self.contract.name
        context.emit(FilesStaged(name, staged.rows))
        context.emit(Judging(name))
        covers = covered(head, [self._heads[name] for name in self._reading.landed], context.at)
        verdict = context.gate.judge(
            asked := Candidate(
                contract=self.contract,
                rows=candidate,
                limits=context.limits.tables[name],
                at=context.at,
                parents=self._reading.parents,
                inputs={name: self._reading.read(name) for name in self.function.inputs}
                if self.contract.conserved
                else {},
                batch=batch,
                standing_rows=head.metadata.get("counts", {}).get("rows") if head else None,
                covers=covers,
                profiles=head.metadata.get("profiles", {}) if head else {},
                written=staged.rows,
            )
        )
        verdict = sampled(context, verdict, asked, self._reading.computed if self.contract.layer == "silver" else None)
        occasion = Occasion(context.run_id, txn, context.at, "gate", self._inputs)
        verdict = with_acceptances(context, verdict, occasion)
        context.emit(Judged(name, verdict.success, tuple(check.rule for check in verdict.failed)))
        checks = self._keep_evidence(verdict, occasion)
        report = TableReport(name, self.contract.layer, "committed", terms, bytes=staged.bytes, checks=checks)
        if not verdict.success:
            context.engine.discard(self._table, staged)
            return replace(report, outcome="gate failed", bytes=0, reason=verdict.why)
        metadata = {
            "run_id": context.run_id,
            "at": context.at.isoformat(),
            "counts": terms,
            "verdict": verdict.word,
            "accepted": accepted_told(verdict),
            "newest": self._newest(verdict),
            "masking": context.masking.record(name),
            _UNJUDGED: self._unjudged,
            READ_UNTIL: covers.until.isoformat(),
            "profiles": verdict.profiles,
        }
        context.leases.check(name)
        context.emit(Committing(name, txn))
        version = context.engine.replace(self._table, staged, Commit(self._table.app_id, txn, self._inputs, metadata))
        context.emit(Committed(name, version, txn))
        context.sweep(self._table, txn)
        return replace(report, version=version)

    def _newest(self, verdict: Verdict) -> str | None:
        """The instant of the newest row, where the gate saw how old it is."""
        ages = [check.observed for check in verdict.checks if check.rule == freshness.RULE]
        return None if not ages or ages[0] is None else (self.context.at - timedelta(seconds=ages[0])).isoformat()

    def _keep_evidence(self, verdict: Verdict, occasion: Occasion) -> tuple[Mapping[str, Any], ...]:
        """Write the verdict down, as one of those beside the table, and say what was checked."""
        self.context.leases.check(self.contract.name)
        table = evidence_table(self.contract)
        keep_evidence(self.context, verdict, occasion, self._beside[table.name], table)
        return tuple(map(evidence.told, evidence.checks(verdict)))


def _counted(rows: DataFrame, names: str) -> dict[str, int]:
    """How many of the rows have each name in their column of names."""
    told = rows.select(F.explode(names).alias("rule")).groupBy("rule").agg(F.count(F.lit(1)).alias("rows"))
    return {each["rule"]: each["rows"] for each in told.toArrow().to_pylist()}
