"""Where the values of a source stand that do not fit their column, or that have none in the contract."""

import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Column
from headwater.contracts.drifted import KINDS, beside, kind
from headwater.extract.fitted import fitted

_BIGINT_DIGITS = 19


def divided(
    column: Column, values: pa.Array, declared: pa.DataType | None
) -> tuple[pa.Array, dict[str, pa.Array], dict[int, str]]:
    """A column's values in its type; those that don't fit it in columns beside it; and why a row fits nowhere.

    A value goes beside only where its source declares a type whose values the column's can't all hold: elsewhere
    what does not fit is no value of its column, and refuses its row. Each value is judged by itself, so that a row's
    identity does not depend on the rows that it came with.
    """
    values = plain(values)
    array, refused = _fitted(column, values)
    if not refused or declared is None or _holds(column.arrow_type, declared):
        return array, {}, refused
    besides: dict[str, pa.Array] = {}
    for word in dict.fromkeys((kind(declared), *_wider(declared), "string")):
        if not refused or KINDS[word] == column.type:
            continue
        rest = pc.if_else(_at(refused, len(values)), values, pa.scalar(None, values.type))
        other, refused = _fitted(Column(column.name, KINDS[word]), rest)
        if other.null_count < len(other):
            besides[beside(column.name, word)] = other
    return array, besides, refused


def arrived(name: str, values: pa.Array, declared: pa.DataType | None) -> dict[str, pa.Array]:
    """A column that no contract knows, in the type that its source tells, and beside it what that does not hold.

    A source that tells only text has text; nested values are their JSON; a column of nothing at all has no type yet,
    and is not there.
    """
    values = plain(values)
    told = declared or values.type
    if pa.types.is_null(told):
        return {}
    array, besides, _ = divided(Column(name, KINDS[kind(told)]), values, told)
    return {name: array, **besides}


def plain(values: pa.Array) -> pa.Array:
    """Values of a kind that the lake lacks (nested, times of day, durations) as text: nested ones as their JSON."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type):
        texts = [None if each is None else _json(each) for each in values.to_pylist()]
        return pa.array(texts, pa.string())
    if pa.types.is_time(values.type) or pa.types.is_duration(values.type) or pa.types.is_interval(values.type):
        return pa.array([None if each is None else str(each) for each in values.to_pylist()], pa.string())
    return values


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))


def _fitted(column: Column, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """As `fitted`; where no value of this kind can become that type, none of them fits."""
    try:
        return fitted(column, values)
    except pa.ArrowNotImplementedError:
        reason = f"{column.name} is {values.type}, which is no {column.type}"
        rows = pc.indices_nonzero(values.is_valid()).to_pylist()
        return pa.nulls(len(values), column.arrow_type), dict.fromkeys(rows, reason)


def _at(rows: Mapping[int, str], length: int) -> pa.Array:
    return pa.array([row in rows for row in range(length)])


def _wider(declared: pa.DataType) -> tuple[str, ...]:
    return ("decimal",) if pa.types.is_integer(declared) or pa.types.is_decimal(declared) else ()


def _holds(own: pa.DataType, declared: pa.DataType) -> bool:
    """Whether every value of a type that a source declares is one of the column's own."""
    same = ("string", "boolean", "date", "timestamp", "double", "binary")
    if kind(own) == "timestamp" and kind(declared) == "date":
        return True
    if kind(own) == kind(declared) and kind(own) in same:
        return True
    if pa.types.is_integer(own) and pa.types.is_integer(declared):
        unsigned = pa.types.is_unsigned_integer(declared)
        return bool(declared.bit_width < own.bit_width or (declared.bit_width == own.bit_width and not unsigned))
    if pa.types.is_integer(own) and pa.types.is_decimal(declared):
        return bool(declared.scale <= 0 and declared.precision < _BIGINT_DIGITS and own == pa.int64())
    if pa.types.is_decimal(own) and (pa.types.is_decimal(declared) or pa.types.is_integer(declared)):
        scale = declared.scale if pa.types.is_decimal(declared) else 0
        precision = declared.precision if pa.types.is_decimal(declared) else _BIGINT_DIGITS
        return bool(scale <= own.scale and precision - scale <= own.precision - own.scale)
    return False
