"""Which version of a key stands, and what becomes of the others."""

from collections.abc import Callable
from functools import reduce
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.quality.rules import RULES

END: Final = "_end"
"""Column of a version's end: accepted, deleted, superseded or quarantined."""

_Hashes: TypeAlias = npt.NDArray[np.int64]
_MOST_OUTDONE: Final = 1_500_000  # the look-up travels with the plan, 16 bytes each; beyond, sorting is no dearer
_OUTDONE = "_outdone"


def newest(rows: DataFrame, contract: Contract, most_outdone: int = _MOST_OUTDONE) -> DataFrame:
    """The same rows with `_end`.

    Of the versions of one key that break no rule the newest is `accepted`, or `deleted` if it is a deletion; those
    that it outdoes are `superseded`; those that break a rule are `quarantined`. Newer is the greater cursor, then the
    contract's tie-break, then the later landed, then the greater `_row_id`; a missing value is the least.

    `rows` is read up to twice here to find the outdone versions, by few columns; what is returned then neither joins
    nor sorts. Beyond `most_outdone` versions it sorts.
    """
    accepted = F.size(RULES) == 0
    ends = F.when(~accepted, "quarantined").when(F.col(_OUTDONE), "superseded")
    if contract.deletion is not None:
        ends = ends.when(F.coalesce(F.col(contract.deletion), F.lit(False)), "deleted")
    marked = with_outdone(rows, contract, accepted, most_outdone)
    return marked.withColumn(END, ends.otherwise("accepted")).drop(_OUTDONE)


def with_outdone(
    rows: DataFrame, contract: Contract, among: Expression, most_outdone: int = _MOST_OUTDONE
) -> DataFrame:
    """The same rows with `_outdone`: of two versions of a key, both `among` those asked about, the older is outdone."""
    # One pass finds the keys that have several versions, by hash: a collision only sends a few more to the next step.
    contested = _hashes(
        rows.where(_has_key(contract))
        .groupBy(F.xxhash64(*contract.key).alias("key"))
        .agg(F.count(F.lit(1)).alias("versions"))
        .where(F.col("versions") > 1)
        .select("key")
    )
    if contested.size == 0:
        return rows.withColumn(_OUTDONE, F.lit(False))
    if contested.size > most_outdone:
        return _sorted(rows, contract, among)
    # The next sorts only those, by the columns that order them, and finds the outdone versions by a double hash.
    is_contested = _member(contested.reshape(-1, 1))
    asked = rows.where(_has_key(contract) & is_contested(F.xxhash64(*contract.key)) & among)
    narrow = asked.select(*dict.fromkeys((*contract.key, *_order_columns(contract), "_input")))
    older = narrow.withColumn("_rank", _rank(contract, [])).where(F.col("_rank") > 1)
    outdone = _hashes(older.select(*_identity()))
    if outdone.size == 0:
        return rows.withColumn(_OUTDONE, F.lit(False))
    if len(outdone) > most_outdone or _ambiguous(outdone):
        return _sorted(rows, contract, among)
    return rows.withColumn(_OUTDONE, among & _member(outdone)(*_identity()))


def looked_up(rows: DataFrame, column: str, wanted: DataFrame, most_wanted: int = _MOST_OUTDONE) -> DataFrame:
    """Those of the rows whose `column` is among that of `wanted`, and by chance a few more: what a join should sort.

    `wanted` is read here, by that column. Where it has very many rows, nothing is left out.
    """
    hashes = _hashes(wanted.select(F.xxhash64(column)))
    if hashes.size == 0:
        return rows.where(F.lit(False))
    if hashes.size > most_wanted:
        return rows
    return rows.where(_member(hashes)(F.xxhash64(column)))


def _sorted(rows: DataFrame, contract: Contract, among: Expression) -> DataFrame:
    asked = among & _has_key(contract)
    ranked = rows.withColumn("_asked", asked).withColumn("_rank", _rank(contract, ["_asked"]))
    return ranked.withColumn(_OUTDONE, F.col("_asked") & (F.col("_rank") > 1)).drop("_asked", "_rank")


def _order_columns(contract: Contract) -> list[str]:
    declared = [name for name in (contract.cursor, contract.tie_break) if name is not None]
    return [*declared, "_ingest_ts", "_run_id", "_row_id"]


def _rank(contract: Contract, within: list[str]) -> Expression:
    order = [F.col(name).desc_nulls_last() for name in _order_columns(contract)]
    return F.row_number().over(Window.partitionBy(*contract.key, *within).orderBy(*order))


def _has_key(contract: Contract) -> Expression:
    return reduce(lambda both, one: both & one, (F.col(name).isNotNull() for name in contract.key))


def _identity() -> tuple[Expression, Expression]:
    """128 bits that tell a version from any other; `_row_id` is unique within its Bronze table only."""
    return F.xxhash64("_input", "_row_id"), F.xxhash64(F.lit("second"), "_row_id", "_input")


def _hashes(rows: DataFrame) -> _Hashes:
    table = rows.toArrow()
    columns = [column.to_numpy() for column in table.columns]
    return cast("_Hashes", np.stack(columns, axis=1).astype(np.int64, copy=False))


def _ambiguous(hashes: _Hashes) -> bool:
    """Whether two of them share their first half, which `_member` does not look behind."""
    return bool(np.unique(hashes[:, 0]).size < len(hashes))


def _member(hashes: _Hashes) -> Callable[..., Expression]:
    """A predicate on hashes (one argument for each column of `hashes`): is this one of them?

    It is a function of Arrow arrays that carries what it needs, since engines can only look up in a large set by a
    join, which sorts both sides. A bitmap on the low bits of the first hash answers for most rows.
    """
    held = hashes[np.argsort(hashes[:, 0], kind="stable")]
    first, last = np.ascontiguousarray(held[:, 0]), held[:, -1]
    slots = 1 << min(27, max(12, int(held.shape[0]).bit_length() + 6))
    flags = np.zeros(slots, dtype=np.bool_)
    flags[first & (slots - 1)] = True
    bitmap = np.packbits(flags, bitorder="little")

    def is_member(*columns: pa.Array) -> pa.Array:
        asked = [column.to_numpy(zero_copy_only=False) for column in columns]
        slot = asked[0] & (slots - 1)
        found = (bitmap[slot >> 3] >> (slot & 7).astype(np.uint8)) & 1 == 1
        maybe = np.flatnonzero(found)
        place = np.minimum(np.searchsorted(first, asked[0][maybe]), first.size - 1)
        found[maybe] = (first[place] == asked[0][maybe]) & (last[place] == asked[-1][maybe])
        return pa.array(found)

    # The stubs of PySpark 4.1.1 do not have it yet.
    return cast("Callable[..., Expression]", cast("Any", F).arrow_udf(is_member, "boolean"))
