"""The new rows of a candidate, and which of them look unusual.

New are those dated in the batch's span, or, of a table whose rows have no business date and of a first load, all of
them. In a table of years nobody would notice a bad day otherwise.
"""

from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.quality import histogram
from headwater.quality.asked import quoted
from headwater.quality.blocks import NearDuplicates
from headwater.quality.limits import is_number
from headwater.quality.span import dated_since
from headwater.quality.verdict import Candidate

_COMPARED: Final = 1_000_000
"""Rows of about so many different contents are compared exactly; of more, a part that has all rows of its contents."""


def are_new(candidate: Candidate) -> str:
    """The condition that a row is new, in SQL as all conditions here."""
    column, first = candidate.limits.daily.column, candidate.span.first
    if column is None or first is None:
        return "1 = 1"
    return dated_since(column, candidate.contract.column(column).type, first)


def spread(candidate: Candidate, column: str, per: str | None) -> str:
    """The query for groups, bins of a column, their rows, and the rows in all; of text only the commonest bins.

    Whoever asks the same of a column is answered by one query.
    """
    number = is_number(candidate.contract.column(column).type)
    group = f"CAST({quoted(per)} AS STRING)" if per else "CAST(NULL AS STRING)"
    binned = f"SELECT {group} AS part, {histogram.bin_of(column, number=number)} AS bin FROM {{batch}} WHERE {are_new(candidate)}"  # noqa: S608 - names are the contract's
    counted = f"SELECT part, bin, count(1) AS found FROM ({binned}) GROUP BY part, bin"  # noqa: S608 - as above
    commonest = "" if number else f" ORDER BY found DESC, bin LIMIT {histogram.MOST_BINS}"
    return f"SELECT part, bin, found, sum(found) OVER () AS total FROM ({counted}){commonest}"  # noqa: S608 - as above


def content(contract: Contract, near: NearDuplicates) -> str:
    """A hash of all of a row but its key and what is ignored."""
    compared = [name for name in contract.column_names if name not in {*contract.key, *near.ignore}]
    # Sail (0.7.2) panics on a hash whose columns have one value each in a file. A key has several; only its null is hashed.
    varying = [f"nullif({quoted(name)}, {quoted(name)})" for name in contract.key]
    return f"xxhash64({', '.join([*map(quoted, compared), *varying])})"


def is_compared(candidate: Candidate) -> str:
    """The condition on a `content` that its rows are looked at.

    A sample of contents, not of rows: all rows of a content are in it or none, so its share is that of the whole.
    """
    parts = 1 << max(0, (candidate.written // _COMPARED).bit_length())
    return f"content & {parts - 1} = 0"


def missing(candidate: Candidate, column: str) -> DataFrame:
    """The new rows without a value."""
    return _new(candidate).where(F.col(column).isNull())


def near_duplicates(candidate: Candidate, near: NearDuplicates) -> DataFrame:
    """The new rows that equal another one in what is compared."""
    hashed = _new(candidate).withColumn("content", F.expr(content(candidate.contract, near)))
    compared = hashed.where(is_compared(candidate))
    alike = compared.groupBy("content").agg(F.count(F.lit(1)).alias("_alike")).where("_alike > 1")
    return compared.join(alike, "content", "left_semi")


def outliers(candidate: Candidate, column: str) -> DataFrame:
    """The outliers among the new rows, of the group that has most of them."""
    how = candidate.limits.outliers[column]
    part = F.col(how.per).cast("string") if how.per else F.lit(None).cast("string")
    binned = _new(candidate).withColumn("_part", part).withColumn("_bin", F.expr(histogram.bin_of(column, number=True)))
    counted = binned.where("_bin IS NOT NULL").groupBy("_part", "_bin").agg(F.count(F.lit(1)).alias("_rows")).toArrow()
    rows = zip(*(each.to_pylist() for each in counted.itercolumns()), strict=True)
    worst = histogram.most_outlying(histogram.outlying_groups(rows, how))
    return binned.where(
        F.col("_part").eqNullSafe(F.lit(worst.group).cast("string")) & F.col("_bin").isin([*worst.beyond])
    )


def _new(candidate: Candidate) -> DataFrame:
    return candidate.rows.where(are_new(candidate))
