"""Makes rows, by today's contract, of what was refused as no row: from the record that was kept, or from its place."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headwater.errors import SourceRejected
from headwater.extract.base_extractor import Extractor, Partition, Reject
from headwater.extract.conform import BronzeShape
from headwater.extract.from_text import reject_batch


def from_records(shape: BronzeShape, rejects: pa.Table, reject: Reject) -> Iterator[pa.RecordBatch]:
    """Rows of records that were kept as JSON of their columns; each value is read as the text that it is written as."""
    strange: dict[int, str] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    told: dict[int, dict[str, str | None]] = {}
    raws = rejects["raw"].to_pylist()
    for row, raw in enumerate(raws):
        try:
            record = json.loads(raw, parse_float=str, parse_int=str, parse_constant=str)
        except ValueError as error:
            strange[row] = f"the record that was kept is no JSON: {error}"
            continue
        if isinstance(record, dict):
            told[row] = {name: _text(value) for name, value in record.items()}
            groups.setdefault(tuple(record), []).append(row)
        else:
            strange[row] = "the record that was kept is no JSON object"
    for names, rows in groups.items():
        columns = [pa.array([told[row][name] for row in rows], pa.string()) for name in names]
        batch = pa.RecordBatch.from_arrays(columns, names=list(names))
        try:
            yield shape.cast(batch, reject, raw=lambda row, rows=rows: raws[rows[row]])  # type: ignore[misc]
        except SourceRejected as error:
            strange |= dict.fromkeys(rows, str(error))
    refuse(rejects, strange, reject)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class FromPlaces:
    """Reads places of a source again, and passes on only what became of some rejects by their `_row_id`.

    A file that was refused as a whole, as one of `wholes`, comes again with all of its records.
    """

    def __init__(self, extractor: Extractor, rejects: pa.Table, reject: Reject) -> None:
        self._extractor, self._rejects, self._reject = extractor, rejects, reject
        self._rows = {row_id: row for row, row_id in enumerate(rejects["_row_id"].to_pylist())}
        self._seen: set[str] = set()

    def rows(
        self, partition: Partition, wanted: Collection[str], *, whole: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """What a partition has of the wanted rejects; everything, where `whole` is the reject of all of it."""
        ids = pa.array(sorted(wanted), pa.string())

        def told(batch: pa.RecordBatch) -> pa.RecordBatch:
            if whole is None:
                batch = batch.filter(pc.is_in(batch.column("_row_id"), ids))
            self._seen.update(batch.column("_row_id").to_pylist())
            return batch

        def reject(batch: pa.RecordBatch) -> None:
            if (kept := told(batch)).num_rows:
                self._reject(kept)

        try:
            for batch in self._extractor.read(partition, reject):
                if (kept := told(batch)).num_rows:
                    yield kept
        except SourceRejected as error:
            if error.whole:
                raise
            self.gone(set(wanted) - self._seen, str(error))
        if whole is not None:
            self._seen.add(whole)

    def gone(self, row_ids: Iterable[str], why: str) -> None:
        """Refuse these again: what they were made of is not to be had."""
        refuse(self._rejects, {self._rows[row_id]: why for row_id in row_ids}, self._reject)
        self._seen.update(row_ids)

    def left(self) -> set[str]:
        """The rejects of which nothing has come."""
        return self._rows.keys() - self._seen


def refuse(rejects: pa.Table, reasons: dict[int, str], reject: Reject) -> None:
    """Refuse some rejects again, each for a reason of its own."""
    if reasons:
        again = rejects.take(list(reasons))
        ids, positions, raws = (again[name].to_pylist() for name in ("_row_id", "position", "raw"))
        reject(reject_batch(ids, positions, list(reasons.values()), raws))
