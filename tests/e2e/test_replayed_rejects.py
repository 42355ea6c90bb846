"""What was no row by a contract that was wrong lands once that is mended, and all is as if it had been right before."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_quarantine import KILLED_AT, mend, quarantine
from tests.e2e.tiny import PROJECT, T1, Lake, clean_environment
from tests.forked import headwater

from headwater import sandbox
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

AT = ("--at", T1.isoformat())
WRONG = {
    "fx_vendor_rates": (
        "name: rate\n        logicalType: number\n        physicalType: decimal(20,10)",
        "name: rate\n        logicalType: integer\n        physicalType: bigint",
    ),
    "external_inventory": ("name: reorder_point\n        logicalType: integer\n        physicalType: bigint",
                           "name: reorder_point\n        logicalType: date\n        physicalType: date"),
    "kafka_user_events": ("name: session_id\n        logicalType: string\n        physicalType: string",
                          "name: session_id\n        logicalType: integer\n        physicalType: bigint"),
}  # fmt: skip
"""Bronze contracts that a draft from too few rows might have had: what is there, and what stands in its place."""


@pytest.fixture(scope="module")
def sources(sources: Status) -> Status:
    """At the second instant of the tiny shop."""
    sandbox.advance(sources.connections.parent, T1)
    return sources


def beside(sources: Status, folder: Path) -> Lake:
    shutil.copytree(PROJECT / "config" / "contracts", folder / "contracts")
    return Lake.beside(sources, folder / "lake", contracts="../contracts")


def run(lake: Lake) -> int:
    return headwater("run", "-q", *AT, "--config", str(lake.config), cwd=lake.folder).returncode


@pytest.fixture(scope="module")
def right(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose contracts were right from the beginning."""
    lake = beside(sources, tmp_path_factory.mktemp("right"))
    assert run(lake) == 0
    return lake


@pytest.fixture(scope="module")
def wrong(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One where they were wrong: no rate, no stock and no click is a row, and the gate is closed."""
    lake = beside(sources, tmp_path_factory.mktemp("wrong"))
    for table, (old, new) in WRONG.items():
        mend(lake, f"bronze/{table}", old, new)
    assert run(lake) == 2
    for table, (old, new) in WRONG.items():
        mend(lake, f"bronze/{table}", new, old)
    return lake


@pytest.fixture
def lake(wrong: Lake, tmp_path: Path) -> Lake:
    """That lake, and its contracts as they are mended."""
    shutil.copytree(wrong.folder.parent, tmp_path / "copy")
    return Lake(tmp_path / "copy" / "lake")


def replayed(lake: Lake, table: str, *options: str) -> dict[str, Any]:
    made = quarantine(lake, "replay", table, "--json", *AT, *options)
    assert made.returncode == 0, made.stdout + made.stderr
    return dict(json.loads(made.stdout)["terms"])


def rows(lake: Lake, path: str) -> list[str]:
    return sorted(repr(sorted((name, value) for name, value in row.items())) for row in lake.rows(path))


def test_what_a_mended_contract_reads_lands_and_all_is_as_if_it_had_been_right_before(lake, right):
    before = lake.inputs()

    rates = replayed(lake, "fx_vendor_rates")
    inventory = replayed(lake, "external_inventory")
    clicks = replayed(lake, "kafka_user_events")

    told = [rates[name] for name in ("asked", "read", "landed", "repeated", "rejected", "refused_again")]
    assert told == [4, 4, 4, 0, 0, 0]
    assert [inventory[name] for name in ("asked", "landed", "refused_again")] == [4, 2, 2]
    assert [clicks[name] for name in ("asked", "landed", "refused_again")] == [3, 3, 0]
    for path in ("bronze/fx/rates", "bronze/external/inventory", "bronze/kafka/user_events"):
        assert lake.inputs()[path] == before[path]
    assert run(lake) == 0
    for path in right.tables():
        if path.startswith(("silver/", "gold/")):
            assert rows(lake, path) == rows(right, path), path


def test_a_reject_stays_and_says_that_it_landed_or_why_it_still_is_no_row(lake):
    replayed(lake, "external_inventory")

    told = {
        row["position"].rpartition("/")[0][-10:] + row["position"][-2:]: row
        for row in lake.rows("rejects/external_inventory")
    }
    assert {place: (row["landed_at"], row["replays"]) for place, row in told.items()} == {
        "2024-10-31:2": (T1, 0), "2024-10-31:3": (None, 1), "2024-11-01:2": (T1, 0), "2024-11-01:3": (None, 1),
    }  # fmt: skip
    assert told["2024-10-31:3"]["reason"] == "quantity is 'many', which is no bigint"
    [found] = json.loads(quarantine(lake, "list", "external_inventory", "--json", *AT).stdout)
    assert (found["waiting"], found["landed"]) == (2, 2)
    again = replayed(lake, "external_inventory")
    assert [again[name] for name in ("asked", "landed", "refused_again")] == [2, 0, 2]


def test_where_chooses_among_rejects_and_what_is_discarded_is_not_tried(lake):
    done = replayed(lake, "external_inventory", "--where", "position LIKE '%2024-11-01%'")
    assert [done[name] for name in ("asked", "landed", "refused_again")] == [2, 1, 1]

    given_up = quarantine(
        lake, "discard", "external_inventory", "--where", "reason LIKE '%fields%'", "--why", "cut", "-y"
    )
    assert "1 row discarded" in given_up.stdout
    assert replayed(lake, "external_inventory")["asked"] == 2
    [found] = json.loads(quarantine(lake, "list", "external_inventory", "--json", *AT).stdout)
    assert (found["waiting"], found["discarded"], found["landed"]) == (1, 1, 2)


@pytest.mark.parametrize(("table", "landed"), [("fx_vendor_rates", 4), ("kafka_user_events", 3)])
def test_a_replay_that_dies_before_it_marks_what_landed_lands_it_once(lake, table, landed):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT, str(lake.config), table, T1.isoformat(), "Recorded"],
        cwd=lake.folder, env=clean_environment(), check=False,
    )  # fmt: skip
    assert killed.returncode == 9

    done = replayed(lake, table)

    assert [done[name] for name in ("asked", "landed", "repeated", "refused_again")] == [landed, 0, landed, 0]
    assert replayed(lake, table)["asked"] == 0
    path = {"fx_vendor_rates": "bronze/fx/rates", "kafka_user_events": "bronze/kafka/user_events"}[table]
    ids = [row["_row_id"] for row in lake.rows(path)]
    assert len(ids) == len(set(ids))
