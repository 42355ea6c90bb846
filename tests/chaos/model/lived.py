"""Lives a history on a source and a lake, and judges after each run what that run promised."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias, assert_never

import pyarrow as pa
from pyspark.sql import SparkSession
from tests.chaos.model import organisation as line
from tests.chaos.model.history import (
    OVERLAP,
    T0,
    TICK,
    WHOLE,
    Backdate,
    Clock,
    Delete,
    Failure,
    Run,
    Step,
    Unstamp,
    Write,
)
from tests.chaos.model.sources import ModelSource, Row
from tests.lake import Lake

from headwater.config import Settings, load_settings
from headwater.contracts import Contracts
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract import build
from headwater.extract.base_extractor import Extractor, Partition, Position, Reject
from headwater.run import positions
from headwater.run.reconcile import Reconciliation, reconcile
from headwater.run.tables import lake_table

Version: TypeAlias = tuple[object, ...]
_CLOCK_BACK_TICKS = 2

HAPPENINGS = ("failed runs", "runs tried again", "spans of several windows", "runs with nothing due", "late versions")
"""What a life counts, besides the pages that were disturbed."""


class Unsteady(Extractor):
    """A real extractor that fails where a history says so."""

    def __init__(self, real: Extractor, failure: Failure | None) -> None:
        self._real, self._failure = real, failure
        self.source, self.row_id = real.source, real.row_id
        self.failed = False
        self.windows: list[Partition] = []

    def check(self) -> str:
        return self._real.check()

    def clock(self) -> datetime | None:
        return self._real.clock()

    def partitions(self, since: Position, until: datetime) -> list[Partition]:
        self.windows = self._real.partitions(since, until)
        return self.windows

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        failure = self._failure
        here = failure is not None and self.windows.index(partition) == failure.window
        if failure is None or not here or (self.failed and not failure.for_good):
            yield from self._real.read(partition, reject)
            return
        if failure.after_rows:
            yield from self._real.read(partition, reject)
        self.failed = True
        if failure.for_good:
            raise SourceRejected(self.source, "refused on purpose")
        raise SourceUnavailable(self.source, "the line broke on purpose")

    def close(self) -> None:
        self._real.close()


@dataclass
class World:
    """What the source holds, and its clock."""

    source: ModelSource
    seen_only: bool
    rows: dict[str, Row] = field(default_factory=dict)
    clock: datetime = T0
    latest: datetime = T0
    _ever: set[Row] = field(default_factory=set)

    def move(self, step: Write | Delete | Unstamp | Backdate | Clock) -> None:
        match step:
            case Clock(ticks):
                self.clock = max(self.clock + ticks * TICK, self.latest - _CLOCK_BACK_TICKS * TICK)
                self.latest = max(self.latest, self.clock)
            case Write(number, value, late, hair):
                stamp = self.latest - late * TICK + (self.source.finest if hair else timedelta(0))
                self.write(self.source.key(number), f"v{value}", stamp)
            case Delete(number):
                self.delete(self.source.key(number))
            case Unstamp(number):
                if row := self.rows.get(self.source.key(number)):
                    self.rows[row.key] = replace(row, cursor=None)
            case Backdate(number, value, by):
                if (row := self.rows.get(self.source.key(number))) and row.cursor and not row.deleted:
                    self._put(Row(row.key, f"v{value}", row.cursor - by * TICK))
            case _:
                assert_never(step)

    def write(self, key: str, value: str, stamp: datetime) -> None:
        """The stamp of a key never goes back, and no version comes again as if it had never been replaced."""
        old = self.rows.get(key)
        if old is not None and old.cursor is not None:
            stamp = max(stamp, old.cursor)
        row = Row(key, value, stamp)
        while row in self._ever and row != old:
            row = replace(row, cursor=(row.cursor or stamp) + self.source.finest)
        self._put(row)

    def delete(self, key: str) -> None:
        old = self.rows.get(key)
        if old is None:
            return
        if not self.source.deletions_shown or (old.deleted and not self.seen_only):
            del self.rows[key]
        elif not old.deleted and old.cursor is not None and old.cursor <= self.clock:
            self._put(replace(old, cursor=self.clock, deleted=True))

    def touch(self, *, deleting: bool) -> None:
        """Something happens to the row that comes first in the order of pages."""
        stamped = [row for row in self.rows.values() if row.cursor is not None and row.cursor < self.clock]
        for row in sorted(stamped, key=lambda row: (row.cursor, row.key)):
            key = str(row.key)
            if not row.deleted:
                self.delete(key) if deleting else self.write(key, "touched", self.clock)
                break

    def show(self) -> None:
        self.source.show(list(self.rows.values()), self.clock)

    def versions(self) -> set[Version]:
        """Of every row that has a cursor, its version as Bronze would hold it."""
        width = len(self.source.columns)
        return {(row.key, row.value, row.cursor, row.deleted)[:width] for row in self.rows.values() if row.cursor}

    def _put(self, row: Row) -> None:
        self.rows[row.key] = row
        self._ever.add(row)


class Life:
    """One history on one lake."""

    def __init__(
        self, source: ModelSource, settings: Settings, contracts: Contracts, folder: Path, spark: SparkSession | None
    ) -> None:
        self.source, self.contract = source, contracts[source.table]
        self.lake = Lake(folder, spark, contracts, settings=settings.model_copy(update={"state": folder / "state"}))
        self._settings = settings
        self.newest_at = T0 - timedelta(days=1)
        self.runs = 0
        self.happened = Counter[str]()
        self._disturbances = 0

    def live(
        self,
        history: tuple[Step, ...],
        *,
        seen_only: bool,
        our_clock_goes_back: bool = True,
        world: World | None = None,
    ) -> World:
        """Let everything happen, in a new world or in one that has a past, and judge each run.

        Raises:
            AssertionError: a run did not do what it promises.
        """
        world = world or World(self.source, seen_only)
        for step in history:
            if isinstance(step, Run):
                at = world.clock + step.ahead * TICK
                if not our_clock_goes_back:
                    at = max(at, self.newest_at)
                self.run(world, step, at)
            else:
                world.move(step)
        return world

    def catch_up(self, world: World) -> None:
        """A run, undisturbed, once every cursor has passed: Bronze must then have all that the source shows."""
        newest = max((row.cursor for row in world.rows.values() if row.cursor), default=world.clock)
        world.clock = world.latest = max(world.latest, newest.replace(second=0, microsecond=0) + TICK)
        self.run(world, Run(0), max(world.clock, self.newest_at))

    def run(self, world: World, run: Run, at: datetime) -> None:
        self.runs += 1
        self.newest_at = max(at, self.newest_at)
        world.show()
        self._disturb(world, run)
        before, began, shown = self.bronze(), self.watermark(), world.versions()
        until = min(at, world.clock)
        extractor = Unsteady(self._extractor(run), run.failure)
        failed = ""
        try:
            self.lake.land_from(extractor, self.source.table, at)
        except SourceRejected as error:
            failed = str(error)
            assert "on purpose" in failed, failed
        except SourceUnavailable as error:
            raise AssertionError(f"a run failed that nothing kept from its source: {error}") from error
        expected = _Expected(before, began, until, shown, world.versions(), world.seen_only)
        after = self.bronze()
        expected.judge(after, self.watermark(), run, failed)
        self.happened["failed runs"] += bool(failed)
        self.happened["runs tried again"] += extractor.failed and not failed
        self.happened["spans of several windows"] += len(extractor.windows) > 1
        self.happened["runs with nothing due"] += began is not None and until < began
        self.happened["late versions"] += sum(began is not None and _cursor(each) < began for each in after - before)
        if org := self.source.organisation:
            self.happened["disturbed pages"] += self._disturbances - len(org.disturbances)

    def bronze(self) -> set[Version]:
        """Every version that Bronze holds; each is there once."""
        place = lake_table(self.contract)
        head = self.lake.engine.head(place)
        if head is None:
            return set()
        columns = [*self.source.columns, "_row_id"]
        rows = self.lake.engine.scan(place, head.version, columns).read_all().to_pylist()
        counted = Counter(tuple(row[name] for name in self.source.columns) for row in rows)
        doubled = [version for version, times in counted.items() if times > 1]
        assert not doubled, f"Bronze holds more than once: {doubled}"
        assert len({row["_row_id"] for row in rows}) == len(rows), "two rows share an identity"
        return set(counted)

    def standing_keys(self) -> set[object]:
        """The keys whose newest version in Bronze is no deletion: by cursor, of equal ones the later landed."""
        place = lake_table(self.contract)
        head = self.lake.engine.head(place)
        assert head is not None
        order = (self.source.columns[2], "_ingest_ts", "_run_id", "_row_id")
        columns = [*dict.fromkeys((*self.source.columns, *order))]
        rows = self.lake.engine.scan(place, head.version, columns).read_all().to_pylist()
        newest: dict[object, dict[str, object]] = {}
        for row in sorted(rows, key=lambda row: tuple(row[name] for name in order)):
            newest[row[self.source.columns[0]]] = row
        return {key for key, row in newest.items() if not row.get("is_deleted", False)}

    def watermark(self) -> datetime | None:
        head = self.lake.engine.head(lake_table(self.contract))
        position = positions.parsed(head.inputs) if head else None
        return position.watermark if position else None

    def silver(self, at: datetime) -> set[Version]:
        """Build the Silver table and tell what it holds."""
        self.lake.build(self.source.silver, at)
        place = lake_table(self.lake.contracts[self.source.silver])
        head = self.lake.engine.head(place)
        if head is None:
            return set()
        rows = self.lake.engine.scan(place, head.version, self.source.silver_columns).read_all().to_pylist()
        return {tuple(row.values()) for row in rows}

    def reconciled(self, world: World, *, mend: bool = True) -> Reconciliation:
        world.show()
        return reconcile(self.lake.next_run(world.clock), self.contract, None, mend=mend)

    def _extractor(self, run: Run) -> Extractor:
        block = getattr(self._settings.data_sources, self.source.name)
        if self.source.organisation is not None:
            block = replace(block, page_records=run.page_records)
        real = build(self.source.table, block, self._settings.secrets.get(self.source.name), self.contract)
        real.rows_per_window = run.rows_per_window
        return real

    def _disturb(self, world: World, run: Run) -> None:
        org = self.source.organisation
        if org is not None:
            # Windows are read at the same time: which page comes first would be chance.
            pages = run.pages if run.rows_per_window == WHOLE else ()
            self._disturbances = len(pages)
            org.disturb({each.page: self._disturbance(org, world, each.how) for each in pages})

    @staticmethod
    def _disturbance(org: line.Organisation, world: World, how: str) -> line.Disturbance:
        def change(*, deleting: bool) -> Callable[[], None]:
            def changed() -> None:
                world.touch(deleting=deleting)
                world.show()

            return changed

        match how:
            case "busy" | "cut" | "short" | "refused":
                disturbance: line.Disturbance = getattr(line, how)
                return disturbance
            case "in parts":
                return line.in_parts
            case "log in again":
                return line.once_changed(org.server._tokens.clear)
            case "a change" | "a deletion":
                return line.once_changed(change(deleting=how == "a deletion"))
            case _:
                return org.last_page_again


@dataclass(frozen=True)
class _Expected:
    """What a run may have done, from what stood before it and what its source showed before and after it."""

    before: set[Version]
    began: datetime | None
    until: datetime
    shown_first: set[Version]
    shown_last: set[Version]
    seen_only: bool

    def judge(self, bronze: set[Version], watermark: datetime | None, run: Run, failed: str) -> None:
        landed = bronze - self.before
        assert not self.before - bronze, f"Bronze lost {self.before - bronze}"
        if self.began is not None and self.until < self.began:
            assert (landed, watermark) == (set(), self.began), f"nothing was due until {self.until}"
            return
        either = self._due(self.shown_first) | self._due(self.shown_last)
        assert landed <= either, f"landed, but not due: {landed - either}"
        due = self._due(self.shown_first) & self._due(self.shown_last)
        if failed:  # windows are committed oldest first: what landed last had everything before it
            due = {version for version in due if landed and watermark and _cursor(version) < watermark}
        assert due <= bronze, f"due until {self.until}, but not landed: {due - bronze}"
        self._judge_watermark(landed, watermark, run, failed)

    def _judge_watermark(self, landed: set[Version], watermark: datetime | None, run: Run, failed: str) -> None:
        """It is the end of a span that was read: of the whole one, where that is not cut."""
        if not landed:
            assert watermark == self.began, "nothing landed, but the watermark moved"
            return
        assert watermark is not None
        assert max(map(_cursor, landed)) < watermark <= self.until, "the watermark is not the end of what was read"
        if run.rows_per_window == WHOLE and not failed:
            assert watermark == self.until, "the watermark is not the end of the span"

    def _due(self, versions: set[Version]) -> set[Version]:
        """What a run had to see; where the history has what it can't see, that which lies in its span."""
        least = None if self.seen_only or self.began is None else self.began - OVERLAP
        return {each for each in versions if _cursor(each) < self.until and (least is None or _cursor(each) >= least)}


def _cursor(version: Version) -> datetime:
    cursor = version[2]
    assert isinstance(cursor, datetime)
    return cursor


def settings_of(source: ModelSource, folder: Path) -> Settings:
    """A project that reads this source alone."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "secret.json"
    secret.touch(mode=0o600)
    secret.write_text(json.dumps(source.connection.secret), encoding="utf-8")
    document = {
        "data_sources": {source.name: {"enabled": True, **source.connection.settings}},
        "secrets": {source.name: f"file:{secret}"},
        "state": str(folder / "state"),
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(document), encoding="utf-8")
    return load_settings(file, environment={})
