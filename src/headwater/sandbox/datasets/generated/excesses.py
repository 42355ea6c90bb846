"""Datasets that exceed one limit of the gate: `generated`, spoilt on the day after the start clock.

Each limit of `config/dq.yaml` that a dataset can exceed has an `Excess` here, by table and check, as the gate names
them; `BEYOND` says why the others cannot be exceeded by what sources show. A first run at the start clock passes, and
the run `days` later does not. At scales well below 1 the usual troubles exceed limits of their own.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.sandbox.datasets.columns import DAY, HOUR, choose, flags, instants, integers, numbers
from headwater.sandbox.datasets.draws import Mask
from headwater.sandbox.datasets.folder import write_table
from headwater.sandbox.datasets.generated.populations import START, START_US

Spoil = Callable[[pa.Table], pa.Table]
_NOON = START_US + 12 * HOUR
_EVERY = 4
_LONG_AGO = timedelta(days=300)
"""Before the days whose rows are counted."""


@dataclass(frozen=True)
class Excess:
    """How files of the folder are spoilt, and after how many days a run finds the limit exceeded.

    `lines` spoils the fields of every fourth line of the first inventory file after the start clock.
    """

    files: Mapping[str, Spoil]
    days: int = 1
    lines: Callable[[list[bytes]], list[bytes]] | None = None

    @property
    def parts(self) -> frozenset[str]:
        """The parts of the dataset that are spoilt."""
        return frozenset(self.files) | ({"s3/files"} if self.lines else frozenset())

    def spoil(self, folder: Path, part: str) -> None:
        """Spoil one part that has just been written."""
        if part in self.files:
            table = pq.read_table(folder / f"{part}.parquet")
            write_table(folder, part, [self.files[part](table)])
        if part == "s3/files" and self.lines is not None:
            file = folder / f"s3/objects/erp-export/inventory/{START:%Y-%m-%d}/inventory.csv"
            header, *lines = file.read_bytes().split(b"\n")
            for number in range(0, len(lines) - 1, _EVERY):
                lines[number] = b",".join(self.lines(lines[number].split(b",")))
            file.write_bytes(b"\n".join([header, *lines]))


def _day_after(table: pa.Table, every: int = _EVERY) -> Mask:
    """Every fourth of the rows that become visible on the day after the start clock."""
    seen = numbers(table["_visible_at"])
    due = np.flatnonzero((seen > START_US) & (seen < START_US + DAY))
    chosen = np.zeros(len(table), dtype=np.bool_)
    chosen[due[::every]] = True
    return chosen


def _set(table: pa.Table, columns: Mapping[str, pa.Array], where: Mask | None = None) -> pa.Table:
    """The table with other values in columns, of the rows told or of all."""
    for name, column in columns.items():
        field = table.schema.field(name)
        value = column.cast(field.type)
        if where is not None:
            value = pc.if_else(flags(where), value, table[name])
        table = table.set_column(table.schema.names.index(name), field, value)
    return table


def _told(file: str, column: str, value: str | int | None) -> Excess:
    """Every fourth row of the day says this in a column; the text `blank` means spaces, in each row others."""

    def spoil(table: pa.Table) -> pa.Table:
        where = _day_after(table)
        if value == "blank":
            spaces = np.where(where, np.cumsum(where), 0)
            words = choose([" " * many for many in range(int(spaces.max(initial=0)) + 1)], spaces)
        elif isinstance(value, int):
            words = integers(np.full(len(table), value))
        else:
            words = choose([value], np.zeros(len(table)))
        return _set(table, {column: words}, where)

    return Excess({file: spoil})


def _sent(topic: str, field: str | None, value: Any = None, every: int = _EVERY) -> Excess:
    """Every fourth message of the day says this in a field, or is no JSON at all."""

    def spoil(table: pa.Table) -> pa.Table:
        values = table["value"].to_pylist()
        for row in np.flatnonzero(_day_after(table, every)).tolist():
            values[row] = _message(values[row], field, value)
        column = pa.chunked_array([choose([b"", *values], np.arange(1, len(values) + 1))])
        return _set(table, {"value": column})

    return Excess({f"kafka/{topic}": spoil})


def _message(value: bytes | None, field: str | None, said: Any) -> bytes | None:
    try:
        told = json.loads(value or b"")
    except ValueError:
        return value
    if field is None:
        return b"no JSON"
    return json.dumps({**told, field: said}, ensure_ascii=False).encode() if isinstance(told, dict) else value


def _silent(days: int, **files: str) -> Excess:
    """Nothing comes of these files from noon of the day after the start clock on (of the bucket, no such key)."""

    def spoil(table: pa.Table) -> pa.Table:
        late = pc.greater(table["_visible_at"], instants(np.array([_NOON]))[0])
        kept = pc.starts_with(table["key"], files["key"]) if "path" in table.schema.names else late
        return table.filter(pc.invert(pc.and_(late, kept)))

    return Excess({file: spoil for name, file in files.items() if name != "key"}, days)


def _again(file: str, share: int, **columns: str) -> Excess:
    """At noon of the day after, `share` of ten rows get another version, which says this."""

    def spoil(table: pa.Table) -> pa.Table:
        old = (numbers(table["_visible_at"]) < START_US) & (np.arange(len(table)) % 10 < share)
        new = table.filter(flags(old))
        noon = instants(np.full(len(new), _NOON))
        stamps = {
            name: noon
            for name in ("LAST_MODIFIED_TS", "LastModifiedDate", "SystemModstamp")
            if name in new.schema.names
        }
        said = {name: choose([value], np.zeros(len(new))) for name, value in columns.items()}
        return pa.concat_tables([table, _set(new, {**said, **stamps, "_visible_at": noon})])

    return Excess({file: spoil})


def _deleted(file: str) -> Excess:
    """Seven of ten records are deleted at noon of the day after."""

    def spoil(table: pa.Table) -> pa.Table:
        seen = numbers(table["_visible_at"])
        gone = (seen < START_US) & (np.arange(len(table)) % 10 < 7)
        # One that was deleted before stays so.
        gone &= table["_deleted_at"].is_null().to_numpy()
        return _set(table, {"_deleted_at": instants(np.full(len(table), _NOON))}, gone)

    return Excess({file: spoil})


def _line(change: Callable[[list[bytes]], list[bytes]]) -> Excess:
    return Excess({}, lines=change)


_ORDERS, _WEB = "snowflake/ORDERS", "redshift/customer_behavior"
_NOBODY = "001Hw9999999998IAA"

EXCESSES: dict[str, Excess] = {
    "orders refused:order_id:required": _told(_ORDERS, "ORDER_ID", "blank"),
    "orders refused:customer_id:required": _told(_ORDERS, "CUSTOMER_ID", None),
    "orders refused:customer_id:reference": _told(_ORDERS, "CUSTOMER_ID", "nobody"),
    "orders refused:product_id:required": _told(_ORDERS, "PRODUCT_ID", None),
    "orders refused:product_id:reference": _told(_ORDERS, "PRODUCT_ID", "nothing"),
    "orders refused:order_date:required": _told(_ORDERS, "ORDER_DATE", None),
    "orders refused:quantity:required": _told(_ORDERS, "QUANTITY", None),
    "orders refused:quantity:range": _told(_ORDERS, "QUANTITY", -1),
    "orders refused:amount:required": _told(_ORDERS, "AMOUNT", None),
    "orders refused:amount:type": _told(_ORDERS, "AMOUNT", "9999999999999999.9950"),
    "orders refused:currency:required": _told(_ORDERS, "CURRENCY", None),
    "orders unpriced": _again(_ORDERS, 1, CURRENCY="XXX"),
    "orders freshness": _silent(3, file=_ORDERS),
    "orders volume:day": _silent(1, file=_ORDERS),
    "customers refused:customer_id:required": _told("snowflake/CUSTOMERS", "CUSTOMER_ID", "blank"),
    "products refused:product_id:required": _told("snowflake/PRODUCTS", "PRODUCT_ID", "blank"),
    "behavior refused:event_id:required": _told(_WEB, "event_id", None),
    "behavior refused:customer_id:reference": _told(_WEB, "customer_id", "nobody"),
    "behavior refused:event_name:required": _told(_WEB, "event_name", None),
    "behavior freshness": _silent(3, file=_WEB),
    "behavior volume:day": _silent(1, file=_WEB),
    "accounts volume:shrink": _deleted("salesforce/Account"),
    "contacts refused:account_id:reference": _told("salesforce/Contact", "AccountId", _NOBODY),
    "contacts volume:shrink": _deleted("salesforce/Contact"),
    "opportunities refused:account_id:reference": _told("salesforce/Opportunity", "AccountId", _NOBODY),
    "opportunities refused:probability:range": _told("salesforce/Opportunity", "Probability", 101),
    "opportunities volume:shrink": _deleted("salesforce/Opportunity"),
    "fx_rates refused:rate:range": _told("fx/rates", "rate", "0"),
    "fx_rates freshness": _silent(9, file="fx/rates"),
    "order_events refused:order_id:required": _sent("orders_events", "order_id"),
    "order_events refused:event_type:required": _sent("orders_events", "event_type"),
    "order_events refused:event_type:allowed": _sent("orders_events", "event_type", "LOST"),
    "order_events refused:event_timestamp:required": _sent("orders_events", "event_timestamp"),
    "order_events refused:event_timestamp:type": _sent("orders_events", "event_timestamp", "soon"),
    "order_events refused:parse": _sent("orders_events", None),
    "order_events freshness": _silent(3, file="kafka/orders_events"),
    "order_events volume:day": _silent(1, file="kafka/orders_events"),
    "user_events refused:event_id:required": _sent("user_events", "event_id"),
    "user_events refused:event_type:required": _sent("user_events", "event_type"),
    "user_events refused:event_timestamp:required": _sent("user_events", "event_timestamp"),
    "user_events refused:event_timestamp:type": _sent("user_events", "event_timestamp", "soon"),
    "user_events refused:parse": _sent("user_events", None),
    "user_events freshness": _silent(3, file="kafka/user_events"),
    "user_events volume:day": _silent(1, file="kafka/user_events"),
    "inventory refused:product_id:required": _line(lambda fields: [b"", *fields[1:]]),
    "inventory refused:warehouse_id:required": _line(lambda fields: [fields[0], b"", *fields[-2:]]),
    "inventory refused:stock_ts:required": _sent("inventory_updates", "event_timestamp", every=1),
    "inventory refused:stock_ts:type": _sent("inventory_updates", "event_timestamp", "soon", every=1),
    "inventory refused:quantity:required": _line(lambda fields: [*fields[:-2], b"", fields[-1]]),
    "inventory refused:quantity:range": _line(lambda fields: [*fields[:-2], b"-1", fields[-1]]),
    "inventory refused:parse": _line(lambda fields: fields[:2]),
    "inventory freshness": _silent(9, file="kafka/inventory_updates", files="s3/files", key="erp-export/inventory/"),
    "product_perf_daily volume:shrink": _again(
        _ORDERS, 8, ORDER_DATE=f"{START - _LONG_AGO:%Y-%m-%d}T00:00:00Z", PRODUCT_ID="0000001"
    ),
    "revenue_by_geography volume:shrink": _again("snowflake/CUSTOMERS", 10, COUNTRY="US"),
    "revenue_by_industry volume:shrink": _again("salesforce/Account", 10, Industry="Retail"),
}
"""By table and check, as `_dq_results` names them."""

BEYOND: dict[str, str] = {
    r".* refused:(?!amount:|event_timestamp:|stock_ts:)\w+:type": "what lands has the column's type, or is no row",
    r"(products|opportunities|accounts) refused:\w+:type": "the source's column is not wider than Silver's",
    r".* refused:(last_modified_ts|system_modstamp|as_of_time|event_ts):required": "without a cursor no row is read",
    r"(accounts|contacts|opportunities) refused:\w+:required": "Salesforce gives every record its id and its stamps",
    r"fx_rates refused:\w+:required": "the vendor has no rate without day, currencies and value",
    r"inventory refused:(origin:\w+)": "Headwater says it",
    r"(?!order_events|user_events|inventory)\w+ refused:parse": "a typed source has no row that is none",
    r".* volume": "a table never gets empty but by shrinking",
    r"(?!accounts|contacts|opportunities)\w+ volume:shrink": "what landed stays; only Salesforce tells deletions",
}
"""Why the other limits cannot be exceeded, by a pattern of table and check."""


def name_of(base: str, limit: str) -> str:
    """What the dataset that exceeds a limit is called: `generated~orders-refused-currency-required`."""
    return f"{base}~{limit.replace(' ', '-').replace(':', '-')}"


def excess_of(base: str, name: str) -> tuple[str, Excess] | None:
    """The limit that a dataset of this name exceeds, and how; None where it is no such name."""
    return next(((limit, excess) for limit, excess in EXCESSES.items() if name_of(base, limit) == name), None)
