"""Mutants of what moves tables: building, committing, landing and reading the sources."""

from tests.mutants.mutant import of_file

RUNS = [
    *of_file(
        "run/build.py",
        ("built-once", "if head is not None and self._is_done(head) and self.replay is None:", "if head:", "orders"),
        (
            "parents-are-no-inputs",
            "*(key.parent for key in self.contract.foreign_keys))",
            ")",
            "behavior",
        ),
        again=True,
    ),
    *of_file(
        "run/reading.py",
        ("no-parents", "{name: self.read(name) for name in parents if name in self.versions}", "{}", "opportunities"),
        again=True,
    ),
    *of_file(
        "run/refused.py",
        (
            "released-stay-refused",
            'changed = before is None or before.metadata.get("digest") != digest',
            "changed = before is None",
            "orders",
        ),
        again=True,
    ),
    *of_file(
        "engine/delta.py",
        ("appended-not-replaced", '"overwrite" if overwrite or wider else "append"', '"append"', "customers"),
        again=True,
    ),
]

LANDING = [
    *of_file(
        "run/positions.py",
        ("no-overlap", "position.watermark - overlap", "position.watermark", "snowflake_orders orders"),
        (
            "twice-the-overlap",
            "position.watermark - overlap",
            "position.watermark - 2 * overlap",
            "redshift_behavior behavior",
        ),
        ("offset-before-the-end", "number: end_offset}", "number: end_offset - 1}", "kafka_orders_events order_events"),
    ),
    *of_file(
        "run/bronze.py",
        (
            "overlap-lands-twice",
            "return HeldSince(cursor, partition.start)",
            "return Held.NOTHING",
            "snowflake_orders",
        ),
        (
            "position-of-the-first-part",
            "reduce(positions.after, parts, position)",
            "positions.after(position, parts[0])",
            "external_inventory inventory",
        ),
        (
            "position-never-moves",
            "reduce(positions.after, parts, position)",
            "position",
            "kafka_user_events user_events",
        ),
    ),
    *of_file(
        "run/row_ids.py",
        (
            "identity-of-one-column",
            "sorted(batch.schema.names)",
            "sorted(batch.schema.names)[:1]",
            "fx_vendor_rates fx_rates",
        ),
    ),
    *of_file(
        "engine/landing.py",
        ("repeated-in-a-read", "WHERE number <> first {known}", "WHERE number < first {known}", "snowflake_orders"),
        (
            "held-rows-land-again",
            "{ROW_ID} IN (SELECT {ROW_ID} FROM held)",
            "{ROW_ID} IS NULL",
            "fx_vendor_rates",
        ),
    ),
    *of_file(
        "extract/snowflake_orders.py",
        ("snowflake-end-included", 'return f"{column} < ?"', 'return f"{column} <= ?"', "snowflake_orders orders"),
        ("snowflake-start-left-out", "{column} >= ? AND", "{column} > ? AND", "snowflake_orders orders"),
    ),
    *of_file(
        "extract/redshift_behavior.py",
        (
            "redshift-end-included",
            '"FROM {table} WHERE {c} < %s"',
            '"FROM {table} WHERE {c} <= %s"',
            "redshift_behavior behavior",
        ),
        ("redshift-start-left-out", "WHERE {c} >= %s AND", "WHERE {c} > %s AND", "redshift_behavior behavior"),
    ),
    *of_file(
        "extract/salesforce.py",
        ("salesforce-start-left-out", "{self.cursor} >= ", "{self.cursor} > ", "salesforce_accounts accounts"),
        ("salesforce-end-included", "{self.cursor} < ", "{self.cursor} <= ", "salesforce_accounts accounts"),
    ),
    *of_file(
        "extract/salesforce_api.py",
        (
            "deletions-not-asked",
            'get("/queryAll", q=soql))\n        records',
            'get("/query", q=soql))\n        records',
            "salesforce_contacts contacts",
        ),
    ),
    *of_file(
        "extract/fx_rates.py",
        ("rates-from-the-end", "_instant(partition.start)", "_instant(partition.end)", "fx_vendor_rates fx_rates"),
        (
            "rates-from-the-beginning",
            "if partition.start is not None:\n            span",
            "if False:\n            span",
            "fx_vendor_rates",
        ),
    ),
    *of_file(
        "extract/kafka_orders_stream.py",
        (
            "last-message-left",
            "min(first + most, high)",
            "min(first + most, high - 1)",
            "kafka_orders_events order_events",
        ),
        (
            "one-message-skipped",
            "        return recorded\n",
            "        return recorded + 1\n",
            "kafka_inventory_updates inventory",
        ),
    ),
    *of_file(
        "extract/json_messages.py",
        ("no-natural-numbers", '("BIGINT", "UBIGINT")', '("BIGINT",)', "kafka_inventory_updates inventory"),
    ),
    *of_file(
        "extract/s3_files.py",
        (
            "file-without-etag",
            "if file not in since.files]",
            "if file.key not in {each.key for each in since.files}]",
            "external_inventory inventory",
        ),
    ),
    *of_file(
        "extract/from_text.py",
        (
            "text-for-a-number-is-null",
            "if array.null_count == text.null_count:",
            "if array.null_count >= text.null_count:",
            "external_inventory inventory",
        ),
    ),
]
