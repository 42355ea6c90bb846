"""The gate: the smallest violation of each limit fails that check and no other, and what breaks the gate closes it."""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.contracts import Column, Contract, ForeignKey
from headwater.contracts.contract import Conservation
from headwater.engine import Commit, Table
from headwater.engine.embedded import EmbeddedEngine
from headwater.errors import GateFailed
from headwater.object_store import Place
from headwater.quality import evidence
from headwater.quality.blocks import (
    Daily,
    Drift,
    Freshness,
    Missing,
    NearDuplicates,
    Outliers,
    SqlExpectation,
    TableLimits,
    Unpriced,
    Volume,
)
from headwater.quality.evidence import Occasion
from headwater.quality.gate import Gate
from headwater.quality.samples import breaking, shown, some_keys
from headwater.quality.shares import BatchShares
from headwater.quality.span import Span
from headwater.quality.verdict import Acceptance, Candidate, Check, Verdict

pytestmark = pytest.mark.slow  # Great Expectations takes seconds to import

AT = datetime(2024, 11, 1, 12, tzinfo=UTC)
SALES = Contract(
    layer="silver",
    name="sales",
    path="silver/sales",
    columns=(
        Column("sale_id", "string", required=True),
        Column("line", "bigint", required=True),
        Column("shop_id", "string"),
        Column("state", "string", required=True),
        Column("quantity", "bigint", minimum=0),
        Column("amount_usd", "decimal(18,2)"),
        Column("changed_ts", "timestamp", required=True),
    ),
    key=("sale_id", "line"),
    cursor="changed_ts",
    foreign_keys=(ForeignKey("shop_id", "shops", "shop_id"),),
)
LIMITS = TableLimits(
    freshness=Freshness(max_age=timedelta(hours=2)),
    volume=Volume(min_rows=10, max_rows=20, max_shrink=0.2),
    refused={"default": 0.1, "quantity:range": 0.2},
    unpriced=Unpriced(max_share=0.25),
)
ROWS: list[dict[str, Any]] = [
    {
        "sale_id": f"S{number}",
        "line": 1,
        "shop_id": None if number == 0 else "A",
        "state": "OPEN",
        "quantity": 1,
        "amount_usd": None if number < 2 else Decimal(1),
        "changed_ts": AT - timedelta(hours=2 + number),
    }
    for number in range(12)
]
BATCH = BatchShares(rows=90, rejected=10, broken={"shop_id:reference": 9, "quantity:range": 18})


@pytest.fixture(scope="module")
def gate() -> Gate:
    gate = Gate(timedelta(minutes=5))
    gate.warm()
    return gate


def candidate(spark: SparkSession, rows: list[dict[str, Any]] | DataFrame = ROWS, **held: Any) -> Candidate:
    frame = rows if isinstance(rows, DataFrame) else sales(spark, rows)
    shops = spark.createDataFrame(pa.table({"shop_id": ["A", "B"]}))
    values = {"contract": SALES, "limits": LIMITS, "at": AT, "parents": {"shops": shops}, "batch": BATCH}
    return Candidate(**{**values, "rows": frame, "standing_rows": 15, **held})


def sales(spark: SparkSession, rows: list[dict[str, Any]] = ROWS) -> DataFrame:
    return spark.createDataFrame(pa.Table.from_pylist(rows, schema=SALES.arrow_schema))


def changed(**cells: Any) -> list[dict[str, Any]]:
    """The good rows, the last of them with other cells."""
    return [*ROWS[:-1], {**ROWS[-1], **cells}]


def only(verdict: Verdict) -> Check:
    """The one check that failed."""
    assert [check.rule for check in (*verdict.failed, *verdict.warnings)] == [verdict.failed[0].rule]
    return verdict.failed[0]


def test_a_candidate_at_all_its_limits_passes(spark: SparkSession, gate: Gate) -> None:
    verdict = gate.judge(candidate(spark))

    assert [check for check in verdict.checks if not check.success] == []
    assert {check.rule: check.observed for check in verdict.checks} == {
        "refused:parse": 0.1,
        "refused:quantity:range": 0.2,
        "refused:shop_id:reference": 0.1,
        "key:unique": 0,
        "sale_id:required": 0,
        "line:required": 0,
        "state:required": 0,
        "changed_ts:required": 0,
        "shop_id:reference": 0,
        "volume": 12,
        "volume:shrink": 12,
        "freshness": 7200,
        "unpriced": pytest.approx(2 / 12),
    }
    verdict.require()


SOLD = Contract(
    layer="gold",
    name="sold",
    path="gold/sold",
    columns=(Column("state", "string", required=True), Column("units", "bigint")),
    key=("state",),
    conserved=(
        Conservation(
            "units",
            "every unit is counted once",
            "SELECT coalesce((SELECT sum(units) FROM ${table}), 0) - (SELECT sum(quantity) FROM sales)",
        ),
    ),
)


@pytest.mark.parametrize(
    ("states", "conserved"),
    [
        ({"OPEN": 7, "PAID": 5}, True),
        ({"OPEN": 7, "PAID": 4}, False),
        ({"OPEN": 7, "PAID": 6}, False),
        ({}, False),
    ],
)
def test_what_a_gold_table_sums_up_is_what_its_inputs_hold(
    spark: SparkSession, gate: Gate, states: dict[str, int], conserved: bool
) -> None:
    rows = pa.Table.from_pydict({"state": [*states], "units": [*states.values()]}, schema=SOLD.arrow_schema)
    frame = (
        spark.createDataFrame(rows)
        if states
        else sales(spark).select("state", F.col("quantity").alias("units")).limit(0)
    )
    limits = TableLimits(volume=Volume(min_rows=0))
    asked = {"contract": SOLD, "limits": limits, "parents": {}, "inputs": {"sales": sales(spark)}, "batch": None}

    verdict = gate.judge(candidate(spark, frame, **asked, standing_rows=None))

    assert verdict.success is conserved
    if not conserved:
        assert only(verdict).rule == "units:conserved"
        assert "every unit is counted once" in verdict.why
    assert not spark.catalog.tableExists("sales")


MORE = [{**ROWS[0], "sale_id": f"M{number}", "amount_usd": Decimal(1)} for number in range(9)]
VIOLATIONS: dict[str, list[dict[str, Any]]] = {
    "key:unique": changed(sale_id="S1"),
    "sale_id:required": changed(sale_id=None),
    "line:required": changed(line=None),
    "state:required": changed(state=None),
    "shop_id:reference": changed(shop_id="Z"),
    "volume": [*ROWS, *MORE],
    "freshness": [{**ROWS[0], "changed_ts": AT - timedelta(hours=2, seconds=1)}, *ROWS[1:]],
    "unpriced": [{**row, "amount_usd": None} if number < 4 else row for number, row in enumerate(ROWS)],
}


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_the_smallest_violation_fails_its_check_and_no_other(spark: SparkSession, gate: Gate, rule: str) -> None:
    verdict = gate.judge(candidate(spark, VIOLATIONS[rule]))

    assert only(verdict).rule == rule
    with pytest.raises(GateFailed, match=f"silver.sales keeps its version: {rule}: "):
        verdict.require()


@pytest.mark.parametrize(
    ("rows", "standing", "rule"), [(ROWS[:9], None, "volume"), (ROWS[:11], 14, "volume:shrink"), (ROWS[:10], 12, None)]
)
def test_too_few_rows_and_too_few_left_are_different_failures(
    spark: SparkSession, gate: Gate, rows: list[dict[str, Any]], standing: int | None, rule: str | None
) -> None:
    verdict = gate.judge(candidate(spark, rows, standing_rows=standing))

    assert [check.rule for check in verdict.failed] == ([] if rule is None else [rule])


@pytest.mark.parametrize(
    ("batch", "rule"),
    [
        (BatchShares(89, 10, BATCH.broken | {"shop_id:reference": 8, "quantity:range": 17}), "refused:parse"),
        (BatchShares(89, 9, {"shop_id:reference": 9}), "refused:shop_id:reference"),
        (BatchShares(89, 9, {"quantity:range": 18}), "refused:quantity:range"),
        (BatchShares(0, 1), "refused:parse"),
        (BatchShares(1, 0, {"state:required": 1}), "refused:state:required"),
    ],
)
def test_one_refused_row_too_many_fails_its_rule(
    spark: SparkSession, gate: Gate, batch: BatchShares, rule: str
) -> None:
    assert only(gate.judge(candidate(spark, batch=batch))).rule == rule


def test_a_limit_of_severity_warning_warns_and_the_candidate_passes(spark: SparkSession, gate: Gate) -> None:
    warned = LIMITS.model_copy(update={"freshness": Freshness(max_age=timedelta(hours=1), severity="warning")})

    verdict = gate.judge(candidate(spark, limits=warned))

    assert verdict.success
    assert [check.rule for check in verdict.warnings] == ["freshness"]
    assert verdict.warnings[0].detail == "the newest changed_ts is 2h old; limit 1h"


def test_an_empty_table_passes_only_where_nobody_expects_rows(spark: SparkSession, gate: Gate) -> None:
    none = sales(spark).where("1 = 0")
    allowed = LIMITS.model_copy(update={"volume": Volume(min_rows=0)})

    assert only(gate.judge(candidate(spark, none, standing_rows=None))).rule == "volume"
    assert gate.judge(candidate(spark, none, standing_rows=None, limits=allowed)).success


def test_a_parent_that_is_absent_is_not_judged(spark: SparkSession, gate: Gate) -> None:
    verdict = gate.judge(candidate(spark, changed(shop_id="Z"), parents={}))

    assert verdict.success
    assert "shop_id:reference" not in [check.rule for check in verdict.checks]


def test_a_reference_to_somebody_who_was_forgotten_needs_no_parent(spark: SparkSession, gate: Gate) -> None:
    assert gate.judge(candidate(spark, changed(shop_id="(forgotten)"))).success


def test_a_gold_table_is_judged_without_batch_and_cursor(spark: SparkSession, gate: Gate) -> None:
    gold = Contract("gold", "sums", "gold/sums", (Column("month", "string", required=True),), key=("month",))
    months = spark.createDataFrame(pa.table({"month": ["2024-10", "2024-11", "2024-11"]}))

    verdict = gate.judge(Candidate(gold, months, TableLimits(), AT, parents={}))

    assert only(verdict).rule == "key:unique"
    assert [check.rule for check in verdict.checks] == ["key:unique", "month:required", "volume"]


# --- days, and what only looks unusual ---


def of_days(counts: Mapping[int, int]) -> list[dict[str, Any]]:
    """So many rows of each day, by how many days it lies before today."""
    return [
        {**ROWS[0], "sale_id": f"D{ago}-{number}", "changed_ts": AT - timedelta(days=ago, hours=number % 12)}
        for ago, rows in counts.items()
        for number in range(rows)
    ]


def daily(spark: SparkSession, counts: Mapping[int, int], covers: Span | None, **other: Any) -> Candidate:
    limits = TableLimits(daily=Daily(column="changed_ts", min_usual=20), **other)
    return candidate(spark, of_days(counts), limits=limits, covers=covers, batch=None, standing_rows=None)


YESTERDAY = Span(AT.replace(hour=0) - timedelta(days=1), AT)
USUAL = {15: 20, 8: 20, 0: 3}


@pytest.mark.parametrize(
    ("rows", "ratio"), [(20, None), (11, None), (10, 0.5), (0, 0), (36, None), (37, 1.85), (40, 2.0)]
)
def test_a_day_with_half_or_double_the_usual_rows_fails_and_nothing_else_does(
    spark: SparkSession, gate: Gate, rows: int, ratio: float | None
) -> None:
    verdict = gate.judge(daily(spark, {**USUAL, 1: rows}, YESTERDAY))

    if ratio is None:
        assert verdict.success
    else:
        assert (only(verdict).rule, only(verdict).observed) == ("volume:day", pytest.approx(ratio))
        assert "2024-10-31 has" in only(verdict).detail


def test_a_first_load_and_a_backfill_are_judged_by_absolute_bounds_alone(spark: SparkSession, gate: Gate) -> None:
    for covers in (None, Span(AT - timedelta(days=40), AT)):
        verdict = gate.judge(daily(spark, {**USUAL, 1: 1}, covers))
        assert verdict.success
        told = next(check for check in verdict.checks if check.rule == "volume:day")
        assert (told.observed, "min_rows and max_rows hold" in told.detail) == (None, True)
        assert only(gate.judge(daily(spark, USUAL, covers, volume=Volume(min_rows=44)))).rule == "volume"


WARNINGS = TableLimits(
    volume=Volume(min_rows=0),
    missing=Missing(max_share={"amount_usd": 0.1}),
    outliers={"quantity": Outliers(beyond=8, per="state", max_share=0.01)},
    near_duplicates=NearDuplicates(ignore=("changed_ts",), max_share=0.1),
    drift=Drift(columns=("state",), min_rows=100),
)
MANY: list[dict[str, Any]] = [
    {
        "sale_id": f"W{number}",
        "line": 1,
        "shop_id": "A",
        "state": "OPEN" if number % 2 else "PAID",
        "quantity": (1 if number % 2 else 1000) + number % 7,
        "amount_usd": Decimal(number),
        "changed_ts": AT - timedelta(minutes=number),
    }
    for number in range(100)
]
BEFORE = {"state": [["OPEN", 500], ["PAID", 500]]}


def several(count: int, **cells: Any) -> list[dict[str, Any]]:
    """The many rows, the last of them with other cells."""
    return [*MANY[:-count], *({**row, **cells} for row in MANY[-count:])]


UNUSUAL: dict[str, tuple[list[dict[str, Any]], str]] = {
    "amount_usd:missing": (several(11, amount_usd=None), "amount_usd is missing in 11.00% of the new rows; limit 10.00%"),
    "quantity:outliers": (several(2, quantity=5000), "2 of 100 new values are outliers, most of state "),
    "near_duplicates": (
        [*({**MANY[1], "sale_id": f"N{number}"} for number in range(12)), *MANY[12:]],
        "11.00% of the new rows equal another one but for sale_id, line, changed_ts; limit 10.00%",
    ),
    "state:drift": (several(40, state="LOST", quantity=500), "state of the new rows is spread otherwise than before: index "),
}  # fmt: skip


def test_ordinary_rows_are_not_warned_of(spark: SparkSession, gate: Gate) -> None:
    verdict = gate.judge(candidate(spark, MANY, limits=WARNINGS, profiles=BEFORE, batch=None, standing_rows=None))

    assert [*verdict.failed, *verdict.warnings] == []
    assert {*UNUSUAL} <= {check.rule for check in verdict.checks if check.observed is not None}


@pytest.mark.parametrize("rule", UNUSUAL)
def test_what_looks_unusual_is_told_and_committed(spark: SparkSession, gate: Gate, rule: str) -> None:
    rows, said = UNUSUAL[rule]
    verdict = gate.judge(candidate(spark, rows, limits=WARNINGS, profiles=BEFORE, batch=None, standing_rows=None))

    assert verdict.success
    assert [check.rule for check in verdict.warnings] == [rule]
    assert verdict.warnings[0].detail.startswith(said)


def test_rows_of_a_file_that_are_alike_but_for_the_key_are_counted(
    spark: SparkSession, gate: Gate, tmp_path: Path
) -> None:
    alike = [{**MANY[1], "sale_id": f"N{number}"} for number in range(12)]
    pq.write_table(pa.Table.from_pylist(alike, schema=SALES.arrow_schema), tmp_path / "alike.parquet")
    frame = spark.read.parquet(str(tmp_path / "alike.parquet"))

    verdict = gate.judge(candidate(spark, frame, limits=WARNINGS, batch=None, standing_rows=None))

    assert verdict.success, verdict.why
    assert [(check.rule, check.observed) for check in verdict.warnings] == [("near_duplicates", pytest.approx(11 / 12))]


@pytest.mark.parametrize("rule", UNUSUAL)
def test_a_warning_can_be_made_critical(spark: SparkSession, gate: Gate, rule: str) -> None:
    critical = {"severity": "critical"}
    near = WARNINGS.near_duplicates
    assert near is not None
    limits = WARNINGS.model_copy(
        update={
            "missing": WARNINGS.missing.model_copy(update=critical),
            "outliers": {name: how.model_copy(update=critical) for name, how in WARNINGS.outliers.items()},
            "near_duplicates": near.model_copy(update=critical),
            "drift": WARNINGS.drift.model_copy(update=critical),
        }
    )
    rows, _ = UNUSUAL[rule]

    assert only(gate.judge(candidate(spark, rows, limits=limits, profiles=BEFORE, batch=None))).rule == rule


def test_only_what_is_new_is_looked_at(spark: SparkSession, gate: Gate) -> None:
    old = [
        {
            **row,
            "sale_id": f"old-{row['sale_id']}",
            "changed_ts": AT - timedelta(days=30),
            "amount_usd": None,
            "quantity": 1,
        }
        for row in MANY
    ]
    limits = WARNINGS.model_copy(update={"daily": Daily(column="changed_ts")})
    held: dict[str, Any] = {"limits": limits, "profiles": BEFORE, "batch": None, "standing_rows": None}

    assert not gate.judge(candidate(spark, [*old, *MANY], covers=YESTERDAY, **held)).warnings
    assert gate.judge(candidate(spark, [*old, *MANY], covers=None, **held)).warnings


def test_the_first_profile_is_kept_and_judges_the_next_version(spark: SparkSession, gate: Gate) -> None:
    held: dict[str, Any] = {"limits": WARNINGS, "batch": None, "standing_rows": None}
    first = gate.judge(candidate(spark, MANY, **held))
    drift = next(check for check in first.checks if check.rule == "state:drift")
    assert (drift.success, drift.observed) == (True, None)
    assert drift.detail == "no profile yet: this version is the first to have one"

    second = gate.judge(candidate(spark, MANY, **held, profiles=first.profiles))
    third = gate.judge(candidate(spark, several(40, state="LOST", quantity=500), **held, profiles=second.profiles))

    assert [check.rule for check in third.warnings] == ["state:drift"]
    assert dict(third.profiles["state"])["LOST"] == 40


def test_a_profile_keeps_no_contacts(spark: SparkSession, gate: Gate) -> None:
    rows = several(40, state="ask ada@example.com or +49 170 1234567", quantity=500)
    verdict = gate.judge(candidate(spark, rows, limits=WARNINGS, profiles=BEFORE, batch=None, standing_rows=None))

    assert "ask (email) or (phone)" in dict(verdict.profiles["state"])
    assert not [check for check in verdict.checks if "ada@" in f"{check.detail}{check.validation}"]


def test_of_few_new_rows_no_drift_is_judged(spark: SparkSession, gate: Gate) -> None:
    few = several(40, state="LOST")[1:]
    verdict = gate.judge(candidate(spark, few, limits=WARNINGS, profiles=BEFORE, batch=None, standing_rows=None))

    told = next(check for check in verdict.checks if check.rule == "state:drift")
    assert told.success
    assert told.detail == "not judged: of 99 new rows chance would decide, 100 are enough"


def test_an_empty_table_has_nothing_unusual(spark: SparkSession, gate: Gate) -> None:
    none = sales(spark).where("1 = 0")
    verdict = gate.judge(candidate(spark, none, limits=WARNINGS, profiles=BEFORE, batch=None, standing_rows=None))

    assert [check.detail for check in (*verdict.failed, *verdict.warnings)] == []


# --- the operator's own expectations ---


def expecting(spark: SparkSession, sql: str, **other: Any) -> Candidate:
    told = SqlExpectation(sql=sql, **other)
    limits = TableLimits(volume=Volume(min_rows=0), expectations={"mine": told})
    return candidate(spark, limits=limits, batch=None, standing_rows=None)


def test_a_query_of_ones_own_counts_bad_rows_against_its_limit(spark: SparkSession, gate: Gate) -> None:
    sql = """
        -- cheap sales, :not a parameter
        SELECT count(*) FROM candidate
        WHERE coalesce(amount_usd, 0) < :least AND state = :state AND shop_id <> ':least{2}' AND changed_ts > :since;
    """
    given = {"least": 1.5, "state": "OPEN", "since": AT.date() - timedelta(days=30)}

    assert gate.judge(expecting(spark, sql, parameters=given, max_rows=11)).success
    failed = only(gate.judge(expecting(spark, sql, parameters=given, max_rows=10, description="too cheap")))
    assert (failed.rule, failed.severity, failed.observed) == ("expectation:mine", "critical", 11)
    assert failed.detail == "11 bad rows (too cheap); limit 10"
    warned = gate.judge(expecting(spark, sql, parameters=given, max_rows=10, severity="warning"))
    assert (warned.success, [check.rule for check in warned.warnings]) == (True, ["expectation:mine"])


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT count(*) FROM candidate WHERE statte = 'OPEN'", "statte"),
        ("SELECT count(*) FROM candidates", "candidates"),
        ("SELECT count(*) FROM candidate WHERE assert_true(1 = 0) IS NULL", "is not true"),
        ("SELECT raise_error('no such thing') FROM candidate", "no such thing"),
        ("SELECT sale_id FROM candidate", "one value"),
        ("SELECT count(*), 1 FROM candidate", "one value"),
        ("SELECT sum(quantity) FROM candidate WHERE 1 = 0", "nothing could be observed"),
        ("SELECT 'many'", "could not convert string to float: '(value)'"),
        ("DROP VIEW candidate", ""),
        ("this is no query", ""),
    ],
)
@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_a_query_of_ones_own_that_gives_no_number_closes_the_gate(
    spark: SparkSession, gate: Gate, sql: str, said: str, severity: str
) -> None:
    verdict = gate.judge(expecting(spark, sql, severity=severity))

    failed = only(verdict)
    assert (failed.rule, failed.severity, failed.observed) == ("expectation:mine", "critical", None)
    assert said in failed.detail
    assert "volume" in [check.rule for check in verdict.checks if check.success]


# --- the gate fails closed ---


LISTED = Contract(
    layer="gold",
    name="listed",
    path="gold/listed",
    columns=(
        Column("state", "string", required=True, allowed=("OPEN", "PAID")),
        Column("code", "string", unique=True, pattern="^[A-Z]+$", min_length=1),
        Column("units", "bigint", minimum=0),
    ),
    key=("state",),
)


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        ({"state": "GONE"}, "state:allowed"),
        ({"code": "b"}, "code:pattern"),
        ({"code": "A"}, "code:unique"),
        ({"units": -1}, "units:range"),
    ],
)
def test_a_gold_table_is_held_to_what_its_contract_allows_of_each_value(
    spark: SparkSession, gate: Gate, cells: dict[str, Any], rule: str
) -> None:
    good = [{"state": "OPEN", "code": "A", "units": 0}, {"state": "PAID", "code": "B", "units": None}]
    limits = TableLimits(volume=Volume(min_rows=1))

    def judge(rows: list[dict[str, Any]]) -> Verdict:
        frame = spark.createDataFrame(pa.Table.from_pylist(rows, schema=LISTED.arrow_schema))
        held: dict[str, Any] = {"contract": LISTED, "limits": limits, "batch": None, "standing_rows": None}
        return gate.judge(candidate(spark, frame, **held))

    assert judge(good).success
    assert only(judge([good[0], {**good[1], **cells}])).rule == rule


def test_a_column_that_is_unique_has_no_value_twice(spark: SparkSession, gate: Gate) -> None:
    columns = tuple(replace(column, unique=column.name == "state") for column in SALES.columns)
    distinct = [{**row, "state": f"s{number}"} for number, row in enumerate(ROWS)]
    twice = [*distinct[:-1], {**distinct[-1], "state": "s0"}]
    unique = replace(SALES, columns=columns)

    assert gate.judge(candidate(spark, distinct, contract=unique)).success
    failed = only(gate.judge(candidate(spark, twice, contract=unique)))
    assert (failed.rule, failed.detail) == ("state:unique", "1 values (state) stand more than once")


def test_fields_set_to_null_are_warned_of_with_their_count(spark: SparkSession, gate: Gate) -> None:
    batch = replace(BATCH, nulled={"quantity:range": 3})
    verdict = gate.judge(candidate(spark, batch=batch))

    assert verdict.success
    [warning] = verdict.warnings
    assert (warning.rule, warning.severity, warning.observed) == ("nulled:quantity:range", "warning", 3)
    assert "quantity is not at least 0 in 3 rows, where it was set to null" in warning.detail


def test_a_table_that_is_not_held_to_its_contract_says_so_with_every_verdict(spark: SparkSession, gate: Gate) -> None:
    verdict = gate.judge(candidate(spark, contract=SALES.unheld(), batch=None))

    assert verdict.success
    assert [check.rule for check in verdict.warnings] == ["contract:held"]
    assert {check.rule for check in verdict.checks} == {
        "contract:held", "key:unique", "sale_id:required", "line:required", "volume", "volume:shrink", "freshness", "unpriced",
    }  # fmt: skip


def test_a_check_that_raises_fails_as_critical_and_the_others_are_still_made(spark: SparkSession, gate: Gate) -> None:
    warned = LIMITS.model_copy(update={"unpriced": Unpriced(max_share=1, severity="warning")})
    raising = sales(spark).withColumn("amount_usd", F.raise_error(F.lit("no rate")).cast("decimal(18,2)"))

    verdict = gate.judge(candidate(spark, raising, limits=warned))

    failed = only(verdict)
    assert (failed.rule, failed.severity, failed.observed) == ("unpriced", "critical", None)
    assert "no rate" in failed.detail


def test_a_check_that_chokes_on_a_value_does_not_tell_it(spark: SparkSession, gate: Gate) -> None:
    raising = sales(spark).withColumn("amount_usd", F.col("state").cast("int").cast("decimal(18,2)"))

    failed = only(gate.judge(candidate(spark, raising)))

    assert failed.rule == "unpriced"
    assert "(value)" in failed.detail
    assert "OPEN" not in failed.detail + str(failed.validation)


def test_a_candidate_that_lacks_a_column_fails(spark: SparkSession, gate: Gate) -> None:
    verdict = gate.judge(candidate(spark, sales(spark).drop("state")))

    assert only(verdict).rule == "gate:error"
    assert "state" in verdict.failed[0].detail


def test_a_row_from_the_future_makes_nothing_fresh(spark: SparkSession, gate: Gate) -> None:
    rows = [{**row, "changed_ts": AT - timedelta(hours=3)} for row in ROWS[1:]]
    ahead = {**ROWS[0], "changed_ts": AT + timedelta(days=365)}
    verdict = gate.judge(candidate(spark, [ahead, *rows]))

    assert [check.rule for check in verdict.failed] == ["freshness"]


def test_a_cursor_without_any_value_is_not_fresh(spark: SparkSession, gate: Gate) -> None:
    verdict = gate.judge(candidate(spark, [{**row, "changed_ts": None} for row in ROWS]))

    assert [check.rule for check in verdict.failed] == ["changed_ts:required", "freshness"]


def test_great_expectations_failing_to_import_fails(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("headwater.quality.questions", "headwater.quality.expectations", "great_expectations"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    broken = Gate(timedelta(minutes=1))
    broken.warm()

    verdict = broken.judge(candidate(spark))

    assert only(verdict).rule == "gate:error"
    assert "great_expectations" in verdict.failed[0].detail


def answering(monkeypatch: pytest.MonkeyPatch, answers: Callable[..., Mapping[str, Any]]) -> None:
    monkeypatch.setattr("headwater.quality.expectations.Suites.answers", answers)


def test_a_suite_that_evaluates_nothing_fails(spark: SparkSession, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.judge(candidate(spark))
    answering(monkeypatch, lambda *_: {})

    verdict = gate.judge(candidate(spark, batch=None))

    assert {check.detail for check in verdict.failed} == {"not evaluated"}
    assert len(verdict.failed) == len(verdict.checks) == 10


def test_a_suite_that_does_not_end_fails_and_so_does_everything_after_it(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    slow = Gate(timedelta(seconds=60))
    assert slow.judge(candidate(spark)).success
    answering(monkeypatch, lambda *_: {"ended": ended.wait(30)})
    slow._timeout = timedelta(milliseconds=50)

    first, second = slow.judge(candidate(spark)), slow.judge(candidate(spark))
    ended.set()

    assert only(first).detail == "the checks did not end within 0s"
    assert only(second).detail == "not judged, since the checks of silver.sales have not ended"


def test_a_verdict_without_checks_is_no_success() -> None:
    verdict = Verdict("silver.sales", ())

    with pytest.raises(GateFailed, match=r"silver\.sales keeps its version: no check was made"):
        verdict.require()
    [row] = evidence.rows(verdict, Occasion("run1", 3, AT)).to_pylist()
    assert (row["rule"], row["success"], row["passed"]) == ("gate:empty", False, False)


def test_evidence_holds_every_check_with_what_was_observed() -> None:
    failed = Check("volume", "critical", 3.0, "at least 4 rows", success=False, detail="3", keys=('{"line": 1}',))
    verdict = Verdict("silver.sales", (replace(failed, records=("sales_in r1",), validation="{}"),))

    table = evidence.rows(verdict, Occasion("run1", 7, AT, inputs={"sales_in": 3}))

    assert table.schema == evidence.SCHEMA
    assert table.to_pylist() == [
        {
            "run_id": "run1",
            "table": "sales",
            "target_version": 7,
            "rule": "volume",
            "severity": "critical",
            "observed": 3.0,
            "limit": "at least 4 rows",
            "success": False,
            "detail": "3",
            "at": AT,
            "kind": "gate",
            "passed": False,
            "keys": ['{"line": 1}'],
            "records": ["sales_in r1"],
            "accepted": None,
            "inputs": '{"sales_in": 3}',
            "validation": "{}",
        }
    ]


def test_a_rule_that_somebody_accepted_lets_pass_and_no_other_does() -> None:
    said = Acceptance("ada@desk", "2024-11-01T04:10:00+00:00", "the vendor said so", "run1")
    volume = Check("volume", "critical", 3.0, "at least 4 rows", success=False)
    freshness = replace(volume, rule="freshness")

    assert Verdict("silver.sales", (replace(volume, accepted=said),)).word == "accepted"
    both = Verdict("silver.sales", (replace(volume, accepted=said), freshness))
    assert [check.rule for check in both.failed] == ["freshness"]
    assert both.word == "failed"


@pytest.mark.parametrize("rule", ["key:unique", "sale_id:required", "shop_id:reference", "unpriced"])
def test_rows_that_broke_a_rule_are_shown_by_their_keys(spark: SparkSession, rule: str) -> None:
    rows = breaking(candidate(spark, VIOLATIONS[rule]), rule)

    assert rows is not None
    assert (
        shown(some_keys(rows), SALES, ())
        == {
            "key:unique": ('{"sale_id": "S1", "line": 1}',),
            "sale_id:required": ('{"sale_id": null, "line": 1}',),
            "shop_id:reference": ('{"sale_id": "S11", "line": 1, "shop_id": "Z"}',),
            "unpriced": tuple(f'{{"sale_id": "S{number}", "line": 1}}' for number in range(4)),
        }[rule]
    )


def test_rows_that_look_unusual_are_shown_by_their_keys(spark: SparkSession) -> None:
    def keys(rule: str) -> list[dict[str, Any]]:
        rows = breaking(candidate(spark, UNUSUAL[rule][0], limits=WARNINGS), rule)
        return [] if rows is None else list(map(json.loads, shown(some_keys(rows), SALES, ())))

    assert keys("amount_usd:missing") == [
        {"sale_id": f"W{number}", "line": 1, "amount_usd": None} for number in (89, 90, 91, 92, 93)
    ]
    assert keys("quantity:outliers") == [{"sale_id": "W98", "line": 1, "quantity": 5000}], "of the state that has most"
    assert keys("near_duplicates") == [{"sale_id": f"N{number}", "line": 1} for number in (0, 1, 10, 11, 2)]
    assert keys("state:drift") == [], "it is about all rows together"


def test_of_what_breaks_together_no_row_is_shown(spark: SparkSession) -> None:
    assert breaking(candidate(spark), "volume") is None
    assert breaking(candidate(spark), "freshness") is None


def test_no_personal_value_is_shown_but_as_its_mask() -> None:
    key = Column("owner", "string", classification="pii:name")
    contract = replace(SALES, columns=(*SALES.columns, key, Column("note", "string")), key=("owner", "note"))
    rows = pa.table({"owner": ["Ada Kent", None], "note": ["ask ada@example.com", "O1"]})

    assert shown(rows, contract, ()) == (
        '{"owner": "(redacted)", "note": "ask (email)"}',
        '{"owner": null, "note": "O1"}',
    )
    assert shown(rows, contract, ("owner",))[0] == '{"owner": "Ada Kent", "note": "ask (email)"}', "a mask by then"


def test_what_great_expectations_says_is_kept_beside_each_check(spark: SparkSession, gate: Gate) -> None:
    checks = gate.judge(candidate(spark, VIOLATIONS["volume"], batch=None)).checks
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    said = {check.rule: json.loads(check.validation or "") for check in checks}
    volume = ExpectationValidationResult(**said["volume"])
    assert (volume.success, volume.result["observed_value"]) == (False, 21)
    assert said["volume"]["expectation_config"]["type"] == "expect_aggregate"
    assert all(each["success"] for rule, each in said.items() if rule != "volume")


def test_evidence_of_an_earlier_headwater_gains_the_columns_that_it_lacks(tmp_path: Path) -> None:
    columns = [evidence.SCHEMA.field(number) for number in range(10)]
    earlier = Table("_dq_results.sales", "_dq_results", pa.schema(columns))
    engine, verdict = EmbeddedEngine(Place(str(tmp_path))), Verdict("silver.sales", ())
    rows = evidence.rows(verdict, Occasion("run1", 1, AT))
    engine.overwrite(earlier, rows.select(earlier.schema.names), {"table": "sales"}, Commit(earlier.app_id, 1, {}))

    now, occasion = replace(earlier, schema=evidence.SCHEMA), Occasion("run2", 1, AT)
    where = occasion.replaces("sales", verdict)
    engine.overwrite(now, evidence.rows(verdict, occasion), where, Commit(now.app_id, 2, {}))

    held = DeltaTable(str(tmp_path / "_dq_results")).to_pyarrow_table().to_pylist()
    assert {(row["run_id"], row["kind"], row["passed"]) for row in held} == {
        ("run1", None, None),
        ("run2", "gate", False),
    }
