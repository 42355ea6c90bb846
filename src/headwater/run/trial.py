"""Tries the tables' functions on inputs as their contracts have them, without a row of data: what do they return?

The inputs lie in files of one row without values: an engine that knew them to be empty would leave them out of its plan.
"""

import contextlib
import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DataType

from headwater.contracts import Contract, Contracts
from headwater.quality.blocks import SqlExpectation
from headwater.quality.typed import RAW, VERSION_COLUMNS
from headwater.quality.verdict import first_line
from headwater.run.tables import lake_table
from headwater.transform.table import TableFunction


class Failed(Exception):
    """A function that raised, or whose query does not fit its inputs."""


@dataclass
class Trials:
    """A session, the functions, and a folder for what they are tried on; use it as a context."""

    session: SparkSession
    functions: Mapping[str, TableFunction]
    _folder: "tempfile.TemporaryDirectory[str]" = field(default_factory=tempfile.TemporaryDirectory)
    _written: dict[str, Path] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def returned(self, name: str, contracts: Contracts) -> dict[str, DataType]:
        """The columns that a function returns with their types, if its inputs are as `contracts` say.

        Raises:
            Failed: it cannot be computed from them; says why.
        """
        computed = self._computed(name, contracts)
        try:
            return {each.name: each.dataType for each in computed.schema.fields}
        except Exception as error:
            raise Failed(_told(error)) from error

    def made_from(self, name: str, contracts: Contracts) -> dict[str, frozenset[tuple[str, str]]]:
        """For each column that a function returns, the columns of its inputs that the engine reads for it.

        They are read from the query's plan, which leaves out what is not needed. What decides which rows there are
        counts for every column. What a function reads while it is being called is in no plan.

        Raises:
            Failed: it cannot be computed.
        """
        inputs = self.functions[name].inputs
        computed = self._computed(name, contracts)
        found: dict[str, frozenset[tuple[str, str]]] = {}
        for column in computed.columns:
            if column in VERSION_COLUMNS:
                continue
            read = self._read_for(computed.select(column), inputs, contracts)
            own = column.removeprefix(RAW)
            found[own] = found.get(own, frozenset()) | read
        return found

    def is_answered(self, query: str, table: Contract, contracts: Contracts) -> str | None:
        """Whether a query of a table's contract can be put to the table and its inputs; if not, why."""
        names = {"headwater_trial": table} | {name: contracts[name] for name in self.functions[table.name].inputs}
        return self._answers(query.replace("${table}", "headwater_trial"), names)

    def is_counted(self, expectation: SqlExpectation, table: Contract) -> str | None:
        """Whether an operator's query can be put to a candidate of a table; if not, why."""
        return self._answers(f"SELECT * FROM (\n{expectation.query}\n)", {"candidate": table})  # noqa: S608 - the operator's own

    def _answers(self, query: str, names: Mapping[str, Contract]) -> str | None:
        try:
            for name, contract in names.items():
                self._frame(contract).createOrReplaceTempView(name)
            told = self.session.sql(query).schema
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a query is told
            return _told(error)
        finally:
            for name in names:
                self.session.catalog.dropTempView(name)
        return None if len(told.fields) == 1 else f"it answers with {len(told.fields)} columns instead of one"

    def _computed(self, name: str, contracts: Contracts) -> DataFrame:
        function = self.functions[name]
        try:
            return function.compute({each: self._frame(contracts[each]) for each in function.inputs})
        except Exception as error:
            raise Failed(_told(error)) from error

    def _frame(self, contract: Contract) -> DataFrame:
        schema = lake_table(contract).schema
        key = f"{contract.name}: {schema}"
        if (path := self._written.get(key)) is None:
            path = Path(self._folder.name) / str(len(self._written)) / f"{contract.name}.parquet"
            path.parent.mkdir()
            rows = pa.table({each.name: pa.nulls(1, each.type) for each in schema}, schema=schema)
            pq.write_table(rows, path, write_statistics=False)
            self._written[key] = path
        return self.session.read.parquet(str(path))

    @staticmethod
    def _read_for(selected: DataFrame, inputs: tuple[str, ...], contracts: Contracts) -> frozenset[tuple[str, str]]:
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            selected.explain(extended=True)
        logical, _, physical = told.getvalue().rpartition("== Physical Plan ==")
        columns = {name: contracts[name].column_names for name in inputs}
        if "Physical plan error" not in physical:
            return _scanned(physical, columns)
        return _projected(logical.rpartition("== Optimized Logical Plan ==")[2], columns)


def _scanned(physical: str, columns: Mapping[str, Sequence[str]]) -> frozenset[tuple[str, str]]:
    """The columns that a physical plan reads of each input's file."""
    read: set[tuple[str, str]] = set()
    for line in physical.splitlines():
        table = re.search(r"/(\w+)\.parquet", line)
        if table is not None and table[1] in columns:
            words = set(re.findall(r"\w+", line.partition("projection=")[2]))
            read |= {(table[1], column) for column in columns[table[1]] if column in words}
    return frozenset(read)


def _projected(logical: str, columns: Mapping[str, Sequence[str]]) -> frozenset[tuple[str, str]]:
    """The same of a logical plan, which does not name its files: a scan counts for every input that has its columns.

    Sail explains some queries no further, though it runs them as parts of larger ones.
    """
    read: set[tuple[str, str]] = set()
    for line in logical.splitlines():
        if (scan := re.search(r"TableScan: .*?projection=\[([^\]]*)\](.*)", line)) is None:
            continue
        names = [name.strip() for name in scan[1].split(",") if name.strip()]
        filtered = set(re.findall(r"\.(\w+)", scan[2]))
        for table, held in columns.items():
            own = [name for name in names if not name.startswith("_")]
            if set(own) <= set(held):
                read |= {(table, name) for name in held if name in own or name in filtered}
    return frozenset(read)


def _told(error: Exception) -> str:
    """What an engine or a function says of itself, without its stack."""
    return f"{type(error).__name__}: {first_line(error)}"
