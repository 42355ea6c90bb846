"""No file is left that nobody needs, and none is taken that somebody does."""

import json
import os
import signal
import time
from typing import Any
from urllib.parse import unquote

import psutil
import pytest
from tests.chaos import driver
from tests.chaos.instant import Instant
from tests.e2e.runs import AT, PATIENCE_S, called
from tests.e2e.tiny import T0, Lake, everything

from headwater.sandbox import Status

pytestmark = pytest.mark.slow

CUSTOMERS = ("--select", "snowflake_customers,customers")


@pytest.fixture(scope="module")
def landed(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Customers, built twice: the second time because a watermark was moved and nothing else."""
    lake = Lake.beside(sources, tmp_path_factory.mktemp("landed") / "lake")
    called(lake, "run", *AT, *CUSTOMERS)
    built_again(lake)
    return lake


def _document(said: str) -> Any:
    """The JSON that begins what was said: as a process ends a library may say something of itself behind it."""
    return json.JSONDecoder().raw_decode(said)[0]


def built_again(lake: Lake) -> None:
    called(lake, "watermark", "set", "snowflake_customers", "2024-10-01", "--why", "to build it again", "--yes")
    called(lake, "run", *AT, *CUSTOMERS)


def unnamed(lake: Lake) -> list[str]:
    """The files of the lake that no commit of any table names."""
    root, tables = lake.folder / "lake", lake.tables()
    named = set()
    for table in tables:
        for entry in (root / table / "_delta_log").glob("*.json"):
            actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
            adds = [action[kind]["path"] for action in actions for kind in ("add", "cdc") if kind in action]
            named |= {f"{table}/{unquote(path)}" for path in adds}
    return [path for path in lake.files() if "/_delta_log/" not in path and path not in named]


def stopped(lake: Lake, point: str, number: signal.Signals) -> driver.Process:
    process = driver.begin(lake.config, T0, *CUSTOMERS, *Instant(point).sends(number))
    if number == signal.SIGSTOP:
        deadline = time.monotonic() + PATIENCE_S
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    else:
        process.join(PATIENCE_S)
        assert process.exitcode == -signal.SIGKILL
    return process


@pytest.mark.parametrize("point", ["Staged:snowflake_customers", "Refused:customers", "Staged:customers"])
def test_what_a_killed_run_left_is_gone_after_the_next_commit(sources, landed, tmp_path, point):
    lake = Lake.beside(sources, tmp_path / "lake")
    stopped(lake, point, signal.SIGKILL)
    assert unnamed(lake)
    called(lake, "run", *AT, *CUSTOMERS)

    assert unnamed(lake) == []
    assert everything(lake)["tables"]["silver/customers"] == everything(landed)["tables"]["silver/customers"]


def test_a_vacuum_frees_replaced_versions_and_no_other(lake):
    before, rows = everything(lake), lake.files()
    told = _document(called(lake, "vacuum", "--json"))
    assert sum(each["files"] for each in told) == 0
    assert lake.files() == rows

    would = called(lake, "vacuum", "customers", "--keep", "0d", "--alone", "--dry-run")
    assert "would free" in would
    assert lake.files() == rows
    told = _document(called(lake, "vacuum", "customers", "--keep", "0d", "--alone", "--json"))

    by_table = {each["table"]: each["files"] for each in told}
    assert by_table["customers"] > 0
    assert len(rows) - len(lake.files()) == sum(by_table.values())
    assert everything(lake) == before
    assert "freed 0 B in 0 files" in called(lake, "vacuum", "customers", "--keep", "0d", "--alone")
    built_again(lake)


def test_a_vacuum_that_broke_off_half_way_did_no_harm(lake):
    before = everything(lake)
    root = lake.folder / "lake" / "silver" / "customers"
    named = set(lake.table("silver/customers").file_uris())
    old = [path for path in root.rglob("*.parquet") if str(path) not in named]
    old[0].unlink()  # as if the process had been killed after its first file

    assert everything(lake) == before
    called(lake, "vacuum", "--keep", "0d", "--alone")
    assert everything(lake) == before


def test_what_somebody_may_be_reading_is_kept_unless_nobody_is_there(lake):
    said = called(lake, "vacuum", "--keep", "1h", code=64)

    assert "--keep 1 h is under a day: whoever reads an older version now would lose its files; say --alone" in said
    assert "no contract describes a table custmers; did you mean customers?" in called(
        lake, "vacuum", "custmers", code=1
    )


def test_a_vacuum_waits_for_the_run_that_holds_the_table_and_takes_nothing_of_a_sleepers(lake):
    called(lake, "watermark", "set", "snowflake_customers", "2024-10-01", "--why", "to build it again", "--yes")
    with lake.config.open("a", encoding="utf-8") as config:
        config.write("lease:\n  ttl: 2s\n")
    sleeper = stopped(lake, "Staged:customers", signal.SIGSTOP)
    try:
        staged = unnamed(lake)
        assert staged
        called(lake, "vacuum", "--keep", "0d", "--alone")
        assert unnamed(lake) == staged
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(PATIENCE_S)
        assert sleeper.exitcode == 0
    finally:
        sleeper.kill()
    assert unnamed(lake) == []


def test_a_vacuum_takes_what_the_state_store_and_a_killed_run_left(lake):
    called(lake, "watermark", "set", "snowflake_customers", "2024-10-01", "--why", "to build it again", "--yes")
    stopped(lake, "Staged:customers", signal.SIGKILL)
    draft = lake.folder / "state" / "state" / "watermarks" / ".orders.json.99999999-0a0b0c0d"
    draft.write_text("{", encoding="utf-8")
    assert unnamed(lake)
    called(lake, "vacuum")

    assert unnamed(lake) == []
    assert not draft.exists()
