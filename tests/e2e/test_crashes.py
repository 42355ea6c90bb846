"""A run that dies, or sleeps, at the worst instants: after the next one, everything is as if nothing had happened."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from tests.e2e import driver
from tests.e2e.tiny import PROJECT, T0, T1, Lake, clean_environment, everything, write_tiny

from headwater import sandbox
from headwater.contracts import Contracts
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

PATIENCE_S = 240

BRONZE_POINTS = [
    *(f"{point}:redshift_behavior" for point in ("Staged", "Committing", "Committed")),
    *(f"{point}:external_inventory" for point in ("Refused", "Staged", "Committed")),
    *(f"{point}:kafka_orders_events" for point in ("Refused", "Committing", "Committed")),
]
ORDERS_POINTS = ["Refused:orders", "Staged:orders", "Judging:orders", "Judged:orders", "Committing:orders"]
WHOLE_WAY = [
    *("Refused:external_inventory", "Committing:external_inventory", "TableStarted:inventory", "Refused:inventory"),
    *("Judging:inventory", "Committed:inventory", "Staged:product_perf_daily", "Judging:product_perf_daily"),
    "Committed:product_perf_daily",
]
"""Along one path of tables, where each point is still to come when the one before it was passed."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Status]:
    place = tmp_path_factory.mktemp("crashes")
    folder = place / ".headwater" / "sandbox"
    try:
        yield sandbox.up(folder, write_tiny(place / "tiny"))
    finally:
        sandbox.down(folder)


@pytest.fixture(scope="module")
def first(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of an undisturbed run at the first instant."""
    lake = Lake.beside(sources, tmp_path_factory.mktemp("first") / "lake")
    assert ended(lake, T0) == 0, said(lake)
    return lake


@pytest.fixture(scope="module")
def second(sources: Status, first: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same after an undisturbed run at the second instant, from which on the sources' clock stands there."""
    lake = copied(first, tmp_path_factory.mktemp("second") / "lake")
    sandbox.advance(sources.connections.parent, T1)
    assert ended(lake, T1) == 0, said(lake)
    return lake


@pytest.fixture(scope="module")
def before_orders(second: Lake, first: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """At the second instant: all that the orders are made of has moved, they have not."""
    lake = copied(first, tmp_path_factory.mktemp("before_orders") / "lake")
    above = "snowflake_orders,snowflake_customers,snowflake_products,fx_vendor_rates,customers,products,fx_rates"
    assert ended(lake, T1, "--select", above) == 0, said(lake)
    return lake


def copied(lake: Lake, folder: Path) -> Lake:
    shutil.copytree(lake.folder, folder, ignore=shutil.ignore_patterns("run.log"))
    return Lake(folder)


def ended(lake: Lake, at: datetime, *options: str) -> int | None:
    """The exit code of a run."""
    process = driver.begin(lake.config, at, *options)
    process.join(PATIENCE_S)
    assert process.exitcode is not None, said(lake)
    return process.exitcode


def said(lake: Lake) -> str:
    return (lake.folder / "run.log").read_text(encoding="utf-8")


def killed(lake: Lake, at: datetime, point: str, *options: str) -> None:
    assert ended(lake, at, "--kill-on", point, *options) == -signal.SIGKILL, said(lake)


def only(found: dict[str, Any], paths: Sequence[str], store: Sequence[str] = ()) -> dict[str, Any]:
    """The part of `everything` about some tables."""
    return {
        "tables": {path: found["tables"].get(path) for path in paths},
        "inputs": {path: found["inputs"].get(path) for path in paths},
        "state store": {name: found["state store"].get(name) for name in store},
    }


def table_of(point: str) -> str:
    return point.split(":")[1]


def without_orders(lake: Lake) -> Lake:
    """As if `silver.orders` had never been built."""
    shutil.rmtree(lake.folder / "lake" / "silver" / "orders")
    shutil.rmtree(lake.folder / "lake" / "quarantine" / "orders")
    lake.table("_dq_results").delete("\"table\" = 'orders'")
    return lake


def bronze_is_as_undisturbed(lake: Lake, undisturbed: Lake, at: datetime, point: str, contracts: Contracts) -> None:
    table = table_of(point)
    contract = contracts[table]
    paths = [contract.path, f"rejects/{table}"]
    standing = lake.versions().get(contract.path), lake.store().get(table)

    killed(lake, at, point, "--select", table)

    version, stored = lake.versions().get(contract.path), lake.store().get(table)
    assert stored == standing[1]
    assert (version == standing[0]) is not point.startswith("Committed")
    assert ended(lake, at, "--select", table) == 0, said(lake)
    assert only(everything(lake), paths, [table]) == only(everything(undisturbed), paths, [table])


def orders_are_as_undisturbed(lake: Lake, undisturbed: Lake, at: datetime, points: Sequence[str]) -> None:
    paths = ["silver/orders", "quarantine/orders", "_dq_results"]
    standing = lake.versions().get("silver/orders")
    for point in points:
        killed(lake, at, point, "--select", "orders")
        assert (lake.versions().get("silver/orders") == standing) is not point.startswith("Committed")

    assert ended(lake, at, "--select", "orders") == 0, said(lake)

    found, expected = everything(lake), everything(undisturbed)
    for each in (found, expected):
        each["tables"]["_dq_results"] = {row for row in each["tables"]["_dq_results"] if "'table', 'orders'" in row}
    assert only(found, paths) == only(expected, paths)


# At the first instant: nothing was there.


@pytest.mark.parametrize("point", BRONZE_POINTS)
def test_killed_while_landing_for_the_first_time(sources, first, tmp_path, contracts, point):
    lake = Lake.beside(sources, tmp_path / "lake")

    bronze_is_as_undisturbed(lake, first, T0, point, contracts)


@pytest.mark.parametrize("points", [ORDERS_POINTS, ["Committed:orders"]], ids=["before the commit", "after it"])
def test_killed_while_building_orders_for_the_first_time(first, tmp_path, points):
    lake = without_orders(copied(first, tmp_path / "lake"))

    orders_are_as_undisturbed(lake, first, T0, points)


def test_killed_again_and_again_on_the_first_way_from_the_sources_to_gold(sources, first, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")

    for point in WHOLE_WAY:
        killed(lake, T0, point)
    assert ended(lake, T0) == 0, said(lake)

    assert everything(lake) == everything(first)


# At the second instant: every table stands, and every source has something new.


@pytest.mark.parametrize("point", BRONZE_POINTS)
def test_killed_while_landing_what_is_new(second, first, tmp_path, contracts, point):
    lake = copied(first, tmp_path / "lake")

    bronze_is_as_undisturbed(lake, second, T1, point, contracts)


@pytest.mark.parametrize("points", [ORDERS_POINTS, ["Committed:orders"]], ids=["before the commit", "after it"])
def test_killed_while_building_orders_again(second, before_orders, tmp_path, points):
    lake = copied(before_orders, tmp_path / "lake")

    orders_are_as_undisturbed(lake, second, T1, points)


def test_killed_again_and_again_on_the_way_of_what_is_new(second, first, tmp_path):
    lake = copied(first, tmp_path / "lake")

    for point in WHOLE_WAY:
        killed(lake, T1, point)
    assert ended(lake, T1) == 0, said(lake)

    assert everything(lake) == everything(second)


def with_short_leases(lake: Lake) -> Lake:
    """A lease is over soon after its holder was stopped."""
    with lake.config.open("a", encoding="utf-8") as config:
        config.write("lease:\n  ttl: 2s\n")
    return lake


def test_one_that_slept_before_its_commit_finds_the_work_done(second, first, tmp_path):
    lake = with_short_leases(copied(first, tmp_path / "lake"))
    sleeper = driver.begin(lake.config, T1, "--stop-on", "Staged:snowflake_orders")
    try:
        until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED)
        assert ended(lake, T1) == 0, said(lake)
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(PATIENCE_S)
        assert sleeper.exitcode == 0, said(lake)
    finally:
        sleeper.kill()

    assert everything(lake) == everything(second)


@pytest.mark.parametrize("point", ["Refusing:orders", "Judged:orders"], ids=["at quarantine", "at evidence"])
def test_one_that_slept_beside_its_table_leaves_what_its_successor_wrote(second, before_orders, tmp_path, point):
    lake = with_short_leases(copied(before_orders, tmp_path / "lake"))
    sleeper = driver.begin(lake.config, T0, "--select", "orders", "--stop-on", point)
    try:
        until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED)
        assert ended(lake, T1, "--select", "orders") == 0, said(lake)
        standing, versions = everything(lake), lake.versions()
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(PATIENCE_S)
        assert sleeper.exitcode in (0, 1, 2), said(lake)
    finally:
        sleeper.kill()

    assert lake.versions() == versions
    assert everything(lake) == standing


def test_the_test_above_can_fail(second, first, tmp_path):
    """Without the `txn` of a commit, and the check of it, the one that slept lands every row again."""
    lake, copy = with_short_leases(copied(first, tmp_path / "lake")), tmp_path / "src"
    shutil.copytree(PROJECT / "src" / "headwater", copy / "headwater", ignore=shutil.ignore_patterns("__pycache__"))
    module = copy / "headwater" / "engine" / "delta.py"
    text = module.read_text(encoding="utf-8")
    for guard, none in (
        ("app_transactions=[Transaction(commit.app_id, commit.version)]", "app_transactions=[]"),
        ("if recorded is not None and recorded >= commit.version:", "if False:"),
    ):
        assert text.count(guard) == 1
        text = text.replace(guard, none)
    module.write_text(text, encoding="utf-8")

    def run(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.e2e.driver", "--config", str(lake.config), "--at", T1.isoformat()]
        environment = clean_environment(PYTHONPATH=str(copy))
        return subprocess.Popen([*command, "--select", "snowflake_orders", *options], cwd=PROJECT, env=environment)

    with run("--stop-on", "Staged:snowflake_orders") as sleeper:
        try:
            until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED)
            with run() as other:
                assert other.wait(PATIENCE_S) == 0
            sleeper.send_signal(signal.SIGCONT)
            assert sleeper.wait(PATIENCE_S) == 0
        finally:
            sleeper.kill()

    once = landed(second) - landed(first)
    assert landed(lake) == landed(first) + 2 * once


def landed(lake: Lake) -> int:
    """The rows by the log: files that were swept because nobody could commit them are gone."""
    actions = pa.table(lake.table("bronze/snowflake/orders").get_add_actions(flatten=True))
    return sum(actions["num_records"].to_pylist())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
