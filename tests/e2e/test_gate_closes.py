"""The gate over live sources: the smallest violation closes it, nothing is published, and what mends it opens it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from tests.e2e.runs import ended, said
from tests.e2e.tiny import (
    BEFORE,
    FILES,
    FRIDAY,
    ORDERS,
    THURSDAY,
    TOPICS,
    VERSIONS,
    Lake,
    customer,
    event,
    merged,
    opportunity,
    order,
    product,
    rate,
    write_tiny,
)
from tests.versions import DAY, T0, Version

from headwater import sandbox
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

HALF_A_DAY = timedelta(hours=12)
POLL_S = 0.05


@dataclass(frozen=True)
class Case:
    """What is wrong on a day; mended at noon by a newer version at the source, or by other limits."""

    table: str
    check: str
    day: int
    bronze: str
    below: tuple[str, ...] = ()
    limits: dict[str, Any] | None = None

    @property
    def wrong_at(self) -> datetime:
        return T0 + self.day * DAY

    @property
    def mended_at(self) -> datetime:
        return self.wrong_at + HALF_A_DAY


OF_ORDERS = ("customer_360", "product_perf_daily", "revenue_by_geography", "revenue_by_industry")
CASES = [
    Case("orders", "refused:currency:required", 1, "snowflake_orders", OF_ORDERS),
    Case("orders", "refused:amount:type", 2, "snowflake_orders", OF_ORDERS),
    Case("orders", "refused:quantity:range", 3, "snowflake_orders", OF_ORDERS),
    Case("orders", "refused:customer_id:reference", 4, "snowflake_orders", OF_ORDERS),
    Case("orders", "unpriced", 5, "snowflake_orders", OF_ORDERS),
    Case("behavior", "freshness", 6, "redshift_behavior", ("customer_360",)),
    Case(
        *("opportunities", "volume:shrink", 7, "salesforce_opportunities", ("revenue_by_industry",)),
        {"volume": {"max_shrink": 0.5}},
    ),
    Case("fx_rates", "volume", 8, "fx_vendor_rates", ("orders", *OF_ORDERS), {"volume": {"max_rows": 3}}),
    Case("inventory", "refused:parse", 9, "external_inventory", ("product_perf_daily",), {"refused": {"parse": 0.5}}),
    Case(
        *("order_events", "refused:event_type:allowed", 10, "kafka_orders_events", ()),
        {"refused": {"event_type:allowed": 1.0}},
    ),
    Case("user_events", "volume:day", 11, "kafka_user_events", (), {"daily": {"min_ratio": 0.5}}),
    Case("products", "expectation:dear", 12, "snowflake_products", ("orders", *OF_ORDERS)),
]

LIMITS = {
    "defaults": {"refused": {"default": 0.0}},
    "tables": {
        "silver.orders": {"freshness": {"max_age": "60d"}, "unpriced": {"max_share": 0.0}},
        "silver.order_events": {"freshness": {"max_age": "60d"}},
        "silver.user_events": {"freshness": {"max_age": "60d"}, "daily": {"min_usual": 4}},
        "silver.inventory": {"freshness": {"max_age": "60d"}},
        "silver.fx_rates": {"freshness": {"max_age": "60d"}, "volume": {"max_rows": 2}},
        "silver.opportunities": {"volume": {"max_shrink": 0.0}},
        "silver.products": {
            "expectations": {
                "dear": {
                    "sql": "SELECT count(*) FROM candidate WHERE list_price > :most",
                    "parameters": {"most": 100},
                }
            }
        },
    },
}


def orders() -> list[Version]:
    """Six good ones, and on each of five days one that is changed for the worse, and back at noon."""
    worse: list[dict[str, Any]] = [
        {"currency": None},
        {"amount": "9999999999999999.9950"},  # to the cent it has a digit too many
        {"quantity": -1},
        {"customer_id": "C99"},
        {"currency": "XXX"},
    ]
    rows = [order(f"O{number}") for number in range(6)]
    for day, what in enumerate(worse, start=1):
        changed = T0 + day * DAY - timedelta(hours=1)
        rows += [order(f"O{day}", changed, **what), order(f"O{day}", changed + HALF_A_DAY)]
    return rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wide = [(name, pa.decimal128(20, 4) if name == "AMOUNT" else kind) for name, kind in ORDERS]
    late = T0 + 6 * DAY
    old = event("E2", T0)
    behavior = [event("E1"), Version(old.row, late), event("E3", late + timedelta(hours=1))]
    rates = [rate(THURSDAY, quote, "1.10") for quote in ("USD", "GBP")]
    changes = {
        "snowflake/ORDERS": (wide, orders()),
        "snowflake/CUSTOMERS": (VERSIONS["snowflake/CUSTOMERS"][0], [customer("C1")]),
        "snowflake/PRODUCTS": (
            VERSIONS["snowflake/PRODUCTS"][0],
            [
                product("P1"),
                product("P1", T0 + 12 * DAY - timedelta(hours=1), "100.01"),
                product("P1", T0 + 12 * DAY + timedelta(hours=11), "100.00"),
            ],
        ),
        "redshift/customer_behavior": (VERSIONS["redshift/customer_behavior"][0], behavior),
        "salesforce/Opportunity": (
            VERSIONS["salesforce/Opportunity"][0],
            [opportunity(1), opportunity(2, gone=T0 + 7 * DAY - HALF_A_DAY / 2)],
        ),
        "fx/rates": (VERSIONS["fx/rates"][0], [*rates, rate(FRIDAY, "USD", "1.10", T0 + 8 * DAY - HALF_A_DAY / 2)]),
    }
    header = FILES["2024-10-31"][1].splitlines()[0]
    files = {
        "2024-10-31": (BEFORE, f"{header}\nP1,W1,7,2\n"),
        "2024-11-10": (T0 + 9 * DAY - HALF_A_DAY / 2, f"{header}\nP1,W1,5,2\nP1,W1\n"),
    }
    paid = {"order_id": "O1", "customer_id": "C1", "event_type": "PAID", "metadata": "{}"}
    visits = [(told, T0 + day * DAY) for day in (-11, -4, 3) for told, _ in 2 * TOPICS["user_events"][:2]]
    half = [(told, T0 + 10 * DAY) for told, _ in TOPICS["user_events"][:2]]
    topics = {
        "orders_events": [(paid, BEFORE), (paid | {"event_type": "LOST"}, T0 + 10 * DAY - HALF_A_DAY / 2)],
        "user_events": [(told | {"event_id": f"U{number}"}, at) for number, (told, at) in enumerate([*visits, *half])],
        "inventory_updates": TOPICS["inventory_updates"][:1],
    }
    return write_tiny(tmp_path_factory.mktemp("dataset") / "shop", VERSIONS | changes, files, topics)


@pytest.fixture(scope="module")
def lake(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake in which everything was good at the start."""
    lake = Lake.beside(sources, tmp_path_factory.mktemp("lake") / "lake", LIMITS)
    assert ended(lake, T0) == 0, said(lake)
    return lake


def path_of(table: str) -> str:
    return f"gold/{table}" if table in OF_ORDERS else f"silver/{table}"


def failed(lake: Lake) -> list[tuple[str, str]]:
    """Every critical check that failed in the newest run."""
    rows = lake.rows("_dq_results")
    newest = max(row["run_id"] for row in rows)
    return [
        (row["table"], row["rule"])
        for row in rows
        if row["run_id"] == newest and row["severity"] == "critical" and not row["success"]
    ]


@contextmanager
def watched(lake: Lake, paths: list[str]) -> Iterator[set[tuple[str, int]]]:
    """Whatever version of these tables a reader sees who looks every 50 ms."""
    seen: set[tuple[str, int]] = set()
    over = threading.Event()

    def look() -> None:
        while True:
            seen.update((path, lake.table(path).version()) for path in paths)
            if over.wait(POLL_S):
                return

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield seen
    finally:
        over.set()
        reader.join()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.table} {case.check}")
def test_the_smallest_violation_closes_the_gate_until_it_is_mended(sources, lake, case):
    folder = sources.connections.parent
    paths = [path_of(table) for table in (case.table, *case.below)]
    standing = {(path, lake.table(path).version()) for path in paths}
    select = ("--select", ",".join([case.bronze, case.table, *case.below]))
    sandbox.advance(folder, case.wrong_at)

    with watched(lake, paths) as seen:
        assert ended(lake, case.wrong_at, *select) == 2, said(lake)

    assert failed(lake) == [(case.table, case.check)], said(lake)
    assert seen == standing

    sandbox.advance(folder, case.mended_at)
    if case.limits:
        limits = lake.folder / "config" / "dq.yaml"
        told = yaml.safe_load(limits.read_text(encoding="utf-8"))
        limits.write_text(yaml.safe_dump(merged(told, {"tables": {f"silver.{case.table}": case.limits}})))
    assert ended(lake, case.mended_at, *select) == 0, said(lake)
    assert lake.table(path_of(case.table)).version() > dict(standing)[path_of(case.table)]
