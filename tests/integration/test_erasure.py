"""What is taken out of a table is out of its files, its log, its statistics and its history, and nothing else is."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from tests.aws import served
from tests.privacy.scanner import files_at, files_of, found_in

from headwater.config import AwsSettings
from headwater.engine import Attempt, Commit, Found, Held, Table
from headwater.engine.embedded import EmbeddedEngine
from headwater.errors import CommitRefused, LakeError
from headwater.object_store import Place

PEOPLE = Table(
    "people",
    "silver/people",
    pa.schema([("_row_id", pa.string()), ("name", pa.string()), ("country", pa.string())]),
    ("country",),
    change_data_feed=True,
)
RUN = "20241101T120000.000000Z-0a1b2c"
SECRET = "Quistgaard"


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsSettings]:
    with served("erasing") as settings:
        yield settings


@pytest.fixture(params=["local", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(str(tmp_path / "lake"))
    return Place(f"s3://erasing/{uuid.uuid4().hex}", request.getfixturevalue("aws"))


@pytest.fixture
def engine(lake: Place) -> Iterator[EmbeddedEngine]:
    """A table of three versions in which the person stands in two files, of a partition with a space in its name."""
    engine = EmbeddedEngine(lake)
    for number, names in enumerate((["Ada", SECRET], ["Bo"], [SECRET]), start=1):
        rows = [{"_row_id": f"{number}{name}", "name": name} for name in names]
        schema = pa.schema([field for field in PEOPLE.schema if field.name != "country"])
        folder = f"{Attempt(RUN, number).folder()}/country=New Zealand"
        staged, _ = engine.land(PEOPLE, [pa.RecordBatch.from_pylist(rows, schema)], folder, Held.NOTHING)
        engine.append(PEOPLE, staged, commit(number))
    yield engine
    engine.close()


def commit(version: int) -> Commit:
    return Commit(PEOPLE.app_id, version, {"people": version}, {"run_id": "r"})


def files(lake: Place) -> dict[str, bytes]:
    return files_at(lake) if lake.is_on_s3 else files_of(Path(lake.uri))


def without(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.filter(pc.not_equal(batch["name"], SECRET))


def seen(batch: pa.RecordBatch) -> bool:
    return bool(pc.any(pc.equal(batch["name"], SECRET)).as_py())


def rows(lake: Place) -> list[tuple[str, str]]:
    table = DeltaTable(lake.at(PEOPLE.path).uri, storage_options=lake.log_options).to_pyarrow_table()
    return sorted((row["name"], row["country"]) for row in table.to_pylist())


def erased(engine: EmbeddedEngine, version: int = 4) -> int:
    found = engine.find(PEOPLE, seen)
    assert found is not None
    return engine.rewrite(PEOPLE, found, without, Attempt(RUN, version), commit(version))


def test_the_table_goes_on_without_and_its_history_ends(lake: Place, engine: EmbeddedEngine) -> None:
    assert found_in(files(lake), [SECRET])
    version = erased(engine)
    assert found_in(files(lake), [SECRET])
    engine.begin_anew(PEOPLE, lambda _: True)

    assert found_in(files(lake), [SECRET]) == {}
    assert rows(lake) == [("Ada", "New Zealand"), ("Bo", "New Zealand")]
    head = engine.head(PEOPLE)
    assert head is not None
    assert (head.version, head.txn, head.inputs) == (version, 4, {"people": 4})
    table = lake.at(PEOPLE.path)
    with pytest.raises((DeltaError, OSError)):
        DeltaTable(table.uri, version=version - 1, storage_options=table.log_options)
    with pytest.raises(DeltaError):
        DeltaTable(table.uri, storage_options=table.log_options).load_cdf(starting_version=1)
    engine.append(PEOPLE, engine.land(PEOPLE, [], "none", Held.NOTHING)[0], commit(5))
    assert rows(lake) == [("Ada", "New Zealand"), ("Bo", "New Zealand")]
    with pytest.raises(CommitRefused):
        engine.append(PEOPLE, engine.land(PEOPLE, [], "none", Held.NOTHING)[0], commit(5))


def test_files_that_tell_nothing_are_left_as_they_are(lake: Place, engine: EmbeddedEngine) -> None:
    before = set(files(lake))
    erased(engine)
    engine.begin_anew(PEOPLE, lambda _: True)

    kept = {path for path in files(lake) if path.endswith(".parquet") and "checkpoint" not in path}
    assert len(kept & before) == 1
    assert len(kept) == 2


def test_a_table_is_the_same_whenever_it_is_begun_anew(lake: Place, engine: EmbeddedEngine) -> None:
    erased(engine)
    engine.begin_anew(PEOPLE, lambda _: True)
    before = files(lake)

    assert engine.begin_anew(PEOPLE, lambda _: True) == 0
    assert files(lake) == before
    assert engine.begin_anew(Table("none", "silver/none", PEOPLE.schema), lambda _: True) == 0


def test_what_somebody_staged_and_may_commit_is_kept(lake: Place, engine: EmbeddedEngine) -> None:
    erased(engine)
    batch = pa.RecordBatch.from_pylist([{"_row_id": "9", "name": "Cy"}])
    staged, _ = engine.land(PEOPLE, [batch], f"{Attempt(RUN, 9).folder()}/country=NO", Held.NOTHING)
    engine.begin_anew(PEOPLE, lambda file: (attempt := Attempt.of(file.path)) is None or attempt.first < 9)

    engine.append(PEOPLE, staged, commit(9))
    assert ("Cy", "NO") in rows(lake)


def test_whoever_planned_the_same_version_is_refused(engine: EmbeddedEngine) -> None:
    found = engine.find(PEOPLE, seen)
    assert found is not None
    engine.append(PEOPLE, engine.land(PEOPLE, [], "none", Held.NOTHING)[0], commit(4))

    with pytest.raises(CommitRefused, match="version 4 is committed already"):
        engine.rewrite(PEOPLE, found, without, Attempt(RUN, 4), commit(4))
    with pytest.raises(LakeError, match="people moved meanwhile; run the same command again"):
        engine.rewrite(PEOPLE, found, without, Attempt(RUN, 5), commit(5))


def test_a_version_that_lost_files_has_not_grown(engine: EmbeddedEngine) -> None:
    head = engine.head(PEOPLE)
    assert head is not None
    assert engine.grew(PEOPLE, head.version - 1, head.version)
    version = erased(engine)
    assert not engine.grew(PEOPLE, head.version, version)
    engine.begin_anew(PEOPLE, lambda _: True)
    assert not engine.grew(PEOPLE, head.version, version)
    assert engine.grew(PEOPLE, version, version)


def test_a_table_that_is_not_there_tells_nothing(engine: EmbeddedEngine) -> None:
    assert engine.find(Table("none", "silver/none", PEOPLE.schema), seen) is None
    assert engine.find(PEOPLE, lambda _: False) == Found(2, ())
