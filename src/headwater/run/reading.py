"""What a table is computed from: its inputs at the versions that were planned, each opened once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.quality.typed import RAW, typed
from headwater.run.context import Context
from headwater.run.tables import lake_table
from headwater.transform.presented import presented, unreadable
from headwater.transform.table import TableFunction


@dataclass
class Reading:
    """The inputs of one table's step at `versions`; what has none of them was never committed, and is empty."""

    context: Context
    function: TableFunction
    contract: Contract
    versions: Mapping[str, int]
    _opened: dict[str, DataFrame] = field(default_factory=dict)

    @property
    def landed(self) -> list[str]:
        """The Bronze tables whose every version comes to an end here."""
        return [name for name in self.function.versions if name in self.versions]

    def as_it_stands(self, name: str) -> DataFrame:
        """An input with all its columns; opened once, as its schema is asked for more than once."""
        if name not in self._opened:
            table = lake_table(self.context.contracts[name])
            self._opened[name] = self.context.engine.read(table, self.versions.get(name))
        return self._opened[name]

    def read(self, name: str) -> DataFrame:
        """An input as functions see it: Bronze as its contract describes it, whatever its source has changed."""
        rows, contract = self.as_it_stands(name), self.context.contracts[name]
        return presented(rows, contract) if contract.layer == "bronze" else rows

    @cached_property
    def parents(self) -> dict[str, DataFrame]:
        """The tables that the contract's foreign keys refer to, where they stand."""
        parents = {key.parent for key in self.contract.foreign_keys}
        return {name: self.read(name) for name in parents if name in self.versions}

    def computed(self) -> DataFrame:
        """What the function makes of its inputs, in the contract's types."""
        settings = {"fx_max_age_days": self.context.settings.fx.max_age_days}
        rows = self.function.compute({name: self.read(name) for name in self.function.inputs}, settings)
        for name in self.function.versions:
            rows = self._with_unreadable(rows, name)
        return typed(rows, self.contract)

    def _with_unreadable(self, rows: DataFrame, name: str) -> DataFrame:
        """Mark the versions of which Bronze holds a value beside its column that is none of its type.

        Such values are few, or the source is not what its contract says: only then is there a join.
        """
        bronze = self.as_it_stands(name)
        found = unreadable(bronze, self.context.contracts[name], set(self.contract.column_names))
        if not found:
            return rows
        texts = [text.alias(f"_unreadable_{column}") for column, text in found.items()]
        names = [f"_unreadable_{column}" for column in found]
        few = bronze.select("_row_id", F.lit(name).alias("_input"), *texts)
        few = few.where(F.coalesce(*(F.col(each) for each in names)).isNotNull())
        if few.isEmpty():
            return rows
        marked = rows.join(few, ["_row_id", "_input"], "left")
        for column in found:
            text = F.col(f"_unreadable_{column}")
            told = F.coalesce(F.col(RAW + column), text) if RAW + column in rows.columns else text
            marked = marked.withColumn(RAW + column, told)
        return marked.drop(*names)
