"""Whom a key means, and where in the lake such a person can stand: read from the contracts and the tables' functions."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headwater.contracts import Contract, Contracts
from headwater.contracts.drifted import beside_of, beyond
from headwater.engine import Table
from headwater.errors import ConfigurationError
from headwater.extract import EXTRACTORS
from headwater.masking.masks import EMBEDDED
from headwater.masking.tokens import TOKENS
from headwater.masking.traces import Spot
from headwater.quality.evidence import SCHEMA as EVIDENCE
from headwater.run.context import Context
from headwater.run.tables import lake_table, quarantine_table, rejects_table
from headwater.transform.table import TableFunction

_KINDS: Final = frozenset({"pii:email", "pii:phone", "pii:name", "pii:address"})
_FREE: Final = frozenset({EMBEDDED, "sensitive"})
_TELLS_APART: Final = frozenset({"_row_id", "_run_id", "_source", "run_id", "target_version", "input", "table", "rule"})
_MESSAGE_KEY: Final = "kafka_key"
_BY_ID: Final = "salesforce"
"""The source whose ids are unique over all its tables: any column of ids may hold one."""


@dataclass(frozen=True)
class Person:
    """The rows with one key of a table: a Silver table, or a Bronze table of which no Silver table is made.

    `column` holds the key there; `bronze` are the Bronze tables that the rows come from.
    """

    contract: Contract
    column: str
    key: str
    bronze: tuple[Contract, ...]

    def column_of(self, contract: Contract) -> str:
        """The column of one of `bronze` that holds the key."""
        return self.column if contract.name == self.contract.name else contract.key[0]

    def names(self, contracts: Contracts) -> tuple[str, ...]:
        """How fields that refer to the person are called."""
        told = {name for contract in contracts.values() for name in self.references(contract)}
        return tuple(sorted({*told, self.column} - {_MESSAGE_KEY, "id"}))

    def references(self, contract: Contract) -> frozenset[str]:
        """The columns of a table whose rows refer to the person by the key."""
        found = {key.column for key in contract.foreign_keys if key.parent == self.contract.name}
        texts = {column.name for column in contract.columns if column.type == "string"}
        if self.column != "id":
            found |= {name for name in texts if name == self.column or name.endswith(f"_{self.column}")}
        if _source(contract) == _BY_ID and any(_source(each) == _BY_ID for each in self.bronze):
            found |= {name for name in texts if name.endswith("_id")}
        if found and _MESSAGE_KEY in texts:
            found.add(_MESSAGE_KEY)
        return frozenset(found) - self.own(contract)

    def own(self, contract: Contract) -> frozenset[str]:
        """The column of a table whose rows with the key are the person's own."""
        if contract.name == self.contract.name:
            return frozenset({self.column})
        if contract.name in {each.name for each in self.bronze}:
            return frozenset({self.column_of(contract)})
        return frozenset()


@dataclass(frozen=True)
class Place:
    """One table of the lake, and where in it to look for each person; `contract` is that of the table or of its neighbour."""

    table: Table
    contract: Contract | None
    spots: tuple[Spot, ...] = ()
    own_bronze: bool = False

    @property
    def is_bronze(self) -> bool:
        return self.contract is not None and self.contract.path == self.table.path and self.contract.layer == "bronze"


def person(told: str, contracts: Contracts, functions: Mapping[str, TableFunction]) -> Person:
    """Whom `customers=C42`, or `customers.customer_id=C42`, means.

    Raises:
        ConfigurationError: it is not of that form, there is no such table, it holds no people, or the column is not its key.
    """
    place, equals, key = told.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(f"--key takes TABLE=KEY, such as customers=C42, not {place}{equals}")
    contract, column = _place(place.strip(), contracts)
    sources = functions[contract.name].versions if contract.layer == "silver" else (contract.name,)
    made = [name for name, each in functions.items() if contract.name in each.versions]
    if contract.layer == "gold" or (contract.layer == "bronze" and made):
        named = functions[contract.name].inputs if contract.layer == "gold" else made
        verb = "is made of" if contract.layer == "gold" else "is what is made into"
        raise ConfigurationError(f"{contract.table} {verb} {', '.join(named)}: name a Silver table of people")
    if not personal_columns(contract, contract.column_names):
        raise ConfigurationError(f"{contract.table} holds no people: its contract classifies no column as pii:")
    bronze = tuple(contracts[name] for name in sources if name in contracts)
    found = Person(contract, _key_column(contract, column), key.strip(), bronze)
    if contract.column(found.column).type != "string":
        raise ConfigurationError(f"{contract.table}.{found.column} is no text: only people with keys of text are found")
    if contract.layer == "silver" and any(len(each.key) != 1 for each in bronze):
        raise ConfigurationError(
            f"{contract.table} is made of rows with a key of several columns: it can't be asked by one"
        )
    return found


def personal_columns(contract: Contract, names: Iterable[str]) -> dict[str, str]:
    """Of a table's columns those that hold values of people, with their classification; also those beside them."""
    kinds = {each.name: each.classification for each in contract.columns}
    told = {name: kinds.get(name) or kinds.get(beside_of(name) or "") for name in names}
    return {name: kind for name, kind in told.items() if kind in _KINDS}


def places(context: Context, persons: Sequence[Person]) -> Iterator[Place]:
    """Every table of the lake, and where in it to look."""
    for contract in context.contracts.values():
        table = lake_table(contract)
        head = context.engine.head(table)
        names = head.schema.names if head else ()
        function = context.functions.get(contract.name)
        needed = _needed(contract, context)
        spots = tuple(_spot(each, contract, names, function, needed) for each in persons)
        own = contract.layer == "bronze" and any(each.own(contract) for each in persons)
        yield Place(table, contract, spots, own_bronze=own)
        if contract.layer == "bronze":
            yield Place(rejects_table(contract), contract, tuple(_rejects(each, contract) for each in persons))
        elif contract.layer == "silver":
            yield Place(quarantine_table(contract), contract, tuple(_quarantine(each, contract) for each in persons))
    spots = tuple(_evidence(each) for each in persons)
    yield Place(Table("_dq_results.forgotten", "_dq_results", EVIDENCE), None, spots)
    yield Place(TOKENS, None)


def _spot(
    person: Person, contract: Contract, names: Sequence[str], function: TableFunction | None, needed: frozenset[str]
) -> Spot:
    own, references = person.own(contract), person.references(contract)
    if contract.layer == "gold" and function is not None and person.contract.name in function.inputs:
        # A Gold table that is made of people's rows has rows of people; whatever goes the next run computes again.
        own, references = references | own, frozenset()
    free = {each.name for each in contract.columns if each.classification in _FREE}
    return Spot(
        own=own,
        references=references,
        personal=personal_columns(contract, names),
        required=needed,
        free=frozenset({*free, *beyond(contract, names)}),
        passed=_TELLS_APART | (frozenset(contract.key) - own - references),
    )


def _needed(contract: Contract, context: Context) -> frozenset[str]:
    """The columns that no row may lack, here or in a Silver table that is made of these rows."""
    made = [context.contracts[name] for name, each in context.functions.items() if contract.name in each.versions]
    held = made if contract.layer == "bronze" else [contract]
    return frozenset(column.name for each in held for column in each.columns if column.required)


def _rejects(person: Person, contract: Contract) -> Spot:
    """Of a person's own table the whole record goes, but not what it is known by: it must not land in the rejects again."""
    own, refers = bool(person.own(contract)), bool(person.references(contract))
    texts = frozenset({"raw", "reason"})
    lines = frozenset({"raw"} if own or refers else ())
    return Spot(free=texts, lines=lines, passed=_TELLS_APART | {"position"}, blanked=own)


def _quarantine(person: Person, contract: Contract) -> Spot:
    own = frozenset({"key"}) if contract.name == person.contract.name else frozenset[str]()
    return Spot(own=own, free=frozenset({"raw", "reason"}), passed=_TELLS_APART)


def _evidence(person: Person) -> Spot:
    """Keys of rows have their names; what an expectation says lists values, in which a number could be any count."""
    lists = frozenset({"validation"}) if not person.key.isdigit() else frozenset[str]()
    return Spot(free=frozenset(EVIDENCE.names) - _TELLS_APART, lines=lists, passed=_TELLS_APART)


def _place(told: str, contracts: Contracts) -> tuple[Contract, str]:
    """The table that a name means, and the column after it, if there is one."""
    known = {name: each for each in contracts.values() for name in (each.name, each.table)}
    if told in known:
        return known[told], ""
    table, _, column = told.rpartition(".")
    if table in known:
        return known[table], column
    near = difflib.get_close_matches(told, known, n=1)
    raise ConfigurationError(f"no contract describes a table {told}" + (f"; did you mean {near[0]}?" if near else ""))


def _key_column(contract: Contract, told: str) -> str:
    """The column by which a table's people are told apart: its key, or, where that is a place in a file, the one told."""
    of_rows = [name for name in contract.key if not name.startswith("_")]
    if len(of_rows) == 1 and told in ("", of_rows[0]):
        return of_rows[0]
    if of_rows:
        asked = f"{contract.table}.{told} is not the key" if told else f"{contract.table} has no key of one column"
        raise ConfigurationError(f"{asked}: its rows are told apart by {', '.join(of_rows)}")
    asked_for = [each.name for each in contract.columns if each.required and each.type == "string"]
    candidates = [name for name in asked_for if not name.startswith("_")]
    if told not in candidates:
        raise ConfigurationError(
            f"the rows of {contract.table} are told apart by their place in a file: say whose you mean by "
            + " or ".join(f"{contract.name}.{name}=…" for name in candidates)
        )
    return told


def _source(contract: Contract) -> str:
    return EXTRACTORS[contract.name].name if contract.name in EXTRACTORS else ""
