"""Silver becomes Gold in one commit, from recorded versions of its inputs."""

from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.integration.test_bronze_to_silver import customer, order, parents
from tests.lake import Lake

from headwater.contracts import Contracts

pytestmark = pytest.mark.slow  # Great Expectations takes seconds to import


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession, contracts: Contracts) -> Lake:
    made = Lake(tmp_path, spark, contracts)
    parents(made, customer("C1") | {"country": "de"}, customer("C2"))
    made.land(
        "snowflake_orders",
        order(1, "2024-10-31", amount=Decimal("10.50")),
        order(2, "2024-10-31", amount=Decimal("4.50"), status="cancelled"),
        order(3, "2024-10-31", customer_id="C2"),
        until="2024-11-01",
    )
    made.build("orders", until="2024-11-01")
    return made


def test_revenue_by_geography_counts_every_order_once(lake: Lake) -> None:
    report = lake.build("revenue_by_geography", until="2024-11-01")

    assert report.terms == {"rows": 2}
    assert lake.rows("revenue_by_geography", "country", "orders", "revenue_usd", "net_revenue_usd") == [
        ("DE", 2, Decimal("15.00"), Decimal("10.50")),
        ("Unknown", 1, Decimal("10.00"), Decimal("10.00")),
    ]


def test_gold_follows_a_new_version_of_silver_and_records_which_one_it_read(lake: Lake) -> None:
    lake.build("revenue_by_geography", until="2024-11-01")
    assert lake.build("revenue_by_geography", until="2024-11-01").outcome == "unchanged"

    lake.land("snowflake_orders", order(3, "2024-11-01 01:00", customer_id="C1"), until="2024-11-02")
    lake.build("orders", until="2024-11-02")
    assert lake.build("revenue_by_geography", until="2024-11-02").outcome == "committed"
    assert lake.rows("revenue_by_geography", "country", "orders") == [("DE", 3)]


def test_a_partition_name_may_hold_any_text(lake: Lake) -> None:
    odd = "CÔTE D'IVOIRE / 100 %=1"
    lake.land(
        "snowflake_customers",
        customer("C1", "2024-11-01 01:00") | {"country": odd},
        until="2024-11-02",
    )
    lake.build("customers", until="2024-11-02")
    lake.build("revenue_by_geography", until="2024-11-02")

    assert lake.rows("revenue_by_geography", "country", "orders") == [(odd, 2), ("Unknown", 1)]
