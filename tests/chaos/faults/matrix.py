"""What answers each fault of each source, and where a protocol has no such fault."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Answer: TypeAlias = Literal["retry", "rerun", "refusal", "absorbed"]
"""`retry`: the same run asked again and landed everything. `rerun`: the run failed for the source was unavailable, the next
one landed everything. `refusal`: the same, but the source refused, and the message says what to mend. `absorbed`: the run
landed everything, and did not have to ask again."""


@dataclass(frozen=True)
class NotApplicable:
    """The source's protocol has no such fault."""

    reason: str


Cell: TypeAlias = Answer | NotApplicable

TCP = ("refuse", "cut", "drip", "truncate", "reset")
HTTP = ("429", "500", "503", "token expiry", "duplicated page", "schema change")
CLOCK = ("clock 10 min ahead", "clock 10 min behind")
FAULTS = (*TCP, *HTTP, *CLOCK)
SOURCES = ("snowflake", "redshift", "salesforce", "s3", "kafka", "fx_vendor")

_NO_STATUS_REDSHIFT = NotApplicable(
    "PostgreSQL's protocol has no status of this kind: a busy server refuses or falls silent"
)
_NO_STATUS_KAFKA = NotApplicable("Kafka's protocol has no status of this kind: a busy broker delays its answer")
_ONE_STREAM = NotApplicable("a result is one stream, its columns told before its first row; it has no pages")


def _row(*cells: Cell) -> Mapping[str, Cell]:
    return dict(zip(SOURCES, cells, strict=True))


EXPECTED: Mapping[str, Mapping[str, Cell]] = {
    "refuse": dict.fromkeys(SOURCES, "rerun"),
    "cut": dict.fromkeys(SOURCES, "retry"),
    "drip": dict.fromkeys(SOURCES, "retry"),
    "truncate": dict.fromkeys(SOURCES, "retry"),
    "reset": dict.fromkeys(SOURCES, "retry"),
    "429": _row("retry", _NO_STATUS_REDSHIFT, "retry", "retry", _NO_STATUS_KAFKA, "retry"),
    "500": _row("retry", _NO_STATUS_REDSHIFT, "retry", "retry", _NO_STATUS_KAFKA, "retry"),
    "503": _row("rerun", _NO_STATUS_REDSHIFT, "rerun", "rerun", _NO_STATUS_KAFKA, "rerun"),
    "token expiry": _row(
        "retry",
        NotApplicable("a login lasts as long as its connection"),
        "retry",
        "refusal",
        NotApplicable("SCRAM has no token: a login lasts as long as its connection"),
        "refusal",
    ),
    "duplicated page": _row(
        "retry",
        _ONE_STREAM,
        "retry",
        "retry",
        NotApplicable("messages are asked for, and told, by their offset"),
        "retry",
    ),
    "schema change": _row(
        NotApplicable("a result's columns are those of the query, told before its first row"),
        _ONE_STREAM,
        "absorbed",
        "absorbed",
        NotApplicable("messages have no schema in common: each is parsed by itself"),
        "absorbed",
    ),
    "clock 10 min ahead": dict.fromkeys(SOURCES, "absorbed"),
    "clock 10 min behind": _row("rerun", "rerun", "rerun", "absorbed", "absorbed", "rerun"),
}


def told(answers: Mapping[tuple[str, str], str]) -> list[str]:
    """The matrix, for people: what answered each fault in this test run, and why some cells are not applicable."""
    reasons: dict[str, str] = {}

    def cell(fault: str, source: str) -> str:
        expected = EXPECTED[fault][source]
        if isinstance(expected, NotApplicable):
            return reasons.setdefault(expected.reason, f"n/a {len(reasons) + 1}")
        return answers.get((fault, source), "not run")

    rows = [["", *SOURCES], *([fault, *(cell(fault, source) for source in SOURCES)] for fault in FAULTS)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(each.ljust(width) for each, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, "", *(f"{mark}: {reason}" for reason, mark in reasons.items())]
