"""A table that was not published, for whoever is called at night: what, which rows, where from, what of it, what now."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.observe.tabular import number


@dataclass(frozen=True)
class Refusal:
    """What the gate refused of one table in one run.

    `checks` are the verdict's, `below` all that is made of the table or refers to it. Without a `batch` nothing came in:
    what stands is no longer good enough.
    """

    layer: str
    table: str
    run_id: str
    checks: Sequence[Mapping[str, Any]]
    below: Sequence[str]
    batch: bool = True

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        return [
            check
            for check in self.checks
            if not check.get("success") and check.get("severity") == "critical" and not check.get("accepted")
        ]


@dataclass(frozen=True)
class Advice:
    """What it takes to advise somebody.

    Attributes:
        command: how Headwater is called in a fresh shell, in the project folder.
        options: what every later command needs too, such as ` --config …`; empty for the defaults.
        limits: the file that holds the gate's limits.
    """

    command: str
    options: str = ""
    limits: str = "config/dq.yaml"


def lines(refusal: Refusal, advice: Advice) -> list[str]:
    """The lines about one table."""
    what = "was not published, and stays as it was" if refusal.batch else "stands, and is not good enough any more"
    stale = ("stale now", ", ".join(refusal.below) or "nothing else")
    now = _pairs([stale, *_commands(refusal, advice)])
    return [f"{refusal.layer}.{refusal.table} {what}:", *broken_lines(refusal), *now]


def broken_lines(refusal: Refusal) -> list[str]:
    """The part of them that stays true for ever: which rules, which rows."""
    return [line for check in refusal.failed for line in _pairs(_broken(check))]


def keys_told(keys: Iterable[Any]) -> str:
    """Keys as people read them: `order_id=O1, line=2; order_id=O7, line=1`."""
    each = (json.loads(key) if isinstance(key, str) else key for key in keys)
    return "; ".join(", ".join(f"{name}={_value(value)}" for name, value in key.items()) for key in each)


def _value(value: Any) -> str:
    return "null" if value is None else str(value)


def _broken(check: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which rule, what was observed against what limit, which rows, and where they came from."""
    yield "rule", f"{check['rule']} (critical)"
    observed = number(check.get("observed")) or "nothing: it could not be judged"
    yield "observed", f"{observed}; limit: {check.get('limit') or 'that it is judged'}"
    yield "", str(check.get("detail", ""))
    if keys := check.get("keys"):
        yield "rows", keys_told(keys)
    if records := check.get("records"):
        yield "records", "; ".join(records)


def _commands(refusal: Refusal, advice: Advice) -> Iterator[tuple[str, str]]:
    """What to type now."""
    name, command, options = refusal.table, advice.command, advice.options
    yield from (("look", f"{command} quarantine show{options} {what}") for what in _refused(refusal))
    yield "look", f"{command} quality{options} {name} --run {refusal.run_id}"
    yield "mend", f"correct it at the source, or the limit in {advice.limits}; then: {command} run{options}"
    if refusal.batch:
        yield from (
            (
                "or accept",
                f"{command} quality accept{options} {name} --run {refusal.run_id} --rule {shlex.quote(rule)} --why '...'",
            )
            for rule in (check["rule"] for check in refusal.failed if check.get("observed") is not None)
        )


def _refused(refusal: Refusal) -> Iterator[str]:
    """Where the rows of the batch that broke a rule lie: in the table's quarantine, or among what its source sent."""
    for check in refusal.failed:
        kind, _, rule = check["rule"].partition(":")
        if rule == "parse":
            yield from dict.fromkeys(record.partition(" ")[0] for record in check.get("records") or ())
        elif kind == "refused":
            yield f"{refusal.table} --where \"list_contains(rules, '{rule}')\""


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"  {what:<10} {told}" for what, told in pairs if told]
