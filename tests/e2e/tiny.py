"""A shop of a few rows in all six sources, two instants of it, and lakes of their own beside one sandbox."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from deltalake import DeltaTable
from tests.versions import DAY, INSTANT, T0, Version, write_about, write_versions

from headwater.object_store import Place
from headwater.sandbox import Status

PROJECT = Path(__file__).parents[2]
T1 = T0 + DAY
SOON = T0 + timedelta(hours=12)
"""When the changes between the two instants happen."""
BEFORE = T0 - timedelta(hours=6)

STRING, MONEY = pa.string(), pa.decimal128(10, 2)
ORDERS = (
    *((name, STRING) for name in ("ORDER_ID", "CUSTOMER_ID")),
    ("ORDER_DATE", INSTANT),
    ("PRODUCT_ID", STRING),
    ("QUANTITY", pa.int64()),
    ("AMOUNT", MONEY),
    ("CURRENCY", STRING),
    ("STATUS", STRING),
    ("LAST_MODIFIED_TS", INSTANT),
)
_CUSTOMER_TEXTS = "CUSTOMER_ID FIRST_NAME LAST_NAME EMAIL PHONE ADDRESS CITY COUNTRY SEGMENT"
CUSTOMERS = (
    *((name, STRING) for name in _CUSTOMER_TEXTS.split()),
    ("CREATED_TS", INSTANT),
    ("LAST_MODIFIED_TS", INSTANT),
)
PRODUCTS = (
    *((name, STRING) for name in ("PRODUCT_ID", "NAME", "CATEGORY", "BRAND")),
    ("LIST_PRICE", MONEY),
    ("CURRENCY", STRING),
    ("ACTIVE", pa.bool_()),
    ("LAST_MODIFIED_TS", INSTANT),
)
EVENTS = (
    *((name, STRING) for name in ("event_id", "customer_id", "event_name")),
    ("event_ts", INSTANT),
    *((name, STRING) for name in ("session_id", "device", "geo", "url_1", "url_2", "metadata")),
)
_STAMPS = (("CreatedDate", INSTANT), ("LastModifiedDate", INSTANT), ("SystemModstamp", INSTANT))
ACCOUNTS = (
    *((name, STRING) for name in ("Id", "Name", "Industry")),
    ("AnnualRevenue", pa.decimal128(18, 2)),
    *((name, STRING) for name in ("Phone", "BillingStreet", "BillingCity", "BillingCountry")),
    *_STAMPS,
)
CONTACTS = (
    *((name, STRING) for name in ["Id", "AccountId", "FirstName", "LastName", "Email", "Phone", "Title"]),
    *_STAMPS,
)
OPPORTUNITIES = (
    *((name, STRING) for name in ("Id", "AccountId", "Name", "StageName")),
    ("Amount", pa.decimal128(18, 2)),
    ("CloseDate", pa.date32()),
    ("Probability", pa.int64()),
    *_STAMPS,
)
RATES = (
    ("date", pa.date32()),
    ("base_currency", STRING),
    ("quote_currency", STRING),
    ("rate", pa.decimal128(20, 10)),
    ("as_of_time", INSTANT),
)


def order(name: str, at: datetime = BEFORE, **other: Any) -> Version:
    """An order as it was changed, and seen, at an instant."""
    row = {"customer_id": "C1", "product_id": "P1", "quantity": 2, "amount": "20.00", "currency": "EUR"} | other
    amount = None if row["amount"] is None else Decimal(row["amount"])
    placed, status = row.get("order_date", BEFORE), row.get("status", "PAID")
    return Version(
        (name, row["customer_id"], placed, row["product_id"], row["quantity"], amount, row["currency"], status, at), at
    )


def customer(name: str, at: datetime = BEFORE, country: str | None = "DE") -> Version:
    email = f"{name}@example.com"
    return Version((name, "Ada", "Kent", email, None, None, "Ulm", country, "B2C", BEFORE, at), at)


def product(name: str, at: datetime = BEFORE, price: str | None = "9.50") -> Version:
    return Version((name, f"Tea {name}", "Tea", "Leaf", price and Decimal(price), "EUR", True, at), at)


def event(name: str, at: datetime = BEFORE, what: str | None = "page_view", customer_id: str | None = "C1") -> Version:
    session = f"S{at:%Y%m%d%H%M%S}-9f3a"
    return Version((name, customer_id, what, at, session, "phone", "US-CA", "/tea", None, "{}"), at)


def record_id(kind: str, number: int) -> str:
    """An id as Salesforce has them, such as 001000000000001AAA."""
    return f"{kind}{number:012d}AAA"


def account(number: int, at: datetime = BEFORE, industry: str = "Retail") -> Version:
    place = (None, None, "Ulm", "Germany")
    return Version(
        (record_id("001", number), f"Kent {number}", industry, Decimal("1000.00"), *place, BEFORE, at, at), at
    )


def contact(number: int, at: datetime = BEFORE, email: str | None = "c1@example.com", of: int = 1) -> Version:
    owner = record_id("001", of)
    return Version((record_id("003", number), owner, "Ada", "Kent", email, None, None, BEFORE, at, at), at)


def opportunity(number: int, at: datetime = BEFORE, gone: datetime | None = None, of: int = 1) -> Version:
    told = (record_id("006", number), record_id("001", of), "Deal", "Prospecting", Decimal("500.00"))
    return Version((*told, date(2024, 11, 30), 40, BEFORE, at, at), at, gone)


def rate(day: date, quote: str, worth: str, at: datetime = BEFORE) -> Version:
    return Version((day, "EUR", quote, Decimal(worth), at), at)


THURSDAY, FRIDAY = date(2024, 10, 31), date(2024, 11, 1)

VERSIONS: dict[str, tuple[Sequence[tuple[str, pa.DataType]], list[Version]]] = {
    "snowflake/ORDERS": (
        ORDERS,
        [
            *(order(f"O{number}") for number in range(4)),
            order("O4", currency=" gbp "),
            order("O5", currency=None),
            order("O6", customer_id="C9"),
            order("O1", SOON, status="CANCELLED"),
            order("O5", SOON, currency="USD"),
            order("O7", SOON, order_date=SOON),
            order("O8", SOON, quantity=-1),
        ],
    ),
    "snowflake/CUSTOMERS": (
        CUSTOMERS,
        [*(customer(f"C{number}") for number in range(4)), customer("C1", SOON, "FR"), customer("C9", SOON)],
    ),
    "snowflake/PRODUCTS": (PRODUCTS, [product("P1"), product("P2"), product("P2", SOON, "10.50")]),
    "redshift/customer_behavior": (
        EVENTS,
        [*(event(f"E{number}") for number in range(5)), event("E5", what=None), event("E6", SOON), event("E7", SOON)],
    ),
    "salesforce/Account": (ACCOUNTS, [account(1), account(2), account(2, SOON, "Energy")]),
    "salesforce/Contact": (CONTACTS, [contact(1), contact(2, email=None, of=2), contact(2, SOON, "C2@Example.com", 2)]),
    "salesforce/Opportunity": (OPPORTUNITIES, [opportunity(1), opportunity(2, gone=SOON), opportunity(3, SOON, of=2)]),
    "fx/rates": (
        RATES,
        [
            *(rate(THURSDAY, quote, worth) for quote, worth in (("USD", "1.0880"), ("GBP", "0.8400"))),
            *(rate(FRIDAY, quote, worth, SOON) for quote, worth in (("USD", "1.0900"), ("GBP", "0.8410"))),
        ],
    ),
}

FILES = {
    "2024-10-31": (BEFORE, "product_id,warehouse_id,quantity,reorder_point\nP1,W1,7,2\nP2,W1,many,1\n"),
    "2024-11-01": (SOON, "product_id,warehouse_id,quantity,reorder_point\nP1,W1,5,2\nP1,W1\nP2,W1,-3,\n"),
}

TOPICS = {
    "orders_events": [
        *(
            ({"order_id": f"O{n}", "customer_id": "C1", "event_type": "PAID", "metadata": "{}"}, BEFORE)
            for n in range(4)
        ),
        (None, BEFORE),
        ({"order_id": "O7", "customer_id": "C1", "event_type": "PLACED", "metadata": "{}"}, SOON),
        (None, SOON),
    ],
    "user_events": [
        ({"event_id": f"U{n}", "customer_id": "C1", "session_id": "S1", "event_type": "click", "page_url": "/"}, at)
        for n, at in enumerate((BEFORE, BEFORE, SOON))
    ],
    "inventory_updates": [
        ({"product_id": "P1", "warehouse_id": "W2", "quantity": 4 + n, "reason": "sale"}, at)
        for n, at in enumerate((BEFORE, SOON))
    ],
}
"""Messages and when they come; None is one that is no JSON."""


Tables: TypeAlias = Mapping[str, tuple[Sequence[tuple[str, pa.DataType]], Sequence[Version]]]
Files: TypeAlias = Mapping[str, tuple[datetime, str]]
Topics: TypeAlias = Mapping[str, Sequence[tuple[dict[str, Any] | None, datetime]]]


def write_tiny(
    folder: Path, versions: Tables = VERSIONS, files: Files | None = FILES, topics: Topics | None = TOPICS
) -> Path:
    """Write the shop as a dataset, or what is given in the place of its parts."""
    for name, (columns, rows) in versions.items():
        write_versions(folder / f"{name}.parquet", columns, rows)
    if files:
        _write_files(folder / "s3", files)
    for topic, messages in (topics or {}).items():
        _write_topic(folder / "kafka" / f"{topic}.parquet", messages)
    return write_about(folder)


def _write_files(folder: Path, files: Files) -> None:
    rows = []
    for day, (at, text) in files.items():
        (folder / "objects").mkdir(parents=True, exist_ok=True)
        (folder / "objects" / f"{day}.csv").write_text(text, encoding="utf-8")
        rows.append(Version((f"erp-export/inventory/{day}/inventory.csv", f"{day}.csv"), at))
    write_versions(folder / "files.parquet", (("key", STRING), ("path", STRING)), rows)


def _write_topic(file: Path, messages: Sequence[tuple[dict[str, Any] | None, datetime]]) -> None:
    rows = []
    for number, (fields, at) in enumerate(messages):
        stamp = at + timedelta(seconds=number)
        told = None if fields is None else fields | {"event_timestamp": f"{stamp:%Y-%m-%dT%H:%M:%SZ}"}
        value = b"{no json" if told is None else json.dumps(told).encode()
        rows.append((number % 3, f"key-{number}", value, [], stamp, stamp))
    rows.sort(key=lambda row: (row[0], row[-1]))
    headers = pa.list_(pa.struct([("key", STRING), ("value", pa.binary())]))
    kinds = {"partition": pa.int32(), "key": STRING, "value": pa.binary(), "headers": headers, "timestamp": INSTANT}
    names = kinds | {"_visible_at": INSTANT}
    arrays = {name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(names.items())}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays), file)


@dataclass(frozen=True)
class Lake:
    """A project of its own over a sandbox that others use too: config file, limits, state and lake below `folder`.

    With `elsewhere` the lake is there, such as on S3.
    """

    folder: Path
    elsewhere: Place | None = None

    @classmethod
    def beside(
        cls,
        sandbox: Status,
        folder: Path,
        dq: Mapping[str, Any] | None = None,
        elsewhere: Place | None = None,
        **settings: Any,
    ) -> "Lake":
        """Make one; by default half of a batch may break a rule, and nothing that looks unusual is told.

        Here every row is a large share, and many are alike.
        """
        (folder / "config").mkdir(parents=True)
        standing = yaml.safe_load((PROJECT / "config" / "dq.yaml").read_text(encoding="utf-8"))
        standing["defaults"]["refused"]["default"] = 0.5
        standing["tables"]["silver.orders"]["unpriced"]["max_share"] = 0.5
        for limits in standing["tables"].values():
            for unusual in ("missing", "outliers", "near_duplicates", "drift"):
                limits.pop(unusual, None)
        (folder / "config" / "dq.yaml").write_text(yaml.safe_dump(merged(standing, dq or {})), encoding="utf-8")
        configured = yaml.safe_load((PROJECT / "config" / "local.yaml").read_text(encoding="utf-8"))
        configured.pop("sandbox")
        configured |= {"contracts": str(PROJECT / "config" / "contracts"), "lake": "lake", "state": "state"}
        configured = merged(configured, yaml.safe_load(sandbox.connections.read_text(encoding="utf-8")))
        for source, block in configured["data_sources"].items():
            block["enabled"] = source in sandbox.sources
        if elsewhere is not None:
            aws = {"region": elsewhere.aws.region, "endpoint_url": elsewhere.aws.endpoint_url}
            configured |= {"lake": elsewhere.uri, "aws": aws}
        (folder / "config" / "local.yaml").write_text(yaml.safe_dump(merged(configured, settings)), encoding="utf-8")
        return cls(folder, elsewhere)

    @property
    def config(self) -> Path:
        return self.folder / "config" / "local.yaml"

    @property
    def place(self) -> Place:
        return self.elsewhere or Place(str(self.folder / "lake"))

    def table(self, path: str) -> DeltaTable:
        place = self.place.at(path)
        return DeltaTable(place.uri, storage_options=place.log_options)

    def files(self) -> list[str]:
        """Every file of the lake by its path."""
        if self.elsewhere is None:
            root = self.folder / "lake"
            return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        pages = obstore.list(self.place.objects, f"{self.place.prefix}/")
        return sorted(each["path"].removeprefix(f"{self.place.prefix}/") for page in pages for each in page)

    def tables(self) -> list[str]:
        """Every Delta table by its path."""
        return sorted({path.partition("/_delta_log/")[0] for path in self.files() if "/_delta_log/" in path})

    def rows(self, path: str) -> list[dict[str, Any]]:
        return self.table(path).to_pyarrow_table().to_pylist() if path in self.tables() else []

    def versions(self) -> dict[str, int]:
        return {path: self.table(path).version() for path in self.tables()}

    def inputs(self) -> dict[str, Any]:
        """What the last commit of each table says that it consumed: watermarks, offsets, files, versions."""
        found = {}
        for path in self.tables():
            [newest] = self.table(path).history(1)
            if "headwater" in newest:
                found[path] = json.loads(newest["headwater"])["inputs"]
        return found

    def store(self) -> dict[str, Any]:
        """What the state store holds of every watermark."""
        folder = self.folder / "state" / "state" / "watermarks"
        return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


RUN_IDS = ("_run_id", "run_id", "refused_run_id")
"""Columns that differ between two runs that do the same."""


def everything(lake: Lake) -> dict[str, Any]:
    """All that a lake holds and knows, but for the ids of runs: each table as a multiset of its rows."""
    tables = {
        path: Counter(
            repr(sorted((name, value) for name, value in row.items() if name not in RUN_IDS)) for row in lake.rows(path)
        )
        for path in lake.tables()
    }
    return {"tables": tables, "inputs": lake.inputs(), "state store": lake.store()}


def merged(standing: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` over `standing`, key by key."""
    both = dict(standing)
    for key, value in given.items():
        below = both.get(key)
        both[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return both


def clean_environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")} | more
