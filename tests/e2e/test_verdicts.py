"""What people see of the gate, and what they may do: evidence, `headwater quality`, and a batch that somebody accepts."""

import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake
import pytest
from tests.chaos.instant import Instant
from tests.e2e.runs import AT, called, ended
from tests.e2e.tiny import SOON, T0, T1, VERSIONS, Lake, everything, order, write_tiny

from headwater import sandbox
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

CURRENCY, CUSTOMER = "refused:currency:required", "refused:customer_id:reference"
BELOW = ("customer_360", "product_perf_daily", "revenue_by_geography", "revenue_by_industry")
STRICT = {"tables": {"silver.orders": {"refused": {"default": 0.08}}}}
"""Two of the first eight orders break a rule each, which is more of them than may."""
PRICED = {"tables": {"silver.orders": {"unpriced": {"max_share": 0.0}}}}


@dataclass(frozen=True)
class Shop:
    """The tiny shop, in which one order has no price and on the next day another no currency; and lakes of its first day."""

    sources: Status
    lakes: Mapping[str, Lake]

    def tomorrow(self) -> str:
        sandbox.advance(self.sources.connections.parent, T1)
        return T1.isoformat()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    columns, rows = VERSIONS["snowflake/ORDERS"]
    orders = [*rows, order("O9", SOON, currency=None), order("O10", currency="XXX")]
    return write_tiny(tmp_path_factory.mktemp("dataset") / "tiny", VERSIONS | {"snowflake/ORDERS": (columns, orders)})


@pytest.fixture(scope="module")
def shop(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    place, lakes = tmp_path_factory.mktemp("verdicts"), {}
    for name, (limits, code) in {"strict": (STRICT, 2), "priced": (PRICED, 2), "good": ({}, 0)}.items():
        lakes[name] = Lake.beside(sources, place / name, limits)
        called(lakes[name], "run", *AT, code=code)
    return Shop(sources, lakes)


def copied(lake: Lake, folder: Path) -> Lake:
    shutil.copytree(lake.folder, folder)
    return Lake(folder)


@pytest.fixture
def lake(shop: Shop, tmp_path: Path) -> Lake:
    """A lake whose first run was refused."""
    return copied(shop.lakes["strict"], tmp_path / "lake")


@pytest.fixture
def good(shop: Shop, tmp_path: Path) -> Lake:
    """A lake that was published."""
    return copied(shop.lakes["good"], tmp_path / "lake")


def accept(lake: Lake, rule: str, run: str = "last", code: int = 0, why: str = "the vendor will mend it") -> str:
    return called(lake, "quality", "accept", "orders", "--run", run, "--rule", rule, "--why", why, "--yes", code=code)


def build(lake: Lake, code: int = 0) -> str:
    """Build orders and what is made of it, without asking any source."""
    return called(lake, "run", *AT, "--select", ",".join(("orders", *BELOW)), code=code)


def recorded(lake: Lake) -> dict[str, Any]:
    """What the last commit of orders says."""
    [newest] = lake.table("silver/orders").history(1)
    said: dict[str, Any] = json.loads(newest["headwater"])["metadata"]
    return said


def last(lake: Lake) -> dict[str, Any]:
    """What was found of orders last."""
    newest: dict[str, Any] = json.loads(called(lake, "quality", "orders", "--limit", "1", "--json"))[0]
    return newest


def test_whoever_is_called_at_night_can_tell_all_from_what_is_said(lake):
    said = build(lake, code=2)
    run_id = json.loads(called(lake, "runs", "--json"))[0]["run_id"]
    records = {json.loads(row["key"])["order_id"]: row["_row_id"] for row in lake.rows("quarantine/orders")}

    for told in (said, called(lake, "runs", "show", "last"), called(lake, "quality", "orders")):
        block = told[told.index("silver.orders was not published") :]
        lines = [line.strip() for line in block.splitlines()]
        assert "rule       refused:currency:required (critical)" in lines
        assert "observed   0.125; limit: at most 0.08" in lines
        assert "currency is missing in 1 of 8 rows, which is 12.50%; limit 8.00%" in lines
        assert "rows       order_id=O5" in lines
        assert f"records    snowflake_orders {records['O5']}" in lines
        assert "rule       refused:customer_id:reference (critical)" in lines
        assert f"records    snowflake_orders {records['O6']}" in lines
        assert f"stale now  {', '.join(f'gold.{table}' for table in BELOW)}" in lines
        assert (
            f"""quarantine show --config {lake.config} orders --where "list_contains(rules, 'currency:required')\""""
            in block
        )
        assert f"orders --run {run_id} --rule refused:currency:required --why" in block
    assert f"quality --config {lake.config} orders" in said.split("Next:")[1]


def test_evidence_says_which_rows_broke_which_rule_and_what_great_expectations_said(lake):
    rows = [row for row in lake.rows("_dq_results") if row["table"] == "orders"]
    failed = {row["rule"]: row for row in rows if not row["success"]}

    assert {row["kind"] for row in rows} == {"gate"}
    assert {row["passed"] for row in rows} == {False}
    assert {rule: row["keys"] for rule, row in failed.items()} == {
        CURRENCY: ['{"order_id": "O5"}'],
        CUSTOMER: ['{"order_id": "O6"}'],
    }
    assert json.loads(rows[0]["inputs"]) == dict.fromkeys(("snowflake_orders", "customers", "products", "fx_rates"), 0)
    volume = json.loads(next(row["validation"] for row in rows if row["rule"] == "volume"))
    assert volume["expectation_config"]["type"] == "expect_aggregate"
    assert (volume["success"], volume["result"]["observed_value"]) == (True, 6)


def test_rows_of_a_candidate_that_fails_are_told_with_the_records_that_they_are_made_of(shop):
    lake = shop.lakes["priced"]
    [record] = [row["_row_id"] for row in lake.rows("bronze/snowflake/orders") if row["order_id"] == "O10"]
    [failed] = [row for row in lake.rows("_dq_results") if not row["success"]]

    assert (failed["table"], failed["rule"]) == ("orders", "unpriced")
    assert failed["keys"] == ['{"order_id": "O10"}']
    assert failed["records"] == [f"snowflake_orders {record}"]


def test_history_tells_how_often_each_table_passed_and_what_fails_now(lake):
    build(lake, code=2)
    series = {(each["table"], each["suite"]): each for each in json.loads(called(lake, "quality", "--json"))}
    shown = called(lake, "quality")

    orders, customers = series["silver.orders", "gate"], series["silver.customers", "gate"]
    assert (orders["verdicts"], orders["pass_rate"], orders["history"]) == (2, 0.0, ["failed", "failed"])
    assert orders["failing"] == [CURRENCY, CUSTOMER]
    assert (customers["verdicts"], customers["pass_rate"], customers["last"]) == (1, 1.0, "passed")
    [line] = [line.split() for line in shown.splitlines() if line.startswith("silver.orders")]
    assert line[:5] == ["silver.orders", "gate", "2", "0%", "failed"]
    assert line[7] == "ff"

    called(lake, "run", *AT, "--select", "orders,customers", code=2)
    assert len(json.loads(called(lake, "quality", "orders", "--limit", "9", "--json"))) == 3
    assert len(json.loads(called(lake, "quality", "customers", "--limit", "9", "--json"))) == 1, "nothing moved"


def test_accepting_twice_is_accepting_once(lake):
    accept(lake, CURRENCY)
    rows = [row for row in lake.rows("_dq_results") if row["kind"] == "acceptance"]

    assert "accepted it already" in accept(lake, CURRENCY, why="once more")
    assert [row for row in lake.rows("_dq_results") if row["kind"] == "acceptance"] == rows


def test_only_what_failed_can_be_accepted_and_not_without_a_yes(lake):
    before = everything(lake)
    to_accept = ("quality", "accept", "orders", "--run", "last", "--rule")

    assert "run 1999 refused a batch of silver.orders; the newest that did is" in accept(lake, CURRENCY, "1999", code=1)
    assert f"judged no rule refused:currency of silver.orders; failed: {CURRENCY}" in accept(
        lake, "refused:currency", code=1
    )
    assert "volume did not fail in run" in accept(lake, "volume", code=1)
    assert "no contract describes a table orderz; did you mean orders?" in called(
        lake, "quality", "accept", "orderz", "--run", "last", "--rule", "volume", "--why", "x", "--yes", code=1
    )
    assert "bronze.snowflake_orders is not judged" in called(lake, "quality", "snowflake_orders", code=1)
    assert "--why': it is empty" in accept(lake, CURRENCY, why=" ", code=64)
    asked = called(lake, *to_accept, CURRENCY, "--why", "x", code=64)
    assert "(such as order_id=O5). Publish this batch all the same?" in asked
    assert everything(lake) == before


@pytest.mark.parametrize("instant", ["Committing:orders", "Committed:orders"])
def test_an_acceptance_outlives_the_run_that_was_to_use_it_and_is_used_once(lake, instant):
    accept(lake, CURRENCY)
    accept(lake, CUSTOMER)
    killed = Instant(instant).sends(signal.SIGKILL)
    assert ended(lake, T0, "--select", "orders", *killed) == -signal.SIGKILL
    published = instant == "Committed:orders"
    assert ("silver/orders" in lake.tables()) == published

    build(lake)

    assert lake.table("silver/orders").version() == 0
    assert [each["rule"] for each in recorded(lake)["accepted"]] == [CURRENCY, CUSTOMER]
    words = [each["verdict"] for each in json.loads(called(lake, "quality", "orders", "--limit", "9", "--json"))]
    assert words == ["accepted", "failed"]


def test_what_is_published_is_judged_whole_and_nothing_moves(good):
    lake = good
    before = {path: version for path, version in lake.versions().items() if path != "_dq_results"}

    judged = json.loads(called(lake, "quality", "run", *AT, "--json"))

    tables = {each["table"]: each for each in judged["tables"]}
    assert {each["verdict"] for each in tables.values()} == {"passed"}
    assert {path: version for path, version in lake.versions().items() if path != "_dq_results"} == before
    rules = {check["rule"] for check in tables["silver.orders"]["checks"]}
    assert {"key:unique", "customer_id:reference", "order_id:required", "freshness", "volume"} <= rules
    sums = {check["rule"] for check in tables["gold.revenue_by_geography"]["checks"]}
    assert {rule for rule in sums if rule.endswith(":conserved")}
    kept = [row for row in lake.rows("_dq_results") if row["kind"] == "published"]
    assert {row["run_id"] for row in kept} == {judged["run_id"]}
    assert {row["table"] for row in kept} == {table.partition(".")[2] for table in tables}

    late = called(lake, "quality", "run", "orders", "--at", "2024-12-01", code=2)
    assert "silver.orders stands, and is not good enough any more:" in late
    assert "rule       freshness (critical)" in late
    assert "or accept" not in late
    series = {(each["table"], each["suite"]): each for each in json.loads(called(lake, "quality", "--json"))}
    assert series["silver.orders", "published"]["history"] == ["passed", "failed"]
    assert series["silver.orders", "gate"]["history"] == ["passed"]


def test_rows_that_stand_twice_or_refer_to_nothing_are_found_in_what_is_published(good):
    lake = good
    customers, orders = lake.table("silver/customers"), lake.table("silver/orders")
    customers.delete("customer_id = 'C1'")
    rows = orders.to_pyarrow_table()
    deltalake.write_deltalake(orders, rows.slice(0, 1), mode="append")
    twice = rows["order_id"][0].as_py()

    found = json.loads(called(lake, "quality", "run", "orders", "behavior", *AT, "--json", code=2))

    failed = {
        (each["table"], check["rule"]): check["keys"]
        for each in found["tables"]
        for check in each["checks"]
        if not check["success"]
    }
    assert failed["silver.orders", "key:unique"] == [json.dumps({"order_id": twice})]
    assert json.dumps({"order_id": "O0", "customer_id": "C1"}) in failed["silver.orders", "customer_id:reference"]
    assert json.dumps({"event_id": "E0", "customer_id": "C1"}) in failed["silver.behavior", "customer_id:reference"]


def test_a_table_that_is_not_there_is_no_good_table(lake):
    said = called(lake, "quality", "run", "orders", "customers", *AT, code=1)

    assert "silver.orders" in said
    assert "not written yet" in said


def test_a_table_that_merely_grew_old_is_on_record_and_no_batch_of_it_can_be_accepted(good):
    said = called(good, "run", "--at", "2024-12-01", "--select", "orders", code=2)

    assert "silver.orders stands, and is not good enough any more:" in said
    assert "or accept" not in said
    newest = last(good)
    assert (newest["kind"], newest["verdict"], newest["target_version"]) == ("standing", "failed", 1)
    [series] = [each for each in json.loads(called(good, "quality", "--json")) if each["table"] == "silver.orders"]
    assert (series["history"], series["failing"]) == (["passed", "failed"], ["freshness"])
    assert "no run last refused a batch of silver.orders" in accept(good, "freshness", code=1)


# --- the next day, after which the sources show no other ---


def test_an_accepted_batch_passes_that_rule_once(shop, lake):
    refused = last(lake)["run_id"]
    assert f"the batch is kept back still, by {CUSTOMER}" in accept(lake, CURRENCY)
    assert "customer_id is not in customers" in build(lake, code=2), "the other rule still holds"
    told = accept(lake, CUSTOMER, why="they come tomorrow")
    assert f"--select orders,{','.join(BELOW)}" in told
    before = len(lake.rows("quarantine/orders"))
    build(lake)

    commit, verdict = recorded(lake), last(lake)
    assert commit["verdict"] == verdict["verdict"] == "accepted"
    said = {each["rule"]: each for each in commit["accepted"]}
    assert {rule: each["why"] for rule, each in said.items()} == {
        CURRENCY: "the vendor will mend it",
        CUSTOMER: "they come tomorrow",
    }
    assert said[CURRENCY]["run_id"] == refused
    assert all("@" in each["by"] and each["at"] for each in said.values())
    rows = {check["rule"]: check for check in verdict["checks"]}
    assert rows[CURRENCY]["accepted"] == {name: value for name, value in said[CURRENCY].items() if name != "rule"}
    assert "was accepted by" in called(lake, "quality", "orders")
    assert len(lake.rows("quarantine/orders")) == before, "the rows that broke it stay refused"
    assert len(lake.rows("silver/orders")) == 6

    assert "was published since run" in accept(lake, CURRENCY, refused, code=1)
    assert CURRENCY in called(lake, "run", "--at", shop.tomorrow(), code=2), "the next batch is another one"
    assert recorded(lake) == commit


def test_another_batch_is_not_the_accepted_one(shop, lake):
    refused = last(lake)["run_id"]
    accept(lake, CURRENCY, refused)
    accept(lake, CUSTOMER, refused)

    said = called(lake, "run", "--at", shop.tomorrow(), code=2)

    assert "silver/orders" not in lake.tables()
    assert CURRENCY in said
    assert f"accepted it of run {refused}, which judged another batch" in said
    moved = accept(lake, CURRENCY, refused, code=1)
    assert "another batch of silver.orders waits than run" in moved
    assert "snowflake_orders from 0 to 1" in moved
