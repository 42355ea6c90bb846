"""Judges refused rows once more, by today's contracts and limits, as a run of its own.

What lies in the quarantine of a Silver table is judged by that table's whole step, gate included. What lies in the
rejects of a Bronze table lands there by the code that lands everything (`run/rejects.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from headwater.config import Settings
from headwater.contracts import Contract
from headwater.errors import EXIT_INTERRUPTED, LakeError
from headwater.masking import load_masking
from headwater.run.build import Build
from headwater.run.context import Context
from headwater.run.entry import Entry
from headwater.run.events import Observer, RunStarted, TableFinished, TableStarted
from headwater.run.opened import opened
from headwater.run.quarantine import Replay
from headwater.run.rejects import landed
from headwater.run.report import TableReport
from headwater.run.tables import lake_table


@dataclass(frozen=True)
class Replayed:
    """What became of the rows that a replay asked for; `report` has the balance, as the ledger has it."""

    run_id: str
    report: TableReport

    @property
    def asked(self) -> int:
        return self.report.terms.get("asked", 0)

    @property
    def exit_code(self) -> int:
        return 2 if self.report.outcome == "gate failed" else 0


def replay(
    settings: Settings, table: str, where: str | None, *, at: datetime | None = None, observers: Sequence[Observer] = ()
) -> Replayed:
    """Judge the refused rows of a table again for which the predicate `where` holds, or all but those discarded.

    Raises:
        ConfigurationError: settings, contracts or limits are wrong, or a table of this kind refuses no rows.
        LakeError: the table has never landed.
        SourceUnavailable, SourceRejected: the source does not give again what was refused; nothing was landed.
        QueryRefused: `where` is no predicate over the refused rows.
        TableIsHeld: a run works on the table, and went on for longer than we wait.
    """
    with opened(settings, at, observers) as shared:
        context = replace(shared, masking=load_masking(settings, shared.contracts))
        contract = context.contracts[table]
        context.emit(RunStarted(context.run_id, context.at, (table,)))
        context.emit(TableStarted(table, contract.layer))
        entry, code = Entry(context, (table,), replay=True), 1
        try:
            moved = context.planned_again(table, lambda: _attempt(context, contract, where))
            below = context.below(table) if moved.outcome == "gate failed" else ()
            report = replace(moved, seconds=entry.seconds, below=below)
            entry.step(report)
            done = Replayed(context.run_id, report)
            code = done.exit_code
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
            raise
        finally:
            entry.ended(code)
        context.emit(TableFinished(report))
        return done


def _attempt(context: Context, contract: Contract, where: str | None) -> TableReport:
    with context.lease(contract.name):
        if context.engine.head(lake_table(contract)) is None:
            raise LakeError(
                f"{contract.table} has no version that its refused rows could join. A run makes the first; if the gate "
                f"refuses that, this says why and what to do: headwater quality {contract.name}"
                if contract.layer == "silver"
                else f"{contract.table} has never landed; run it first: headwater run"
            )
        if contract.layer == "bronze":
            return landed(context, contract, where)
        return Build(context, context.functions[contract.name], contract, Replay(where)).run()
