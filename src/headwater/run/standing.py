"""The columns of a Bronze table as it stands, and as what a run reads widens it."""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Column, Contract
from headwater.contracts.drifted import MORE, beside_of, beyond
from headwater.contracts.types import spark_type
from headwater.engine import Table
from headwater.extract.beside import divided
from headwater.run.events import Drifted
from headwater.run.tables import INGEST_DATE, LANDED, lake_table

MOST_COLUMNS = 200
"""So many columns a Bronze table may have beyond its contract: a source whose fields are named by its data has no end."""


class Standing:
    """Which type each column of a Bronze table has: the table's own where it stands, else whoever brings it first.

    Several pieces may be read at once: a column that two of them bring gets one type.
    """

    def __init__(self, contract: Contract, held: pa.Schema | None) -> None:
        self._contract = contract
        self._lock = threading.Lock()
        told = {field.name: field.type for field in held or ()}
        own = {*LANDED.names, INGEST_DATE}
        self._types: dict[str, pa.DataType] = {name: kind for name, kind in told.items() if name not in own}
        self._began = frozenset(self._types)
        for each in contract.arrow_schema:
            self._types.setdefault(each.name, each.type)

    def table(self, more: Iterable[str] = ()) -> Table:
        """The table as it stands, and with columns that a piece brings."""
        table = lake_table(self._contract)
        with self._lock:
            names = dict.fromkeys((*self._contract.column_names, *beyond(self._contract, self._began), *more))
            fields = [pa.field(name, self._types[name]) for name in names]
        return replace(table, schema=pa.schema([*fields, *LANDED, pa.field(INGEST_DATE, pa.date32())]))

    def fitted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch in the table's types; a value that does not fit stands in a column beside its own."""
        batch = self._without_end(batch)
        if all(self._type(each.name, each.type) == each.type for each in batch.schema):
            return batch
        arrays: dict[str, pa.Array] = {}
        for each, values in zip(batch.schema, batch.columns, strict=True):
            wanted = self._type(each.name, each.type)
            if wanted == each.type:
                _put(arrays, each.name, values)
                continue
            column = Column(each.name, spark_type(wanted))
            array, besides, _ = divided(column, values, each.type)
            _put(arrays, each.name, array)
            for name, others in besides.items():
                self._type(name, others.type)
                _put(arrays, name, others)
        return pa.RecordBatch.from_pydict(arrays)

    def told(self, brought: "Brought") -> list[Drifted]:
        """What people should know of the columns that a piece brought."""
        table, found = self._contract.name, list[Drifted]()
        for name, values in brought.values.items():
            column, kind = beside_of(name), spark_type(self._types[name])
            if column in self._contract.column_names:
                if values:
                    text = f"{values} values of another type than {column} has are in {name}"
                    found.append(Drifted(table, name, "retyped", text))
            elif name in self._began:
                found.append(Drifted(table, name, "unknown", f"{name} ({kind}) is not in the contract; it is kept"))
            else:
                found.append(Drifted(table, name, "new", f"{name} ({kind}) is new, and not in the contract"))
        return found

    def _without_end(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with all that would be one column too many as JSON in one column."""
        with self._lock:
            more: list[str] = []
            for name in beyond(self._contract, batch.schema.names):
                if name in self._types or beside_of(name) or name == MORE:
                    continue
                if len(beyond(self._contract, self._types)) < MOST_COLUMNS:
                    self._types[name] = batch.schema.field(name).type
                else:
                    more.append(name)
        if not more:
            return batch
        told = [
            {name: value for name, value in row.items() if value is not None} for row in batch.select(more).to_pylist()
        ]
        texts = [json.dumps(row, default=str, ensure_ascii=False) if row else None for row in told]
        return batch.drop_columns(more).append_column(MORE, pa.array(texts, pa.string()))

    def _type(self, name: str, kind: pa.DataType) -> pa.DataType:
        with self._lock:
            return self._types.setdefault(name, kind)


@dataclass
class Brought:
    """The columns beyond the contract that one piece has, and how many values each."""

    contract: Contract
    values: dict[str, int] = field(default_factory=dict)

    def count(self, batch: pa.RecordBatch) -> None:
        for name in beyond(self.contract, batch.schema.names):
            column = batch.column(name)
            self.values[name] = self.values.get(name, 0) + len(column) - column.null_count


def _put(arrays: dict[str, pa.Array], name: str, values: pa.Array) -> None:
    arrays[name] = pc.coalesce(arrays[name], values) if name in arrays else values
