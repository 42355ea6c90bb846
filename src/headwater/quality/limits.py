"""What an operator may tune of the gate: `config/dq.yaml`, typed, with every name in it checked against the contracts."""

import difflib
from collections.abc import Iterable, Mapping
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
    file = _validated(path, "", _File, dq_document(path))
    judged = {contract.table: contract for contract in contracts.values() if contract.layer != "bronze"}
    for table in file.tables:
        _known(path, f"tables.{table}", table, judged, "table with a Silver or Gold contract")
    _check_required(path, file.schema_contracts, contracts)
    _validated(path, "defaults", TableLimits, file.defaults)
    tables = {}
    for table, contract in judged.items():
        given = file.tables.get(table) or {}
        promised = _promised(path, contract, given) if file.schema_contracts.enabled else {}
        merged = _merged(_merged(file.defaults, promised), given)
        limits = _validated(path, f"tables.{table}", TableLimits, merged)
        _check(path, f"tables.{table}", limits, contract)
        tables[contract.name] = limits
    return Limits(tables, file.schema_contracts, file.timeout)


def _check_required(path: Path, block: SchemaContracts, contracts: Contracts) -> None:
    known = {contract.table: contract for contract in contracts.values()}
    for table in block.required_tables:
        if table not in known:
            layer, _, name = table.rpartition(".")
            place = f"{layer or '<layer>'}/{name}.yaml"
            raise ConfigurationError(
                f"{path}: schema_contracts.required_tables: {table} has no contract{_hint(table, list(known))}; "
                f"write {place} below schema_contracts.contracts_path"
            )


def _promised(path: Path, contract: Contract, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the contract promises, as limits; what it promises is said there alone.

    Raises:
        ConfigurationError: the table's block of `dq.yaml` says it too.
    """
    promise = contract.promise
    told: dict[str, dict[str, Any]] = {
        "freshness": {} if promise.max_age is None else {"max_age": promise.max_age, "column": promise.of},
        "volume": {name: rows for name in ("min_rows", "max_rows") if (rows := getattr(promise, name)) is not None},
    }
    for block, limits in told.items():
        mine = given.get(block, {})
        twice = [block] if limits and mine is None else [f"{block}.{key}" for key in limits if key in (mine or {})]
        if twice:
            raise ConfigurationError(
                f"{path}: tables.{contract.table}.{twice[0]}: the contract of {contract.table} promises it already; "
                "say it in one of the two"
            )
    return {block: limits for block, limits in told.items() if limits}


def _validated(path: Path, above: str, block: type[_B], values: Any) -> _B:
    try:
        return block.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        parts = [str(part) for part in first["loc"]]
        key = ".".join(filter(None, [above, *parts]))
        if first["type"] != "extra_forbidden":
            raise ConfigurationError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}") from error
        known = _known_keys(block, parts[:-1])
        raise ConfigurationError(f"{path}: {key} is not known{_hint(parts[-1], known)}") from error


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


def _check(path: Path, key: str, limits: TableLimits, contract: Contract) -> None:
    """Everything that `limits` names is there: a limit on nothing would never fail."""
    if (freshness := limits.freshness) is not None:
        if freshness.column is not None:
            _known(
                path, f"{key}.freshness.column", freshness.column, contract.column_names, f"column of {contract.table}"
            )
        column = freshness.column or contract.cursor
        if column is None or contract.column(column).type not in ("date", "timestamp"):
            raise ConfigurationError(
                f"{path}: {key}.freshness.column: {contract.table} needs a date or timestamp column here to be judged by"
            )
    for rule in limits.refused:
        _known(path, f"{key}.refused", rule, ("default", *rule_names(contract)), f"row rule of {contract.table}")
    if limits.unpriced is not None and PRICED not in contract.column_names:
        raise ConfigurationError(f"{path}: {key}.unpriced: {contract.table} has no column {PRICED}; remove the limit")
    volume = limits.volume
    if volume.max_rows is not None and volume.max_rows < volume.min_rows:
        raise ConfigurationError(f"{path}: {key}.volume: max_rows is below min_rows, so every volume fails")


def _known(path: Path, key: str, name: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if name not in names:
        raise ConfigurationError(f"{path}: {key}: {name} is no {what}{_hint(name, names)}")


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
