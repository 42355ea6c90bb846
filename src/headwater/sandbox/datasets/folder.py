"""The dataset folder: every file and column of it, and how one is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

UTC = pa.timestamp("us", tz="UTC")
_HEADERS = pa.list_(pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.binary())]))


def _key(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _table(*columns: pa.Field, deletable: bool = True) -> pa.Schema:
    deleted = [pa.field("_deleted_at", UTC)] if deletable else []
    return pa.schema([*columns, _key("_visible_at", UTC), *deleted])


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


_MESSAGES = _table(
    _key("partition", pa.int32()),
    pa.field("key", pa.string()),
    pa.field("value", pa.binary()),
    pa.field("headers", _HEADERS),
    _key("timestamp", UTC),
    deletable=False,
)
URLS = tuple(f"url_{number}" for number in range(1, 13))
"""The columns of the pages of an event, in the order of their numbers."""

_STAMPS = [_key("CreatedDate", UTC), _key("LastModifiedDate", UTC), _key("SystemModstamp", UTC)]

SOURCE_SCHEMAS: dict[str, pa.Schema] = {
    "snowflake/ORDERS": _table(
        _key("ORDER_ID", pa.string()),
        pa.field("CUSTOMER_ID", pa.string()),
        pa.field("ORDER_DATE", UTC),
        pa.field("PRODUCT_ID", pa.string()),
        pa.field("QUANTITY", pa.int64()),
        pa.field("AMOUNT", pa.decimal128(20, 4)),
        *_texts("CURRENCY", "STATUS"),
        _key("LAST_MODIFIED_TS", UTC),
    ),
    "snowflake/CUSTOMERS": _table(
        _key("CUSTOMER_ID", pa.string()),
        *_texts("FIRST_NAME", "LAST_NAME", "EMAIL", "PHONE", "ADDRESS", "CITY", "COUNTRY", "SEGMENT"),
        pa.field("CREATED_TS", UTC),
        _key("LAST_MODIFIED_TS", UTC),
    ),
    "snowflake/PRODUCTS": _table(
        _key("PRODUCT_ID", pa.string()),
        *_texts("NAME", "CATEGORY", "BRAND"),
        pa.field("LIST_PRICE", pa.decimal128(10, 2)),
        *_texts("CURRENCY"),
        pa.field("ACTIVE", pa.bool_()),
        _key("LAST_MODIFIED_TS", UTC),
    ),
    "redshift/customer_behavior": _table(
        *_texts("event_id", "customer_id", "event_name"),
        _key("event_ts", UTC),
        *_texts("session_id", "device", "geo", *URLS, "metadata"),
    ),
    "salesforce/Account": _table(
        _key("Id", pa.string()),
        _key("Name", pa.string()),
        *_texts("Industry"),
        pa.field("AnnualRevenue", pa.decimal128(18, 2)),
        *_texts("Phone", "BillingStreet", "BillingCity", "BillingCountry"),
        *_STAMPS,
    ),
    "salesforce/Contact": _table(
        _key("Id", pa.string()),
        *_texts("AccountId", "FirstName", "LastName", "Email", "Phone", "Title"),
        *_STAMPS,
    ),
    "salesforce/Opportunity": _table(
        _key("Id", pa.string()),
        *_texts("AccountId", "Name", "StageName"),
        pa.field("Amount", pa.decimal128(18, 2)),
        pa.field("CloseDate", pa.date32()),
        pa.field("Probability", pa.int64()),
        *_STAMPS,
    ),
    "salesforce/Lead": _table(
        _key("Id", pa.string()),
        *_texts("FirstName", "LastName", "Company", "Title", "Email", "Phone", "Industry"),
        pa.field("AnnualRevenue", pa.decimal128(18, 2)),
        *_texts("Country", "LeadSource", "Status", "Rating"),
        _key("IsConverted", pa.bool_()),
        pa.field("ConvertedDate", pa.date32()),
        *_texts("ConvertedAccountId", "ConvertedContactId"),
        *_STAMPS,
    ),
    "salesforce/Case": _table(
        _key("Id", pa.string()),
        *_texts("CaseNumber", "AccountId", "ContactId", "Subject", "Description", "Type", "Reason", "Status"),
        *_texts("Priority", "Origin", "SuppliedName", "SuppliedEmail"),
        _key("IsClosed", pa.bool_()),
        pa.field("ClosedDate", UTC),
        *_STAMPS,
    ),
    "salesforce/Task": _table(
        _key("Id", pa.string()),
        *_texts("WhoId", "WhatId", "AccountId", "Subject"),
        pa.field("ActivityDate", pa.date32()),
        *_texts("Status", "Priority", "TaskSubtype", "Description"),
        _key("IsClosed", pa.bool_()),
        *_STAMPS,
    ),
    "salesforce/Solution": _table(
        _key("Id", pa.string()),
        *_texts("SolutionNumber", "SolutionName", "SolutionNote", "Status"),
        _key("IsPublished", pa.bool_()),
        _key("IsReviewed", pa.bool_()),
        pa.field("TimesUsed", pa.int64()),
        *_STAMPS,
    ),
    "s3/files": _table(_key("key", pa.string()), _key("path", pa.string())),
    "kafka/orders_events": _MESSAGES,
    "kafka/user_events": _MESSAGES,
    "kafka/inventory_updates": _MESSAGES,
    "fx/rates": _table(
        _key("date", pa.date32()),
        _key("base_currency", pa.string()),
        _key("quote_currency", pa.string()),
        _key("rate", pa.decimal128(20, 10)),
        _key("as_of_time", UTC),
    ),
}
"""The Arrow schema of each Parquet file of a dataset folder, by its path in it without `.parquet`."""

CURSORS = {
    "snowflake/ORDERS": "LAST_MODIFIED_TS",
    "snowflake/CUSTOMERS": "LAST_MODIFIED_TS",
    "snowflake/PRODUCTS": "LAST_MODIFIED_TS",
    "redshift/customer_behavior": "event_ts",
    "salesforce/Account": "SystemModstamp",
    "salesforce/Contact": "SystemModstamp",
    "salesforce/Opportunity": "SystemModstamp",
    "salesforce/Lead": "SystemModstamp",
    "salesforce/Case": "SystemModstamp",
    "salesforce/Task": "SystemModstamp",
    "salesforce/Solution": "SystemModstamp",
    "kafka/orders_events": "timestamp",
    "kafka/user_events": "timestamp",
    "kafka/inventory_updates": "timestamp",
    "fx/rates": "as_of_time",
}
"""The column by which each file's rows are stamped at their source: never later than `_visible_at`."""

BRONZE = {
    "snowflake/ORDERS": "snowflake_orders",
    "snowflake/CUSTOMERS": "snowflake_customers",
    "snowflake/PRODUCTS": "snowflake_products",
    "redshift/customer_behavior": "redshift_behavior",
    "salesforce/Account": "salesforce_accounts",
    "salesforce/Contact": "salesforce_contacts",
    "salesforce/Opportunity": "salesforce_opportunities",
    "salesforce/Lead": "salesforce_leads",
    "salesforce/Case": "salesforce_cases",
    "salesforce/Task": "salesforce_tasks",
    "salesforce/Solution": "salesforce_solutions",
    "kafka/orders_events": "kafka_orders_events",
    "kafka/user_events": "kafka_user_events",
    "kafka/inventory_updates": "kafka_inventory_updates",
    "fx/rates": "fx_vendor_rates",
}
"""The Bronze table that each Parquet file but `s3/files` comes to."""

BRONZE_OF_FILES = {
    "erp-export/inventory/": "external_inventory",
    "erp-export/purchasing/": "external_purchasing",
    "hr-export/employees/": "external_employees",
    "hr-export/performance_reviews/": "external_performance_reviews",
    "accounting/transactions/": "external_transactions",
    "accounting/gl_accounts/": "external_gl_accounts",
    "vendor/products/": "external_vendor_products",
}
"""The Bronze table that the bucket's files below a prefix come to."""

PARTITIONS = 3
"""How many partitions each Kafka topic has."""

# High-cardinality text gains nothing from a dictionary and takes most of the writing time with one.
# fmt: off
_FEW_VALUES = [
    "CURRENCY", "STATUS", "FIRST_NAME", "LAST_NAME", "CITY", "COUNTRY", "SEGMENT", "CATEGORY", "BRAND",
    "ACTIVE", "event_name", "device", "geo", *URLS, "metadata", "Industry", "BillingCity",
    "BillingCountry", "FirstName", "LastName", "Title", "StageName", "Probability", "Country", "LeadSource", "Status",
    "Rating", "Subject", "Description", "Type", "Reason", "Priority", "Origin", "TaskSubtype", "SolutionNote", "partition",
    "base_currency", "quote_currency", "headers.list.element.key", "headers.list.element.value",
]
# fmt: on


@dataclass(frozen=True)
class About:
    """What `dataset.yaml` says of a dataset; `version` changes whenever the same parameters make other rows."""

    name: str
    title: str
    about: str
    version: int
    start: datetime
    end: datetime

    def document(self, scale: float) -> dict[str, object]:
        """The content of `dataset.yaml`."""
        instants = {"start": self.start.strftime("%Y-%m-%dT%H:%M:%SZ"), "end": self.end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        named = {"name": self.name, "title": self.title, "about": self.about}
        return {**named, **instants, "scale": scale, "version": self.version}


def read_about(folder: Path) -> dict[str, object] | None:
    """The content of a folder's `dataset.yaml`; None where there is none, empty where it says nothing."""
    try:
        document = yaml.safe_load((folder / "dataset.yaml").read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def write_about(folder: Path, document: dict[str, object]) -> None:
    """Write `dataset.yaml`: the last file of a folder, whose presence says that the others are whole."""
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    (folder / "dataset.yaml").write_text(text, "utf-8")


def absent_tables(folder: Path) -> list[str]:
    """The Bronze tables that a dataset has nothing for, at any instant."""
    lacking = [table for name, table in BRONZE.items() if not (folder / f"{name}.parquet").is_file()]
    listing = folder / "s3" / "files.parquet"
    keys = pq.read_table(listing, columns=["key"])["key"].to_pylist() if listing.is_file() else []
    lacking += [
        table for prefix, table in BRONZE_OF_FILES.items() if not any(key and key.startswith(prefix) for key in keys)
    ]
    return lacking


def table(name: str, columns: Mapping[str, pa.Array]) -> pa.Table:
    """The columns as a piece of the file `name`; one that is not given is null."""
    schema = SOURCE_SCHEMAS[name]
    rows = len(next(iter(columns.values())))
    return pa.Table.from_arrays([_as(columns.get(field.name), field, rows) for field in schema], schema=schema)


def _as(column: pa.Array | None, field: pa.Field, rows: int) -> pa.Array:
    if column is None:
        return pa.nulls(rows, field.type)
    return column if column.type.equals(field.type) else column.cast(field.type)


def write_table(folder: Path, name: str, pieces: Iterable[pa.Table]) -> int:
    """Write the pieces, in their order, as `<folder>/<name>.parquet`; return the rows written. Holds one piece."""
    path = folder / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = SOURCE_SCHEMAS[name]
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=_FEW_VALUES) as writer:
        for piece in pieces:
            writer.write_table(piece.select(schema.names).cast(schema), row_group_size=262_144)
            rows += piece.num_rows
    return rows
