"""Numbers, sizes and tables as people read them."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """A number of bytes in decimal units: 5.2 MB."""
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def number(value: float | None) -> str:
    """A measured number: whole ones with all their digits, others with four; empty for none."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def span(length: timedelta) -> str:
    """A length of time in its two largest units: 3 d 4 h."""
    left = round(length.total_seconds())
    sign, left = ("-", -left) if left < 0 else ("", left)
    parts = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= seconds:
            parts.append(f"{left // seconds} {unit}")
            left %= seconds
    return sign + (" ".join(parts[:2]) or "0 s")


def counted(count: int, what: str) -> str:
    """How many there are of what a noun in the singular names: `1 file`, `2,000 files`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def instant(at: datetime | None) -> str:
    """An instant in UTC to the second; empty for none."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def cell(value: Any) -> str:
    """A value as text: exact for decimals, UTC for instants, empty for null."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}" + (f".{value:%f}".rstrip("0") if value.microsecond else "")
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return str(value)


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Lines of a table whose columns stand under each other; the columns numbered in `right` end together."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    flush_right = set(right)
    return [
        "  ".join(
            text.rjust(width) if index in flush_right else text.ljust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
