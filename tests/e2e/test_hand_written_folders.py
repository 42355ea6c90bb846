"""Folders that people wrote by hand give the Gold rows that people worked out by hand, and the oracle agrees.

Neither the folders in tests/datasets/ nor the rows expected of them come from any code of Headwater's.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import DeltaTable
from tests.datasets.written import HERE, expected, told, write_folder
from tests.forked import headwater

PROJECT = Path(__file__).parents[2]
ORACLE = Path(__file__).with_name("oracle.py")
GOLD = ("customer_360", "product_perf_daily", "revenue_by_geography", "revenue_by_industry")


class Shop:
    """A project folder of its own beside a dataset folder that a person wrote."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.data = write_folder(name, folder / "data" / name)
        shutil.copytree(PROJECT / "config", folder / "config")
        self.instants: list[str] = []
        self._let_a_handful_of_rows_pass(folder / "config" / "dq.yaml")

    @staticmethod
    def _let_a_handful_of_rows_pass(dq: Path) -> None:
        """Of so few rows a single one is more than each share which the gate lets pass."""
        limits = yaml.safe_load(dq.read_text(encoding="utf-8"))
        limits["defaults"]["refused"]["default"] = 0.9
        limits["tables"]["silver.orders"]["unpriced"]["max_share"] = 0.9
        for table in limits["tables"].values():
            table.setdefault("volume", {})["max_shrink"] = 0.9
        dq.write_text(yaml.safe_dump(limits), encoding="utf-8")

    def headwater(self, *arguments: str, ends: int = 0) -> str:
        """What a command says, on standard output alone where that is a document."""
        done = headwater(*arguments, cwd=self.folder)
        assert done.returncode == ends, f"headwater {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout if "--json" in arguments else done.stdout + done.stderr

    def run(self) -> None:
        """Run, and compare everything that a person expects of this run."""
        number = len(self.instants) + 1
        story = told_of(self.name, number)
        report: dict[str, Any] = json.loads(self.headwater("run", "--json", ends=story["exit_code"]))
        self.instants.append(report["at"])
        assert report["at"] == story["at"].isoformat()
        skipped = [each["table"] for each in report["tables"] if each["outcome"] == "skipped"]
        assert skipped == story["skipped"]
        for gold in GOLD:
            columns, rows = expected(self.name, number, gold)
            assert told(DeltaTable(self.lake / "gold" / gold).to_pyarrow_table(), columns) == rows, gold
        refused = {each.name: _refused(each) for each in self.lake.glob("quarantine/*")}
        assert {name: rules for name, rules in refused.items() if rules} == story["quarantine"]
        rejects = {each.name: DeltaTable(each).to_pyarrow_table().num_rows for each in self.lake.glob("rejects/*")}
        assert {name: many for name, many in rejects.items() if many} == story["rejects"]

    @cached_property
    def lake(self) -> Path:
        return Path(json.loads(self.headwater("config", "show", "--json"))["lake"]["value"])


def told_of(name: str, run: int) -> dict[str, Any]:
    """What a person expects of a run but Gold's rows: its instant, its end, and what is refused."""
    file = HERE / name / "expected" / str(run) / "run.yaml"
    story: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return story


def _refused(quarantine: Path) -> dict[str, int]:
    rules = DeltaTable(quarantine).to_pyarrow_table(columns=["rules"])["rules"].to_pylist()
    counts: dict[str, int] = {}
    for rule in sorted(rule for each in rules for rule in each):
        counts[rule] = counts.get(rule, 0) + 1
    return counts


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(request.param, tmp_path)
    try:
        yield shop
    finally:
        shop.headwater("sandbox", "down")


@pytest.mark.parametrize("name", ["corner_shop", "tea_house"])
def test_the_oracle_answers_what_people_worked_out(name: str, tmp_path: Path) -> None:
    folder, instants = write_folder(name, tmp_path / name), [str(told_of(name, run)["at"]) for run in (1, 2)]
    for run in (1, 2):
        out, story = tmp_path / f"answer-{run}", told_of(name, run)
        given = [part for each in instants[:run] for part in ("--instant", each)]
        subprocess.run([sys.executable, ORACLE, folder, out, *given], check=True, timeout=300)
        for gold in GOLD:
            columns, rows = expected(name, run, gold)
            assert told(pq.read_table(out / "gold" / f"{gold}.parquet"), columns) == rows, f"{gold}, run {run}"
        refused = json.loads((out / "quarantine.json").read_text(encoding="utf-8"))
        assert {table: rules for table, rules in refused.items() if rules} == story["quarantine"]
        rejected = json.loads((out / "counts.json").read_text(encoding="utf-8"))["rejected"]
        assert {table: many for table, many in rejected.items() if many} == story["rejects"]


@pytest.mark.slow
@pytest.mark.parametrize("shop", ["corner_shop"], indirect=True)
def test_a_folder_with_two_sources_and_narrow_types(shop: Shop) -> None:
    assert "follows docs/datasets.md" in shop.headwater("sandbox", "check", str(shop.data))

    shop.headwater("sandbox", "up", "--data", str(shop.data))
    shop.run()
    shop.headwater("sandbox", "advance", "--days", "1")
    shop.run()

    shop.headwater("sandbox", "down")
    shop.headwater("sandbox", "up", "--data", str(write_folder("corner_shop", shop.folder / "other" / "corner_shop")))
    assert "is made of the dataset" in shop.headwater("run", ends=1)


@pytest.mark.slow
@pytest.mark.parametrize("shop", ["tea_house"], indirect=True)
def test_a_folder_with_all_but_rates_that_the_config_file_names(shop: Shop) -> None:
    local = shop.folder / "config" / "local.yaml"
    settings = yaml.safe_load(local.read_text(encoding="utf-8"))
    settings["sandbox"] = {"dataset": "data/tea_house"}
    local.write_text(yaml.safe_dump(settings), encoding="utf-8")

    shop.run()
    shop.headwater("sandbox", "advance", "--days", "1")
    shop.run()
