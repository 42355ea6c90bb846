"""Every demand of a contract on a row, and which version of a key stands."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.contracts import Column, Contract, ForeignKey
from headwater.errors import BalanceBroken, ConfigurationError
from headwater.quality.newest import newest
from headwater.quality.rules import forgiven, in_words, judged, reasons, rule_names
from headwater.quality.shares import BatchShares
from headwater.quality.typed import typed

NOON = datetime(2024, 11, 1, 12, tzinfo=UTC)

SALES = Contract(
    layer="silver",
    name="sales",
    path="silver/sales",
    columns=(
        Column("sale_id", "string", required=True),
        Column("shop_id", "string"),
        Column("state", "string", allowed=("OPEN", "DONE")),
        Column("code", "string", pattern="^[A-Z]{3}$"),
        Column("note", "string", min_length=2, max_length=4),
        Column("quantity", "bigint", required=True, minimum=0, maximum=100),
        Column("rate", "decimal(20,10)", exclusive_minimum=0),
        Column("share", "double", exclusive_maximum=1),
        Column("sold_on", "date", minimum="2024-01-01", exclusive_maximum="2025-01-01"),
        Column("changed_ts", "timestamp", required=True),
    ),
    key=("sale_id",),
    cursor="changed_ts",
    tie_break=None,
    deletion="is_deleted",
    foreign_keys=(ForeignKey("shop_id", "shops", "shop_id"),),
)
GOOD: dict[str, Any] = {
    "sale_id": "S1",
    "shop_id": "A",
    "state": "OPEN",
    "code": "ABC",
    "note": "fine",
    "quantity": 1,
    "rate": Decimal("1.5"),
    "share": 0.5,
    "sold_on": date(2024, 11, 1),
    "changed_ts": NOON,
    "is_deleted": False,
    "_raw_sold_on": "2024-11-01",
    "_raw_changed_ts": None,
    "_row_id": "r1",
    "_ingest_ts": NOON,
    "_run_id": "run1",
    "_input": "shop_sales",
}
SCHEMA = pa.schema(
    [
        *SALES.arrow_schema,
        pa.field("is_deleted", pa.bool_()),
        pa.field("_raw_sold_on", pa.string()),
        pa.field("_raw_changed_ts", pa.string()),
        pa.field("_row_id", pa.string()),
        pa.field("_ingest_ts", pa.timestamp("us", tz="UTC")),
        pa.field("_run_id", pa.string()),
        pa.field("_input", pa.string()),
    ]
)


def sales(spark: SparkSession, *changes: dict[str, Any]) -> DataFrame:
    """One row for each of `changes`, good but for what it says."""
    rows = [{**GOOD, "_row_id": f"r{number}", **change} for number, change in enumerate(changes)]
    return spark.createDataFrame(pa.Table.from_pylist(rows, schema=SCHEMA))


def shops(spark: SparkSession, *ids: str | None) -> dict[str, DataFrame]:
    return {"shops": spark.createDataFrame(pa.table({"shop_id": pa.array(ids, pa.string())}))}


def told(rows: DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Those columns of every row, in the order of `_row_id`."""
    found = sorted(
        rows.select("_row_id", *names).toArrow().to_pylist(), key=lambda row: (len(row["_row_id"]), row["_row_id"])
    )
    return [tuple(row[name] for name in names) for row in found]


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"sale_id": None}, ["sale_id:required"]),
    ({"quantity": None}, ["quantity:required"]),
    ({"quantity": -1}, ["quantity:range"]),
    ({"quantity": 0}, []),
    ({"quantity": 100}, []),
    ({"quantity": 101}, ["quantity:range"]),
    ({"rate": Decimal(0)}, ["rate:range"]),
    ({"rate": Decimal("0.0000000001")}, []),
    ({"rate": None}, []),
    ({"share": 1.0}, ["share:range"]),
    ({"share": 0.99}, []),
    ({"state": "GONE"}, ["state:allowed"]),
    ({"state": ""}, ["state:allowed"]),
    ({"state": None}, []),
    ({"code": "abc"}, ["code:pattern"]),
    ({"code": None}, []),
    ({"note": "ä"}, ["note:length"]),
    ({"note": "äö"}, []),
    ({"note": "fünf5"}, ["note:length"]),
    ({"note": None}, []),
    ({"sold_on": date(2023, 12, 31)}, ["sold_on:range"]),
    ({"sold_on": date(2024, 1, 1)}, []),
    ({"sold_on": date(2025, 1, 1)}, ["sold_on:range"]),
    ({"shop_id": "Z"}, ["shop_id:reference"]),
    ({"shop_id": "(forgotten)"}, []),
    ({"sale_id": "S1", "code": "(forgotten)"}, ["code:pattern"]),
    ({"shop_id": None}, []),
    ({"sold_on": None, "_raw_sold_on": "31/31/2024"}, ["sold_on:type"]),
    ({"sold_on": None, "_raw_sold_on": None}, []),
    ({"changed_ts": None}, ["changed_ts:required"]),
    ({"changed_ts": None, "_raw_changed_ts": "soon"}, ["changed_ts:type"]),
    ({"quantity": -1, "shop_id": "Z", "state": "GONE"}, ["shop_id:reference", "state:allowed", "quantity:range"]),
    ({"is_deleted": True, "quantity": None, "shop_id": "Z", "state": "GONE", "_raw_sold_on": "x", "sold_on": None}, []),
    ({"is_deleted": True, "sale_id": None}, ["sale_id:required"]),
    ({"is_deleted": True, "changed_ts": None, "_raw_changed_ts": "soon"}, ["changed_ts:type"]),
    ({"is_deleted": None, "quantity": None}, ["quantity:required"]),
]


def test_a_row_is_told_every_rule_that_it_breaks(spark: SparkSession) -> None:
    rows = sales(spark, *(change for change, _ in CASES))

    assert told(judged(rows, SALES, shops(spark, "A", None, "B")), "_rules") == [(broken,) for _, broken in CASES]


def test_every_rule_that_a_row_can_break_is_known_by_name_and_in_words() -> None:
    broken = {rule for _, rules in CASES for rule in rules}

    assert broken <= set(rule_names(SALES))
    assert all(in_words(rule, SALES) for rule in rule_names(SALES))
    assert in_words("rate:range", SALES) == "rate is not above 0"
    with pytest.raises(ValueError, match=r"is no rule of silver\.sales"):
        in_words("quantity:colour", SALES)


def test_the_reasons_of_a_row_are_said_in_words(spark: SparkSession) -> None:
    rows = judged(sales(spark, {"quantity": -1, "shop_id": "Z"}, {}), SALES, shops(spark, "A"))

    assert told(rows.withColumn("reason", reasons(SALES)), "reason") == [
        ("shop_id is not in shops; quantity is not at least 0 and at most 100",),
        ("",),
    ]


LOOSE: list[tuple[dict[str, Any], list[str] | None, list[str]]] = [
    ({}, None, []),
    ({"state": "GONE"}, ["state:allowed"], []),
    ({"code": "abc", "rate": Decimal(0)}, ["code:pattern", "rate:range"], []),
    ({"note": "ä"}, ["note:length"], []),
    ({"sold_on": None, "_raw_sold_on": "31/31/2024"}, ["sold_on:type"], []),
    ({"sold_on": date(2023, 12, 31)}, ["sold_on:range"], []),
    ({"sale_id": None}, None, ["sale_id:required"]),
    ({"quantity": -1}, None, ["quantity:range"]),
    ({"quantity": None, "state": "GONE"}, ["state:allowed"], ["quantity:required"]),
    ({"changed_ts": None, "_raw_changed_ts": "soon"}, None, ["changed_ts:type"]),
    ({"shop_id": "Z"}, None, ["shop_id:reference"]),
    ({"is_deleted": True, "state": "GONE"}, None, []),
]


def test_loose_sets_a_field_that_may_be_missing_to_null_and_refuses_what_a_row_cannot_do_without(
    spark: SparkSession,
) -> None:
    rows = judged(forgiven(sales(spark, *(change for change, _, _ in LOOSE)), SALES), SALES, shops(spark, "A"))

    assert told(rows, "_nulled", "_rules") == [(nulled, broken) for _, nulled, broken in LOOSE]
    assert told(rows, "state", "code", "rate", "note", "sold_on", "quantity") == [
        ("OPEN", "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), 1),
        (None, "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), 1),
        ("OPEN", None, None, "fine", date(2024, 11, 1), 1),
        ("OPEN", "ABC", Decimal("1.5"), None, date(2024, 11, 1), 1),
        ("OPEN", "ABC", Decimal("1.5"), "fine", None, 1),
        ("OPEN", "ABC", Decimal("1.5"), "fine", None, 1),
        ("OPEN", "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), 1),
        ("OPEN", "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), -1),
        (None, "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), None),
        ("OPEN", "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), 1),
        ("OPEN", "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), 1),
        ("GONE", "ABC", Decimal("1.5"), "fine", date(2024, 11, 1), 1),
    ]


def test_a_table_that_is_not_held_to_its_contract_still_needs_its_key_and_its_cursor(spark: SparkSession) -> None:
    unheld = SALES.unheld()

    assert rule_names(unheld) == ("parse", "sale_id:required", "sale_id:type", "changed_ts:type")
    rows = sales(spark, {"state": "GONE", "quantity": -1, "shop_id": "Z"}, {"sale_id": None}, {"_raw_changed_ts": "x"})
    assert told(judged(rows, unheld, shops(spark, "A")), "_rules") == [([],), (["sale_id:required"],), ([],)]


def test_a_foreign_key_to_an_absent_table_is_not_judged(spark: SparkSession) -> None:
    assert told(judged(sales(spark, {"shop_id": "Z"}), SALES, {}), "_rules") == [([],)]


def test_orphans_are_found_however_many_and_no_row_is_doubled(spark: SparkSession) -> None:
    many = [{"shop_id": f"Z{number}"} for number in range(6_000)]
    rows = sales(spark, {"shop_id": "A"}, {"shop_id": None}, {"shop_id": "(forgotten)"}, *many)

    found = told(judged(rows, SALES, shops(spark, "A", "A", None)), "_rules")

    assert found == [([],)] * 3 + [(["shop_id:reference"],)] * 6_000


def test_who_was_forgotten_is_held_to_no_pattern_of_references(spark: SparkSession) -> None:
    patterned = replace(SALES, columns=(SALES.columns[0], Column("shop_id", "string", pattern="^[A-Z]$", max_length=1)))
    rows = sales(spark, {"shop_id": "(forgotten)"}, {"shop_id": "(gone)"})

    assert told(judged(rows, patterned, {}), "_rules") == [([],), (["shop_id:pattern", "shop_id:length"],)]


def test_a_table_without_rules_accepts_everything(spark: SparkSession) -> None:
    free = Contract("silver", "free", "silver/free", (Column("sale_id", "string"),))

    assert told(judged(sales(spark, {"sale_id": None}), free, {}), "_rules") == [([],)]


# --- types ---


def text_sales(spark: SparkSession, **columns: str) -> DataFrame:
    """One row as a function may return it: some columns of another type, in any order."""
    rows = sales(spark, {})
    for name, expression in columns.items():
        rows = rows.withColumn(name, F.expr(expression))
    return rows.withColumn("_source", F.lit("s")).select(*sorted([*rows.columns, "_source"]))


def test_columns_get_the_contracts_order_and_type(spark: SparkSession) -> None:
    rows = typed(text_sales(spark, rate="cast(1 as int)", quantity="cast(3 as int)"), SALES)

    assert rows.columns[:10] == list(SALES.column_names)
    assert rows.select(*SALES.column_names).toArrow().schema.types == SALES.arrow_schema.types
    assert "_source" not in rows.columns


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.00000000005", "1.0000000001"), ("-1.00000000005", "-1.0000000001"), ("1.00000000004", "1.0000000000")],
)
def test_decimals_are_rounded_half_away_from_zero(spark: SparkSession, value: str, expected: str) -> None:
    rows = typed(text_sales(spark, rate=f"cast('{value}' as decimal(20,11))"), SALES)

    assert told(rows, "rate") == [(Decimal(expected),)]


@pytest.mark.parametrize(
    ("column", "expression"),
    [
        ("rate", "cast('99999999999999999' as decimal(38,0))"),
        ("quantity", "cast('99999999999999999999' as decimal(38,0))"),
        ("quantity", "'many'"),
        ("sold_on", "'yesterday'"),
    ],
)
def test_a_value_that_does_not_fit_breaks_the_type_rule_instead_of_vanishing(
    spark: SparkSession, column: str, expression: str
) -> None:
    rows = text_sales(spark, **{column: expression}).drop("_raw_sold_on")

    assert told(judged(typed(rows, SALES), SALES, {}), "_rules") == [([f"{column}:type"],)]


def test_a_gold_function_returns_the_types_of_its_contract_and_no_others(spark: SparkSession) -> None:
    gold = Contract("gold", "sums", "gold/sums", (Column("shop", "string"), Column("units", "decimal(5,2)")))
    rows = spark.sql("select cast(v as decimal(4,2)) units, 'A' shop from values (1.00) as t(v)")

    with pytest.raises(
        ConfigurationError,
        match=r"gold\.sums: the function returns units as decimal\(4,2\), where the contract has decimal\(5,2\)",
    ):
        typed(rows, gold)
    right = rows.withColumn("units", F.col("units").cast("decimal(5,2)"))
    assert typed(right, gold).toArrow().to_pylist() == [{"shop": "A", "units": Decimal("1.00")}]


def test_a_function_and_its_contract_must_agree(spark: SparkSession) -> None:
    rows = sales(spark, {}).drop("quantity", "_run_id").withColumn("colour", F.lit("red"))

    with pytest.raises(
        ConfigurationError, match=r"silver\.sales: the function lacks quantity and lacks _run_id and returns colour"
    ):
        typed(rows, SALES)


# --- the newest version ---


def version(number: int, draw: tuple[int, int, int, bool, bool]) -> dict[str, Any]:
    key, minute, landed, deleted, broken = draw
    return {
        "sale_id": f"S{key}",
        "changed_ts": NOON + timedelta(minutes=minute),
        "_ingest_ts": NOON + timedelta(hours=landed // 2),
        "_run_id": f"run{landed}",
        "is_deleted": deleted,
        "quantity": 1 if deleted or not broken else -1,
        "_row_id": f"r{number}",
    }


def model(versions: Iterable[dict[str, Any]]) -> list[tuple[str]]:
    """What becomes of each version, by the words of the semantics."""
    held = list(versions)
    good = [each for each in held if each["quantity"] == 1 and each["sale_id"] is not None]

    def order(each: dict[str, Any]) -> tuple[Any, ...]:
        return each["changed_ts"], each["_ingest_ts"], each["_run_id"], each["_row_id"]

    ends = []
    for each in held:
        rivals = [other for other in good if other["sale_id"] == each["sale_id"]]
        if each not in good:
            ends.append(("quarantined",))
        elif any(order(other) > order(each) for other in rivals):
            ends.append(("superseded",))
        else:
            ends.append(("deleted",) if each["is_deleted"] else ("accepted",))
    return ends


DRAWN = st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 3), st.booleans(), st.booleans())


@pytest.mark.parametrize("most_contested", [1_000_000, 0], ids=["looked up", "sorted"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(DRAWN, min_size=1, max_size=60))
def test_the_newest_accepted_version_of_a_key_stands(
    spark: SparkSession, most_contested: int, drawn: list[tuple[int, int, int, bool, bool]]
) -> None:
    versions = [version(number, each) for number, each in enumerate(drawn)]
    rows = judged(sales(spark, *versions), SALES, {})

    assert told(newest(rows, SALES, F.lit(True), most_contested), "_end") == model(versions)


@pytest.mark.parametrize("most_contested", [1_000_000, 0], ids=["looked up", "sorted"])
def test_versions_without_a_key_are_each_quarantined(spark: SparkSession, most_contested: int) -> None:
    rows = judged(sales(spark, {"sale_id": None}, {"sale_id": None}, {}, {}), SALES, {})

    assert told(newest(rows, SALES, F.lit(True), most_contested), "_end") == [
        ("quarantined",),
        ("quarantined",),
        ("superseded",),
        ("accepted",),
    ]


@pytest.mark.parametrize("most_contested", [1_000_000, 0], ids=["looked up", "sorted"])
@pytest.mark.parametrize("quantity", [1, -1], ids=["accepted", "quarantined"])
def test_a_version_that_comes_out_twice_is_no_version_of_its_key(spark: SparkSession, most_contested, quantity) -> None:
    rows = judged(sales(spark, {"quantity": quantity}, {"sale_id": "other"}), SALES, {})
    twice = rows.unionByName(rows.where("sale_id <> 'other'"))

    with pytest.raises(BalanceBroken, match=r"silver\.sales: a row version came out twice; nothing was committed"):
        newest(twice, SALES, F.lit(True), most_contested)


def test_a_declared_column_breaks_ties_before_the_landing_order(spark: SparkSession) -> None:
    tied = Contract(
        SALES.layer,
        SALES.name,
        SALES.path,
        SALES.columns,
        SALES.key,
        SALES.cursor,
        tie_break="code",
        deletion="is_deleted",
    )
    rows = judged(sales(spark, {"code": "ZZZ"}, {"code": "AAA", "_run_id": "run9"}, {"code": None}), tied, {})

    assert told(newest(rows, tied, F.lit(True)), "_end") == [("accepted",), ("superseded",), ("superseded",)]


def test_many_contested_keys_each_keep_one_version(spark: SparkSession) -> None:
    keys = 20_000
    rows = spark.range(keys * 3).select(
        F.concat(F.lit("K"), (F.col("id") % keys).cast("string")).alias("sale_id"),
        F.lit(NOON).alias("changed_ts"),
        F.lit(NOON).alias("_ingest_ts"),
        F.lit("run").alias("_run_id"),
        F.format_string("r%08d", "id").alias("_row_id"),
        F.lit("shop_sales").alias("_input"),
        F.lit(False).alias("is_deleted"),
        F.array().cast("array<string>").alias("_rules"),
        F.lit(False).alias("_refused"),
    )

    ends = (
        newest(rows, SALES, F.lit(True))
        .groupBy("_end")
        .agg(F.count(F.lit(1)).alias("n"), F.min("_row_id").alias("first"))
    )

    assert sorted(tuple(row.values()) for row in ends.toArrow().to_pylist()) == [
        ("accepted", keys, "r00040000"),
        ("superseded", 2 * keys, "r00000000"),
    ]


# --- shares ---


@pytest.mark.parametrize("most_contested", [1_000_000, 0], ids=["looked up", "sorted"])
def test_a_version_is_overtaken_by_a_newer_one_of_its_batch_alone(spark: SparkSession, most_contested: int) -> None:
    later = NOON + timedelta(minutes=5)
    old, young = F.col("_run_id") == "run1", F.col("_run_id") == "run2"
    rows = sales(
        spark,
        {"sale_id": "mended", "quantity": -1},
        {"sale_id": "mended", "changed_ts": later},
        {"sale_id": "broken"},
        {"sale_id": "broken", "changed_ts": later, "quantity": -1, "state": "GONE"},
        {"sale_id": None},
        {"sale_id": "undated", "changed_ts": None},
        {"sale_id": "undated"},
        {"sale_id": "mended", "changed_ts": later + timedelta(minutes=5), "_run_id": "run2"},
    )
    judged_rows = judged(rows, SALES, {})

    first, second = (newest(judged_rows, SALES, batch, most_contested) for batch in (old, young))

    assert [row for (row,) in told(first, "_overtaken")] == [True, False, True, *[False] * 5]
    assert [row for (row,) in told(second, "_overtaken")] == [False] * 8


def test_a_share_is_of_what_came_new() -> None:
    batch = BatchShares(rows=5, rejected=1, broken={"quantity:range": 1})

    assert batch.share("quantity:range") == pytest.approx(0.2)
    assert batch.share("parse") == pytest.approx(1 / 6)
    assert batch.share("code:pattern") == 0


def test_a_batch_of_rejects_alone_is_wholly_refused() -> None:
    assert BatchShares(rows=0, rejected=3).share("parse") == 1
    assert BatchShares(rows=0).share("parse") == 0
