"""Mutants of what computes tables: their functions, the steps they share, quality and contracts."""

from tests.mutants.mutant import of_contract, of_file, of_function

SILVER = [
    *of_function(
        "silver",
        "orders",
        ("currency-as-told", 'code("currency")', 'text("currency")'),
        ("month-of-change", 'month("order_date", "order_month")', 'month("last_modified_ts", "order_month")'),
        ("priced-at-the-change", 'on="order_date"', 'on="last_modified_ts"'),
    ),
    *of_function(
        "silver",
        "customers",
        ("case-sensitive-e-mail", 'email("email")', 'text("email")'),
        ("country-as-told", 'code("country")', 'text("country")'),
    ),
    *of_function("silver", "products", ("brand-with-spaces", 'text("brand")', '"brand"')),
    *of_function(
        "silver",
        "behavior",
        ("day-for-month-in-session", '"-", year, month_, day', '"-", year, day, month_'),
        ("longitude-to-90", "limit=180", "limit=90"),
        ("not-quite-to-the-poles", "F.abs(degrees) <= limit", "F.abs(degrees) < limit"),
        ("pages-in-the-order-of-text", "(int(match[1]), match[0])", "(match[1], match[0])"),
        ("empty-pages-kept", "F.array_compact(F.array(", "F.array_distinct(F.array("),
    ),
    *of_function(
        "silver",
        "accounts",
        ("newest-contact", '"created_date").asc_nulls_last()', '"created_date").desc_nulls_last()'),
        ("undated-contact-first", '"created_date").asc_nulls_last()', '"created_date").asc_nulls_first()'),
        ("greater-contact-id", 'F.col("contact_id").asc()', 'F.col("contact_id").desc()'),
        ("deleted-contact-counts", '~F.coalesce("is_deleted", F.lit(False)) & ', ""),
        ("contact-without-e-mail-counts", ' & F.col("primary_email").isNotNull()', ""),
    ),
    *of_function("silver", "contacts", ("contact-e-mail-as-told", 'email("email")', 'text("email")')),
    *of_function(
        "silver",
        "opportunities",
        ("stage-in-title-case", 'text("stage_name", "stage")', 'F.initcap(text("stage_name")).alias("stage")'),
    ),
    *of_function(
        "silver", "fx_rates", ("pair-reversed", 'F.concat(code("base_currency"), ', 'F.concat(code("quote_currency"), ')
    ),
    *of_function(
        "silver",
        "inventory",
        (
            "erp-at-the-end-of-day",
            'F.col("file_date").cast("timestamp")',
            'F.date_add("file_date", 1).cast("timestamp")',
        ),
    ),
    *of_function("silver", "order_events", ("kind-as-told", 'code("event_type")', 'text("event_type")')),
    *of_function("silver", "user_events", ("metadata-trimmed", '        "metadata",', '        text("metadata"),')),
]

GOLD = [
    *of_function(
        "gold",
        "customer_360",
        ("only-customers-of-companies", 'company, "email", "left"', 'company, "email", "inner"'),
        ("only-customers-who-ordered", '(orders), "customer_id", "left"', '(orders), "customer_id", "inner"'),
        ("no-session-is-a-session", 'F.count("session_id").alias', "F.count(F.lit(1)).alias"),
        (
            "every-event-a-session",
            'groupBy("customer_id", "session_id")',
            'groupBy("customer_id", "session_id", "event_id")',
        ),
        ("first-order-for-last", 'F.max("order_date")', 'F.min("order_date")'),
    ),
    *of_function(
        "gold",
        "product_perf_daily",
        ("erp-before-event", '(F.col("origin") == "event").desc()', '(F.col("origin") == "event").asc()'),
        ("oldest-level-of-the-day", '[F.col("stock_ts").desc()', '[F.col("stock_ts").asc()'),
        (
            "stock-of-the-local-day",
            'F.to_date("stock_ts")',
            'F.to_date(F.from_utc_timestamp("stock_ts", "Asia/Tokyo"))',
        ),
        ("stock-of-one-warehouse", '["product_id", "warehouse_id", "day"]', '["product_id", "day"]'),
        (
            "sales-of-the-local-day",
            'F.to_date("order_date")',
            'F.to_date(F.from_utc_timestamp("order_date", "Europe/Berlin"))',
        ),
    ),
    *of_function(
        "gold",
        "revenue_by_geography",
        ("nobody-s-country-is-null", 'F.coalesce("country", F.lit(UNKNOWN))', 'F.col("country")'),
        (
            "revenue-of-the-local-day",
            'F.to_date("order_date")',
            'F.to_date(F.from_utc_timestamp("order_date", "Europe/Berlin"))',
        ),
    ),
    *of_function(
        "gold",
        "revenue_by_industry",
        ("lost-is-open", '("Closed Won", "Closed Lost")', '("Closed Won",)'),
        (
            "no-stage-is-closed",
            'F.coalesce(F.col("stage").isin(*CLOSED), F.lit(False))',
            'F.col("stage").isin(*CLOSED)',
        ),
        ("pipeline-by-creation", 'month("close_date", "month")', 'month("created_date", "month")'),
        ("pipeline-without-strangers", '"industry"), "account_id", "left")', '"industry"), "account_id", "inner")'),
        ("industry-s-own-month", 'month("order_date", "month")', 'month("last_modified_ts", "month")'),
    ),
]

STEPS = of_file(
    "transform/steps.py",
    ("rate-of-the-next-day", "_numbered(number, asked_day)", "_numbered(number, asked_day + 1)", "orders"),
    ("rate-of-the-day-before", 'side="right"', 'side="left"', "orders"),
    ("six-days-old", "lines[line[held]] <= max_age_days", "lines[line[held]] < max_age_days", "orders"),
    ("last-base", 'F.col("base_currency").asc()', 'F.col("base_currency").desc()', "orders"),
    ("cut-off-instead-of-rounded", "product + units, units", "product, units", "orders"),
    ("negative-amounts-turn", "F.when(amount < 0, -rounded)", "F.when(amount < 0, rounded)", "orders"),
    ("dollars-need-a-rate", 'F.when(currency == "USD", cents)', 'F.when(currency == "EUR", cents)', "orders"),
    (
        "month-of-local-time",
        'F.date_format(F.col(column), "yyyy-MM")',
        'F.date_format(F.from_utc_timestamp(F.col(column), "America/New_York"), "yyyy-MM")',
        "orders",
    ),
    ("seconds-as-milliseconds", "seconds * F.lit(1000)", "seconds", "user_events"),
    ("no-instant-without-zone", r"[0-5]\d)?$", r"[0-5]\d)$", "user_events"),
    ("empty-text-is-a-value", 'F.nullif(F.trim(F.col(column)), F.lit(""))', "F.trim(F.col(column))", "customers"),
    (
        "money-to-the-dime",
        "cents = F.col(column).try_cast(",
        "cents = F.col(column).cast('decimal(20,1)').try_cast(",
        "products",
    ),
    (
        "oldest-contact-version",
        "F.col(column).desc_nulls_last() for column in (cursor",
        "F.col(column).asc_nulls_last() for column in (cursor",
        "accounts",
    ),
    (
        "oldest-account-of-e-mail",
        'F.col("last_modified_date").desc_nulls_last()',
        'F.col("last_modified_date").asc_nulls_last()',
        "customer_360",
    ),
    ("greater-account-id", 'F.col("account_id").asc()', 'F.col("account_id").desc()', "customer_360"),
    ("returns-are-revenue", '"REFUNDED", "RETURNED")', '"REFUNDED")', "revenue_by_geography"),
    ("cancelled-as-spelled", 'F.upper("status").isin', 'F.col("status").isin', "revenue_by_geography"),
    (
        "no-status-is-no-revenue",
        "isin(*NOT_REVENUE), F.lit(True))",
        "isin(*NOT_REVENUE), F.lit(False))",
        "revenue_by_geography",
    ),
    (
        "cancelled-orders-count",
        'F.sum(F.when(net, F.col("amount_usd")))',
        'F.sum("amount_usd")',
        "revenue_by_geography",
    ),
    (
        "average-over-unpriced",
        'F.sum(F.when(F.col("amount_usd").isNotNull(), F.col("quantity")))',
        'F.sum("quantity")',
        "product_perf_daily",
    ),
    (
        "orders-for-customers",
        'F.count("customer_id").alias("customers")',
        'F.sum("orders").alias("customers")',
        "revenue_by_geography",
    ),
    ("no-price-no-sum", "F.coalesce(F.sum(column), F.lit(0))", "F.sum(column)", "revenue_by_geography"),
)

QUALITY = [
    *of_file(
        "quality/newest.py",
        (
            "oldest-instead-of-newest",
            "F.col(name).desc_nulls_last() for name",
            "F.col(name).asc_nulls_last() for name",
            "orders",
        ),
        ("no-tie-break-by-landing", '"_ingest_ts", "_run_id", "_row_id", "_input"]', '"_row_id", "_input"]', "orders"),
        (
            "smaller-row-id",
            "F.col(name).desc_nulls_last() for name in columns",
            'F.col(name).asc() if name == "_row_id" else F.col(name).desc_nulls_last() for name in columns',
            "order_events",
        ),
        (
            "refused-versions-win",
            "contract, accepted, batch & _has_cursor",
            "contract, F.lit(True), batch & _has_cursor",
            "orders",
        ),
        ("deletions-stay", 'F.lit(False)), "deleted")', 'F.lit(False)), "accepted")', "accounts"),
    ),
    *of_file(
        "quality/rules.py",
        ("orphans-pass", "return rows, value.isNotNull() & value.isin(*found)", "return rows, None", "orders"),
        (
            "nothing-is-too-little",
            "value >= _bound(column, column.minimum)",
            "value > _bound(column, column.minimum)",
            "orders",
        ),
        (
            "all-is-too-much",
            "value <= _bound(column, column.maximum)",
            "value < _bound(column, column.maximum)",
            "opportunities",
        ),
        (
            "a-rate-of-nothing",
            "value > _bound(column, column.exclusive_minimum)",
            "value >= _bound(column, column.exclusive_minimum)",
            "fx_rates",
        ),
        ("unreadable-is-missing", "value.isNull() & raw.isNull()", "value.isNull()", "order_events"),
        (
            "deletions-are-judged-whole",
            "return condition & ~F.coalesce(F.col(contract.deletion), F.lit(False))",
            "return condition",
            "contacts",
        ),
    ),
    *of_file(
        "quality/typed.py",
        (
            "unreadable-is-forgotten",
            "{name: F.col(name) for name in kept if name.startswith(RAW)}",
            "{}",
            "user_events",
        ),
    ),
]

CONTRACTS = [
    *of_contract(
        "orders",
        (
            "currency-not-required",
            "of the amount, in capitals.\n        required: true\n",
            "of the amount, in capitals.\n",
        ),
        ("no-foreign-key", "        relationships:\n          - to: products.product_id\n", ""),
        ("one-at-least", "minimum: 0", "minimum: 1"),
        ("another-cursor", "value: last_modified_ts", "value: order_date"),
    ),
    *of_contract(
        "order_events",
        ("value-not-allowed", "[PLACED, PAID, SHIPPED, CANCELLED]", "[PLACED, PAID, SHIPPED]"),
        ("key-without-instant", "        primaryKey: true\n        primaryKeyPosition: 3\n", ""),
    ),
    *of_contract(
        "inventory", ("key-without-warehouse", "        primaryKey: true\n        primaryKeyPosition: 2\n", "")
    ),
    *of_contract("fx_rates", ("six-decimals", "physicalType: decimal(20,10)", "physicalType: decimal(20,6)")),
    *of_contract(
        "behavior", ("strangers-visits", "        relationships:\n          - to: customers.customer_id\n", "")
    ),
    *of_contract(
        "contacts", ("contacts-of-nobody", "        relationships:\n          - to: accounts.account_id\n", "")
    ),
]
