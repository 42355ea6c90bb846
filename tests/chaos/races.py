"""Two runs at once on the same tables, each with a state store of its own, so that no lease keeps them apart."""

import itertools
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from tests.chaos import driver
from tests.chaos.ground import Ground, said
from tests.chaos.kills import compared, fetched
from tests.chaos.points import Where
from tests.chaos.same import Holdings, broken, differing, holdings
from tests.chaos.shop import INSTANTS, ROWS_PER_COMMIT
from tests.e2e.runs import PATIENCE_S, ended
from tests.e2e.tiny import Lake

from headwater.config import load_settings
from headwater.contracts import Contract
from headwater.engine import Commit, Held, Table
from headwater.errors import CommitRefused
from headwater.run.opened import opened

_NUMBERS = itertools.count(1)
_ONE_BY_ONE = {"tables": {name: {"rows_per_commit": 1} for name in ROWS_PER_COMMIT}}


@dataclass(frozen=True)
class Race:
    """What came of two runs at once: the log entries that they made, the races that they say they lost, what differs."""

    commits: int
    lost: int
    told: Sequence[str]


def landed_from_nothing(ground: Ground) -> Holdings:
    """What Bronze holds when one undisturbed run has landed everything at the second instant."""
    lake = ground.empty(f"alone-{next(_NUMBERS)}", **_ONE_BY_ONE)
    code = ended(lake, INSTANTS[1], "--select", ",".join(ground.names("bronze")))
    assert code == 0, said(lake)
    return holdings(lake, _bronze(ground))


def landing_raced(ground: Ground, where: Where, expected: Holdings) -> Race:
    """Let two runs land all of Bronze, row by row, where nothing is yet."""
    with _two_lakes(ground, where, ground.empty) as (one, other):
        told = _run_at_once(one, other, "--select", ",".join(ground.names("bronze")))
        if where == "s3":
            fetched(ground, one)
        told += [*differing(holdings(one, _bronze(ground)), expected), *broken(one, ground.contracts, [])]
        return Race(_entries(one), lost_in(one) + lost_in(other), told)


def everything_raced(ground: Ground, where: Where) -> Race:
    """Let two runs move every table from the first instant's state to the second's."""
    with _two_lakes(ground, where, lambda name, **settings: ground.lake(name, 1, None, **settings)) as (one, other):
        before = _entries(one)
        told = _run_at_once(one, other)
        if where == "s3":
            fetched(ground, one)
        told += compared(ground, one, 1, None)
        return Race(_entries(one) - before, lost_in(one) + lost_in(other), told)


def _bronze(ground: Ground) -> list[Contract]:
    return [ground.contracts[name] for name in ground.names("bronze")]


@contextmanager
def _two_lakes(ground: Ground, where: Where, make: Callable[..., Lake]) -> Iterator[tuple[Lake, Lake]]:
    """Two projects with the lake of the first."""
    name = f"race-{next(_NUMBERS)}"
    place = ground.on_s3(name) if where == "s3" else {}
    one = make(name, **_ONE_BY_ONE, **place)
    other = make(f"{name}-other", **_ONE_BY_ONE, **(place or {"lake": str(one.folder / "lake")}))
    if where == "s3":
        ground.bucket.put(one.folder / "lake", name)
    try:
        yield one, other
    finally:
        ground.bucket.clear(name)
        shutil.rmtree(one.folder)
        shutil.rmtree(other.folder)


def _run_at_once(one: Lake, other: Lake, *options: str) -> list[str]:
    """Run both, and then the first once more: who lost too often gives up, and its state store may be behind."""
    runs = [driver.begin(lake.config, INSTANTS[1], *options) for lake in (one, other)]
    for run in runs:
        run.join(PATIENCE_S)
    told = [f"a run ended with {run.exitcode}" for run in runs if run.exitcode not in (0, 1)]
    if (code := ended(one, INSTANTS[1], *options)) != 0:
        told.append(f"the run after both ended with {code}:\n{said(one)}")
    return told


def _entries(lake: Lake) -> int:
    return sum(version + 1 for version in lake.versions().values())


def lost_in(lake: Lake) -> int:
    """How many races the runs of a lake said that they lost."""
    return len(re.findall(r"^lost a race: ", (lake.folder / "run.log").read_text(encoding="utf-8"), re.MULTILINE))


TABLE = Table("raced", "bronze/raced", pa.schema([("_row_id", pa.string()), ("said_by", pa.string())]))
ROWS_A_ROUND = 5


def committing(config: Path, who: str, rounds: int) -> int:
    """Try to make every commit of a table in turn, with rows of one's own; how many of them another made."""
    lost = 0
    with opened(load_settings(config, {}), None, ()) as context:
        engine = context.engine
        for txn in range(1, rounds + 1):
            rows = _rows(who, range(ROWS_A_ROUND), f"{who}-{txn}")
            staged, _ = engine.land(TABLE, rows.to_batches(), f"{who}-{txn}", Held.NOTHING)
            try:
                engine.append(TABLE, staged, Commit(TABLE.app_id, txn, {"by": who}))
            except CommitRefused:
                lost += 1
    return lost


def merging(config: Path, who: str, rounds: int) -> int:
    """Insert the same keys as everybody else does, some at a time; how many of them were new."""
    with opened(load_settings(config, {}), None, ()) as context:
        return sum(
            context.engine.insert(TABLE, _rows(who, range(ROWS_A_ROUND * first, ROWS_A_ROUND * (first + 2))), "_row_id")
            for first in range(rounds)
        )


def held(config: Path) -> list[str]:
    """The identities of the rows that the table of races holds."""
    with opened(load_settings(config, {}), None, ()) as context:
        head = context.engine.head(TABLE)
        assert head is not None
        return context.engine.scan(TABLE, head.version, ["_row_id"]).read_all()["_row_id"].to_pylist()


def _rows(who: str, numbers: range, prefix: str = "row") -> pa.Table:
    return pa.table({"_row_id": [f"{prefix}-{number}" for number in numbers]}).append_column(
        TABLE.schema.field("said_by"), pa.array([who] * len(numbers))
    )
