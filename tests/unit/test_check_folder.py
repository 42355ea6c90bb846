"""`headwater sandbox check DIR` accepts a folder that follows docs/datasets.md, and says of any other what to change."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.datasets.written import write_folder

from headwater.cli.door import ended
from headwater.extract import EXTRACTORS
from headwater.sandbox.datasets import materialise
from headwater.sandbox.datasets.check import check
from headwater.sandbox.datasets.folder import BRONZE, BRONZE_OF_FILES, absent_tables

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = pa.timestamp("s", "UTC")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_folder("tea_house", tmp_path / "shop")


def lines(folder: Path) -> list[str]:
    """What is wrong, as the command line says it."""
    return [each.line for each in check(folder).findings]


def errors(folder: Path) -> list[str]:
    return [each.line for each in check(folder).errors]


def rewritten(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(file)), file)


def with_values(file: Path, column: str, **values: Any) -> None:
    """Put values into a column by row, `row_3=…`, in the column's own type or in that of `kind`."""
    table = pq.read_table(file)
    kind = values.pop("kind", table.schema.field(column).type)
    found = table[column].to_pylist()
    for row, value in values.items():
        found[int(row.removeprefix("row_")) - 1] = value
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, pa.array(found, kind)), file)


@pytest.mark.parametrize("name", ["corner_shop", "tea_house"])
def test_folders_written_by_hand_are_accepted(name: str, tmp_path: Path) -> None:
    assert errors(write_folder(name, tmp_path / name)) == []


def test_what_the_sandbox_makes_is_accepted(tmp_path: Path) -> None:
    assert lines(materialise("generated", tmp_path / "generated", 0.02)) == []


def test_a_folder_that_is_none_and_one_without_a_table(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert "there is no folder" in lines(tmp_path / "nowhere")[0]
    assert lines(tmp_path / "empty")[0].startswith("error: dataset.yaml: the file is missing; write it")
    assert "no source has a table" in lines(tmp_path / "empty")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("start: [", "it is no YAML"),
        ("- 1", "it holds no keys"),
        ("start: 2025-06-10T00:00:00Z\nend: 2025-06-20T00:00:00Z", "the key name is missing; add name: a few words"),
        ("name: 7\nstart: 2025-06-10T00:00:00Z\nend: 2025-06-20T00:00:00Z", "name is 7, no text"),
        ("name: a\nstart: 2025-06-10 00:00:00\nend: 2025-06-20T00:00:00Z", "no instant; write start: 2024-11-01T00:00:00Z"),
        ("name: a\nstart: 2025-06-10\nend: 2025-06-20T00:00:00Z", "no instant; write start: 2024-11-01T00:00:00Z"),
        ("name: a\nstart: 2025-06-20T00:00:00Z\nend: 2025-06-10T00:00:00Z", "end is not after start"),
        ("name: a\nstrat: x\nstart: 2025-06-10T00:00:00Z\nend: 2025-06-20T00:00:00Z", "did you mean start?"),
        ("name: a\nscale: 0\nstart: 2025-06-10T00:00:00Z\nend: 2025-06-20T00:00:00Z", "scale is 0, no number above 0"),
        ("name: a\nversion: b\nstart: 2025-06-10T00:00:00Z\nend: 2025-06-20T00:00:00Z", "version is 'b', no whole number"),
    ],
)  # fmt: skip
def test_what_the_folder_says_of_itself(shop: Path, text: str, said: str) -> None:
    (shop / "dataset.yaml").write_text(text, "utf-8")

    assert any(said in line for line in errors(shop)), lines(shop)


def test_a_file_of_another_name_would_be_a_source_silently_absent(shop: Path) -> None:
    (shop / "snowflake" / "ORDERS.parquet").rename(shop / "snowflake" / "Order.parquet")
    (shop / "notes.txt").write_text("x", "utf-8")
    (shop / ".DS_Store").write_text("x", "utf-8")
    (shop / "fx").mkdir()

    assert errors(shop) == [
        "error: fx: the folder has no table of this source; add one of its files, or remove the folder",
        "error: notes.txt: no dataset has such a file; take it out of the folder",
        "error: snowflake/Order.parquet: no dataset has such a file; did you mean snowflake/ORDERS.parquet?",
    ]


def test_a_file_that_is_no_parquet(shop: Path) -> None:
    (shop / "snowflake" / "ORDERS.parquet").write_text("ORDER_ID\n1\n", "utf-8")

    assert "error: snowflake/ORDERS.parquet: it cannot be read as Parquet" in errors(shop)[0]


def test_columns_that_lack_or_are_spelled_otherwise(shop: Path) -> None:
    rewritten(shop / "snowflake" / "ORDERS.parquet", lambda rows: rows.rename_columns({"STATUS": "Status"}))
    rewritten(shop / "snowflake" / "PRODUCTS.parquet", lambda rows: rows.drop_columns(["PRODUCT_ID", "_deleted_at"]))
    rewritten(shop / "snowflake" / "CUSTOMERS.parquet", lambda rows: rows.append_column("AGE", pa.nulls(len(rows))))

    found = errors(shop)

    assert "error: snowflake/ORDERS.parquet, Status: the table has no such column; rename it to STATUS" in found
    assert "error: snowflake/PRODUCTS.parquet, PRODUCT_ID: the column is missing; add it as string" in found
    assert any("PRODUCTS.parquet, _deleted_at: the column is missing" in line for line in found)
    assert any("CUSTOMERS.parquet, AGE: the table has no such column; take it out" in line for line in found)
    assert len(found) == 4


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [
        ("AMOUNT", pa.float64(), "a floating point number is not the amount that was written; write it as decimal("),
        ("QUANTITY", pa.float64(), "it is double, not int64; write it as int64"),
        ("ORDER_ID", pa.int64(), "it is int64, not string; write it as string"),
        ("ORDER_ID", pa.null(), "it is null throughout and may not be null"),
        ("ORDER_DATE", pa.timestamp("us"), "without a zone nobody knows which instants are meant"),
        ("ORDER_DATE", pa.timestamp("ns", "UTC"), "sources keep microseconds"),
        ("ORDER_DATE", pa.date32(), "it is date32, not timestamp(us, UTC)"),
    ],
)
def test_types_that_cannot_hold_what_the_page_says(shop: Path, column: str, kind: pa.DataType, said: str) -> None:
    file = shop / "snowflake" / "ORDERS.parquet"
    rows = pq.read_table(file)
    place = rows.schema.get_field_index(column)
    pq.write_table(rows.set_column(place, column, pa.nulls(len(rows), kind)), file)

    assert [line for line in errors(shop) if said in line and column in line], errors(shop)


def test_another_zone_is_remarked_and_served_in_utc(shop: Path) -> None:
    file, berlin = shop / "snowflake" / "ORDERS.parquet", pa.timestamp("us", "Europe/Berlin")
    rewritten(file, lambda rows: rows.set_column(3, "ORDER_DATE", rows["ORDER_DATE"].cast(berlin)))

    assert errors(shop) == []
    assert any("ORDER_DATE: its zone is Europe/Berlin; the instants are served in UTC" in line for line in lines(shop))


def test_rows_are_named_by_their_number_the_first_three_of_a_kind(shop: Path) -> None:
    file = shop / "snowflake" / "ORDERS.parquet"
    with_values(file, "ORDER_ID", row_1=None, row_2=None, row_3=None, row_4=None)

    assert [line.partition(";")[0] for line in errors(shop)] == [
        "error: snowflake/ORDERS.parquet, row 1, ORDER_ID: it is null",
        "error: snowflake/ORDERS.parquet, row 2, ORDER_ID: it is null",
        "error: snowflake/ORDERS.parquet, row 3, ORDER_ID: it is null (1 more has the same)",
    ]


def test_a_cursor_after_its_row_was_seen_and_a_deletion_that_is_not_after_it(shop: Path) -> None:
    file = shop / "snowflake" / "ORDERS.parquet"
    seen = pq.read_table(file)["_visible_at"].to_pylist()
    with_values(file, "LAST_MODIFIED_TS", row_2=seen[1] + HOUR)
    with_values(file, "_deleted_at", row_3=seen[2], row_4=seen[3] + HOUR, kind=SECOND)

    assert [line.partition(": it")[0] for line in errors(shop)] == [
        "error: snowflake/ORDERS.parquet, row 2, LAST_MODIFIED_TS",
        "error: snowflake/ORDERS.parquet, row 3, _deleted_at",
    ]
    assert "LAST_MODIFIED_TS is 2025-06-09 10:00:00+00, _visible_at is 2025-06-09 09:00:00+00" in errors(shop)[0]


def test_amounts_that_do_not_fit_and_whole_numbers_that_are_too_large(shop: Path) -> None:
    file = shop / "snowflake" / "ORDERS.parquet"
    amounts = pa.array(["1.00001", "2.00000", "3.0", None]).cast(pa.decimal128(30, 5))
    rewritten(file, lambda rows: rows.set_column(5, "AMOUNT", amounts))
    with_values(file, "QUANTITY", row_4=2**63, kind=pa.uint64())

    large, long = errors(shop)
    assert "row 4, QUANTITY: it is more than 9223372036854775807 (QUANTITY is 9223372036854775808)" in large
    assert "row 1, AMOUNT: it does not fit decimal(20,4) (AMOUNT is 1.00001)" in long


def test_messages_out_of_order_and_in_no_partition(shop: Path) -> None:
    file = shop / "kafka" / "inventory_updates.parquet"
    with_values(file, "partition", row_1=7)
    seen = pq.read_table(file)["_visible_at"].to_pylist()
    with_values(file, "_visible_at", row_4=seen[1] - HOUR)

    found = errors(shop)

    assert "row 1, partition: a topic has 3 partitions (partition is 7); give one from 0 to 2" in found[0]
    assert "row 4, _visible_at: it is earlier than that of a row of the same partition further up" in found[1]
    assert len(found) == 2


def test_an_event_twice_and_an_id_that_salesforce_would_not_give(shop: Path) -> None:
    with_values(shop / "redshift" / "customer_behavior.parquet", "event_id", row_2="B1")
    with_values(shop / "salesforce" / "Account.parquet", "Id", row_1="A-1")

    found = errors(shop)

    assert any("row 2, event_id: this event has a version already (event_id is B1)" in line for line in found)
    assert any("row 1, Id: it is no id of Salesforce (Id is A-1)" in line for line in found)
    assert len(found) == 2


def test_paths_of_files_that_are_not_there_or_leave_the_folder(shop: Path) -> None:
    with_values(shop / "s3" / "files.parquet", "path", row_1="counted/gone.csv", row_2="../../dataset.yaml")
    (shop / "s3" / "objects" / "spare.csv").write_text("x", "utf-8")

    assert [line.partition(";")[0] for line in lines(shop) if "s3/" in line] == [
        "error: s3/files.parquet, row 1, path: there is no file s3/objects/counted/gone.csv",
        "error: s3/files.parquet, row 2, path: ../../dataset.yaml leaves s3/objects/",
        "remark: s3/objects/counted/first.csv: the bucket never shows this file",
        "remark: s3/objects/counted/nothing.csv: the bucket never shows this file",
        "remark: s3/objects/spare.csv: the bucket never shows this file",
    ]


def test_an_empty_file_and_instants_beyond_the_end_are_remarked(shop: Path) -> None:
    about = (shop / "dataset.yaml").read_text("utf-8").replace("end: 2025-06-20T00", "end: 2025-06-10T01")
    (shop / "dataset.yaml").write_text(about, "utf-8")

    assert errors(shop) == []
    assert any("ORDERS.parquet, row 4, _visible_at: it is not before `end`" in line for line in lines(shop))
    assert any(line.startswith("remark: kafka/user_events.parquet: it has no rows") for line in lines(shop))


def test_the_command_ends_with_1_for_an_error_and_tells_programs_the_same(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(["sandbox", "check", str(shop)]) == 0
    assert "follows docs/datasets.md" in capsys.readouterr().out

    (shop / "notes.txt").write_text("x", "utf-8")
    assert ended(["sandbox", "check", str(shop), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["rows"]["snowflake/ORDERS.parquet"] == 4
    (error,) = [each for each in document["findings"] if each["error"]]
    assert error["file"] == "notes.txt"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, which is the current one, with the sandbox's block and nothing running."""
    (tmp_path / "project" / "config").mkdir(parents=True)
    (tmp_path / "project" / "config" / "local.yaml").write_text("sandbox: {}\n", "utf-8")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_up_refuses_what_the_check_finds_starts_nothing_and_keeps_no_choice(
    project: Path, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "notes.txt").write_text("x", "utf-8")

    assert ended(["sandbox", "up", "--data", str(shop)]) == 1

    told = capsys.readouterr().err
    assert "does not follow docs/datasets.md" in told
    assert "error: notes.txt: no dataset has such a file" in told
    assert not (project / ".headwater" / "sandbox.yaml").exists()
    assert not (project / ".headwater" / "sandbox").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", ".", "--dataset", "generated"], "give it without --dataset and --scale"),
        (["--data", ".", "--scale", "2"], "give it without --dataset and --scale"),
        (["--data", "nowhere"], "does not exist"),
        (["--dataset", "my-shop"], "choose one of generated, completejourney, or give --data DIR"),
    ],
)
def test_a_dataset_is_named_in_one_way(
    project: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(["sandbox", "up", *options]) == 64
    assert said in capsys.readouterr().err
    assert not (project / ".headwater" / "sandbox").exists()


def test_a_config_file_that_names_no_dataset_and_no_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "config" / "local.yaml").write_text("sandbox:\n  dataset: my-shop\n", "utf-8")

    assert ended(["sandbox", "up"]) == 1
    assert "config/local.yaml: there is no dataset 'my-shop'" in capsys.readouterr().err


def test_tables_that_a_folder_lacks_are_told_for_every_bronze_table(tmp_path: Path) -> None:
    corner_shop = absent_tables(write_folder("corner_shop", tmp_path / "corner_shop"))

    assert set(EXTRACTORS) == {*BRONZE.values(), *BRONZE_OF_FILES.values()}
    assert set(EXTRACTORS) - set(corner_shop) == {
        "snowflake_orders",
        "snowflake_customers",
        "snowflake_products",
        "fx_vendor_rates",
    }
