"""Moves a Bronze table forward by what its source has that it lacks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial, reduce
from itertools import chain
from typing import TypeVar, assert_never

import pyarrow as pa

from headwater.config import TableSettings
from headwater.contracts import Contract
from headwater.engine import Attempt, Commit, Head, Held, HeldSince, Repeats, Staged, Table
from headwater.errors import BalanceBroken, LakeError
from headwater.extract import EXTRACTORS
from headwater.extract.base_extractor import (
    Extractor,
    OffsetRange,
    Partition,
    Position,
    SourceFile,
    TimeWindow,
    retried,
)
from headwater.run import positions
from headwater.run.ahead import ahead, gathered
from headwater.run.context import Context
from headwater.run.events import Committed, Committing, Drifted, Progressed, Recorded, Refused
from headwater.run.events import Staged as FilesStaged
from headwater.run.refusals import Refusals
from headwater.run.report import Outcome, TableReport
from headwater.run.row_ids import RowIds
from headwater.run.standing import Brought, Standing
from headwater.run.tables import INGEST_DATE, LANDED, lake_table, rejects_table
from headwater.run.windows import Stop, read_in_order

_MESSAGES_A_COMMIT = 500_000
_FILE_BYTES_A_COMMIT = 64 << 20

_Answer = TypeVar("_Answer")


@dataclass
class _Counts:
    """What became of the rows that a source told: read = landed + repeated + rejected."""

    read: int = 0
    landed: int = 0
    repeated: int = 0
    rejected: int = 0
    bytes: int = 0

    def add(self, other: "_Counts") -> None:
        for name in ("read", "landed", "repeated", "rejected", "bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def terms(self) -> dict[str, int]:
        return {"read": self.read, "landed": self.landed, "repeated": self.repeated, "rejected": self.rejected}


@dataclass(frozen=True)
class _Read:
    """What reading a piece has come to: its file, its counts so far, what is no row, and columns beyond the contract."""

    staged: Staged
    counts: _Counts
    rejects: Refusals
    brought: Brought


@dataclass
class Landing:
    """One Bronze table's step in one run.

    Windows are read a few at a time and committed oldest first, each with the position that it reaches; where one
    fails, those before it stay landed and the next run begins there.
    """

    context: Context
    contract: Contract
    extractor: Extractor
    counts: _Counts = field(default_factory=_Counts)
    held: Position = field(default_factory=Position)
    _next: int = 0
    """The version that the next commit is to be."""
    _drift: dict[tuple[str, str], Drifted] = field(default_factory=dict)
    _told: dict[int, int] = field(default_factory=dict)
    """The rows read so far, by the number of their piece."""

    def run(self) -> TableReport:
        """Read what is due, and say what became of it.

        Raises:
            SourceUnavailable, SourceRejected: the source did not tell everything; what it told before is landed.
            CommitRefused: another writer moved the table meanwhile.
        """
        try:
            with self.context.sources.asked_by(self.contract.name, self.extractor.source), self._attempting():
                return self._run()
        finally:
            self.extractor.close()

    def _run(self) -> TableReport:
        context, table = self.context, lake_table(self.contract)
        head = context.engine.head(table)
        self._standing = Standing(self.contract, head.schema if head else None)
        known = positions.parsed(head.inputs) if head else Position()
        position = known or positions.parsed(context.state.remembered(table.name)) or Position()
        if head is not None and known is not None:
            context.state.agree(table.name, head.inputs or {})
        began, self.held = position, positions.held(head.inputs if head else None)
        txn, version = (head.txn, head.version) if head else (0, None)
        self._next = txn + 1
        due = list(_together(self._tried(lambda: self._due(position)), self._settings.rows_per_commit))
        attempt = Attempt(context.run_id, txn + 1)

        def read(number: int, parts: list[Partition], stop: Stop) -> _Read:
            return self._tried(
                lambda: self._read(parts, attempt.folder(number), self._repeats(parts, known, head), number, stop)
            )

        def discard(found: _Read) -> None:
            found.rejects.close()
            context.engine.discard(table, found.staged)

        with read_in_order(due, read, discard) as pieces:
            for parts, found in pieces:
                counts = self._settled(found)
                self.counts.add(counts)
                if not (counts.landed or counts.rejected) and isinstance(parts[0], TimeWindow):
                    continue
                txn, position = txn + 1, reduce(positions.after, parts, position)
                version = self._commit(found, txn, position)
                self._next = txn + 1
        moved = txn != (head.txn if head else 0)
        if moved:
            self._sweep(table, txn, head)
        self._tell(
            Drifted(table.name, column, "dropped", text) for column, text in self.extractor.drift.missing().items()
        )
        return TableReport(
            table=table.name,
            layer="bronze",
            outcome="committed" if moved else "unchanged",
            terms=self.counts.terms(),
            bytes=self.counts.bytes,
            version=version,
            consumed=(positions.told(began), positions.told(position)),
            drift=self._drifts(),
        )

    def again(self, windows: Sequence[TimeWindow]) -> TableReport:
        """Read windows once more that were read before, and land what Bronze lacks; how far the table is read stays.

        Raises:
            SourceUnavailable, SourceRejected: the source did not tell everything; what it told before is landed.
            CommitRefused: another writer moved the table meanwhile.
        """
        context, table = self.context, lake_table(self.contract)
        head = context.engine.head(table)
        if head is None or (position := positions.parsed(head.inputs)) is None:
            raise LakeError(f"{self.contract.table} does not say how far it is read; run it first: headwater run")
        self.held = positions.held(head.inputs)
        self._standing = Standing(self.contract, head.schema)
        try:
            with self._attempting():
                txn, version = self._landed_again(windows, head, position)
        finally:
            self.extractor.close()
        outcome: Outcome = "unchanged" if txn == head.txn else "committed"
        terms = self.counts.terms()
        return TableReport(
            table.name, "bronze", outcome, terms, bytes=self.counts.bytes, version=version, drift=self._drifts()
        )

    def _landed_again(self, windows: Sequence[TimeWindow], head: Head, position: Position) -> tuple[int, int]:
        txn, version = head.txn, head.version
        self._next = txn + 1
        attempt = Attempt(self.context.run_id, txn + 1)
        for number, window in enumerate(windows):
            repeats = self._repeats([window], position, head)
            read = partial(self._read, [window], attempt.folder(number), repeats, number, Stop())
            found = self._tried(read)
            counts = self._settled(found)
            self.counts.add(counts)
            if counts.landed or counts.rejected:
                txn += 1
                version = self._commit(found, txn, position)
                self._next = txn + 1
        return txn, version

    def _attempting(self) -> AbstractContextManager[None]:
        table, days = lake_table(self.contract), [self._day_folder(self.context.at)]
        return self.context.attempting(table, lambda: self._next, days)

    def _sweep(self, table: Table, txn: int, before: Head | None) -> None:
        """Remove what died since the last commit, in the folders of the days from then until now."""
        told = before.metadata.get("at") if before else None
        days = {self.context.at, datetime.fromisoformat(told) if told else self.context.at}
        self.context.sweep(table, txn, sorted({self._day_folder(day) for day in days}))

    @staticmethod
    def _day_folder(at: datetime) -> str:
        return f"{INGEST_DATE}={at.astimezone(UTC).date().isoformat()}"

    @property
    def _settings(self) -> TableSettings:
        return self.context.settings.table(self.contract.name)

    def _due(self, position: Position) -> list[Partition]:
        settings = self._settings
        if settings.rows_per_commit is not None:
            self.extractor.rows_per_window = settings.rows_per_commit
        clock = self.context.sources.clock(self.extractor, self.contract.name)
        now = self.context.at if clock is None else min(self.context.at, clock)
        until = now - settings.settle
        if position.watermark is not None and until < position.watermark:
            return []
        return self.extractor.partitions(positions.before(position, settings.overlap), until)

    def _repeats(self, parts: Sequence[Partition], known: Position | None, head: Head | None) -> Repeats:
        """Which rows of the table these parts can tell again.

        Never those of the other parts: windows do not overlap, and a row's cursor is part of its identity.
        """
        partition = parts[0]
        cursor = self.contract.cursor if isinstance(partition, TimeWindow) else None
        if isinstance(partition, TimeWindow) and cursor is None:
            return Held.ANYTHING
        if head is None:
            return Held.NOTHING
        if known is None or any(positions.is_held(part, self.held) for part in parts):
            return Held.ANYTHING
        if not isinstance(partition, TimeWindow):
            return Held.NOTHING
        if partition.start is None or cursor is None:
            return Held.ANYTHING
        return HeldSince(cursor, partition.start)

    def _tried(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask the source until it answers, as often as its settings say."""
        return retried(ask, getattr(self.context.settings.data_sources, EXTRACTORS[self.contract.name].name))

    def _read(self, parts: Sequence[Partition], folder: str, repeats: Repeats, number: int, stop: Stop) -> _Read:
        """Put a piece's rows into a file that no commit names yet. Several pieces may be read at once."""
        counts, rejects, brought = _Counts(), Refusals(), Brought(self.contract)
        place = f"{self._day_folder(self.context.at)}/{folder}"
        try:
            with self.context.sources.reading():
                stop.check()
                batches = chain.from_iterable(self.extractor.read(part, rejects.add) for part in parts)
                told = gathered(self._counted(batches, counts, number, stop))
                with ahead(told) as read, ahead(self._described(read, brought)) as rows:
                    staged, counts.repeated = self.context.engine.land(self._standing.table(), rows, place, repeats)
        except BaseException:
            rejects.close()
            raise
        counts.landed, counts.bytes = staged.rows, staged.bytes
        return _Read(staged, counts, rejects, brought)

    def _settled(self, found: _Read) -> _Counts:
        """A piece's counts once what it refused is kept; its turn to be committed has come."""
        counts = found.counts
        refused = found.rejects.rows
        counts.read += refused
        try:
            counts.rejected = sum(map(self._keep_rejects, found.rejects.some_at_a_time()))
        finally:
            found.rejects.close()
        if refused:
            counts.repeated += refused - counts.rejected
            self.context.emit(Refused(lake_table(self.contract).name, counts.rejected))
        if counts.read != counts.landed + counts.repeated + counts.rejected:
            raise BalanceBroken(f"{self.contract.table}: {counts.terms()} do not add up; nothing was committed")
        return counts

    def _counted(
        self, batches: Iterator[pa.RecordBatch], counts: _Counts, number: int, stop: Stop
    ) -> Iterator[pa.RecordBatch]:
        """The same batches, of each of which is told when it has come."""
        for batch in batches:
            stop.check()
            counts.read += batch.num_rows
            self._told[number] = counts.read
            self.context.emit(Progressed(self.contract.name, sum(list(self._told.values()))))
            yield batch

    def _described(self, batches: Iterator[pa.RecordBatch], brought: Brought) -> Iterator[pa.RecordBatch]:
        """The rows as told, with when, whence, by which run and which row of the source they are."""
        ids = RowIds() if self.extractor.row_id is None else None
        try:
            for batch in batches:
                told = batch.select([name for name in batch.schema.names if name != self.extractor.row_id])
                told = self._standing.fitted(told)
                brought.count(told)
                row_id = ids.of(told) if ids else batch.column(str(self.extractor.row_id))
                yield pa.RecordBatch.from_arrays(
                    [*told.columns, *self._landed(batch.num_rows), row_id], schema=pa.schema([*told.schema, *LANDED])
                )
        finally:
            if ids:
                ids.close()

    def _landed(self, rows: int) -> list[pa.Array]:
        at = pa.scalar(self.context.at, pa.timestamp("us", tz="UTC"))
        return [pa.repeat(at, rows), pa.repeat(self.extractor.source, rows), pa.repeat(self.context.run_id, rows)]

    def _keep_rejects(self, told: pa.Table) -> int:
        """Put some of what was refused into the rejects, each once, and say how many of them are new there."""
        numbered = told.append_column("_number", pa.array(range(told.num_rows)))
        first = numbered.group_by("_row_id").aggregate([("_number", "min")])["_number_min"].sort()
        rejects = told.take(first)
        for name, column in zip(LANDED.names[:3], self._landed(rejects.num_rows), strict=True):
            rejects = rejects.append_column(name, column)
        table = rejects_table(self.contract)
        for each in table.schema.names[rejects.num_columns :]:
            rejects = rejects.append_column(each, pa.nulls(rejects.num_rows))
        return self.context.engine.insert(table, rejects.cast(table.schema), on="_row_id")

    def _commit(self, found: _Read, txn: int, position: Position) -> int:
        context, inputs = self.context, positions.recorded(position, self.held)
        table, staged = self._standing.table(found.brought.values if found.staged.files else ()), found.staged
        metadata = {"run_id": context.run_id, "at": context.at.isoformat(), "counts": found.counts.terms()}
        context.emit(FilesStaged(table.name, staged.rows))
        context.leases.check(table.name)
        context.emit(Committing(table.name, txn))
        version = context.engine.append(table, staged, Commit(table.app_id, txn, inputs, metadata))
        context.emit(Committed(table.name, version, txn))
        context.state.committed(table.name, inputs)
        context.emit(Recorded(table.name))
        if staged.files:
            self._tell(self._standing.told(found.brought))
        return version

    def _tell(self, changes: Iterable[Drifted]) -> None:
        """Say each change of a column once."""
        for change in changes:
            if self._drift.setdefault((change.column, change.change), change) is change:
                self.context.emit(change)

    def _drifts(self) -> tuple[dict[str, str], ...]:
        return tuple({"column": each.column, "change": each.change, "text": each.text} for each in self._drift.values())


def _together(partitions: Sequence[Partition], messages: int | None = None) -> Iterator[list[Partition]]:
    """Cut what is due into commits, in order: a window each, but small files and offset ranges many at a time."""
    group: list[Partition] = []
    weight = 0.0
    for partition in partitions:
        group.append(partition)
        weight += _weight(partition, messages or _MESSAGES_A_COMMIT)
        if weight >= 1:
            yield group
            group, weight = [], 0.0
    if group:
        yield group


def _weight(partition: Partition, messages: int) -> float:
    """The part of a commit that a partition fills."""
    match partition:
        case TimeWindow():
            return 1
        case OffsetRange(start=start, end=end):
            return (end - start) / messages
        case SourceFile(size=size):
            return size / _FILE_BYTES_A_COMMIT
    assert_never(partition)
