"""Brings what a function returned to the types and the order of its contract."""

from collections.abc import Sequence
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

    Decimals are rounded half away from zero. In Silver a value that does not fit its type becomes null and its text
    is kept in `_raw_<column>`, so that the row breaks `<column>:type`; in Gold it fails the query.

    Raises:
        ConfigurationError: the function lacks a column of the contract, or returns one that it does not have.
    """
    held = {field.name: field.dataType for field in rows.schema.fields}
    kept = _kept(contract, held)
    _check(contract, held, kept)
    values, texts = [], {name: F.col(name) for name in kept if name.startswith(RAW)}
    for column in contract.columns:
        value, fits = F.col(column.name), _fits(held[column.name], column.type)
        cast = value if held[column.name].simpleString() == column.type else value.try_cast(column.type)
        lost = value.isNotNull() & cast.isNull()
        if not fits and contract.layer == "silver":
            text = F.when(lost, value.cast("string"))
            told = texts.get(RAW + column.name)
            texts[RAW + column.name] = (text if told is None else F.coalesce(told, text)).alias(RAW + column.name)
        elif not fits:
            message = F.lit(f"{contract.table}.{column.name}: a value does not fit {column.type}")
            cast = F.when(lost, F.raise_error(message).cast(column.type)).otherwise(cast)
        values.append(cast.alias(column.name))
    described = [F.col(name) for name in kept if not name.startswith(RAW)]
    return rows.select(*values, *described, *texts.values())


def _kept(contract: Contract, held: dict[str, DataType]) -> list[str]:
    """The columns beside the contract's own that later steps read."""
    if contract.layer != "silver":
        return []
    raw = [RAW + column.name for column in contract.columns if RAW + column.name in held]
    deletion = [contract.deletion] if contract.deletion and contract.deletion not in contract.column_names else []
    return [*VERSION_COLUMNS, *deletion, *raw]


def _check(contract: Contract, held: dict[str, DataType], kept: Sequence[str]) -> None:
    missing = [name for name in (*contract.column_names, *kept) if name not in held]
    unknown = sorted(held.keys() - {*contract.column_names, *kept} - _BRONZE_COLUMNS)
    if missing or unknown:
        found = [f"lacks {', '.join(missing)}"] if missing else []
        found += [f"returns {', '.join(unknown)}, which the contract does not have"] if unknown else []
        raise ConfigurationError(
            f"{contract.table}: the function {' and '.join(found)}; "
            f"make it and config/contracts/{contract.layer}/{contract.name}.yaml agree"
        )


def _fits(held: DataType, wanted: str) -> bool:
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
