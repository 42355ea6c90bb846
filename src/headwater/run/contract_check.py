"""Holds the code against the contracts: functions, sources, limits. Nothing of the lake or of a source is read."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.config import Settings
from headwater.contracts import Contract, Contracts
from headwater.contracts.files import contract_files, line_of
from headwater.contracts.odcs import Problem, Read, read_contracts
from headwater.contracts.schema_contracts import contracts_location, dq_document
from headwater.engine.embedded import EmbeddedEngine
from headwater.extract import EXTRACTORS
from headwater.object_store import Place
from headwater.quality.limits import Finding, Limits, place_of, read_limits
from headwater.quality.rules import rules
from headwater.quality.typed import differences
from headwater.run.trial import Failed, Trials
from headwater.transform.table import TableFunction, load_tables


@dataclass(frozen=True)
class CheckedTable:
    """What of a table was held against its contract; `tried` says how its columns were."""

    table: str
    columns: int
    rules: int
    references: int
    inputs: tuple[str, ...]
    tried: str


@dataclass(frozen=True)
class ContractCheck:
    location: str
    tables: tuple[CheckedTable, ...]
    problems: tuple[Problem, ...]


def contract_check(settings: Settings, select: Sequence[str] = ()) -> ContractCheck:
    """Check every table, or those that are selected by their bare names, and list everything that is wrong.

    Raises:
        ConfigurationError: there are no contracts or no `dq.yaml` to check.
    """
    location = contracts_location(settings)
    read = read_contracts(contract_files(location, settings.aws))
    functions = load_tables()
    limits, unknown = read_limits(dq_document(settings.dq), read.contracts)
    problems = [*read.problems, *_of_limits(settings.dq, unknown, read.contracts)]
    problems += _of_settings(settings, read.contracts)
    problems += [*_without_contract(read, functions, location), *_without_table(read, functions), *_of_sources(read)]
    chosen = [each for each in read.contracts.values() if not select or each.name in select]
    computed = [each.name for each in chosen if each.name in functions]
    with (
        EmbeddedEngine(Place(str(settings.state / "contract-check"))) as engine,
        Trials(engine.session, functions) as trials,
    ):
        for name in computed:
            problems += _of_function(trials, functions[name], read)
            problems += _of_expectations(trials, read.contracts[name], limits, settings.dq)
    kept = [each for each in problems if not select or each.table in select]
    return ContractCheck(location, tuple(_told(each, functions) for each in chosen), tuple(kept))


def _told(contract: Contract, functions: Mapping[str, TableFunction]) -> CheckedTable:
    function = functions.get(contract.name)
    source = EXTRACTORS[contract.name].name if contract.name in EXTRACTORS else ""
    return CheckedTable(
        table=contract.table,
        columns=len(contract.columns),
        rules=0 if contract.layer == "bronze" else len(rules(contract)) - len(contract.foreign_keys),
        references=len(contract.foreign_keys),
        inputs=function.inputs if function else (source,) if source else (),
        tried="its function was run on empty inputs" if function else "by itself; its source is not asked",
    )


def _of_limits(path: Path, unknown: Sequence[Finding], contracts: Contracts) -> Iterator[Problem]:
    """What `dq.yaml` names and is not there."""
    text = path.read_text(encoding="utf-8")
    for key, said in unknown:
        place = place_of(key)
        table = place[1].rpartition(".")[2] if place[0] == "tables" and len(place) > 1 else ""
        yield Problem(str(path), f"{key}{said}", line_of(text, place), table if table in contracts else "")


def _of_expectations(trials: Trials, contract: Contract, limits: Limits | None, path: Path) -> Iterator[Problem]:
    """The operator's queries that cannot be put to a table: at a run they would close the gate."""
    asked = {} if limits is None else limits.tables[contract.name].expectations
    found = {
        f"tables.{contract.table}.expectations.{name}.sql": f": cannot be asked of {contract.table}: {wrong}"
        for name, expectation in asked.items()
        if (wrong := trials.is_counted(expectation, contract)) is not None
    }
    return _of_limits(path, [*found.items()], {contract.name: contract})


def _of_settings(settings: Settings, contracts: Contracts) -> Iterator[Problem]:
    for name in settings.tables:
        if name not in contracts or contracts[name].layer != "bronze":
            yield Problem(settings.origin(f"tables.{name}"), f"tables.{name} is not a Bronze table; remove it")


def _without_contract(read: Read, functions: Mapping[str, TableFunction], location: str) -> Iterator[Problem]:
    """Functions, their inputs and sources' tables that no contract describes."""
    broken = {problem.table for problem in read.problems}
    for name, function in functions.items():
        file, line = _written(function)
        if name not in read.contracts:
            if name not in broken:
                said = f"{function.layer}.{name} has no contract; write {location}/{function.layer}/{name}.yaml"
                yield Problem(file, said, line, name)
        elif read.contracts[name].layer != function.layer:
            said = (
                f"{name} is a {function.layer} table, but its contract lies in {read.contracts[name].layer}/; move it"
            )
            yield Problem(file, said, line, name)
        for each in function.inputs:
            if each not in read.contracts and each not in broken:
                yield Problem(file, f"{function.layer}.{name} reads {each}, which no contract describes", line, name)
    for name in EXTRACTORS:
        if name not in read.contracts and name not in broken:
            source = EXTRACTORS[name].name
            said = f"bronze.{name}, a table of {source}, has no contract; write {location}/bronze/{name}.yaml"
            yield Problem("src/headwater/extract/__init__.py", said, None, name)


def _without_table(read: Read, functions: Mapping[str, TableFunction]) -> Iterator[Problem]:
    """Contracts of tables that nothing makes."""
    for name, contract in read.contracts.items():
        made = EXTRACTORS if contract.layer == "bronze" else functions
        if name not in made:
            what = "no source has such a table" if contract.layer == "bronze" else "no function makes this table"
            fix = "remove the contract, or write what makes it"
            yield _problem(read, contract, ("schema", 0, "name"), f"schema[0].name: {name}: {what}; {fix}")


def _of_sources(read: Read) -> Iterator[Problem]:
    """What a source's way of being read needs of its table's contract."""
    for name, source in EXTRACTORS.items():
        contract = read.contracts.get(name)
        if contract is None or not source.extractor.by_cursor:
            continue
        types = {column.name: column.type for column in contract.columns}
        if types.get(contract.cursor or "") != "timestamp":
            said = f"cursor: {source.name} is read by a timestamp; name one of its columns as the cursor"
            yield _problem(read, contract, ("schema", 0, "customProperties"), said)


def _of_function(trials: Trials, function: TableFunction, read: Read) -> Iterator[Problem]:
    """How what a function returns differs from its contract, tried on inputs as their contracts have them."""
    contract = read.contracts[function.name]
    if any(name not in read.contracts for name in function.inputs):
        return
    file, line = _written(function)
    try:
        held = trials.returned(function.name, read.contracts)
    except Failed as failed:
        said = f"{contract.table} cannot be computed from its inputs as their contracts have them: {failed}"
        yield Problem(file, said, line, contract.name)
        return
    for column, did in differences(contract, held):
        fix = f"make it and {read.files[contract.name].shown} agree"
        if column is None:
            yield Problem(file, f"{contract.table}: the function {did}; {fix}", line, contract.name)
        else:
            place = ("schema", 0, "properties", contract.column_names.index(column))
            yield _problem(read, contract, place, f"{column}: the function {did}; make it and {file}:{line} agree")
    for number, each in enumerate(contract.conserved):
        if (wrong := trials.is_answered(each.query, contract, read.contracts)) is not None:
            said = f"quality[{number}].query: {each.name} cannot be asked of the table and its inputs: {wrong}"
            yield _problem(read, contract, ("schema", 0, "quality", number, "query"), said)


def _problem(read: Read, contract: Contract, place: Sequence[str | int], said: str) -> Problem:
    file = read.files[contract.name]
    return Problem(file.shown, said, file.line(place), contract.name)


def _written(function: TableFunction) -> tuple[str, int]:
    """The file and the line where a function begins."""
    return str(inspect.getsourcefile(function.function)), inspect.getsourcelines(function.function)[1]
