"""What was found of tables, as rows of `_dq_results`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa

from headwater.quality.verdict import Acceptance, Check, Verdict, unjudged

Kind: TypeAlias = Literal["gate", "standing", "published", "acceptance"]
"""What a row is of: a batch and its candidate before a commit; a table that nothing moved; a table as it is published,
by `headwater quality run`; or somebody's acceptance of a rule for one batch, which is no check."""

_TEXTS: Final = pa.list_(pa.field("element", pa.string()))

SCHEMA: Final = pa.schema(
    [
        ("run_id", pa.string()),
        ("table", pa.string()),
        ("target_version", pa.int64()),
        ("rule", pa.string()),
        ("severity", pa.string()),
        ("observed", pa.float64()),
        ("limit", pa.string()),
        ("success", pa.bool_()),
        ("detail", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("passed", pa.bool_()),
        ("keys", _TEXTS),
        ("records", _TEXTS),
        ("accepted", pa.string()),
        ("inputs", pa.string()),
        ("validation", pa.string()),
    ]
)
"""One row a check; `passed` is of the verdict that it is part of, and `accepted` and `inputs` are JSON."""

TOLD: Final = ("rule", "severity", "observed", "limit", "success", "detail", "keys", "records", "accepted")
"""What a run's own report, and the ledger, have of each check."""


@dataclass(frozen=True)
class Occasion:
    """When and of what a verdict is.

    `target_version` is the version of the table's application: for the gate the one that the candidate would become,
    otherwise the one that stands. `inputs` are the versions that the candidate was made of.
    """

    run_id: str
    target_version: int
    at: datetime
    kind: Kind = "gate"
    inputs: Mapping[str, int] = field(default_factory=dict)

    def replaces(self, table: str, verdict: Verdict) -> dict[str, str | int]:
        """Which rows a verdict takes the place of.

        One that lets pass takes that of another for the same version, whose commit cannot have been made. One that does
        not is history, of its run alone.
        """
        same: dict[str, str | int] = {"table": table, "target_version": self.target_version, "kind": self.kind}
        if self.kind == "gate" and verdict.success:
            return same | {"passed": True}
        return same | {"run_id": self.run_id, "passed": verdict.success}


def rows(verdict: Verdict, occasion: Occasion) -> pa.Table:
    """A verdict as rows, one for each check; one without any check is one row that says so: it failed too."""
    shared = _shared(verdict.table, occasion) | {"passed": verdict.success}
    told_of = (
        told(check) | {"accepted": as_text(check.accepted), "validation": check.validation} for check in checks(verdict)
    )
    return pa.Table.from_pylist([shared | each for each in told_of], schema=SCHEMA)


def checks(verdict: Verdict) -> tuple[Check, ...]:
    """The checks of a verdict; without any, one that says so."""
    return verdict.checks or (unjudged("gate:empty", "no check was made"),)


def acceptance_row(table: str, occasion: Occasion, check: Mapping[str, Any], acceptance: Acceptance) -> pa.Table:
    """That somebody accepts a rule for one batch, as a row: what was observed of it then, and who, when and why."""
    row = _shared(table, occasion) | {name: check[name] for name in ("rule", "severity", "observed", "limit", "detail")}
    return pa.Table.from_pylist([row | {"accepted": as_text(acceptance)}], schema=SCHEMA)


def told(check: Check) -> dict[str, Any]:
    """A check as the report of a run has it."""
    said: dict[str, Any] = {name: getattr(check, name) for name in TOLD}
    return said | {"accepted": None if check.accepted is None else asdict(check.accepted)}


def as_text(acceptance: Acceptance | None) -> str | None:
    return None if acceptance is None else json.dumps(asdict(acceptance), sort_keys=True, ensure_ascii=False)


def _shared(table: str, occasion: Occasion) -> dict[str, Any]:
    return {
        "run_id": occasion.run_id,
        "table": table.rpartition(".")[2],
        "target_version": occasion.target_version,
        "at": occasion.at,
        "kind": occasion.kind,
        "inputs": json.dumps(dict(occasion.inputs), sort_keys=True),
    }
