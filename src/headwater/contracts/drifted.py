"""The columns that a Bronze table gained because its source changed: how they are named and typed."""

from collections.abc import Iterable, Mapping
from typing import Final

import pyarrow as pa

from headwater.contracts.contract import Contract

KINDS: Final[Mapping[str, str]] = {
    "bigint": "bigint",
    "decimal": "decimal(38,10)",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "string": "string",
    "binary": "binary",
}
"""What a source may change a column to, by the word that stands in a name, and the Spark SQL type that it lands in."""

MORE: Final = "more_fields"
"""The column that has as JSON what would be one column too many; no source's own name."""

_BETWEEN: Final = "__"


def kind(told: pa.DataType) -> str:
    """The word of `KINDS` for a type that a source tells; what has no word of its own is text."""
    if pa.types.is_integer(told) or (pa.types.is_decimal(told) and told.scale <= 0):
        return "bigint"
    if pa.types.is_decimal(told):
        return "decimal"
    if pa.types.is_floating(told):
        return "double"
    if pa.types.is_boolean(told):
        return "boolean"
    if pa.types.is_date(told):
        return "date"
    if pa.types.is_timestamp(told):
        return "timestamp"
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return "binary" if any(is_one(told) for is_one in binary) else "string"


def beside(column: str, word: str) -> str:
    """Where the values of a column stand that its own type does not hold: `quantity__string`."""
    return f"{column}{_BETWEEN}{word}"


def beside_of(name: str) -> str | None:
    """The column that a column stands beside; None where it stands for itself. No source's own name has `__`."""
    column, between, word = name.rpartition(_BETWEEN)
    return column if between and column and word in KINDS else None


def beyond(contract: Contract, names: Iterable[str]) -> list[str]:
    """Of a Bronze table's columns those that its contract does not know; names that begin with `_` are our own."""
    known = set(contract.column_names)
    return [name for name in names if name not in known and not name.startswith("_")]


def besides(contract: Contract, names: Iterable[str]) -> dict[str, list[str]]:
    """For each column of a contract the columns that stand beside it, where there are any."""
    found: dict[str, list[str]] = {}
    for name in beyond(contract, names):
        column = beside_of(name)
        if column in contract.column_names:
            found.setdefault(str(column), []).append(name)
    return found
