"""The independent answer: every Silver and Gold table, computed without Headwater from a dataset's folder.

    python tests/e2e/oracle.py DATASET_DIR OUT_DIR --instant T1 --instant T2 ... [--overlap bronze_table=SECONDS]

Given are the instants of the runs so far, oldest first. Written are `<OUT_DIR>/<silver|gold>/<table>.parquet`,
`quarantine.json` ({table: {rule: refused versions}}) and `counts.json` (`landed` and `rejected` of each Bronze table,
`quarantined` of each Silver table). What landed is worked out here, `oracle.sql` computes the tables from it; both
follow docs/rules.md and docs/datasets.md and share nothing with the code that they judge: this file imports the
standard library and DuckDB.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parent))  # where its other half lies, however this file is started
from oracle_files import read_file

HOUR = 3600.0
SILVER = (
    "accounts", "behavior", "contacts", "customers", "fx_rates", "inventory", "opportunities", "order_events", "orders",
    "products", "user_events",
)  # fmt: skip
GOLD = ("customer_360", "product_perf_daily", "revenue_by_geography", "revenue_by_industry")


@dataclass(frozen=True)
class Versioned:
    """A table of row versions: the source's columns as `name type`, in order; `key` and `cursor` as the source names them."""

    file: str
    key: tuple[str, ...]
    cursor: str
    columns: tuple[str, ...]
    keeps_deletions: bool = False

    @property
    def schema(self) -> dict[str, str]:
        return dict(each.split(" ", 1) for each in self.columns)


@dataclass(frozen=True)
class Topic:
    """A topic: the fields of its messages; that of `whole` must be a whole number."""

    file: str
    fields: tuple[str, ...]
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """A folder of the bucket: the fields of its files' records as `name type`."""

    prefix: str
    columns: tuple[str, ...]

    @property
    def schema(self) -> dict[str, str]:
        return dict(each.split(" ", 1) for each in self.columns)


_STAMPS = ("CreatedDate TIMESTAMP", "LastModifiedDate TIMESTAMP", "SystemModstamp TIMESTAMP")


def _salesforce(name: str, *columns: str) -> Versioned:
    texts = tuple(each if " " in each else f"{each} VARCHAR" for each in ("Id", *columns))
    return Versioned(f"salesforce/{name}.parquet", ("Id",), "SystemModstamp", (*texts, *_STAMPS), keeps_deletions=True)


def _snowflake(name: str, key: str, *columns: str) -> Versioned:
    typed = tuple(each if " " in each else f"{each} VARCHAR" for each in (key, *columns))
    modified = "LAST_MODIFIED_TS"
    return Versioned(f"snowflake/{name}.parquet", (key,), modified, (*typed, f"{modified} TIMESTAMP"))


VERSIONED = {
    "snowflake_orders": _snowflake(
        "ORDERS", "ORDER_ID", "CUSTOMER_ID", "ORDER_DATE TIMESTAMP", "PRODUCT_ID", "QUANTITY BIGINT",
        "AMOUNT DECIMAL(20,4)", "CURRENCY", "STATUS",
    ),
    "snowflake_customers": _snowflake(
        "CUSTOMERS", "CUSTOMER_ID", "FIRST_NAME", "LAST_NAME", "EMAIL", "PHONE", "ADDRESS", "CITY", "COUNTRY",
        "SEGMENT", "CREATED_TS TIMESTAMP",
    ),
    "snowflake_products": _snowflake(
        "PRODUCTS", "PRODUCT_ID", "NAME", "CATEGORY", "BRAND", "LIST_PRICE DECIMAL(20,4)", "CURRENCY", "ACTIVE BOOLEAN"
    ),
    "redshift_behavior": Versioned(
        "redshift/customer_behavior.parquet", ("event_id",), "event_ts",
        ("event_id VARCHAR", "customer_id VARCHAR", "event_name VARCHAR", "event_ts TIMESTAMP", "session_id VARCHAR",
         "device VARCHAR", "geo VARCHAR", *(f"url_{number} VARCHAR" for number in range(1, 13)), "metadata VARCHAR"),
    ),
    "salesforce_accounts": _salesforce(
        "Account", "Name", "Industry", "AnnualRevenue DECIMAL(28,4)", "Phone", "BillingStreet", "BillingCity",
        "BillingCountry",
    ),
    "salesforce_contacts": _salesforce("Contact", "AccountId", "FirstName", "LastName", "Email", "Phone", "Title"),
    "salesforce_opportunities": _salesforce(
        "Opportunity", "AccountId", "Name", "StageName", "Amount DECIMAL(28,4)", "CloseDate DATE", "Probability BIGINT"
    ),
    "salesforce_leads": _salesforce(
        "Lead", "FirstName", "LastName", "Company", "Title", "Email", "Phone", "Industry", "AnnualRevenue DECIMAL(28,4)",
        "Country", "LeadSource", "Status", "Rating", "IsConverted BOOLEAN", "ConvertedDate DATE", "ConvertedAccountId",
        "ConvertedContactId",
    ),
    "salesforce_cases": _salesforce(
        "Case", "CaseNumber", "AccountId", "ContactId", "Subject", "Description", "Type", "Reason", "Status", "Priority",
        "Origin", "SuppliedName", "SuppliedEmail", "IsClosed BOOLEAN", "ClosedDate TIMESTAMP",
    ),
    "salesforce_tasks": _salesforce(
        "Task", "WhoId", "WhatId", "AccountId", "Subject", "ActivityDate DATE", "Status", "Priority", "TaskSubtype",
        "Description", "IsClosed BOOLEAN",
    ),
    "salesforce_solutions": _salesforce(
        "Solution", "SolutionNumber", "SolutionName", "SolutionNote", "Status", "IsPublished BOOLEAN",
        "IsReviewed BOOLEAN", "TimesUsed BIGINT",
    ),
    "fx_vendor_rates": Versioned(
        "fx/rates.parquet", ("date", "base_currency", "quote_currency"), "as_of_time",
        ("date DATE", "base_currency VARCHAR", "quote_currency VARCHAR", "rate DECIMAL(20,10)", "as_of_time TIMESTAMP"),
    ),
}  # fmt: skip
TOPICS = {
    "kafka_orders_events": Topic(
        "kafka/orders_events.parquet", ("order_id", "customer_id", "event_type", "event_timestamp", "metadata")
    ),
    "kafka_user_events": Topic(
        "kafka/user_events.parquet",
        ("event_id", "customer_id", "session_id", "event_type", "event_timestamp", "page_url", "metadata"),
    ),
    "kafka_inventory_updates": Topic(
        "kafka/inventory_updates.parquet",
        ("product_id", "warehouse_id", "quantity", "event_timestamp", "reason"),
        whole=("quantity",),
    ),
}
FOLDERS = {
    "external_inventory": Folder(
        "erp-export/inventory",
        ("product_id VARCHAR", "warehouse_id VARCHAR", "quantity BIGINT", "reorder_point BIGINT"),
    ),
    "external_purchasing": Folder(
        "erp-export/purchasing",
        ("po_number VARCHAR", "line_number BIGINT", "product_id VARCHAR", "supplier_id VARCHAR", "warehouse_id VARCHAR",
         "quantity BIGINT", "unit_price DECIMAL(20,4)", "currency VARCHAR", "ordered_on DATE", "expected_on DATE",
         "status VARCHAR"),
    ),
    "external_employees": Folder(
        "hr-export/employees",
        ("employee_id VARCHAR", "first_name VARCHAR", "last_name VARCHAR", "email VARCHAR", "phone VARCHAR",
         "address VARCHAR", "city VARCHAR", "country VARCHAR", "department VARCHAR", "job_title VARCHAR",
         "manager_id VARCHAR", "hired_on DATE", "terminated_on DATE", "salary DECIMAL(20,4)", "currency VARCHAR"),
    ),
    "external_performance_reviews": Folder(
        "hr-export/performance_reviews",
        ("review_id VARCHAR", "employee_id VARCHAR", "reviewer_id VARCHAR", "period VARCHAR", "score BIGINT",
         "comments VARCHAR", "goals VARCHAR", "reviewed_on DATE"),
    ),
    "external_transactions": Folder(
        "accounting/transactions",
        ("transaction_id VARCHAR", "account_code VARCHAR", "posted_at TIMESTAMP", "amount DECIMAL(20,4)",
         "currency VARCHAR", "document_id VARCHAR", "memo VARCHAR", "reversed BOOLEAN"),
    ),
    "external_gl_accounts": Folder(
        "accounting/gl_accounts",
        ("account_code VARCHAR", "name VARCHAR", "type VARCHAR", "parent_code VARCHAR", "currency VARCHAR",
         "active BOOLEAN"),
    ),
    "external_vendor_products": Folder(
        "vendor/products",
        ("vendor_id VARCHAR", "vendor_sku VARCHAR", "product_id VARCHAR", "name VARCHAR", "unit_cost DECIMAL(20,4)",
         "currency VARCHAR", "pack_size BIGINT", "lead_time_days BIGINT", "available BOOLEAN", "attributes VARCHAR",
         "updated_at TIMESTAMP"),
    ),
}  # fmt: skip
LISTING = "s3/files.parquet"


@dataclass
class Oracle:
    """A dataset, what its runs landed, and DuckDB to compute with. `absent` tables are not in the dataset at all."""

    dataset: Path
    instants: list[datetime]
    overlaps: dict[str, float]
    db: duckdb.DuckDBPyConnection
    absent: list[str] = field(default_factory=list)
    landed: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)

    def has(self, table: str, file: str) -> bool:
        if not (self.dataset / file).exists():
            self.absent.append(table)
        return table not in self.absent


# What landed: a table of DuckDB for each of Bronze, with `_at`, the instant of the run that landed the version, and
# `_row_id` where docs/rules.md tells it (files and messages).


def land_versions(oracle: Oracle, table: str, source: Versioned) -> None:
    """Read span by span: `[watermark - overlap, until)`, moving on only where a run found something new."""
    columns = {_snake(name): kind for name, kind in source.schema.items()}
    columns |= {"is_deleted": "BOOLEAN"} if source.keeps_deletions else {}
    typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    oracle.db.execute(f"CREATE TABLE {table} ({typed}, _at TIMESTAMP, _row_id VARCHAR)")
    if not oracle.has(table, source.file):
        return
    _load(oracle, source)
    names, cursor, watermark = ", ".join(f'"{name}"' for name in columns), _snake(source.cursor), None
    for until in oracle.instants:
        since = watermark and watermark - timedelta(seconds=oracle.overlaps.get(table, HOUR))
        span = f"{cursor} < {_stamp(until)}" + (f" AND {cursor} >= {_stamp(since)}" if since else "")
        new = oracle.db.execute(f"""
            INSERT INTO {table} SELECT {names}, {_stamp(until)}, NULL FROM (
                SELECT {names} FROM ({_shown(source, until)}) WHERE {span} EXCEPT SELECT {names} FROM {table})""")
        watermark = until if (new.fetchone() or [0])[0] else watermark


def _load(oracle: Oracle, source: Versioned) -> None:
    """Make the table `versions` of a file, with `_replaced_at`, the instant at which another version of the key is shown.

    A row without a key stands for itself: nothing replaces it.
    """
    key = ", ".join(f'"{name}"' for name in source.key)
    keyless = " OR ".join(f'"{name}" IS NULL' for name in source.key)
    oracle.db.execute(f"""
        CREATE OR REPLACE TEMP TABLE versions AS
        SELECT *, CASE WHEN NOT ({keyless}) THEN lead(_visible_at) OVER (
            PARTITION BY {key} ORDER BY _visible_at, file_row_number) END AS _replaced_at
        FROM read_parquet({_text(oracle.dataset / source.file)}, file_row_number = true)""")
    for name, kind in source.schema.items():  # a column that the file lacks is null
        oracle.db.execute(f'ALTER TABLE versions ADD COLUMN IF NOT EXISTS "{name}" {kind}')


def _shown(source: Versioned, at: datetime) -> str:
    """A query for the rows of `versions` that the source shows at an instant, as Bronze names and types them."""

    def value(name: str, kind: str) -> str:
        if kind != "TIMESTAMP":
            return f'"{name}"::{kind}'
        utc = f"\"{name}\"::TIMESTAMPTZ AT TIME ZONE 'UTC'"
        if not source.keeps_deletions:
            return utc
        if name in ("SystemModstamp", "LastModifiedDate"):
            utc = f"CASE WHEN _gone THEN _deleted_at::TIMESTAMPTZ AT TIME ZONE 'UTC' ELSE {utc} END"
        return f"date_trunc('millisecond', {utc})"  # what Salesforce keeps of an instant

    columns = [f'{value(name, kind)} AS "{_snake(name)}"' for name, kind in source.schema.items()]
    columns += ["_gone AS is_deleted"] if source.keeps_deletions else []
    now = _zoned(at)
    return f"""
        SELECT {", ".join(columns)} FROM (
            SELECT *, coalesce(_deleted_at <= {now}, false) AS _gone FROM versions
            WHERE _visible_at <= {now} AND (_replaced_at IS NULL OR _replaced_at > {now}))
        WHERE {"true" if source.keeps_deletions else "NOT _gone"}"""


def land_messages(oracle: Oracle, table: str, topic: Topic) -> None:
    """Land each message with the first run at or after it became visible; its offset is its rank in its partition."""
    kinds = ["BIGINT" if name in topic.whole else "VARCHAR" for name in topic.fields]
    typed = ", ".join(f"{name} {kind}" for name, kind in zip(topic.fields, kinds, strict=True))
    oracle.db.execute(f"CREATE TABLE {table} ({typed}, _at TIMESTAMP, _row_id VARCHAR)")
    if not oracle.has(table, topic.file):
        return
    read = f"read_{table}"
    _function(oracle.db, read, message_reader(topic), ["BLOB"], "VARCHAR[]")
    oracle.db.execute(f"""
        CREATE OR REPLACE TEMP TABLE told AS
        SELECT {read}(value) AS fields, {_first_run(oracle.instants, "_visible_at")} AS _at,
            partition || ':' || row_number() OVER (PARTITION BY partition ORDER BY file_row_number) - 1 AS _row_id
        FROM read_parquet({_text(oracle.dataset / topic.file)}, file_row_number = true)""")
    values = ", ".join(f"fields[{place}]::{kind}" for place, kind in enumerate(kinds, 1))
    _keep_told(oracle, table, values)


def message_reader(topic: Topic) -> Callable[[bytes | None], list[str | None] | None]:
    """Make a function from a message's bytes to its fields as text; None where the message is rejected."""

    def read(value: bytes | None) -> list[str | None] | None:
        try:
            text = bytes(value).decode() if value is not None else ""
            told = json.loads(text, parse_constant=_refuse)
        except ValueError:
            return None
        if not isinstance(told, dict):
            return None
        for name in topic.whole:
            if told.get(name) is not None and type(told[name]) is not int:
                return None
        told |= {name: _compact(told[name]) for name in topic.fields if not isinstance(told.get(name), str | None)}
        return [told.get(name) for name in topic.fields]

    return read


def _compact(value: object) -> str:
    """A JSON value as text without blanks between its parts."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def land_files(oracle: Oracle, table: str, folder: Folder) -> None:
    """Land each file that a run sees with a content it had not landed, every record of it."""
    typed = ", ".join(folder.columns)
    oracle.db.execute(f"CREATE TABLE {table} ({typed}, file_date DATE, _at TIMESTAMP, _row_id VARCHAR)")
    if not oracle.has(table, LISTING):
        return
    objects = oracle.dataset / "s3" / "objects"
    records = "STRUCT(line BIGINT, fields VARCHAR[])[]"
    read = f"read_{table}"
    _function(
        oracle.db, read, lambda key, path: list(read_file(key, objects / path, folder.schema)), ["VARCHAR"] * 2, records
    )
    _function(oracle.db, f"etag_{table}", lambda path: _etag(objects / path), ["VARCHAR"], "VARCHAR")
    source = Versioned(LISTING, ("key",), "", ("key VARCHAR", "path VARCHAR"))
    _load(oracle, source)
    oracle.db.execute("CREATE OR REPLACE TEMP TABLE files (key VARCHAR, path VARCHAR, etag VARCHAR, _at TIMESTAMP)")
    for at in oracle.instants:
        oracle.db.execute(f"""
            INSERT INTO files SELECT key, path, etag_{table}(path), {_stamp(at)}
            FROM ({_shown(source, at)}) AS shown
            WHERE regexp_matches(key, '^{folder.prefix}/\\d{{4}}-\\d{{2}}-\\d{{2}}/[^/]+$')
                AND (key, etag_{table}(path)) NOT IN (SELECT (key, etag) FROM files)""")
    oracle.db.execute(f"""
        CREATE OR REPLACE TEMP TABLE told AS
        SELECT entry.fields, key, _at, key || ':' || etag || ':' || entry.line AS _row_id
        FROM (SELECT *, unnest({read}(key, path)) AS entry FROM files)""")
    values = ", ".join(f"fields[{place}]::{kind}" for place, kind in enumerate(folder.schema.values(), 1))
    _keep_told(oracle, table, f"{values}, split_part(key, '/', 3)::DATE")


def _keep_told(oracle: Oracle, table: str, values: str) -> None:
    """Land what could be read of `told`, count what could not, and let go of what no run has seen yet."""
    oracle.db.execute(
        f"INSERT INTO {table} SELECT {values}, _at, _row_id FROM told WHERE fields NOT NULL AND _at NOT NULL"
    )
    refused = oracle.db.execute("SELECT count(*) FROM told WHERE fields IS NULL AND _at NOT NULL").fetchone()
    oracle.rejected[table] = refused[0] if refused else 0


def _etag(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def _first_run(instants: list[datetime], column: str) -> str:
    return "CASE " + " ".join(f"WHEN {column} <= {_zoned(at)} THEN {_stamp(at)}" for at in instants) + " END"


def _function(db: duckdb.DuckDBPyConnection, name: str, call: Callable[..., Any], given: list[str], gives: str) -> None:
    db.create_function(name, call, given, duckdb.type(gives), type="native", null_handling="special")  # type: ignore[arg-type]


def _snake(name: str) -> str:
    return name.lower() if name.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _stamp(instant: datetime) -> str:
    return f"TIMESTAMP '{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"


def _zoned(instant: datetime) -> str:
    return f"TIMESTAMPTZ '{instant.astimezone(UTC).isoformat()}'"


# The answer


def compute(oracle: Oracle) -> None:
    """Land everything, then compute every table by oracle.sql."""
    for table, source in VERSIONED.items():
        land_versions(oracle, table, source)
    for table, topic in TOPICS.items():
        land_messages(oracle, table, topic)
    for table, folder in FOLDERS.items():
        land_files(oracle, table, folder)
    for table in [*VERSIONED, *TOPICS, *FOLDERS]:
        oracle.landed[table] = _count(oracle.db, table)
    oracle.db.execute("CREATE TABLE absent AS SELECT unnest($1::VARCHAR[]) AS name", [oracle.absent])
    oracle.db.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def write(oracle: Oracle, out: Path) -> None:
    """Write the tables, instants in UTC, and the counts."""
    for layer, tables in (("silver", SILVER), ("gold", GOLD)):
        (out / layer).mkdir(parents=True, exist_ok=True)
        for table in tables:
            described = oracle.db.execute(f"DESCRIBE {table}").fetchall()
            zoned = [
                f'"{name}" AT TIME ZONE \'UTC\' AS "{name}"' if kind == "TIMESTAMP" else f'"{name}"'
                for name, kind, *_ in described
                if not name.startswith("_")
            ]
            file = _text(out / layer / f"{table}.parquet")
            oracle.db.execute(f"COPY (SELECT {', '.join(zoned)} FROM {table}) TO {file} (FORMAT parquet)")
    refused = {table: dict(_refused(oracle.db, table)) for table in SILVER}
    counts = {
        "landed": oracle.landed,
        "rejected": oracle.rejected,
        "quarantined": {table: _count(oracle.db, f"{table}_judged WHERE _broken <> ''") for table in SILVER},
    }
    (out / "quarantine.json").write_text(json.dumps(refused, indent=2) + "\n", encoding="utf-8")
    (out / "counts.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")


def _refused(db: duckdb.DuckDBPyConnection, table: str) -> list[Any]:
    rules = f"SELECT unnest(string_split(_broken, ' ')) AS rule FROM {table}_judged WHERE _broken <> ''"
    return db.execute(f"SELECT rule, count(*) FROM ({rules}) GROUP BY rule ORDER BY rule").fetchall()


def _count(db: duckdb.DuckDBPyConnection, rows: str) -> int:
    counted = db.execute(f"SELECT count(*) FROM {rows}").fetchone()
    return int(counted[0]) if counted else 0


def answer(dataset: Path, out: Path, instants: list[datetime], overlaps: dict[str, float] | None = None) -> None:
    """Write to `out` what a lake of this dataset must hold after runs at these instants, oldest first."""
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SET memory_limit = '2GB'; SET preserve_insertion_order = false")
        db.execute(f"SET temp_directory = {_text(scratch)}")
        oracle = Oracle(dataset, instants, overlaps or {}, db)
        compute(oracle)
        write(oracle, out)


def main() -> None:
    parser = argparse.ArgumentParser(description="The independent answer to what a lake must hold.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--instant", action="append", required=True, help="of a run, oldest first")
    parser.add_argument("--overlap", action="append", default=[], help="bronze_table=seconds")
    given = parser.parse_args()
    instants = [datetime.fromisoformat(each) for each in given.instant]
    if instants != sorted(instants) or any(each.tzinfo is None for each in instants):
        parser.error("the instants must have a zone and be given oldest first")
    overlaps = {name: float(seconds) for name, _, seconds in (each.partition("=") for each in given.overlap)}
    if unknown := overlaps.keys() - VERSIONED.keys():
        parser.error(f"no table with a timestamp cursor: {', '.join(unknown)}")
    answer(given.dataset, given.out, instants, overlaps)


if __name__ == "__main__":
    main()
