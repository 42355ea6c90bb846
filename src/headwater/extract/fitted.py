"""Arrow values in the type of a column, exactly, and which rows hold a value that fits not."""

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Column
from headwater.extract.from_text import typed

_WIDEST = 38
_SHOWN = 80


def fitted(column: Column, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """A column's values in its contract's type, null where one does not fit, and why for each such row.

    Raises:
        pa.ArrowNotImplementedError: no value of this kind can become that type.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if pa.types.is_string(values.type):
        arrays, refused = typed([column], {column.name: values})
        return arrays[column.name], refused
    array = _cast_or_null(values, column.arrow_type)
    if array.null_count == values.null_count:
        return array, {}
    rows = pc.indices_nonzero(pc.and_(array.is_null(), values.is_valid())).to_pylist()
    return array, {row: f"{column.name} is {_shown(values[row])}, which is no {column.type}" for row in rows}


def _cast_or_null(values: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast at once; where that fails halve until only the values that don't fit are left, and make these null."""
    try:
        return _cast(values, to)
    except pa.ArrowNotImplementedError:
        raise
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.nulls(1, to)
        half = len(values) // 2
        return pa.concat_arrays([_cast_or_null(values[:half], to), _cast_or_null(values[half:], to)])


def _cast(values: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast without loss, or raise ArrowInvalid."""
    kind = values.type
    if kind == to:
        return values
    if not pa.types.is_null(kind) and not _comparable(kind, to):
        raise pa.ArrowNotImplementedError(f"{kind} is another kind of value than {to}")
    if pa.types.is_decimal(to) and pa.types.is_integer(kind):
        return values.cast(pa.decimal128(_WIDEST, 0)).cast(to)
    if pa.types.is_decimal(to) and pa.types.is_floating(kind):
        return values.cast(pa.string()).cast(to)
    if pa.types.is_timestamp(to) and pa.types.is_timestamp(kind):
        return (pc.floor_temporal(values, unit="microsecond") if kind.unit == "ns" else values).cast(to)
    if pa.types.is_boolean(to) and pa.types.is_integer(kind):
        return _unchanged(values.cast(to), kind, values, "only 0 and 1 are truth values")
    if pa.types.is_date(to) and pa.types.is_timestamp(kind):
        micros = pa.timestamp("us")
        return _unchanged(values.cast(to), micros, values.cast(micros), "an instant within a day is no date")
    return values.cast(to)


def _comparable(kind: pa.DataType, to: pa.DataType) -> bool:
    """Whether a value of one type can be one of the other: a number is no instant, and an instant no number."""
    if pa.types.is_temporal(to):
        return bool(pa.types.is_temporal(kind))
    if pa.types.is_boolean(to):
        return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind))
    return not pa.types.is_temporal(kind) or bool(pa.types.is_string(to))


def _unchanged(cast: pa.Array, back: pa.DataType, values: pa.Array, reason: str) -> pa.Array:
    """What was cast, if it is the same when cast back."""
    if not pc.all(pc.equal(cast.cast(back), values), min_count=0).as_py():
        raise pa.ArrowInvalid(reason)
    return cast


def _shown(value: pa.Scalar) -> str:
    text = str(value.as_py())
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
