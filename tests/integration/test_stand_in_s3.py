"""S3's stand-in, asked by boto3 and obstore."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.versions import DAY, T0, US, Version, standing, write_versions

from headwater.sandbox.s3 import S3StandIn
from headwater.sandbox.stand_in import Connection

STOCK = "erp-export/inventory/2024-11-0{}/inventory.csv"
HISTORY = [
    Version((STOCK.format(1), "first.csv"), T0 - DAY, T0 + 2 * DAY),
    Version((STOCK.format(2), "second.csv"), T0 + DAY),
    Version((STOCK.format(2), "second-again.csv"), T0 + DAY + US),
    Version((STOCK.format(3), "third.csv"), T0 + 3 * DAY),
    Version(("hr export/ü+&=.csv", "odd.csv"), T0),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_versions(folder / "s3" / "files.parquet", (("key", pa.string()), ("path", pa.string())), HISTORY)
    for version in HISTORY:
        file = folder / "s3" / "objects" / version.row[1]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(f"product_id\n{version.row[1]}\n".encode())
    return folder


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[S3StandIn]:
    s3_here = S3StandIn(tmp_path / "s3", None)
    yield s3_here
    s3_here.stop()


def client(connection: Connection, **changes: Any) -> Any:
    settings, secret = connection.settings, connection.secret
    login = {
        "aws_access_key_id": secret["access_key_id"],
        "aws_secret_access_key": secret["secret_access_key"],
        "region_name": settings["region"],
    }
    return boto3.client("s3", endpoint_url=settings["endpoint_url"], **{**login, **changes})


def shown(connection: Connection) -> list[tuple[str, str]]:
    """Every object with the dataset's file that it holds."""
    s3 = client(connection)
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=connection.settings["bucket"]).get("Contents", [])]
    bodies = {key: s3.get_object(Bucket=connection.settings["bucket"], Key=key)["Body"].read() for key in keys}
    return sorted(((key, body.decode().splitlines()[1]) for key, body in bodies.items()), key=repr)


def test_its_bucket_shows_what_the_dataset_shows_at_the_clock(stand_in, dataset):
    connection = stand_in.start(dataset, T0)

    assert connection.settings["bucket"] == "company-raw-data"
    assert shown(connection) == standing(HISTORY, T0)
    for after, until in ((T0, T0 + DAY), (T0 + DAY, T0 + 2 * DAY), (T0 + 2 * DAY, T0 + 9 * DAY)):
        stand_in.advance(after, until)
        assert shown(connection) == standing(HISTORY, until)


def test_it_starts_anew_on_the_same_port_with_the_same_keys(stand_in, dataset, tmp_path):
    first = stand_in.start(dataset, T0)
    client(first).put_object(Bucket="company-raw-data", Key="mine", Body=b"product_id\nmine\n")
    stand_in.stop()
    with pytest.raises(EndpointConnectionError):
        shown(first)

    again = S3StandIn(tmp_path / "s3", int(first.settings["endpoint_url"].rpartition(":")[2]))
    try:
        second = again.start(dataset, T0 + 9 * DAY)
        assert second == first
        assert shown(second) == standing(HISTORY, T0 + 9 * DAY)
    finally:
        again.stop()


def test_wrong_keys_are_refused_as_s3_refuses_them(stand_in, dataset):
    connection = stand_in.start(dataset, T0)

    for wrong, code in (
        ({"aws_access_key_id": "AKIAUNKNOWN"}, "InvalidAccessKeyId"),
        ({"aws_secret_access_key": "guessed"}, "SignatureDoesNotMatch"),
    ):
        with pytest.raises(ClientError) as refused:
            client(connection, **wrong).list_objects_v2(Bucket="company-raw-data")
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_obstore_reads_and_writes_it_and_is_refused_without_a_signature(stand_in, dataset):
    connection = stand_in.start(dataset, T0)
    settings = {
        "endpoint": connection.settings["endpoint_url"],
        "region": connection.settings["region"],
        "client_options": {"allow_http": True},
    }
    store = S3Store("company-raw-data", **settings, **connection.secret)

    assert bytes(store.get("hr export/ü+&=.csv").bytes()) == b"product_id\nodd.csv\n"
    store.put("a folder/x=1/a file.csv", b"mine")
    assert sorted(each["path"] for page in store.list("a folder") for each in page) == ["a folder/x=1/a file.csv"]
    with pytest.raises(BaseError, match="AccessDenied"):
        list(S3Store("company-raw-data", skip_signature=True, **settings).list())
