"""Recomputes a Silver or Gold table from recorded versions of its inputs, and publishes it if the gate lets it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.contracts.drifted import beyond
from headwater.engine import Attempt, Commit, Head, Held, Staged, Table
from headwater.errors import BalanceBroken
from headwater.masking import tokens
from headwater.quality import evidence, freshness
from headwater.quality.evidence import Occasion
from headwater.quality.freshness import standing_checks
from headwater.quality.newest import END, OVERTAKEN, looked_up, newest
from headwater.quality.rules import NULLED, RULES, forgiven, judged, reasons
from headwater.quality.shares import BatchShares
from headwater.quality.typed import RAW, VERSION_COLUMNS, typed
from headwater.quality.verdict import Candidate, Verdict
from headwater.run.context import Context
from headwater.run.events import Committed, Committing, Judged, Judging, Refused, Refusing
from headwater.run.events import Staged as FilesStaged
from headwater.run.masked import check_inputs, masks_differ
from headwater.run.report import TableReport
from headwater.run.tables import QUARANTINE, evidence_table, lake_table, quarantine_table, rejects_table
from headwater.run.verdicts import accepted_told, batch_samples, keep_evidence, sampled, with_acceptances
from headwater.transform.presented import presented, unreadable
from headwater.transform.table import TableFunction

_CAME = "came"
"""Column of what brought a version before this attempt: new, retried (from quarantine) or before (neither).

Where versions are staged, it parts the new ones: those that a newer version of the same batch overtakes are `overtaken`.
"""


@dataclass
class Build:
    """One Silver or Gold table's step in one run."""

    context: Context
    function: TableFunction
    contract: Contract
    _beside: dict[str, Head | None] = field(default_factory=dict)
    """Quarantine and evidence as they stood when the work was planned."""

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
        if head is not None and self._is_done(head):
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
        """Whether nothing moved, and the table's masks are those that the settings ask for."""
        differs = masks_differ(self.context, self.contract, head)
        return head.inputs == self._inputs and not differs

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

    def _commit_beside(self, table: Table, inputs: Mapping[str, Any], said: Mapping[str, Any]) -> Commit:
        """The next commit of a table beside this one, by what stood there when the work was planned."""
        before = self._beside[table.name]
        metadata = {"run_id": self.context.run_id, **said}
        return Commit(table.app_id, (before.txn if before else 0) + 1, inputs, metadata)

    @cached_property
    def _inputs(self) -> dict[str, int]:
        """The version of everything that the table depends on: what its function reads, and the parents of its rows."""
        names = dict.fromkeys((*self.function.inputs, *(key.parent for key in self.contract.foreign_keys)))
        heads = {name: self.context.engine.head(lake_table(self.context.contracts[name])) for name in names}
        if self.contract.layer == "gold":
            check_inputs(self.context, self.contract, heads)
        return {name: head.version for name, head in heads.items() if head is not None}

    @property
    def inputs(self) -> Mapping[str, int]:
        """What the table would be made of now."""
        return self._inputs

    @cached_property
    def _opened(self) -> dict[str, DataFrame]:
        return {}

    def _as_it_stands(self, name: str) -> DataFrame:
        """An input with all its columns; opened once, as its schema is asked for more than once."""
        if name not in self._opened:
            table = lake_table(self.context.contracts[name])
            self._opened[name] = self.context.engine.read(table, self._inputs.get(name))
        return self._opened[name]

    def _read(self, name: str) -> DataFrame:
        """An input as functions see it: Bronze as its contract describes it, whatever its source has changed."""
        rows, contract = self._as_it_stands(name), self.context.contracts[name]
        return presented(rows, contract) if contract.layer == "bronze" else rows

    def _computed(self) -> DataFrame:
        settings = {"fx_max_age_days": self.context.settings.fx.max_age_days}
        rows = self.function.compute({name: self._read(name) for name in self.function.inputs}, settings)
        for name in self.function.versions:
            rows = self._with_unreadable(rows, name)
        return typed(rows, self.contract)

    def _with_unreadable(self, rows: DataFrame, name: str) -> DataFrame:
        """Mark the versions of which Bronze holds a value beside its column that is none of its type.

        Such values are few, or the source is not what its contract says: only then is there a join.
        """
        bronze = self._as_it_stands(name)
        found = unreadable(bronze, self.context.contracts[name], set(self.contract.column_names))
        if not found:
            return rows
        texts = [text.alias(f"_unreadable_{column}") for column, text in found.items()]
        names = [f"_unreadable_{column}" for column in found]
        few = bronze.select("_row_id", F.lit(name).alias("_input"), *texts)
        few = few.where(F.coalesce(*(F.col(each) for each in names)).isNotNull())
        if few.isEmpty():
            return rows
        marked = rows.join(few, ["_row_id", "_input"], "left")
        for column in found:
            text = F.col(f"_unreadable_{column}")
            told = F.coalesce(F.col(RAW + column), text) if RAW + column in rows.columns else text
            marked = marked.withColumn(RAW + column, told)
        return marked.drop(*names)

    @cached_property
    def _parents(self) -> dict[str, DataFrame]:
        parents = {key.parent for key in self.contract.foreign_keys}
        return {name: self._read(name) for name in parents if name in self._inputs}

    def _gold(self, head: Head | None) -> TableReport:
        txn = head.txn + 1 if head else 1
        folder = Attempt(self.context.run_id, txn).folder()
        staged = self.context.engine.stage(self._table, self._computed(), folder, self.contract.partition_by)
        return self._publish(head, txn, staged, self._candidate(staged), None, {"rows": staged.rows})

    def _silver(self, head: Head | None) -> TableReport:
        engine, txn = self.context.engine, head.txn + 1 if head else 1
        expected, rows = self._came(head, self._computed())
        if self._forgives:
            rows = forgiven(rows, self.contract)
        marked = judged(rows, self.contract, self._parents)
        folder = Attempt(self.context.run_id, txn).folder()
        staged = engine.stage(self._table, self._ends(marked), folder, ("end", _CAME, *self.contract.partition_by))
        terms = self._balance(staged, expected)
        if tokenized := self.context.masking.tokenized(self.contract.name):
            tokens.keep(engine, rows, tokenized, self.context.run_id, self.contract.name)
        self._quarantine(staged)
        batch = self._batch(staged, head)
        accepted = staged.where(end="accepted")
        for end in ("superseded", "deleted", "quarantined"):
            engine.discard(self._table, staged.where(end=end))
        return self._publish(head, txn, accepted, self._candidate(accepted), batch, terms)

    def _came(self, head: Head | None, rows: DataFrame) -> tuple[dict[str, int], DataFrame]:
        """Mark every version by what brought it before this attempt, and say how many of each there are to end."""
        engine, versions = self.context.engine, [name for name in self.function.versions if name in self._inputs]
        tables = {name: lake_table(self.context.contracts[name]) for name in versions}
        total = sum(engine.rows(tables[name], self._inputs[name]) for name in versions)
        if head is None or head.inputs is None:
            return {"new": total, "retried": 0, "before": 0}, rows.withColumn(_CAME, F.lit("new"))
        seen: dict[str, Any] = {name: head.inputs.get(name) for name in versions}
        new = total - sum(engine.rows(tables[name], seen[name]) for name in versions if seen[name] is not None)
        marks = [
            (
                engine.read(tables[name], self._inputs[name])
                if seen[name] is None
                else engine.changes(tables[name], seen[name], self._inputs[name])
            ).select("_row_id", F.lit(name).alias("_input"))
            for name in versions
        ]
        fresh = marks[0]
        for mark in marks[1:]:
            fresh = fresh.unionByName(mark)
        quarantine = quarantine_table(self.contract)
        held_at = self._beside[quarantine.name]
        held = engine.read(quarantine, held_at.version if held_at else None)
        refused = held.select("_row_id", F.col("input").alias("_input"))
        retried = refused.join(fresh, ["_row_id", "_input"], "left_anti")
        came = fresh.withColumn(_CAME, F.lit("new")).unionByName(retried.withColumn(_CAME, F.lit("retried")))
        marked = rows.join(came, ["_row_id", "_input"], "left")
        expected = {"new": new, "retried": retried.count()}
        expected["before"] = total - new - expected["retried"]
        return expected, marked.withColumn(_CAME, F.coalesce(F.col(_CAME), F.lit("before")))

    def _ends(self, marked: DataFrame) -> DataFrame:
        """Every version with its end; only accepted ones keep their partition, only refused ones which version they are.

        Here values are masked: they were judged raw, and no raw one is written, of refused versions neither.
        """
        new = F.col(_CAME) == "new"
        ended = newest(marked, self.contract, batch=new).withColumn(
            _CAME, F.when(new & F.col(OVERTAKEN), F.lit("overtaken")).otherwise(F.col(_CAME))
        )
        accepted, refused = F.col(END) == "accepted", F.col(END) == "quarantined"
        masks, columns = self.context.masking.of(self.contract.name), []
        for name in self.contract.column_names:
            kept = F.when(accepted, F.col(name)) if name in masks or name in self.contract.partition_by else F.col(name)
            columns.append((masks[name].over(kept) if name in masks else kept).alias(name))
        described = [F.when(refused, F.col(name)).alias(name) for name in (*VERSION_COLUMNS, RULES)]
        said = F.when(refused, reasons(self.contract)).alias("_reason")
        noted = [F.when(accepted, F.col(NULLED)).alias(NULLED)] if self._forgives else []
        return ended.select(*columns, *described, *noted, said, F.col(END).alias("end"), _CAME)

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
            rows = rows.where((F.col("end") == "quarantined") & (F.col(_CAME) == "new"))
            broken = _counted(rows, RULES)
        rejects = self._rejects_since(head)
        rejected = sum(each.count() for each in rejects.values())
        batch = BatchShares(staged.where(came="new").rows, rejected, broken, self._nulled(staged))
        return replace(batch, samples=batch_samples(self.context, self.contract, batch, rows, rejects))

    def _nulled(self, staged: Staged) -> dict[str, int]:
        """Of what is newly accepted, how many rows had a field set to null, by the rule that it broke."""
        accepted = staged.where(end="accepted")
        if not self._forgives or not accepted.files:
            return {}
        rows = self.context.engine.staged(self._table, accepted)
        return _counted(rows.where((F.col("end") == "accepted") & F.col(_CAME).isin("new", "retried")), NULLED)

    def _balance(self, staged: Staged, expected: Mapping[str, int]) -> dict[str, int]:
        """The terms of the table's balance, each counted where its rows were written.

        Raises:
            BalanceBroken: what came to an end is not what was there.
        """
        parts = {came: (came,) for came in expected} | {"new": ("new", "overtaken")}
        ended = {came: sum(staged.where(came=part).rows for part in parts[came]) for came in expected}
        if ended != expected:
            raise BalanceBroken(
                f"{self.contract.table}: {expected} row versions went in and {ended} came to an end; nothing was "
                f"committed. The function must return one row for each version of its inputs"
            )
        terms = {"new": expected["new"], "retried": expected["retried"]}
        for end in ("accepted", "deleted", "superseded", "quarantined"):
            terms[end] = sum(staged.where(end=end, came=came).rows for came in ("new", "overtaken", "retried"))
        terms["recomputed"] = staged.where(end="accepted", came="before").rows
        terms["rows"] = staged.where(end="accepted").rows
        return terms

    def _quarantine(self, staged: Staged) -> None:
        """Leave in quarantine exactly the versions that this attempt refused, with their Bronze records."""
        table, refused = quarantine_table(self.contract), staged.where(end="quarantined")
        rows = QUARANTINE.empty_table()
        if refused.files:
            versions = self.context.engine.staged(self._table, refused).where(F.col("end") == "quarantined")
            versions = versions.select(
                *VERSION_COLUMNS,
                F.col(RULES).alias("rules"),
                F.col("_reason").alias("reason"),
                F.to_json(F.struct(*(F.col(name).cast("string").alias(name) for name in self.contract.key))).alias(
                    "key"
                ),
            )
            parts = [self._with_records(versions, name) for name in self.function.versions if name in self._inputs]
            rows = pa.concat_tables(parts)
            if pc.count_distinct(rows["_row_id"]).as_py() < rows.num_rows:
                raise BalanceBroken(f"{self.contract.table}: a refused version came out twice; nothing was committed")
        self._keep_refused(table, rows.sort_by("_row_id"))
        self.context.emit(Refused(self.contract.name, rows.num_rows))

    def _keep_refused(self, table: Table, rows: pa.Table) -> None:
        """Make quarantine exactly these rows; if it is, commit all the same, so that a writer who slept is refused."""
        context, before, digest = self.context, self._beside[table.name], _digest(rows)
        changed = before is None or before.metadata.get("digest") != digest
        commit = self._commit_beside(table, self._inputs, {"digest": digest})
        staged = Staged(Attempt(context.run_id, commit.version).folder())
        if changed:
            staged, _ = context.engine.land(table, rows.to_batches(), staged.folder, Held.NOTHING)
        context.leases.check(self.contract.name)
        context.emit(Refusing(self.contract.name, rows.num_rows))
        (context.engine.replace if changed else context.engine.append)(table, staged, commit)
        context.sweep(table, commit.version)

    def _with_records(self, versions: DataFrame, name: str) -> pa.Table:
        contract = self.context.contracts[name]
        whole = self._as_it_stands(name)
        # As Bronze has it: columns that the contract does not know are part of the record.
        record = F.struct(*contract.column_names, *beyond(contract, whole.columns)).alias("raw")
        wanted = versions.where(F.col("_input") == name)
        # Refused versions are few: the join should sort only them, and only they become JSON, which is dear (an engine
        # that is asked for it before the join makes it of all that landed).
        bronze = looked_up(whole, "_row_id", wanted).select("_row_id", record)
        joined = wanted.join(bronze, "_row_id").withColumn("raw", F.to_json("raw"))
        named = joined.withColumnRenamed("_input", "input").select(*QUARANTINE.names)
        return named.toArrow().cast(QUARANTINE)

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
        verdict = context.gate.judge(
            asked := Candidate(
                contract=self.contract,
                rows=candidate,
                limits=context.limits.tables[name],
                at=context.at,
                parents=self._parents,
                inputs={name: self._read(name) for name in self.function.inputs} if self.contract.conserved else {},
                batch=batch,
                standing_rows=head.metadata.get("counts", {}).get("rows") if head else None,
            )
        )
        verdict = sampled(context, verdict, asked, self._computed if self.contract.layer == "silver" else None)
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


def _digest(rows: pa.Table) -> str:
    """Tells whether rows are the same, in the same order."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _counted(rows: DataFrame, names: str) -> dict[str, int]:
    """How many of the rows have each name in their column of names."""
    told = rows.select(F.explode(names).alias("rule")).groupBy("rule").agg(F.count(F.lit(1)).alias("rows"))
    return {each["rule"]: each["rows"] for each in told.toArrow().to_pylist()}
