"""A lake in a temporary folder whose sources are rows that a test tells."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from tests.frames import at

from headwater.config import Settings, load_settings
from headwater.contracts import Contract, Contracts
from headwater.contracts.schema_contracts import SchemaContracts, in_force
from headwater.engine.embedded import EmbeddedEngine
from headwater.errors import SourceUnavailable
from headwater.extract.base_extractor import Extractor, Partition, Position, Reject, TimeWindow
from headwater.extract.conform import BronzeShape
from headwater.masking import load_masking
from headwater.masking.tokens import TOKENS
from headwater.object_store import Place
from headwater.quality.gate import Gate
from headwater.quality.limits import load_limits
from headwater.run.bronze import Landing
from headwater.run.build import Build
from headwater.run.context import Context, emitter
from headwater.run.events import Observer
from headwater.run.mirror import Mirror
from headwater.run.quarantine import Replay
from headwater.run.report import TableReport
from headwater.run.sources import Sources
from headwater.run.tables import lake_table
from headwater.state import Holder, Leases, open_store
from headwater.transform.table import load_tables

PROJECT = Path(__file__).parent.parent


@dataclass
class Told(Extractor):
    """A source that has exactly the rows told, each visible from the instant of its cursor.

    `columns` says how its table differs from the contract: columns of another type, of its own, or gone (None).
    """

    contract: Contract
    rows: Sequence[Mapping[str, Any]]
    windows: Sequence[datetime] = ()
    fails_after: int | None = None
    asked: list[Position] = field(default_factory=list)
    columns: Mapping[str, pa.DataType | None] = field(default_factory=dict)
    source = "test"

    def check(self) -> str:
        return "told by a test"

    def partitions(self, since: Position, until: datetime) -> list[Partition]:
        self.asked.append(since)
        edges = [since.watermark, *(each for each in self.windows if each < until), until]
        return [TimeWindow(start, end) for start, end in itertools.pairwise(edges) if end is not None]

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, TimeWindow)
        cursor = str(self.contract.cursor)
        due = [
            row
            for row in self.rows
            if (partition.start is None or row[cursor] >= partition.start) and row[cursor] < partition.end
        ]
        kinds = {each.name: each.type for each in self.contract.arrow_schema} | dict(self.columns)
        schema = pa.schema([(name, kind) for name, kind in kinds.items() if kind is not None])
        shape = BronzeShape(self.source, "TOLD", self.contract, self.drift)
        for number, row in enumerate(due):
            if self.fails_after is not None and number >= self.fails_after:
                raise SourceUnavailable(self.source, "the line broke")
            batch = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)
            yield shape.cast(batch, reject, declared=dict(zip(schema.names, schema.types, strict=True)))


class Lake:
    """Runs single steps of a run over a lake of its own."""

    def __init__(
        self,
        folder: Path,
        spark: SparkSession | None,
        contracts: Contracts,
        *observers: Observer,
        settings: Settings | None = None,
        schema_contracts: SchemaContracts | None = None,
    ) -> None:
        """Without a session nothing but Bronze can be moved; `settings` are those of a config file without a word."""
        settings = settings or _settings(folder)
        limits = load_limits(PROJECT / "config" / "dq.yaml", contracts)
        if schema_contracts is not None:
            limits = dataclasses.replace(limits, schema_contracts=schema_contracts)
            contracts = in_force(contracts, schema_contracts)
        self.folder, self.contracts = folder, contracts
        self.engine = EmbeddedEngine(Place(str(folder / "lake")), spark)
        emit, store, began = emitter(observers), open_store(settings), at("2024-11-01")
        mirror, holder = Mirror(store, emit), Holder.here("run-0", began)
        leases = Leases(store.documents, holder, settings.lease.ttl, settings.lease.wait, silent=mirror.silent)
        self._context = Context(
            run_id="run-0",
            began=began,
            holder=holder,
            at=began,
            settings=settings,
            contracts=contracts,
            functions=load_tables(),
            engine=self.engine,
            state=mirror,
            leases=leases,
            gate=Gate(limits.timeout),
            limits=limits,
            emit=emit,
        )
        self._runs = 0

    def land(self, table: str, *rows: Mapping[str, Any], until: str, **source: Any) -> TableReport:
        """Let a source tell these rows to a run at `until`."""
        return self.land_from(Told(self.contracts[table], rows, **source), table, at(until))

    def land_from(self, source: Extractor, table: str, until: datetime) -> TableReport:
        """Let any source tell what it has to a run at `until`."""
        return Landing(self.next_run(until), self.contracts[table], source).run()

    def mask(self, settings: str) -> None:
        """From here on runs mask as these settings say."""
        self._context = dataclasses.replace(
            self._context, masking=load_masking(_settings(self.folder, settings), self.contracts)
        )

    def build(
        self, table: str, until: str | datetime, *, remask: bool = False, replay: Replay | None = None
    ) -> TableReport:
        """Build a Silver or Gold table in a run at `until`."""
        context = self.next_run(at(until) if isinstance(until, str) else until)
        context = dataclasses.replace(context, remask=remask)
        return Build(context, context.functions[table], self.contracts[table], replay).run()

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The rows of a table as it stands, in the order of their values."""
        place = lake_table(self.contracts[table])
        head = self.engine.head(place)
        told = self.engine.read(place, head.version if head else None).select(*columns).toArrow().to_pylist()
        return sorted(
            (tuple(row.values()) for row in told), key=lambda row: [(value is None, str(value)) for value in row]
        )

    def version(self, table: str) -> int | None:
        head = self.engine.head(lake_table(self.contracts[table]))
        return head.version if head else None

    def quarantine(self, table: str) -> list[dict[str, Any]]:
        from headwater.run.tables import quarantine_table

        place = quarantine_table(self.contracts[table])
        head = self.engine.head(place)
        return [] if head is None else self.engine.read(place, head.version).toArrow().to_pylist()

    def evidence(self) -> list[dict[str, Any]]:
        return DeltaTable(str(self.folder / "lake" / "_dq_results")).to_pyarrow_table().to_pylist()

    def tokens(self) -> list[dict[str, Any]]:
        """What tokens lead back to."""
        head = self.engine.head(TOKENS)
        return [] if head is None else self.engine.read(TOKENS, head.version).toArrow().to_pylist()

    def next_run(self, until: datetime) -> Context:
        """What a run at `until` works with."""
        self._runs += 1
        return dataclasses.replace(self._context, run_id=f"run-{self._runs:04}", at=until, sources=Sources())


def _settings(folder: Path, more: str = "") -> Settings:
    file = folder / "config.yaml"
    file.write_text(f"engine: embedded\n{more}", encoding="utf-8")
    return load_settings(file, environment={})
