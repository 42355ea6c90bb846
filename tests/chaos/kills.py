"""Kills a run at a point, runs again, and says how the lake differs from that of undisturbed runs."""

import itertools
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.chaos import driver
from tests.chaos.door import Door
from tests.chaos.ground import Ground, said, selected
from tests.chaos.instant import Instant
from tests.chaos.points import Kill, Slam, contract_of
from tests.chaos.same import EVIDENCE, OF_A_RUN, broken, differing, gone, holdings, leftovers, places
from tests.chaos.shop import INSTANTS
from tests.e2e.runs import PATIENCE_S, ended
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


def tried_on_the_way(ground: Ground, number: int, way: Sequence[Instant]) -> list[str]:
    """Kill one run of everything after another, each further on than the last, then let one end; how the lake differs."""
    lake, at = ground.lake(f"way-{next(_NUMBERS)}", number, None), INSTANTS[number]
    for instant in way:
        if (code := ended(lake, at, *instant.sends(signal.SIGKILL))) != -signal.SIGKILL:
            return [f"the run was not killed ({instant}), it ended with {code}:\n{said(lake)}"]
    if (code := ended(lake, at)) != 0:
        return [f"the last run ended with {code}:\n{said(lake)}"]
    return list(compared(ground, lake, number, None))


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

    def __post_init__(self) -> None:
        self.name = f"trial-{next(_NUMBERS)}"
        self.contract = contract_of(self.kill, self.ground.contracts)
        place = self.ground.on_s3(self.name) if self.kill.where == "s3" else {}
        self.lake = self.ground.lake(self.name, self.kill.number, self.contract, **place)
        if self.kill.where == "s3":
            self.ground.bucket.put(self.lake.folder / "lake", self.name)

    def killed(self) -> str:
        """Begin the run that is to die, and say why it did not; empty if it did."""
        if isinstance(self.kill.at, Slam):
            with self._door(self.kill.at):
                return self._died(self._options)
        missed = self._died_at(self.kill.at, self._options)
        if missed or self.kill.vacuum is None:
            return missed
        return self._died_at(self.kill.vacuum, [*self._options, "--vacuum"])

    @property
    def _options(self) -> list[str]:
        return [*selected(self.contract)]

    def _died_at(self, instant: Instant, options: Sequence[str]) -> str:
        if self.kill.where == "s3" and instant.file:
            with self.ground.bucket.trapped(self.name, instant, self._kill):
                return self._died(options)
        return self._died([*options, *instant.sends(signal.SIGKILL)])

    def _died(self, options: Sequence[str]) -> str:
        self._began.clear()
        self.process = driver.begin(self.lake.config, INSTANTS[self.kill.number], *options, code=self.code)
        self._began.set()
        self.process.join(PATIENCE_S)
        if self.process.exitcode == -signal.SIGKILL:
            return ""
        return f"the run was not killed, it ended with {self.process.exitcode}:\n{said(self.lake)}"

    @contextmanager
    def _door(self, slam: Slam) -> Iterator[None]:
        """Put a door between the run and a source, whose address the run's configuration then names."""
        config, port = self.lake.config.read_text(encoding="utf-8"), self.ground.sandbox.sources[slam.source]
        with Door(port, slam.connection, self._kill) as door:
            self.lake.config.write_text(config.replace(f"{port}", f"{door.port}"), encoding="utf-8")
            yield
        self.lake.config.write_text(config, encoding="utf-8")

    def _kill(self) -> bool:
        """Kill the run, and see it dead; what it asked for is not to be done."""
        self._began.wait()
        assert self.process is not None
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            self.process.kill()
            dead = psutil.Process(self.process.pid)
            while dead.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.001)
        return False

    def told(self) -> list[str]:
        """Run again, and say how the lake differs from the undisturbed one, and what is left over."""
        if why := self._failed():
            return [why]
        told = list(compared(self.ground, self.lake, self.kill.number, self.contract))
        told += [f"not swept: {file}" for file in leftovers(self.lake) if OF_A_RUN.search(file)]
        if told or self.kill.whole:
            return told
        if why := self._failed("--vacuum"):
            return [why]
        return [f"not freed: {file}" for file in leftovers(self.lake)]

    def _failed(self, *options: str) -> str:
        """Why a run that nobody disturbs fails; empty if it does not."""
        code = ended(self.lake, INSTANTS[self.kill.number], *self._options, *options, code=self.code)
        if code != 0:
            return f"the next run ended with {code}:\n{said(self.lake)}"
        if self.kill.where == "s3":
            fetched(self.ground, self.lake)
        return ""

    def close(self) -> None:
        if self.kill.where == "s3":
            self.ground.bucket.clear(self.name)
        shutil.rmtree(self.lake.folder)


def fetched(ground: Ground, lake: Lake) -> None:
    """Bring a lake from S3 to where lakes are compared."""
    shutil.rmtree(lake.folder / "lake", ignore_errors=True)
    ground.bucket.fetch(lake.folder.name, lake.folder / "lake")


def compared(ground: Ground, lake: Lake, number: int, contract: Contract | None) -> Iterator[str]:
    """How a lake differs from the undisturbed one, in a table that was to be moved (None: in everything)."""
    if told := gone(lake):
        yield from told
        return
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
