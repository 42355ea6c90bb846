"""Text to the types of a contract, column by column, and which rows hold a value that fits no type."""

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Column
from headwater.extract.base_extractor import REJECT_SCHEMA

_WHOLE = r"^\+?(-?[0-9]+)(?:\.0*)?$"
_WITHOUT_ZONE = r"[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$"
_LACKS_ZONE = re.compile(_WITHOUT_ZONE)
_TO_THE_MINUTE = len("2024-11-01 10:00")
_SHOWN = 80


def typed(columns: Sequence[Column], texts: Mapping[str, pa.Array]) -> tuple[dict[str, pa.Array], dict[int, str]]:
    """Cast each column's texts to its type; say for each row that has a value which fits not, which and why.

    Nothing is rounded, cut or guessed: `8.5` is no bigint (`8.0` is 8), `1.23456` no decimal(20,4). White space around
    anything but a string is ignored. An instant told without a zone is UTC. Null stays null; a refused value is null
    in the result.
    """
    arrays: dict[str, pa.Array] = {}
    refused: dict[int, str] = {}
    for column in columns:
        text = texts[column.name]
        arrays[column.name] = array = _cast(text, column.arrow_type)
        if array.null_count == text.null_count:
            continue
        for row in pc.indices_nonzero(pc.and_(array.is_null(), text.is_valid())).to_pylist():
            reason = f"{column.name} is {_shown(text[row].as_py())}, which is no {column.type}"
            refused[row] = f"{refused[row]}; {reason}" if row in refused else reason
    return arrays, refused


def reject_batch(row_ids: list[str], positions: list[str], reasons: list[str], raws: list[bytes]) -> pa.RecordBatch:
    """Rejects as the lake keeps them."""
    values = {"_row_id": row_ids, "position": positions, "reason": reasons, "raw": raws}
    return pa.RecordBatch.from_pydict(values, schema=REJECT_SCHEMA)


def _cast(text: pa.Array, to: pa.DataType) -> pa.Array:
    if to == text.type:
        return text
    if (array := _cast_as_it_is(text, to)) is not None:
        return array
    text = pc.utf8_trim_whitespace(text)
    if pa.types.is_timestamp(to):
        lacking = pc.match_substring_regex(text, _WITHOUT_ZONE)
        text = pc.if_else(lacking, pc.binary_join_element_wise(text, "Z", ""), text)
    if pa.types.is_integer(to):
        whole = pc.match_substring_regex(text, _WHOLE)
        text = pc.if_else(whole, pc.replace_substring_regex(text, _WHOLE, r"\1"), pa.scalar(None, text.type))
    return _cast_or_null(text, to)


def _cast_as_it_is(text: pa.Array, to: pa.DataType) -> pa.Array | None:
    """The cast that most columns need, whose values all fit; None where one has to be looked at."""
    if pa.types.is_integer(to) and pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py():
        return None  # Arrow would also take 0x1F for a number
    try:
        if pa.types.is_timestamp(to) and _are_instants_without_zone(text):
            return pc.cast(text, pa.timestamp(to.unit)).cast(to)
        return pc.cast(text, to)
    except pa.ArrowInvalid:
        return None


def _are_instants_without_zone(text: pa.Array) -> bool:
    """Whether that is worth trying: told to the minute at least, and the first one ends like one."""
    shortest = pc.min(pc.binary_length(text)).as_py()
    return shortest is not None and shortest >= _TO_THE_MINUTE and bool(_LACKS_ZONE.search(_first(text)))


def _first(text: pa.Array) -> str:
    first = next(each for each in text if each.is_valid)
    return str(first.as_py())


def _cast_or_null(text: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast at once; where that fails halve until only the values that don't fit are left, and make these null."""
    try:
        return pc.cast(text, to)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, to)
        half = len(text) // 2
        return pa.concat_arrays([_cast_or_null(text[:half], to), _cast_or_null(text[half:], to)])


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
