"""The embedded engine commits once, whoever else commits."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.aws import served

from headwater.config import AwsSettings
from headwater.engine import Commit, Held, HeldSince, Repeats, Staged, Table
from headwater.engine.embedded import EmbeddedEngine
from headwater.engine.landing import write_once
from headwater.errors import CommitRefused
from headwater.object_store import Place
from headwater.run.row_ids import RowIds

TABLE = Table("events", "bronze/events", pa.schema([("_row_id", pa.string()), ("value", pa.int64())]))
LANDED = Table(
    "orders",
    "bronze/orders",
    pa.schema([("_row_id", pa.string()), ("at", pa.timestamp("us", tz="UTC")), ("_ingest_date", pa.date32())]),
    ("_ingest_date",),
)
SALES = Table("sales", "gold/sales", pa.schema([("id", pa.int64()), ("country", pa.string())]), ("country",), True)
NOTES = Table("notes", "notes", pa.schema([("_row_id", pa.string()), ("table", pa.string()), ("said", pa.string())]))
NOON = datetime(2024, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsSettings]:
    with served("engine-lake") as settings:
        yield settings


@pytest.fixture(params=["local", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty lake: a folder of this machine, or a prefix of a bucket."""
    if request.param == "local":
        return Place(str(tmp_path / "lake"))
    return Place(f"s3://engine-lake/{uuid.uuid4().hex}", request.getfixturevalue("aws"))


@pytest.fixture
def engine(lake: Place) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(lake)
    yield engine
    engine.close()


def staged(engine: EmbeddedEngine, folder: str, *ids: str) -> Staged:
    batch = pa.RecordBatch.from_pylist([{"_row_id": each, "value": 1} for each in ids], schema=TABLE.schema)
    return engine.land(TABLE, [batch], folder, Held.NOTHING)[0]


def commit(version: int, table: Table = TABLE) -> Commit:
    return Commit(table.app_id, version, {"watermark": f"w{version}"}, {"run_id": "r"})


def test_a_commit_carries_its_rows_and_what_they_were_made_from(engine: EmbeddedEngine) -> None:
    engine.append(TABLE, staged(engine, "a", "1", "2"), commit(1))
    head = engine.head(TABLE)

    assert head is not None
    assert (head.txn, head.inputs, head.metadata) == (1, {"watermark": "w1"}, {"run_id": "r"})
    assert engine.rows(TABLE, head.version) == 2


def test_the_second_commit_of_a_span_is_refused(lake: Place) -> None:
    engine, other = EmbeddedEngine(lake), EmbeddedEngine(lake)
    mine, theirs = staged(engine, "a", "1"), staged(other, "b", "1")
    other.append(TABLE, theirs, commit(1))

    with pytest.raises(CommitRefused, match="events"):
        engine.append(TABLE, mine, commit(1))
    engine.append(TABLE, staged(engine, "c", "2"), commit(2))
    with pytest.raises(CommitRefused, match="version 1 is committed already"):
        engine.replace(TABLE, mine, commit(1))
    assert engine.rows(TABLE, 1) == 2


def test_of_many_who_commit_one_version_at_once_one_succeeds(lake: Place) -> None:
    engines = [EmbeddedEngine(lake) for _ in range(4)]

    def committed(engine: EmbeddedEngine, version: int, number: int) -> bool:
        found = staged(engine, f"{version}-{number}", f"{version}:{number}")
        try:
            engine.append(TABLE, found, commit(version))
        except CommitRefused:
            return False
        return True

    with ThreadPoolExecutor(len(engines)) as pool:
        for version in range(1, 6):
            numbers = range(len(engines))
            won = list(pool.map(committed, engines, [version] * len(engines), numbers))
            assert won.count(True) == 1

    head = engines[0].head(TABLE)
    assert head is not None
    assert (head.txn, engines[0].rows(TABLE, head.version)) == (5, 5)


def test_a_commit_without_rows_moves_what_was_consumed(engine: EmbeddedEngine) -> None:
    engine.append(TABLE, Staged("a"), commit(1))
    engine.append(TABLE, Staged("b"), commit(2))
    head = engine.head(TABLE)

    assert head is not None
    assert (head.inputs, engine.rows(TABLE, head.version)) == ({"watermark": "w2"}, 0)


def test_a_table_that_nobody_committed_has_no_head(engine: EmbeddedEngine) -> None:
    assert engine.head(TABLE) is None


def landed(engine: EmbeddedEngine, folder: str, repeats: Repeats, *rows: tuple[str, datetime]) -> tuple[Staged, int]:
    schema = pa.schema(list(LANDED.schema)[:2])
    batch = pa.RecordBatch.from_pylist([{"_row_id": each, "at": at} for each, at in rows], schema=schema)
    return engine.land(LANDED, [batch], f"_ingest_date=2024-11-01/{folder}", repeats)


def test_of_a_stream_only_what_the_table_lacks_is_landed(engine: EmbeddedEngine) -> None:
    first, repeated = landed(engine, "r-0", Held.ANYTHING, ("a", NOON), ("b", NOON), ("a", NOON))
    engine.append(LANDED, first, commit(1, LANDED))
    hour = timedelta(hours=1)
    second, again = landed(engine, "r-1", HeldSince("at", NOON), ("b", NOON), ("c", NOON + hour), ("c", NOON + hour))
    engine.append(LANDED, second, commit(2, LANDED))

    assert (first.rows, repeated) == (2, 1)
    assert (second.rows, again) == (1, 2)
    assert landed(engine, "r-2", HeldSince("at", NOON + hour), ("a", NOON), ("c", NOON + hour))[1] == 1
    assert landed(engine, "r-3", Held.NOTHING, ("a", NOON))[1] == 0
    assert landed(engine, "r-4", Held.ANYTHING, ("a", NOON), ("c", NOON)) == (
        Staged("_ingest_date=2024-11-01/r-4"),
        2,
    )
    read = engine.scan(LANDED, 1, ["_row_id", "_ingest_date"]).read_all()
    assert sorted(read["_row_id"].to_pylist()) == ["a", "b", "c"]
    assert set(read["_ingest_date"].to_pylist()) == {date(2024, 11, 1)}


def test_changes_are_what_an_append_only_table_gained(engine: EmbeddedEngine) -> None:
    for version, each in enumerate("abc", start=1):
        engine.append(LANDED, landed(engine, f"r-{version}", Held.NOTHING, (each, NOON))[0], commit(version, LANDED))

    gained = engine.changes(LANDED, 0, 2).toArrow()
    assert sorted(gained["_row_id"].to_pylist()) == ["b", "c"]
    assert engine.changes(LANDED, 2, 2).count() == 0


COUNTRIES = ["United Kingdom", "Côte d'Ivoire", "a/b", "x%20y", "=", "q?#&+", "Unknown", None]


def test_staged_files_are_read_back_as_they_will_stand(engine: EmbeddedEngine) -> None:
    rows = pa.table({"id": list(range(8)), "country": COUNTRIES}, schema=SALES.schema)
    found = engine.stage(SALES, engine.session.createDataFrame(rows), "r-1", SALES.partition_by)
    back = engine.staged(SALES, found).toArrow().select(SALES.schema.names).sort_by("id")
    engine.replace(SALES, found, commit(1, SALES))

    assert found.rows == 8
    assert {file.partition["country"] for file in found.files} == set(COUNTRIES)
    assert back.to_pylist() == rows.to_pylist()
    assert engine.read(SALES, 0).toArrow().select(SALES.schema.names).sort_by("id").to_pylist() == rows.to_pylist()
    assert engine.scan(SALES, 0, ["id", "country"]).read_all().sort_by("id").to_pylist() == rows.to_pylist()


def test_what_is_staged_again_takes_the_place_of_what_was(engine: EmbeddedEngine) -> None:
    rows = engine.session.createDataFrame(pa.table({"id": [1, 2], "country": ["DE", "FR"]}, schema=SALES.schema))
    engine.stage(SALES, rows, "r-1", SALES.partition_by)
    again = engine.stage(SALES, rows.where("country = 'DE'"), "r-1", SALES.partition_by)

    assert [file.partition["country"] for file in again.files] == ["DE"]
    assert engine.staged(SALES, again).count() == 1
    engine.discard(SALES, again)
    engine.discard(SALES, again)
    assert engine.head(SALES) is None


def test_only_rows_that_the_table_lacks_are_inserted(engine: EmbeddedEngine) -> None:
    rows = pa.table({"_row_id": ["1", "2"], "value": [1, 1]}, schema=TABLE.schema)

    assert engine.insert(TABLE, rows, on="_row_id") == 2
    assert engine.insert(TABLE, rows, on="_row_id") == 0


def notes(*rows: tuple[str, str, str]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(NOTES.schema.names, row, strict=True)) for row in rows], schema=NOTES.schema)


CHECKS_OF_ORDERS, CHECKS_OF_CUSTOMERS = (
    Table(f"notes.{each}", "notes", NOTES.schema) for each in ("orders", "customers")
)


def said(engine: EmbeddedEngine) -> list[str]:
    head = engine.head(CHECKS_OF_ORDERS)
    assert head is not None
    return sorted(engine.scan(NOTES, head.version, ["_row_id"]).read_all()["_row_id"].to_pylist())


def test_rows_take_the_place_of_those_with_the_same_values(engine: EmbeddedEngine) -> None:
    orders, customers = {"table": "orders"}, {"table": "customers"}
    first = notes(("1", "orders", "a"), ("2", "orders", "b"))
    engine.overwrite(CHECKS_OF_ORDERS, first, orders, commit(1, CHECKS_OF_ORDERS))
    engine.overwrite(CHECKS_OF_CUSTOMERS, notes(("3", "customers", "c")), customers, commit(1, CHECKS_OF_CUSTOMERS))
    engine.overwrite(CHECKS_OF_ORDERS, notes(("4", "orders", "d")), orders, commit(2, CHECKS_OF_ORDERS))

    assert said(engine) == ["3", "4"]


def test_who_planned_before_another_wrote_the_same_rows_is_refused(engine: EmbeddedEngine) -> None:
    rows, orders = notes(("1", "orders", "late")), {"table": "orders"}
    engine.overwrite(CHECKS_OF_ORDERS, notes(("2", "orders", "a")), orders, commit(1, CHECKS_OF_ORDERS))
    with pytest.raises(CommitRefused, match=r"notes\.orders: version 1 is committed already"):
        engine.overwrite(CHECKS_OF_ORDERS, rows, orders, commit(1, CHECKS_OF_ORDERS))

    assert said(engine) == ["2"]


def test_of_many_who_write_the_same_rows_one_succeeds_and_stops_no_other(lake: Place) -> None:
    """Each table's gate has an application of its own in the table of all checks."""

    def written(table: Table, number: int) -> bool:
        kind = table.name.rpartition(".")[2]
        try:
            EmbeddedEngine(lake).overwrite(table, notes((f"{number}", kind, "")), {"table": kind}, commit(1, table))
        except CommitRefused:
            return False
        return True

    tables = [CHECKS_OF_ORDERS, CHECKS_OF_CUSTOMERS] * 3
    with ThreadPoolExecutor(len(tables)) as pool:
        won = list(pool.map(written, tables, range(len(tables))))

    assert (won[0::2].count(True), won[1::2].count(True)) == (1, 1)
    assert said(EmbeddedEngine(lake)) == sorted(str(number) for number, each in enumerate(won) if each)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=5),
    before=st.none() | st.sets(st.integers(0, 12)),
)
def test_however_a_stream_is_cut_each_row_is_written_once(
    tmp_path: Path, told: list[list[int]], before: set[int] | None
) -> None:
    held = None
    if before is not None:
        ids = pa.table({"_row_id": list(map(str, before)), "value": [0] * len(before)}, schema=TABLE.schema)
        held = ids.select(["_row_id"]).to_reader()
    batches = [
        pa.RecordBatch.from_pylist([{"_row_id": str(each), "value": each} for each in batch], schema=TABLE.schema)
        for batch in told
    ]
    path = tmp_path / "new.parquet"
    path.unlink(missing_ok=True)
    read, repeated = write_once(path, TABLE.schema, batches, held)

    everything = [each for batch in told for each in batch]
    written = pa.parquet.read_table(path)["value"].to_pylist() if path.exists() else []
    assert read == len(everything)
    assert read - repeated == len(written)
    assert sorted(written) == sorted(set(everything) - (before or set()))


@pytest.mark.parametrize("repeats", [0, 1])
def test_a_row_that_comes_again_after_millions_of_others_is_written_once(tmp_path: Path, repeats: int) -> None:
    several = 1 << 20
    numbers = [range(start, start + several) for start in range(0, 5 * several, several)]
    batches = (
        pa.RecordBatch.from_arrays([pa.array(each).cast(pa.string()), pa.array(each)], schema=TABLE.schema)
        for each in (*numbers, range(7, 7 + repeats))
    )
    path = tmp_path / "new.parquet"

    assert write_once(path, TABLE.schema, batches, None) == (5 * several + repeats, repeats)
    assert pa.parquet.ParquetFile(path).metadata.num_rows == 5 * several


@settings(max_examples=40, deadline=None)
@given(
    row=st.fixed_dictionaries(
        {"a": st.none() | st.text(), "b": st.none() | st.integers(-9, 9), "c": st.none() | st.text()}
    )
)
def test_two_rows_share_an_identity_only_if_they_are_equal(row: dict[str, object]) -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.int64()), ("c", pa.string())])
    other = row | {"a": row["c"], "c": row["a"]}
    ids = RowIds().of(pa.RecordBatch.from_pylist([row, other], schema=schema)).to_pylist()
    wider = pa.schema([("d", pa.string()), *reversed(list(schema))])

    assert (ids[0] == ids[1]) == (row == other)
    assert RowIds().of(pa.RecordBatch.from_pylist([row], schema=wider)).to_pylist() == [ids[0]]


# Columns that a table gains


def with_column(column: str) -> Table:
    return Table(LANDED.name, LANDED.path, LANDED.schema.append(pa.field(column, pa.string())), LANDED.partition_by)


def brought(engine: EmbeddedEngine, table: Table, folder: str, *batches: dict[str, str]) -> Staged:
    """A row for each batch, which has only the columns told and its identity, of a stream under a table's schema."""
    told = [{"_row_id": f"{folder}-{number}"} | batch for number, batch in enumerate(batches)]
    stream = [pa.RecordBatch.from_pylist([row], pa.schema([(name, pa.string()) for name in row])) for row in told]
    return engine.land(table, stream, f"_ingest_date=2024-11-01/{folder}", Held.NOTHING)[0]


def rows_of(engine: EmbeddedEngine, version: int, *columns: str) -> list[tuple[str | None, ...]]:
    table = engine.scan(LANDED, version, ["_row_id", *columns]).read_all()
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_a_table_gains_a_column_in_the_commit_of_its_rows(engine: EmbeddedEngine) -> None:
    engine.append(LANDED, brought(engine, LANDED, "a", {}), commit(1, LANDED))
    shelf = with_column("shelf")
    version = engine.append(shelf, brought(engine, LANDED, "b", {}, {"shelf": "A1"}, {}), commit(2, LANDED))

    head = engine.head(LANDED)
    assert head is not None
    assert (version, head.version, head.txn, head.inputs) == (1, 1, 2, {"watermark": "w2"})
    assert head.schema.names == [*LANDED.schema.names, "shelf"]
    assert rows_of(engine, 1, "shelf") == [("a-0", None), ("b-0", None), ("b-1", "A1"), ("b-2", None)]
    narrow = engine.append(LANDED, brought(engine, LANDED, "c", {}), commit(3, LANDED))
    assert len(rows_of(engine, narrow, "shelf")) == 5


def test_of_two_writers_that_bring_columns_in_the_same_commit_one_is_refused(lake: Place) -> None:
    engine, other = EmbeddedEngine(lake), EmbeddedEngine(lake)
    engine.append(LANDED, brought(engine, LANDED, "a", {}), commit(1, LANDED))
    mine, theirs = brought(engine, LANDED, "b", {"shelf": "A1"}), brought(other, LANDED, "c", {"hall": "H1"})
    other.append(with_column("hall"), theirs, commit(2, LANDED))

    with pytest.raises(CommitRefused, match="orders"):
        engine.append(with_column("shelf"), mine, commit(2, LANDED))

    head = engine.head(LANDED)
    assert head is not None
    assert head.schema.names == [*LANDED.schema.names, "hall"]
    version = engine.append(with_column("shelf"), mine, commit(3, LANDED))
    assert rows_of(engine, version, "hall", "shelf") == [("a-0", None, None), ("b-0", None, "A1"), ("c-0", "H1", None)]


def test_writers_that_race_for_a_column_make_one_commit_of_each_version(lake: Place) -> None:
    engines = [EmbeddedEngine(lake) for _ in range(4)]
    engines[0].append(LANDED, brought(engines[0], LANDED, "a", {}), commit(1, LANDED))

    def race(number: int) -> bool:
        engine, column = engines[number], f"column_{number}"
        staged = brought(engine, LANDED, f"r{number}", {column: "x"})
        try:
            engine.append(with_column(column), staged, commit(2, LANDED))
        except CommitRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(race, range(4)))

    head = engines[0].head(LANDED)
    assert head is not None
    assert (won.count(True), head.version, head.txn) == (1, 1, 2)
    assert head.schema.names == [*LANDED.schema.names, f"column_{won.index(True)}"]


def test_files_that_no_commit_names_change_no_schema(engine: EmbeddedEngine) -> None:
    engine.append(LANDED, brought(engine, LANDED, "a", {}), commit(1, LANDED))

    brought(engine, LANDED, "b", {"shelf": "A1"})  # and the process dies

    head = engine.head(LANDED)
    assert head is not None
    assert head.schema.names == LANDED.schema.names
