"""What brought each row version to a Silver table, and the balance: each came to exactly one end."""

from collections.abc import Mapping
from typing import Any, Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.engine import Head, Staged
from headwater.errors import BalanceBroken
from headwater.run.reading import Reading
from headwater.run.tables import lake_table

CAME: Final = "came"
"""Column of what brought a version before this attempt: new, retried (from quarantine) or before (neither).

Where versions are staged, it parts the new ones: those that a newer version of the same batch overtakes are `overtaken`.
"""


def came(reading: Reading, head: Head | None, held: DataFrame, rows: DataFrame) -> tuple[dict[str, int], DataFrame]:
    """Mark every version by what brought it before this attempt, and say how many of each there are to end.

    `head` is the table as it stands, and `held` its quarantine.
    """
    engine, versions = reading.context.engine, reading.landed
    tables = {name: lake_table(reading.context.contracts[name]) for name in versions}
    total = sum(engine.rows(tables[name], reading.versions[name]) for name in versions)
    if head is None or head.inputs is None:
        return {"new": total, "retried": 0, "before": 0}, rows.withColumn(CAME, F.lit("new"))
    seen: dict[str, Any] = {name: head.inputs.get(name) for name in versions}
    new = total - sum(engine.rows(tables[name], seen[name]) for name in versions if seen[name] is not None)
    marks = [
        (
            engine.read(tables[name], reading.versions[name])
            if seen[name] is None
            else engine.changes(tables[name], seen[name], reading.versions[name])
        ).select("_row_id", F.lit(name).alias("_input"))
        for name in versions
    ]
    fresh = marks[0]
    for mark in marks[1:]:
        fresh = fresh.unionByName(mark)
    refused = held.select("_row_id", F.col("input").alias("_input"))
    retried = refused.join(fresh, ["_row_id", "_input"], "left_anti")
    brought = fresh.withColumn(CAME, F.lit("new")).unionByName(retried.withColumn(CAME, F.lit("retried")))
    marked = rows.join(brought, ["_row_id", "_input"], "left")
    expected = {"new": new, "retried": retried.count()}
    expected["before"] = total - new - expected["retried"]
    return expected, marked.withColumn(CAME, F.coalesce(F.col(CAME), F.lit("before")))


def balance(table: str, staged: Staged, expected: Mapping[str, int]) -> dict[str, int]:
    """The terms of a table's balance, each counted where its rows were written.

    Raises:
        BalanceBroken: what came to an end is not what was there.
    """
    parts = {each: (each,) for each in expected} | {"new": ("new", "overtaken")}
    ended = {each: sum(staged.where(came=part).rows for part in parts[each]) for each in expected}
    if ended != expected:
        raise BalanceBroken(
            f"{table}: {expected} row versions went in and {ended} came to an end; nothing was "
            f"committed. The function must return one row for each version of its inputs"
        )
    terms = {"new": expected["new"], "retried": expected["retried"]}
    for end in ("accepted", "deleted", "superseded", "quarantined"):
        terms[end] = sum(staged.where(end=end, came=each).rows for each in ("new", "overtaken", "retried"))
    terms["recomputed"] = staged.where(end="accepted", came="before").rows
    terms["rows"] = staged.where(end="accepted").rows
    return terms
