"""The reference job as an experienced person would write it by hand: DuckDB SQL, committed with delta-rs.

It shares nothing with Headwater: it reads the same Delta tables, makes the same three tables (orders, their
quarantine, customer_360) and knows neither contracts nor other tables.

    python -m benchmarks.by_hand_duckdb LAKE OUT
"""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions

_SETTINGS = """
SET memory_limit = '2GB';
SET threads = 2;
SET preserve_insertion_order = false;
SET TimeZone = 'UTC';
"""

# Of each currency and day: the legs of the newest published date that is at most seven days old.
_PRICE_LIST = """
CREATE TEMP TABLE price_list AS
WITH legs AS (
    SELECT date, base_currency, quote_currency AS currency, rate FROM fx_rates
    WHERE rate > 0 AND base_currency <> quote_currency
    UNION ALL
    SELECT DISTINCT date, base_currency, base_currency, 1::DECIMAL(20, 10) FROM fx_rates
    WHERE rate > 0 AND base_currency <> quote_currency
), dated AS (
    SELECT other.currency, other.date, other.rate AS leg, dollar.rate AS usd_leg
    FROM legs AS other JOIN legs AS dollar USING (date, base_currency)
    WHERE dollar.currency = 'USD' AND other.currency <> 'USD'
    QUALIFY row_number() OVER (PARTITION BY other.currency, date ORDER BY base_currency) = 1
), spans AS (
    SELECT *, least(lead(date) OVER (PARTITION BY currency ORDER BY date) - 1, date + 7) AS last FROM dated
)
SELECT currency, unnest(generate_series(date, last, INTERVAL 1 DAY))::DATE AS day,
    (leg * 10000000000)::HUGEINT AS leg_units, (usd_leg * 10000000000)::HUGEINT AS usd_units
FROM spans
"""

_CLEANED = """
CREATE TEMP VIEW cleaned AS
SELECT nullif(trim(order_id), '') AS order_id, nullif(trim(customer_id), '') AS customer_id,
    nullif(trim(product_id), '') AS product_id, order_date, quantity,
    TRY_CAST(amount AS DECIMAL(18, 2)) AS amount, amount AS amount_told,
    upper(nullif(trim(currency), '')) AS currency, nullif(trim(status), '') AS status, last_modified_ts,
    make_timestamp(epoch_us(order_date)) AS placed, placed::DATE AS day, _ingest_ts, _run_id, _row_id
FROM snowflake_orders
"""

_REFUSED = """
CREATE TEMP TABLE refused AS
WITH judged AS (
    SELECT *, list_filter([
        CASE WHEN order_id IS NULL THEN 'order_id:required' END,
        CASE WHEN customer_id IS NULL THEN 'customer_id:required' END,
        CASE WHEN customer_id IS NOT NULL AND customer_id NOT IN (SELECT customer_id FROM customers)
            THEN 'customer_id:reference' END,
        CASE WHEN product_id IS NULL THEN 'product_id:required' END,
        CASE WHEN product_id IS NOT NULL AND product_id NOT IN (SELECT product_id FROM products)
            THEN 'product_id:reference' END,
        CASE WHEN order_date IS NULL THEN 'order_date:required' END,
        CASE WHEN quantity IS NULL THEN 'quantity:required' END,
        CASE WHEN quantity < 0 THEN 'quantity:range' END,
        CASE WHEN amount_told IS NULL THEN 'amount:required' END,
        CASE WHEN amount IS NULL AND amount_told IS NOT NULL THEN 'amount:type' END,
        CASE WHEN currency IS NULL THEN 'currency:required' END,
        CASE WHEN last_modified_ts IS NULL THEN 'last_modified_ts:required' END
    ], lambda rule: rule IS NOT NULL) AS rules FROM cleaned
)
SELECT _row_id, rules FROM judged WHERE len(rules) > 0
"""

# Few keys have several versions: only those are sorted.
_OUTDONE = """
CREATE TEMP TABLE outdone AS
WITH contested AS (SELECT order_id FROM cleaned GROUP BY order_id HAVING count(*) > 1)
SELECT _row_id FROM (
    SELECT order_id, last_modified_ts, _ingest_ts, _run_id, _row_id FROM cleaned
    WHERE order_id IN (SELECT order_id FROM contested) AND _row_id NOT IN (SELECT _row_id FROM refused)
)
QUALIFY row_number() OVER (
    PARTITION BY order_id ORDER BY last_modified_ts DESC, _ingest_ts DESC, _run_id DESC, _row_id DESC
) > 1
"""

_ORDERS = """
SELECT order_id, customer_id, product_id, order_date, quantity, amount, currency, status,
    CASE WHEN currency = 'USD' THEN amount ELSE (
        sign(amount)::HUGEINT * (((abs(amount) * 100)::HUGEINT * usd_units * 2 + leg_units) // (leg_units * 2))
    )::DECIMAL(18, 0) * 0.01 END::DECIMAL(18, 2) AS amount_usd,
    last_modified_ts, strftime(placed, '%Y-%m') AS order_month
FROM (SELECT * FROM cleaned ANTI JOIN refused USING (_row_id) ANTI JOIN outdone USING (_row_id))
LEFT JOIN price_list USING (currency, day)
"""

_QUARANTINE = """
SELECT _row_id, rules, to_json(told)::VARCHAR AS raw FROM snowflake_orders AS told JOIN refused USING (_row_id)
"""

_CUSTOMER_360 = """
WITH company AS (
    SELECT primary_email AS email, account_id, industry, annual_revenue, billing_city FROM accounts
    WHERE primary_email IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY primary_email ORDER BY last_modified_date DESC NULLS LAST, account_id) = 1
), bought AS (
    SELECT customer_id, count(order_id) AS total_orders, sum(amount_usd)::DECIMAL(28, 2) AS total_revenue,
        max(order_date) AS last_order_date
    FROM orders GROUP BY customer_id
), sessions AS (
    SELECT customer_id, session_id, count(event_id) AS events, max(event_ts) AS last_ts
    FROM behavior GROUP BY customer_id, session_id
), visited AS (
    SELECT customer_id, sum(events)::BIGINT AS total_events, count(session_id) AS total_sessions,
        max(last_ts) AS last_activity_date
    FROM sessions GROUP BY customer_id
)
SELECT coalesce(customer_id, account_id) AS customer_key, customer_id, email, country, industry, annual_revenue,
    billing_city, total_orders, total_revenue, last_order_date, total_events, total_sessions, last_activity_date
FROM customers LEFT JOIN company USING (email) LEFT JOIN bought USING (customer_id) LEFT JOIN visited USING (customer_id)
"""


def main(lake: Path, out: Path) -> None:
    """Make the three tables of `lake` below `out`, and print what each step took."""
    out.mkdir(parents=True, exist_ok=True)
    steps: dict[str, float] = {}
    with duckdb.connect() as session:
        session.execute(_SETTINGS)
        session.execute(f"SET temp_directory = '{out / 'spilled'}'")
        for name, path in _INPUTS.items():
            _view(session, name, lake / path)
        for name, statement in _PREPARATION.items():
            _timed(steps, name, lambda statement=statement: session.execute(statement))
        _timed(steps, "quarantine", lambda: _write(session, out / "quarantine/orders", _QUARANTINE, None))
        _timed(steps, "orders", lambda: _write(session, out / "silver/orders", _ORDERS, "order_month"))
        _view(session, "orders", out / "silver/orders")
        _timed(steps, "customer_360", lambda: _write(session, out / "gold/customer_360", _CUSTOMER_360, "country"))
    print(json.dumps(steps))


_INPUTS = {
    "snowflake_orders": "bronze/snowflake/orders",
    "customers": "silver/customers",
    "products": "silver/products",
    "accounts": "silver/accounts",
    "behavior": "silver/behavior",
    "fx_rates": "silver/fx_rates",
}
_PREPARATION = {"price list": _PRICE_LIST, "cleaned": _CLEANED, "refused": _REFUSED, "outdone": _OUTDONE}


def _timed(steps: dict[str, float], name: str, step: Any) -> None:
    started = perf_counter()
    step()
    steps[name] = round(perf_counter() - started, 2)


def _view(session: duckdb.DuckDBPyConnection, name: str, table: Path) -> None:
    files = DeltaTable(table).file_uris()
    session.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM read_parquet({files}, hive_partitioning = false)")


def _write(session: duckdb.DuckDBPyConnection, table: Path, query: str, partition: str | None) -> None:
    """Write a query's rows as Parquet files and commit them as a new Delta table."""
    table.mkdir(parents=True)
    by = f", PARTITION_BY ({partition})" if partition else ", FILENAME_PATTERN 'part_{i}', PER_THREAD_OUTPUT"
    copied = session.sql(f"COPY ({query}) TO '{table}' (FORMAT parquet, COMPRESSION zstd, RETURN_STATS{by})")
    adds = [_add_action(table, row) for row in copied.to_arrow_table().to_pylist()]
    columns = session.sql(f"{query} LIMIT 0").to_arrow_table().schema
    create_table_with_add_actions(
        str(table), Schema.from_arrow(columns), adds, mode="error", partition_by=[partition] if partition else []
    )


def _add_action(table: Path, written: dict[str, Any]) -> AddAction:
    file = Path(written["filename"])
    values = {column: None if value is None else str(value) for column, value in (written["partition_keys"] or [])}
    statistics = json.dumps({"numRecords": written["count"]})
    path = file.relative_to(table).as_posix()
    return AddAction(path, written["file_size_bytes"], values, int(file.stat().st_mtime * 1000), True, statistics)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
