"""Inventory files: what the best sellers' weekly sales leave in the largest stores (levels are invented)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from headwater.sandbox.datasets.columns import DAY, decimal_text, joined, micros, padded
from headwater.sandbox.datasets.completejourney.shop import product_ids
from headwater.sandbox.datasets.completejourney.source import Journey
from headwater.sandbox.datasets.draws import Ints
from headwater.sandbox.datasets.files import StockFile

_PRODUCTS, _STORES = 200, 5
_FIRST_MONDAY = datetime(2017, 1, 2, tzinfo=UTC)
_WEEKS = 52


def stock_files(journey: Journey) -> Iterator[StockFile]:
    """One file per Monday from 2017-01-09: each pair's level, three mean weeks less the week that just ended."""
    sales = journey.sales
    products, stores = _most(sales.product, _PRODUCTS), _most(sales.store, _STORES)
    week = (sales.at - micros(_FIRST_MONDAY)) // (7 * DAY)
    inside = np.isin(sales.product, products) & np.isin(sales.store, stores) & (week >= 0) & (week < _WEEKS)
    pair = np.searchsorted(products, sales.product[inside]) * _STORES + np.searchsorted(stores, sales.store[inside])
    cells = _PRODUCTS * _STORES
    counted = np.bincount(week[inside] * cells + pair, sales.quantity[inside], _WEEKS * cells)
    sold = counted.astype(np.int64).reshape(_WEEKS, cells)
    reorder = sold.sum(axis=0) // _WEEKS + 1
    product, store = product_ids(np.repeat(products, _STORES)), padded("S", np.tile(stores, _PRODUCTS), 5)
    for number in range(_WEEKS):
        level = np.maximum(3 * reorder + 5 - sold[number], 0)
        lines = joined(product, ",", store, ",", decimal_text(level), ",", decimal_text(reorder))
        at = _FIRST_MONDAY + timedelta(days=7 * (number + 1), hours=2)
        yield StockFile(at.date(), at, lines)


def _most(values: Ints, count: int) -> Ints:
    """The most frequent values, rising; at a tie the lower."""
    distinct, times = np.unique(values, return_counts=True)
    return np.sort(distinct[np.lexsort((distinct, -times))[:count]])
