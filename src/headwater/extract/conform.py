"""A source's chunks as rows of a Bronze contract: the same columns, the same types, nothing rounded on the way."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import pyarrow as pa

from headwater.contracts import Column, Contract
from headwater.errors import SourceRejected
from headwater.extract.base_extractor import Reject
from headwater.extract.beside import arrived, divided
from headwater.extract.drift import Drift, named
from headwater.extract.fitted import fitted
from headwater.extract.from_text import reject_batch


class BronzeShape:
    """Brings what a source shows into the columns of one Bronze contract, and says each difference once.

    A column that the contract requires must be there (its values may be null); another one that is missing becomes
    null; one that the contract does not know comes after the others, as its source tells it. Values that don't fit
    their column because the source declares another type for it stand beside it (`divided`). Timestamps without a zone
    are UTC, and what they hold below a microsecond is cut off; every other value arrives exactly or is rejected.
    """

    def __init__(self, source: str, place: str, contract: Contract, drift: Drift | None = None) -> None:
        """`place` is what people call the table at the source, for messages."""
        self._source = source
        self._place = place
        self._contract = contract
        self._drift = drift or Drift(source)

    def columns(self, present: Iterable[str]) -> dict[str, str]:
        """The source's name of each column that it has, found without regard to case: the contract's, then others.

        Raises:
            SourceRejected: the source lacks a column that the contract requires.
        """
        by_name: dict[str, str] = {}
        others = [name for name in present if by_name.setdefault(name.lower(), name) != name]
        found = {name: by_name.pop(name.lower()) for name in self._contract.column_names if name.lower() in by_name}
        for column in self._contract.columns:
            if column.name in found:
                continue
            if column.required:
                raise SourceRejected(
                    self._source,
                    f"{self._place} has no column {column.name}, which {self._contract_file} requires; "
                    "bring it back at the source, or drop `required` there if it is gone for good",
                )
            text = f"{self._place} has no column {column.name}: it is null ({self._contract_file} has it)"
            self._drift.lacks(column.name, text)
        others += by_name.values()
        if not others or self._contract.partial:
            return found
        extra = named(others, self._contract.column_names)
        self._drift.warn(
            f"{self._place} has columns that {self._contract_file} does not know; merged in: {', '.join(extra.values())}"
        )
        return found | extra

    def cast(
        self,
        batch: pa.RecordBatch,
        reject: Reject,
        raw: Callable[[int], bytes] | None = None,
        declared: Mapping[str, pa.DataType] | None = None,
    ) -> pa.RecordBatch:
        """The batch as Bronze rows; a row with a value that fits no type goes to `reject` instead.

        `raw` gives a row's bytes as the source told them; without it they are its columns as JSON. `declared` says the
        types that the source has for the batch's columns; without it that is an array's own, unless it is text.
        """
        found = self.columns(batch.schema.names)
        kinds = {name: _declared(batch.schema.field(name).type) for name in batch.schema.names} | dict(declared or {})
        arrays: dict[str, pa.Array] = {}
        others: dict[str, pa.Array] = {}
        refused: dict[int, list[str]] = {}
        for column in self._contract.columns:
            if column.name not in found:
                arrays[column.name] = pa.nulls(batch.num_rows, column.arrow_type)
                continue
            there = found.pop(column.name)
            arrays[column.name], besides, reasons = self._column(column, batch.column(there), kinds[there])
            others |= besides
            for row, reason in reasons.items():
                refused.setdefault(row, []).append(reason)
        for name, there in found.items():
            others |= arrived(name, batch.column(there), kinds[there])
        rows = pa.RecordBatch.from_pydict(arrays | others)
        if not refused:
            return rows
        self._reject(batch, refused, reject, raw or partial(_as_json, batch))
        kept = pa.array([row not in refused for row in range(batch.num_rows)])
        return rows.filter(kept)

    @property
    def _contract_file(self) -> str:
        return f"config/contracts/bronze/{self._contract.name}.yaml"

    def _column(
        self, column: Column, values: pa.Array, declared: pa.DataType | None
    ) -> tuple[pa.Array, dict[str, pa.Array], dict[int, str]]:
        if column.name != self._contract.cursor:
            return divided(column, values, declared)
        try:
            array, reasons = fitted(column, values)
        except pa.ArrowNotImplementedError as error:
            raise SourceRejected(
                self._source,
                f"{self._place} has {column.name} as {values.type}, which can't become the {column.type} of "
                f"{self._contract_file}, and row versions are ordered by it; change one of the two",
            ) from error
        return array, {}, reasons

    def _reject(
        self, batch: pa.RecordBatch, refused: dict[int, list[str]], reject: Reject, raw: Callable[[int], bytes]
    ) -> None:
        """A table has no positions: a row is known by the hash of its bytes, and found again by its key."""
        raws = [raw(row) for row in refused]
        found = self.columns(batch.schema.names)
        keys = [found[name] for name in self._contract.key if name in found]
        reject(
            reject_batch(
                [hashlib.sha256(each).hexdigest() for each in raws],
                [f"{self._place} {_key(batch, row, keys)}".rstrip() for row in refused],
                ["; ".join(reasons) for reasons in refused.values()],
                raws,
            )
        )


def _declared(told: pa.DataType) -> pa.DataType | None:
    """What an array's own type declares; text may be all that its source can tell."""
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return None if any(is_one(told) for is_one in texts) else told


def _as_json(batch: pa.RecordBatch, row: int) -> bytes:
    values = {name: column[row].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    return json.dumps(values, default=str, ensure_ascii=False).encode()


def _key(batch: pa.RecordBatch, row: int, keys: Sequence[str]) -> str:
    return " ".join(f"{name}={batch.column(name)[row].as_py()}" for name in keys)
