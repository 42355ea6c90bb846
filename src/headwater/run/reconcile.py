"""Compares a Bronze table with its source key by key, and lands what a cursor could not see.

What a run does not see, and why: `docs/semantics.md`, "What a timestamp cursor cannot see". Only keys and cursors travel;
the windows in which they differ are then read whole.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.contracts import Contract
from headwater.engine.files import DRAFTS
from headwater.errors import LakeError
from headwater.extract import EXTRACTORS, build
from headwater.extract.base_extractor import Extractor, Position, TimeWindow
from headwater.run import positions
from headwater.run.bronze import Landing
from headwater.run.context import Context
from headwater.run.tables import lake_table

_SHOWN_KEYS = 10
_MEMORY_LIMIT = "1GB"
_DAY = timedelta(days=1)
_WHENEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""After every cursor, also those that lie ahead of the source's clock."""


@dataclass(frozen=True)
class Difference:
    """Keys of one kind of difference: how many, and some of them."""

    rows: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Reconciliation:
    """How a table differed from its source in `[since, until)`, and what was landed of it.

    Attributes:
        missing: keys that the source shows and Bronze never had.
        changed: keys of which the source shows a version that Bronze lacks.
        deleted: keys whose newest version stands in Bronze and that the source no longer shows.
        without_cursor: rows of the source that no span shows, because their cursor is null.
        windows: what was read again.
        remaining: keys that are missing or changed still, because their records are in the rejects.
    """

    table: str
    since: datetime | None
    until: datetime
    source_rows: int
    missing: Difference
    changed: Difference
    deleted: Difference
    without_cursor: int
    windows: tuple[TimeWindow, ...] = ()
    landed: int = 0
    rejected: int = 0
    remaining: int = 0

    @property
    def agrees(self) -> bool:
        """Nothing differs that is not mended."""
        mended = not self.remaining if self.windows else not (self.missing.rows or self.changed.rows)
        return mended and not self.deleted.rows and not self.without_cursor


def reconcile(context: Context, contract: Contract, since: datetime | None, *, mend: bool = True) -> Reconciliation:
    """Compare a Bronze table that is read by a cursor with its source, and read again what differs.

    Versions from `since` on are compared (None: from the beginning), up to where the table is read.

    Raises:
        LakeError: the table has not landed, or is not read by a cursor.
        SourceUnavailable, SourceRejected: the source did not tell its keys or rows.
        TableIsHeld: a run works on the table, and went on for longer than we wait.
    """
    if not EXTRACTORS[contract.name].extractor.by_cursor or contract.cursor is None or not contract.key:
        raise LakeError(
            f"{contract.table} is not read by a cursor: each file or message that is there is read once; headwater "
            f"watermark reset {contract.name} has all of them read again, and lands what Bronze lacks"
        )
    settings, source = context.settings, EXTRACTORS[contract.name].name
    block, secret = getattr(settings.data_sources, source), settings.secrets.get(source)
    reader = build(contract.name, block, secret, contract.only(*contract.key, contract.cursor))
    with (
        context.lease(contract.name),
        closing(reader) as keys,
        tempfile.TemporaryDirectory(prefix=f"{DRAFTS}{os.getpid()}-") as folder,
    ):
        comparison = _Comparison(context, contract, keys, since, Path(folder))
        found = comparison.made()
        windows = comparison.windows() if mend else ()
        if not windows:
            return found
        whole = Landing(context, contract, build(contract.name, block, secret, contract))
        report = whole.again(windows)
        left = comparison.left()
    terms = report.terms
    return replace(found, windows=tuple(windows), landed=terms["landed"], rejected=terms["rejected"], remaining=left)


class _Comparison:
    """Keys and cursors of both sides in files of a folder, compared by DuckDB, which spills."""

    def __init__(
        self, context: Context, contract: Contract, keys: Extractor, since: datetime | None, folder: Path
    ) -> None:
        self._context, self._contract, self._keys, self._since, self._folder = context, contract, keys, since, folder
        self._columns = (*contract.key, str(contract.cursor))
        self._sql = duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": str(folder / "spill")})
        self._sql.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")

    def made(self) -> Reconciliation:
        head = self._context.engine.head(lake_table(self._contract))
        position = positions.parsed(head.inputs) if head else None
        if position is None or position.watermark is None:
            raise LakeError(f"{self._contract.table} has never landed: there is nothing to compare")
        self._until = position.watermark
        self._read_source()
        self._read_bronze()
        self._sql.execute(f"CREATE TABLE differing AS {self._differing()}")
        [[rows]] = self._sql.execute("SELECT count(*) FROM source").fetchall()
        return Reconciliation(
            table=self._contract.name,
            since=self._since,
            until=self._until,
            source_rows=rows,
            missing=self._difference("missing"),
            changed=self._difference("changed"),
            deleted=self._difference("deleted"),
            without_cursor=self._keys.without_cursor(),
        )

    def windows(self) -> Sequence[TimeWindow]:
        """The days, of the span that is read, in which the source shows versions that Bronze lacks; neighbours as one."""
        days = self._sql.execute(
            "SELECT DISTINCT date_trunc('day', cursor) AS day FROM differing WHERE kind <> 'deleted' ORDER BY day"
        ).fetchall()
        windows: list[TimeWindow] = []
        for (day,) in days:
            start = day if self._since is None else max(day, self._since)
            end = min(day + _DAY, self._until)
            if windows and windows[-1].end == start:
                windows[-1] = TimeWindow(windows[-1].start, end)
            else:
                windows.append(TimeWindow(start, end))
        return windows

    def left(self) -> int:
        """How many of the versions that Bronze lacked it still lacks."""
        self._read_bronze()
        query = f"SELECT count(*) FROM differing AS s WHERE kind <> 'deleted' AND NOT EXISTS ({self._same_version()})"  # noqa: S608
        [[rows]] = self._sql.execute(query).fetchall()
        return int(rows)

    def _read_source(self) -> None:
        """What the source shows from `since` on: a key that changed after the watermark, or just now, is not deleted."""
        parts = self._keys.partitions(Position(watermark=self._since), _WHENEVER)
        batches = (batch for part in parts for batch in self._keys.read(part, lambda _rejects: None))
        self._kept("source", batches)

    def _read_bronze(self) -> None:
        table = lake_table(self._contract)
        head = self._context.engine.head(table)
        if head is None:
            raise LakeError(f"{self._contract.table} is gone")
        columns = [*self._columns, *([self._contract.deletion] if self._contract.deletion else [])]
        self._kept("bronze", self._context.engine.scan(table, head.version, columns))

    def _kept(self, name: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Keep batches in a file, as the relation `name`."""
        file = self._folder / f"{name}.parquet"
        names = [*self._columns, *([self._contract.deletion] if name == "bronze" and self._contract.deletion else [])]
        schema = pa.schema([self._contract.arrow_schema.field(column) for column in names])
        with pq.ParquetWriter(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.select(names).cast(schema))
        place = str(file).replace("'", "''")
        cursor = _name(str(self._contract.cursor))
        self._sql.execute(
            f"CREATE OR REPLACE VIEW {name} AS SELECT *, {cursor} AS cursor FROM read_parquet('{place}')"  # noqa: S608
        )

    def _differing(self) -> str:
        """Every key that differs, how, and the cursor of its version."""
        keys = ", ".join(_name(key) for key in self._contract.key)
        alive = f"NOT coalesce({_name(self._contract.deletion)}, false)" if self._contract.deletion else "true"
        since = "true" if self._since is None else f"cursor >= {_instant(self._since)}"
        return f"""
            SELECT {keys}, cursor, CASE WHEN EXISTS ({self._same_key("bronze")}) THEN 'changed' ELSE 'missing' END AS kind
            FROM source AS s WHERE cursor < {_instant(self._until)} AND NOT EXISTS ({self._same_version()})
            UNION ALL
            SELECT {keys}, cursor, 'deleted' FROM (
                SELECT * FROM bronze QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY cursor DESC) = 1) AS s
            WHERE {alive} AND {since} AND NOT EXISTS ({self._same_key("source")})"""  # noqa: S608

    def _same_key(self, relation: str) -> str:
        equal = " AND ".join(f"o.{_name(key)} IS NOT DISTINCT FROM s.{_name(key)}" for key in self._contract.key)
        return f"SELECT 1 FROM {relation} AS o WHERE {equal}"  # noqa: S608

    def _same_version(self) -> str:
        return f"{self._same_key('bronze')} AND o.cursor = s.cursor"

    def _difference(self, kind: str) -> Difference:
        [[rows]] = self._sql.execute("SELECT count(*) FROM differing WHERE kind = ?", [kind]).fetchall()
        keys = ", ".join(_name(key) for key in self._contract.key)
        query = f"SELECT {keys} FROM differing WHERE kind = ? ORDER BY cursor, {keys} LIMIT {_SHOWN_KEYS}"  # noqa: S608
        hidden = {column.name for column in self._contract.columns if column.classification}
        told = [self._told(row, hidden) for row in self._sql.execute(query, [kind]).fetchall()]
        return Difference(rows, tuple(told))

    def _told(self, row: Sequence[Any], hidden: set[str]) -> str:
        values = zip(self._contract.key, row, strict=True)
        return "/".join("(hidden)" if name in hidden else str(value) for name, value in values)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _instant(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.isoformat()}'"
