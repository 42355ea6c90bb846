"""What an operator may tune of the gate: `config/dq.yaml`, typed, with every name in it checked against the contracts."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from headwater.config import Duration
from headwater.contracts import Contract, Contracts
from headwater.contracts.files import line_of
from headwater.contracts.schema_contracts import SchemaContracts, dq_document
from headwater.errors import ConfigurationError
from headwater.quality.blocks import PRICED, Drift, SqlExpectation, TableLimits
from headwater.quality.rules import rule_names

Finding: TypeAlias = tuple[str, str]
"""What is wrong with `dq.yaml`: the dotted key, and what is said behind it."""

_B = TypeVar("_B", bound=BaseModel)


@dataclass(frozen=True)
class Limits:
    """`dq.yaml` as read: `tables` has every Silver and Gold table, by its bare name."""

    tables: Mapping[str, TableLimits]
    schema_contracts: SchemaContracts
    timeout: timedelta


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_contracts: SchemaContracts = SchemaContracts()
    timeout: Duration = timedelta(minutes=10)
    defaults: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}


def load_limits(path: Path, contracts: Contracts) -> Limits:
    """Read `dq.yaml`.

    Raises:
        ConfigurationError: a key, table, column, rule or severity in it is not known; names the file, line and key.
    """
    limits, findings = read_limits(dq_document(path), contracts)
    if limits is None:
        key, said = findings[0]
        raise ConfigurationError(f"{path}:{line_of(path.read_text(encoding='utf-8'), place_of(key))}: {key}{said}")
    return limits


def place_of(key: str) -> tuple[str, ...]:
    """A dotted key of `dq.yaml` taken apart: a table's name has a dot of its own."""
    parts = key.split(".")
    return ("tables", ".".join(parts[1:3]), *parts[3:]) if parts[0] == "tables" and len(parts) > 1 else tuple(parts)


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
        if part not in block.model_fields:  # a name that the user chose, of one of several blocks of a kind
            continue
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
    if limits.freshness is not None:
        yield from _undated(f"{key}.freshness.column", limits.freshness.column or contract.cursor, contract)
    if limits.daily.column is not None:
        yield from _undated(f"{key}.daily.column", limits.daily.column, contract)
    for rule in limits.refused:
        yield from _known(f"{key}.refused", rule, ("default", *rule_names(contract)), f"row rule of {contract.table}")
    if limits.unpriced is not None and PRICED not in contract.column_names:
        yield f"{key}.unpriced", f": {contract.table} has no column {PRICED}; remove the limit"
    volume = limits.volume
    if volume.max_rows is not None and volume.max_rows < volume.min_rows:
        yield f"{key}.volume", ": max_rows is below min_rows, so every volume fails"
    yield from _unknown_of_warnings(key, limits, contract)
    for name, expectation in limits.expectations.items():
        yield from _parameters(f"{key}.expectations.{name}", expectation)


def _undated(where: str, column: str | None, contract: Contract) -> Iterator[Finding]:
    if column is not None and column not in contract.column_names:
        yield from _column(where, column, contract)
    elif column is None or contract.column(column).type not in ("date", "timestamp"):
        yield where, f": {contract.table} needs a date or timestamp column here to be judged by"


def _unknown_of_warnings(key: str, limits: TableLimits, contract: Contract) -> Iterator[Finding]:
    for column in limits.missing.max_share:
        yield from _column(f"{key}.missing.max_share", column, contract)
        if column in contract.column_names and (contract.column(column).required or column in contract.key):
            yield f"{key}.missing.max_share", f": {column} is required by its contract, and never missing; remove it"
    for column, outliers in limits.outliers.items():
        yield from _column(f"{key}.outliers", column, contract)
        if column in contract.column_names and not is_number(contract.column(column).type):
            yield f"{key}.outliers", f": {column} is {contract.column(column).type}; only numbers have outliers"
        if outliers.per is not None:
            yield from _column(f"{key}.outliers.{column}.per", outliers.per, contract)
            yield from _personal(f"{key}.outliers.{column}.per", outliers.per, contract, "a group is told by its value")
    if limits.near_duplicates is not None:
        for column in limits.near_duplicates.ignore:
            yield from _column(f"{key}.near_duplicates.ignore", column, contract)
        if not set(contract.column_names) - {*contract.key, *limits.near_duplicates.ignore}:
            yield f"{key}.near_duplicates.ignore", ": leaves no column by which rows could be alike"
    yield from _unprofiled(f"{key}.drift.columns", limits.drift, contract)


def _unprofiled(key: str, drift: Drift, contract: Contract) -> Iterator[Finding]:
    for name in drift.columns:
        yield from _column(key, name, contract)
        if name not in contract.column_names:
            continue
        column = contract.column(name)
        if not is_number(column.type) and column.type not in ("string", "boolean"):
            yield key, f": {name} is {column.type}; only text, numbers and booleans have profiles"
        yield from _personal(key, name, contract, "a profile keeps values")


def _personal(key: str, name: str, contract: Contract, but: str) -> Iterator[Finding]:
    classification = contract.column(name).classification or "" if name in contract.column_names else ""
    if classification.startswith("pii:"):
        yield key, f": {name} is personal ({classification}), and {but}; remove it"


def _parameters(key: str, expectation: SqlExpectation) -> Iterator[Finding]:
    named, given = expectation.named, set(expectation.parameters)
    for name in sorted(named - given):
        yield (
            f"{key}.sql",
            f": the parameter :{name} has no value{_hint(name, sorted(given)) if given else ''}; add it to parameters",
        )
    for name in sorted(given - named):
        yield f"{key}.parameters.{name}", f" is not in the query{_hint(name, sorted(named)) if named else ''}"


def is_number(kind: str) -> bool:
    """Whether a Spark SQL type holds numbers."""
    return kind in ("tinyint", "smallint", "int", "bigint", "float", "double") or kind.startswith("decimal(")


def _column(key: str, name: str, contract: Contract) -> Iterator[Finding]:
    return _known(key, name, contract.column_names, f"column of {contract.table}")


def _known(key: str, name: str, known: Iterable[str], what: str) -> Iterator[Finding]:
    names = list(known)
    if name not in names:
        yield key, f": {name} is no {what}{_hint(name, names)}"


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
