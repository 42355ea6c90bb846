"""Arrow columns out of numpy arrays, without a Python object per row.

`pyarrow.array` imports pandas, half a second of everybody's first run: here columns are made of their buffers.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from headwater.sandbox.datasets.draws import Ints, Mask

DAY = 86_400_000_000
HOUR = 3_600_000_000
MINUTE = 60_000_000
SECOND = 1_000_000

_Bytes = NDArray[np.uint8]
_FIRST_DAY = 14_610
"""2010-01-01 in days since 1970: the first of those whose spelling is looked up."""


def micros(at: datetime) -> int:
    """A UTC instant as microseconds since 1970."""
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def integers(values: Ints, kind: pa.DataType | None = None) -> pa.Array:
    """64-bit integers as such, or as another type of fixed width."""
    column = pa.Array.from_buffers(
        pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values, np.int64))]
    )
    return column if kind is None else column.cast(kind)


def flags(values: Mask) -> pa.Array:
    """Booleans."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _packed(values)])


def texts(values: Sequence[str | bytes | None]) -> pa.Array:
    """A few strings (binary where one is bytes), some of them null."""
    kind = pa.binary() if any(isinstance(value, bytes) for value in values) else pa.string()
    raw = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    ends = np.cumsum([0, *(len(value) for value in raw)]).astype(np.int32)
    valid = _packed(np.array([value is not None for value in values], dtype=np.bool_))
    return pa.Array.from_buffers(kind, len(raw), [valid, pa.py_buffer(ends), pa.py_buffer(b"".join(raw))])


def text(value: str) -> pa.Scalar:
    """One string."""
    return texts([value])[0]


def instants(us: Ints, null: Mask | None = None) -> pa.Array:
    """Microseconds since 1970 as timestamps."""
    column = integers(us, pa.timestamp("us", tz="UTC"))
    return column if null is None else nulled(column, null)


def dates(us: Ints) -> pa.Array:
    """The UTC dates of instants."""
    return integers(us // DAY, pa.int32()).cast(pa.date32())


def money(cents: Ints, precision: int, scale: int = 2) -> pa.Array:
    """Whole hundredths (or other units of 10^-scale) as decimals."""
    words = np.empty((len(cents), 2), dtype="<i8")
    words[:, 0] = cents
    words[:, 1] = cents >> 63
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(cents), [None, pa.py_buffer(words)])


def numbers(column: pa.ChunkedArray) -> Ints:
    """The reverse of `integers`, of `instants` and of dates: a column without nulls as 64-bit integers."""
    wide = column if column.type.bit_width == 64 else column.cast(pa.int32()).cast(pa.int64())
    return _words(wide, 1).view(np.int64)


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of doubles without nulls."""
    return _words(column, 1).view(np.float64)


def units(column: pa.ChunkedArray) -> Ints:
    """The reverse of `money`: a decimal column without nulls as whole units of its last digit."""
    return _words(column, 2).view(np.int64)


def _words(column: pa.ChunkedArray, width: int) -> NDArray[np.uint64]:
    """The first of every `width` 64-bit words of a column."""
    parts = [np.zeros(0, dtype=np.uint64)]
    for chunk in column.chunks:
        ends = chunk.offset * width, (chunk.offset + len(chunk)) * width
        parts.append(np.frombuffer(chunk.buffers()[1], np.uint64)[ends[0] : ends[1] : width])
    return np.concatenate(parts)


def choose(values: Sequence[str | bytes | None], at: ArrayLike) -> pa.Array:
    """The value at each position."""
    return texts(values).take(integers(np.asarray(at, dtype=np.int64)))


def nulled(column: pa.Array, where: Mask) -> pa.Array:
    """The column, null where told."""
    return pc.if_else(flags(where), pa.nulls(1, column.type)[0], column)


def replaced(column: pa.Array, where: Mask, by: pa.Array | str) -> pa.Array:
    """The column, with another value where told."""
    return pc.if_else(flags(where), text(by) if isinstance(by, str) else by, column)


def amended(column: pa.Array, where: Mask, made: Callable[[Ints], pa.Array]) -> pa.Array:
    """The column, with what is `made` at the positions told; for few of them, as only these are made."""
    at = np.flatnonzero(where)
    if not len(at):
        return column
    by = made(at)
    return pc.replace_with_mask(column, flags(where), by if by.type.equals(column.type) else by.cast(column.type))


def joined(*parts: pa.Array | str) -> pa.Array:
    """The parts of each row, one after the other, as bytes if a part is bytes; null where one of them is."""
    columns = [*(text(part) if isinstance(part, str) else part for part in parts), text("")]
    if any(pa.types.is_binary(column.type) for column in columns):
        columns = [column.cast(pa.binary()) for column in columns]
    return pc.binary_join_element_wise(*columns)


def decimal_text(number: Ints) -> pa.Array:
    """The number as it is written, without leading zeros."""
    return integers(number).cast(pa.string())


def padded(prefix: str, number: Ints, width: int, suffix: str = "") -> pa.Array:
    """`prefix`, the number in `width` digits with leading zeros, `suffix`."""
    return _text(_constant(prefix, len(number)), _digits(number, width), _constant(suffix, len(number)))


def hexadecimal(prefix: str, number: NDArray[np.uint64], width: int) -> pa.Array:
    """`prefix` and the number's lowest `width` hexadecimal digits."""
    shifts = np.arange(width - 1, -1, -1, dtype=np.uint64) * np.uint64(4)
    nibbles = ((number[:, None] >> shifts) & np.uint64(15)).astype(np.uint8)
    return _text(_constant(prefix, len(number)), np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles])


def iso_millis(us: Ints, zone: str = "Z") -> pa.Array:
    """`2024-11-01T12:34:56.789Z`, or another word for the zone."""
    n = len(us)
    clock = _clock_texts(":")[us % DAY // SECOND]
    parts = (_days(us, "-"), _constant("T", n), clock, _constant(".", n), _digits(us // 1000 % 1000, 3))
    return _text(*parts, _constant(zone, n))


def compact_seconds(prefix: str, us: Ints, suffix: str = "") -> pa.Array:
    """`prefix`, `20241101123456`, `suffix`."""
    n = len(us)
    clock = _clock_texts("")[us % DAY // SECOND]
    return _text(_constant(prefix, n), _days(us, ""), clock, _constant(suffix, n))


def _text(*parts: _Bytes) -> pa.Array:
    """Rows of bytes, all of one width, as strings."""
    rows = np.ascontiguousarray(np.concatenate(parts, axis=1))
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.shape[1])
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(rows))


def _constant(text: str, n: int) -> _Bytes:
    raw = np.frombuffer(text.encode(), np.uint8)
    return np.broadcast_to(raw, (n, len(raw)))


def _digits(number: Ints, width: int) -> _Bytes:
    """Numbers of at most `width` digits, four digits looked up at a time."""
    out = np.empty((len(number), width), np.uint8)
    rest = number
    for end in range(width, 0, -4):
        rest, four = np.divmod(rest, 10_000) if end > 4 else (rest, rest)
        out[:, max(end - 4, 0) : end] = _four_digits()[four, max(4 - end, 0) :]
    return out


@cache
def _four_digits() -> _Bytes:
    number = np.arange(10_000)[:, None]
    return np.asarray(number // np.array([1000, 100, 10, 1]) % 10 + 48, dtype=np.uint8)


def _days(us: Ints, dash: str) -> _Bytes:
    return _day_texts(dash)[us // DAY - _FIRST_DAY]


def _packed(values: Mask) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


@cache
def _day_texts(dash: str) -> _Bytes:
    days = np.arange(np.datetime64("2010-01-01"), np.datetime64("2040-01-01"))
    months = days.astype("datetime64[M]")
    year, month = months.astype("datetime64[Y]").astype(np.int64) + 1970, months.astype(np.int64) % 12 + 1
    return _separated(dash, (year, 4), (month, 2), ((days - months).astype(np.int64) + 1, 2))


@cache
def _clock_texts(colon: str) -> _Bytes:
    second = np.arange(86_400, dtype=np.int64)
    return _separated(colon, (second // 3600, 2), (second // 60 % 60, 2), (second % 60, 2))


def _separated(by: str, *numbers: tuple[Ints, int]) -> _Bytes:
    parts = [part for number, width in numbers for part in (_constant(by, len(number)), _digits(number, width))]
    return np.concatenate(parts[1:], axis=1)
