"""Six sources behind proxies, a table of each large enough to come in several batches, and landings of it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tests.chaos.faults.http import HttpProxy
from tests.chaos.faults.log import Deliveries
from tests.chaos.faults.tcp import TcpProxy
from tests.e2e.tiny import ACCOUNTS, EVENTS, ORDERS, RATES, STRING, Lake
from tests.versions import INSTANT, T0, write_about

from headwater import sandbox
from headwater.config import load_settings
from headwater.errors import SourceError
from headwater.extract import EXTRACTORS, build
from headwater.run.bronze import Landing
from headwater.run.events import Event, Progressed
from headwater.run.opened import opened
from headwater.run.report import TableReport
from headwater.sandbox import Status
from headwater.sandbox.kafka import KafkaStandIn
from headwater.sandbox.ports import free_port

CLOCK = T0 + timedelta(days=1)
"""What every source says of the time."""
SPAN = timedelta(hours=20)
"""So long before the clock the rows begin; they end some minutes after it."""

TABLES = {
    "snowflake": "snowflake_orders",
    "redshift": "redshift_behavior",
    "salesforce": "salesforce_accounts",
    "s3": "external_inventory",
    "kafka": "kafka_user_events",
    "fx_vendor": "fx_vendor_rates",
}
"""A table of each source."""

ROWS = {"snowflake": 40_000, "redshift": 45_000, "salesforce": 5_000, "kafka": 30_000, "fx_vendor": 12_000}
"""More than one chunk, fetch, page or batch holds."""
FILES, LINES = 4, 1_000


def cursors(rows: int) -> list[datetime]:
    """Evenly spread instants, from before the clock to after it."""
    step = (SPAN + timedelta(minutes=20)) / rows
    return [CLOCK - SPAN + step * number for number in range(rows)]


def write_dataset(folder: Path) -> Path:
    """Tables without a reject, files and messages with a few; all is visible from the beginning."""
    tables = {
        "snowflake/ORDERS": (ORDERS, _orders(cursors(ROWS["snowflake"]))),
        "redshift/customer_behavior": (EVENTS, _events(cursors(ROWS["redshift"]))),
        "salesforce/Account": (ACCOUNTS, _accounts(cursors(ROWS["salesforce"]))),
        "fx/rates": (RATES, _rates(cursors(ROWS["fx_vendor"]))),
    }
    for name, (columns, rows) in tables.items():
        arrays = [pa.array(values, kind) for values, (_, kind) in zip(rows, columns, strict=True)]
        _write(folder / f"{name}.parquet", dict(zip([each for each, _ in columns], arrays, strict=True)))
    _write_files(folder / "s3")
    return write_about(folder)


def write_topic(folder: Path) -> Path:
    """A dataset of messages alone, one in a hundred of them no JSON."""
    stamps = cursors(ROWS["kafka"])
    values = [
        json.dumps({"event_id": f"U{n}", "customer_id": f"C{n % 97}", "session_id": "S" * 40, "event_type": "click"})
        if n % 100
        else "{no json"
        for n in range(len(stamps))
    ]
    # in the order of partitions, within each in that of time
    order = sorted(range(len(stamps)), key=lambda n: (n % 3, n))
    columns = {
        "partition": pa.array([n % 3 for n in order], pa.int32()),
        "key": pa.array([f"key-{n}" for n in order]),
        "value": pa.array([values[n].encode() for n in order], pa.binary()),
        "timestamp": pa.array([stamps[n] for n in order], INSTANT),
    }
    _write(folder / "kafka" / "user_events.parquet", columns)
    return write_about(folder)


def _write(file: Path, columns: Mapping[str, pa.Array]) -> None:
    rows = len(next(iter(columns.values())))
    visible = {"_visible_at": pa.array([T0] * rows, INSTANT), "_deleted_at": pa.nulls(rows, INSTANT)}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(columns) | visible), file)


def _orders(at: list[datetime]) -> list[list[Any]]:
    numbers = range(len(at))
    texts = [[f"C{n % 97}" for n in numbers], at, [f"P{n % 13}" for n in numbers]]
    amounts = [Decimal(n).scaleb(-2) for n in numbers]
    return [
        [f"O{n}" for n in numbers],
        *texts,
        [n % 5 for n in numbers],
        amounts,
        _all("EUR", at),
        _all("PAID", at),
        at,
    ]


def _events(at: list[datetime]) -> list[list[Any]]:
    numbers = range(len(at))
    first = [[f"E{n}" for n in numbers], [f"C{n % 97}" for n in numbers], _all("page_view", at), at]
    return [
        *first,
        [f"S{n % 1000}" for n in numbers],
        *(_all(each, at) for each in ("phone", "US-CA", "/", None, "{}")),
    ]


def _accounts(at: list[datetime]) -> list[list[Any]]:
    numbers = range(len(at))
    texts = [[f"001{n:012d}AAA" for n in numbers], [f"Kent {n}" for n in numbers], _all("Retail", at)]
    places = [_all(each, at) for each in (None, None, "Ulm", "Germany")]
    return [*texts, [Decimal(n) for n in numbers], *places, _all(T0, at), at, at]


def _rates(at: list[datetime]) -> list[list[Any]]:
    numbers = range(len(at))
    days = [T0.date() - timedelta(days=n // 30) for n in numbers]
    quotes = [f"X{n % 30:02d}" for n in numbers]
    return [days, _all("EUR", at), quotes, [Decimal(10**6 + n).scaleb(-6) for n in numbers], at]


def _all(value: object, at: list[datetime]) -> list[Any]:
    return [value] * len(at)


def _write_files(folder: Path) -> None:
    """A file a day, each with a line that is none."""
    names = [f"{T0.date() - timedelta(days=day)}" for day in range(FILES)]
    (folder / "objects").mkdir(parents=True)
    for name in names:
        lines = [f"P{number},W1,{number},2" for number in range(LINES)]
        lines[LINES // 2] = "P1,W1,many,2"
        text = "\n".join(["product_id,warehouse_id,quantity,reorder_point", *lines, ""])
        (folder / "objects" / f"{name}.csv").write_text(text, encoding="utf-8")
    keys = [f"erp-export/inventory/{name}/inventory.csv" for name in names]
    paths = [f"{name}.csv" for name in names]
    _write(folder / "files.parquet", {"key": pa.array(keys, STRING), "path": pa.array(paths, STRING)})


@dataclass(frozen=True)
class Landed:
    """What a landing left: rows and rejects in the order of their ids, and how far the table is read."""

    rows: pa.Table
    rejects: pa.Table
    position: Mapping[str, Any]
    stored: Mapping[str, Any]


@dataclass
class Ended:
    """How one run of a landing ended: its report, or what the source did; and how often it asked anew."""

    report: TableReport | None = None
    error: SourceError | None = None
    retries: int = 0


@dataclass
class Source:
    """One source behind its proxies; `tcp` stands in front of it, `http` where it speaks HTTP."""

    name: str
    table: str
    tcp: TcpProxy
    http: HttpProxy | None
    secret: str
    settings: Mapping[str, Any]

    def through(self, port: int) -> dict[str, Any]:
        """The source's settings with the port of one of its proxies, wherever they name one."""
        old = str(self.tcp.upstream)
        if self.name == "kafka":
            return dict(self.settings)  # the broker itself sends its clients to the proxy
        return {
            key: port if key == "port" else value.replace(old, str(port)) if isinstance(value, str) else value
            for key, value in self.settings.items()
        }


@dataclass
class Bench:
    """All sources, and a folder for lakes."""

    status: Status
    folder: Path
    sources: Mapping[str, Source]
    _lakes: int = 0
    undisturbed: dict[str, tuple[Landed, int]] = field(default_factory=dict)
    """Of each source: what a landing without any fault leaves, and how many bytes of answers it took."""

    def lake(self, source: Source, port: int) -> Lake:
        """An empty lake whose source is reached through a port."""
        self._lakes += 1
        patience = {"connect_timeout": "3s", "answer_timeout": "3s", "attempts": 2}
        return Lake.beside(
            self.status,
            self.folder / f"lake-{self._lakes}",
            data_sources={source.name: source.through(port) | patience | {"enabled": True}},
            secrets={source.name: source.secret},
        )

    def land(self, lake: Lake, source: Source, at: datetime = CLOCK, deliveries: Deliveries | None = None) -> Ended:
        """Land the source's table once, as a run does."""
        rows = 0

        def observe(event: Event) -> None:
            nonlocal rows
            if isinstance(event, Progressed):
                rows = event.rows

        if deliveries is not None:
            deliveries.rows = lambda: rows
        settings = load_settings(lake.config, {})
        with opened(settings, at, [observe]) as context:
            contract = context.contracts[source.table]
            block = getattr(settings.data_sources, source.name)
            extractor = build(source.table, block, settings.secrets.get(source.name), contract)
            with _retries_counted() as retries:
                try:
                    with context.lease(source.table):
                        report = Landing(context, contract, extractor).run()
                except SourceError as error:
                    return Ended(error=error, retries=len(retries))
                return Ended(report, retries=len(retries))


@contextmanager
def _retries_counted() -> Iterator[list[object]]:
    """What the run's retries tell of themselves meanwhile."""
    from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

    told: list[object] = []
    standing = get_on_retry_hooks()
    set_on_retry_hooks([told.append])
    try:
        yield told
    finally:
        set_on_retry_hooks(standing)


def landed(lake: Lake, source: Source) -> Landed:
    """What stands in the lake."""
    contract_path = next(path for path in lake.tables() if path.startswith("bronze/"))
    rejects = f"rejects/{source.table}"
    return Landed(
        rows=_sorted(lake.table(contract_path).to_pyarrow_table()),
        rejects=_sorted(lake.table(rejects).to_pyarrow_table()) if rejects in lake.tables() else pa.table({}),
        position=lake.inputs()[contract_path],
        stored=lake.store()[source.table],
    )


def _sorted(table: pa.Table) -> pa.Table:
    """Without what tells one run from another."""
    kept = [name for name in table.column_names if name not in ("_run_id", "_ingest_ts", "_ingest_date")]
    return table.select(sorted(kept)).sort_by("_row_id")


@contextmanager
def bench_in(folder: Path) -> Iterator[Bench]:
    """Start everything; at the end nothing runs any more."""
    assert set(TABLES.values()) <= EXTRACTORS.keys()
    proxies: list[TcpProxy | HttpProxy] = []

    def proxied(name: str, settings: dict[str, Any], port: int, secret: Path) -> Source:
        tcp = TcpProxy()
        tcp.upstream = port
        http = HttpProxy() if name in ("snowflake", "salesforce", "s3", "fx_vendor") else None
        if http is not None:
            http.upstream = port
        proxies.extend(each for each in (tcp, http) if each is not None)
        return Source(name, TABLES[name], tcp, http, f"file:{secret}", settings)

    place = folder / ".headwater" / "sandbox"
    kafka_port = free_port()
    broker = TcpProxy()
    broker.upstream = kafka_port
    proxies.append(broker)
    stand_in = KafkaStandIn(folder / "kafka", kafka_port, advertised_port=broker.port)
    try:
        status = sandbox.up(place, write_dataset(folder / "dataset"), at=CLOCK)
        connections = yaml.safe_load(status.connections.read_text(encoding="utf-8"))["data_sources"]
        sources = {
            name: proxied(name, settings, status.sources[name], place / "secrets" / f"{name}.json")
            for name, settings in connections.items()
            if name in status.sources
        }
        connection = stand_in.start(write_topic(folder / "topic"), CLOCK)
        secret = folder / "kafka.json"
        secret.write_text(json.dumps(connection.secret), encoding="utf-8")
        secret.chmod(0o600)
        settings = connection.settings | {"bootstrap_servers": f"127.0.0.1:{broker.port}"}
        sources["kafka"] = Source("kafka", TABLES["kafka"], broker, None, f"file:{secret}", settings)
        yield Bench(status, folder, sources)
    finally:
        stand_in.stop()
        sandbox.down(place)
        for each in proxies:
            each.close()
