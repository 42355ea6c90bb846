"""A Bronze table whose source changed is shown to functions as its contract describes it."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from tests.frames import at

from headwater.contracts import Column, Contract
from headwater.transform.presented import presented, unreadable

CONTRACT = Contract(
    "bronze",
    "things",
    "bronze/things",
    (
        Column("id", "string"),
        Column("units", "bigint"),
        Column("price", "decimal(20,4)"),
        Column("since", "date"),
        Column("at", "timestamp"),
        Column("active", "boolean"),
    ),
)


def shown(spark: SparkSession, column: str, beside: str, kind: pa.DataType, value: Any) -> tuple[Any, Any]:
    """What a function sees of a value beside a column, and the text that is said to be unreadable."""
    arrays: dict[str, pa.Array] = {each.name: pa.nulls(1, each.arrow_type) for each in CONTRACT.columns}
    arrays |= {"shelf": pa.array(["A1"]), beside: pa.array([value], kind), "_row_id": pa.array(["r1"])}
    bronze = spark.createDataFrame(pa.table(arrays))
    rows = presented(bronze, CONTRACT)
    assert rows.columns == [*CONTRACT.column_names, "_row_id"]
    assert dict(rows.dtypes)[column] == CONTRACT.column(column).type
    lost = unreadable(bronze, CONTRACT, {column})[column]
    text = bronze.select(lost.alias("text")).toArrow()["text"][0].as_py()
    return rows.select(column).toArrow()[column][0].as_py(), text


@pytest.mark.parametrize(
    ("column", "word", "kind", "value", "seen"),
    [
        ("units", "string", pa.string(), " 7 ", 7),
        ("units", "string", pa.string(), "8.0", 8),
        ("units", "decimal", pa.decimal128(38, 10), Decimal(12), 12),
        ("units", "boolean", pa.bool_(), True, 1),
        ("price", "double", pa.float64(), 0.30000000000000004, Decimal("0.3000")),
        ("price", "decimal", pa.decimal128(38, 10), Decimal("1.23455"), Decimal("1.2346")),
        ("price", "string", pa.string(), "19.99", Decimal("19.9900")),
        ("since", "timestamp", pa.timestamp("us", "UTC"), at("2024-11-01 23:59"), at("2024-11-01").date()),
        ("since", "string", pa.string(), "2024-11-01", at("2024-11-01").date()),
        ("at", "string", pa.string(), "2024-11-01T12:00:00Z", at("2024-11-01 12:00")),
        ("at", "date", pa.date32(), at("2024-11-01").date(), at("2024-11-01")),
        ("active", "string", pa.string(), "true", True),
        ("active", "bigint", pa.int64(), 0, False),
        ("id", "bigint", pa.int64(), 7, "7"),
    ],
)
def test_a_value_beside_its_column_is_in_it_where_it_can_be_cast(spark, column, word, kind, value, seen):
    assert shown(spark, column, f"{column}__{word}", kind, value) == (seen, None)


@pytest.mark.parametrize(
    ("column", "word", "kind", "value", "text"),
    [
        ("units", "string", pa.string(), "many", "many"),
        ("units", "string", pa.string(), "8.5", "8.5"),
        ("units", "double", pa.float64(), 8.5, "8.5"),
        ("units", "string", pa.string(), "9" * 30, "9" * 30),
        ("units", "timestamp", pa.timestamp("us", "UTC"), at("2024-11-01"), "2024-11-01 00:00:00"),
        ("price", "string", pa.string(), "on request", "on request"),
        ("price", "string", pa.string(), "9" * 30, "9" * 30),
        ("since", "bigint", pa.int64(), 20241101, "20241101"),
        ("at", "bigint", pa.int64(), 1730419200, "1730419200"),
        ("at", "string", pa.string(), "yesterday", "yesterday"),
        ("active", "string", pa.string(), "perhaps", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_cast_is_null_and_its_text_is_told(spark, column, word, kind, value, text):
    assert shown(spark, column, f"{column}__{word}", kind, value) == (None, text)


def test_a_table_that_is_as_its_contract_says_is_given_as_it_is(spark):
    arrays = {each.name: pa.nulls(1, each.arrow_type) for each in CONTRACT.columns} | {"_row_id": pa.array(["r1"])}
    bronze = spark.createDataFrame(pa.table(arrays))

    assert presented(bronze, CONTRACT) is bronze
    assert unreadable(bronze, CONTRACT, set(CONTRACT.column_names)) == {}


def test_a_column_that_the_table_lacks_is_null_and_one_of_a_narrower_type_is_widened(spark):
    bronze = spark.createDataFrame(pa.table({"id": ["T1"], "units": pa.array([3], pa.int32()), "_row_id": ["r1"]}))

    [row] = presented(bronze, CONTRACT).toArrow().to_pylist()

    assert (row["id"], row["units"], row["price"]) == ("T1", 3, None)
