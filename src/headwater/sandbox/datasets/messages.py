"""Kafka messages as a dataset folder holds them: in the order of their offsets."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.sandbox.datasets.columns import choose, flags, instants, integers, numbers, text
from headwater.sandbox.datasets.draws import Ints, Mask
from headwater.sandbox.datasets.folder import SOURCE_SCHEMAS, table

_SCHEMA = SOURCE_SCHEMAS["kafka/orders_events"]


def messages(
    kind: str, partition: Ints, key: pa.Array, value: pa.Array, at: Ints, traces: tuple[Mask, pa.Array]
) -> pa.Table:
    """Messages visible at their own time, with a `schema` header and, where `traces` says so, its `trace-id`."""
    columns = {
        "partition": integers(partition, pa.int32()),
        "key": key,
        "value": value,
        "headers": _headers(kind, *traces),
        "timestamp": instants(at),
        "_visible_at": instants(at),
    }
    return table("kafka/orders_events", columns)


def _headers(kind: str, has_trace: Mask, trace: pa.Array) -> pa.Array:
    ends = np.cumsum(1 + has_trace)
    offsets = np.concatenate([[0], ends])
    is_trace = np.zeros(offsets[-1], dtype=np.int64)
    is_trace[ends[has_trace] - 1] = 1
    rows = np.repeat(np.arange(len(has_trace)), 1 + has_trace)
    ids = trace.cast(pa.binary()).take(integers(rows))
    values = pc.if_else(flags(is_trace == 1), ids, text(kind).cast(pa.binary()))
    fields = list(_SCHEMA.field("headers").type.value_type)
    pairs = pa.StructArray.from_arrays([choose(("schema", "trace-id"), is_trace), values], fields=fields)
    return pa.ListArray.from_arrays(integers(offsets, pa.int32()), pairs).cast(_SCHEMA.field("headers").type)


def repeated(told: pa.Table, where: Mask, after_us: int) -> pa.Table:
    """The messages, and some of them once more: the same key, value and timestamp, visible `after_us` later."""
    again = told.filter(flags(where))
    later = instants(numbers(again["_visible_at"]) + after_us)
    return pa.concat_tables(
        [told, again.set_column(again.schema.names.index("_visible_at"), _SCHEMA.field("_visible_at"), later)]
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
        ready = int(np.searchsorted(numbers(known["_visible_at"]), settled))
        yield known.slice(0, ready)
        waiting = known.slice(ready)
    if waiting is not None:
        yield waiting
