"""Reads `config/contracts/` and holds it to the standard's own schema."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

import yaml
from jsonschema_rs import Draft201909Validator

from headwater.contracts.contract import Column, Comparison, Conservation, Contract, ForeignKey, Layer
from headwater.contracts.types import arrow_type
from headwater.errors import ConfigurationError

Contracts: TypeAlias = Mapping[str, Contract]
"""Every contract by its bare name, which exists once over all layers."""

_Node: TypeAlias = Mapping[str, Any]
_LAYERS: tuple[Layer, ...] = ("bronze", "silver", "gold")
_OWN_PROPERTIES = ("cursor", "tieBreak", "deletion")
_OWN_OF_COLUMNS = ("joinedWith", "comparedAs")
_BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusive_minimum": "exclusiveMinimum",
    "exclusive_maximum": "exclusiveMaximum",
}
# libyaml reads the contracts in a tenth of the time; a build of PyYAML without it still reads them.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_contracts(folder: Path) -> Contracts:
    """Read every contract below `folder`, one file a table, in folders named by layer.

    Raises:
        ConfigurationError: a file is not ODCS v3.1, names a missing column, or two files share a name; the message
            names the file and the key.
    """
    standard = Draft201909Validator(json.loads(_standard().read_text(encoding="utf-8")))
    contracts: dict[str, Contract] = {}
    for layer in _LAYERS:
        for path in sorted((folder / layer).glob("*.yaml")):
            contract = _contract(path, layer, standard)
            if taken := contracts.get(contract.name):
                raise ConfigurationError(f"{path}: the name {contract.name} is taken by {taken.table}; choose another")
            contracts[contract.name] = contract
    if not contracts:
        raise ConfigurationError(
            f"{folder}: no contracts; it should hold bronze/, silver/ and gold/ with a file a table"
        )
    for contract in contracts.values():
        _check_parents(folder, contract, contracts)
    return contracts


def _standard() -> Path:
    """The standard's JSON schema, from the package that carries it; importing its models would cost half a second."""
    package = find_spec("open_data_contract_standard")
    if package is None or package.origin is None:
        raise ConfigurationError("the package open-data-contract-standard is not installed; run `make` to install it")
    return Path(package.origin).with_name("schema.json")


def _contract(path: Path, layer: Layer, standard: Draft201909Validator) -> Contract:
    document = _document(path, standard)
    tables = document.get("schema") or []
    if len(tables) != 1:
        raise ConfigurationError(f"{path}: schema has {len(tables)} entries, but a contract describes one table")
    table: _Node = tables[0]
    properties: list[_Node] = table.get("properties") or []
    own = _own_properties(path, "", table, _OWN_PROPERTIES)
    contract = Contract(
        layer=layer,
        name=_text(path, "schema[0].name", table.get("name")),
        path=_text(path, "schema[0].physicalName", table.get("physicalName")),
        columns=tuple(_column(path, each) for each in properties),
        key=_ordered(properties, "primaryKey", "primaryKeyPosition"),
        cursor=own.get("cursor"),
        tie_break=own.get("tieBreak"),
        deletion=own.get("deletion"),
        partition_by=_ordered(properties, "partitioned", "partitionKeyPosition"),
        foreign_keys=tuple(_foreign_keys(path, properties)),
        conserved=tuple(_conserved(path, table)),
        description=_text(path, "description.purpose", (document.get("description") or {}).get("purpose")),
        owner=_text(path, "team.name", (document.get("team") or {}).get("name")),
    )
    _check_columns(path, contract)
    return contract


def _document(path: Path, standard: Draft201909Validator) -> _Node:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from error
    document = json.loads(json.dumps(document, default=str))  # YAML has dates, the standard has text
    if not standard.is_valid(document):
        raise ConfigurationError(f"{path}: {_explained(document)}; see the Open Data Contract Standard, v3.1")
    return cast("_Node", document)


def _explained(document: object) -> str:
    """The complaint that helps most; the validator that finds it takes a second for all contracts, so only now."""
    from jsonschema import Draft201909Validator as Explaining
    from jsonschema.exceptions import best_match

    broken = best_match(Explaining(json.loads(_standard().read_text(encoding="utf-8"))).iter_errors(document))
    if broken is None:
        return "not a contract of the standard"
    key = broken.json_path.removeprefix("$").removeprefix(".") or "the document"
    return f"{key}: {broken.message[:300]}"


def _text(path: Path, key: str, value: object) -> str:
    if not value:
        raise ConfigurationError(f"{path}: {key} is missing")
    return str(value)


def _own_properties(path: Path, above: str, node: _Node, known: tuple[str, ...]) -> dict[str, str]:
    own = {str(each["property"]): str(each["value"]) for each in node.get("customProperties") or []}
    if unknown := own.keys() - set(known):
        raise ConfigurationError(
            f"{path}: {above}customProperties has {', '.join(sorted(unknown))}; known are {', '.join(known)}"
        )
    return own


def _comparison(path: Path, name: str, told: str | None) -> Comparison | None:
    if told is not None and told not in get_args(Comparison):
        raise ConfigurationError(f"{path}: {name}: comparedAs {told} is none of {', '.join(get_args(Comparison))}")
    return cast("Comparison | None", told)


def _ordered(properties: list[_Node], flag: str, position: str) -> tuple[str, ...]:
    marked = [each for each in properties if each.get(flag)]
    return tuple(str(each["name"]) for each in sorted(marked, key=lambda each: each.get(position) or 1))


def _column(path: Path, field: _Node) -> Column:
    name = str(field["name"])
    spark_type = _text(path, f"{name}.physicalType", field.get("physicalType"))
    try:
        arrow_type(spark_type)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {name}.physicalType: {error}") from error
    options: _Node = field.get("logicalTypeOptions") or {}
    own = _own_properties(path, f"{name}.", field, _OWN_OF_COLUMNS)
    return Column(
        name=name,
        type=spark_type,
        description=field.get("description") or "",
        required=bool(field.get("required") or field.get("primaryKey")),
        allowed=_allowed(field),
        pattern=options.get("pattern"),
        classification=field.get("classification"),
        joined_with=tuple(filter(None, own.get("joinedWith", "").replace(",", " ").split())),
        compared_as=_comparison(path, name, own.get("comparedAs")),
        **{mine: options.get(theirs) for mine, theirs in _BOUNDS.items()},
    )


def _allowed(field: _Node) -> tuple[str, ...]:
    """The column's closed set of values: v3.1 says it as a quality check, `enum` came after it."""
    for check in field.get("quality") or []:
        if check.get("metric") == "invalidValues":
            return tuple(str(value) for value in (check.get("arguments") or {}).get("validValues") or ())
    return ()


def _foreign_keys(path: Path, properties: list[_Node]) -> list[ForeignKey]:
    keys = []
    for field in properties:
        for relationship in field.get("relationships") or []:
            name, to = str(field["name"]), str(relationship["to"])
            parent, _, column = to.partition(".")
            if not column or "." in column:
                raise ConfigurationError(f"{path}: {name}.relationships: {to} should read table.column")
            keys.append(ForeignKey(column=name, parent=parent, parent_column=column))
    return keys


def _conserved(path: Path, table: _Node) -> list[Conservation]:
    found = []
    for place, check in enumerate(table.get("quality") or []):
        key = f"quality[{place}]"
        if check.get("type") != "sql" or check.get("mustBe") != 0:
            raise ConfigurationError(f"{path}: {key}: only checks of type sql with mustBe: 0 are made of a whole table")
        name, told = _text(path, f"{key}.name", check.get("name")), check.get("description")
        found.append(Conservation(name, _text(path, f"{key}.description", told), str(check["query"]).strip()))
    return found


def _check_columns(path: Path, contract: Contract) -> None:
    if contract.name != path.stem:
        raise ConfigurationError(f"{path}: schema[0].name is {contract.name}, but the file is named {path.stem}")
    for column in contract.column_names:
        if contract.column_names.count(column) > 1:
            raise ConfigurationError(f"{path}: properties has the column {column} more than once")
    roles = {"cursor": contract.cursor, "tieBreak": contract.tie_break}
    if contract.layer == "bronze":
        roles["deletion"] = contract.deletion
    for role, named in roles.items():
        if named is not None and named not in contract.column_names:
            raise ConfigurationError(f"{path}: {role} names the column {named}, which properties does not have")


def _check_parents(folder: Path, contract: Contract, contracts: Contracts) -> None:
    path = folder / contract.layer / f"{contract.name}.yaml"
    for foreign_key in contract.foreign_keys:
        parent = contracts.get(foreign_key.parent)
        if parent is None or foreign_key.parent_column not in parent.column_names:
            raise ConfigurationError(
                f"{path}: {foreign_key.column}.relationships: no contract has "
                f"{foreign_key.parent}.{foreign_key.parent_column}"
            )
    for column in contract.columns:
        for joined in column.joined_with:
            table, _, name = joined.partition(".")
            if table not in contracts or name not in contracts[table].column_names:
                raise ConfigurationError(f"{path}: {column.name}: joinedWith: no contract has {joined}")
