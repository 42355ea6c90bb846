"""A stream that is produced ahead is the same stream, and leaves nothing running."""

import threading

import pyarrow as pa
import pytest

from headwater.extract.base_extractor import REJECT_SCHEMA
from headwater.run.ahead import ahead, gathered
from headwater.run.refusals import Refusals


def test_items_come_in_their_order_and_the_thread_ends():
    with ahead(iter(range(100))) as items:
        assert list(items) == list(range(100))
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("-ahead")]


def test_what_a_stream_raises_is_raised_after_the_items_before_it():
    def broken():
        yield 1
        raise ValueError("broke off")

    seen = []
    with pytest.raises(ValueError, match="broke off"), ahead(broken()) as items:
        seen.extend(items)
    assert seen == [1]


def test_a_stream_that_is_given_up_is_closed_and_not_read_to_its_end():
    told: list[object] = []

    def endless():
        try:
            number = 0
            while True:
                told.append(number)
                yield number
                number += 1
        finally:
            told.append("closed")

    with ahead(endless()) as items:
        next(items)
    assert told[-1] == "closed"
    assert len(told) < 10


def test_small_batches_are_put_together_and_those_of_another_schema_are_not_mixed_in():
    one, other = pa.schema([("a", pa.int64())]), pa.schema([("a", pa.int64()), ("b", pa.int64())])
    small = [pa.record_batch([pa.array(range(10_000))], schema=one) for _ in range(8)]
    wide = pa.record_batch([pa.array([1]), pa.array([2])], schema=other)

    batches = list(gathered([*small, wide, small[0]]))

    assert [batch.num_rows for batch in batches] == [70_000, 10_000, 1, 10_000]
    assert sum(sum(batch["a"].to_pylist()) for batch in batches[:2]) == 8 * sum(range(10_000))


def test_any_number_of_refused_records_is_kept_and_given_back_some_at_a_time():
    raw = b"x" * 1_000_000
    refusals = Refusals()
    for number in range(40):
        row = {"_row_id": str(number), "position": "f", "reason": "none", "raw": raw}
        refusals.add(pa.RecordBatch.from_pylist([row], schema=REJECT_SCHEMA))

    tables = list(refusals.some_at_a_time())
    refusals.close()

    assert [row for table in tables for row in table["_row_id"].to_pylist()] == [str(number) for number in range(40)]
    assert max(table.nbytes for table in tables) < 20_000_000
