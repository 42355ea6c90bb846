"""Spark SQL types as Arrow types: the small set that every engine and reader of the lake agrees on."""

import re

import pyarrow as pa

_SIMPLE = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "binary": pa.binary(),
}
_NAMES = {arrow: name for name, arrow in _SIMPLE.items()}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_ARRAY = re.compile(r"array<(.+)>")


def arrow_type(spark_type: str) -> pa.DataType:
    """The Arrow type of a Spark SQL type.

    Raises:
        ValueError: the type is not one that tables of the lake may have.
    """
    if simple := _SIMPLE.get(spark_type):
        return simple
    if decimal := _DECIMAL.fullmatch(spark_type):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if array := _ARRAY.fullmatch(spark_type):
        return pa.list_(pa.field("element", arrow_type(array[1])))
    raise ValueError(f"{spark_type!r} is not one of {', '.join(_SIMPLE)}, decimal(p,s), array<...>")


def spark_type(arrow: pa.DataType) -> str:
    """The reverse of `arrow_type`.

    Raises:
        ValueError: the type is not one that tables of the lake may have.
    """
    if name := _NAMES.get(arrow):
        return name
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if pa.types.is_list(arrow):
        return f"array<{spark_type(arrow.value_type)}>"
    raise ValueError(f"{arrow} is no type of the lake")
