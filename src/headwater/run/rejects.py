"""Lands what was refused as no row and is one by today's contract; the reject stays, and says so."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Contract
from headwater.extract import EXTRACTORS, build
from headwater.extract.base_extractor import Extractor, Partition, Position, Reject, TimeWindow
from headwater.run import refused
from headwater.run.bronze import Landing
from headwater.run.context import Context
from headwater.run.report import TableReport
from headwater.run.tables import rejects_table


def landed(context: Context, contract: Contract, where: str | None) -> TableReport:
    """Land the rejects of a Bronze table for which a predicate holds, but those that have landed or were discarded.

    They land as one piece that any earlier row may be part of, in a commit that carries the position unchanged, and are
    marked only then: broken off between the two, the next replay finds them held, and marks them.

    Raises:
        QueryRefused: `where` is no predicate over the rejects.
        SourceUnavailable, SourceRejected: the source does not give again what was refused.
        CommitRefused: another writer moved the table meanwhile.
    """
    rows = refused.rejects(context.engine, contract, context.engine.head(rejects_table(contract)))
    rows = rows.filter(refused.waiting(rows, where))
    if not rows.num_rows:
        return TableReport(contract.name, "bronze", "unchanged", {"asked": 0})
    source = EXTRACTORS[contract.name].name
    settings = getattr(context.settings.data_sources, source)
    again = _Again(build(contract.name, settings, context.settings.secrets.get(source), contract), rows)
    report = Landing(context, contract, again).again([TimeWindow(None, context.at)])
    _mark(context, contract, rows, again.refused)
    return replace(report, terms={**report.terms, "asked": rows.num_rows, "refused_again": len(again.refused)})


def _mark(context: Context, contract: Contract, rows: pa.Table, again: Mapping[str, str]) -> None:
    """Say in the rejects which of them have landed, and why the others could not this time."""
    at, table = pa.scalar(context.at, pa.timestamp("us", tz="UTC")), rejects_table(contract)
    reasons = pa.array([again.get(row_id) for row_id in rows["_row_id"].to_pylist()], pa.string())
    marks = {
        "_row_id": rows["_row_id"],
        "reason": pc.coalesce(reasons, rows["reason"]),
        "replays": pc.add(rows["replays"], reasons.is_valid().cast(pa.int64())),
        "tried_at": pa.repeat(at, rows.num_rows),
        "landed_at": pc.if_else(reasons.is_null(), at, pa.scalar(None, at.type)),
    }
    context.leases.check(contract.name)
    context.engine.mark(table, pa.table(marks), on="_row_id")


class _Again(Extractor):
    """A source that has nothing but what it told before and was refused."""

    def __init__(self, whole: Extractor, rejects: pa.Table) -> None:
        self._whole, self._rejects = whole, rejects
        self.source, self.row_id = whole.source, whole.row_id
        self.refused: dict[str, str] = {}
        """Why those that are no row still are none, by `_row_id`."""

    def check(self) -> str:
        return self._whole.check()

    def partitions(self, since: Position, until: datetime) -> list[Partition]:  # noqa: ARG002 - it has one
        return [TimeWindow(None, until)]

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - it has one
        self.refused = {}

        def refuse(batch: pa.RecordBatch) -> None:
            known = batch.filter(pc.is_in(batch.column("_row_id"), self._rejects["_row_id"].combine_chunks()))
            self.refused |= dict(zip(*(known.column(name).to_pylist() for name in ("_row_id", "reason")), strict=True))
            reject(batch)

        return self._whole.again(self._rejects, refuse)

    def close(self) -> None:
        self._whole.close()
