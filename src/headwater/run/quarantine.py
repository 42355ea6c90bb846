"""What a step of a Silver table does with its quarantine: what is retried, what stays, and what is left there."""

from dataclasses import dataclass, field
from functools import cached_property, reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts.drifted import beyond
from headwater.engine import Head, Staged, Table, memory
from headwater.errors import BalanceBroken
from headwater.quality.newest import looked_up
from headwater.quality.rules import REFUSED as IS_REFUSED
from headwater.quality.rules import RULES
from headwater.quality.typed import VERSION_COLUMNS
from headwater.run import refused
from headwater.run.events import Refused
from headwater.run.reading import Reading
from headwater.run.refused import IDENTITY
from headwater.run.tables import QUARANTINE, REFUSED, quarantine_table

_IN_PLAN = 5_000

_WITH_HISTORY = f"""
    SELECT {", ".join(f"r.{name}" for name in IDENTITY)},
        CASE WHEN s.stays THEN s.rules ELSE r.rules END AS rules,
        CASE WHEN s.stays THEN s.reason ELSE r.reason END AS reason,
        r.key, r.raw, r._ingest_ts, r._run_id,
        coalesce(s.refused_at, $at) AS refused_at,
        coalesce(s.refused_run_id, $run_id) AS refused_run_id,
        CASE WHEN s.stays OR s.rules IS NOT DISTINCT FROM r.rules THEN s.rules_before ELSE s.rules END AS rules_before,
        coalesce(s.replays, 0) + CASE WHEN s.counts THEN 1 ELSE 0 END AS replays,
        CASE WHEN s.counts THEN $at ELSE s.tried_at END AS tried_at,
        s.discarded_at, s.discarded_by, s.discarded_why
    FROM judged AS r LEFT JOIN standing AS s USING ({", ".join(IDENTITY)})"""  # noqa: S608 - the names are ours


@dataclass(frozen=True)
class Replay:
    """What somebody wants judged again: the rows for which the predicate `where` holds; all, where there is none."""

    where: str | None = None


@dataclass
class Quarantine:
    """A Silver table's quarantine in one step: as it stood (`before`) when that was planned, and as it is left.

    `txn` is the version that the step is to commit. Rows that are discarded, and in a replay those that it does not ask
    for, stay as they stand.
    """

    reading: Reading
    before: Head | None
    txn: int
    replay: Replay | None = None

    _left: pa.Table = field(default_factory=QUARANTINE.empty_table)

    def standing(self) -> DataFrame:
        """The versions that it held when the step was planned."""
        table = quarantine_table(self.reading.contract)
        return self.reading.context.engine.read(table, self.before.version if self.before else None)

    @cached_property
    def asked(self) -> int:
        """How many rows the replay asks for."""
        return int(self._held.filter(self._held["asked"]).num_rows)

    @cached_property
    def held_back(self) -> int:
        """How many rows stay as they stand that are not discarded."""
        return int(self._held.filter(pc.and_(self._held["stays"], self._held["discarded_at"].is_null())).num_rows)

    def refusing_what_stays(self, judged: DataFrame) -> DataFrame:
        """The judged versions, of which those that stay as they stand are refused, whatever they break by now."""
        stay = self._held.filter(self._held["stays"]).select(IDENTITY)
        if not stay.num_rows:
            return judged
        if stay.num_rows > _IN_PLAN:
            named = stay.rename_columns(["_row_id", "_input"]).append_column("_stays", pa.array([True] * len(stay)))
            judged = judged.join(
                self.reading.context.engine.session.createDataFrame(named), named.column_names[:2], "left"
            )
            stays = F.coalesce(F.col("_stays"), F.lit(False))
            return judged.withColumn(IS_REFUSED, F.col(IS_REFUSED) | stays).drop("_stays")
        told = [
            (F.col("_input") == name)
            & F.col("_row_id").isin(*stay.filter(pc.equal(stay["input"], name))[0].to_pylist())
            for name in stay["input"].unique().to_pylist()
        ]
        return judged.withColumn(IS_REFUSED, reduce(lambda either, one: either | one, told, F.col(IS_REFUSED)))

    def leave(self, table: Table, staged: Staged) -> None:
        """Leave in it exactly the versions that were staged for `table` as refused, with their Bronze records."""
        context, contract = self.reading.context, self.reading.contract
        rows = REFUSED.empty_table()
        if staged.files:
            versions = context.engine.staged(table, staged).where(F.col("end") == "quarantined")
            versions = versions.select(
                *VERSION_COLUMNS,
                F.col(RULES).alias("rules"),
                F.col("_reason").alias("reason"),
                F.to_json(F.struct(*(F.col(name).cast("string").alias(name) for name in contract.key))).alias("key"),
            )
            rows = pa.concat_tables([self._with_records(versions, name) for name in self.reading.landed])
            if pc.count_distinct(rows["_row_id"]).as_py() < rows.num_rows:
                raise BalanceBroken(f"{contract.table}: a refused version came out twice; nothing was committed")
        self._left = self._with_history(rows)
        self._keep(self._left, after=self.before)
        context.emit(Refused(contract.name, rows.num_rows))

    def take_back(self) -> None:
        """Put back what the step would have released: nothing was committed, so these rows are in quarantine still."""
        before = refused.standing(self.reading.context.engine, self.reading.contract, self.before)
        released = refused.without(before, self._left)
        if released.num_rows:
            self._keep(pa.concat_tables([self._left, released]), after=None, commits=2)

    def _keep(self, rows: pa.Table, after: Head | None, commits: int = 1) -> None:
        """Commit these rows after what is known to stand, as that many commits from what stood when this was planned."""
        said = {"inputs": self.reading.versions, "target": self.txn, "replay": self._counted or self.replay is not None}
        txn = (self.before.txn if self.before else 0) + commits
        refused.keep(self.reading.context, self.reading.contract, rows, txn, after, said)

    @property
    def _counted(self) -> bool:
        """Whether an attempt at this very version, which has died, was a replay and has counted as one."""
        said = self.before.metadata if self.before else {}
        return bool(said.get("replay")) and said.get("target") == self.txn

    @cached_property
    def _held(self) -> pa.Table:
        """What it held when the step was planned but for the records: which rows stay, are asked for, and count as tried."""
        where = self.replay.where if self.replay else None
        without = ["raw"] if where is None else []
        rows = refused.standing(self.reading.context.engine, self.reading.contract, self.before, without)
        wanted = refused.meant(rows, where)
        stays = pc.or_(rows["discarded_at"].is_valid(), pc.invert(wanted))
        asked = pc.and_(pc.invert(stays), self.replay is not None)
        counts = pc.and_(asked, not self._counted)
        told = rows.drop_columns(["raw"])
        for name, values in (("stays", stays), ("asked", asked), ("counts", counts)):
            told = told.append_column(name, values)
        return told

    def _with_history(self, rows: pa.Table) -> pa.Table:
        """Refused versions with what was known of them before."""
        context = self.reading.context
        with memory.cursor() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("judged", rows)
            connection.register("standing", self._held)
            values = {"at": context.at, "run_id": context.run_id}
            told: pa.Table = connection.sql(_WITH_HISTORY, params=values).to_arrow_table()
        return told.select(QUARANTINE.names).cast(QUARANTINE)

    def _with_records(self, versions: DataFrame, name: str) -> pa.Table:
        contract = self.reading.context.contracts[name]
        whole = self.reading.as_it_stands(name)
        # As Bronze has it: columns that the contract does not know are part of the record.
        record = F.struct(*contract.column_names, *beyond(contract, whole.columns)).alias("raw")
        wanted = versions.where(F.col("_input") == name)
        # Refused versions are few: the join should sort only them, and only they become JSON, which is dear (an engine
        # that is asked for it before the join makes it of all that landed).
        bronze = looked_up(whole, "_row_id", wanted).select("_row_id", record)
        joined = wanted.join(bronze, "_row_id").withColumn("raw", F.to_json("raw"))
        named = joined.withColumnRenamed("_input", "input").select(*REFUSED.names)
        return named.toArrow().cast(REFUSED)
