"""The tables that a lake may hold, and what their own logs say of them."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow.dataset import Dataset

from headwater.contracts import Contract, Contracts
from headwater.contracts.drifted import beyond
from headwater.contracts.types import spark_type
from headwater.engine.delta import recorded
from headwater.errors import LakeError
from headwater.object_store import Place
from headwater.observe.history import last_verdicts
from headwater.observe.tabular import counted

Schema: TypeAlias = Literal["bronze", "silver", "gold", "quarantine", "rejects", "restricted", "main"]

EVIDENCE = "_dq_results"
"""The table of every check that the gate made; it belongs to no layer."""


@dataclass(frozen=True)
class LakeTable:
    """A table by its place; it may not have been written yet."""

    schema: Schema
    name: str
    place: Place
    contract: Contract | None = None

    @property
    def full_name(self) -> str:
        return self.name if self.schema == "main" else f"{self.schema}.{self.name}"

    def open(self) -> DeltaTable | None:
        """A handle on its newest version, or None where it was never written.

        Raises:
            LakeError: there is a table, but its log cannot be read.
        """
        try:
            return DeltaTable(self.place.uri, storage_options=self.place.log_options)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            reason = self.place.refusal(error) or f"the log of {self.place} cannot be read: {error}"
            raise LakeError(f"{self.full_name}: {reason}") from error

    def dataset(self, handle: DeltaTable) -> Dataset:
        """The files of a version with their partition values, read without going through Python."""
        return handle.to_pyarrow_dataset(filesystem=self.place.filesystem)


def lake_tables(lake: Place, contracts: Contracts) -> list[LakeTable]:
    """Every table that the contracts imply: theirs, a quarantine for each of Silver, rejects for each of Bronze.

    Beside them are the values of tokens, and the checks of the gate.
    """
    tables = [
        LakeTable(contract.layer, contract.name, lake.at(contract.path), contract) for contract in contracts.values()
    ]
    silver = [table.name for table in tables if table.schema == "silver"]
    bronze = [table.name for table in tables if table.schema == "bronze"]
    tables += [LakeTable("quarantine", name, lake.at(f"quarantine/{name}")) for name in silver]
    tables += [LakeTable("rejects", name, lake.at(f"rejects/{name}")) for name in bronze]
    tables.append(LakeTable("restricted", "tokens", lake.at("restricted/tokens")))
    return [*tables, LakeTable("main", EVIDENCE, lake.at(EVIDENCE))]


def open_all(tables: Iterable[LakeTable]) -> dict[LakeTable, DeltaTable]:
    """A handle for each table that was written."""
    listed = list(tables)
    with ThreadPoolExecutor(max_workers=8) as pool:
        handles = list(pool.map(LakeTable.open, listed))
    return {table: handle for table, handle in zip(listed, handles, strict=True) if handle is not None}


def row_count(handle: DeltaTable) -> int:
    """The rows of a table by its log's statistics, without reading a file."""
    counts = pa.table(handle.get_add_actions(flatten=True))["num_records"]
    return sum(count or 0 for count in counts.to_pylist())


@dataclass(frozen=True)
class TableStatus:
    """What a table's log says.

    `newest` is the greatest value of its cursor, `position` how far its source is read, `drifted` the columns, with their
    types, that a Bronze table has and its contract does not know.
    """

    table: str
    layer: str
    rows: int
    version: int | None
    newest: datetime | None
    position: str
    verdict: str
    drifted: tuple[tuple[str, str], ...] = ()


def statuses(lake: Place, contracts: Contracts) -> list[TableStatus]:
    """The state of every contract's table, in the order of layers.

    Raises:
        LakeError: the lake cannot be reached, or a table's log not be read.
    """
    lake.check()
    tables = lake_tables(lake, contracts)
    handles = open_all(tables)
    verdicts = last_verdicts(
        next((table.dataset(handle) for table, handle in handles.items() if table.name == EVIDENCE), None)
    )
    return [_status(table, handles.get(table), verdicts) for table in tables if table.contract is not None]


def status_of(lake: Place, contracts: Contracts, table: LakeTable) -> TableStatus:
    """The state of one table."""
    return _status(table, table.open(), last_verdicts(evidence_of(lake, contracts)))


def evidence_of(lake: Place, contracts: Contracts) -> Dataset | None:
    """The checks of every table; None where none was made yet."""
    found = next(each for each in lake_tables(lake, contracts) if each.name == EVIDENCE)
    handle = found.open()
    return None if handle is None else found.dataset(handle)


def _status(table: LakeTable, handle: DeltaTable | None, verdicts: Mapping[str, str]) -> TableStatus:
    if handle is None:
        verdict = verdicts.get(table.name, "")
        return TableStatus(table.name, table.schema, 0, None, None, "", verdict)
    record = recorded(table.place, handle.version())
    return TableStatus(
        table=table.name,
        layer=table.schema,
        rows=row_count(handle),
        version=handle.version(),
        newest=_judged(record) or _newest(handle, table.contract.cursor if table.contract else None),
        position=_position(record.get("inputs") or {}),
        verdict=verdicts.get(table.name, ""),
        drifted=_drifted(handle, table),
    )


def _drifted(handle: DeltaTable, table: LakeTable) -> tuple[tuple[str, str], ...]:
    if table.contract is None or table.schema != "bronze":
        return ()
    schema = pa.schema(handle.schema().to_arrow())
    return tuple((name, spark_type(schema.field(name).type)) for name in beyond(table.contract, schema.names))


def _judged(record: Mapping[str, Any]) -> datetime | None:
    """The newest row that the gate saw, which leaves out rows that are dated after their run."""
    told = (record.get("metadata") or {}).get("newest")
    return datetime.fromisoformat(told) if told else None


def _newest(handle: DeltaTable, cursor: str | None) -> datetime | None:
    actions = pa.table(handle.get_add_actions(flatten=True))
    column = f"max.{cursor}"
    if cursor is None or column not in actions.column_names:
        return None
    values = [value for value in actions[column].to_pylist() if isinstance(value, datetime)]
    newest = max(values, default=None)
    return newest.replace(tzinfo=UTC) if newest and newest.tzinfo is None else newest


def _position(inputs: Mapping[str, Any]) -> str:
    """How far a Bronze table has read: an instant, the offsets per partition, or how many files; empty for others."""
    if watermark := inputs.get("watermark"):
        return f"{datetime.fromisoformat(watermark):%Y-%m-%d %H:%M:%S}"
    if offsets := inputs.get("offsets"):
        return " ".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
    if files := inputs.get("files"):
        return counted(len(files), "file")
    return ""
