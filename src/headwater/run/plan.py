"""Which tables a run moves, and which must come before which: read from the functions and the contracts."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from headwater.config import Settings
from headwater.contracts import Contracts
from headwater.errors import ConfigurationError
from headwater.extract import EXTRACTORS
from headwater.transform.table import TableFunction


@dataclass(frozen=True)
class Plan:
    """The tables of a run, each with those of them that it depends on.

    `needs` also holds what is not in this run, but must have landed before: every table above that enabled sources
    reach.
    """

    depends_on: Mapping[str, frozenset[str]]
    needs: Mapping[str, frozenset[str]]

    def tables(self) -> tuple[str, ...]:
        return tuple(self.depends_on)


@dataclass(frozen=True)
class Neighbours:
    """One step of lineage: what a table is made from (a source, for Bronze), what it refers to, and what is made of it."""

    above: tuple[str, ...]
    refers_to: tuple[str, ...]
    below: tuple[str, ...]


def neighbours(table: str, contracts: Contracts, functions: Mapping[str, TableFunction]) -> Neighbours:
    """The tables next to one, by their full names; read from the functions' parameters and the contract's foreign keys."""
    contract = contracts[table]
    if contract.layer == "bronze":
        above: tuple[str, ...] = (EXTRACTORS[table].name,) if table in EXTRACTORS else ()
    else:
        above = tuple(contracts[name].table for name in functions[table].inputs)
    parents = dict.fromkeys(contracts[key.parent].table for key in contract.foreign_keys)
    below = (contracts[name].table for name, function in functions.items() if table in function.inputs)
    return Neighbours(above, tuple(parents), tuple(sorted(below)))


def everything_below(table: str, contracts: Contracts, functions: Mapping[str, TableFunction]) -> tuple[str, ...]:
    """All that is made of a table or refers to it, near or far, by their bare names, each after those it depends on."""
    above = {
        name: {*function.inputs, *(key.parent for key in contracts[name].foreign_keys)}
        for name, function in functions.items()
        if name in contracts
    }
    found = {table}
    while more := {name for name, needs in above.items() if needs & found} - found:
        found |= more
    order = TopologicalSorter({name: above[name] & found for name in sorted(found) if name in above})
    return tuple(name for name in order.static_order() if name != table)


def planned(
    settings: Settings, contracts: Contracts, functions: Mapping[str, TableFunction], select: tuple[str, ...] | None
) -> Plan:
    """Plan every table that an enabled table of an enabled source reaches, or those of them that are selected.

    A Silver table whose versions come from disabled tables alone is left out; those below read it as empty.

    Raises:
        ConfigurationError: a function has no contract, reads what no contract describes, or nothing is left to do.
    """
    enabled = settings.data_sources.enabled()
    bronze = {name for name, source in EXTRACTORS.items() if source.name in enabled and settings.table(name).enabled}
    edges: dict[str, frozenset[str]] = {name: frozenset() for name in EXTRACTORS if name in bronze}
    for name, function in functions.items():
        if (contract := contracts.get(name)) is None:
            raise ConfigurationError(
                f"{function.layer}.{name} has no contract; write config/contracts/{function.layer}/{name}.yaml"
            )
        above = {*function.inputs, *(key.parent for key in contract.foreign_keys)}
        if unknown := above - contracts.keys():
            raise ConfigurationError(
                f"{function.layer}.{name} reads {', '.join(sorted(unknown))}, which no contract describes"
            )
        if function.layer == "gold" or bronze & set(function.versions):
            edges[name] = frozenset(above)
    chosen = {name: above for name, above in edges.items() if select is None or name in select}
    if not chosen:
        raise ConfigurationError("there is nothing to run: no source is enabled that the selected tables come from")
    return Plan(
        depends_on={name: above & chosen.keys() for name, above in chosen.items()},
        needs={name: above & edges.keys() for name, above in chosen.items()},
    )
