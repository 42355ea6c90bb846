"""What the ledger says of a run, from its beginning to its end."""

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headwater.run.context import Context
from headwater.run.report import TableReport


class Entry:
    """A run's entry in the ledger: it says that the run began, and once more when it has ended."""

    def __init__(self, context: Context, tables: Sequence[str], **more: Any) -> None:
        """`more` is what else there is to say of it than which tables it is about."""
        self._context, self._began = context, time.monotonic()
        self._said: dict[str, Any] = {
            "at": context.at.isoformat(),
            "began": context.began.isoformat(),
            "holder": asdict(context.holder),
            "tables": tables,
            "lake": context.settings.lake,
            **more,
        }
        context.state.record_run(context.run_id, self._said)

    @property
    def seconds(self) -> float:
        """How long it takes already."""
        return time.monotonic() - self._began

    def step(self, report: TableReport) -> None:
        """What it did with one table."""
        self._context.state.record_step(self._context.run_id, report.table, asdict(report))

    def ended(self, exit_code: int) -> None:
        told = {"seconds": self.seconds, "peak_rss_bytes": peak_rss_bytes(), "exit_code": exit_code}
        self._context.state.record_run(self._context.run_id, self._said | told)


def peak_rss_bytes() -> int:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
