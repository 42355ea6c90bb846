"""Reads `config/contracts/` and holds it to the standard's own schema."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject, SchemaProperty
from pydantic import ValidationError

from headwater.contracts.contract import Column, Contract, ForeignKey, Layer
from headwater.contracts.types import arrow_type
from headwater.errors import ConfigurationError

Contracts: TypeAlias = Mapping[str, Contract]
"""Every contract by its bare name, which exists once over all layers."""

_LAYERS: tuple[Layer, ...] = ("bronze", "silver", "gold")
_OWN_PROPERTIES = {"cursor", "tieBreak", "deletion"}


def load_contracts(folder: Path) -> Contracts:
    """Read every contract below `folder`, one file a table, in folders named by layer.

    Raises:
        ConfigurationError: a file is not ODCS v3.1, names a missing column, or two files share a name.
    """
    contracts: dict[str, Contract] = {}
    for layer in _LAYERS:
        for path in sorted((folder / layer).glob("*.yaml")):
            contract = _contract(path, layer)
            if contract.name in contracts:
                raise ConfigurationError(f"{path}: the name {contract.name} is taken by {contracts[contract.name].table}")
            contracts[contract.name] = contract
    if not contracts:
        raise ConfigurationError(f"{folder}: no contracts; expected bronze/, silver/ and gold/ with one YAML file a table")
    for contract in contracts.values():
        _check_parents(folder, contract, contracts)
    return contracts


def _contract(path: Path, layer: Layer) -> Contract:
    try:
        document = OpenDataContractStandard.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: not an ODCS v3.1 contract: {error}") from error
    if not document.schema_ or len(document.schema_) != 1:
        raise ConfigurationError(f"{path}: a contract describes one table, so `schema:` has one entry")
    table = document.schema_[0]
    properties = table.properties or []
    own = _own_properties(path, table)
    contract = Contract(
        layer=layer,
        name=_text(path, "schema[0].name", table.name),
        path=_text(path, "schema[0].physicalName", table.physicalName),
        columns=tuple(_column(path, each) for each in properties),
        key=_ordered(properties, "primaryKey", "primaryKeyPosition"),
        cursor=own.get("cursor"),
        tie_break=own.get("tieBreak"),
        deletion=own.get("deletion"),
        partition_by=_ordered(properties, "partitioned", "partitionKeyPosition"),
        foreign_keys=tuple(_foreign_keys(path, properties)),
        description=(document.description.purpose if document.description else None) or "",
    )
    if contract.name != path.stem:
        raise ConfigurationError(f"{path}: schema[0].name is {contract.name}, but the file is named {path.stem}")
    for role in ("cursor", "tie_break", "deletion"):
        named = getattr(contract, role)
        if named is not None and named not in contract.column_names:
            raise ConfigurationError(f"{path}: {role} names the column {named}, which `properties` does not have")
    return contract


def _text(path: Path, key: str, value: str | None) -> str:
    if not value:
        raise ConfigurationError(f"{path}: {key} is missing")
    return value


def _own_properties(path: Path, table: SchemaObject) -> dict[str, str]:
    own = {str(each.property): str(each.value) for each in table.customProperties or []}
    if unknown := own.keys() - _OWN_PROPERTIES:
        raise ConfigurationError(f"{path}: customProperties {sorted(unknown)} are not known; known: {sorted(_OWN_PROPERTIES)}")
    return own


def _ordered(properties: list[SchemaProperty], flag: str, position: str) -> tuple[str, ...]:
    marked = [each for each in properties if getattr(each, flag)]
    return tuple(str(each.name) for each in sorted(marked, key=lambda each: getattr(each, position) or 1))


def _column(path: Path, field: SchemaProperty) -> Column:
    name = _text(path, "properties[].name", field.name)
    spark_type = _text(path, f"{name}.physicalType", field.physicalType)
    try:
        arrow_type(spark_type)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {name}.physicalType: {error}") from error
    options: Mapping[str, Any] = cast("Mapping[str, Any]", field.logicalTypeOptions or {})
    return Column(
        name=name,
        type=spark_type,
        description=field.description or "",
        required=bool(field.required or field.primaryKey),
        allowed=tuple(str(value) for value in field.enum or ()),
        pattern=options.get("pattern"),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        classification=field.classification,
    )


def _foreign_keys(path: Path, properties: list[SchemaProperty]) -> list[ForeignKey]:
    keys = []
    for field in properties:
        for relationship in field.relationships or []:
            parent, _, column = str(relationship.to).partition(".")
            if not column:
                raise ConfigurationError(f"{path}: {field.name}.relationships.to is {relationship.to}, expected table.column")
            keys.append(ForeignKey(column=str(field.name), parent=parent, parent_column=column))
    return keys


def _check_parents(folder: Path, contract: Contract, contracts: Contracts) -> None:
    for foreign_key in contract.foreign_keys:
        parent = contracts.get(foreign_key.parent)
        if parent is None or foreign_key.parent_column not in parent.column_names:
            raise ConfigurationError(
                f"{folder / contract.layer / contract.name}.yaml: {foreign_key.column} refers to "
                f"{foreign_key.parent}.{foreign_key.parent_column}, which no contract has"
            )
