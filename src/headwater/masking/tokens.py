"""The one table that leads from a token back to its value. It holds raw values, and lies below the restricted prefix."""

from collections.abc import Mapping
from functools import reduce
from typing import Final
from zlib import crc32

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.engine import Attempt, Commit, Engine, Table
from headwater.errors import CommitRefused, LakeError
from headwater.masking.masks import Mask

TOKENS: Final = Table(
    "tokens",
    "restricted/tokens",
    pa.schema(
        [
            ("token", pa.string()),
            ("value", pa.string()),
            ("classification", pa.string()),
            ("key", pa.string()),
            ("_run_id", pa.string()),
        ]
    ),
)
"""One row a token; `key` is the id of the key that made it."""

_ATTEMPTS: Final = 20


def keep(engine: Engine, rows: DataFrame, masks: Mapping[str, Mask], run_id: str, step: str) -> int:
    """Add to the table the tokens of these columns that it lacks, each once, and say how many there were.

    `step` tells the caller's files from those of other steps of the run. Another writer only makes it look again.

    Raises:
        LakeError: others were always faster.
    """
    told = reduce(DataFrame.unionByName, [_told(rows, name, mask, run_id) for name, mask in masks.items()])
    for _ in range(_ATTEMPTS):
        head = engine.head(TOKENS)
        first = head.txn + 1 if head else 1
        known = engine.read(TOKENS, head.version if head else None).select("token")
        fresh = told.dropDuplicates(["token"]).join(known, "token", "left_anti").select(*TOKENS.schema.names)
        staged = engine.stage(TOKENS, fresh, Attempt(run_id, first).folder(crc32(step.encode())), ())
        if not staged.files:
            return 0
        commit = Commit(TOKENS.app_id, first, {}, {"run_id": run_id, "rows": staged.rows})
        try:
            engine.append(TOKENS, staged, commit)
        except CommitRefused:
            engine.discard(TOKENS, staged)
        else:
            return staged.rows
    raise LakeError(f"{TOKENS.name}: other writers were faster {_ATTEMPTS} times; run again")


def _told(rows: DataFrame, name: str, mask: Mask, run_id: str) -> DataFrame:
    value = mask.compared(F.col(name))
    values = rows.select(value.alias("value")).where(F.col("value").isNotNull()).distinct()
    # A value comes out of `distinct` as far as it counts: masking compares it once more, which changes nothing.
    return values.select(
        mask.over(F.col("value")).alias("token"),
        "value",
        F.lit(mask.kind).alias("classification"),
        F.lit(mask.key.id if mask.key else None).cast("string").alias("key"),
        F.lit(run_id).alias("_run_id"),
    )
