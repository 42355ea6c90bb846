"""Arrow columns out of numpy arrays, without a Python object per row."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
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
_FIRST_DAY = date(2010, 1, 1)
_LAST_DAY = date(2040, 1, 1)
_EPOCH = date(1970, 1, 1)


def micros(at: datetime) -> int:
    """A UTC instant as microseconds since 1970."""
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def instants(us: Ints, null: Mask | None = None) -> pa.Array:
    """Microseconds since 1970 as timestamps."""
    return pa.array(us, pa.int64(), mask=null).cast(pa.timestamp("us", tz="UTC"))


def dates(us: Ints) -> pa.Array:
    """The UTC dates of instants."""
    return pa.array((us // DAY).astype(np.int32), pa.int32()).cast(pa.date32())


def money(cents: Ints, precision: int, scale: int = 2) -> pa.Array:
    """Whole hundredths (or other units of 10^-scale) as decimals."""
    words = np.empty((len(cents), 2), dtype="<i8")
    words[:, 0] = cents
    words[:, 1] = cents >> 63
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(cents), [None, pa.py_buffer(words)])


def choose(values: Sequence[str | bytes | None], at: ArrayLike) -> pa.Array:
    """The value at each position."""
    return pa.array(values).take(pa.array(np.asarray(at)))


def nulled(column: pa.Array, where: Mask) -> pa.Array:
    """The column, null where told."""
    return pc.if_else(pa.array(where), pa.scalar(None, column.type), column)


def replaced(column: pa.Array, where: Mask, by: pa.Array | str) -> pa.Array:
    """The column, with another value where told."""
    return pc.if_else(pa.array(where), by, column)


def joined(*parts: pa.Array | str) -> pa.Array:
    """The parts of each row, one after the other; null where one of them is."""
    return pc.binary_join_element_wise(*parts, "")


def padded(prefix: str, number: Ints, width: int, suffix: str = "") -> pa.Array:
    """`prefix`, the number in `width` digits with leading zeros, `suffix`."""
    return _text(_constant(prefix, len(number)), _digits(number, width), _constant(suffix, len(number)))


def hexadecimal(prefix: str, number: NDArray[np.uint64], width: int) -> pa.Array:
    """`prefix` and the number's lowest `width` hexadecimal digits."""
    shifts = np.arange(width - 1, -1, -1, dtype=np.uint64) * np.uint64(4)
    nibbles = ((number[:, None] >> shifts) & np.uint64(15)).astype(np.uint8)
    return _text(_constant(prefix, len(number)), np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles])


def iso_millis(us: Ints) -> pa.Array:
    """`2024-11-01T12:34:56.789Z`."""
    n = len(us)
    clock = _clock_texts("%H:%M:%S")[us % DAY // SECOND]
    parts = (_days(us, "%Y-%m-%d"), _constant("T", n), clock, _constant(".", n), _digits(us // 1000 % 1000, 3))
    return _text(*parts, _constant("Z", n))


def compact_seconds(prefix: str, us: Ints, suffix: str = "") -> pa.Array:
    """`prefix`, `20241101123456`, `suffix`."""
    n = len(us)
    clock = _clock_texts("%H%M%S")[us % DAY // SECOND]
    return _text(_constant(prefix, n), _days(us, "%Y%m%d"), clock, _constant(suffix, n))


def _text(*parts: _Bytes) -> pa.Array:
    """Rows of bytes, all of one width, as strings."""
    rows = np.ascontiguousarray(np.concatenate(parts, axis=1))
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.shape[1])
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(rows))


def _constant(text: str, n: int) -> _Bytes:
    raw = np.frombuffer(text.encode(), np.uint8)
    return np.broadcast_to(raw, (n, len(raw)))


def _digits(number: Ints, width: int) -> _Bytes:
    out = np.empty((len(number), width), np.uint8)
    rest = number
    for at in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        out[:, at] = digit + 48
    return out


def _days(us: Ints, form: str) -> _Bytes:
    return _day_texts(form)[us // DAY - (_FIRST_DAY - _EPOCH).days]


@cache
def _day_texts(form: str) -> _Bytes:
    days = [_FIRST_DAY + timedelta(days=n) for n in range((_LAST_DAY - _FIRST_DAY).days)]
    return _rows([f"{day:{form}}" for day in days])


@cache
def _clock_texts(form: str) -> _Bytes:
    colon = ":" if ":" in form else ""
    return _rows([f"{s // 3600:02}{colon}{s // 60 % 60:02}{colon}{s % 60:02}" for s in range(86_400)])


def _rows(texts: list[str]) -> _Bytes:
    return np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(texts), -1)
