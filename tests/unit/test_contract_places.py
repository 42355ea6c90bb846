"""Where contracts lie: a folder or a bucket, said in one place."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from headwater.config import AwsSettings, Settings, load_settings
from headwater.contracts import load_contracts, project_contracts
from headwater.contracts.schema_contracts import contracts_location
from headwater.errors import ConfigurationError

FOLDER = Path(__file__).parents[2] / "config" / "contracts"


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsSettings]:
    """A stand-in of S3 over HTTP with the project's contracts in it, beside what is none."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "id")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1")
    client.create_bucket(Bucket="schemas", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for path in FOLDER.rglob("*.yaml"):
        key = f"schema_definitions/{path.relative_to(FOLDER).as_posix()}"
        client.put_object(Bucket="schemas", Key=key, Body=path.read_bytes())
    for other in ("schema_definitions/README.md", "schema_definitions/silver/old/orders.yaml", "silver/else.yaml"):
        client.put_object(Bucket="schemas", Key=other, Body=b"not a contract")
    yield AwsSettings(region="eu-central-1", endpoint_url=endpoint)
    patch.undo()
    server.stop()


def settings(folder: Path, dq: str, config: str = "", **environment: str) -> Settings:
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "dq.yaml").write_text(dq, encoding="utf-8")
    file = folder / "config" / "my.yaml"
    file.write_text(config, encoding="utf-8")
    return load_settings(file, environment)


def test_contracts_are_read_from_s3_as_from_a_folder(aws: AwsSettings) -> None:
    assert load_contracts("s3://schemas/schema_definitions/", aws) == load_contracts(FOLDER)


def test_the_block_of_dq_yaml_names_a_bucket(tmp_path: Path, aws: AwsSettings) -> None:
    dq = "schema_contracts: {contracts_path: 's3://schemas/schema_definitions/', required_tables: [silver.orders]}"
    config = f"aws: {{region: {aws.region}, endpoint_url: '{aws.endpoint_url}'}}"

    assert project_contracts(settings(tmp_path, dq, config)) == load_contracts(FOLDER)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("s3://schemas/nothing", r"s3://schemas/nothing: no contracts; it should hold bronze/, silver/ and gold/"),
        ("s3://nobody/schema_definitions", r"s3://nobody/schema_definitions: S3 does not show the contracts \(.*NoSuchBucket"),
        ("s3://", r"s3:.*: contracts_path names no bucket; write s3://<bucket>/<prefix>"),
        ("gs://bucket/x", r"gs://bucket/x: contracts are read from a folder or from s3://"),
    ],
)  # fmt: skip
def test_a_place_without_contracts_is_an_error_that_names_it(aws: AwsSettings, location: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_contracts(location, aws)


def test_a_server_that_is_away_is_an_error_without_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    away = AwsSettings(region="eu-central-1", endpoint_url="http://127.0.0.1:9")

    with pytest.raises(ConfigurationError, match=r"s3://schemas/x: S3 does not show the contracts") as caught:
        load_contracts("s3://schemas/x", away)
    assert "very-secret" not in str(caught.value)


def test_without_a_word_contracts_lie_in_the_projects_config(tmp_path: Path) -> None:
    assert contracts_location(settings(tmp_path, "")) == str(tmp_path / "config" / "contracts")


def test_contracts_path_is_relative_to_the_project(tmp_path: Path) -> None:
    dq = "schema_contracts: {contracts_path: schemas}"

    assert contracts_location(settings(tmp_path, dq)) == str(tmp_path / "schemas")


def test_the_setting_contracts_is_another_name_for_it(tmp_path: Path) -> None:
    assert contracts_location(settings(tmp_path, "", "contracts: schemas")) == str(tmp_path / "schemas")
    assert contracts_location(settings(tmp_path, "", HEADWATER_CONTRACTS="s3://b/p")) == "s3://b/p"
    both = settings(tmp_path, "schema_contracts: {contracts_path: schemas}", "contracts: schemas")
    assert contracts_location(both) == str(tmp_path / "schemas")


def test_two_names_that_differ_are_an_error_that_names_both(tmp_path: Path) -> None:
    differing = settings(tmp_path, "schema_contracts: {contracts_path: schemas}", "contracts: others")

    said = r"dq\.yaml: schema_contracts\.contracts_path is .*/schemas, but contracts \(config/my\.yaml\) is .*/others"
    with pytest.raises(ConfigurationError, match=said):
        contracts_location(differing)


def test_a_misspelt_block_is_an_error_before_any_contract_is_read(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"dq\.yaml: schema_contracts\.contracts_pth is not known; did you mean"
    ):
        contracts_location(settings(tmp_path, "schema_contracts: {contracts_pth: x}"))
