"""What is removed below a table, and what never: on this machine and on S3."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from tests.aws import served

from headwater.config import AwsSettings
from headwater.engine import Attempt, Commit, File, Held, Staged, Table
from headwater.engine.embedded import EmbeddedEngine
from headwater.engine.files import files_below
from headwater.object_store import Place

ORDERS = Table("orders", "silver/orders", pa.schema([("_row_id", pa.string()), ("country", pa.string())]), ("country",))
LANDED = Table("landed", "bronze/landed", pa.schema([("_row_id", pa.string())]), append_only=True)
MINE, THEIRS, THIRD = (f"20241101T000000.00000{number}Z-aaaaaa" for number in range(3))
LATER = datetime.now(UTC) + timedelta(days=1)
LONG_AGO = LATER - timedelta(days=30)


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsSettings]:
    with served("leftovers") as settings:
        yield settings


@pytest.fixture(params=["local", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(str(tmp_path / "lake"))
    return Place(f"s3://leftovers/{uuid.uuid4().hex}", request.getfixturevalue("aws"))


@pytest.fixture
def engine(lake: Place) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(lake)
    yield engine
    engine.close()


def staged(engine: EmbeddedEngine, table: Table, attempt: Attempt, part: int | None = None) -> Staged:
    schema = pa.schema([field for field in table.schema if field.name not in table.partition_by])
    batch = pa.RecordBatch.from_pylist([{"_row_id": uuid.uuid4().hex}], schema=schema)
    below = "".join(f"/{name}=DE" for name in table.partition_by)
    return engine.land(table, [batch], attempt.folder(part) + below, Held.NOTHING)[0]


def commit(table: Table, attempt: Attempt, version: int | None = None) -> Commit:
    return Commit(table.app_id, version or attempt.first, {"of": attempt.first}, {"run_id": attempt.run_id})


def replaced(engine: EmbeddedEngine, run_id: str, version: int) -> Staged:
    attempt = Attempt(run_id, version)
    files = staged(engine, ORDERS, attempt)
    engine.replace(ORDERS, files, commit(ORDERS, attempt))
    return files


def there(lake: Place, table: Table) -> set[str]:
    """The data files below a table."""
    place = lake.at(table.path)
    if not lake.is_on_s3:
        root = Path(place.uri)
        paths = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    else:
        pages = obstore.list(place.objects, f"{place.prefix}/")
        paths = {each["path"].removeprefix(f"{place.prefix}/") for page in pages for each in page}
    return {path for path in paths if not path.startswith("_delta_log/")}


def paths(*staged: Staged) -> set[str]:
    return {file.path for each in staged for file in each.files}


def never(_file: File) -> bool:
    return False


def always(_file: File) -> bool:
    return True


def test_what_dead_attempts_staged_is_swept_and_what_can_still_be_committed_is_not(
    engine: EmbeddedEngine, lake: Place
) -> None:
    dead, refused = staged(engine, ORDERS, Attempt(THEIRS, 1)), staged(engine, ORDERS, Attempt(THIRD, 2))
    first, second = replaced(engine, MINE, 1), replaced(engine, MINE, 2)
    alive = staged(engine, ORDERS, Attempt(THIRD, 3))
    removed = engine.sweep(ORDERS, Attempt(MINE, 2), [""])

    assert {file.path for file in removed} == paths(dead, refused)
    assert there(lake, ORDERS) == paths(first, second, alive)
    assert engine.rows(ORDERS, 0) == 1
    engine.append(ORDERS, alive, commit(ORDERS, Attempt(THIRD, 3)))
    if not lake.is_on_s3:
        assert {path.name for path in Path(lake.at(ORDERS.path).uri).iterdir()} == {
            "_delta_log",
            *(Attempt(run, first).folder() for run, first in ((MINE, 1), (MINE, 2), (THIRD, 3))),
        }


def test_a_window_that_is_yet_to_be_committed_is_swept_only_by_its_own_run(engine: EmbeddedEngine, lake: Place) -> None:
    """A run reads windows ahead: their files stand while the one before them is committed."""
    attempt = Attempt(MINE, 1)
    windows = [staged(engine, LANDED, attempt, number) for number in range(3)]
    engine.append(LANDED, windows[0], commit(LANDED, attempt, 1))

    assert engine.sweep(LANDED, Attempt(THEIRS, 0), [""]) == []
    engine.append(LANDED, windows[1], commit(LANDED, attempt, 2))
    assert there(lake, LANDED) == paths(*windows)
    assert {file.path for file in engine.sweep(LANDED, Attempt(MINE, 2), [""])} == paths(windows[2])
    assert there(lake, LANDED) == paths(*windows[:2])


def test_a_version_of_long_ago_is_swept_by_no_run(engine: EmbeddedEngine, lake: Place) -> None:
    versions = [replaced(engine, MINE if number % 2 else THEIRS, number) for number in range(1, 25)]

    assert engine.sweep(ORDERS, Attempt(THEIRS, 24), [""]) == []
    assert there(lake, ORDERS) == paths(*versions)


def test_a_vacuum_keeps_every_version_that_was_the_newest_within_the_time(engine: EmbeddedEngine, lake: Place) -> None:
    first, second, third = (replaced(engine, MINE, number) for number in range(1, 4))

    assert engine.vacuum(ORDERS, LONG_AGO, never, dry_run=False) == []
    found = engine.vacuum(ORDERS, LATER, never, dry_run=True)
    assert there(lake, ORDERS) == paths(first, second, third)
    assert engine.vacuum(ORDERS, LATER, never, dry_run=False) == found
    assert {file.path for file in found} == paths(first, second)
    assert there(lake, ORDERS) == paths(third)
    assert engine.vacuum(ORDERS, LATER, never, dry_run=False) == []


def test_a_vacuum_takes_what_nobody_named_only_if_it_was_given_up(engine: EmbeddedEngine, lake: Place) -> None:
    standing, alive = replaced(engine, MINE, 1), staged(engine, ORDERS, Attempt(THEIRS, 2))

    assert engine.vacuum(ORDERS, LATER, never, dry_run=False) == []
    assert {file.path for file in engine.vacuum(ORDERS, LATER, always, dry_run=False)} == paths(alive)
    assert there(lake, ORDERS) == paths(standing)


def test_a_vacuum_takes_what_a_table_left_that_was_never_committed(engine: EmbeddedEngine, lake: Place) -> None:
    staged(engine, ORDERS, Attempt(MINE, 1))

    assert engine.vacuum(ORDERS, LATER, never, dry_run=False) == []
    assert len(engine.vacuum(ORDERS, LATER, always, dry_run=False)) == 1
    assert there(lake, ORDERS) == set()


def test_half_written_files_and_empty_folders_are_removed_on_this_machine(tmp_path: Path) -> None:
    engine, root = EmbeddedEngine(Place(str(tmp_path))), tmp_path / ORDERS.path
    replaced(engine, MINE, 1)
    for name in ("part-0.parquet#1", "_delta_log/00000000000000000001.json#2", f"{THEIRS}-1/part-0.once.parquet"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("half", encoding="utf-8")
    (root / f"{THEIRS}-1" / "part-0.spill").mkdir()
    engine.sweep(ORDERS, Attempt(MINE, 1), [""])
    assert not (root / f"{THEIRS}-1").exists()
    engine.vacuum(ORDERS, LATER, always, dry_run=False)

    assert not list(root.rglob("*#*"))
    assert engine.rows(ORDERS, 0) == 1


def test_windows_of_a_day_do_not_disturb_each_other_where_one_leaves_nothing(tmp_path: Path) -> None:
    files = files_below(Place(str(tmp_path / "table")))

    def nothing(number: int) -> None:
        with files.written(f"day=1/nothing-{number}/part-0.parquet"):
            pass

    def something(number: int) -> None:
        with files.written(f"day=1/something-{number}/part-0.parquet") as place:
            place.write_bytes(b"rows")
        files.remove([f"day=1/something-{number}/part-0.parquet"])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, number) for number in range(500) for write in (nothing, something)]:
            done.result()
    assert files.listed("") == []


@pytest.mark.parametrize("country", ["United Kingdom", "Côte d'Ivoire", "a/b", "x%20y", "q?#1"])
def test_files_with_strange_names_are_known_by_the_log(engine: EmbeddedEngine, lake: Place, country: str) -> None:
    rows = engine.session.createDataFrame(pa.table({"_row_id": ["1"], "country": [country]}, schema=ORDERS.schema))
    attempt = Attempt(MINE, 1)
    engine.replace(ORDERS, engine.stage(ORDERS, rows, attempt.folder(), ORDERS.partition_by), commit(ORDERS, attempt))

    assert engine.sweep(ORDERS, Attempt(MINE, 1), [""]) == []
    assert engine.vacuum(ORDERS, LATER, always, dry_run=False) == []
    assert engine.read(ORDERS, 0).count() == 1


def test_a_table_still_says_what_it_consumed_after_another_tools_maintenance(
    engine: EmbeddedEngine, lake: Place
) -> None:
    replaced(engine, MINE, 1)
    replaced(engine, MINE, 2)
    place = lake.at(ORDERS.path)
    handle = DeltaTable(place.uri, storage_options=place.log_options)
    handle.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)
    assert handle.version() > 1
    handle.optimize.compact()
    handle.create_checkpoint()
    handle.cleanup_metadata()
    head = engine.head(ORDERS)

    assert head is not None
    assert (head.inputs, head.metadata, head.txn) == ({"of": 2}, {"run_id": MINE}, 2)
    engine.append(ORDERS, staged(engine, ORDERS, Attempt(MINE, 3)), commit(ORDERS, Attempt(MINE, 3)))
    assert engine.rows(ORDERS, handle.version() + 1) == 2
