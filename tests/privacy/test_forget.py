"""`headwater forget`: a person is nowhere any more, money is where it was, and whatever happens meanwhile does no harm."""

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.tiny import T0, T1, Lake, headwater
from tests.privacy.people import COMPANION, OLD_EMAIL, PERSON, write_shop
from tests.privacy.scanner import files_of, found_in

from headwater import sandbox
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

WHY = ("--why", "asked on paper, case 17", "--yes")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Status]:
    place = tmp_path_factory.mktemp("forget")
    folder = place / ".headwater" / "sandbox"
    try:
        yield sandbox.up(folder, write_shop(place / "shop"))
    finally:
        sandbox.down(folder)


@pytest.fixture(scope="module")
def built(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake after runs at both instants."""
    lake = Lake.beside(sources, tmp_path_factory.mktemp("built") / "lake")
    for at in (T0, T1):
        sandbox.advance(sources.connections.parent, at)
        called(lake, "run", "--at", at.isoformat())
    return lake


@pytest.fixture
def lake(built: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(built.folder, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def called(lake: Lake, command: str, *options: str, code: int = 0) -> str:
    made = headwater(command, *options, "--config", str(lake.config), cwd=lake.folder)
    assert made.returncode == code, made.stdout + made.stderr
    return made.stdout + made.stderr


def scanned(lake: Lake, *planted: str) -> dict[str, set[str]]:
    return found_in(files_of(lake.folder / "lake", lake.folder / "state"), planted or (*PERSON, OLD_EMAIL))


def money(lake: Lake) -> dict[str, Any]:
    def total(table: str, column: str) -> Decimal:
        return sum((row[column] or Decimal() for row in lake.rows(table)), Decimal())

    orders = total("silver/orders", "amount_usd")
    golds = ("product_perf_daily", "revenue_by_geography", "revenue_by_industry")
    return {"orders": orders, "rows": len(lake.rows("silver/orders"))} | {
        gold: total(f"gold/{gold}", "revenue_usd") for gold in golds
    }


def test_a_person_is_nowhere_any_more_and_money_is_where_it_was(lake: Lake) -> None:
    before, found = money(lake), scanned(lake)
    assert set(found) == {*PERSON, OLD_EMAIL}
    assert len(set().union(*found.values())) > 10
    bronze = {row["_row_id"] for row in lake.rows("bronze/snowflake/orders")}

    said = called(lake, "forget", "--key", "customers=C1", *WHY)

    assert "forgotten: no table, version, log or ledger of this lake tells of it any more" in said
    assert scanned(lake) == {}
    assert scanned(lake, COMPANION)
    assert "C1" not in {row["customer_id"] for row in lake.rows("silver/customers")}
    assert {row["_row_id"] for row in lake.rows("bronze/snowflake/orders")} == bronze
    assert money(lake)["orders"] == before["orders"]

    called(lake, "run", "--at", T1.isoformat())
    assert scanned(lake) == {}
    assert money(lake) == before
    customers = {row["customer_id"] for row in lake.rows("gold/customer_360")}
    assert customers == {row["customer_id"] for row in lake.rows("silver/customers")}
    assert "C1" not in customers
    assert "(forgotten)" in {row["customer_id"] for row in lake.rows("silver/orders")}
    versions = lake.versions()
    called(lake, "run", "--at", T1.isoformat())
    assert {path: version for path, version in lake.versions().items() if path != "_dq_results"} == {
        path: version for path, version in versions.items() if path != "_dq_results"
    }
