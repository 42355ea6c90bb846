"""A source changes its columns: Bronze keeps what it tells, Silver stays as its contract says, and nothing is lost."""

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from tests.frames import at
from tests.lake import Lake, Told

from headwater.contracts import Contracts
from headwater.contracts.drifted import MORE, beyond
from headwater.errors import SourceUnavailable
from headwater.run.bronze import Landing
from headwater.run.events import Drifted, Event
from headwater.run.standing import MOST_COLUMNS
from headwater.run.tables import lake_table

pytestmark = pytest.mark.slow  # Great Expectations takes seconds to import

INSTANT = pa.timestamp("us", "UTC")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession, contracts: Contracts, events: list[Event]) -> Lake:
    return Lake(tmp_path, spark, contracts, events.append)


def product(number: int, changed: str, **values: Any) -> dict[str, Any]:
    row = {"product_id": f"P{number}", "name": "Lamp", "category": "Home", "brand": "Glow", "currency": "EUR"}
    return row | {"list_price": Decimal("9.50"), "active": True, "last_modified_ts": at(changed)} | values


def table(lake: Lake, name: str = "snowflake_products") -> DeltaTable:
    return DeltaTable(str(lake.folder / "lake" / lake.contracts[name].path))


def drifted(lake: Lake, name: str = "snowflake_products") -> dict[str, pa.DataType]:
    schema = pa.schema(table(lake, name).schema().to_arrow())
    return {each: schema.field(each).type for each in beyond(lake.contracts[name], schema.names)}


def test_a_new_column_lands_with_its_values_and_its_type_and_stays(lake: Lake) -> None:
    lake.land("snowflake_products", product(1, "2024-10-30"), until="2024-10-31")
    more = {"shelf": pa.string(), "weight": pa.decimal128(10, 2), "packs": pa.int16(), "seen": pa.timestamp("ns")}
    told = {"shelf": "A1", "weight": Decimal("1.25"), "packs": 3, "seen": at("2024-10-31 12:00").replace(tzinfo=None)}
    report = lake.land("snowflake_products", product(2, "2024-10-31 12:00", **told), until="2024-11-01", columns=more)
    lake.land("snowflake_products", product(3, "2024-11-01 12:00"), until="2024-11-02")

    assert drifted(lake) == {
        "shelf": pa.string(),
        "weight": pa.decimal128(38, 10),
        "packs": pa.int64(),
        "seen": INSTANT,
    }
    assert lake.rows("snowflake_products", "product_id", "shelf", "weight", "packs", "seen") == [
        ("P1", None, None, None, None),
        ("P2", "A1", Decimal("1.2500000000"), 3, at("2024-10-31 12:00")),
        ("P3", None, None, None, None),
    ]
    assert {(each["column"], each["change"]) for each in report.drift} == {(name, "new") for name in more}
    protocol = table(lake).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_rows_and_new_column_are_one_commit_that_says_what_was_read(lake: Lake) -> None:
    lake.land("snowflake_products", product(1, "2024-10-30"), until="2024-10-31")
    more = {"shelf": pa.string()}
    lake.land("snowflake_products", product(2, "2024-10-31 12:00", shelf="A1"), until="2024-11-01", columns=more)

    assert lake.version("snowflake_products") == 1
    head = lake.engine.head(lake_table(lake.contracts["snowflake_products"]))
    assert head is not None
    assert (head.txn, head.inputs) == (2, {"watermark": "2024-11-01T00:00:00+00:00"})
    log = (lake.folder / "lake/bronze/snowflake/products/_delta_log/00000000000000000001.json").read_text()
    actions = [next(iter(json.loads(line))) for line in log.splitlines()]
    assert sorted(actions) == ["add", "commitInfo", "metaData", "txn"]
    assert table(lake).metadata().configuration["delta.logRetentionDuration"] == "interval 365 days"


def test_each_change_is_told_once_in_a_run_and_again_in_the_next(lake: Lake, events: list[Event]) -> None:
    more = {"shelf": pa.string(), "brand": None, "active": pa.string()}
    first = [product(number, "2024-10-30", shelf="A1", active="perhaps") for number in range(3)]
    lake.land("snowflake_products", *first, until="2024-10-31", columns=more)
    told = [(each.column, each.change) for each in events if isinstance(each, Drifted)]
    assert sorted(told) == [("active__string", "retyped"), ("brand", "dropped"), ("shelf", "new")]

    events.clear()
    later = product(4, "2024-10-31 12:00", shelf="A1", active="perhaps")
    report = lake.land("snowflake_products", later, until="2024-11-01", columns=more)
    told = [(each.column, each.change) for each in events if isinstance(each, Drifted)]
    assert sorted(told) == [("active__string", "retyped"), ("brand", "dropped"), ("shelf", "unknown")]
    assert {each["text"] for each in report.drift} == {
        "1 values of another type than active has are in active__string",
        "TOLD has no column brand: it is null (config/contracts/bronze/snowflake_products.yaml has it)",
        "shelf (string) is not in the contract; it is kept",
    }


def test_a_row_that_shows_a_value_in_a_new_column_is_another_version_and_silver_has_one_row(lake: Lake) -> None:
    row = product(1, "2024-10-30 23:30")
    lake.land("snowflake_products", row, product(2, "2024-10-30 23:40"), until="2024-10-31")
    more = {"shelf": pa.string()}
    again = lake.land(
        "snowflake_products",
        *(row | {"shelf": "A1", "name": "Lamp 2"}, product(2, "2024-10-30 23:40")),
        until="2024-10-31 00:10",
        columns=more,
    )

    assert again.terms == {"read": 2, "landed": 1, "repeated": 1, "rejected": 0}
    assert lake.build("products", until="2024-11-01").terms["accepted"] == 2
    assert lake.rows("products", "product_id", "name") == [("P1", "Lamp 2"), ("P2", "Lamp")]


def test_values_of_another_type_are_in_their_field_again_in_silver(lake: Lake) -> None:
    lake.land("snowflake_products", product(1, "2024-10-30"), until="2024-10-31")
    lake.land(
        "snowflake_products",
        product(2, "2024-10-31 10:00", active="no", list_price=0.30000000000000004),
        product(3, "2024-10-31 11:00", active="true", list_price=7.25),
        until="2024-11-01",
        columns={"active": pa.string(), "list_price": pa.float64()},
    )

    assert lake.rows("snowflake_products", "product_id", "active", "active__string", "list_price") == [
        ("P1", True, None, Decimal("9.5000")),
        ("P2", None, "no", None),
        ("P3", True, None, Decimal("7.2500")),
    ]
    assert drifted(lake) == {"active__string": pa.string(), "list_price__double": pa.float64()}
    lake.build("products", until="2024-11-01")
    assert lake.rows("products", "product_id", "active", "list_price") == [
        ("P1", True, Decimal("9.50")),
        ("P2", False, Decimal("0.30")),
        ("P3", True, Decimal("7.25")),
    ]


def test_a_value_that_is_none_of_its_field_is_quarantined_with_the_whole_record(lake: Lake) -> None:
    good = [product(number, "2024-10-31 10:00", active="true", shelf="A1") for number in range(1, 30)]
    lake.land(
        "snowflake_products",
        *good,
        product(99, "2024-10-31 11:00", active="perhaps", shelf="A2"),
        until="2024-11-01",
        columns={"active": pa.string(), "shelf": pa.string()},
    )

    report = lake.build("products", until="2024-11-01")

    assert (report.terms["accepted"], report.terms["quarantined"]) == (29, 1)
    [refused] = lake.quarantine("products")
    assert refused["rules"] == ["active:type"]
    record = json.loads(refused["raw"])
    assert (record["product_id"], record["active__string"], record["shelf"]) == ("P99", "perhaps", "A2")


def test_a_merged_column_whose_type_changes_keeps_its_first_type(lake: Lake) -> None:
    for number, (kind, value) in enumerate([(pa.int64(), 7), (pa.string(), "8"), (pa.string(), "A1")], start=1):
        lake.land(
            "snowflake_products",
            product(number, f"2024-10-2{number} 12:00", shelf=value),
            until=f"2024-10-2{number} 13:00",
            columns={"shelf": kind},
        )

    assert lake.rows("snowflake_products", "product_id", "shelf", "shelf__string") == [
        ("P1", 7, None),
        ("P2", 8, None),
        ("P3", None, "A1"),
    ]


def test_a_column_that_its_contract_learns_later_keeps_its_values(
    tmp_path: Path, spark: SparkSession, contracts: Contracts, lake: Lake
) -> None:
    from dataclasses import replace

    from headwater.contracts import Column

    weighed = {"weight": pa.decimal128(10, 2)}
    row = product(1, "2024-10-31 12:00", weight=Decimal("1.25"))
    lake.land("snowflake_products", row, until="2024-10-31 13:00", columns=weighed)
    contract = contracts["snowflake_products"]
    knows = replace(contract, columns=(*contract.columns, Column("weight", "decimal(20,4)")))
    later = Lake(tmp_path, spark, {**contracts, "snowflake_products": knows})

    report = later.land("snowflake_products", row, until="2024-10-31 13:30", columns=weighed)

    assert (report.terms["landed"], report.terms["repeated"]) == (0, 1)
    later.build("products", until="2024-11-01")
    assert later.rows("products", "product_id") == [("P1",)]


def test_fields_without_end_are_kept_in_one_column(lake: Lake) -> None:
    names = [f"f{number:03}" for number in range(MOST_COLUMNS + 2)]
    row = product(1, "2024-10-31 12:00", **dict.fromkeys(names, "x"))
    kinds = dict.fromkeys(names, pa.string())

    lake.land("snowflake_products", row, until="2024-10-31 13:00", columns=kinds)
    again = lake.land("snowflake_products", row, until="2024-10-31 13:10", columns=kinds)

    assert len(drifted(lake)) == MOST_COLUMNS + 1
    [(first, more)] = lake.rows("snowflake_products", "f000", MORE)
    assert (first, json.loads(more)) == ("x", {"f200": "x", "f201": "x"})
    assert (again.terms["landed"], again.terms["repeated"]) == (0, 1)


def test_a_source_that_changes_between_two_windows_lands_both_as_they_were(lake: Lake) -> None:
    class Changing(Told):
        def read(self, partition: Any, reject: Any) -> Any:
            self.columns = {"shelf": pa.string()} if partition.start else {}
            yield from super().read(partition, reject)

    contract = lake.contracts["snowflake_products"]
    rows = [product(1, "2024-10-29"), product(2, "2024-10-30", shelf="A1"), product(3, "2024-10-30 01:00", shelf="B1")]
    source = Changing(contract, rows, windows=[at("2024-10-29 12:00")])

    report = Landing(lake.next_run(at("2024-10-31")), contract, source).run()

    assert report.terms == {"read": 3, "landed": 3, "repeated": 0, "rejected": 0}
    assert lake.rows("snowflake_products", "product_id", "shelf") == [("P1", None), ("P2", "A1"), ("P3", "B1")]


def test_a_source_that_changes_within_one_answer_lands_whole(lake: Lake) -> None:
    class Changing(Told):
        def read(self, partition: Any, reject: Any) -> Any:
            for row in rows:
                self.rows, self.columns = [row], {"shelf": pa.string()} if "shelf" in row else {}
                yield from super().read(partition, reject)

    contract = lake.contracts["snowflake_products"]
    rows = [product(1, "2024-10-29"), product(2, "2024-10-30", shelf="A1"), product(3, "2024-10-30")]

    Landing(lake.next_run(at("2024-10-31")), contract, Changing(contract, rows)).run()

    assert lake.rows("snowflake_products", "product_id", "shelf") == [("P1", None), ("P2", "A1"), ("P3", None)]


def test_a_window_that_fails_leaves_the_schema_of_what_landed_before(lake: Lake) -> None:
    rows = [product(1, "2024-10-29", shelf="A1"), *(product(n, "2024-10-30", hall="H") for n in (2, 3, 4))]

    class Breaking(Told):
        def read(self, partition: Any, reject: Any) -> Any:
            self.columns = {"hall": pa.string()} if partition.start else {"shelf": pa.string()}
            yield from super().read(partition, reject)

    contract = lake.contracts["snowflake_products"]
    source = Breaking(contract, rows, windows=[at("2024-10-29 12:00")], fails_after=2)
    with pytest.raises(SourceUnavailable, match="the line broke"):
        Landing(lake.next_run(at("2024-10-31")), contract, source).run()

    assert set(drifted(lake)) == {"shelf"}
    assert lake.rows("snowflake_products", "product_id", "shelf") == [("P1", "A1")]


# Any history

KINDS = {pa.int64(): st.integers(-(2**40), 2**40), pa.string(): st.text(st.characters(codec="ascii"), max_size=4)}
KINDS |= {pa.decimal128(12, 5): st.decimals(-(10**6), 10**6, places=5), pa.bool_(): st.booleans()}


@pytest.fixture
def new_lake(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, contracts: Contracts) -> Callable[[], Lake]:
    return lambda: Lake(tmp_path_factory.mktemp("lake"), spark, contracts)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(list(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), KINDS[kind])), min_size=1, max_size=4
    )
)
def test_whatever_types_a_column_has_had_each_value_is_in_one_column_and_lands_once(
    new_lake: Callable[[], Lake], told: list[Any]
) -> None:
    lake = new_lake()
    for number, (kind, value) in enumerate(told):
        row = product(number, f"2024-10-0{number + 1} 12:00", extra=value)
        columns = {"extra": kind}
        lake.land("snowflake_products", row, until=f"2024-10-0{number + 1} 12:30", columns=columns)
        again = lake.land("snowflake_products", row, until=f"2024-10-0{number + 1} 12:40", columns=columns)
        assert (again.terms["landed"], again.terms["repeated"]) == (0, 1)

    rows = table(lake).to_pyarrow_table().to_pylist()
    assert len(rows) == len(told)
    for row in rows:
        _, value = told[int(row["product_id"][1:])]
        [held] = [each for name, each in row.items() if name.startswith("extra") and each is not None]
        assert plainly(held) == plainly(value)


def plainly(value: Any) -> Decimal | str:
    """A value without the spelling of its type."""
    text = {"true": "1", "false": "0"}.get(str(value).lower(), str(value))
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
