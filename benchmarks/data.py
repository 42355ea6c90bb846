"""Makes the reference job's inputs: a year of a shop, as Delta tables, the same on every machine.

Every value is a hash of its row's number, so that a chunk is made without the chunks before it and memory holds one.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.contracts import Contracts
from headwater.engine import delta
from headwater.engine.protocol import Commit, File, Staged, StagedFile, Table
from headwater.object_store import Place
from headwater.run.tables import lake_table
from headwater.sandbox.datasets import names, people
from headwater.sandbox.datasets.columns import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    choose,
    compact_seconds,
    decimal_text,
    flags,
    hexadecimal,
    instants,
    integers,
    joined,
    micros,
    money,
    nulled,
    padded,
    replaced,
)
from headwater.sandbox.datasets.draws import Ints, Mask, below, bits, unit, weighted
from headwater.sandbox.datasets.generated.shop import customer_ids, order_ids, price_cents, product_ids
from headwater.sandbox.datasets.rates import rates

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2025, 1, 1, tzinfo=UTC)
"""Orders and events fill the time between; the job runs at the end."""

_VERSION = 1  # raise it when the same scale makes other rows
_CHUNK = 500_000
_FIRST_US, _END_US = micros(FIRST), micros(END)
_STATUSES = ("PLACED", "PAID", "SHIPPED", "COMPLETED", "CANCELLED", "RETURNED", "REFUNDED")
_SESSION_LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 18)
"""Events of ten visits in a row, 6.9 on average."""


@dataclass(frozen=True)
class Volumes:
    """How much there is: ten million order versions and what belongs to them, times `scale`."""

    orders: int
    customers: int
    products: int
    accounts: int
    events: int

    @property
    def order_versions(self) -> int:
        return self.orders + (self.orders + 6) // 10

    @classmethod
    def of(cls, scale: float) -> "Volumes":
        return cls(
            orders=round(10_000_000 / 1.1 * scale),
            customers=max(round(1_000_000 * scale), 10),
            products=max(round(100_000 * scale), 10),
            accounts=max(round(250_000 * scale), 10),
            events=round(20_000_000 * scale),
        )


def prepared(folder: Path, scale: float, contracts: Contracts) -> Path:
    """The lake that holds the inputs at this scale below `folder`, made now if it is not there whole."""
    lake = folder / f"scale-{scale:g}"
    made = lake / "made.json"
    volumes = Volumes.of(scale)
    wanted = {"version": _VERSION, **asdict(volumes)}
    if made.is_file() and json.loads(made.read_text(encoding="utf-8")) == wanted:
        return lake
    shutil.rmtree(lake, ignore_errors=True)
    _write(lake, lake_table(contracts["snowflake_orders"]), _orders(volumes))
    _write(lake, lake_table(contracts["customers"]), _customers(volumes))
    _write(lake, lake_table(contracts["products"]), _products(volumes))
    _write(lake, lake_table(contracts["accounts"]), _accounts(volumes))
    _write(lake, lake_table(contracts["behavior"]), _behavior(volumes))
    _write(lake, lake_table(contracts["fx_rates"]), _fx_rates())
    made.write_text(json.dumps(wanted), encoding="utf-8")
    return lake


def _write(lake: Path, table: Table, pieces: Iterator[tuple[str | None, pa.Table]]) -> None:
    """Write each piece, which belongs to one partition, as a file, and commit them all as the first version."""
    root = lake / table.path
    kept = [name for name in table.schema.names if name not in table.partition_by]
    files: list[StagedFile] = []
    for partition, piece in pieces:
        values = dict.fromkeys(table.partition_by, partition)
        file = root.joinpath("first", *(f"{column}={value}" for column, value in values.items()))
        file = file / f"part-{len(files):05d}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        typed = piece.select(kept).cast(pa.schema([table.schema.field(name) for name in kept]))
        pq.write_table(typed, file, compression="zstd", row_group_size=125_000)
        path, size = file.relative_to(root).as_posix(), file.stat().st_size
        files.append(delta.staged_file(table, File(path, size, END), pq.read_metadata(file), values))
    inputs = {"watermark": f"{END:%Y-%m-%dT%H:%M:%SZ}"}
    delta.put(Place(str(root)), table, Staged("first", tuple(files)), Commit(table.app_id, 1, inputs), overwrite=False)


def _chunks(count: int) -> Iterator[Ints]:
    for start in range(0, count, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, count), dtype=np.int64)


def _orders(volumes: Volumes) -> Iterator[tuple[str, pa.Table]]:
    """One version of each order, a second one of every tenth, which a later run landed."""
    for order in _chunks(volumes.orders):
        placed = _spread("order", order, volumes.orders)
        landed = int(placed[-1]) // DAY * DAY + DAY
        yield _order_versions(volumes, order, placed, 0, landed)
        again = order % 10 == 3
        yield _order_versions(volumes, order[again], placed[again], 1, landed + 7 * DAY)


def _order_versions(volumes: Volumes, order: Ints, placed: Ints, version: int, landed: int) -> tuple[str, pa.Table]:
    number = (unit("order.customer", order) ** 1.5 * volumes.customers).astype(np.int64)
    country = people.country_of(number)
    product = below("order.product", order, volumes.products)
    quantity = 1 + weighted("order.quantity", order, [60, 20, 8, 5, 3, 1])
    local = np.rint(price_cents(product) * quantity * people.LEVELS[country]).astype(np.int64)
    final = weighted("order.status", order, [4, 5, 16, 68, 4, 2, 1])
    changed = placed + (8 * HOUR + below("order.done", order, 5 * DAY) if version else below("order.seen", order, HOUR))
    customer = replaced(customer_ids(number), order % 331 == 5, padded("X", order % 2_000, 9))
    columns = {
        "order_id": order_ids(order),
        "customer_id": nulled(customer, order % 509 == 13),
        "order_date": instants(placed),
        "product_id": replaced(product_ids(product), order % 997 == 3, padded("P", order % 100, 6)),
        # A negative quantity is a slip that a second version puts right.
        "quantity": integers(np.where((order % 503 == 11) & (version == 0), -quantity, quantity)),
        # Bronze has four decimals: some amounts end in half a cent.
        "amount": money(local * 100 + np.where(order % 1009 == 2, 50, 0), 20, 4),
        "currency": _currencies(order, country),
        "status": choose(_STATUSES, np.where((order % 10 == 3) & (version == 0), 0, final)),
        "last_modified_ts": instants(np.minimum(changed, _END_US - MINUTE)),
        "_ingest_ts": instants(np.full(len(order), landed + 2 * HOUR)),
        "_source": _same("snowflake", len(order)),
        "_run_id": _same(f"{landed // DAY:06d}-{version}", len(order)),
        "_row_id": joined(*(hexadecimal("", bits(f"order.row.{version}.{half}", order), 16) for half in (0, 1))),
    }
    return (date(1970, 1, 1) + timedelta(days=landed // DAY)).isoformat(), pa.table(columns)


def _currencies(order: Ints, country: Ints) -> pa.Array:
    """ISO codes; few in small letters, fewer with a space before them, fewer still of no country."""
    spelled = [
        *people.CURRENCIES,
        *map(str.lower, people.CURRENCIES),
        *(f" {code}" for code in people.CURRENCIES),
        "XXX",
    ]
    untidy = len(people.CURRENCIES) * (order % 97 == 19).astype(np.int64) * (1 + order // 97 % 2)
    return choose(spelled, np.where(order % 487 == 17, len(spelled) - 1, country + untidy))


def _customers(volumes: Volumes) -> Iterator[tuple[None, pa.Table]]:
    for customer in _chunks(volumes.customers):
        country = people.country_of(customer)
        changed = instants(_spread("customer", customer, volumes.customers))
        columns = {
            "customer_id": customer_ids(customer),
            "first_name": people.first_names(customer),
            "last_name": people.last_names(customer),
            "email": _customer_emails(customer),
            "phone": people.phones(customer),
            "address": people.streets(customer),
            "city": choose(people.CITIES, country),
            "country": nulled(choose(people.CODES, country), customer % 97 == 11),
            "segment": _same("consumer", len(customer)),
            "created_ts": changed,
            "last_modified_ts": changed,
        }
        yield None, pa.table(columns)


def _customer_emails(customer: Ints) -> pa.Array:
    return nulled(people.emails(customer, np.zeros(len(customer), np.int64)), customer % 101 == 50)


def _products(volumes: Volumes) -> Iterator[tuple[None, pa.Table]]:
    for product in _chunks(volumes.products):
        columns = {
            "product_id": product_ids(product),
            "name": joined(choose(names.THINGS, product % len(names.THINGS)), " ", decimal_text(product)),
            "category": choose(names.CATEGORIES, below("product.category", product, len(names.CATEGORIES))),
            "brand": choose(names.BRANDS, below("product.brand", product, len(names.BRANDS))),
            "list_price": money(price_cents(product), 18, 2),
            "currency": _same("USD", len(product)),
            "active": flags(product % 20 != 8),
            "last_modified_ts": instants(_spread("product", product, volumes.products)),
        }
        yield None, pa.table(columns)


def _accounts(volumes: Volumes) -> Iterator[tuple[None, pa.Table]]:
    """Companies; one in fifty shares its e-mail address with the one before, one in twenty has none."""
    for account in _chunks(volumes.accounts):
        shared = account - (account % 50 == 7)
        changed = instants(_spread("account", account, volumes.accounts))
        columns = {
            "account_id": padded("001", account, 15),
            "name": joined(people.last_names(account), " ", decimal_text(account)),
            "industry": nulled(_industries(account), account % 43 == 9),
            "annual_revenue": money(below("account.revenue", account, 10**11), 18, 2),
            "phone": people.phones(account),
            "billing_street": people.streets(account),
            "billing_city": choose(people.CITIES, people.country_of(account)),
            "billing_country": choose(people.CODES, people.country_of(account)),
            "primary_email": nulled(_customer_emails(shared * 4 % volumes.customers), account % 20 == 0),
            "created_date": changed,
            "last_modified_date": changed,
            "system_modstamp": changed,
        }
        yield None, pa.table(columns)


def _industries(account: Ints) -> pa.Array:
    return choose(names.INDUSTRIES, below("account.industry", account, len(names.INDUSTRIES)))


def _behavior(volumes: Volumes) -> Iterator[tuple[str, pa.Table]]:
    """Events of visits, each of one customer or of nobody known, a file for each month that a chunk touches."""
    visits, at_once = len(_SESSION_LENGTHS), sum(_SESSION_LENGTHS)
    visit_of = np.repeat(np.arange(visits), _SESSION_LENGTHS)
    rank_of = np.arange(at_once) - np.repeat(np.cumsum([0, *_SESSION_LENGTHS[:-1]]), _SESSION_LENGTHS)
    sessions = (volumes.events // at_once + 1) * visits
    for event in _chunks(volumes.events):
        session = event // at_once * visits + visit_of[event % at_once]
        started = _spread("session", session, sessions) // SECOND * SECOND
        at = np.minimum(
            started + rank_of[event % at_once] * 40 * SECOND + below("event.pause", event, 30 * SECOND), _END_US - 1
        )
        columns = _event_columns(volumes, event, session, started, at)
        months = at.astype("datetime64[us]").astype("datetime64[M]")
        for month in np.unique(months):
            yield str(month), columns.filter(flags(months == month))


def _event_columns(volumes: Volumes, event: Ints, session: Ints, started: Ints, at: Ints) -> pa.Table:
    customer = (unit("session.customer", session) ** 1.2 * volumes.customers).astype(np.int64)
    nobody: Mask = session % 33 == 0
    country = choose(people.CODES, people.country_of(customer))
    return pa.table(
        {
            "event_id": padded("E", event, 11),
            "customer_id": nulled(customer_ids(customer), nobody),
            "event_name": choose(
                ("view", "search", "cart", "checkout"), weighted("event.name", event, [70, 15, 10, 5])
            ),
            "event_ts": instants(at),
            "session_id": joined(compact_seconds("S", started, "-"), hexadecimal("", bits("session.id", session), 8)),
            "session_start_ts": instants(started),
            "device": choose(("desktop", "mobile", "tablet"), weighted("session.device", session, [45, 48, 7])),
            "geo": country,
            "geo_country": country,
            "geo_region": pa.nulls(len(event), pa.string()),
            "geo_latitude": pa.nulls(len(event), pa.float64()),
            "geo_longitude": pa.nulls(len(event), pa.float64()),
            "urls": _urls(event),
            "metadata": pa.nulls(len(event), pa.string()),
        }
    )


def _urls(event: Ints) -> pa.Array:
    """The one page of each event."""
    pages = joined("https://shop.example/p/", decimal_text(below("event.page", event, 500)))
    ends = pa.py_buffer(np.arange(len(event) + 1, dtype=np.int32))
    kind = pa.list_(pa.field("element", pa.string()))
    return pa.Array.from_buffers(kind, len(event), [None, ends], children=[pages])


def _fx_rates() -> Iterator[tuple[None, pa.Table]]:
    published = rates(FIRST.date() - timedelta(days=14), END.date())
    base, quote = published["base_currency"].combine_chunks(), published["quote_currency"].combine_chunks()
    yield None, published.append_column("ccy_pair", joined(base, "/", quote))


def _spread(stream: str, index: Ints, count: int) -> Ints:
    """Instants that rise with the number, from the first to the last of the year."""
    share = (index + unit(f"{stream}.at", index)) / count
    at: Ints = _FIRST_US + (share * (_END_US - _FIRST_US - SECOND)).astype(np.int64)
    return at


def _same(value: str, count: int) -> pa.Array:
    return choose((value,), np.zeros(count, dtype=np.int64))
