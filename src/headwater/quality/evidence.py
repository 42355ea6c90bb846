"""What the gate found, as rows of `_dq_results`."""

from datetime import datetime
from typing import Final

import pyarrow as pa

from headwater.quality.verdict import Verdict

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
    ]
)
"""One row a check. Rows of one `table` and `target_version` are one verdict: a new one replaces them."""


def rows(verdict: Verdict, run_id: str, target_version: int, at: datetime) -> pa.Table:
    """A verdict on the candidate that would become `target_version` of its table, judged by a run at `at`.

    A verdict without any check is one row that says so: it failed too.
    """
    shared = {"run_id": run_id, "table": verdict.table, "target_version": target_version, "at": at}
    checks = [
        {
            **shared,
            "rule": check.rule,
            "severity": check.severity,
            "observed": check.observed,
            "limit": check.limit,
            "success": check.success,
            "detail": check.detail,
        }
        for check in verdict.checks
    ]
    empty = {**shared, "rule": "gate:empty", "severity": "critical", "success": False, "detail": "no check was made"}
    return pa.Table.from_pylist(checks or [empty], schema=SCHEMA)
