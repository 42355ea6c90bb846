"""The Open Data Contract Standard v3.1: is a document one of it, and does it only say what Headwater heeds?

What a contract says is held to or told to people; anything else is refused, for nobody should rely on it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import yaml
from jsonschema_rs import Draft201909Validator

from headwater.contracts.files import ContractFile, Place
from headwater.contracts.types import logical_type
from headwater.errors import ConfigurationError

Node: TypeAlias = Mapping[str, Any]
Finding: TypeAlias = tuple[Place, str]
"""Where something is wrong, and what: the sentence names the key."""

VERSION: Final = "v3.1.0"
# libyaml reads the contracts in a tenth of the time; a build of PyYAML without it still reads them.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_FOR_PEOPLE = {"id", "description", "businessName", "synonyms", "tags", "authoritativeDefinitions", "deprecated"}
_DOCUMENT = {
    *_FOR_PEOPLE, "apiVersion", "kind", "name", "version", "status", "domain", "tenant", "dataProduct", "schema", "team",
    "support", "slaProperties", "contractCreatedTs",
}  # fmt: skip
_TABLE = {
    *_FOR_PEOPLE, "name", "logicalType", "physicalType", "physicalName", "dataGranularityDescription", "properties",
    "quality", "customProperties",
}  # fmt: skip
_COLUMN = {
    *_FOR_PEOPLE, "name", "logicalType", "physicalType", "logicalTypeOptions", "required", "unique", "primaryKey",
    "primaryKeyPosition", "partitioned", "partitionKeyPosition", "classification", "relationships", "quality", "enum",
    "items", "examples", "criticalDataElement", "semanticType", "customProperties",
}  # fmt: skip
_OPTIONS = {"minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_PROMISE = {"id", "property", "value", "unit", "element", "description", "driver"}
_CHECK = {
    "id", "name", "description", "type", "metric", "arguments", "query", "dimension", "businessImpact", "tags", "mustBe",
    "mustBeGreaterOrEqualTo", "mustBeLessOrEqualTo", "mustBeBetween",
}  # fmt: skip
_RELATION = {"id", "type", "to"}
_INSTEAD = {
    "servers": "where the lake lies is the setting `lake`",
    "roles": "who may read is granted where the lake lies",
    "price": "nothing is billed",
    "slaDefaultElement": "name the column in slaProperties[].element",
    "physicalName": "a column is called by its name",
    "encryptedName": "masking is configured by classification",
    "transformLogic": "the table's function computes it",
    "transformSourceObjects": "lineage is read from the table's function",
    "transformDescription": "write it in description",
    "relationships": "write them at the column",
    "format": "write a pattern, or the physicalType",
    "multipleOf": "write the scale into the physicalType",
    "timezone": "every timestamp is UTC",
    "defaultTimezone": "every timestamp is UTC",
    "severity": "the severities are in dq.yaml",
    "schedule": "checks are made before every commit",
    "scheduler": "checks are made before every commit",
}
_IN_FORCE = ("active", "deprecated")


def parsed(file: ContractFile) -> object:
    """The document of a file as JSON would hold it.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    document = yaml.load(file.text, Loader=_LOADER)  # noqa: S506 - both are safe loaders
    return json.loads(json.dumps(document, default=str))  # YAML has dates, the standard has text


def is_of_the_standard(document: object) -> bool:
    """Whether the standard's own JSON schema takes the document."""
    return bool(_validator().is_valid(document))


def departures(document: object) -> list[Finding]:
    """What the standard's schema complains of; the validator that says it well is slow, so only where there is something."""
    from jsonschema import Draft201909Validator as Explaining
    from jsonschema.exceptions import best_match

    errors = list(Explaining(json.loads(_schema().read_text(encoding="utf-8"))).iter_errors(document))
    found: list[Finding] = []
    for error in errors:
        broken = best_match([error]) or error
        key = broken.json_path.removeprefix("$").removeprefix(".") or "the document"
        said = f"{key}: {broken.message[:300]}; see the Open Data Contract Standard, v3.1"
        found.append((tuple(broken.absolute_path), said))
    return found or [((), "not a contract of the standard; see the Open Data Contract Standard, v3.1")]


def unheeded(document: Node) -> Iterator[Finding]:
    """What the standard allows and Headwater does not heed, key by key."""
    if (version := document.get("apiVersion")) != VERSION:
        yield ("apiVersion",), f"apiVersion is {version}; contracts are read as {VERSION}"
    if (status := document.get("status")) not in _IN_FORCE:
        yield (
            ("status",),
            f"status is {status}, but a contract that lies here is in force; set it to {' or '.join(_IN_FORCE)}",
        )
    yield from _beyond(document, (), "", _DOCUMENT)
    for number, promise in enumerate(document.get("slaProperties") or []):
        yield from _beyond(promise, ("slaProperties", number), f"slaProperties[{number}].", _PROMISE)
    for number, table in enumerate(document.get("schema") or []):
        above = ("schema", number)
        yield from _beyond(table, above, f"schema[{number}].", _TABLE)
        yield from _checks(table, above, "")
        for position, field in enumerate(table.get("properties") or []):
            yield from _of_column(field, (*above, "properties", position))


def _of_column(field: Node, place: Place) -> Iterator[Finding]:
    name = f"{field.get('name')}."
    yield from _beyond(field, place, name, _COLUMN)
    options = field.get("logicalTypeOptions") or {}
    yield from _beyond(options, (*place, "logicalTypeOptions"), f"{name}logicalTypeOptions.", _OPTIONS)
    yield from _checks(field, place, name)
    for number, relation in enumerate(field.get("relationships") or []):
        yield from _beyond(relation, (*place, "relationships", number), f"{name}relationships[{number}].", _RELATION)
    spark, logical = field.get("physicalType"), field.get("logicalType")
    if spark and logical and not _same(str(spark), str(logical)):
        yield (
            (*place, "logicalType"),
            f"{name}logicalType is {logical}, but {spark} is {logical_type(str(spark))}; the physicalType counts",
        )


def _checks(node: Node, place: Place, name: str) -> Iterator[Finding]:
    for number, check in enumerate(node.get("quality") or []):
        yield from _beyond(check, (*place, "quality", number), f"{name}quality[{number}].", _CHECK)


def _same(spark: str, logical: str) -> bool:
    try:
        return logical_type(spark) == logical
    except ValueError:
        return True  # said where the type is read


def _beyond(node: Node, place: Place, above: str, heeded: set[str]) -> Iterator[Finding]:
    for key in node:
        if key not in heeded:
            instead = f"; {_INSTEAD[key]}" if key in _INSTEAD else ""
            yield (*place, key), f"{above}{key} is not heeded here, and nothing would hold to it: remove it{instead}"


@cache
def _validator() -> Draft201909Validator:
    return Draft201909Validator(json.loads(_schema().read_text(encoding="utf-8")))


def _schema() -> Path:
    """The standard's JSON schema, from the package that carries it; importing its models would cost half a second."""
    package = find_spec("open_data_contract_standard")
    if package is None or package.origin is None:
        raise ConfigurationError("the package open-data-contract-standard is not installed; run `make` to install it")
    return Path(package.origin).with_name("schema.json")


def table_of(document: object) -> Node | None:
    """The one table that a contract describes; None where it describes none or several."""
    tables: Sequence[Node] = cast("Node", document).get("schema") or []
    return tables[0] if len(tables) == 1 else None
