"""How much of a batch was refused, and why: what the gate judges before the split."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.quality.newest import with_outdone
from headwater.quality.rules import PARSE, RULES


@dataclass(frozen=True)
class BatchShares:
    """A batch's rows (those with a newer version of their key in it left out), how many broke each rule, and rejects."""

    rows: int
    rejected: int = 0
    broken: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def counted(cls, counts: pa.Table, rejected: int = 0) -> Self:
        """From what `shares` counted, and the rows of the batch's span that lie in the rejects."""
        broken: Counter[str] = Counter()
        rows = 0
        for combination in counts.to_pylist():
            rows += combination["rows"]
            for rule in filter(None, combination["rules"].split(",")):
                broken[rule] += combination["rows"]
        return cls(rows, rejected, dict(broken))

    def share(self, rule: str) -> float:
        """The part of the batch that broke `rule`, 0 to 1; for `parse` the rejects count as rows of the batch."""
        if rule == PARSE:
            return self.rejected / max(self.rows + self.rejected, 1)
        return self.broken.get(rule, 0) / max(self.rows, 1)


def shares(batch: DataFrame, contract: Contract) -> DataFrame:
    """Counts of a judged batch by the rules broken, a few rows `(rules, rows)`: see `BatchShares.counted`.

    A row that has a newer version of its key in the batch is left out: what was mended in time was never a problem.
    """
    dated = F.lit(True) if contract.cursor is None else F.col(contract.cursor).isNotNull()
    left = with_outdone(batch, contract, among=dated).where(~F.col("_outdone"))
    return left.groupBy(F.array_join(RULES, ",").alias("rules")).agg(F.count(F.lit(1)).alias("rows"))
