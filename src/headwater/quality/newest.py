"""Which version of a key stands, and what becomes of the others."""

from collections.abc import Callable
from functools import reduce
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.errors import BalanceBroken
from headwater.quality.rules import REFUSED

END: Final = "_end"
"""Column of a version's end: accepted, deleted, superseded or quarantined."""
OVERTAKEN: Final = "_overtaken"
"""Column that tells whether a version of the batch has a newer version of its key in the batch."""

_Hashes: TypeAlias = npt.NDArray[np.int64]
_Marks: TypeAlias = npt.NDArray[np.int8]
_MOST_CONTESTED: Final = 1_500_000  # the look-up travels with the plan, 17 bytes each; beyond, sorting is no dearer
_OUTDONE: Final = "_outdone"
_IS_OUTDONE, _IS_OVERTAKEN = 1, 2


def newest(rows: DataFrame, contract: Contract, batch: Expression, most_contested: int = _MOST_CONTESTED) -> DataFrame:
    """The same rows with `_end` and `_overtaken`.

    Of the versions of one key that break no rule the newest is `accepted`, or `deleted` if it is a deletion; those
    that it outdoes are `superseded`; those that break a rule are `quarantined`. Newer is the greater cursor, then the
    contract's tie-break, then the later landed, then the greater `_row_id`; a missing value is the least. A version
    of `batch` that has a cursor is overtaken by a newer one of its key in the batch, whatever rules the two break.

    `rows` is read twice here, by few columns, to find the versions of keys that have several; what is returned then
    neither joins nor sorts. Where more than `most_contested` keys have several, or as many have a newer one, it sorts.

    Raises:
        BalanceBroken: one version stands twice. Where another one is lost, no sum would tell.
    """
    accepted = ~F.col(REFUSED)
    marked = _with_outdone(rows, contract, accepted, batch & _has_cursor(contract), most_contested)
    ends = F.when(~accepted, "quarantined").when(F.col(_OUTDONE), "superseded")
    if contract.deletion is not None:
        ends = ends.when(F.coalesce(F.col(contract.deletion), F.lit(False)), "deleted")
    return marked.withColumn(END, ends.otherwise("accepted")).drop(_OUTDONE)


def _with_outdone(
    rows: DataFrame, contract: Contract, accepted: Expression, batch: Expression, most_contested: int
) -> DataFrame:
    """The same rows with `_outdone`, among the accepted, and `_overtaken`, among those of the batch."""
    # One pass finds the keys that have several versions, by hash: a collision only sends a few more to the next step.
    contested = _hashes(
        rows.where(_has_key(contract))
        .groupBy(F.xxhash64(*contract.key).alias("key"))
        .agg(F.count(F.lit(1)).alias("versions"))
        .where(F.col("versions") > 1)
    )
    if len(contested) == 0:
        return rows.withColumn(_OUTDONE, F.lit(False)).withColumn(OVERTAKEN, F.lit(False))
    if max(len(contested), contested[:, 1].sum() - len(contested)) > most_contested:
        twins = rows.groupBy(*_identity()).agg(F.count(F.lit(1)).alias("times")).where("times > 1")
        if twins.limit(1).toArrow().num_rows:
            raise _doubled(contract)
        return _sorted(rows, contract, accepted, batch)
    # The next sorts only those, by the columns that order them, and finds the outdone versions by a double hash.
    is_contested = _mark(contested[:, :1], np.ones(len(contested), np.int8))
    asked = rows.where(_has_key(contract) & (is_contested(F.xxhash64(*contract.key)) != 0))
    rank = F.row_number().over(_newest_first(contract)).cast("bigint")
    told = asked.select(F.xxhash64(*contract.key), rank, *_identity(), accepted.cast("bigint"), batch.cast("bigint"))
    found = _outdone(_hashes(told), contract)
    if len(found) == 0:
        return rows.withColumn(_OUTDONE, F.lit(False)).withColumn(OVERTAKEN, F.lit(False))
    if _ambiguous(found):
        return _sorted(rows, contract, accepted, batch)
    mark = _mark(found[:, :2], found[:, 2].astype(np.int8))
    marked = rows.withColumn("_mark", mark(*_identity()))
    return (
        marked.withColumn(_OUTDONE, F.col("_mark").bitwiseAND(_IS_OUTDONE) != 0)
        .withColumn(OVERTAKEN, F.col("_mark").bitwiseAND(_IS_OVERTAKEN) != 0)
        .drop("_mark")
    )


def _outdone(told: _Hashes, contract: Contract) -> _Hashes:
    """The identities and marks of those that a newer version of their key outdoes or overtakes.

    `told` has a line for each version: a hash of its key, its place among those of the key, the newest first, the
    identity's two halves, whether it is accepted, and whether it is of the batch.
    """
    told = told[np.lexsort((told[:, 1], told[:, 0]))]
    begins = np.ones(len(told), np.bool_)
    begins[1:] = told[1:, 0] != told[:-1, 0]
    twins = ~begins[1:] & (told[1:, 2:4] == told[:-1, 2:4]).all(axis=1)
    if twins.any():
        raise _doubled(contract)
    line = np.arange(len(told))
    first = np.maximum.accumulate(np.where(begins, line, 0))
    marks = np.zeros(len(told), np.int64)
    for column, mark in ((4, _IS_OUTDONE), (5, _IS_OVERTAKEN)):
        asked = told[:, column]
        before = np.cumsum(asked) - asked
        marks += mark * ((asked > 0) & (before > before[first]))
    return cast("_Hashes", np.column_stack((told[:, 2:4], marks))[marks != 0])


def looked_up(rows: DataFrame, column: str, wanted: DataFrame, most_wanted: int = _MOST_CONTESTED) -> DataFrame:
    """Those of the rows whose `column` is among that of `wanted`, and by chance a few more: what a join should sort.

    `wanted` is read here, by that column. Where it has very many rows, nothing is left out.
    """
    hashes = _hashes(wanted.select(F.xxhash64(column)))
    if hashes.size == 0:
        return rows.where(F.lit(False))
    if hashes.size > most_wanted:
        return rows
    return rows.where(_mark(hashes, np.ones(len(hashes), np.int8))(F.xxhash64(column)) != 0)


def _sorted(rows: DataFrame, contract: Contract, accepted: Expression, batch: Expression) -> DataFrame:
    newer = _newest_first(contract).rowsBetween(Window.unboundedPreceding, -1)

    def has_newer(asked: Expression) -> Expression:
        among = asked & _has_key(contract)
        return among & (F.coalesce(F.sum(among.cast("int")).over(newer), F.lit(0)) > 0)

    return rows.withColumn(_OUTDONE, has_newer(accepted)).withColumn(OVERTAKEN, has_newer(batch))


def _doubled(contract: Contract) -> BalanceBroken:
    return BalanceBroken(
        f"{contract.table}: a row version came out twice; nothing was committed. The function must return one row for "
        "each version of its inputs: look for a join whose other side has several rows for one key"
    )


def _newest_first(contract: Contract) -> WindowSpec:
    """The versions of each key, in order."""
    declared = [name for name in (contract.cursor, contract.tie_break) if name is not None]
    columns = [*declared, "_ingest_ts", "_run_id", "_row_id", "_input"]
    return Window.partitionBy(*contract.key).orderBy(*(F.col(name).desc_nulls_last() for name in columns))


def _has_cursor(contract: Contract) -> Expression:
    return F.lit(True) if contract.cursor is None else F.col(contract.cursor).isNotNull()


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
    """Whether two of them share their first half, which `_mark` does not look behind."""
    return bool(np.unique(hashes[:, 0]).size < len(hashes))


def _mark(hashes: _Hashes, marks: _Marks) -> Callable[..., Expression]:
    """A function of hashes (one argument for each column of `hashes`): the mark of its line there, 0 without one.

    It is a function of Arrow arrays that carries what it needs, since engines can only look up in a large set by a
    join, which sorts both sides. A bitmap on the low bits of the first hash answers for most rows.
    """
    order = np.argsort(hashes[:, 0], kind="stable")
    held, held_marks = hashes[order], marks[order]
    first, last = np.ascontiguousarray(held[:, 0]), np.ascontiguousarray(held[:, -1])
    slots = 1 << min(27, max(12, int(held.shape[0]).bit_length() + 6))
    flags = np.zeros(slots, dtype=np.bool_)
    flags[first & (slots - 1)] = True
    bitmap = np.packbits(flags, bitorder="little")

    def mark(*columns: pa.Array) -> pa.Array:
        asked = [column.to_numpy(zero_copy_only=False) for column in columns]
        slot = asked[0] & (slots - 1)
        maybe = np.flatnonzero((bitmap[slot >> 3] >> (slot & 7).astype(np.uint8)) & 1)
        place = np.minimum(np.searchsorted(first, asked[0][maybe]), first.size - 1)
        same = (first[place] == asked[0][maybe]) & (last[place] == asked[-1][maybe])
        found = np.zeros(len(slot), dtype=np.int8)
        found[maybe[same]] = held_marks[place[same]]
        return pa.array(found)

    # The stubs of PySpark 4.1.1 do not have it yet.
    return cast("Callable[..., Expression]", cast("Any", F).arrow_udf(mark, "tinyint"))
