"""What lands in Bronze becomes Silver: every row once, each with one end."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession
from tests.frames import at
from tests.lake import Lake

from headwater.contracts import Contracts
from headwater.contracts.schema_contracts import SchemaContracts
from headwater.errors import SourceUnavailable
from headwater.run.quarantine import Replay
from headwater.run.report import TableReport

pytestmark = pytest.mark.slow  # Great Expectations takes seconds to import


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession, contracts: Contracts) -> Lake:
    return Lake(tmp_path, spark, contracts)


def order(number: int, changed: str, **values: Any) -> dict[str, Any]:
    row = {
        "order_id": f"O{number}",
        "customer_id": "C1",
        "product_id": "P1",
        "order_date": at("2024-10-31 10:00"),
        "quantity": 2,
        "amount": Decimal("10.00"),
        "currency": "USD",
        "status": "PAID",
        "last_modified_ts": at(changed),
    }
    return row | values


def customer(name: str, changed: str = "2024-10-30") -> dict[str, Any]:
    return {"customer_id": name, "email": f" {name}@Example.COM ", "last_modified_ts": at(changed)}


def product(changed: str = "2024-10-30") -> dict[str, Any]:
    return {"product_id": "P1", "name": "Lamp", "category": "Home", "last_modified_ts": at(changed)}


def parents(lake: Lake, *customers: dict[str, Any]) -> None:
    lake.land("snowflake_products", product(), until="2024-11-01")
    lake.land("snowflake_customers", *(customers or [customer("C1")]), until="2024-11-01")
    rate = {"date": at("2024-10-31").date(), "base_currency": "EUR", "quote_currency": "USD"}
    lake.land(
        "fx_vendor_rates", rate | {"rate": Decimal("1.1"), "as_of_time": at("2024-10-31 15:00")}, until="2024-11-01"
    )
    for table in ("products", "customers", "fx_rates"):
        lake.build(table, until="2024-11-01")


def test_a_row_told_again_within_the_overlap_is_landed_once(lake: Lake) -> None:
    first = lake.land("snowflake_orders", order(1, "2024-10-31 23:30"), until="2024-11-01")
    again = lake.land("snowflake_orders", order(1, "2024-10-31 23:30"), until="2024-11-01 00:10")

    assert (first.terms["landed"], again.terms["landed"], again.terms["repeated"]) == (1, 0, 1)
    assert again.outcome == "unchanged"
    assert lake.rows("snowflake_orders", "order_id") == [("O1",)]


def test_a_row_that_its_source_tells_twice_is_landed_once(lake: Lake) -> None:
    report = lake.land("snowflake_orders", *[order(1, "2024-10-31")] * 3, order(2, "2024-10-31"), until="2024-11-01")

    assert report.terms == {"read": 4, "landed": 2, "repeated": 2, "rejected": 0}
    assert lake.rows("snowflake_orders", "order_id") == [("O1",), ("O2",)]


def test_a_row_committed_late_is_found_by_the_overlap(lake: Lake) -> None:
    known, late = order(1, "2024-10-31 23:59"), order(2, "2024-10-31 23:20")
    lake.land("snowflake_orders", known, until="2024-11-01")
    report = lake.land("snowflake_orders", known, late, until="2024-11-01 00:10")

    assert (report.terms["landed"], report.terms["repeated"]) == (1, 1)


def test_windows_before_a_failure_stay_landed_and_the_next_run_begins_there(lake: Lake) -> None:
    told = [order(1, "2024-10-01"), order(2, "2024-10-20"), order(3, "2024-10-21")]
    windows = [at("2024-10-10")]
    with pytest.raises(SourceUnavailable, match="the line broke"):
        lake.land("snowflake_orders", *told, until="2024-11-01", windows=windows, fails_after=1)
    assert lake.rows("snowflake_orders", "order_id") == [("O1",)]

    lake.land("snowflake_orders", *told, until="2024-11-01", windows=windows)
    assert lake.rows("snowflake_orders", "order_id") == [("O1",), ("O2",), ("O3",)]


def test_the_newest_version_of_an_order_stands_and_every_version_has_an_end(lake: Lake) -> None:
    parents(lake)
    lake.land(
        "snowflake_orders",
        order(1, "2024-10-31 10:00", status="PLACED"),
        order(1, "2024-10-31 12:00", status="SHIPPED"),
        order(2, "2024-10-31 11:00"),
        until="2024-11-01",
    )
    report = lake.build("orders", until="2024-11-01")

    assert lake.rows("orders", "order_id", "status", "amount_usd") == [
        ("O1", "SHIPPED", Decimal("10.00")),
        ("O2", "PAID", Decimal("10.00")),
    ]
    assert report.terms == {
        "new": 3, "retried": 0, "accepted": 2, "deleted": 0, "superseded": 1, "quarantined": 0, "recomputed": 0, "rows": 2,
    }  # fmt: skip


def test_a_refused_row_lies_in_quarantine_with_every_rule_in_words_and_its_record(lake: Lake) -> None:
    parents(lake)
    good = [order(number, "2024-10-31") for number in range(1, 100)]
    lake.land("snowflake_orders", *good, order(100, "2024-10-31", quantity=-1, currency=None), until="2024-11-01")
    report = lake.build("orders", until="2024-11-01")

    assert (report.outcome, report.terms["accepted"], report.terms["quarantined"]) == ("committed", 99, 1)
    [refused] = lake.quarantine("orders")
    assert refused["rules"] == ["quantity:range", "currency:required"]
    assert refused["reason"] == "quantity is not at least 0; currency is missing"
    assert json.loads(refused["key"]) == {"order_id": "O100"}
    assert json.loads(refused["raw"])["quantity"] == -1


def test_a_table_whose_source_went_silent_grows_old_where_it_stands(lake: Lake) -> None:
    parents(lake)
    lake.land("snowflake_orders", order(1, "2024-10-31 10:00"), until="2024-11-01")
    lake.build("orders", until="2024-11-01")
    fresh = lake.build("orders", until="2024-11-02 10:00")
    stale = lake.build("orders", until="2024-11-02 10:01")

    assert (fresh.outcome, fresh.verdict, fresh.version) == ("unchanged", "passed", 0)
    assert (stale.outcome, stale.verdict, stale.version) == ("gate failed", "failed", 0)
    assert stale.reason == "freshness: the newest last_modified_ts is 2d 1m old; limit 2d"

    lake.land("snowflake_orders", order(2, "2024-11-02 09:00"), until="2024-11-02 10:01")
    assert lake.build("orders", until="2024-11-02 10:01").outcome == "committed"


def test_an_orphan_is_released_when_its_parent_arrives(lake: Lake) -> None:
    parents(lake)
    good = [order(number, "2024-10-31") for number in range(1, 100)]
    lake.land("snowflake_orders", *good, order(100, "2024-10-31", customer_id="C2"), until="2024-11-01")
    lake.build("orders", until="2024-11-01")
    assert [each["rules"] for each in lake.quarantine("orders")] == [["customer_id:reference"]]

    lake.land("snowflake_customers", customer("C2", "2024-11-01 05:00"), until="2024-11-02")
    lake.build("customers", until="2024-11-02")
    report = lake.build("orders", until="2024-11-02")

    assert {term: report.terms[term] for term in ("new", "retried", "accepted", "quarantined")} == {
        "new": 0, "retried": 1, "accepted": 1, "quarantined": 0,
    }  # fmt: skip
    assert lake.quarantine("orders") == []
    assert len(lake.rows("orders", "order_id")) == 100


def test_a_source_whose_every_row_is_refused_publishes_nothing(lake: Lake) -> None:
    parents(lake)
    lake.land("snowflake_orders", order(1, "2024-10-31"), until="2024-11-01")
    lake.build("orders", until="2024-11-01")
    version = lake.version("orders")

    lake.land("snowflake_orders", order(2, "2024-11-01 05:00", quantity=-1), until="2024-11-02")
    report = lake.build("orders", until="2024-11-02")

    assert report.outcome == "gate failed"
    assert "quantity" in report.reason
    assert lake.version("orders") == version


def test_without_a_change_of_its_inputs_a_table_is_left_alone(lake: Lake) -> None:
    parents(lake)
    version = lake.version("customers")

    assert lake.build("customers", until="2024-11-05").outcome == "unchanged"
    assert lake.version("customers") == version


# --- how strictly rows are held to their contracts ---


def held(tmp_path: Path, spark: SparkSession, contracts: Contracts, **block: Any) -> Lake:
    """A lake where an order's status has a closed set of values, under this `schema_contracts:` block."""
    columns = tuple(
        replace(column, allowed=("PAID", "SHIPPED")) if column.name == "status" else column
        for column in contracts["orders"].columns
    )
    stricter = {**contracts, "orders": replace(contracts["orders"], columns=columns)}
    return Lake(tmp_path, spark, stricter, schema_contracts=SchemaContracts(**block))


def told(lake: Lake) -> TableReport:
    """A hundred orders, of which one has an unknown status, one a negative quantity and one an unknown customer."""
    parents(lake)
    good = [order(number, "2024-10-31", amount=Decimal(number)) for number in range(1, 98)]
    odd = [
        order(98, "2024-10-31", status="LOST"),
        order(99, "2024-10-31", quantity=-1),
        order(100, "2024-10-31", customer_id="C9"),
    ]
    lake.land("snowflake_orders", *good, *odd, until="2024-11-01")
    return lake.build("orders", until="2024-11-01")


def failed(report: TableReport) -> list[tuple[str, str, float | None]]:
    return [(check["rule"], check["severity"], check["observed"]) for check in report.checks if not check["success"]]


def test_strict_quarantines_a_row_with_a_value_that_is_not_allowed(
    tmp_path: Path, spark: SparkSession, contracts: Contracts
) -> None:
    lake = held(tmp_path, spark, contracts, validation_mode="strict")
    report = told(lake)

    assert (report.outcome, report.terms["accepted"], report.terms["quarantined"]) == ("committed", 97, 3)
    assert sorted(row["reason"] for row in lake.quarantine("orders")) == [
        "customer_id is not in customers",
        "quantity is not at least 0",
        "status is none of PAID, SHIPPED",
    ]
    assert failed(report) == []


def test_loose_sets_the_field_to_null_and_warns_and_still_quarantines_what_a_row_cannot_do_without(
    tmp_path: Path, spark: SparkSession, contracts: Contracts
) -> None:
    lake = held(tmp_path, spark, contracts, validation_mode="loose")
    report = told(lake)

    assert (report.outcome, report.terms["accepted"], report.terms["quarantined"]) == ("committed", 98, 2)
    assert ("O98", None) in lake.rows("orders", "order_id", "status")
    nulled, missing = failed(report)
    assert nulled == ("nulled:status:allowed", "warning", 1)
    assert missing == ("status:missing", "warning", pytest.approx(1 / 98))
    [evidence] = [row for row in lake.evidence() if row["rule"] == "nulled:status:allowed"]
    assert (evidence["severity"], evidence["observed"], evidence["success"]) == ("warning", 1, False)
    assert "status is none of PAID, SHIPPED in 1 rows, where it was set to null" in evidence["detail"]
    assert evidence["keys"] == ['{"order_id": "O98"}']

    lake.land("snowflake_orders", order(101, "2024-11-01 10:00"), until="2024-11-02")
    again = lake.build("orders", until="2024-11-02")
    assert failed(again) == [], "what was warned of once is not new again"


def test_a_lake_that_is_not_held_to_contracts_says_so_and_still_needs_keys(
    tmp_path: Path, spark: SparkSession, contracts: Contracts
) -> None:
    lake = held(tmp_path, spark, contracts, enabled=False)
    parents(lake)
    odd = {"quantity": -1, "customer_id": "C9", "status": "LOST"}
    rows = [order(number, "2024-10-31", amount=Decimal(number + 1), **odd) for number in range(99)]
    lake.land("snowflake_orders", *rows, {**order(1, "2024-10-31"), "order_id": None}, until="2024-11-01")
    report = lake.build("orders", until="2024-11-01")

    assert (report.outcome, report.terms["accepted"], report.terms["quarantined"]) == ("committed", 99, 1)
    assert [row["reason"] for row in lake.quarantine("orders")] == ["order_id is missing"]
    assert failed(report) == [("contract:held", "warning", None)]


def refused_rows(lake: Lake) -> dict[str, dict[str, Any]]:
    """What is in quarantine, by the order's key."""
    return {json.loads(row["raw"])["order_id"]: row for row in lake.quarantine("orders")}


def with_two_refused(lake: Lake) -> None:
    """98 good orders, an orphan and one whose quantity is below zero."""
    parents(lake)
    good = [order(number, "2024-10-31") for number in range(1, 99)]
    bad = (order(99, "2024-10-31", customer_id="C2"), order(100, "2024-10-31", quantity=-1))
    lake.land("snowflake_orders", *good, *bad, until="2024-11-01")
    lake.build("orders", until="2024-11-01")
    assert refused_rows(lake).keys() == {"O99", "O100"}


def test_what_a_replay_held_back_is_judged_by_the_next_run_if_an_input_had_moved(lake: Lake) -> None:
    """The orphan's parent came before the replay, which did not ask for it: no later run would see that input move."""
    with_two_refused(lake)
    lake.land("snowflake_customers", customer("C2", "2024-11-01 05:00"), until="2024-11-02")
    lake.build("customers", until="2024-11-02")

    held = lake.build("orders", until="2024-11-02", replay=Replay("list_contains(rules, 'quantity:range')"))
    assert (held.terms["asked"], held.terms["held_back"], held.terms["quarantined"]) == (1, 1, 2)
    assert refused_rows(lake)["O99"]["rules"] == ["customer_id:reference"]
    report = lake.build("orders", until="2024-11-02")

    assert (report.terms["retried"], report.terms["accepted"], report.terms["quarantined"]) == (2, 1, 1)
    assert refused_rows(lake).keys() == {"O100"}
    assert lake.build("orders", until="2024-11-02").outcome == "unchanged"


def test_a_refused_row_keeps_the_day_it_was_first_refused_and_the_rules_it_broke_before(lake: Lake) -> None:
    with_two_refused(lake)
    first = refused_rows(lake)["O100"]
    lake.land("snowflake_customers", customer("C3", "2024-11-01 05:00"), until="2024-11-02")
    lake.build("customers", until="2024-11-02")
    lake.build("orders", until="2024-11-02")
    assert refused_rows(lake)["O100"] == first
    assert (first["refused_at"], first["rules_before"], first["replays"]) == (at("2024-11-01"), None, 0)

    lake.build("orders", until="2024-11-02", replay=Replay())
    again = refused_rows(lake)["O100"]
    assert again == first | {"replays": 1, "tried_at": at("2024-11-02")}


def test_a_quarantine_from_before_there_was_a_history_gains_one(lake: Lake) -> None:
    with_two_refused(lake)
    place = str(lake.folder / "lake" / "quarantine" / "orders")
    old = ["_row_id", "input", "rules", "reason", "key", "raw", "_ingest_ts", "_run_id"]
    write_deltalake(place, DeltaTable(place).to_pyarrow_table(columns=old), mode="overwrite", schema_mode="overwrite")

    report = lake.build("orders", until="2024-11-01 12:00", replay=Replay("list_contains(rules, 'quantity:range')"))

    assert (report.outcome, report.terms["held_back"]) == ("unchanged", 1)
    rows = refused_rows(lake)
    assert {name: (row["refused_at"], row["replays"], row["discarded_at"]) for name, row in rows.items()} == {
        "O99": (at("2024-11-01"), 0, None), "O100": (at("2024-11-01"), 1, None),
    }  # fmt: skip
    assert rows["O99"]["refused_run_id"] == rows["O99"]["_run_id"]
