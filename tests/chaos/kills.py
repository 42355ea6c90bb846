"""Kills a run at a point, runs again, and says how the lake differs from that of undisturbed runs."""

import itertools
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import driver
from tests.chaos.door import Door
from tests.chaos.ground import PATIENCE_S, Ground, ended, said, selected
from tests.chaos.points import Kill, Slam, contract_of
from tests.chaos.same import EVIDENCE, broken, differing, holdings, places
from tests.chaos.shop import INSTANTS
from tests.e2e.tiny import Lake

from headwater.contracts import Contract

AT_ONCE = 2

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Finding:
    """What became of a kill: `missed` says why it was none; `told` is how the lake differs after the next run."""

    kill: Kill
    missed: str
    told: Sequence[str]
    seconds: float

    @property
    def is_good(self) -> bool:
        return not self.missed and not self.told


def tried(ground: Ground, kill: Kill, code: Path | None = None) -> Finding:
    """Kill a run as is asked, run again, and compare; `code` is a copy of the package that both runs are of."""
    started = time.monotonic()
    trial = _Trial(ground, kill, code)
    try:
        missed = trial.killed()
        told = [] if missed else trial.told()
        return Finding(kill, missed, told, time.monotonic() - started)
    finally:
        trial.close()


def all_tried(ground: Ground, kills: Sequence[Kill]) -> Iterator[Finding]:
    """Try every kill, two at a time: first those of the first run, whose sources must stand still for it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(len(INSTANTS)):
            if number > ground.now:
                ground.advance()
            due: list[Future[Finding]] = [pool.submit(tried, ground, kill) for kill in kills if kill.number == number]
            for finding in as_completed(due):
                yield finding.result()


@dataclass
class _Trial:
    """One kill with a lake of its own."""

    ground: Ground
    kill: Kill
    code: Path | None = None
    process: driver.Process | None = None
    _began: threading.Event = field(default_factory=threading.Event)
    _after: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.name = f"trial-{next(_NUMBERS)}"
        self.contract = contract_of(self.kill, self.ground.contracts)
        place = self.ground.on_s3(self.name) if self.kill.where == "s3" else {}
        self.lake = self.ground.lake(self.name, self.kill.number, self.contract, **place)
        if self.kill.where == "s3":
            self.ground.bucket.put(self.lake.folder / "lake", self.name)

    def killed(self) -> str:
        """Begin the run that is to die, and say why it did not; empty if it did."""
        options = [*selected(self.contract)]
        match self.kill.at:
            case Slam() as slam:
                self._after.enter_context(self._door(slam))
            case instant if self.kill.where == "s3" and instant.file:
                self._after.enter_context(self.ground.bucket.trapped(self.name, instant, self._kill))
            case instant:
                options += ["--on", json.dumps(instant.document()), "--signal", str(int(signal.SIGKILL))]
        self.process = driver.begin(self.lake.config, INSTANTS[self.kill.number], *options, code=self.code)
        self._began.set()
        self.process.join(PATIENCE_S)
        if self.process.exitcode == -signal.SIGKILL:
            return ""
        return f"the run was not killed, it ended with {self.process.exitcode}:\n{said(self.lake)}"

    def _door(self, slam: Slam) -> Door:
        """Put a door between the run and a source, whose address the run's configuration then names."""
        config = self.lake.config.read_text(encoding="utf-8")
        port = self.ground.sandbox.sources[slam.source]
        door = Door(port, slam.connection, self._kill)
        self.lake.config.write_text(config.replace(f"{port}", f"{door.port}"), encoding="utf-8")
        self._after.callback(self.lake.config.write_text, config, encoding="utf-8")
        return door

    def _kill(self) -> bool:
        """Kill the run; what it asked for is not to be done."""
        self._began.wait()
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.join()
        return False

    def told(self) -> list[str]:
        """Run again, and say how the lake differs from the undisturbed one."""
        self._after.close()
        code = ended(self.lake, INSTANTS[self.kill.number], *selected(self.contract), code=self.code)
        if code != 0:
            return [f"the next run ended with {code}:\n{said(self.lake)}"]
        if self.kill.where == "s3":
            fetched(self.ground, self.lake)
        return list(compared(self.ground, self.lake, self.kill.number, self.contract))

    def close(self) -> None:
        self._after.close()
        if self.kill.where == "s3":
            self.ground.bucket.clear(self.name)
        shutil.rmtree(self.lake.folder)


def fetched(ground: Ground, lake: Lake) -> None:
    """Bring a lake from S3 to where lakes are compared."""
    shutil.rmtree(lake.folder / "lake", ignore_errors=True)
    ground.bucket.fetch(lake.folder.name, lake.folder / "lake")


def compared(ground: Ground, lake: Lake, number: int, contract: Contract | None) -> Iterator[str]:
    """How a lake differs from the undisturbed one, in a table that was to be moved (None: in everything)."""
    contracts = [contract] if contract else list(ground.contracts.values())
    expected = ground.expected[number].of(contracts)
    yield from differing(holdings(lake, contracts), expected)
    yield from broken(lake, ground.contracts, contracts)
    if contract is None:
        yield from ground.answered(lake) if number == ground.now else ()
        return
    standing, own = ground.before[number, contract.layer].versions(), set(places(contract))
    for path, version in lake.versions().items():
        if path not in own and path != EVIDENCE and version != standing.get(path):
            yield f"{path}: is at version {version} and was at {standing.get(path)}, though only {contract.table} was to move"
