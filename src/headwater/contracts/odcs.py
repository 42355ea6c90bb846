"""Reads contracts and holds them to the standard's own schema, and to what Headwater heeds of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from headwater.config import AwsSettings
from headwater.contracts.columns import columns_of, foreign_keys_of, own_properties
from headwater.contracts.contract import Contract, Promise
from headwater.contracts.files import ContractFile, Place, contract_files
from headwater.contracts.standard import Node, departures, is_of_the_standard, parsed, table_of, unheeded
from headwater.contracts.whole import conserved_of, promised_of
from headwater.errors import ConfigurationError

Contracts: TypeAlias = Mapping[str, Contract]
"""Every contract by its bare name, which exists once over all layers."""

_OWN_PROPERTIES = ("cursor", "tieBreak", "deletion")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, and where: `said` names the key and the fix."""

    file: str
    said: str
    line: int | None = None
    table: str = ""
    """The bare name of the table that it is about, if it is about one."""

    def __str__(self) -> str:
        return f"{self.file}: {self.said}"


@dataclass(frozen=True)
class Read:
    """What was made of some files: the contracts that can be read, the file of each, and everything that is wrong."""

    contracts: Contracts
    files: Mapping[str, ContractFile]
    problems: Sequence[Problem]


@dataclass
class _Findings:
    """Collects what is wrong with one file."""

    file: ContractFile
    problems: list[Problem] = field(default_factory=list)

    def say(self, place: Place, said: str) -> None:
        self.problems.append(Problem(self.file.shown, said, self.file.line(place), self.file.stem))


def load_contracts(location: Path | str, aws: AwsSettings | None = None) -> Contracts:
    """Read every contract of a folder or an `s3://` place, one file a table, in folders named by layer.

    Raises:
        ConfigurationError: a file is not ODCS v3.1 or says what is not heeded, names a missing column, or two files
            share a name; the message names the file and the key.
    """
    read = read_contracts(contract_files(str(location), aws or AwsSettings()))
    if read.problems:
        more = len(read.problems) - 1
        also = f" (and {more} more: `headwater contract check` lists them)" if more else ""
        raise ConfigurationError(f"{read.problems[0]}{also}")
    return read.contracts


def read_contracts(files: Sequence[ContractFile]) -> Read:
    """Make contracts of files, and say everything that is wrong with them."""
    contracts: dict[str, Contract] = {}
    of: dict[str, ContractFile] = {}
    problems: list[Problem] = []
    for file in files:
        contract, found = read_contract(file)
        problems += found
        if contract is None:
            continue
        if taken := contracts.get(contract.name):
            said = f"the name {contract.name} is taken by {taken.table}; choose another"
            problems.append(Problem(file.shown, said, file.line(("schema", 0, "name")), file.stem))
            continue
        contracts[contract.name], of[contract.name] = contract, file
    for name, contract in contracts.items():
        found_here = _Findings(of[name])
        _check_parents(contract, contracts, found_here)
        problems += found_here.problems
    return Read(contracts, of, problems)


def read_contract(file: ContractFile, *, named: bool = True) -> tuple[Contract | None, list[Problem]]:
    """Make a contract of one file, as far as it can be read, and say everything that is wrong with it alone.

    One that lies among others is `named` like its table; any other may have any name.
    """
    found = _Findings(file)
    try:
        document: Any = parsed(file)
    except yaml.YAMLError as error:
        found.say((), f"not YAML: {error}")
        return None, found.problems
    if not is_of_the_standard(document):
        for place, said in departures(document):
            found.say(place, said)
        return None, found.problems
    for place, said in unheeded(document):
        found.say(place, said)
    table = table_of(document)
    if table is None:
        count = len(document.get("schema") or [])
        found.say(("schema",), f"schema has {count} entries, but a contract describes one table")
        return None, found.problems
    contract = _contract(file, document, table, found)
    if named and contract.name and contract.name != file.stem:
        found.say(("schema", 0, "name"), f"schema[0].name is {contract.name}, but the file is named {file.stem}")
    return contract, found.problems


def _contract(file: ContractFile, document: Node, table: Node, found: _Findings) -> Contract:
    properties: list[Node] = table.get("properties") or []
    own = own_properties(table, _OWN_PROPERTIES, ("schema", 0), "", found.say)
    contract = Contract(
        layer=file.layer,
        name=_text(found, ("schema", 0, "name"), "schema[0].name", table.get("name")),
        path=_text(found, ("schema", 0, "physicalName"), "schema[0].physicalName", table.get("physicalName")),
        columns=tuple(columns_of(properties, found.say)),
        key=_ordered(properties, "primaryKey", "primaryKeyPosition", found),
        cursor=own.get("cursor"),
        tie_break=own.get("tieBreak"),
        deletion=own.get("deletion"),
        partition_by=_ordered(properties, "partitioned", "partitionKeyPosition", found),
        foreign_keys=tuple(foreign_keys_of(properties, found.say)),
        conserved=tuple(conserved_of(table, found.say)),
        description=_text(found, ("description",), "description.purpose", _within(document, "description", "purpose")),
        owner=_text(found, ("team",), "team.name", _within(document, "team", "name")),
        promise=promised_of(document, table, found.say),
    )
    _check_roles(contract, found)
    _check_layer(contract, properties, found)
    return contract


def _within(document: Node, block: str, key: str) -> object:
    """A key of a block; a team may also be a bare list of its members, which has no name."""
    held = document.get(block)
    return held.get(key) if isinstance(held, dict) else None


def _text(found: _Findings, place: Place, key: str, value: object) -> str:
    if not value:
        found.say(place, f"{key} is missing")
    return str(value or "")


def _ordered(properties: list[Node], flag: str, position: str, found: _Findings) -> tuple[str, ...]:
    marked = [each for each in properties if each.get(flag)]
    places = [each.get(position) or 1 for each in marked]
    if len(set(places)) < len(places):
        names = ", ".join(str(each["name"]) for each in marked)
        found.say(("schema", 0, "properties"), f"{position}: {names} share a place; number them from 1")
    for number, each in enumerate(properties):
        if position in each and not each.get(flag):
            found.say(("schema", 0, "properties", number, position), f"{each['name']}.{position} without {flag}: true")
    return tuple(str(each["name"]) for each in sorted(marked, key=lambda each: each.get(position) or 1))


def _check_roles(contract: Contract, found: _Findings) -> None:
    for number, column in enumerate(contract.column_names):
        if column in contract.column_names[:number]:
            place = ("schema", 0, "properties", number)
            found.say(place, f"properties has the column {column} more than once")
    roles = {"cursor": contract.cursor, "tieBreak": contract.tie_break}
    if contract.layer == "bronze":
        roles["deletion"] = contract.deletion
    for role, named in roles.items():
        if named is not None and named not in contract.column_names:
            found.say(
                ("schema", 0, "customProperties"),
                f"{role} names the column {named}, which properties does not have",
            )
    dated = contract.promise.of or contract.cursor
    types = {column.name: column.type for column in contract.columns}
    if contract.promise.max_age is not None and types.get(dated or "") not in ("date", "timestamp"):
        found.say(("slaProperties",), "slaProperties: freshness needs an element, the date or timestamp that grows old")
    if contract.layer == "silver" and not contract.key:
        found.say(("schema", 0, "properties"), "no column is primaryKey: Silver keeps one row for each key")


def _check_layer(contract: Contract, properties: list[Node], found: _Findings) -> None:
    """What a contract of this layer may not say, since nothing would hold to it."""
    own = ("schema", 0, "customProperties")
    if contract.layer != "silver" and contract.tie_break:
        found.say(own, f"tieBreak: nothing chooses among versions in {contract.layer}; write it in Silver's contract")
    if contract.layer == "gold" and contract.deletion:
        found.say(own, "deletion: Gold has no versions; write it in Silver's contract")
    if contract.layer != "bronze":
        return
    if contract.promise != Promise():
        found.say(("slaProperties",), "freshness and rowCount: Bronze is not judged; promise them of the Silver table")
    if contract.conserved:
        found.say(("schema", 0, "quality"), "quality: Bronze is not judged; check the Silver or Gold table")
    for number, each in enumerate(properties):
        for key in ("unique", "enum", "quality", "logicalTypeOptions", "relationships", "partitioned"):
            if each.get(key):
                place = ("schema", 0, "properties", number, key)
                found.say(
                    place, f"{each['name']}.{key}: Bronze is as the source told it; write it in Silver's contract"
                )


def _check_parents(contract: Contract, contracts: Contracts, found: _Findings) -> None:
    """That every foreign key refers to the whole key, or a unique column, of a Silver table, in the same type."""
    for foreign_key in contract.foreign_keys:
        number = contract.column_names.index(foreign_key.column)
        place = ("schema", 0, "properties", number, "relationships")
        to = f"{foreign_key.parent}.{foreign_key.parent_column}"
        parent = contracts.get(foreign_key.parent)
        if parent is None or foreign_key.parent_column not in parent.column_names:
            found.say(place, f"{foreign_key.column}.relationships: no contract has {to}")
            continue
        column = parent.column(foreign_key.parent_column)
        if parent.layer != "silver":
            found.say(place, f"{foreign_key.column}.relationships: {parent.table} is no Silver table")
        if parent.key != (column.name,) and not column.unique:
            found.say(place, f"{foreign_key.column}.relationships: {to} is neither the key of {parent.name} nor unique")
        if column.type != (own := contract.column(foreign_key.column)).type:
            found.say(place, f"{foreign_key.column}.relationships: it is {own.type}, but {to} is {column.type}")
    for number, column in enumerate(contract.columns):
        for joined in column.joined_with:
            table, _, name = joined.partition(".")
            if table not in contracts or name not in contracts[table].column_names:
                place = ("schema", 0, "properties", number, "customProperties")
                found.say(place, f"{column.name}: joinedWith: no contract has {joined}")
