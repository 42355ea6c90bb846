"""Kafka messages as a dataset folder holds them: in the order of their offsets."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.sandbox.datasets.columns import choose, instants
from headwater.sandbox.datasets.draws import Ints, Mask
from headwater.sandbox.datasets.folder import SOURCE_SCHEMAS

_SCHEMA = SOURCE_SCHEMAS["kafka/orders_events"]


def messages(kind: str, partition: Ints, key: pa.Array, value: pa.Array, at: Ints, traced: pa.Array) -> pa.Table:
    """Messages visible at their own time, with a `schema` header and, where `traced` is not null, a `trace-id`."""
    shown = instants(at)
    columns = [pa.array(partition, pa.int32()), key, value.cast(pa.binary()), _headers(kind, traced), shown, shown]
    return pa.Table.from_arrays(
        [_whole(column, field) for column, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
    )


def _whole(column: pa.Array, field: pa.Field) -> pa.Array:
    return column if column.type.equals(field.type) else column.cast(field.type)


def _headers(kind: str, traced: pa.Array) -> pa.Array:
    has_trace = pc.is_valid(traced).to_numpy(zero_copy_only=False)
    ends = np.cumsum(1 + has_trace)
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    is_trace = np.zeros(offsets[-1], dtype=np.int64)
    is_trace[ends[has_trace] - 1] = 1
    rows = np.repeat(np.arange(len(traced)), 1 + has_trace)
    ids = traced.cast(pa.binary()).take(pa.array(rows))
    values = pc.if_else(pa.array(is_trace == 1), ids, pa.scalar(kind.encode(), pa.binary()))
    fields = list(_SCHEMA.field("headers").type.value_type)
    pairs = pa.StructArray.from_arrays([choose(("schema", "trace-id"), is_trace), values], fields=fields)
    return pa.ListArray.from_arrays(pa.array(offsets), pairs).cast(_SCHEMA.field("headers").type)


def repeated(table: pa.Table, where: Mask, after_us: int) -> pa.Table:
    """The messages, and some of them once more: the same key, value and timestamp, visible `after_us` later."""
    again = table.filter(pa.array(where))
    later = pc.add(again["_visible_at"], pa.scalar(after_us, pa.duration("us")))
    return pa.concat_tables(
        [table, again.set_column(again.schema.names.index("_visible_at"), _SCHEMA.field("_visible_at"), later)]
    )


def in_order(pieces: Iterable[tuple[pa.Table, int]]) -> Iterator[pa.Table]:
    """The messages of all pieces by `_visible_at`.

    Each piece comes with an instant before which no later piece has a message: what is younger waits, so that
    memory holds a piece and the days that reach into the next.
    """
    waiting: pa.Table | None = None
    for piece, settled in pieces:
        known = piece if waiting is None else pa.concat_tables([waiting, piece])
        known = known.take(pc.sort_indices(known, sort_keys=[("_visible_at", "ascending"), ("partition", "ascending")]))
        ready = int(np.searchsorted(known["_visible_at"].cast(pa.int64()).to_numpy(), settled))
        yield known.slice(0, ready)
        waiting = known.slice(ready)
    if waiting is not None:
        yield waiting
