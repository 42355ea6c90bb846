"""Shows a Bronze table to functions as its contract describes it, whatever its source has changed meanwhile."""

from typing import Final

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.contracts.contract import Column
from headwater.contracts.drifted import besides, beyond

_INTEGERS: Final = ("int", "bigint")
_NUMBERS: Final = (*_INTEGERS, "double")


def presented(bronze: DataFrame, contract: Contract) -> DataFrame:
    """The contract's columns in its types, then our own (`_row_id` and its kin); what it does not know is hidden.

    A value that stands beside its column, because the source changed its type, is in its column again where it can be
    cast; a column that the table lacks is null.
    """
    held = dict(bronze.dtypes)
    beside = besides(contract, held)
    if not beyond(contract, held) and all(held.get(column.name) == column.type for column in contract.columns):
        return bronze
    own = [F.col(name) for name in held if name.startswith("_") and name not in contract.column_names]
    columns = [_value(column, held, beside.get(column.name, [])).alias(column.name) for column in contract.columns]
    return bronze.select(*columns, *own)


def unreadable(bronze: DataFrame, contract: Contract, names: set[str]) -> dict[str, Expression]:
    """For columns among `names` the text of a value that stands beside its column and can't be cast to its type."""
    held = dict(bronze.dtypes)
    found = {}
    for name, others in besides(contract, held).items():
        if name in names:
            value = _value(contract.column(name), held, others)
            told = F.coalesce(*(F.col(other).cast("string") for other in others))
            found[name] = F.when(value.isNull(), told)
    return found


def _value(column: Column, held: dict[str, str], others: list[str]) -> Expression:
    there = [name for name in (column.name, *others) if name in held]
    if not there:
        return F.lit(None).cast(column.type)
    return F.coalesce(*(_cast(name, held[name], column.type) for name in there))


def _cast(name: str, held: str, wanted: str) -> Expression:
    """A column in another type; null where that says something else: a part of a number cut off, a number as an instant."""
    value = F.col(name)
    if held == wanted:
        return value
    number, instant = held in _NUMBERS or held.startswith("decimal"), held in ("date", "timestamp")
    if (number and wanted in ("date", "timestamp")) or (
        instant and (wanted in _NUMBERS or wanted.startswith("decimal"))
    ):
        return F.lit(None).cast(wanted)
    if wanted in _INTEGERS and number:
        return F.when(value == F.floor(value), value).try_cast(wanted)
    if held == "string" and wanted not in ("string", "binary"):
        value = F.trim(value)
        if wanted in _INTEGERS:
            value = F.when(value.rlike(r"^[+-]?[0-9]+(\.0*)?$"), F.regexp_replace(value, r"\.0*$", ""))
    return value.try_cast(wanted)
