"""Tables written as text, in and out of PySpark.

A header names columns, a row gives their cells, both parted by `|`. Nothing is null; text in double quotes is taken
as it stands, `""` being the empty text. A column's type comes from the contract of `table`, or from its header
(`rate decimal(20,10)`), else it is a string.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from headwater.contracts import Contracts, load_contracts
from headwater.contracts.types import arrow_type

_CONTRACTS = Path(__file__).parent.parent / "config" / "contracts"
_META = {"_row_id": "string", "_ingest_ts": "timestamp", "_run_id": "string", "_source": "string"}


def frame(spark: SparkSession, header: str, *rows: str, table: str | None = None) -> DataFrame:
    """A DataFrame of the rows told; with `table`, that of its contract, whose other columns are null.

    Rows of a Bronze table get what landing adds: unless told otherwise `_row_id` r1, r2, ..., one run and one instant.
    """
    types = _types(table)
    named = [_column(cell, types) for cell in _cells(header)]
    cells = [dict(zip((name for name, _ in named), _cells(row), strict=True)) for row in rows]
    if table is not None:
        named += [(name, kind) for name, kind in types.items() if name not in dict(named)]
    if not rows:  # PySpark reads no schema from an Arrow table without rows
        return spark.createDataFrame([], ", ".join(f"`{name}` {kind}" for name, kind in named))
    schema = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in named])
    columns = {
        name: [_value(row.get(name, _landed(name, number)), kind) for number, row in enumerate(cells, start=1)]
        for name, kind in named
    }
    return spark.createDataFrame(pa.table(columns, schema=schema))


def rows(of: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """The rows of a DataFrame as tuples, in the order of their values; null comes last."""
    selected = of.select(*columns) if columns else of
    found = [tuple(row.values()) for row in selected.toArrow().to_pylist()]
    return sorted(found, key=lambda row: [(value is None, str(value)) for value in row])


def at(instant: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(instant).replace(tzinfo=UTC)


@cache
def _contracts() -> Contracts:
    return load_contracts(_CONTRACTS)


def _types(table: str | None) -> dict[str, str]:
    if table is None:
        return {}
    contract = _contracts()[table]
    own = {column.name: column.type for column in contract.columns}
    return own | _META if contract.layer == "bronze" else own


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


def _column(cell: str, types: dict[str, str]) -> tuple[str, str]:
    name, _, kind = cell.partition(" ")
    return name, kind or types.get(name, "string")


def _landed(name: str, number: int) -> str:
    return {"_row_id": f"r{number}", "_ingest_ts": "2024-11-30", "_run_id": "run-1", "_source": "test"}.get(name, "")


_READ: dict[str, Callable[[str], Any]] = {
    "string": str,
    "boolean": {"true": True, "false": False}.__getitem__,
    "int": int,
    "bigint": int,
    "double": float,
    "date": date.fromisoformat,
    "timestamp": at,
    "array<string>": lambda cell: cell.split(),
}


def _value(cell: str, kind: str) -> Any:
    if cell == "":
        return None
    if cell.startswith('"') and cell.endswith('"'):
        cell = cell[1:-1]
    return Decimal(cell) if kind.startswith("decimal") else _READ[kind](cell)
