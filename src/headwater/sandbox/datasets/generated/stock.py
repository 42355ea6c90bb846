"""The generated shop's inventory files: what the ERP exports."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import names
from headwater.sandbox.datasets.columns import DAY, HOUR, amended, choose, decimal_text, joined, micros, replaced
from headwater.sandbox.datasets.draws import Ints, Mask, below
from headwater.sandbox.datasets.files import StockFile
from headwater.sandbox.datasets.generated.populations import END, FIRST, START
from headwater.sandbox.datasets.generated.shop import Shop, product_ids

_MOST_LINES = 20_000
_EXPORTED = 2 * HOUR
"""After midnight."""
_MALFORMED = (b"12x,oops", b"WH-01", b"ten,5", b"7,5,surplus", b"7,five")
"""What stands after product and warehouse, or instead of them, in a line that no reader can take."""
_LATIN_1 = "WH-05 Süd".encode("latin-1")
"""A warehouse in another encoding than the rest of its file."""
_LINE_STREAM = 10_000_019
"""Lines of the n-th file are numbered from n times this."""


def export_days() -> list[date]:
    """Every Monday of the history, every day from the start clock on."""
    days = [(FIRST + timedelta(days=n)).date() for n in range((END - FIRST).days)]
    return [day for day in days if day.weekday() == 0 or day >= START.date()]


@dataclass(frozen=True)
class Counts:
    """Which products each of the export days counts: as many as make 2,000 lines at scale 1."""

    shop: Shop
    held: int

    @classmethod
    def of(cls, shop: Shop, scale: float) -> "Counts":
        """The counts of a shop of this scale."""
        return cls(shop, max(4, min(round(2_000 * scale), _MOST_LINES) // len(names.WAREHOUSES)))

    def products(self, file: Ints, day: Ints, place: Ints) -> Ints:
        """The product at each place of each file: neighbours, so that none stands twice in a file."""
        existing = self.shop.products.existing(day + _EXPORTED)
        first = below("stock.file", file, existing)
        return (first + place % np.minimum(self.held, existing)) % existing

    def counted(self, at: Ints, number: Ints) -> tuple[Mask, Ints]:
        """Which instants lie on an export day, and for each of those one of the products that are counted that day."""
        days = np.array([micros(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in export_days()])
        file = np.searchsorted(days, at, side="right") - 1
        exported = (file >= 0) & (days[np.maximum(file, 0)] == at // DAY * DAY)
        return exported, self.products(file[exported], at[exported] // DAY * DAY, number[exported])


def stock_files(shop: Shop, scale: float) -> Iterator[StockFile]:
    """One file per export day: every warehouse's level of some products; a few lines stand twice."""
    counts = Counts.of(shop, scale)
    for number, day in enumerate(export_days()):
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        existing = int(shop.products.existing(np.array([micros(at) + _EXPORTED]))[0])
        place = np.repeat(np.arange(min(counts.held, existing), dtype=np.int64), len(names.WAREHOUSES))
        product = counts.products(np.full(len(place), number), np.full(len(place), micros(at)), place)
        yield StockFile(day, at + timedelta(microseconds=_EXPORTED), _lines(number, product))


def _lines(number: int, product: Ints) -> pa.Array:
    """The lines of a file: one in 401 twice, one in 443 once more with another quantity."""
    once = np.arange(len(product), dtype=np.int64)
    line = once + number * _LINE_STREAM
    place = np.sort(np.concatenate([once, once[line % 401 == 121], once[line % 443 == 122]]))
    line, product = line[place], product[place]
    corrected = np.concatenate([[False], place[1:] == place[:-1]]) & (line % 443 == 122)
    quantity = below("file.quantity", line, 500)
    quantity = np.where(corrected, (quantity + 250) % 500, quantity)
    told = amended(decimal_text(quantity), line % 509 == 124, lambda at: decimal_text(-1 - quantity[at]))
    reorder = decimal_text(below("file.reorder", line, 60))
    rest = joined(replaced(told, line % 997 == 3, ""), ",", replaced(reorder, line % 61 == 9, "")).cast(pa.binary())
    broken = line % 331 == 77
    rest = replaced(rest, broken, choose(_MALFORMED, line // 331 % len(_MALFORMED)))
    where = choose([f'"{name}"' if "," in name else name for name in names.WAREHOUSES], place % len(names.WAREHOUSES))
    where = replaced(where.cast(pa.binary()), line % 499 == 120, choose([_LATIN_1], np.zeros(len(line))))
    return joined(replaced(product_ids(product), line % 487 == 123, ""), ",", where, ",", rest)
