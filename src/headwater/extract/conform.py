"""A source's chunks as rows of a Bronze contract: the same columns, the same types, nothing rounded on the way."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Column, Contract
from headwater.errors import SourceRejected
from headwater.extract.base_extractor import Reject
from headwater.extract.from_text import reject_batch, typed

_LOG = logging.getLogger("headwater.extract")
_WIDEST = 38
_SHOWN = 80


class BronzeShape:
    """Brings what a source shows into the columns of one Bronze contract, and says each difference once.

    A column that the contract requires must be there (its values may be null); another one that is missing becomes
    null; one that the contract does not know is left out. Timestamps without a zone are UTC, and what they hold below
    a microsecond is cut off; every other value arrives exactly or is rejected.
    """

    def __init__(self, source: str, place: str, contract: Contract) -> None:
        """`place` is what people call the table at the source, for messages."""
        self._source = source
        self._place = place
        self._contract = contract
        self._said: set[str] = set()

    def columns(self, present: Iterable[str]) -> dict[str, str]:
        """The source's name of each contract column that it has, found without regard to case.

        Raises:
            SourceRejected: the source lacks a column that the contract requires.
        """
        by_name: dict[str, str] = {}
        for name in present:
            by_name.setdefault(name.lower(), name)
        found = {name: by_name.pop(name.lower()) for name in self._contract.column_names if name.lower() in by_name}
        for column in self._contract.columns:
            if column.name not in found and column.required:
                raise SourceRejected(
                    self._source,
                    f"{self._place} has no column {column.name}, which {self._contract_file} requires; "
                    "bring it back at the source, or drop `required` there if it is gone for good",
                )
            if column.name not in found:
                self._warn(f"{self._place} has no column {column.name}: it is null ({self._contract_file} has it)")
        if by_name and not self._contract.partial:
            extra = ", ".join(sorted(by_name.values()))
            self._warn(f"{self._place} has columns that {self._contract_file} does not know; left out: {extra}")
        return found

    def cast(self, batch: pa.RecordBatch, reject: Reject, raw: Callable[[int], bytes] | None = None) -> pa.RecordBatch:
        """The batch as Bronze rows; a row with a value that fits no type goes to `reject` instead.

        `raw` gives a row's bytes as the source told them; without it they are its columns as JSON.
        """
        found = self.columns(batch.schema.names)
        arrays: list[pa.Array] = []
        refused: dict[int, list[str]] = {}
        for column in self._contract.columns:
            if column.name not in found:
                arrays.append(pa.nulls(batch.num_rows, column.arrow_type))
                continue
            array, reasons = self._column(column, batch.column(found[column.name]))
            arrays.append(array)
            for row, reason in reasons.items():
                refused.setdefault(row, []).append(reason)
        rows = pa.RecordBatch.from_arrays(arrays, schema=self._contract.arrow_schema)
        if not refused:
            return rows
        self._reject(batch, refused, reject, raw or partial(_as_json, batch))
        kept = pa.array([row not in refused for row in range(batch.num_rows)])
        return rows.filter(kept)

    @property
    def _contract_file(self) -> str:
        return f"config/contracts/bronze/{self._contract.name}.yaml"

    def _warn(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            _LOG.warning("%s: %s", self._source, text)

    def _column(self, column: Column, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        try:
            return fitted(column, values)
        except pa.ArrowNotImplementedError as error:
            raise SourceRejected(
                self._source,
                f"{self._place} has {column.name} as {values.type}, which can't become the {column.type} of "
                f"{self._contract_file}; change one of the two",
            ) from error

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


def fitted(column: Column, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """A column's values in its contract's type, null where one does not fit, and why for each such row.

    Raises:
        pa.ArrowNotImplementedError: no value of this kind can become that type.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if pa.types.is_string(values.type):
        arrays, refused = typed([column], {column.name: values})
        return arrays[column.name], refused
    array = _cast_or_null(values, column.arrow_type)
    if array.null_count == values.null_count:
        return array, {}
    rows = pc.indices_nonzero(pc.and_(array.is_null(), values.is_valid())).to_pylist()
    return array, {row: f"{column.name} is {_shown(values[row])}, which is no {column.type}" for row in rows}


def _cast_or_null(values: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast at once; where that fails halve until only the values that don't fit are left, and make these null."""
    try:
        return _cast(values, to)
    except pa.ArrowNotImplementedError:
        raise
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.nulls(1, to)
        half = len(values) // 2
        return pa.concat_arrays([_cast_or_null(values[:half], to), _cast_or_null(values[half:], to)])


def _cast(values: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast without loss, or raise ArrowInvalid."""
    kind = values.type
    if kind == to:
        return values
    if pa.types.is_decimal(to) and pa.types.is_integer(kind):
        return values.cast(pa.decimal128(_WIDEST, 0)).cast(to)
    if pa.types.is_decimal(to) and pa.types.is_floating(kind):
        return values.cast(pa.string()).cast(to)
    if pa.types.is_timestamp(to) and pa.types.is_timestamp(kind):
        return (pc.floor_temporal(values, unit="microsecond") if kind.unit == "ns" else values).cast(to)
    if pa.types.is_timestamp(to) and not (pa.types.is_date(kind) or pa.types.is_null(kind)):
        raise pa.ArrowNotImplementedError(f"a number is no instant: {kind}")
    if pa.types.is_date(to) and pa.types.is_timestamp(kind):
        day = values.cast(to)
        if not pc.all(pc.equal(day.cast(pa.timestamp("us")), values.cast(pa.timestamp("us"))), min_count=0).as_py():
            raise pa.ArrowInvalid("an instant within a day is no date")
        return day
    return values.cast(to)


def _as_json(batch: pa.RecordBatch, row: int) -> bytes:
    values = {name: column[row].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    return json.dumps(values, default=str, ensure_ascii=False).encode()


def _key(batch: pa.RecordBatch, row: int, keys: Sequence[str]) -> str:
    return " ".join(f"{name}={batch.column(name)[row].as_py()}" for name in keys)


def _shown(value: pa.Scalar) -> str:
    text = str(value.as_py())
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
