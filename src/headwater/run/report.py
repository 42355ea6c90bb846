"""What a run did, table by table: the one form that the terminal, `--json`, the ledger and the exit code read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["committed", "unchanged", "stale", "gate failed", "failed", "skipped"]
"""`stale`: built, or left, on what there is because a source above it did not answer."""


@dataclass(frozen=True)
class TableReport:
    """One table in one run.

    `terms` is the table's balance: Bronze has read, landed, repeated, rejected; Silver has new, retried, accepted,
    deleted, superseded, quarantined, recomputed; Gold has rows. `consumed` is how far its inputs were read before and
    afterwards: Bronze's position, the others' version of each input. `checks` are the gate's, as its evidence has them.
    `below` is, where the gate refused the table, all that is made of it or refers to it: stale from now on.
    `drift` says which columns Bronze's source shows otherwise than the contract: `column`, `change` and `text` of each.
    """

    table: str
    layer: str
    outcome: Outcome
    terms: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes: int = 0
    version: int | None = None
    consumed: tuple[Mapping[str, Any], Mapping[str, Any]] = field(default_factory=lambda: ({}, {}))
    reason: str = ""
    checks: tuple[Mapping[str, Any], ...] = ()
    drift: tuple[Mapping[str, str], ...] = ()
    below: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`passed`, `failed`, `accepted` (by somebody) or, where the gate was not asked, empty."""
        if not self.checks:
            return ""
        wrong = [check for check in self.checks if not check["success"] and check["severity"] == "critical"]
        if not wrong:
            return "passed"
        return "accepted" if all(check.get("accepted") for check in wrong) else "failed"


@dataclass(frozen=True)
class RunReport:
    run_id: str
    at: datetime
    tables: tuple[TableReport, ...]
    seconds: float
    peak_rss_bytes: int

    @property
    def exit_code(self) -> int:
        """0 all moved or nothing to move; 2 the gate refused a table; 1 anything else that did not go right."""
        outcomes = {table.outcome for table in self.tables}
        if "gate failed" in outcomes:
            return 2
        return 1 if outcomes & {"failed", "skipped", "stale"} else 0
