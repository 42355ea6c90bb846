"""S3FileExtractor over the stand-in of S3: each version of a file once, each of its lines at one end."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.config import S3Settings
from headwater.contracts import Contracts
from headwater.errors import ConfigurationError, SourceRejected, SourceUnavailable
from headwater.extract.base_extractor import Position, SourceFile
from headwater.extract.s3_files import S3FileExtractor
from headwater.sandbox.s3 import S3StandIn

T0 = datetime(2024, 11, 1, tzinfo=UTC)
AT = T0 + timedelta(days=1)
FOLDER = "erp-export/inventory"
HEADER = b"product_id,warehouse_id,quantity,reorder_point\n"
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        ("_visible_at", pa.timestamp("us", "UTC")),
        ("_deleted_at", pa.timestamp("us", "UTC")),
    ]
)


@pytest.fixture
def live(tmp_path: Path, contracts: Contracts) -> Iterator[SimpleNamespace]:
    """The stand-in with one file of a day, a corrected one of the day after."""
    objects = tmp_path / "dataset" / "s3" / "objects"
    objects.mkdir(parents=True)
    (objects / "1.csv").write_bytes(HEADER + b"P1,W1,5,2\nP2,W1,oops,2\n")
    (objects / "2.csv").write_bytes(HEADER + b"P1,W1,6,2\n")
    files = [
        {"key": f"{FOLDER}/2024-11-01/inventory.csv", "path": "1.csv", "_visible_at": T0},
        {"key": f"{FOLDER}/2024-11-01/inventory.csv", "path": "2.csv", "_visible_at": AT + timedelta(hours=1)},
    ]
    pq.write_table(pa.Table.from_pylist(files, SCHEMA), tmp_path / "dataset" / "s3" / "files.parquet")
    stand_in = S3StandIn(tmp_path / "s3", None)
    try:
        connection = stand_in.start(tmp_path / "dataset", AT)
        settings = S3Settings(enabled=True, **connection.settings)
        yield SimpleNamespace(
            stand_in=stand_in,
            settings=settings,
            secret=connection.secret,
            extractor=S3FileExtractor(settings, connection.secret, contracts["external_inventory"]),
            s3=client(settings, connection.secret),
        )
    finally:
        stand_in.stop()


def client(settings: S3Settings, secret: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=secret["access_key_id"],
        aws_secret_access_key=secret["secret_access_key"],
    )


OWN = ("file_date", "_file_key", "_file_etag", "_file_size", "_file_line")


def put(live: SimpleNamespace, key: str, content: bytes) -> SourceFile:
    live.s3.put_object(Bucket=live.settings.bucket, Key=key, Body=content)
    return SourceFile(key, hashlib.md5(content).hexdigest(), len(content))


def read(extractor: S3FileExtractor, *files: SourceFile) -> SimpleNamespace:
    rejects: list[pa.RecordBatch] = []
    batches = [batch for file in files for batch in extractor.read(file, rejects.append)]
    return SimpleNamespace(
        batches=batches,
        rows=[row for batch in batches for row in batch.to_pylist()],
        rejects=[row for batch in rejects for row in batch.to_pylist()],
    )


def due(extractor: S3FileExtractor, *consumed: SourceFile) -> list[SourceFile]:
    return extractor.partitions(Position(files=frozenset(consumed)), AT)


def test_a_files_lines_arrive_with_their_place_and_the_broken_one_is_rejected(live, contracts):
    (file,) = due(live.extractor)
    found = read(live.extractor, file)

    key = f"{FOLDER}/2024-11-01/inventory.csv"
    assert file.key == key
    schema = contracts["external_inventory"].arrow_schema
    assert found.batches[0].schema == schema.append(pa.field("_row_id", pa.string()))
    assert found.rows == [
        {
            "product_id": "P1",
            "warehouse_id": "W1",
            "quantity": 5,
            "reorder_point": 2,
            "file_date": date(2024, 11, 1),
            "_file_key": key,
            "_file_etag": file.etag,
            "_file_size": file.size,
            "_file_line": 2,
            "_row_id": f"{key}:{file.etag}:2",
        }
    ]
    assert found.rejects == [
        {
            "_row_id": f"{key}:{file.etag}:3",
            "position": f"{key}:3",
            "reason": "quantity is 'oops', which is no bigint",
            "raw": b"P2,W1,oops,2",
        }
    ]


def test_a_consumed_file_is_not_due_and_a_changed_one_is_due_again(live):
    (first,) = due(live.extractor)
    assert due(live.extractor, first) == []

    live.stand_in.advance(AT, AT + timedelta(days=1))

    (changed,) = due(live.extractor, first)
    assert (changed.key, changed.etag != first.etag) == (first.key, True)
    assert [row["quantity"] for row in read(live.extractor, changed).rows] == [6]


def test_files_come_by_date_of_their_folder_and_strange_objects_are_left_out(live, caplog):
    for name in ("2025-01-01/b.csv", "2025-01-01/a'; DROP.csv", "2024-10-31/z.csv", "2023-02-29/a.csv"):
        put(live, f"{FOLDER}/{name}", HEADER)
    for name in ("_SUCCESS", "2024-10-31/a.parquet.zst", "2024-10-31/deeper/a.csv"):
        put(live, f"{FOLDER}/{name}", b"x")
    put(live, "erp-export/inventory-old/2024-10-31/a.csv", HEADER)

    names = [file.key.removeprefix(f"{FOLDER}/") for file in due(live.extractor)]

    assert names == ["2024-10-31/z.csv", "2024-11-01/inventory.csv", "2025-01-01/a'; DROP.csv", "2025-01-01/b.csv"]
    assert "4 objects are left out" in caplog.text


def test_a_key_with_strange_characters_is_read(live):
    file = put(live, f"{FOLDER}/2025-01-01/a'; ü%20+ b.csv", HEADER + b"P1,W1,1,1\n")

    assert file in due(live.extractor)
    assert read(live.extractor, file).rows[0]["_file_key"] == file.key


def test_empty_files_and_headers_alone_have_no_rows(live):
    files = [put(live, f"{FOLDER}/2025-01-01/{name}.csv", content) for name, content in (("a", b""), ("b", HEADER))]

    found = read(live.extractor, *files)

    assert (found.rows, found.rejects) == ([], [])


def test_a_large_file_is_read_whole_in_several_batches(live):
    rows = 120_000
    content = HEADER + b"".join(b"P%012d,W,%d,1\n" % (number, number) for number in range(rows))
    file = put(live, f"{FOLDER}/2025-01-01/large.csv", content)

    batches = list(live.extractor.read(file, print))

    found = pa.Table.from_batches(batches)
    assert len(batches) > 1
    assert found["quantity"].to_pylist() == list(range(rows))
    assert found["_file_line"].to_pylist() == list(range(2, rows + 2))


def test_a_missing_required_column_names_file_and_column(live):
    file = put(live, f"{FOLDER}/2025-01-01/inventory.csv", b"product_id,quantity\nP1,1\n")

    with pytest.raises(SourceRejected, match=r"2025-01-01/inventory\.csv has no column warehouse_id"):
        read(live.extractor, file)


def test_a_file_that_changed_or_went_since_it_was_listed_is_listed_again(live):
    (file,) = due(live.extractor)
    put(live, file.key, HEADER + b"P1,W1,9,9\n")
    with pytest.raises(SourceUnavailable, match=r"inventory\.csv changed since it was listed"):
        read(live.extractor, file)

    live.s3.delete_object(Bucket=live.settings.bucket, Key=file.key)
    with pytest.raises(SourceUnavailable, match=r"inventory\.csv is gone since it was listed"):
        read(live.extractor, file)


def test_a_prefix_comes_before_the_folder(live, contracts):
    file = put(live, f"team/raw/{FOLDER}/2025-01-01/a.csv", HEADER + b"P1,W1,1,1\n")
    settings = replace(live.settings, prefix="/team/raw/")
    extractor = S3FileExtractor(settings, live.secret, contracts["external_inventory"])

    assert due(extractor) == [file]
    assert read(extractor, file).rows[0]["file_date"] == date(2025, 1, 1)


POSTINGS = pa.table(
    {
        "AMOUNT": pa.array(["12.50", "7"]),
        "transaction_id": ["T1", "T2"],
        "posted_at": pa.array([T0.replace(tzinfo=None)] * 2, pa.timestamp("ms")),
        "account_code": pa.array([100, 200], pa.int16()),
    }
)
SKU = b'{"vendor_id":"V1","vendor_sku":"S","unit_cost":2.5}'
LEDGER = b"account_code,type,active\n0100,ASSET,true\n0200\n"


def as_parquet(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(table, out)
    return bytes(out.getvalue())


def as_zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def file_name(value):
    """A case is known by its file: packed content holds the time, by which every process would name it otherwise."""
    return value.rpartition("/")[2] if isinstance(value, str) else ""


@pytest.mark.parametrize(
    ("table", "name", "content", "lines", "broken"),
    [
        ("external_purchasing", "erp-export/purchasing/2024-11-02/orders.csv.gz",
         gzip.compress(b"po_number,line_number,product_id,supplier_id,quantity,unit_price\nP,1,7,V,2,1.5\nP\n"), [2], [3]),
        ("external_employees", "hr-export/employees/2024-11-02/employees.csv",
         b"employee_id,salary\nE1,100\nE2,much\n", [2], [3]),
        ("external_performance_reviews", "hr-export/performance_reviews/2024-11-02/r.jsonl",
         b'{"review_id":"R1","employee_id":"E1"}\n{\n', [1], [2]),
        ("external_performance_reviews", "hr-export/performance_reviews/2024-11-02/r.NDJSON.zst",
         as_zstd(b'\n{"review_id":"R1","employee_id":"E1"}\n{'), [2], [3]),
        ("external_transactions", "accounting/transactions/2024-11-02/transactions.parquet", as_parquet(POSTINGS), [1, 2], []),
        ("external_gl_accounts", "accounting/gl_accounts/2024-11-02/gl.csv.zst", as_zstd(LEDGER), [2], [3]),
        ("external_vendor_products", "vendor/products/2024-11-02/one.json", SKU, [1], []),
        ("external_vendor_products", "vendor/products/2024-11-02/some.json.gz",
         gzip.compress(b"[" + SKU + b',7,{"unit_cost":"2 EUR"}]'), [1], [2, 3]),
    ],
    ids=file_name,
)  # fmt: skip
def test_each_kind_of_file_gives_rows_and_rejects_by_their_place(live, contracts, table, name, content, lines, broken):
    extractor = S3FileExtractor(live.settings, live.secret, contracts[table])
    file = put(live, name, content)

    assert due(extractor) == [file]
    found = read(extractor, file)

    assert {batch.schema for batch in found.batches} == {
        contracts[table].arrow_schema.append(pa.field("_row_id", pa.string()))
    }
    assert [(row["_file_line"], row["_row_id"]) for row in found.rows] == [
        (line, f"{name}:{file.etag}:{line}") for line in lines
    ]
    assert {(row["file_date"], row["_file_size"]) for row in found.rows} == {(date(2024, 11, 2), len(content))}
    assert [row["position"] for row in found.rejects] == [f"{name}:{line}" for line in broken]


def test_what_a_file_has_beyond_its_contract_comes_too_and_what_it_lacks_is_told(live, contracts):
    content = b"product_id,warehouse_id,quantity,Shelf No.,_row_id,Shelf No.\nP1,W1,5,A1,x,B1\nP2,W1,many,A2,y,\n"
    file = put(live, f"{FOLDER}/2024-11-02/inventory.csv", content)

    found = read(live.extractor, file)

    [row] = found.rows
    assert (row["shelf_no"], row["shelf_no_6"], row["source_row_id"]) == ("A1", "B1", "x")
    assert row["_row_id"] == f"{file.key}:{file.etag}:2"
    assert (row["reorder_point"], set(live.extractor.drift.missing())) == (None, {"reorder_point"})
    assert [each["raw"] for each in found.rejects] == [b"P2,W1,many,A2,y,"]


def test_a_json_field_is_dropped_where_no_record_of_a_run_has_it(live, contracts):
    extractor = S3FileExtractor(live.settings, live.secret, contracts["external_performance_reviews"])
    reviews = [{"review_id": f"R{number}", "employee_id": "E1", "more": {"a": number}} for number in range(3)]
    folder = "hr-export/performance_reviews"
    first = put(live, f"{folder}/2024-11-02/r.json", json.dumps(reviews).encode())
    rest = sorted(
        {column.name for column in contracts["external_performance_reviews"].columns} - set(OWN) - set(reviews[0])
    )

    rows = read(extractor, first).rows
    assert [row["more"] for row in rows] == ['{"a":0}', '{"a":1}', '{"a":2}']
    assert sorted(extractor.drift.missing()) == rest

    read(extractor, put(live, f"{folder}/2024-11-03/r.json", json.dumps([reviews[0] | {rest[0]: None}]).encode()))
    assert sorted(extractor.drift.missing()) == rest[1:]


def test_a_parquet_file_whose_schema_changed_keeps_what_fits_and_puts_the_rest_beside(live, contracts):
    extractor = S3FileExtractor(live.settings, live.secret, contracts["external_inventory"])
    columns = {
        "product_id": ["P1", "P2"],
        "warehouse_id": ["W1", "W1"],
        "quantity": ["7", "plenty"],
        "lots": [[1], None],
    }

    found = read(extractor, put(live, f"{FOLDER}/2024-11-02/inventory.parquet", as_parquet(pa.table(columns))))

    assert [(row["quantity"], row["quantity__string"], row["lots"]) for row in found.rows] == [
        (7, None, "[1]"),
        (None, "plenty", None),
    ]
    assert not found.rejects


@pytest.mark.parametrize(
    ("table", "name", "content"),
    [
        ("external_gl_accounts", "accounting/gl_accounts/2024-11-02/gl.csv.gz", gzip.compress(LEDGER)[:-9]),
        ("external_gl_accounts", "accounting/gl_accounts/2024-11-02/gl.csv.zst", as_zstd(LEDGER)[:-3]),
        ("external_transactions", "accounting/transactions/2024-11-02/t.parquet", as_parquet(POSTINGS)[:-1]),
        ("external_vendor_products", "vendor/products/2024-11-02/v.json", b"[" + SKU + b","),
        ("external_vendor_products", "vendor/products/2024-11-02/v.json.gz", gzip.compress(b"[" + SKU)),
    ],
    ids=file_name,
)
def test_a_damaged_file_is_one_reject_and_its_neighbour_is_read(live, contracts, table, name, content):
    extractor = S3FileExtractor(live.settings, live.secret, contracts[table])
    damaged = put(live, name, content)
    whole = {"csv": LEDGER, "json": SKU, "parquet": as_parquet(POSTINGS.slice(0, 1))}[name.split(".")[1]]
    beside = put(live, f"{name.rpartition('/')[0]}/z.{name.split('.')[1]}", whole)

    found = read(extractor, *due(extractor))

    assert due(extractor) == [damaged, beside]
    assert {row["_file_key"] for row in found.rows} == {beside.key}
    (reject,) = [each for each in found.rejects if each["position"] == name]
    assert reject["_row_id"] == f"{name}:{damaged.etag}:0"
    assert reject["reason"].startswith("no ")
    assert reject["raw"] == (content if not name.endswith("json.gz") else gzip.decompress(content))


def test_a_parquet_file_in_gzip_and_names_that_no_reader_knows_are_left_out(live, contracts, caplog):
    for name in ("t.parquet.gz", "t.xml", "t.gz", "t"):
        put(live, f"accounting/transactions/2024-11-02/{name}", b"x")

    assert due(S3FileExtractor(live.settings, live.secret, contracts["external_transactions"])) == []
    assert "4 objects are left out" in caplog.text


def test_check_says_what_was_found(live):
    assert live.extractor.check() == (
        f"s3://company-raw-data/{FOLDER}/: 1 files, the newest {FOLDER}/2024-11-01/inventory.csv"
    )


@pytest.mark.parametrize("field", ["access_key_id", "secret_access_key"])
def test_a_wrong_key_is_refused_and_not_shown(live, contracts, field):
    secret = live.secret | {field: "sesame"}
    extractor = S3FileExtractor(live.settings, secret, contracts["external_inventory"])

    for ask in (extractor.check, lambda: read(extractor, *due(live.extractor))):
        with pytest.raises(SourceRejected, match=r"denies reading .*check secrets\.s3") as refused:
            ask()
        assert not any(value in str(refused.value) for value in secret.values())


def test_a_secret_without_its_second_half_is_named(live, contracts):
    extractor = S3FileExtractor(live.settings, {"access_key_id": "x"}, contracts["external_inventory"])

    with pytest.raises(ConfigurationError, match=r"secrets\.s3 has no secret_access_key"):
        extractor.check()


def test_a_bucket_that_is_not_there_is_named(live, contracts):
    settings = replace(live.settings, bucket="no-such-bucket")

    with pytest.raises(SourceRejected, match=r"no bucket no-such-bucket: check data_sources\.s3\.bucket"):
        S3FileExtractor(settings, live.secret, contracts["external_inventory"]).check()


def test_without_a_bucket_the_setting_is_named(live, contracts):
    with pytest.raises(ConfigurationError, match=r"data_sources\.s3\.bucket is not set"):
        S3FileExtractor(replace(live.settings, bucket=None), live.secret, contracts["external_inventory"]).check()


def test_an_endpoint_that_is_down_is_unavailable(live):
    (file,) = due(live.extractor)
    live.stand_in.stop()

    for ask in (live.extractor.check, lambda: read(live.extractor, file)):
        with pytest.raises(SourceUnavailable, match=f"{live.settings.endpoint_url} did not answer"):
            ask()


def test_records_that_were_refused_are_read_again_where_they_stand_with_their_files_header(live, contracts):
    (file,) = due(live.extractor)
    other = put(live, f"{FOLDER}/2024-11-02/inventory.csv", HEADER + b"P3,W1,none,\nP4,W1,3,\n")
    rejects = pa.Table.from_pylist([row for each in (file, other) for row in read(live.extractor, each).rejects])
    inventory = contracts["external_inventory"]
    columns = tuple(replace(each, type="string") if each.name == "quantity" else each for each in inventory.columns)
    mended = S3FileExtractor(live.settings, live.secret, replace(inventory, columns=columns))

    refused: list[pa.RecordBatch] = []
    rows = [row for batch in mended.again(rejects, refused.append) for row in batch.to_pylist()]

    assert [(row["product_id"], row["quantity"], row["_row_id"]) for row in rows] == [
        ("P2", "oops", f"{file.key}:{file.etag}:3"), ("P3", "none", f"{other.key}:{other.etag}:2"),
    ]  # fmt: skip
    assert not refused


def test_a_record_whose_file_was_replaced_is_refused_again_and_says_so(live):
    (file,) = due(live.extractor)
    rejects = pa.Table.from_pylist(read(live.extractor, file).rejects)
    put(live, file.key, HEADER + b"P2,W1,8,2\n")

    refused: list[pa.RecordBatch] = []
    rows = list(live.extractor.again(rejects, refused.append))

    [told] = [row for batch in refused for row in batch.to_pylist()]
    assert rows == []
    assert told["_row_id"] == f"{file.key}:{file.etag}:3"
    assert "is gone or was replaced since" in told["reason"]


def test_a_damaged_file_that_can_be_read_by_now_comes_with_all_its_records(live):
    good = gzip.compress(HEADER + b"P1,W1,1,\nP2,W1,2,\n")
    file = put(live, f"{FOLDER}/2024-11-03/inventory.csv.gz", good)
    whole = {"_row_id": f"{file.key}:{file.etag}:0", "position": file.key, "reason": "damaged", "raw": good[:9]}
    rejects = pa.Table.from_pylist([whole])

    refused: list[pa.RecordBatch] = []
    rows = [row for batch in live.extractor.again(rejects, refused.append) for row in batch.to_pylist()]

    assert [row["product_id"] for row in rows] == ["P1", "P2"]
    assert not refused
