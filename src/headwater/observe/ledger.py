"""The ledger of runs, as people read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.errors import EXIT_INTERRUPTED
from headwater.state import Holder, StateStore


@dataclass(frozen=True)
class Step:
    """What a run did with one table; `terms` is its balance, `consumed` its inputs before and afterwards."""

    table: str
    layer: str
    outcome: str
    terms: Mapping[str, int]
    consumed: tuple[Mapping[str, Any], Mapping[str, Any]]
    seconds: float
    cpu_seconds: float
    bytes: int
    version: int | None
    reason: str
    checks: tuple[Mapping[str, Any], ...]
    drift: tuple[Mapping[str, str], ...]
    below: tuple[str, ...]


@dataclass(frozen=True)
class LedgerRun:
    """A run of the ledger; `exit_code` is None where it has not said that it ended."""

    run_id: str
    began: datetime | None
    at: datetime | None
    by: str
    tables: tuple[str, ...]
    exit_code: int | None
    seconds: float | None
    peak_rss_bytes: int | None
    holder: Holder | None
    alone: bool

    @property
    def state(self) -> str:
        """How it ended: ok, error, gate failed, interrupted; or `running`, or `running or interrupted`."""
        if self.exit_code is not None:
            return {0: "ok", 2: "gate failed", EXIT_INTERRUPTED: "interrupted"}.get(self.exit_code, "error")
        if self.holder is None or not self.alone:
            return "running or interrupted"
        return "interrupted" if self.holder.is_gone() else "running"


def runs(store: StateStore, most: int) -> list[LedgerRun]:
    """The newest runs, newest first.

    Raises:
        StateUnavailable: the state store did not answer.
    """
    found = [ledger_run(store, run_id) for run_id in reversed(store.run_ids()[-most:])]
    return [each for each in found if each is not None]


def runs_called(asked: str, known: Sequence[str]) -> list[str]:
    """Which runs somebody means by a name, or by the beginning of one; `last` is the newest. `known` is sorted."""
    return list(known[-1:]) if asked == "last" else [each for each in known if each.startswith(asked)]


def ledger_run(store: StateStore, run_id: str) -> LedgerRun | None:
    """One run; None if the ledger has none of that name."""
    said = store.run(run_id)
    if said is None:
        return None
    try:
        holder = Holder(**said["holder"])
    except (KeyError, TypeError):
        holder = None
    return LedgerRun(
        run_id=run_id,
        began=_instant(said.get("began")),
        at=_instant(said.get("at")),
        by=holder.who if holder else "",
        tables=tuple(said.get("tables") or ()),
        exit_code=said.get("exit_code"),
        seconds=said.get("seconds"),
        peak_rss_bytes=said.get("peak_rss_bytes"),
        holder=holder,
        alone=store.documents.on_this_machine,
    )


def steps(store: StateStore, run: LedgerRun) -> list[Step]:
    """What a run did with its tables, in the order of its plan, as far as it came."""
    said = store.steps(run.run_id)
    order = [*(name for name in run.tables if name in said), *(name for name in said if name not in run.tables)]
    return [_step(name, said[name]) for name in order]


def _step(table: str, said: Mapping[str, Any]) -> Step:
    before, after = said.get("consumed") or ({}, {})
    return Step(
        table=table,
        layer=str(said.get("layer", "")),
        outcome=str(said.get("outcome", "")),
        terms=said.get("terms") or {},
        consumed=(before, after),
        seconds=float(said.get("seconds") or 0),
        cpu_seconds=float(said.get("cpu_seconds") or 0),
        bytes=int(said.get("bytes") or 0),
        version=said.get("version"),
        reason=str(said.get("reason") or ""),
        checks=tuple(said.get("checks") or ()),
        drift=tuple(said.get("drift") or ()),
        below=tuple(said.get("below") or ()),
    )


def _instant(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
