"""The properties that every history is to have, and how a history is told again when one has not."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import stamina
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import seed as seeded
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from tests.chaos.model.history import ORDINARY, History, Run, seen_histories, unseen_histories
from tests.chaos.model.lived import HAPPENINGS, Life, Version, World, settings_of
from tests.chaos.model.sources import ModelSource

from headwater.contracts import Contracts


@dataclass
class Trial:
    """Lives any number of histories on one source; counts what was lived."""

    source: ModelSource
    contracts: Contracts
    project: Path
    spark: SparkSession | None = None
    seed: int | None = None
    """Other histories than those of every run of the tests."""

    shrink: bool = True
    """Look for the shortest history that breaks a promise, once one does."""

    lived: int = 0
    runs: int = 0
    differing: int = 0
    """Of the histories with what a cursor does not see: those where something was found that differs."""

    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._settings = settings_of(self.source, self.project)

    def bronze(self, histories: int) -> None:
        """Bronze holds each version that a run could see exactly once, after every run."""

        def judge(history: History) -> None:
            with tempfile.TemporaryDirectory() as folder:
                life = self._life(folder, None)
                life.catch_up(life.live(history, seen_only=True))
                self._count(life)

        self._for_all(seen_histories(deletions_shown=self.source.deletions_shown), judge, histories)

    def silver(self, histories: int) -> None:
        """Silver, built after the first run and in the end, is what the source shows."""
        assert self.spark is not None

        def judge(history: History) -> None:
            first = next(number for number, step in enumerate(history) if isinstance(step, Run)) + 1
            with tempfile.TemporaryDirectory() as folder:
                life = self._life(folder, self.spark)
                world = life.live(history[:first], seen_only=True, our_clock_goes_back=False)
                if life.watermark() is not None:
                    life.silver(life.newest_at)
                life.live(history[first:], seen_only=True, our_clock_goes_back=False, world=world)
                life.catch_up(world)
                if life.watermark() is not None:
                    standing = {(row.key, row.value, row.cursor) for row in world.rows.values() if not row.deleted}
                    assert life.silver(life.newest_at) == standing
                self._count(life)

        self._for_all(seen_histories(deletions_shown=self.source.deletions_shown), judge, histories)

    def reconciled(self, histories: int) -> None:
        """`reconcile` tells every difference and nothing that is none, and lands what can be landed."""

        def judge(history: History) -> None:
            with tempfile.TemporaryDirectory() as folder:
                life = self._life(folder, None)
                world = life.live(history, seen_only=False)
                if (watermark := life.watermark()) is not None:
                    self.differing += _reconcile(life, world, watermark)
                self._count(life)

        self._for_all(unseen_histories(deletions_shown=self.source.deletions_shown), judge, histories)

    def _life(self, folder: str, spark: SparkSession | None) -> Life:
        return Life(self.source, self._settings, self.contracts, Path(folder), spark)

    def _count(self, life: Life) -> None:
        self.lived += 1
        self.runs += life.runs
        self.happened.update(life.happened)

    @property
    def expected(self) -> tuple[str, ...]:
        """What must happen now and then, for the histories to be worth living."""
        return (*HAPPENINGS, *(("disturbed pages",) if self.source.organisation else ()))

    def _for_all(self, histories: st.SearchStrategy[History], judge: Callable[[History], None], number: int) -> None:
        """Judge so many histories; what breaks a promise is told as Python that can be pasted into a test."""
        phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if self.shrink else [])]
        chosen = examples(
            max_examples=number,
            deadline=None,
            derandomize=self.seed is None,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        lives = chosen(example(ORDINARY)(given(histories)(judge)))
        with stamina.set_testing(True, attempts=3, cap=True):
            (lives if self.seed is None else seeded(self.seed)(lives))()


def _reconcile(life: Life, world: World, watermark: datetime) -> bool:
    """Judge a reconciliation; whether there was anything to tell."""
    before, shown = life.bronze(), world.versions()
    held, keys = {(version[0], version[2]) for version in before}, {version[0] for version in before}
    lacking = {each for each in shown if _cursor(each) < watermark and (each[0], each[2]) not in held}
    missing = {each[0] for each in lacking if each[0] not in keys}
    changed = {each[0] for each in lacking if each[0] in keys}
    deleted = life.standing_keys() - {each[0] for each in shown}
    without = sum(row.cursor is None for row in world.rows.values())

    found = life.reconciled(world)

    assert set(found.missing.keys) == missing
    assert found.missing.rows == len(missing)
    assert set(found.changed.keys) == changed
    assert found.changed.rows == len(changed)
    assert set(found.deleted.keys) == deleted
    assert found.deleted.rows == len(deleted)
    assert found.without_cursor == without
    after = life.bronze()
    assert before <= after <= before | {each for each in shown if _cursor(each) < watermark}
    assert lacking <= after
    assert (found.landed, found.remaining) == (len(after - before), 0)
    assert life.watermark() == watermark, "reconcile moved the watermark"
    again = life.reconciled(world, mend=False)
    assert (again.missing.rows, again.changed.rows, set(again.deleted.keys)) == (0, 0, deleted)
    assert again.agrees == (not deleted and not without)
    return bool(missing or changed or deleted or without)


def _cursor(version: Version) -> datetime:
    cursor = version[2]
    assert isinstance(cursor, datetime)
    return cursor
