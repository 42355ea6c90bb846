"""Runs a plan: every table as soon as those above it are done, a few at a time."""

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime
from graphlib import TopologicalSorter

from headwater.config import Settings
from headwater.errors import HeadwaterError, TableIsHeld, disk_is_full, unexpected
from headwater.extract import EXTRACTORS, build
from headwater.masking import load_masking
from headwater.masking.embedded import without_contacts_in
from headwater.object_store import lake_of
from headwater.run.bronze import Landing
from headwater.run.build import Build
from headwater.run.context import Context
from headwater.run.cpu import CpuShares
from headwater.run.entry import Entry, peak_rss_bytes
from headwater.run.events import Observer, RunFinished, RunStarted, TableFinished, TableStarted
from headwater.run.opened import opened
from headwater.run.plan import Plan, planned
from headwater.run.report import Outcome, RunReport, TableReport
from headwater.run.tables import lake_table

_TABLES_AT_ONCE = 4
_UNHEARD_S = 0.2
"""For so long Ctrl-C is not heard at most: since Sail listens for it too, it wakes no thread that waits."""
_BLOCKS: frozenset[Outcome] = frozenset({"gate failed", "failed", "skipped"})


def execute(
    settings: Settings,
    *,
    select: tuple[str, ...] | None = None,
    at: datetime | None = None,
    observers: Sequence[Observer] = (),
    remask: bool = False,
) -> RunReport:
    """Bring Bronze, Silver and Gold up to date with the sources, and say what became of every row.

    `at` is the instant that the run holds to be now; by default it is. What fails of a table stands in its report.
    With `remask` tables that stand with other masks than the settings ask for are rebuilt rather than refused.

    Raises:
        ConfigurationError: settings, contracts or limits are wrong; nothing was read or written.
    """
    started = time.monotonic()
    with opened(settings, at, observers) as shared:
        context = replace(shared, masking=load_masking(settings, shared.contracts), remask=remask)
        plan = planned(settings, context.contracts, context.functions, select)
        context.emit(RunStarted(context.run_id, context.at, plan.tables()))
        entry = Entry(context, plan.tables())
        reports = _Steps(context, plan, entry).run()
    report = RunReport(context.run_id, context.at, reports, time.monotonic() - started, peak_rss_bytes())
    entry.ended(report.exit_code)
    context.emit(RunFinished(report))
    return report


class _Steps:
    """The steps of one run, in the order that the plan's edges allow."""

    def __init__(self, context: Context, plan: Plan, entry: Entry) -> None:
        self._context, self._plan, self._entry = context, plan, entry
        self._reports: dict[str, TableReport] = {}
        self._cpu = CpuShares()

    def run(self) -> tuple[TableReport, ...]:
        order = TopologicalSorter(self._plan.depends_on)
        order.prepare()
        pool = ThreadPoolExecutor(_TABLES_AT_ONCE, thread_name_prefix="table")
        running: dict[Future[TableReport], str] = {}
        try:
            while order.is_active():
                running |= {pool.submit(self._step, name): name for name in order.get_ready()}
                done, _ = wait(running, _UNHEARD_S, return_when=FIRST_COMPLETED)
                for future in done:
                    name = running.pop(future)
                    self._reports[name] = future.result()
                    self._context.emit(TableFinished(self._reports[name]))
                    order.done(name)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return tuple(self._reports[name] for name in self._plan.tables())

    def _step(self, name: str) -> TableReport:
        started = time.monotonic()
        with self._cpu.working(name):
            report = self._worked_on(name)
        report = replace(report, seconds=time.monotonic() - started, cpu_seconds=self._cpu.of(name))
        self._entry.step(report)
        return report

    def _worked_on(self, name: str) -> TableReport:
        contract = self._context.contracts[name]
        if reason := self._why_not(name):
            return TableReport(name, contract.layer, "skipped", reason=reason)
        self._context.emit(TableStarted(name, contract.layer))
        try:
            report = self._context.planned_again(name, lambda: self._attempt(name))
        except TableIsHeld as error:
            report = TableReport(name, contract.layer, "failed", reason=str(error))
        except HeadwaterError as error:
            report = TableReport(name, contract.layer, "failed", reason=self._shown(str(error)))
        except Exception as error:  # noqa: BLE001 - one table that breaks must not take the others along
            self._context.record(name, error)
            lake = lake_of(self._context.settings)
            reason = disk_is_full(error, lake.drafts) or lake.refusal(error) or unexpected(error)
            report = TableReport(name, contract.layer, "failed", reason=reason)
        if report.outcome == "gate failed":
            report = replace(report, below=self._context.below(name))
        if report.outcome in ("committed", "unchanged") and (sources := self._silent_above(name)):
            report = replace(report, outcome="stale", reason=f"built without what {', '.join(sources)} has by now")
        return report

    def _shown(self, reason: str) -> str:
        """A reason as the ledger and people may see it: a source or an engine can put values into what it says."""
        return without_contacts_in(reason) if self._context.settings.masking.any else reason

    def _attempt(self, name: str) -> TableReport:
        context, contract = self._context, self._context.contracts[name]
        if contract.layer != "bronze":
            standing = Build(context, context.functions[name], contract).standing()
            if standing is not None:
                return standing
            with context.lease(name):
                return Build(context, context.functions[name], contract).run()
        source = EXTRACTORS[name].name
        settings = getattr(context.settings.data_sources, source)
        extractor = build(name, settings, context.settings.secrets.get(source), contract)
        with context.lease(name):
            return Landing(context, contract, extractor).run()

    def _why_not(self, name: str) -> str:
        """Why a table can't be built: something above it failed there, or never landed."""
        for above in sorted(self._plan.needs[name]):
            report, contract = self._reports.get(above), self._context.contracts[above]
            if report is not None and contract.layer != "bronze" and report.outcome in _BLOCKS:
                verb = "was skipped" if report.outcome == "skipped" else report.outcome
                return f"{contract.table} {verb}"
            if self._context.engine.head(lake_table(contract)) is None:
                return f"{contract.table} has never landed"
        return ""

    def _silent_above(self, name: str) -> list[str]:
        """The Bronze tables above that did not hear all of their source."""
        above = self._plan.depends_on[name]
        silent = {each for each in above if self._reports[each].outcome == "failed"}
        inherited = [each for each in above if self._reports[each].outcome == "stale"]
        return sorted(silent | {one for each in inherited for one in self._silent_above(each)})
