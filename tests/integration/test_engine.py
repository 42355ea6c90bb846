"""The embedded engine commits once, whoever else commits."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.engine import Commit, Held, Staged, Table
from headwater.engine.embedded import EmbeddedEngine
from headwater.engine.landing import write_once
from headwater.errors import CommitRefused
from headwater.run.row_ids import RowIds

TABLE = Table("events", "bronze/events", pa.schema([("_row_id", pa.string()), ("value", pa.int64())]))


def staged(engine: EmbeddedEngine, folder: str, *ids: str) -> Staged:
    batch = pa.RecordBatch.from_pylist([{"_row_id": each, "value": 1} for each in ids], schema=TABLE.schema)
    return engine.land(TABLE, [batch], folder, Held.NOTHING)[0]


def commit(version: int) -> Commit:
    return Commit(TABLE.app_id, version, {"watermark": f"w{version}"}, {"run_id": "r"})


def test_a_commit_carries_its_rows_and_what_they_were_made_from(tmp_path: Path) -> None:
    engine = EmbeddedEngine(str(tmp_path))
    engine.append(TABLE, staged(engine, "a", "1", "2"), commit(1))
    head = engine.head(TABLE)

    assert head is not None
    assert (head.txn, head.inputs, head.metadata) == (1, {"watermark": "w1"}, {"run_id": "r"})
    assert engine.rows(TABLE, head.version) == 2


def test_the_second_commit_of_a_span_is_refused(tmp_path: Path) -> None:
    engine, other = EmbeddedEngine(str(tmp_path)), EmbeddedEngine(str(tmp_path))
    mine, theirs = staged(engine, "a", "1"), staged(other, "b", "1")
    other.append(TABLE, theirs, commit(1))

    with pytest.raises(CommitRefused, match="events"):
        engine.append(TABLE, mine, commit(1))
    engine.append(TABLE, staged(engine, "c", "2"), commit(2))
    with pytest.raises(CommitRefused, match="version 1 is committed already"):
        engine.replace(TABLE, mine, commit(1))
    assert engine.rows(TABLE, 1) == 2


def test_a_commit_without_rows_moves_what_was_consumed(tmp_path: Path) -> None:
    engine = EmbeddedEngine(str(tmp_path))
    engine.append(TABLE, Staged("a"), commit(1))
    engine.append(TABLE, Staged("b"), commit(2))
    head = engine.head(TABLE)

    assert head is not None
    assert (head.inputs, engine.rows(TABLE, head.version)) == ({"watermark": "w2"}, 0)


def test_a_table_that_nobody_committed_has_no_head(tmp_path: Path) -> None:
    assert EmbeddedEngine(str(tmp_path)).head(TABLE) is None


def test_only_rows_that_the_table_lacks_are_inserted(tmp_path: Path) -> None:
    engine = EmbeddedEngine(str(tmp_path))
    rows = pa.table({"_row_id": ["1", "2"], "value": [1, 1]}, schema=TABLE.schema)

    assert engine.insert(TABLE, rows, on="_row_id") == 2
    assert engine.insert(TABLE, rows, on="_row_id") == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=5),
    before=st.sets(st.integers(0, 12)),
)
def test_however_a_stream_is_cut_each_row_is_written_once(
    tmp_path: Path, told: list[list[int]], before: set[int]
) -> None:
    held = tmp_path / "held.parquet"
    ids = pa.table({"_row_id": [str(each) for each in sorted(before)], "value": [0] * len(before)}, schema=TABLE.schema)
    pa.parquet.write_table(ids, held)
    batches = [
        pa.RecordBatch.from_pylist([{"_row_id": str(each), "value": each} for each in batch], schema=TABLE.schema)
        for batch in told
    ]
    path = tmp_path / "new.parquet"
    path.unlink(missing_ok=True)
    read, repeated = write_once(path, TABLE.schema, batches, [str(held)], "true")

    everything = [each for batch in told for each in batch]
    written = pa.parquet.read_table(path)["value"].to_pylist() if path.exists() else []
    assert read == len(everything)
    assert read - repeated == len(written)
    assert sorted(written) == sorted(set(everything) - before)


@settings(max_examples=40, deadline=None)
@given(
    row=st.fixed_dictionaries(
        {"a": st.none() | st.text(), "b": st.none() | st.integers(-9, 9), "c": st.none() | st.text()}
    )
)
def test_two_rows_share_an_identity_only_if_they_are_equal(row: dict[str, object]) -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.int64()), ("c", pa.string())])
    other = row | {"a": row["c"], "c": row["a"]}
    ids = RowIds(schema).of(pa.RecordBatch.from_pylist([row, other], schema=schema)).to_pylist()
    wider = pa.schema([("d", pa.string()), *reversed(list(schema))])

    assert (ids[0] == ids[1]) == (row == other)
    assert RowIds(wider).of(pa.RecordBatch.from_pylist([row], schema=wider)).to_pylist() == [ids[0]]
