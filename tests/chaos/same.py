"""Is a lake what an undisturbed run would have made, and does it hold nothing twice?"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from tests.e2e.tiny import RUN_IDS, Lake

from headwater.contracts import Contract, Contracts

EVIDENCE = "_dq_results"
_SHOWN = 3
_OF_ONE_RUN = frozenset({*RUN_IDS, "refused_at"})
"""Columns that tell of the run that came to commit a row, and when that was: of two that overlap it may be either."""
_BALANCES = {
    "bronze": (("read",), ("landed", "repeated", "rejected")),
    "silver": (("new", "retried"), ("accepted", "deleted", "superseded", "quarantined")),
}


def places(contract: Contract) -> list[str]:
    """The tables of a contract: its own, and where its refused rows lie. Evidence is told apart by table."""
    beside = {"bronze": ["rejects"], "silver": ["quarantine"], "gold": []}[contract.layer]
    judged = [] if contract.layer == "bronze" else [f"{EVIDENCE}/{contract.name}"]
    return [contract.path, *(f"{each}/{contract.name}" for each in beside), *judged]


@dataclass(frozen=True)
class Holdings:
    """What a lake holds and knows of some tables, but for the ids of runs: each table as a multiset of its rows."""

    tables: dict[str, Counter[str]]
    positions: dict[str, Any]
    store: dict[str, Any]

    def of(self, contracts: Sequence[Contract]) -> "Holdings":
        """The part about some tables."""
        names = {each.name for each in contracts}
        own = {place for each in contracts for place in places(each)}
        return Holdings(
            {place: rows for place, rows in self.tables.items() if place in own},
            {name: position for name, position in self.positions.items() if name in names},
            {name: known for name, known in self.store.items() if name in names},
        )

    def without_evidence(self) -> "Holdings":
        """Evidence tells of every version of a table that was judged; runs that skip one have none of it."""
        tables = {place: rows for place, rows in self.tables.items() if not place.startswith(EVIDENCE)}
        return Holdings(tables, self.positions, self.store)


def holdings(lake: Lake, contracts: Sequence[Contract]) -> Holdings:
    """What a lake holds of some tables."""
    standing = set(lake.tables())
    tables, positions = dict[str, Counter[str]](), dict[str, Any]()
    for contract in contracts:
        for place in places(contract):
            rows = _evidence(lake, contract) if place.startswith(EVIDENCE) else lake.rows(place)
            tables[place] = Counter(
                repr(sorted((name, value) for name, value in row.items() if name not in _OF_ONE_RUN)) for row in rows
            )
        if contract.path in standing:
            positions[contract.name] = _position(lake, contract)
    known = lake.store()
    return Holdings(tables, positions, {each.name: known.get(each.name) for each in contracts})


def _evidence(lake: Lake, contract: Contract) -> list[dict[str, Any]]:
    # `inputs` are versions of other tables, which depend on how often they were committed.
    return [
        row | {"inputs": sorted(json.loads(row["inputs"]))}
        for row in lake.rows(EVIDENCE)
        if row["table"] == contract.name
    ]


def _position(lake: Lake, contract: Contract) -> Any:
    """How far a table has consumed what it is made of; other tables' versions depend on how often they were committed."""
    [newest] = lake.table(contract.path).history(1)
    inputs = json.loads(newest["headwater"])["inputs"]
    return inputs if contract.layer == "bronze" else sorted(inputs)


def differing(found: Holdings, expected: Holdings) -> Iterator[str]:
    """How what a lake holds differs from what it should."""
    for place, rows in expected.tables.items():
        if extra := found.tables[place] - rows:
            yield f"{place}: {extra.total()} rows too many, such as {_first(extra)}"
        if missing := rows - found.tables[place]:
            yield f"{place}: {missing.total()} rows too few, such as {_first(missing)}"
    for name, position in expected.positions.items():
        if found.positions.get(name) != position:
            yield f"{name}: is read to {found.positions.get(name)} and not {position}"
    for name, known in expected.store.items():
        if found.store[name] != known:
            yield f"{name}: the state store says {found.store[name]} and not {known}"


def _first(rows: Counter[str]) -> str:
    return "; ".join(list(rows)[:_SHOWN])


def broken(lake: Lake, contracts: Contracts, moved: Sequence[Contract]) -> Iterator[str]:
    """What may hold of no lake, whatever happened: rows or spans twice, terms that do not add up.

    What was `moved` must also have consumed all of its inputs.
    """
    standing = {path: lake.table(path) for path in lake.tables()}
    for path, table in standing.items():
        yield from _spans_twice(path, table)
    versions = {each.name: standing[each.path].version() for each in contracts.values() if each.path in standing}
    for contract in contracts.values():
        if (handle := standing.get(contract.path)) is None:
            continue
        yield from _unbalanced_commits(contract, handle)
        if contract.layer == "bronze":
            yield from _rows_twice(contract, handle)
        elif contract in moved:
            inputs = json.loads(handle.history(1)[0]["headwater"])["inputs"]
            late = {name: version for name, version in inputs.items() if version != versions[name]}
            if late:
                yield f"{contract.table}: is made of {late}, which are not the newest versions"
    yield from _unbalanced_steps(lake)


def gone(lake: Lake) -> list[str]:
    """Files that tables name and that are not there: these cannot be read."""
    root = lake.folder / "lake"
    named = (
        (path, each)
        for path in lake.tables()
        for each in pa.table(lake.table(path).get_add_actions())["path"].to_pylist()
    )
    return [
        f"{path}: names {each}, which is not there"
        for path, each in named
        if not (root / path / unquote(each)).exists()
    ]


def _spans_twice(path: str, table: DeltaTable) -> Iterator[str]:
    """A `txn` version that two commits of a table have; or that went back."""
    highest: dict[str, int] = {}
    log = Path(table.table_uri.removeprefix("file://")) / "_delta_log"
    for version in range(table.version() + 1):
        for app, number in _txns(log / f"{version:020}.json"):
            if number <= highest.get(app, -1):
                yield f"{path}: commit {version} of {app} has txn {number} after {highest[app]}"
            highest[app] = number


def _txns(entry: Path) -> Iterator[tuple[str, int]]:
    for line in entry.read_text(encoding="utf-8").splitlines():
        if (txn := json.loads(line).get("txn")) is not None:
            yield txn["appId"], txn["version"]


def _rows_twice(contract: Contract, handle: DeltaTable) -> Iterator[str]:
    """Bronze holds each row version once: by its identity, and a message by where it stood."""
    rows = handle.to_pyarrow_table()
    keys = [["_row_id"]]
    if "kafka_offset" in rows.column_names:
        keys.append(["kafka_partition", "kafka_offset"])
    for columns in keys:
        once = pa.TableGroupBy(rows.select(columns), columns).aggregate([]).num_rows
        if once != rows.num_rows:
            yield f"{contract.table}: {rows.num_rows} rows, but {once} by {', '.join(columns)}"
    landed = sum(record.get("landed", 0) for record in _counts(handle))
    if landed != rows.num_rows:
        yield f"{contract.table}: its commits say that {landed} rows landed, it holds {rows.num_rows}"


def _counts(handle: DeltaTable) -> Iterator[dict[str, int]]:
    for entry in handle.history():
        if "headwater" in entry:
            yield json.loads(entry["headwater"])["metadata"].get("counts", {})


def _unbalanced_commits(contract: Contract, handle: DeltaTable) -> Iterator[str]:
    for terms in _counts(handle):
        if terms and not _balances(contract.layer, terms):
            yield f"{contract.table}: the terms of a commit do not add up: {terms}"


def _unbalanced_steps(lake: Lake) -> Iterator[str]:
    """The ledger's steps, one for each run and table, whose terms do not add up."""
    for file in sorted((lake.folder / "state" / "state" / "steps").rglob("*.json")):
        step = json.loads(file.read_text(encoding="utf-8"))
        if step.get("terms") and not _balances(step["layer"], step["terms"]):
            yield f"{file.parent.name}, {step['table']}: the terms of the ledger do not add up: {step['terms']}"


def _balances(layer: str, terms: dict[str, int]) -> bool:
    if layer not in _BALANCES:
        return True
    before, after = _BALANCES[layer]
    return sum(terms[each] for each in before) == sum(terms[each] for each in after)


def leftovers(lake: Lake) -> Iterator[str]:
    """Files of a lake that no entry of a log has ever named, and that are no log."""
    root = lake.folder / "lake"
    tables = lake.tables()
    named = {f"{path}/{name}" for path in tables for name in _named(root / path)}
    for file in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()):
        if file not in named and not _LOG.search(file):
            yield file


_LOG = re.compile(r"/_delta_log/(\d+(\.checkpoint.*)?\.(json|parquet|crc)|_last_checkpoint)$")
OF_A_RUN = re.compile(r"/\d{8}T\d{6}\.\d{6}Z-")
"""The path of a file that tells which run has written it."""


def _named(root: Path) -> Iterator[str]:
    for entry in (root / "_delta_log").glob("*.json"):
        for line in entry.read_text(encoding="utf-8").splitlines():
            action = json.loads(line)
            if told := action.get("add") or action.get("cdc"):
                yield unquote(told["path"])
