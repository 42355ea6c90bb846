"""Builds lakes with mutated code, and tells what of them the independent answer does not say."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.e2e.compare import differences
from tests.e2e.oracle import answer
from tests.e2e.tiny import PROJECT, T1, Lake
from tests.mutants.catalogue import OPEN_GATE
from tests.mutants.mutant import Mutant, copied
from tests.mutants.mutated_run import prepare, run
from tests.mutants.shop import INSTANTS, write_shop
from tests.versions import T0

from headwater import sandbox
from headwater.contracts import Contracts, load_contracts
from headwater.sandbox import Status

AT_ONCE = 2


class UnsoundError(Exception):
    """Without any mutant the lake is not what the answer says, so nothing can be learned from one."""


@dataclass(frozen=True)
class Finding:
    """What became of a mutant: `by` is what caught it, empty if nothing did; then `missed` says what came instead."""

    mutant: Mutant
    by: str
    missed: str
    seconds: float


@dataclass
class Ground:
    """A sandbox whose clock stands at `T1`, the lakes of unchanged code after `T0` and `T1`, and the answer to the second."""

    folder: Path
    status: Status
    contracts: Contracts
    original: Path

    @property
    def answer(self) -> Path:
        return self.folder / "answer"

    @property
    def first(self) -> Lake:
        return Lake(self.folder / "first")

    @property
    def second(self) -> Lake:
        return Lake(self.folder / "second")

    def lake(self, name: str, copy: Path, like: Lake | None = None) -> Lake:
        """Make a lake over the sandbox for a copy of the project, with the tables of another if one is given."""
        lake = Lake.beside(self.status, self.folder / name, contracts=str(copy / "config" / "contracts"))
        if like is not None:
            for part in ("lake", "state"):
                shutil.copytree(like.folder / part, lake.folder / part)
        return lake

    def told(self, lake: Lake, tables: Sequence[str]) -> list[str]:
        """How these tables of a lake differ from the answer."""
        part = lake.folder / "answer"
        shutil.rmtree(part, ignore_errors=True)
        for layer in ("silver", "gold"):
            (part / layer).mkdir(parents=True)
            for name in tables:
                if (file := self.answer / layer / f"{name}.parquet").exists():
                    shutil.copy(file, part / layer)
        quarantine = json.loads((self.answer / "quarantine.json").read_text(encoding="utf-8"))
        counts = json.loads((self.answer / "counts.json").read_text(encoding="utf-8"))
        quarantine = {name: rules for name, rules in quarantine.items() if name in tables}
        counts |= {"landed": {name: rows for name, rows in counts["landed"].items() if name in tables}}
        (part / "quarantine.json").write_text(json.dumps(quarantine), encoding="utf-8")
        (part / "counts.json").write_text(json.dumps(counts), encoding="utf-8")
        return differences(lake.folder / "lake", part, self.contracts)

    @property
    def tables(self) -> list[str]:
        """What the shop has and the answer speaks of."""
        landed = json.loads((self.answer / "counts.json").read_text(encoding="utf-8"))["landed"]
        return [
            *(name for name, rows in landed.items() if rows),
            *(file.stem for file in self.answer.glob("*/*.parquet")),
        ]

    def run_unchanged(self, lake: Lake, at: datetime) -> None:
        """Run the original.

        Raises:
            UnsoundError: it fails.
        """
        if why := run(self.original, lake.config, at, self.tables):
            raise UnsoundError(f"without any mutant the run at {at.isoformat()} fails: {why}")

    def is_bronze(self, name: str) -> bool:
        return self.contracts[name].layer == "bronze"


@contextmanager
def place() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="headwater-mutants-") as folder:
        yield Path(folder)


def hunted(mutants: Sequence[Mutant], folder: Path, say: Callable[[str], None]) -> Iterator[Finding]:
    """Apply each mutant to a copy of the project and yield what caught it; two at a time, in any order.

    Raises:
        UnsoundError: the lake of unchanged code is not what the answer says.
    """
    state, started = folder / "sandbox", time.monotonic()
    shop, original = write_shop(folder / "shop"), copied(PROJECT, folder / "original")
    OPEN_GATE.apply(original)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            meanwhile: list[Future[None]] = [
                pool.submit(answer, shop, folder / "answer", list(INSTANTS)),
                pool.submit(prepare),
            ]
            status = sandbox.up(state, shop)
            ground = Ground(folder, status, load_contracts(original / "config" / "contracts"), original)
            for each in meanwhile:
                each.result()
            trials = [Trial(ground, mutant) for mutant in mutants]
            # The clock moves on for everybody: whatever is to land at the first instant lands before.
            first = pool.submit(ground.run_unchanged, ground.lake("first", original), T0)
            landed = [pool.submit(trial.land) for trial in trials if trial.lands]
            first.result()
            for one in landed:
                one.result()
            sandbox.advance(state, T1)
            ground.run_unchanged(ground.lake("second", original, like=ground.first), T1)
            if told := differences(ground.second.folder / "lake", ground.answer, ground.contracts):
                raise UnsoundError("without any mutant the lake is not what the answer says:\n" + "\n".join(told))
            say(f"unchanged code gives the answer; prepared in {time.monotonic() - started:.0f} s")
            for finding in as_completed([pool.submit(trial.finding) for trial in trials]):
                yield finding.result()
    finally:
        sandbox.down(state)


@dataclass
class Trial:
    """One mutant in a copy of its own, with a lake of its own."""

    ground: Ground
    mutant: Mutant
    seconds: float = 0.0
    failed: str = ""

    @property
    def lands(self) -> bool:
        """Whether it needs the sources: at the first instant and then at the second."""
        return any(self.ground.is_bronze(name) for name in self.mutant.of)

    def land(self) -> "Trial":
        """Land at `T0`, while the sandbox's clock stands there."""
        started = time.monotonic()
        lake = self.ground.lake(f"{self.mutant.name}-first", self._copy())
        bronze = [name for name in self.mutant.of if self.ground.is_bronze(name)]
        self.failed = run(self._folder, lake.config, T0, bronze)
        self.seconds += time.monotonic() - started
        return self

    def finding(self) -> Finding:
        """Build at `T1`, on what stands beside the tables in question, and compare these."""
        started = time.monotonic()
        copy = self._folder if self.lands else self._copy()
        lake = self.ground.lake(f"{self.mutant.name}-lake", copy, like=self.ground.second)
        if not self.failed:
            self._without_what_it_makes(lake)
            self.failed = run(copy, lake.config, T1, self.mutant.of)
        # Where the run failed, whatever went wrong, the answer was not asked.
        told = [] if self.failed else self.ground.told(lake, self.mutant.of)
        missed = f"nothing: its run failed: {self.failed}" if self.failed else "" if told else "nothing: it survived"
        for folder in (self._folder, self._landed.folder, lake.folder):
            shutil.rmtree(folder, ignore_errors=True)
        return Finding(self.mutant, _first(told), missed, self.seconds + time.monotonic() - started)

    @property
    def _folder(self) -> Path:
        return self.ground.folder / self.mutant.name

    @property
    def _landed(self) -> Lake:
        return Lake(self.ground.folder / f"{self.mutant.name}-first")

    def _copy(self) -> Path:
        self.mutant.apply(copied(self.ground.original, self._folder))
        return self._folder

    def _without_what_it_makes(self, lake: Lake) -> None:
        """Put the tables in question back: Bronze to what the mutant landed, the others to nothing, or to the first instant."""
        for name in self.mutant.of:
            before = self._landed if self.ground.is_bronze(name) else self.ground.first if self.mutant.again else None
            own = [f"lake/{self.ground.contracts[name].path}", f"lake/rejects/{name}", f"lake/quarantine/{name}"]
            for path in (*own, f"state/state/watermarks/{name}.json"):
                _put_back(lake.folder / path, before.folder / path if before else None)


def _first(told: Sequence[str]) -> str:
    """The first difference, with its table: rows that differ are told below the line that counts them."""
    if len(told) > 1 and told[1].startswith(" "):
        return f"{told[0].partition(':')[0]}: {told[1].strip()}"
    return told[0] if told else ""


def _put_back(path: Path, before: Path | None) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if before is not None and before.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if before.is_dir() else shutil.copy)(before, path)
