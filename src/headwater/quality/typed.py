"""Brings what a function returned to the types and the order of its contract."""

from collections.abc import Mapping, Sequence
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DecimalType

from headwater.contracts import Contract
from headwater.errors import ConfigurationError

VERSION_COLUMNS: Final = ("_row_id", "_ingest_ts", "_run_id", "_input")
"""What a Silver function hands through of each Bronze version, beside the contract's own columns."""
RAW: Final = "_raw_"
"""Prefix of the text that a column was parsed from: text without a value is the rule `<column>:type`."""

_BRONZE_COLUMNS: Final = {"_source", "_ingest_date"}
_WIDER: Final = {
    "tinyint": {"smallint", "int", "bigint", "double"},
    "smallint": {"int", "bigint", "double"},
    "int": {"bigint", "double"},
    "bigint": set[str](),
    "float": {"double"},
    "date": {"timestamp"},
    "timestamp_ntz": {"timestamp"},
}


def typed(rows: DataFrame, contract: Contract) -> DataFrame:
    """Every column of the contract, in its order and its type, then the columns that describe the version.

    In Silver decimals are rounded half away from zero, and a value that does not fit its type becomes null and its text
    is kept in `_raw_<column>`, so that the row breaks `<column>:type`. A Gold function returns the contract's types.

    Raises:
        ConfigurationError: the function lacks a column of the contract, or returns one that it does not have; or, in
            Gold, one of another type.
    """
    held = {field.name: field.dataType for field in rows.schema.fields}
    kept = _kept(contract, held)
    _check(contract, held, kept)
    if contract.layer == "gold":
        return rows.select(*contract.column_names)
    values, texts = [], {name: F.col(name) for name in kept if name.startswith(RAW)}
    for column in contract.columns:
        value, lossless = F.col(column.name), fits(held[column.name], column.type)
        cast = value if held[column.name].simpleString() == column.type else value.try_cast(column.type)
        lost = value.isNotNull() & cast.isNull()
        if not lossless:
            text = F.when(lost, value.cast("string"))
            told = texts.get(RAW + column.name)
            texts[RAW + column.name] = (text if told is None else F.coalesce(told, text)).alias(RAW + column.name)
        values.append(cast.alias(column.name))
    described = [F.col(name) for name in kept if not name.startswith(RAW)]
    return rows.select(*values, *described, *texts.values())


def _kept(contract: Contract, held: Mapping[str, DataType]) -> list[str]:
    """The columns beside the contract's own that later steps read."""
    if contract.layer != "silver":
        return []
    raw = [RAW + column.name for column in contract.columns if RAW + column.name in held]
    deletion = [contract.deletion] if contract.deletion and contract.deletion not in contract.column_names else []
    return [*VERSION_COLUMNS, *deletion, *raw]


def _check(contract: Contract, held: dict[str, DataType], kept: Sequence[str]) -> None:
    if found := [said for _, said in differences(contract, held, kept)]:
        raise ConfigurationError(
            f"{contract.table}: the function {' and '.join(found)}; "
            f"make it and config/contracts/{contract.layer}/{contract.name}.yaml agree"
        )


def differences(
    contract: Contract, held: Mapping[str, DataType], kept: Sequence[str] | None = None
) -> list[tuple[str | None, str]]:
    """How the columns that a function returns differ from its contract, each as what the function does.

    The first of each pair is the column of the contract that it is about; None where the contract has none.
    """
    kept = _kept(contract, held) if kept is None else kept
    found: list[tuple[str | None, str]] = [
        (name if name in contract.column_names else None, f"lacks {name}")
        for name in (*contract.column_names, *kept)
        if name not in held
    ]
    unknown = sorted(held.keys() - {*contract.column_names, *kept} - _BRONZE_COLUMNS)
    found += [(None, f"returns {', '.join(unknown)}, which the contract does not have")] if unknown else []
    for column in contract.columns:
        returned = held[column.name].simpleString() if column.name in held else column.type
        if contract.layer == "gold" and returned != column.type:
            found.append((column.name, f"returns {column.name} as {returned}, where the contract has {column.type}"))
    return found


def fits(held: DataType, wanted: str) -> bool:
    """Whether no value of the one type can be lost in the other (rounding a decimal is not a loss)."""
    name = held.simpleString()
    if name in (wanted, "void") or wanted == "string" or wanted in _WIDER.get(name, ()):
        return True
    return isinstance(held, DecimalType) and wanted.startswith("decimal(") and _widens(held, wanted)


def _widens(held: DecimalType, wanted: str) -> bool:
    precision, scale = (int(digits) for digits in wanted.removeprefix("decimal(").removesuffix(")").split(","))
    # Rounding can carry: 9.99 needs two digits before the point once it has one behind it.
    carry = 1 if scale < held.scale else 0
    return held.precision - held.scale + carry <= precision - scale
