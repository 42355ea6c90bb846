"""Gives refused rows up: they stay where they are, marked with who did it, when and why, and are not tried again."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headwater.config import Settings
from headwater.contracts import Contract
from headwater.run import refused
from headwater.run.context import Context
from headwater.run.opened import opened
from headwater.run.tables import quarantine_table, rejects_table
from headwater.state import Waiting


@dataclass(frozen=True)
class Discarded:
    """How many rows were given up, and by whom."""

    rows: int
    by: str


def discard(settings: Settings, contract: Contract, where: str | None, why: str, waiting: Waiting) -> Discarded:
    """Give up the refused rows of a Silver or Bronze table for which the predicate `where` holds; all, without one.

    `waiting` is told of a run that works on the table, for whose end is waited.

    Raises:
        QueryRefused: `where` is no predicate over the refused rows.
        TableIsHeld: a run works on the table, and went on for longer than `lease.wait`.
        CommitRefused: other writers were faster, time and again.
    """
    with opened(settings, None, ()) as context, context.leases.held(contract.name, waiting):
        by = context.holder.who
        if contract.layer == "bronze":
            return Discarded(_rejects(context, contract, where, by, why), by)
        rows = context.planned_again(contract.name, lambda: _quarantined(context, contract, where, by, why))
        return Discarded(rows, by)


def _quarantined(context: Context, contract: Contract, where: str | None, by: str, why: str) -> int:
    head = context.engine.head(quarantine_table(contract))
    if head is None:
        return 0
    rows = refused.standing(context.engine, contract, head)
    meant = refused.waiting(rows, where)
    count = int(rows.filter(meant).num_rows)
    if count:
        for name, value in _marks(context, by, why).items():
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, rows.field(name), pc.if_else(meant, value, rows[name]))
        said = {**head.metadata, "inputs": head.inputs or {}, "discarded": count, "by": by, "why": why}
        refused.keep(context, contract, rows, head.txn + 1, head, said)
    return count


def _rejects(context: Context, contract: Contract, where: str | None, by: str, why: str) -> int:
    table = rejects_table(contract)
    rows = refused.rejects(context.engine, contract, context.engine.head(table))
    meant = rows.filter(refused.waiting(rows, where)).select(["_row_id"])
    if not meant.num_rows:
        return 0
    for name, value in _marks(context, by, why).items():
        meant = meant.append_column(table.schema.field(name), pa.repeat(value, meant.num_rows))
    context.leases.check(contract.name)
    return context.engine.mark(table, meant, on="_row_id")


def _marks(context: Context, by: str, why: str) -> dict[str, pa.Scalar]:
    at = pa.scalar(context.at, pa.timestamp("us", tz="UTC"))
    return {"discarded_at": at, "discarded_by": pa.scalar(by), "discarded_why": pa.scalar(why)}
