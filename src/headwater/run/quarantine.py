"""The quarantine of a Silver table: the row versions that it refused, each with its Bronze record."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts.drifted import beyond
from headwater.engine import Attempt, Commit, Head, Held, Staged, Table
from headwater.errors import BalanceBroken
from headwater.quality.newest import looked_up
from headwater.quality.rules import RULES
from headwater.quality.typed import VERSION_COLUMNS
from headwater.run.events import Refused, Refusing
from headwater.run.reading import Reading
from headwater.run.tables import QUARANTINE, quarantine_table

NextCommit: TypeAlias = Callable[[Table, Mapping[str, Any], Mapping[str, Any]], Commit]
"""The next commit of a table, by its inputs and what it says."""


@dataclass
class Quarantine:
    """A Silver table's quarantine in one step: as it stood (`before`) when that was planned, and as it is left."""

    reading: Reading
    before: Head | None
    next_commit: NextCommit

    @cached_property
    def table(self) -> Table:
        return quarantine_table(self.reading.contract)

    def standing(self) -> DataFrame:
        """The versions that it held when the step was planned."""
        return self.reading.context.engine.read(self.table, self.before.version if self.before else None)

    def leave(self, table: Table, refused: Staged) -> None:
        """Leave in it exactly the versions that were staged for `table` as refused, with their Bronze records."""
        context, contract = self.reading.context, self.reading.contract
        rows = QUARANTINE.empty_table()
        if refused.files:
            versions = context.engine.staged(table, refused).where(F.col("end") == "quarantined")
            versions = versions.select(
                *VERSION_COLUMNS,
                F.col(RULES).alias("rules"),
                F.col("_reason").alias("reason"),
                F.to_json(F.struct(*(F.col(name).cast("string").alias(name) for name in contract.key))).alias("key"),
            )
            rows = pa.concat_tables([self._with_records(versions, name) for name in self.reading.landed])
            if pc.count_distinct(rows["_row_id"]).as_py() < rows.num_rows:
                raise BalanceBroken(f"{contract.table}: a refused version came out twice; nothing was committed")
        self._keep(rows.sort_by("_row_id"))
        context.emit(Refused(contract.name, rows.num_rows))

    def _keep(self, rows: pa.Table) -> None:
        """Make it exactly these rows; if it is, commit all the same, so that a writer who slept is refused."""
        context, name, before, digest = self.reading.context, self.reading.contract.name, self.before, _digest(rows)
        changed = before is None or before.metadata.get("digest") != digest
        commit = self.next_commit(self.table, self.reading.versions, {"digest": digest})
        staged = Staged(Attempt(context.run_id, commit.version).folder())
        if changed:
            staged, _ = context.engine.land(self.table, rows.to_batches(), staged.folder, Held.NOTHING)
        context.leases.check(name)
        context.emit(Refusing(name, rows.num_rows))
        (context.engine.replace if changed else context.engine.append)(self.table, staged, commit)
        context.sweep(self.table, commit.version)

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
        named = joined.withColumnRenamed("_input", "input").select(*QUARANTINE.names)
        return named.toArrow().cast(QUARANTINE)


def _digest(rows: pa.Table) -> str:
    """Tells whether rows are the same, in the same order."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()
