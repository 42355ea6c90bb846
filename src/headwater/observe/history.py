"""What was found of tables over time, read from the evidence in `_dq_results`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import Dataset, field

Suite: TypeAlias = Literal["gate", "published"]
"""The gate's checks, before a commit and of what stands; and those of `headwater quality run`, of what is published."""

_OF_VERDICTS: Final = ("run_id", "table", "kind", "severity", "success", "accepted", "at", "target_version")
_KINDS: Final = {"gate": "gate", "standing": "gate", "published": "published"}


@dataclass(frozen=True)
class Judgement:
    """One verdict on one table: `word` is passed, warned, accepted or failed.

    `target_version` is the version of the table's application that it would become, or that stood.
    """

    table: str
    suite: Suite
    kind: str
    run_id: str
    at: datetime | None
    target_version: int | None
    word: str


def judgements(evidence: Dataset | None, table: str | None = None) -> list[Judgement]:
    """Every verdict, or those on one table, oldest first."""
    rows = _rows(evidence, _OF_VERDICTS, table)
    wrong = pc.invert(rows["success"])
    accepted = pc.is_valid(rows["accepted"])
    failed = pc.and_(pc.and_(wrong, pc.equal(rows["severity"], "critical")), pc.invert(accepted))
    marked = rows.append_column("wrong", wrong).append_column("of", accepted).append_column("failed", failed)
    found = marked.group_by(["table", "kind", "run_id"]).aggregate(
        [("wrong", "any"), ("of", "any"), ("failed", "any"), ("at", "max"), ("target_version", "max")]
    )
    each = found.sort_by([("run_id", "ascending"), ("table", "ascending")]).to_pylist()
    return [_judgement(row) for row in each]


def last_verdicts(evidence: Dataset | None) -> dict[str, str]:
    """For each table the word of its newest verdict."""
    return {each.table: each.word for each in judgements(evidence)}


def checks(evidence: Dataset | None, judgement: Judgement) -> list[dict[str, Any]]:
    """The checks of one verdict; `accepted`, `inputs`, `keys` and `validation` are what their JSON says."""
    columns = (
        [name for name in evidence.schema.names if name not in ("table", "passed")] if evidence is not None else []
    )
    rows = _rows(evidence, columns, judgement.table, judgement.run_id)
    return [_told(row) for row in rows.to_pylist() if row["kind"] == judgement.kind]


def failing(evidence: Dataset | None, newest: Sequence[Judgement]) -> Mapping[tuple[str, str], list[str]]:
    """The rules that failed in these verdicts, and that nobody accepted, by table and suite."""
    runs = pa.array({each.run_id for each in newest}, pa.string())
    columns = ("run_id", "table", "kind", "rule", "success", "accepted")
    wanted = {(each.run_id, each.table, each.kind) for each in newest}
    rows = _rows(evidence, columns, where=field("run_id").isin(runs))
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows.filter(pc.and_(pc.invert(rows["success"]), pc.is_null(rows["accepted"]))).to_pylist():
        if (row["run_id"], row["table"], row["kind"]) in wanted:
            found.setdefault((row["table"], _KINDS[row["kind"]]), []).append(row["rule"])
    return found


def _rows(
    evidence: Dataset | None,
    columns: Sequence[str],
    table: str | None = None,
    run_id: str | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Rows of checks with these columns, null where an earlier Headwater did not write them."""
    if evidence is None:
        return pa.table({name: pa.array([], _TYPES.get(name, pa.string())) for name in columns})
    for name, value in (("table", table), ("run_id", run_id)):
        if value is not None:
            asked = field(name) == value
            where = asked if where is None else where & asked
    found = evidence.to_table(columns=[name for name in columns if name in evidence.schema.names], filter=where)
    for name in columns:
        if name not in found.column_names:
            found = found.append_column(name, pa.nulls(found.num_rows, _TYPES.get(name, pa.string())))
    if "kind" not in found.column_names:
        return found.append_column("kind", pa.array(["gate"] * found.num_rows, pa.string()))
    kinds = pc.fill_null(found["kind"], "gate")
    found = found.set_column(found.schema.get_field_index("kind"), "kind", kinds)
    return found.filter(pc.not_equal(kinds, "acceptance"))


_TYPES: Final = {"success": pa.bool_(), "at": pa.timestamp("us", tz="UTC"), "target_version": pa.int64()}


def _judgement(row: Mapping[str, Any]) -> Judgement:
    word = (
        "failed" if row["failed_any"] else "accepted" if row["of_any"] else "warned" if row["wrong_any"] else "passed"
    )
    suite: Suite = "published" if _KINDS[row["kind"]] == "published" else "gate"
    return Judgement(row["table"], suite, row["kind"], row["run_id"], row["at_max"], row["target_version_max"], word)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {"keys": None, "records": None, "accepted": None, "inputs": None, "validation": None} | dict(row)
    for name in ("accepted", "inputs", "validation"):
        told[name] = None if told[name] is None else json.loads(told[name])
    told["keys"] = [json.loads(key) for key in told["keys"] or ()]
    told["records"] = told["records"] or []
    return told
