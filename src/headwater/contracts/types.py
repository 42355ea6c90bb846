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
_WIDER = {"int": {"bigint", "double"}, "date": {"timestamp"}}
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


def logical_type(spark_type: str) -> str:
    """What the standard calls a Spark SQL type: its `logicalType`.

    Raises:
        ValueError: the type is not one that tables of the lake may have.
    """
    arrow_type(spark_type)
    if spark_type.startswith("array"):
        return "array"
    if spark_type.startswith("decimal") or spark_type == "double":
        return "number"
    return {"int": "integer", "bigint": "integer", "binary": "string"}.get(spark_type, spark_type)


def widens(narrow: str, wide: str) -> bool:
    """Whether every value of one Spark SQL type is one of the other too, digit by digit."""
    if narrow == wide or wide in _WIDER.get(narrow, ()):
        return True
    before, after = _DECIMAL.fullmatch(narrow), _DECIMAL.fullmatch(wide)
    if before and after:
        digits, scale = int(before[1]), int(before[2])
        return digits - scale <= int(after[1]) - int(after[2]) and scale <= int(after[2])
    inner, outer = _ARRAY.fullmatch(narrow), _ARRAY.fullmatch(wide)
    return bool(inner and outer and widens(inner[1], outer[1]))
