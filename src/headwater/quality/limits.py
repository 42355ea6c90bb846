"""What an operator may tune of the gate: `config/dq.yaml`, typed, with every name in it checked against the contracts."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headwater.config import Duration, UniqueKeys
from headwater.contracts import Contract, Contracts
from headwater.errors import ConfigurationError
from headwater.quality.rules import rule_names

Severity: TypeAlias = Literal["critical", "warning"]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

PRICED: Final = "amount_usd"
"""The column whose share of nulls `unpriced` limits."""


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_B = TypeVar("_B", bound=_Block)


class SchemaContracts(_Block):
    """Whether and how rows are held to their contracts, and which tables must have one."""

    enabled: bool = True
    validation_mode: Literal["strict", "loose"] = "strict"
    contracts_path: str | None = None
    required_tables: tuple[str, ...] = ()


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
    file = _validated(path, "", _File, _read(path))
    judged = {contract.table: contract for contract in contracts.values() if contract.layer != "bronze"}
    for table in file.tables:
        _known(path, f"tables.{table}", table, judged, "table with a Silver or Gold contract")
    _check_mode(path, file.schema_contracts)
    for table in file.schema_contracts.required_tables:
        _known(path, "schema_contracts.required_tables", table, judged, "table with a Silver or Gold contract")
    _validated(path, "defaults", TableLimits, file.defaults)
    tables = {}
    for table, contract in judged.items():
        limits = _validated(path, f"tables.{table}", TableLimits, _merged(file.defaults, file.tables.get(table, {})))
        _check(path, f"tables.{table}", limits, contract)
        tables[contract.name] = limits
    return Limits(tables, file.schema_contracts, file.timeout)


def _check_mode(path: Path, block: SchemaContracts) -> None:
    """Only what is served may be asked for: a row is held to its contract, or refused."""
    if not block.enabled:
        raise ConfigurationError(f"{path}: schema_contracts.enabled: rows are always held to contracts; set it to true")
    if block.validation_mode != "strict":
        raise ConfigurationError(f"{path}: schema_contracts.validation_mode: only strict is served; set it to strict")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as stream:
            values = yaml.load(stream, UniqueKeys) or {}  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot read the gate's limits: {error.strerror}; set `dq` to their file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: expected keys and values at the top, such as `defaults:` and `tables:`")
    return values


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
