"""The rows of a quarantine as a table in memory: read in today's columns, and committed."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Contract
from headwater.engine import Attempt, Commit, Engine, Head, Held, Staged, Table
from headwater.observe.query import holds
from headwater.run.context import Context
from headwater.run.events import Refusing
from headwater.run.tables import quarantine_table, rejects_table

IDENTITY: Final = ["_row_id", "input"]
"""What tells a refused version from any other."""

_NONE: Final = pa.scalar(0, pa.int64())


def standing(engine: Engine, contract: Contract, head: Head | None, without: Sequence[str] = ()) -> pa.Table:
    """What a Silver table's quarantine holds at its head; the columns `without` are not read, and null.

    One from before it kept a history: a row was first refused when it landed, as far as is known.
    """
    rows = _in_layout(engine, quarantine_table(contract), head, without)
    return _filled(rows, refused_at=rows["_ingest_ts"], refused_run_id=rows["_run_id"], replays=_NONE)


def rejects(engine: Engine, contract: Contract, head: Head | None, without: Sequence[str] = ()) -> pa.Table:
    """What the rejects of a Bronze table hold at their head; the columns `without` are not read, and null."""
    return _filled(_in_layout(engine, rejects_table(contract), head, without), replays=_NONE)


def _in_layout(engine: Engine, table: Table, head: Head | None, without: Sequence[str]) -> pa.Table:
    """All rows of a table, with the columns that it has by now."""
    if head is None:
        return table.schema.empty_table()
    told = engine.scan(table, head.version, [name for name in head.schema.names if name not in without]).read_all()
    arrays = [
        told[each.name].cast(each.type) if each.name in told.schema.names else pa.nulls(told.num_rows, each.type)
        for each in table.schema
    ]
    return pa.table(arrays, schema=table.schema)


def _filled(rows: pa.Table, **otherwise: pa.ChunkedArray | pa.Scalar) -> pa.Table:
    for name, values in otherwise.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pc.coalesce(rows[name], values))
    return rows


def meant(rows: pa.Table, where: str | None) -> pa.Array:
    """For each of the rows whether the predicate `where` holds; it sees records as text. Without one all are meant.

    Raises:
        QueryRefused: it is no predicate over the rows' columns.
    """
    if where is None:
        return pa.array([True] * rows.num_rows, pa.bool_())
    if pa.types.is_binary(rows.schema.field("raw").type):
        texts = [raw.decode(errors="backslashreplace") for raw in rows["raw"].to_pylist()]
        rows = rows.set_column(rows.schema.get_field_index("raw"), "raw", pa.array(texts, pa.string()))
    return holds(rows, where)


def waiting(rows: pa.Table, where: str | None) -> pa.Array:
    """Which of the rows of a quarantine, or of rejects, are meant and neither given up nor landed since.

    Raises as `meant` does.
    """
    open_ = rows["discarded_at"].is_null()
    if "landed_at" in rows.column_names:
        open_ = pc.and_(open_, rows["landed_at"].is_null())
    return pc.and_(open_, meant(rows, where))


def without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """The rows that are none of the others."""
    told, known = (
        pc.binary_join_element_wise(*(each[name] for name in IDENTITY), "\n").combine_chunks()
        for each in (rows, others)
    )
    return rows.filter(pc.invert(pc.is_in(told, known)))


def keep(
    context: Context, contract: Contract, rows: pa.Table, txn: int, before: Head | None, said: Mapping[str, Any]
) -> None:
    """Make a quarantine exactly these rows, as version `txn` of its application.

    If it holds them already it is committed all the same, so that a writer who slept is refused. `said` has the
    `inputs` that the rows are of, and whatever else the commit is to say.

    Raises:
        CommitRefused: another writer committed that version first.
    """
    table, engine = quarantine_table(contract), context.engine
    rows = rows.sort_by([(name, "ascending") for name in IDENTITY])
    digest = _digest(rows)
    changed = before is None or before.metadata.get("digest") != digest
    metadata = {**said, "run_id": context.run_id, "digest": digest}
    commit = Commit(table.app_id, txn, metadata.pop("inputs"), metadata)
    staged = Staged(Attempt(context.run_id, txn).folder())
    if changed:
        staged, _ = engine.land(table, rows.to_batches(), staged.folder, Held.NOTHING)
    context.leases.check(contract.name)
    context.emit(Refusing(contract.name, rows.num_rows))
    (engine.replace if changed else engine.append)(table, staged, commit)
    context.sweep(table, txn)


def _digest(rows: pa.Table) -> str:
    """Tells whether rows are the same, in the same order."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()
