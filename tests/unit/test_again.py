"""What was refused as no row, and is one by a contract that was mended, is the row that its source told."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa

from headwater.contracts import Column, Contract
from headwater.extract.again import from_records
from headwater.extract.conform import BronzeShape
from headwater.extract.from_text import reject_batch
from headwater.run.row_ids import RowIds

AT = datetime(2024, 11, 1, 10, 30, 15, 123456, tzinfo=UTC)
WRONG = Contract(
    layer="bronze",
    name="snowflake_orders",
    path="bronze/snowflake/orders",
    columns=(
        Column("order_id", "string", required=True),
        Column("quantity", "bigint", required=True),
        Column("amount", "decimal(20,4)"),
        Column("shipped_on", "date"),
        Column("paid", "boolean"),
        Column("weight", "double"),
        Column("note", "bigint"),
        Column("last_modified_ts", "timestamp", required=True),
    ),
    key=("order_id",),
    cursor="last_modified_ts",
)
RIGHT = replace(
    WRONG, columns=tuple(Column("note", "string") if each.name == "note" else each for each in WRONG.columns)
)
TOLD = pa.RecordBatch.from_pydict(
    {
        "ORDER_ID": pa.array(["O1", "O2"]),
        "QUANTITY": pa.array([3, 4], pa.int32()),
        "AMOUNT": pa.array([Decimal("19.9900"), None], pa.decimal128(12, 4)),
        "SHIPPED_ON": pa.array([date(2024, 10, 31), None]),
        "PAID": pa.array([True, None]),
        "WEIGHT": pa.array([0.1, None]),
        "NOTE": pa.array(['gift; with a "card" and a ü', "none"]),
        "LAST_MODIFIED_TS": pa.array([AT, AT], pa.timestamp("us", "UTC")),
    }
)  # fmt: skip


def refused_by(contract: Contract) -> pa.Table:
    rejects: list[pa.RecordBatch] = []
    assert BronzeShape("snowflake", "ORDERS", contract).cast(TOLD, rejects.append).num_rows == 0
    return pa.Table.from_batches(rejects)


def again(contract: Contract, rejects: pa.Table) -> tuple[list[pa.RecordBatch], list[dict[str, object]]]:
    refused: list[dict[str, object]] = []
    shape = BronzeShape("snowflake", "ORDERS", contract)
    rows = list(from_records(shape, rejects, lambda batch: refused.extend(batch.to_pylist())))
    return rows, refused


def test_every_value_is_what_it_was_and_so_is_the_rows_identity():
    [rows], refused = again(RIGHT, refused_by(WRONG))

    expected = BronzeShape("snowflake", "ORDERS", RIGHT).cast(TOLD, lambda batch: None)
    assert not refused
    assert rows.to_pylist() == expected.to_pylist()
    assert rows.schema == expected.schema
    ids = RowIds()
    try:
        assert ids.of(rows) == ids.of(expected)
    finally:
        ids.close()


def test_what_is_no_row_still_is_refused_under_its_own_name_with_todays_reason():
    rejects = refused_by(WRONG)

    rows, refused = again(WRONG, rejects)

    assert sum(batch.num_rows for batch in rows) == 0
    assert [each["_row_id"] for each in refused] == rejects["_row_id"].to_pylist()
    assert [each["raw"] for each in refused] == rejects["raw"].to_pylist()
    assert refused[1]["reason"] == "note is 'none', which is no bigint"


def test_a_record_that_has_no_columns_or_lacks_a_required_one_is_refused_and_others_are_not_held_up():
    whole = refused_by(WRONG).slice(0, 1)
    strange = pa.Table.from_batches(
        [reject_batch(["a", "b", "c"], ["x"] * 3, ["?"] * 3, [b"[1]", b"{no json", b'{"order_id": "O9"}'])]
    )

    rows, refused = again(RIGHT, pa.concat_tables([whole, strange]))

    assert [row["order_id"] for batch in rows for row in batch.to_pylist()] == ["O1"]
    told = {each["_row_id"]: str(each["reason"]) for each in refused}
    assert told.keys() == {"a", "b", "c"}
    assert told["a"] == "the record that was kept is no JSON object"
    assert "ORDERS has no column quantity" in told["c"]
