"""What a run did, for people and as one document: each table's balance, its refused rows, and what to type next."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.observe.refusal import Advice, Refusal
from headwater.observe.refusal import lines as refusal_lines
from headwater.observe.tabular import aligned, instant, size
from headwater.run.report import RunReport, TableReport

if TYPE_CHECKING:
    from headwater.observe.ledger import Step

TERMS: Mapping[str, tuple[str, ...]] = {
    "bronze": ("read", "landed", "repeated", "rejected"),
    "silver": ("new", "retried", "accepted", "deleted", "superseded", "quarantined", "recomputed"),
    "gold": ("rows",),
}
"""The terms of a table's balance in each layer, in the order in which people read them."""

_REFUSED = {"bronze": ("rejected", "rejects"), "silver": ("quarantined", "quarantine")}
_WRONG = ("failed", "gate failed", "skipped", "stale")


@dataclass(frozen=True)
class Afterwards(Advice):
    """What stands when the run is over; `running` is what still runs, in words, empty for nothing."""

    running: str = ""

    def query(self, sql: str) -> str:
        """A line that can be typed."""
        return f'{self.command} query{self.options} "{sql}"'


def summary(report: RunReport, afterwards: Afterwards) -> str:
    """The whole summary as plain text."""
    blocks = [_layer(report, layer) for layer in TERMS]
    blocks += [
        _wrong(report),
        refusals(report.tables, report.run_id, afterwards),
        drifted(report.tables),
        _refused(report, afterwards),
        _end(report, afterwards),
        _next(report, afterwards),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def document(report: RunReport, afterwards: Afterwards) -> dict[str, Any]:
    """The same as one JSON document."""
    return {
        "run_id": report.run_id,
        "at": report.at.isoformat(),
        "exit_code": report.exit_code,
        "seconds": round(report.seconds, 3),
        "peak_rss_bytes": report.peak_rss_bytes,
        "tables": [_table_document(table, afterwards) for table in report.tables],
        "still_running": _stop(afterwards),
        "next": next_commands(report, afterwards),
    }


def next_commands(report: RunReport, afterwards: Afterwards) -> list[str]:
    """What to type next: look at what was made, or see what is wrong."""
    command, options = afterwards.command, afterwards.options
    if report.exit_code == 2:
        refused = [table.table for table in report.tables if table.outcome == "gate failed"]
        return [*(f"{command} quality{options} {table}" for table in refused), f"{command} status{options}"]
    if report.exit_code == 1:
        return [f"{command} doctor{options}", f"{command} run{options}"]
    commands = [
        afterwards.query(
            "SELECT country, sum(revenue_usd) AS usd FROM revenue_by_geography GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
        )
    ]
    commands.append(f"{command} status{options}")
    if afterwards.running:
        commands += [f"{command} sandbox advance{options} --days 1", f"{command} run{options}"]
    return commands


def _layer(report: RunReport, layer: str) -> list[str]:
    tables = [table for table in report.tables if table.layer == layer]
    if not tables:
        return []
    terms = TERMS[layer]
    header = [layer, *terms, "seconds", "bytes", "version", "outcome", "gate"]
    rows = [
        [
            table.table,
            *(f"{table.terms[term]:,}" if term in table.terms else "" for term in terms),
            f"{table.seconds:.1f}",
            size(table.bytes) if table.bytes else "",
            "" if table.version is None else str(table.version),
            table.outcome,
            table.verdict,
        ]
        for table in tables
    ]
    return aligned(header, rows, right=range(1, len(terms) + 4))


def _wrong(report: RunReport) -> list[str]:
    return [
        f"{table.layer}.{table.table} {table.outcome}: {table.reason}"
        for table in report.tables
        if table.outcome in _WRONG
    ]


def refusals(tables: "Iterable[TableReport | Step]", run_id: str, advice: Advice) -> list[str]:
    """What the gate refused, for whoever has to mend it."""
    blocks: list[str] = []
    for table in tables:
        if table.outcome == "gate failed":
            batch = table.version is None
            refusal = Refusal(table.layer, table.table, run_id, table.checks, table.below, batch)
            blocks += [*([""] if blocks else []), *refusal_lines(refusal, advice)]
    return blocks


def drifted(tables: "Iterable[TableReport | Step]") -> list[str]:
    """Which sources show columns otherwise than their contracts say."""
    lines = [[f"{table.layer}.{table.table}", each["change"], each["text"]] for table in tables for each in table.drift]
    if not lines:
        return []
    return ["Columns that are not as their contracts say:", *aligned(lines[0], lines[1:])]


def _refused(report: RunReport, afterwards: Afterwards) -> list[str]:
    refused = [(table, *_refused_rows(table)) for table in report.tables]
    lines = [[f"{count:,}", where, _refused_command(table, afterwards)] for table, count, where in refused if count]
    if not lines:
        return []
    return [
        "Refused rows, and the command that shows them with their reasons:",
        *aligned(lines[0], lines[1:], right=[0]),
    ]


def _refused_rows(table: TableReport) -> tuple[int, str]:
    """How many rows this run refused, and the table where they are kept."""
    term, schema = _REFUSED.get(table.layer, ("", ""))
    return table.terms.get(term, 0), f"{schema}.{table.table}"


def _refused_command(table: TableReport, afterwards: Afterwards) -> str:
    return f"{afterwards.command} quarantine show {table.table}{afterwards.options}"


def _end(report: RunReport, afterwards: Afterwards) -> list[str]:
    lines = [
        f"Run {report.run_id} at {instant(report.at)} UTC took {report.seconds:.1f} s; peak memory {size(report.peak_rss_bytes)}."
    ]
    if afterwards.running:
        lines.append(f"Still running: {afterwards.running}. To stop it: {_stop(afterwards)['stop']}")
    return lines


def _stop(afterwards: Afterwards) -> dict[str, str]:
    if not afterwards.running:
        return {}
    return {"what": afterwards.running, "stop": f"{afterwards.command} sandbox down{afterwards.options}"}


def _next(report: RunReport, afterwards: Afterwards) -> list[str]:
    return ["Next:", *(f"  {line}" for line in next_commands(report, afterwards))]


def _table_document(table: TableReport, afterwards: Afterwards) -> dict[str, Any]:
    made: dict[str, Any] = {
        "table": table.table,
        "layer": table.layer,
        "outcome": table.outcome,
        "terms": dict(table.terms),
        "seconds": round(table.seconds, 3),
        "bytes": table.bytes,
        "version": table.version,
        "verdict": table.verdict,
        "reason": table.reason,
        "checks": [dict(check) for check in table.checks],
        "drift": [dict(each) for each in table.drift],
        "below": list(table.below),
    }
    if _refused_rows(table)[0]:
        made["refused"] = _refused_command(table, afterwards)
    return made
