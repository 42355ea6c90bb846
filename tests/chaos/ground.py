"""What every trial starts from and is compared with: one sandbox, and lakes of undisturbed runs at two instants."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import driver
from tests.chaos.bucket import Bucket, with_keys
from tests.chaos.same import Holdings, holdings
from tests.chaos.shop import INSTANTS, lake_beside, write_shop
from tests.e2e.compare import differences
from tests.e2e.oracle import answer
from tests.e2e.runs import ended
from tests.e2e.tiny import PROJECT, Lake

from headwater import sandbox
from headwater.contracts import Contract, Contracts, load_contracts
from headwater.sandbox import Status

PARENTS = ("customers", "products", "fx_rates", "accounts")
"""The Silver tables that others refer to or are priced by: they stand before any other is tried."""


class UnsoundError(Exception):
    """Without any disturbance the lake is not what the independent answer says: nothing can be learned."""


@dataclass
class Ground:
    """A sandbox, and by number of the instant and layer the lakes in which this layer is still to come.

    Those of Silver have Bronze and the parents already, those of Gold all of Silver. The sources' clock moves on for
    everybody: what reads them at the first instant must be over before `advance`.
    """

    folder: Path
    sandbox: Status
    contracts: Contracts
    bucket: Bucket
    now: int = -1
    before: dict[tuple[int, str], Lake] = field(default_factory=dict)
    done: dict[int, Lake] = field(default_factory=dict)
    expected: dict[int, Holdings] = field(default_factory=dict)

    def advance(self) -> None:
        """Let the undisturbed runs of the next instant make their lakes.

        Raises:
            UnsoundError: they end with what the independent answer does not say.
        """
        self.now += 1
        at, place = INSTANTS[self.now], self.folder / f"undisturbed-{self.now}"
        if self.now:
            sandbox.advance(self.sandbox.connections.parent, at)
            lake = copied(self.done[self.now - 1], place / "bronze")
        else:
            lake = lake_beside(self.sandbox, place / "bronze")
        steps = {
            "silver": [*self.names("bronze"), *PARENTS],
            "gold": [name for name in self.names("silver") if name not in PARENTS],
            "done": self.names("gold"),
        }
        self.before[self.now, "bronze"] = lake
        for stage, names in steps.items():
            lake = copied(lake, place / stage)
            if (code := ended(lake, at, "--select", ",".join(names))) != 0:
                raise UnsoundError(f"an undisturbed run ends with {code}:\n{said(lake)}")
            self.before[self.now, stage] = lake
        self.done[self.now] = lake
        self.expected[self.now] = holdings(lake, list(self.contracts.values()))
        if told := self.answered(lake):
            raise UnsoundError("an undisturbed lake is not what the answer says:\n" + "\n".join(told))

    def names(self, layer: str) -> list[str]:
        return [each.name for each in self.contracts.values() if each.layer == layer]

    def answered(self, lake: Lake) -> list[str]:
        """How a lake of the instant that it is now differs from the independent answer."""
        out = self.folder / f"answer-{self.now}"
        if not out.exists():
            answer(self.folder / "shop", out, list(INSTANTS[: self.now + 1]))
        return differences(lake.folder / "lake", out, self.contracts)

    def on_s3(self, name: str) -> dict[str, Any]:
        """The settings of a lake in the bucket, below a name."""
        return {"lake": f"{self.bucket.place}/{name}", "aws": self.bucket.settings}

    def empty(self, name: str, **settings: Any) -> Lake:
        """A lake of its own that nothing has been read into."""
        return lake_beside(self.sandbox, self.folder / name, **settings)

    def lake(self, name: str, number: int, contract: Contract | None, **settings: Any) -> Lake:
        """A lake of its own in which a table, or everything, is still to come at an instant."""
        like = self.before[number, contract.layer if contract else "bronze"]
        lake = lake_beside(self.sandbox, self.folder / name, **settings)
        for part in ("lake", "state"):
            if (like.folder / part).exists():
                _linked(like.folder / part, lake.folder / part)
        return lake


@contextmanager
def ground() -> Iterator[Ground]:
    """One at the first instant, gone afterwards."""
    with_keys()
    driver.prepare()
    with tempfile.TemporaryDirectory(prefix="headwater-chaos-") as name:
        folder = Path(name)
        state, bucket = folder / ".headwater" / "sandbox", Bucket()
        try:
            status = sandbox.up(state, write_shop(folder / "shop"))
            made = Ground(folder, status, load_contracts(PROJECT / "config" / "contracts"), bucket)
            made.advance()
            yield made
        finally:
            sandbox.down(state)
            bucket.close()


def copied(lake: Lake, folder: Path) -> Lake:
    """The same lake once more."""
    shutil.copytree(lake.folder / "config", folder / "config")
    for part in ("lake", "state"):
        if (lake.folder / part).exists():
            _linked(lake.folder / part, folder / part)
    return Lake(folder)


def _linked(one: Path, other: Path) -> None:
    """Copy a folder whose files are replaced whole, if they change at all."""
    shutil.copytree(one, other, copy_function=os.link, ignore=shutil.ignore_patterns("*.lock"))


def said(lake: Lake) -> str:
    """The last lines that the runs of a lake have said."""
    log = lake.folder / "run.log"
    return "\n".join(log.read_text(encoding="utf-8").splitlines()[-40:]) if log.exists() else ""


def selected(contract: Contract | None) -> Sequence[str]:
    """The options of a run that moves one table, or everything."""
    return ("--select", contract.name) if contract else ()
