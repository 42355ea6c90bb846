"""What was refused, for people: counted by table and rule, and row by row with personal values hidden."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from headwater.config import Settings
from headwater.contracts import Contract, Contracts
from headwater.contracts.drifted import beside_of
from headwater.engine import memory
from headwater.engine.embedded import EmbeddedEngine
from headwater.errors import ConfigurationError
from headwater.masking.embedded import without_contacts_in
from headwater.masking.masks import EMBEDDED
from headwater.object_store import lake_of
from headwater.quality.rules import PARSE, in_words
from headwater.run import refused
from headwater.run.tables import quarantine_table, rejects_table
from headwater.transform.table import TableFunction

HIDDEN: Final = "(hidden)"

_COUNTS: Final = """
    SELECT rule, count(*) FILTER (waits), count(*) FILTER (waits AND orphan AND refused_at < $overdue),
        count(discarded_at), count(landed_at), min(refused_at) FILTER (waits)
    FROM (SELECT *, discarded_at IS NULL AND landed_at IS NULL AS waits FROM {rows}) GROUP BY rule ORDER BY rule"""
_OF_ALL: Final = _COUNTS.format(
    rows="""(SELECT *, '' AS rule, len(list_filter(rules, lambda each: each LIKE '%:reference')) > 0 AS orphan
    FROM refused)"""
)
_OF_RULES: Final = _COUNTS.format(
    rows="(SELECT *, rule LIKE '%:reference' AS orphan FROM (SELECT *, unnest(rules) AS rule FROM refused))"
)


@dataclass(frozen=True)
class Count:
    """Refused rows: those that wait, of them orphans that are overdue, those discarded, and rejects that have landed.

    `oldest` is when the first of those that wait was refused.
    """

    waiting: int = 0
    overdue: int = 0
    discarded: int = 0
    landed: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True)
class Refusals:
    """What one table has refused, in all and by rule; a row that breaks two rules counts in both."""

    table: str
    all: Count
    rules: Mapping[str, Count]


@dataclass(frozen=True)
class Shown:
    """One refused row as people may see it: `record` is what the source told."""

    row_id: str
    where: str
    rules: tuple[str, ...]
    reason: str
    record: Mapping[str, Any] | str
    refused_at: datetime
    refused_run_id: str
    rules_before: tuple[str, ...]
    replays: int
    tried_at: datetime | None
    landed_at: datetime | None
    discarded_at: datetime | None
    discarded_by: str | None
    discarded_why: str | None


def place(contract: Contract) -> str:
    """Where a table's refused rows lie.

    Raises:
        ConfigurationError: it is a Gold table.
    """
    if contract.layer == "gold":
        raise ConfigurationError(
            f"{contract.table} refuses no rows: name the Silver table that does, or a Bronze table for what was no row"
        )
    return (quarantine_table if contract.layer == "silver" else rejects_table)(contract).name


def with_inputs(contract: Contract, contracts: Contracts, functions: Mapping[str, TableFunction]) -> list[Contract]:
    """A table and, of a Silver table, the Bronze tables whose rejects never reached it."""
    place(contract)
    versions = functions[contract.name].versions if contract.layer == "silver" else ()
    return [contract, *(contracts[name] for name in versions)]


def read(settings: Settings, contract: Contract, without: Sequence[str] = ()) -> pa.Table:
    """All that a Silver or Bronze table has refused; the columns `without` are not read, and null."""
    engine = EmbeddedEngine(lake_of(settings))
    if contract.layer == "silver":
        return refused.standing(engine, contract, engine.head(quarantine_table(contract)), without)
    return refused.rejects(engine, contract, engine.head(rejects_table(contract)), without)


def counted(
    settings: Settings, contracts: Iterable[Contract], orphan_after: Mapping[str, timedelta], at: datetime
) -> list[Refusals]:
    """What each Silver or Bronze table has refused, of those that have refused something.

    `orphan_after` is how long after being refused a row without its parent is overdue, at the instant `at`.

    Raises:
        LakeError: the lake cannot be reached.
    """
    lake_of(settings).check()
    found = []
    for contract in contracts:
        rows = read(settings, contract, without=["raw"])
        if rows.num_rows:
            found.append(_counted(contract, rows, at - orphan_after.get(contract.name, timedelta())))
    return found


def _counted(contract: Contract, rows: pa.Table, overdue: datetime) -> Refusals:
    if contract.layer == "bronze":
        rules = pa.array([[PARSE]] * rows.num_rows, pa.list_(pa.string()))
        rows = rows.append_column("rules", rules).append_column("refused_at", rows["_ingest_ts"])
    else:
        rows = rows.append_column("landed_at", pa.nulls(rows.num_rows, pa.timestamp("us", tz="UTC")))
    with memory.cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("refused", rows.select(["rules", "refused_at", "discarded_at", "landed_at"]))
        of_all, of_rules = (
            {rule: Count(*counts) for rule, *counts in connection.execute(query, {"overdue": overdue}).fetchall()}
            for query in (_OF_ALL, _OF_RULES)
        )
    return Refusals(place(contract), of_all[""], of_rules)


def shown(
    settings: Settings, contract: Contract, contracts: Contracts, where: str | None, most: int
) -> tuple[int, list[Shown]]:
    """How many refused rows of a table there are for which a predicate holds, and the newest of them.

    Raises:
        QueryRefused: `where` is no predicate over the refused rows.
    """
    rows = read(settings, contract)
    rows = rows.filter(refused.meant(rows, where))
    order = [("refused_at", "descending")] if contract.layer == "silver" else [("_ingest_ts", "descending")]
    first = rows.sort_by([*order, ("_row_id", "ascending")]).slice(0, most)
    hiding = {each.name: Hiding(each, contract, settings) for each in contracts.values()}
    return rows.num_rows, [_shown(row, contract, hiding) for row in first.to_pylist()]


def _shown(row: Mapping[str, Any], contract: Contract, hiding: Mapping[str, "Hiding"]) -> Shown:
    silver = contract.layer == "silver"
    hides = hiding[row["input"] if silver else contract.name]
    rules = tuple(row["rules"]) if silver else (PARSE,)
    return Shown(
        row_id=row["_row_id"],
        where=f"bronze.{row['input']}, {row['_row_id']}" if silver else hides.told(row["position"]),
        rules=rules,
        reason="; ".join(in_words(rule, contract) for rule in rules) if silver else hides.told(row["reason"]),
        record=hides.record(row["raw"] if silver else row["raw"].decode("utf-8", "backslashreplace")),
        refused_at=row["refused_at"] if silver else row["_ingest_ts"],
        refused_run_id=row["refused_run_id"] if silver else row["_run_id"],
        rules_before=tuple(row.get("rules_before") or ()),
        replays=row["replays"],
        tried_at=row["tried_at"],
        landed_at=row.get("landed_at"),
        discarded_at=row["discarded_at"],
        discarded_by=row["discarded_by"],
        discarded_why=row["discarded_why"],
    )


class Hiding:
    """Hides the personal values of one Bronze table's records, unless the settings say that its class is not masked."""

    def __init__(self, bronze: Contract, table: Contract, settings: Settings) -> None:
        """`table` is the table that refused them: a rule for its column goes before that of the classification."""
        masking = settings.masking
        classes = {column.name: column.classification for column in bronze.columns if column.classification}
        self._hidden = {
            name: kind
            for name, kind in classes.items()
            if masking.columns.get(f"{table.table}.{name}", masking.rules.get(kind)) != "none"
        }
        self._open = classes.keys() - self._hidden.keys()

    def record(self, raw: str) -> Mapping[str, Any] | str:
        """A record by its columns, or as it came where it has none; what has no columns can be personal throughout."""
        try:
            told = json.loads(raw)
        except ValueError:
            told = None
        if isinstance(told, dict):
            return {name: self._value(name, value) for name, value in told.items()}
        if self._hidden:
            return f"(hidden: {len(raw)} characters, in which {', '.join(self._hidden)} can stand)"
        return raw

    def _value(self, name: str, value: Any) -> Any:
        column = beside_of(name.lower()) or name.lower()
        kind = self._hidden.get(column)
        if value is None or column in self._open or not self._hidden:
            return value
        if kind is not None and kind != EMBEDDED:
            return HIDDEN
        return without_contacts_in(value) if isinstance(value, str) else value

    def told(self, text: str) -> str:
        """A position or a reason, which can name values of a record: those of hidden columns do not appear."""
        for name in self._hidden:
            text = re.sub(rf"(?s)\b{re.escape(name)} is .*(, which is no )", rf"{name} is {HIDDEN}\1", text)
            text = re.sub(rf"\b{re.escape(name)}=\S+", f"{name}={HIDDEN}", text)
        return without_contacts_in(text) if self._hidden else text
