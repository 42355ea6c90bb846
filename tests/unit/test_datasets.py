"""The datasets: folders that are the same every time, as `docs/datasets.md` describes them."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from headwater.errors import SandboxError
from headwater.extract.s3_files import FOLDERS
from headwater.sandbox import datasets
from headwater.sandbox.datasets import DATASETS, materialise
from headwater.sandbox.datasets.folder import CURSORS, SOURCE_SCHEMAS
from headwater.sandbox.datasets.generated import populations, troubles

SMALL = 0.01
TOPICS = [name for name in SOURCE_SCHEMAS if name.startswith("kafka/")]
VERSIONED = [name for name in SOURCE_SCHEMAS if name not in TOPICS]
DOCS = Path(__file__).parents[2] / "docs" / "datasets.md"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise("generated", tmp_path_factory.mktemp("small") / "generated", SMALL)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough for every trouble that has its own share."""
    return materialise("generated", tmp_path_factory.mktemp("tenth") / "generated", 0.1)


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise("completejourney", tmp_path_factory.mktemp("journey") / "completejourney")


class Folder:
    """SQL over a dataset folder: `{orders}` and so on name its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")

    def rows(self, query: str, **places: str) -> list[tuple[Any, ...]]:
        files = {
            re.split("/", name)[1].lower(): f"read_parquet('{self.folder / name}.parquet', file_row_number = true)"
            for name in SOURCE_SCHEMAS
        }
        return self._connection.execute(query.format(**files, **places)).fetchall()

    def one(self, query: str, **places: str) -> Any:
        (row,) = self.rows(query, **places)
        return row[0] if len(row) == 1 else row

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def sql(generated: Path) -> Iterator[Folder]:
    folder = Folder(generated)
    yield folder
    folder.close()


def file_hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def sorted_rows(folder: Path, name: str) -> list[str]:
    return sorted(repr(row) for row in pq.read_table(folder / f"{name}.parquet").to_pylist())


# ---- the same every time


def test_the_same_parameters_make_the_same_bytes(small: Path, tmp_path: Path) -> None:
    assert file_hashes(materialise("generated", tmp_path / "again", SMALL)) == file_hashes(small)


def test_rows_do_not_depend_on_the_size_of_the_pieces(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(populations, "CHUNK", 400)
    pieces = materialise("generated", tmp_path / "pieces", SMALL)

    for name in VERSIONED:
        assert sorted_rows(pieces, name) == sorted_rows(small, name), name
    for name in TOPICS:
        assert pq.read_table(pieces / f"{name}.parquet").equals(pq.read_table(small / f"{name}.parquet")), name


def test_values_stay_what_they_were(small: Path) -> None:
    order = pq.read_table(small / "snowflake/ORDERS.parquet").slice(5, 1).to_pylist()[0]

    told = [str(value) for value in order.values()]
    assert told == [
        "O0000000005", "X000000026", "2023-11-02 20:21:25.301939+00:00", "0000046", "1", "69.1600", "GBP", "COMPLETED",
        "2023-11-02 20:21:25.301939+00:00", "2023-11-02 20:21:25.301939+00:00", "None",
    ]  # fmt: skip


# ---- as documented


@pytest.mark.parametrize("name", SOURCE_SCHEMAS)
def test_a_file_has_the_columns_of_its_schema(small: Path, name: str) -> None:
    table = pq.read_table(small / f"{name}.parquet")

    assert table.schema.remove_metadata().equals(SOURCE_SCHEMAS[name])
    for field in SOURCE_SCHEMAS[name]:
        assert field.nullable or table[field.name].null_count == 0, field.name


def documented_columns(heading: str) -> list[tuple[str, str, str]]:
    """The rows of the first table under a heading of the page: column, type, null."""
    section = DOCS.read_text("utf-8").split(f"### {heading}.parquet\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (no|yes) \|", section, re.MULTILINE)
    return [(name, kind.strip(), null) for name, kind, null in rows]


def type_as_documented(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "timestamp(us, UTC)"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return "list of struct(key string, value binary)"
    return "date32" if pa.types.is_date32(kind) else str(kind)


@pytest.mark.parametrize("name", [name for name in SOURCE_SCHEMAS if name not in TOPICS[1:]])
def test_the_page_describes_every_column(name: str) -> None:
    shown = [field for field in SOURCE_SCHEMAS[name] if not field.name.startswith("_")]

    expected = [(field.name, type_as_documented(field.type), "yes" if field.nullable else "no") for field in shown]
    assert documented_columns(name) == expected


def test_dataset_yaml_says_what_was_made(small: Path) -> None:
    document = yaml.safe_load((small / "dataset.yaml").read_text("utf-8"))

    assert (document["name"], document["scale"]) == ("generated", SMALL)
    assert (document["start"], document["end"]) == ("2024-11-01T00:00:00Z", "2024-12-31T00:00:00Z")


# ---- what is visible when


def check_visibility(folder: Path) -> None:
    for name, schema in SOURCE_SCHEMAS.items():
        if not (folder / f"{name}.parquet").exists():
            continue
        table = pq.read_table(folder / f"{name}.parquet")
        end = datetime.fromisoformat(str(yaml.safe_load((folder / "dataset.yaml").read_text("utf-8"))["end"]))
        assert pc.max(table["_visible_at"]).as_py() < end, name
        if name in CURSORS:
            assert pc.all(pc.less_equal(table[CURSORS[name]], table["_visible_at"])).as_py(), name
        if "_deleted_at" in schema.names:
            deleted = table.filter(pc.is_valid(table["_deleted_at"]))
            assert pc.all(pc.greater(deleted["_deleted_at"], deleted["_visible_at"])).as_py() in (True, None), name


def check_offsets(folder: Path) -> None:
    for name in TOPICS:
        table = pq.read_table(folder / f"{name}.parquet")
        assert set(table["partition"].to_pylist()) == {0, 1, 2}
        for partition in range(3):
            shown = table.filter(pc.equal(table["partition"], partition))["_visible_at"].to_pylist()
            assert shown == sorted(shown), (name, partition)


def test_nothing_is_visible_before_it_was_stamped(generated: Path) -> None:
    check_visibility(generated)


def test_messages_lie_in_the_order_of_their_offsets(generated: Path) -> None:
    check_offsets(generated)


def test_late_commits_are_some_and_never_later_than_their_time(sql: Folder) -> None:
    longest = {"orders": 7 * 60, "account": 50, "contact": 50, "opportunity": 50}
    for name, cursor in CURSORS.items():
        file = name.split("/")[1].lower()
        since_1971 = f"FROM {{{file}}} WHERE {cursor} >= '1971-01-01'"
        late, worst = sql.one(
            f"SELECT count(*) FILTER (_visible_at > {cursor}), max(_visible_at - {cursor}) {since_1971}"
        )
        if minutes := {**longest, "customer_behavior": 300}.get(file):
            assert late > 0, name
            assert worst.total_seconds() <= minutes * 60, name
        elif name in TOPICS:
            assert worst.total_seconds() <= 1, name  # a message told twice
        elif name in ("snowflake/CUSTOMERS", "snowflake/PRODUCTS", "fx/rates"):
            assert late == 0, name


def test_the_start_clock_shows_the_volumes(sql: Folder) -> None:
    at_start = "FROM {{{file}}} WHERE _visible_at <= '2024-11-01 00:00:00+00'"
    shown = {
        file: sql.one(f"SELECT count(DISTINCT {key}) {at_start.format(file=file)}")
        for file, key in (("orders", "ORDER_ID"), ("customers", "CUSTOMER_ID"), ("products", "PRODUCT_ID"))
    }

    assert shown == {
        "orders": pytest.approx(10_000, rel=0.01),
        "customers": pytest.approx(5_000, rel=0.01),
        "products": pytest.approx(1_000, rel=0.01),
    }


def test_a_child_is_visible_after_its_parent_but_for_the_troubles(sql: Folder) -> None:
    query = """
        WITH parents AS (SELECT {key} AS parent, min(_visible_at) AS since FROM {of} GROUP BY ALL)
        SELECT count(*) FILTER (since IS NULL), count(*) FILTER (since > _visible_at)
        FROM {table} LEFT JOIN parents ON parent = {reference} WHERE {reference} IS NOT NULL"""

    def strangers(table: str, reference: str, of: str, key: str) -> tuple[int, int]:
        places = {"key": key, "of": f"{{{of}}}", "table": f"{{{table}}}", "reference": reference}
        found: tuple[int, int] = sql.one(query.format(**places))
        return found

    assert strangers("orders", "PRODUCT_ID", "products", "PRODUCT_ID") == (0, 0)
    assert strangers("contact", "AccountId", "account", "Id") == (0, 0)
    assert strangers("opportunity", "AccountId", "account", "Id")[1] == 0
    unknown, late = strangers("orders", "CUSTOMER_ID", "customers", "CUSTOMER_ID")
    assert unknown > 0
    assert late > 0


# ---- troubles


@pytest.mark.slow
def test_every_trouble_occurs_at_its_rate_and_at_least_20_times(tmp_path: Path) -> None:
    folder = materialise("generated", tmp_path / "generated")
    with troubles.opened(folder) as db:
        for view in dict.fromkeys(trouble.file for trouble in troubles.TROUBLES):
            (rows,) = db.execute(f"SELECT count(*) FROM {view}").fetchone() or (0,)
            for trouble, found in troubles.found(db, view).items():
                assert found >= 20, trouble
                assert 0.67 < rows / found / trouble.one_in < 1.5, (trouble, rows / found)


def test_the_page_shows_the_catalogue_of_troubles() -> None:
    assert f"\n{troubles.table()}\n" in DOCS.read_text("utf-8")


def test_a_message_is_told_twice_with_another_offset(sql: Folder) -> None:
    twice = sql.rows("SELECT key, count(*) FROM {orders_events} GROUP BY key, value, timestamp HAVING count(*) > 1")

    assert twice


def test_accounts_share_an_email(sql: Folder) -> None:
    query = """SELECT count(*) FROM (SELECT lower(trim(Email)) AS address FROM {contact} WHERE Email <> ''
               GROUP BY ALL HAVING count(DISTINCT AccountId) > 1)"""

    assert sql.one(query) > 0


def test_ids_keep_their_zeros(sql: Folder) -> None:
    assert sql.one("SELECT count(*) FROM {products} WHERE NOT regexp_matches(PRODUCT_ID, '^[0É][0-9]{{6}}$')") == 0


def test_inventory_files_are_listed_with_their_days(generated: Path) -> None:
    listed = [
        file for file in pq.read_table(generated / "s3/files.parquet").to_pylist() if "/inventory/" in file["key"]
    ]
    lines = b"\n".join((generated / "s3/objects" / file["path"]).read_bytes() for file in listed).splitlines()

    assert lines.count(b"product_id,warehouse_id,quantity,reorder_point") == len(listed)
    days = {file["_visible_at"].date() for file in listed if file["_visible_at"] >= datetime(2024, 11, 1, tzinfo=UTC)}
    assert len(days) == 60


# ---- rates


def test_rates_are_the_banks_own(sql: Folder) -> None:
    query = "SELECT rate::VARCHAR, as_of_time FROM {rates} WHERE date = '2024-11-01' AND quote_currency = 'IDR'"
    published, *_ = sql.rows(query + " ORDER BY as_of_time")

    assert published == ("17132.2800000000", datetime(2024, 11, 1, 15, tzinfo=UTC))


def test_a_past_rate_is_corrected_every_day_after_the_start(sql: Folder) -> None:
    query = """
        SELECT count(DISTINCT as_of_time::DATE) FROM {rates}
        WHERE as_of_time >= '2024-11-01 00:00:00+00' AND as_of_time::DATE > date"""

    assert sql.one(query) == 60


@pytest.mark.slow
def test_something_happens_everywhere_on_every_day_after_the_start(tmp_path: Path) -> None:
    folder = Folder(materialise("generated", tmp_path / "generated"))
    days = """
        SELECT count(DISTINCT _visible_at::DATE) FROM {{{file}}}
        WHERE _visible_at >= '2024-11-01 00:00:00+00' AND {condition}"""
    happens = {
        "orders": ("ORDER_DATE = LAST_MODIFIED_TS", "ORDER_DATE < LAST_MODIFIED_TS", "LAST_MODIFIED_TS < _visible_at"),
        "customers": ("CREATED_TS = LAST_MODIFIED_TS", "CREATED_TS < LAST_MODIFIED_TS"),
        "products": ("true",),
        "customer_behavior": ("true", "event_ts < _visible_at"),
        "account": ("CreatedDate < SystemModstamp",),
        "contact": ("CreatedDate = SystemModstamp", "CreatedDate < SystemModstamp"),
        "opportunity": ("CreatedDate < SystemModstamp",),
        "lead": ("CreatedDate = SystemModstamp",),
        "case": ("CreatedDate = SystemModstamp",),
        "task": ("CreatedDate = SystemModstamp", "CreatedDate < SystemModstamp"),
        "solution": ("CreatedDate = SystemModstamp",),
        "files": tuple(f"starts_with(key, '{folder}/')" for folder in FOLDERS.values()),
        "orders_events": ("true",),
        "user_events": ("true",),
        "inventory_updates": ("true",),
    }

    for file, conditions in happens.items():
        for condition in conditions:
            assert folder.one(days.format(file=file, condition=condition)) == 60, (file, condition)
    deletions = " UNION ALL ".join(
        f"SELECT _deleted_at FROM {{{name}}}" for name in ("account", "contact", "opportunity")
    )
    query = f"SELECT count(DISTINCT _deleted_at::DATE) FROM ({deletions}) WHERE _deleted_at >= '2024-11-01 00:00:00+00'"
    assert folder.one(query) == 60
    folder.close()


# ---- making a folder


def test_a_folder_that_stands_is_left_alone(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}

    assert materialise("generated", small, SMALL) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_another_scale_takes_the_folders_place(tmp_path: Path) -> None:
    folder = materialise("generated", tmp_path / "generated", SMALL)
    before = pq.read_metadata(folder / "snowflake/ORDERS.parquet").num_rows

    materialise("generated", folder, 2 * SMALL)

    assert pq.read_metadata(folder / "snowflake/ORDERS.parquet").num_rows == pytest.approx(2 * before, rel=0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["generated"]


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(SandboxError, match=r"holds files but no dataset\.yaml: name an empty folder"):
        materialise("generated", tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("document", ["name: mine\nstart: 2024-01-01T00:00:00Z\n", "- : no: yaml", ""])
def test_somebodys_own_dataset_is_not_touched(tmp_path: Path, document: str) -> None:
    (tmp_path / "dataset.yaml").write_text(document)

    with pytest.raises(SandboxError, match="holds a dataset that Headwater did not make: name another folder"):
        materialise("generated", tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.yaml"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise OSError(28, "No space left on device")

    made = DATASETS["generated"]
    parts = lambda folder, scale: {**made.parts(folder, scale), "fx/rates": full}  # noqa: E731
    monkeypatch.setitem(DATASETS, "generated", datasets.Dataset(made.about, parts))

    with pytest.raises(OSError, match="No space left"):
        materialise("generated", tmp_path / "generated", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    left = tmp_path / ".generated.making-999999999"
    left.mkdir()
    (left / "half").write_text("a file")

    materialise("generated", tmp_path / "generated", SMALL)

    assert [path.name for path in tmp_path.iterdir()] == ["generated"]


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("genrated", 1.0, "there is no dataset 'genrated': choose one of generated, completejourney"),
        ("generated", 0.0, "a dataset's scale is a number above 0, not 0.0"),
        ("completejourney", 2.0, "the dataset completejourney is what it is: it takes no scale"),
    ],
)
def test_a_wrong_wish_is_refused(tmp_path: Path, name: str, scale: float, message: str) -> None:
    with pytest.raises(SandboxError, match=re.escape(message)):
        materialise(name, tmp_path / "folder", scale)


def test_progress_is_told_per_file(tmp_path: Path) -> None:
    told: list[str] = []

    materialise("generated", tmp_path / "generated", SMALL, told.append)

    assert sorted(line.split(":")[0] for line in told) == sorted(SOURCE_SCHEMAS)
    assert "fx/rates: 3,523 rows" in told


# ---- completejourney


@pytest.mark.slow
def test_the_real_sales_keep_their_sum_and_break_no_rule(journey: Path) -> None:
    folder = Folder(journey)
    newest = "SELECT * FROM {orders} QUALIFY row_number() OVER (PARTITION BY ORDER_ID ORDER BY _visible_at DESC) = 1"
    count, amount = folder.one(f"SELECT count(*), sum(AMOUNT)::VARCHAR FROM ({newest})")

    assert (count, amount) == (1_469_307, "4596039.5800")
    check_visibility(journey)
    check_offsets(journey)
    held = {path.relative_to(journey).with_suffix("").as_posix() for path in journey.glob("*/*.parquet")}
    assert set(SOURCE_SCHEMAS) - held == {f"salesforce/{name}" for name in ("Lead", "Case", "Task", "Solution")}
    for name in SOURCE_SCHEMAS.keys() & held:
        assert pq.read_schema(journey / f"{name}.parquet").remove_metadata().equals(SOURCE_SCHEMAS[name])
    assert folder.one("SELECT count(*) FROM {orders} WHERE QUANTITY < 0 OR CUSTOMER_ID IS NULL OR AMOUNT IS NULL") == 0
    assert folder.one("SELECT count(*) FROM {orders_events} WHERE try_cast(decode(value) AS JSON) IS NULL") == 0
    for table, reference, of, key in (
        ("orders", "CUSTOMER_ID", "customers", "CUSTOMER_ID"),
        ("orders", "PRODUCT_ID", "products", "PRODUCT_ID"),
        ("customer_behavior", "customer_id", "customers", "CUSTOMER_ID"),
        ("contact", "AccountId", "account", "Id"),
        ("opportunity", "AccountId", "account", "Id"),
    ):
        query = f"""
            WITH parents AS (SELECT {key} AS parent, min(_visible_at) AS since FROM {{{of}}} GROUP BY ALL)
            SELECT count(*) FROM {{{table}}} AS child LEFT JOIN parents ON parent = child.{reference}
            WHERE since IS NULL OR since > child._visible_at"""
        assert folder.one(query) == 0, (table, reference)
    folder.close()
