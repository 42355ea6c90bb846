"""The generated shop's inventory files: what the ERP exports."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import names
from headwater.sandbox.datasets.columns import choose, decimal_text, joined, micros, nulled, replaced
from headwater.sandbox.datasets.draws import Ints, below
from headwater.sandbox.datasets.files import StockFile
from headwater.sandbox.datasets.generated.populations import END, FIRST, START
from headwater.sandbox.datasets.generated.shop import Shop, product_ids

_MOST_LINES = 20_000
_MALFORMED = ("12x,oops", "WH-01", "ten,5", "7,5,surplus", "7,five")
"""What stands after product and warehouse, or instead of them, in a line that no reader can take."""


def export_days() -> list[date]:
    """Every Monday of the history, every day from the start clock on."""
    days = [(FIRST + timedelta(days=n)).date() for n in range((END - FIRST).days)]
    return [day for day in days if day.weekday() == 0 or day >= START.date()]


def stock_files(shop: Shop, scale: float) -> Iterator[StockFile]:
    """One file per export day: every warehouse's level of as many products as make 2,000 lines at scale 1."""
    held = max(4, min(round(2_000 * scale), _MOST_LINES) // len(names.WAREHOUSES))
    for number, day in enumerate(export_days()):
        at = datetime(day.year, day.month, day.day, 2, tzinfo=UTC)
        existing = int(shop.products.existing(np.array([micros(at)]))[0])
        count = min(held, existing)
        first = int(below("stock.file", [number], existing)[0])
        # A run of neighbours, so that no product stands twice in a file.
        product = np.repeat((first + np.arange(count, dtype=np.int64)) % existing, len(names.WAREHOUSES))
        yield StockFile(day, at, _lines(number, product))


def _lines(number: int, product: Ints) -> pa.Array:
    line = np.arange(len(product), dtype=np.int64) + number * 10_000_019
    warehouses = [f'"{name}"' if "," in name else name for name in names.WAREHOUSES]
    quantity = decimal_text(below("file.quantity", line, 500))
    reorder = decimal_text(below("file.reorder", line, 60))
    rest = joined(
        replaced(quantity, line % 997 == 3, ""),
        ",",
        replaced(reorder, line % 61 == 9, ""),
    )
    where = choose(warehouses, np.arange(len(product)) % len(warehouses))
    broken = line % 331 == 77
    rest = replaced(rest, broken, choose(_MALFORMED, line // 331 % len(_MALFORMED)))
    return joined(product_ids(product), ",", where, ",", nulled(rest, np.zeros(len(product), dtype=np.bool_)))
