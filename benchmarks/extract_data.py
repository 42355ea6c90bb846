"""What the sources of the extract benchmark hold: tables of ten columns, the same on every machine."""

# Each folder is a dataset of one source, as `docs/datasets.md` has it: the sandbox's stand-in shows it whole at `END`.

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from headwater.sandbox.datasets.folder import About, table, write_about, write_table

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2025, 1, 1, tzinfo=UTC)

_VERSION = 1
_PIECE = 262_144
_FILE_ROWS = 125_000
_CSV_FOLDER = "accounting/transactions"

# `i` is a row's number; the instants of all rows are spread evenly over the year, a microsecond apart at least.
_ROWS = """
SELECT i, TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_microseconds(i * {step}) AS moment,
    (hash(i) % 1000000007)::BIGINT AS one, (hash(i, 2) % 1000000007)::BIGINT AS two,
    (hash(i, 3) % 1000000007)::BIGINT AS three
FROM range({first}, {last}) AS numbers(i)
"""
_CURRENCY = "['EUR', 'USD', 'GBP', 'CHF'][1 + one % 4]"
_AMOUNT = "(two % 10000000)::DECIMAL(18, 2) / 100"

_TABLES = {
    "snowflake/ORDERS": f"""
        format('O{{:010d}}', i) AS "ORDER_ID", format('C{{:08d}}', one % 1000000) AS "CUSTOMER_ID",
        date_trunc('second', moment) - to_minutes(two % 3000) AS "ORDER_DATE",
        format('P{{:06d}}', three % 100000) AS "PRODUCT_ID",
        1 + two % 9 AS "QUANTITY", {_AMOUNT} AS "AMOUNT", {_CURRENCY} AS "CURRENCY",
        ['NEW', 'PAID', 'SHIPPED', 'DELIVERED'][1 + three % 4] AS "STATUS", moment AS "LAST_MODIFIED_TS" """,
    "redshift/customer_behavior": """
        format('E{:010d}', i) AS event_id, format('C{:08d}', one % 1000000) AS customer_id,
        ['page_view', 'add_to_cart', 'purchase', 'search'][1 + two % 4] AS event_name, moment AS event_ts,
        format('S{:09d}', i // 7) AS session_id, ['mobile', 'desktop', 'tablet'][1 + three % 3] AS device,
        ['DE', 'FR', 'US', 'GB'][1 + one % 4] AS geo, format('/product/P{:06d}', three % 100000) AS url_1,
        '/search' AS url_2, format('{{"ab": "{}"}}', two % 10) AS metadata""",
    "salesforce/Opportunity": f"""
        format('006{{:015d}}', i) AS "Id", format('001{{:015d}}', one % 1000000) AS "AccountId",
        format('Renewal {{}}', two) AS "Name", ['Prospecting', 'Closed Won', 'Closed Lost'][1 + three % 3] AS "StageName",
        {_AMOUNT} AS "Amount", (moment + to_days((three % 90)::INTEGER))::DATE AS "CloseDate", two % 100 AS "Probability",
        date_trunc('second', moment) - to_minutes(two % 3000) AS "CreatedDate",
        date_trunc('milliseconds', moment) AS "LastModifiedDate",
        date_trunc('milliseconds', moment) AS "SystemModstamp" """,
    "kafka/orders_events": """
        (i % 3)::INTEGER AS "partition", format('O{:010d}', i) AS "key",
        encode(format('{{"order_id": "O{:010d}", "customer_id": "C{:08d}", "event_type": "{}", "event_timestamp": "{}", '
            || '"metadata": "{}"}}', i, one % 1000000, ['CREATED', 'PAID', 'SHIPPED'][1 + two % 3],
            strftime(moment, '%Y-%m-%dT%H:%M:%S.%fZ'), ['web', 'app', 'store'][1 + three % 3])) AS value,
        date_trunc('milliseconds', moment) AS "timestamp" """,
    "fx/rates": """
        DATE '2000-01-01' + (i // 300)::INTEGER AS date, 'EUR' AS base_currency,
        chr((65 + (i % 300) // 26)::INTEGER) || chr((65 + (i % 300) % 26)::INTEGER) || 'X' AS quote_currency,
        (1 + two)::DECIMAL(20, 10) / 100000 AS rate, moment AS as_of_time""",
}
"""The columns of each source's table by its file in a dataset."""

_TRANSACTIONS = f"""
    format('T{{:010d}}', i) AS transaction_id, format('A{{:05d}}', one % 10000) AS account_code,
    strftime(moment, '%Y-%m-%dT%H:%M:%SZ') AS posted_at, {_AMOUNT} AS amount, {_CURRENCY} AS currency,
    format('D{{:09d}}', three) AS document_id,
    CASE WHEN two % 50 = 0 THEN 'invoice, ' ELSE 'invoice ' END || two % 100000 AS memo,
    two % 7 = 0 AS reversed"""

PARTS = {name.partition("/")[0]: name for name in _TABLES} | {"s3": "s3/files"}
"""The file of a dataset that each stand-in shows, by the stand-in's folder."""


def prepared(folder: Path, part: str, rows: int) -> Path:
    """A dataset in which one source has so many rows, made now if it is not in `folder` whole."""
    dataset = folder / "data"
    made = folder / "made.json"
    wanted = {"version": _VERSION, "part": part, "rows": rows}
    if made.is_file() and json.loads(made.read_text(encoding="utf-8")) == wanted:
        return dataset
    shutil.rmtree(folder, ignore_errors=True)
    if part == "s3":
        _write_files(dataset, rows)
    else:
        name = PARTS[part]
        write_table(dataset, name, _pieces(name, rows))
    write_about(dataset, About("extract", "Extract", "Rows to measure reading by.", _VERSION, BEGIN, END).document(1.0))
    made.write_text(json.dumps(wanted), encoding="utf-8")
    return dataset


def _pieces(name: str, rows: int) -> Iterator[pa.Table]:
    with duckdb.connect(config={"threads": 1}) as session:
        session.execute("SET TimeZone = 'UTC'")
        for first in range(0, rows, _PIECE):
            numbered = _numbered(first, min(first + _PIECE, rows), rows)
            told = session.sql(f"SELECT {_TABLES[name]}, moment AS _visible_at FROM ({numbered})").to_arrow_table()
            yield table(name, {column: told[column] for column in told.column_names})


def _numbered(first: int, last: int, rows: int) -> str:
    step = int((END - BEGIN).total_seconds() * 1_000_000) // (rows + 1)
    return _ROWS.format(first=first, last=last, step=step)


def _write_files(dataset: Path, rows: int) -> None:
    """CSV files of 125,000 lines, a day each, and the list of them."""
    keys = []
    with duckdb.connect(config={"threads": 1}) as session:
        session.execute("SET TimeZone = 'UTC'")
        for number, first in enumerate(range(0, rows, _FILE_ROWS)):
            key = f"{_CSV_FOLDER}/2024-{1 + number // 28:02d}-{1 + number % 28:02d}/transactions.csv"
            file = dataset / "s3" / "objects" / key
            file.parent.mkdir(parents=True)
            query = f"SELECT {_TRANSACTIONS} FROM ({_numbered(first, min(first + _FILE_ROWS, rows), rows)})"
            session.execute(f"COPY ({query}) TO '{file}' (FORMAT csv, HEADER)")
            keys.append(key)
    instants = pa.repeat(pa.scalar(BEGIN, pa.timestamp("us", tz="UTC")), len(keys))
    write_table(
        dataset,
        "s3/files",
        [table("s3/files", {"key": pa.array(keys), "path": pa.array(keys), "_visible_at": instants})],
    )
