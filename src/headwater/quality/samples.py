"""Some of the rows that broke a rule, as people may see them."""

import json
from collections.abc import Collection
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.masking.embedded import without_contacts_in_each
from headwater.masking.masks import EMBEDDED, REDACTED
from headwater.quality import new_rows
from headwater.quality.blocks import PRICED
from headwater.quality.rules import values_broken
from headwater.quality.shares import Sample
from headwater.quality.verdict import Candidate

MOST: Final = 5
"""Of how many rows the keys are kept for a rule."""


def breaking(candidate: Candidate, rule: str) -> DataFrame | None:
    """The rows of a candidate that break a rule, by their keys; None of a rule that rows break only together."""
    rows, contract = candidate.rows, candidate.contract
    column, _, kind = rule.rpartition(":")
    match kind:
        case "unique" if rule == "key:unique":
            return _several(rows.dropna(subset=[*contract.key]), [*contract.key])
        case "unique":
            twice = _several(rows.where(F.col(column).isNotNull()), [column])
            return _keys(rows.join(twice, column, "left_semi"), contract, column)
        case "required":
            return _keys(rows.where(F.col(column).isNull()), contract)
        case "reference":
            return _orphans(candidate, column)
        case _ if rule == "unpriced":
            return _keys(rows.where(F.col(PRICED).isNull()), contract)
        case "missing":
            return _keys(new_rows.missing(candidate, column), contract, column)
        case "outliers":
            return _keys(new_rows.outliers(candidate, column), contract, column)
        case "near_duplicates" if (near := candidate.limits.near_duplicates) is not None:
            return _keys(new_rows.near_duplicates(candidate, near), contract)
        case _:
            broken = {each.name: condition for each, condition in values_broken(rows, contract).items()}
            return _keys(rows.where(broken[rule]), contract, column) if rule in broken else None


def some_keys(rows: DataFrame) -> pa.Table:
    """The first rows in the order of all their columns, so that the same rows are shown each time."""
    return rows.orderBy(*rows.columns).limit(MOST).toArrow()


def of_versions(rows: DataFrame, contract: Contract, masked: Collection[str]) -> Sample:
    """Some versions of a batch, by their keys and where they came from."""
    found = some_keys(rows.select(*contract.key, "_input", "_row_id"))
    return Sample(shown(found.select([*contract.key]), contract, masked), records(found))


def of_rows(rows: DataFrame, contract: Contract, masked: Collection[str]) -> Sample:
    """Some rows of a table, by their keys."""
    return Sample(shown(some_keys(_keys(rows, contract)), contract, masked))


def records(found: pa.Table) -> tuple[str, ...]:
    """Where versions came from: the Bronze table, and the `_row_id` there."""
    places = zip(found["_input"].to_pylist(), found["_row_id"].to_pylist(), strict=True)
    return without_contacts_in_each(f"{table} {row_id}" for table, row_id in places)


def shown(keys: pa.Table, contract: Contract, masked: Collection[str]) -> tuple[str, ...]:
    """Keys as JSON, without personal values: those of `masked` columns are masked by now, other classified ones not shown.

    In all other text e-mail addresses and phone numbers are replaced.
    """
    secret = {
        column.name
        for column in contract.columns
        if column.classification and column.classification != EMBEDDED and column.name not in masked
    }
    told = (
        {name: REDACTED if name in secret and value is not None else value for name, value in row.items()}
        for row in keys.to_pylist()
    )
    return without_contacts_in_each(json.dumps(each, default=str, ensure_ascii=False) for each in told)


def _several(rows: DataFrame, columns: list[str]) -> DataFrame:
    return rows.groupBy(*columns).agg(F.count(F.lit(1)).alias("_times")).where("_times > 1").select(*columns)


def _orphans(candidate: Candidate, column: str) -> DataFrame | None:
    keys = [key for key in candidate.contract.foreign_keys if key.column == column and key.parent in candidate.parents]
    if not keys:
        return None
    known = candidate.parents[keys[0].parent].select(F.col(keys[0].parent_column).alias(column)).distinct()
    children = candidate.rows.where(F.col(column).isNotNull())
    return _keys(children.join(known, column, "left_anti"), candidate.contract, column)


def _keys(rows: DataFrame, contract: Contract, *more: str) -> DataFrame:
    return rows.select(*dict.fromkeys((*contract.key, *more)))
