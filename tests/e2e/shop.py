"""A shop of a whole dataset, whose lake must hold exactly what the independent answer says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from tests.e2e.compare import differences
from tests.forked import headwater

from headwater.contracts import Contracts

PROJECT = Path(__file__).parents[2]
ORACLE = Path(__file__).with_name("oracle.py")


class Shop:
    """A project folder of its own with a sandbox, and the instants of its runs so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instants: list[str] = []

    def headwater(self, *arguments: str) -> str:
        done = headwater(*arguments, cwd=self.folder, patience_s=1200)
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


@contextmanager
def shop_in(folder: Path) -> Iterator[Shop]:
    """A shop of the project's own configuration, gone at the end."""
    shutil.copytree(PROJECT / "config", folder / "config")
    shop = Shop(folder)
    try:
        yield shop
    finally:
        shop.headwater("sandbox", "down")
        shutil.rmtree(folder / ".headwater")


def is_as_the_oracle_says(shop: Shop, contracts: Contracts) -> None:
    """After the first run and after two more days, all is as the independent answer says; then nothing is left to do."""

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
