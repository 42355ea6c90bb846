"""What the gate is asked, and what it found: one check for each limit, and what they amount to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from headwater.contracts import Contract
from headwater.errors import GateFailed
from headwater.masking.embedded import without_contacts_in
from headwater.quality.blocks import Severity, TableLimits
from headwater.quality.shares import BatchShares
from headwater.quality.span import Span

_VALUE = re.compile(r"(^|[\s(\[=:,])'(?:[^']|'(?!\W|$))*'")
"""Text in single quotes, apostrophes within it included."""


@dataclass(frozen=True)
class Candidate:
    """What is about to become a table, and what it is held against.

    `rows` has the contract's columns. `parents` are the Silver tables its foreign keys refer to, as readers will see
    them; `inputs` are the tables that a Gold table was computed from, where its contract asks. `batch` is what came in
    (None where nothing did, and for Gold); `standing_rows` is what the table holds now (None before its first commit).
    `covers` is what its inputs brought since, a first load where nothing is told; `profiles` are what the versions
    published before have left, by column. `written` is how many rows `rows` has, where that is known without counting.
    """

    contract: Contract
    rows: DataFrame
    limits: TableLimits
    at: datetime
    parents: Mapping[str, DataFrame]
    inputs: Mapping[str, DataFrame] = field(default_factory=dict)
    batch: BatchShares | None = None
    standing_rows: int | None = None
    covers: Span | None = None
    profiles: Mapping[str, Any] = field(default_factory=dict)
    written: int = 0

    @property
    def span(self) -> Span:
        return self.covers or Span(None, self.at)


@dataclass(frozen=True)
class Acceptance:
    """Who lets one batch pass a rule that it broke in the run `run_id`, when (`at`, ISO 8601) and why."""

    by: str
    at: str
    why: str
    run_id: str


@dataclass(frozen=True)
class Check:
    """One limit held against what was observed; `observed` is None where it could not be observed.

    Of a check that failed `keys` are those of some rows that broke the rule, each as JSON and masked, and `records`
    says where such rows came from: the Bronze table, and what tells the record apart there. `validation` is what Great
    Expectations itself says of it, as JSON; None where it was not asked.
    """

    rule: str
    severity: Severity
    observed: float | None
    limit: str
    success: bool
    detail: str = ""
    keys: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    validation: str | None = None
    accepted: Acceptance | None = None


@dataclass(frozen=True)
class Verdict:
    """All checks of one candidate of one table. It may be published only on `success`, and with its `profiles`."""

    table: str
    checks: tuple[Check, ...]
    profiles: Mapping[str, Any] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """No critical check failed that nobody accepted, and at least one was made."""
        return bool(self.checks) and not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(
            check for check in self.checks if not check.success and check.severity == "critical" and not check.accepted
        )

    @property
    def accepted(self) -> tuple[Check, ...]:
        """What failed and was accepted by somebody, for this batch."""
        return tuple(check for check in self.checks if check.accepted)

    @property
    def warnings(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.success and check.severity == "warning")

    @property
    def word(self) -> str:
        """`failed`; or, of one that lets pass, `accepted` (by somebody), `warned` or `passed`."""
        if not self.success:
            return "failed"
        return "accepted" if self.accepted else "warned" if self.warnings else "passed"

    @property
    def why(self) -> str:
        """What was observed by every critical check that failed, as one text."""
        return "; ".join(f"{check.rule}: {check.detail}" for check in self.failed) or "no check was made"

    def require(self) -> None:
        """Go on only with a candidate that may be published.

        Raises:
            GateFailed: names the table and every critical check that failed, with what was observed and its limit.
        """
        if not self.success:
            raise GateFailed(
                f"{self.table} keeps its version: {self.why}. Mend the source, or the limit, and run again"
            )


def unjudged(rule: str, detail: str, limit: str = "") -> Check:
    """A check that was not made, and so failed."""
    return Check(rule, "critical", None, limit, success=False, detail=detail)


def span_text(span: timedelta) -> str:
    """A span as people write it: 2d 3h."""
    seconds = round(span.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    said = [f"{count}{unit}" for count, unit in parts if count]
    return sign + " ".join(said[:2]) if said else "0s"


def first_line(error: object) -> str:
    """What an error says, without its traceback and without contacts.

    What an engine says in single quotes is a value of a row (`Cannot cast string 'Ada' to Int32`), and is hidden:
    names stand in other quotes.
    """
    said = (str(error).strip().splitlines() or ["no message"])[0]
    return without_contacts_in(without_values(said) if isinstance(error, PySparkException) else said)[:300]


def without_values(said: str) -> str:
    """What an engine says, with `(value)` for what stands in single quotes."""
    return _VALUE.sub(r"\1'(value)'", said)
