"""What an operator may tune of the gate: `config/dq.yaml`, typed, with every name in it checked against the contracts."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headwater.config import Duration
from headwater.contracts import Contract, Contracts
from headwater.contracts.schema_contracts import SchemaContracts, dq_document
from headwater.errors import ConfigurationError
from headwater.quality.rules import rule_names

Severity: TypeAlias = Literal["critical", "warning"]
Finding: TypeAlias = tuple[str, str]
"""What is wrong with `dq.yaml`: the dotted key, and what is said behind it."""
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

PRICED: Final = "amount_usd"
"""The column whose share of nulls `unpriced` limits."""


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_B = TypeVar("_B", bound=_Block)


class Freshness(_Block):
    """The newest `column` (the contract's cursor, if not told) is at most `max_age` older than the run's instant.

    Rows dated later than that instant do not count.
    """

    max_age: Duration
    column: str | None = None
    severity: Severity = "critical"


class Volume(_Block):
    """Rows that a table may have, and the share of its standing rows that it may lose at once."""

    min_rows: int = Field(default=1, ge=0)
    max_rows: int | None = Field(default=None, ge=0)
    max_shrink: Share = 0.5
    severity: Severity = "critical"


class Unpriced(_Block):
    """The share of rows that may be without `amount_usd`."""

    max_share: Share
    severity: Severity = "critical"


class TableLimits(_Block):
    """The limits of one table. `refused` holds the share of a batch that may break a row rule, by its name."""

    freshness: Freshness | None = None
    volume: Volume = Volume()
    refused: dict[str, Share] = {}
    unpriced: Unpriced | None = None
    late_after: Duration = timedelta(days=1)
    orphan_after: Duration = timedelta(days=7)

    def refused_share(self, rule: str) -> float:
        """The share of a batch that may break `rule`; none may where nothing is said."""
        return self.refused.get(rule, self.refused.get("default", 0.0))


@dataclass(frozen=True)
class Limits:
    """`dq.yaml` as read: `tables` has every Silver and Gold table, by its bare name."""

    tables: Mapping[str, TableLimits]
    schema_contracts: SchemaContracts
    timeout: timedelta


class _File(_Block):
    schema_contracts: SchemaContracts = SchemaContracts()
    timeout: Duration = timedelta(minutes=10)
    defaults: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}


def load_limits(path: Path, contracts: Contracts) -> Limits:
    """Read `dq.yaml`.

    Raises:
        ConfigurationError: a key, table, column, rule or severity in it is not known; names the file and the key.
    """
    limits, findings = read_limits(dq_document(path), contracts)
    if limits is None:
        key, said = findings[0]
        raise ConfigurationError(f"{path}: {key}{said}")
    return limits


def read_limits(document: Mapping[str, Any], contracts: Contracts) -> tuple[Limits | None, list[Finding]]:
    """What `dq.yaml` says, and everything that is wrong with it; no limits where anything is."""
    file, found = _validated("", _File, document)
    if file is None:
        return None, found
    judged = {contract.table: contract for contract in contracts.values() if contract.layer != "bronze"}
    for table in file.tables:
        found += _known(f"tables.{table}", table, judged, "table with a Silver or Gold contract")
    found += _required(file.schema_contracts, contracts)
    defaults, wrong = _validated("defaults", TableLimits, file.defaults)
    found += wrong
    tables = {}
    for table, contract in () if defaults is None else judged.items():
        given = file.tables.get(table) or {}
        promised = _promised(contract) if file.schema_contracts.enabled else {}
        found += _said_twice(contract, promised, given)
        merged = _merged(_merged(file.defaults, promised), given)
        limits, wrong = _validated(f"tables.{table}", TableLimits, merged)
        found += wrong
        if limits is not None:
            found += _unknown(f"tables.{table}", limits, contract)
            tables[contract.name] = limits
    return None if found else Limits(tables, file.schema_contracts, file.timeout), found


def _required(block: SchemaContracts, contracts: Contracts) -> Iterator[Finding]:
    known = {contract.table: contract for contract in contracts.values()}
    for table in block.required_tables:
        if table not in known:
            layer, _, name = table.rpartition(".")
            write = f"write {layer or '<layer>'}/{name}.yaml below schema_contracts.contracts_path"
            said = f": {table} has no contract{_hint(table, list(known))}; {write}"
            yield "schema_contracts.required_tables", said


def _promised(contract: Contract) -> dict[str, Any]:
    """What the contract promises, as limits."""
    promise = contract.promise
    fresh = {} if promise.max_age is None else {"max_age": promise.max_age, "column": promise.of}
    rows = {name: held for name in ("min_rows", "max_rows") if (held := getattr(promise, name)) is not None}
    return {block: limits for block, limits in (("freshness", fresh), ("volume", rows)) if limits}


def _said_twice(contract: Contract, promised: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Finding]:
    """What a contract promises is said there alone: two places would part one day."""
    for block, limits in promised.items():
        mine = given.get(block, {})
        keys = [key for key in limits if isinstance(mine, dict) and key in mine]
        for key in [block] if mine is None else [f"{block}.{key}" for key in keys]:
            yield (
                f"tables.{contract.table}.{key}",
                f": the contract of {contract.table} promises it already; say it in one of the two",
            )


def _validated(above: str, block: type[_B], values: Any) -> tuple[_B | None, list[Finding]]:
    try:
        return block.model_validate(values), []
    except ValidationError as error:
        return None, [_finding(above, block, each) for each in error.errors(include_url=False, include_context=False)]


def _finding(above: str, block: type[BaseModel], error: Mapping[str, Any]) -> Finding:
    parts = [str(part) for part in error["loc"]]
    key = ".".join(filter(None, [above, *parts]))
    if error["type"] != "extra_forbidden":
        return key, f": {error['msg'].removeprefix('Value error, ')}"
    return key, f" is not known{_hint(parts[-1], _known_keys(block, parts[:-1]))}"


def _known_keys(block: type[BaseModel], above: Iterable[str]) -> list[str]:
    for part in above:
        annotation = block.model_fields[part].annotation
        found = [each for each in (annotation, *getattr(annotation, "__args__", ())) if isinstance(each, type)]
        block = next(each for each in found if issubclass(each, BaseModel))
    return list(block.model_fields)


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` over `defaults`, block by block; a block that is given as null is switched off."""
    merged = dict(defaults)
    for key, value in given.items():
        standing = merged.get(key)
        merged[key] = {**standing, **value} if isinstance(standing, dict) and isinstance(value, dict) else value
    return merged


def _unknown(key: str, limits: TableLimits, contract: Contract) -> Iterator[Finding]:
    """Everything that `limits` names and that is not there: a limit on nothing would never fail."""
    if (freshness := limits.freshness) is not None:
        named, where = freshness.column, f"{key}.freshness.column"
        if named is not None and named not in contract.column_names:
            yield from _known(where, named, contract.column_names, f"column of {contract.table}")
        else:
            column = named or contract.cursor
            if column is None or contract.column(column).type not in ("date", "timestamp"):
                yield where, f": {contract.table} needs a date or timestamp column here to be judged by"
    for rule in limits.refused:
        yield from _known(f"{key}.refused", rule, ("default", *rule_names(contract)), f"row rule of {contract.table}")
    if limits.unpriced is not None and PRICED not in contract.column_names:
        yield f"{key}.unpriced", f": {contract.table} has no column {PRICED}; remove the limit"
    volume = limits.volume
    if volume.max_rows is not None and volume.max_rows < volume.min_rows:
        yield f"{key}.volume", ": max_rows is below min_rows, so every volume fails"


def _known(key: str, name: str, known: Iterable[str], what: str) -> Iterator[Finding]:
    names = list(known)
    if name not in names:
        yield key, f": {name} is no {what}{_hint(name, names)}"


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
