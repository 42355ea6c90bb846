"""Makes a function a table: its parameters are the tables that it reads, keyword-only ones its settings."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, signature
from typing import Literal, TypeAlias

from pyspark.sql import DataFrame

from headwater.errors import ConfigurationError

Compute: TypeAlias = Callable[..., DataFrame]


@dataclass(frozen=True)
class TableFunction:
    """How a table is computed: `function` takes one DataFrame for each of `inputs`, by name.

    Those in `versions` are Bronze tables that arrive with every landed version and the columns `_row_id`,
    `_ingest_ts`, `_run_id`, `_source`; the function gives back one row for each of them. The other inputs are read
    as they now stand: Bronze with all its versions, Silver with its rows. `settings` are its keyword-only parameters,
    each with a default: what an operator may choose and the rows cannot tell.
    """

    name: str
    layer: Literal["silver", "gold"]
    function: Compute
    inputs: tuple[str, ...]
    versions: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def compute(self, frames: Mapping[str, DataFrame], settings: Mapping[str, object] | None = None) -> DataFrame:
        """The table from its inputs by name, with those of `settings` that it knows; the others do not concern it."""
        known = {name: value for name, value in (settings or {}).items() if name in self.settings}
        return self.function(*(frames[name] for name in self.inputs), **known)


TABLES: dict[str, TableFunction] = {}
"""Every Silver and Gold table by name, once `load_tables` has imported them."""


def silver(name: str, versions: tuple[str, ...] = ()) -> Callable[[Compute], Compute]:
    """Make a function the Silver table `name`; its row versions come from `versions`, or from its first parameter."""

    def register(function: Compute) -> Compute:
        inputs, settings = _parameters(function)
        _register(TableFunction(name, "silver", function, inputs, versions or inputs[:1], settings))
        return function

    return register


def gold(name: str) -> Callable[[Compute], Compute]:
    """Make a function the Gold table `name`, computed from the Silver tables that its parameters name."""

    def register(function: Compute) -> Compute:
        inputs, settings = _parameters(function)
        _register(TableFunction(name, "gold", function, inputs, settings=settings))
        return function

    return register


def load_tables() -> Mapping[str, TableFunction]:
    """Import every module of `transform/silver` and `transform/gold`, and give the tables that they make."""
    for layer in ("silver", "gold"):
        package = import_module(f"headwater.transform.{layer}")
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")
    return TABLES


def _parameters(function: Compute) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of a function's inputs and of its settings."""
    parameters = signature(function).parameters.values()
    settings = tuple(each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY)
    return tuple(each.name for each in parameters if each.name not in settings), settings


def _register(table: TableFunction) -> None:
    where = f"{table.function.__module__}.{table.function.__qualname__}"
    if not table.inputs:
        raise ConfigurationError(f"{where}: {table.layer}.{table.name} reads nothing; name its inputs as parameters")
    if unknown := set(table.versions) - set(table.inputs):
        raise ConfigurationError(f"{where}: versions names {', '.join(sorted(unknown))}, which is no parameter")
    if (taken := TABLES.get(table.name)) is not None and taken.function.__module__ != table.function.__module__:
        raise ConfigurationError(
            f"{where}: the name {table.name} is taken by {taken.function.__module__}; choose another"
        )
    TABLES[table.name] = table
