"""Settings, as the people who write them meet them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from headwater.config import Settings, load_settings
from headwater.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]


class Project:
    """A project folder with one config file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config" / "my.yaml"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("", encoding="utf-8")

    def load(self, text: str, **environment: str) -> Settings:
        self.file.write_text(text, encoding="utf-8")
        return load_settings(self.file, environment)

    def connections(self, text: str) -> None:
        file = self.folder / ".headwater" / "sandbox" / "connections.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")

    def secret_file(self, text: str, mode: int = 0o600) -> Path:
        file = self.folder / "secret.json"
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return file


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def aws_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stand-in of AWS over HTTP, found as the real client finds it: by the usual variables."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "eu-central-1"}
    for name, value in (variables | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
        monkeypatch.setenv(name, value)
    yield f"http://{host}:{port}"
    server.stop()


def test_an_empty_file_gives_the_defaults(project: Project) -> None:
    settings = project.load("")

    assert settings.engine == "embedded"
    assert settings.state == project.folder / ".headwater"
    assert settings.lake == str(project.folder / ".headwater" / "lake")
    assert settings.dq == project.folder / "config" / "dq.yaml"
    assert settings.sandbox is None
    assert settings.fx.max_age_days == 7
    assert settings.data_sources.enabled() == ()
    assert settings.table("snowflake_orders").overlap == timedelta(hours=1)
    assert settings.table("snowflake_orders").settle == timedelta(0)


@pytest.mark.parametrize("name", ["local", "prod"])
def test_the_config_files_that_come_with_the_project_load(name: str) -> None:
    settings = load_settings(PROJECT / "config" / f"{name}.yaml", {})

    assert settings.data_sources.snowflake.enabled
    assert settings.data_sources.snowflake.schema == "RAW"
    assert settings.data_sources.redshift.database == "dev"


def test_production_names_its_secrets_and_no_secret_stands_in_a_config_file() -> None:
    settings = load_settings(PROJECT / "config" / "prod.yaml", {})

    assert settings.secret_references == {
        "snowflake": "snowflake/etl/prod",
        "redshift": "redshift/etl_user/prod",
        "salesforce": "salesforce/api_token/prod",
        "kafka": "kafka/orders_stream/prod",
        "fx_vendor": "fx_vendor/api_key/prod",
        "masking": "headwater/masking/prod",
    }
    assert settings.data_sources.redshift.iam_role == "arn:aws:iam::123456789012:role/RedshiftLoadRole"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lakes: x", "config/my.yaml: lakes is not a setting; did you mean lake?"),
        (
            "data_sources:\n  snowflake:\n    warehous: X",
            "config/my.yaml: data_sources.snowflake.warehous is not a setting; did you mean warehouse?",
        ),
        ("data_sources:\n  snowflak: {}", "data_sources.snowflak is not a setting; did you mean snowflake?"),
        (
            "tables:\n  snowflake_orders:\n    overlp: 2h",
            "tables.snowflake_orders.overlp is not a setting; did you mean overlap?",
        ),
        ("fx:\n  zzz: 1", "fx.zzz is not a setting; known here: max_age_days"),
        ("engine: flink", "config/my.yaml: engine: Input should be 'embedded'"),
        ("fx:\n  max_age_days: soon", "config/my.yaml: fx.max_age_days: Input should be a valid integer"),
        ("tables:\n  a:\n    overlap: 60", "tables.a.overlap: 60 is not a duration such as 30s, 15m, 1h or 2d"),
        ("state: s3://bucket/state", "config/my.yaml: state: 's3://bucket/state' is no path on this machine"),
        ("sandbox:\n  scale: 0", "sandbox.scale: Input should be greater than 0"),
        ("lake: [1", "config/my.yaml is not valid YAML"),
        ("lake: a\nlake: b", "the key 'lake' is given twice"),
        ("- lake", "expected keys and values at the top"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(project: Project, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        project.load(text)

    assert message in str(caught.value)


def test_a_missing_file_says_which_files_there_are(project: Project) -> None:
    with pytest.raises(
        ConfigurationError, match=r"cannot read the config file .*no\.yaml.*found here: config/my\.yaml"
    ):
        load_settings(project.folder / "config" / "no.yaml", {})


def test_the_running_sandbox_overrides_the_file_and_the_environment_overrides_both(project: Project) -> None:
    project.connections("data_sources:\n  snowflake:\n    host: 127.0.0.1\n    port: 4321\n")
    text = "sandbox: {}\ndata_sources:\n  snowflake:\n    host: from-file\n    warehouse: WH\n"

    settings = project.load(text, HEADWATER_DATA_SOURCES__SNOWFLAKE__PORT="99")

    snowflake = settings.data_sources.snowflake
    assert (snowflake.warehouse, snowflake.host, snowflake.port) == ("WH", "127.0.0.1", 99)
    assert settings.origin("data_sources.snowflake.warehouse") == "config/my.yaml"
    assert settings.origin("data_sources.snowflake.host") == ".headwater/sandbox/connections.yaml"
    assert settings.origin("data_sources.snowflake.port") == "environment HEADWATER_DATA_SOURCES__SNOWFLAKE__PORT"
    assert settings.origin("data_sources.snowflake.role") == "default"


def test_without_a_sandbox_block_the_sandbox_is_not_asked(project: Project) -> None:
    project.connections("data_sources:\n  snowflake:\n    host: 127.0.0.1\n")

    assert project.load("").data_sources.snowflake.host is None


def test_an_unknown_variable_with_a_section_is_an_error(project: Project) -> None:
    with pytest.raises(ConfigurationError, match=r"environment HEADWATER_FX__MAX_AGE: fx.max_age is not a setting"):
        project.load("", HEADWATER_FX__MAX_AGE="3")


def test_a_misspelt_variable_is_an_error_and_one_of_another_purpose_is_not(project: Project) -> None:
    with pytest.raises(ConfigurationError, match="HEADWATER_LAK is no setting; did you mean HEADWATER_LAKE"):
        project.load("", HEADWATER_LAK="x")

    assert project.load("", HEADWATER_CI="1").engine == "embedded"


def test_a_password_of_digits_stays_text(project: Project) -> None:
    settings = project.load("", HEADWATER_DATA_SOURCES__SNOWFLAKE__ACCOUNT="007")

    assert settings.data_sources.snowflake.account == "007"


def test_a_lake_may_be_elsewhere_or_on_s3(project: Project) -> None:
    assert project.load("lake: s3://bucket/lake").lake == "s3://bucket/lake"
    assert project.load("lake: /srv/lake").lake == "/srv/lake"
    assert project.load("lake: ../lake").lake == str(project.folder.parent / "lake")


def test_each_dataset_and_scale_of_the_sandbox_has_its_own_lake(project: Project) -> None:
    base = str(project.folder / ".headwater" / "lake")

    assert project.load("sandbox: {}").lake == f"{base}/generated"
    assert project.load("sandbox: {dataset: completejourney}").lake == f"{base}/completejourney"
    assert project.load("sandbox: {dataset: /data/mine}").lake == f"{base}/mine"
    assert project.load("sandbox: {scale: 0.1}").lake == f"{base}/generated-x0.1"


def test_settings_are_read_only(project: Project) -> None:
    settings = project.load("")

    with pytest.raises(ValueError, match="frozen"):
        settings.lake = "elsewhere"


def test_a_secret_comes_from_a_file_of_its_owner(project: Project) -> None:
    project.secret_file('{"user": "etl", "password": "pw", "port": 1}')
    secrets = project.load("secrets:\n  snowflake: file:secret.json").secrets

    assert secrets.get("snowflake") == {"user": "etl", "password": "pw", "port": "1"}
    assert "pw" not in repr(secrets)


def test_a_secret_file_that_others_can_read_is_refused(project: Project) -> None:
    file = project.secret_file('{"password": "pw"}', mode=0o644)
    secrets = project.load("secrets:\n  snowflake: file:secret.json").secrets

    with pytest.raises(ConfigurationError, match=rf"open to other users \(mode 644\); run: chmod 600 {file}"):
        secrets.get("snowflake")


@pytest.mark.parametrize("text", ["", "hunter2", "[1]", '{"password": {"a": "hunter2"}}', "{}"])
def test_a_secret_file_that_is_not_one_object_is_refused_without_showing_it(project: Project, text: str) -> None:
    project.secret_file(text)
    secrets = project.load("secrets:\n  snowflake: file:secret.json").secrets

    with pytest.raises(ConfigurationError, match="secret snowflake in the file") as caught:
        secrets.get("snowflake")
    assert "hunter2" not in str(caught.value)


def test_a_secret_comes_from_the_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = project.load(
        "secrets: {fx_vendor: 'env:FX_KEY', kafka: 'env:KAFKA_JSON', redshift: {user: 'env:RS_USER', password: 'env:RS_PW'}}"
    ).secrets
    monkeypatch.setenv("FX_KEY", "12345")
    monkeypatch.setenv("KAFKA_JSON", '{"user": "k", "password": "p"}')
    monkeypatch.setenv("RS_USER", "etl_user")
    monkeypatch.setenv("RS_PW", "rp")

    assert secrets.get("fx_vendor") == {"api_key": "12345"}
    assert secrets.get("kafka") == {"user": "k", "password": "p"}
    assert secrets.get("redshift") == {"user": "etl_user", "password": "rp"}


@pytest.mark.parametrize(
    ("block", "places"),
    [
        ("", ["secrets.kafka", "config/my.yaml", "HEADWATER_SECRETS__KAFKA"]),
        ("secrets:\n  kafka: file:nowhere.json", ["nowhere.json", "secrets.kafka"]),
        ("secrets:\n  kafka: env:NO_SUCH_VARIABLE", ["NO_SUCH_VARIABLE", "secrets.kafka"]),
        ("secrets:\n  kafka: {user: 'env:NO_SUCH_VARIABLE'}", ["NO_SUCH_VARIABLE", "secrets.kafka"]),
    ],
)
def test_a_missing_secret_says_every_place_that_was_looked_in(project: Project, block: str, places: list[str]) -> None:
    secrets = project.load(block).secrets

    with pytest.raises(ConfigurationError, match="no secret kafka") as caught:
        secrets.get("kafka")
    assert all(place in str(caught.value) for place in places)


def test_a_value_in_place_of_a_reference_is_refused_without_showing_it(project: Project) -> None:
    secrets = project.load("secrets:\n  kafka: {user: k, password: hunter2}").secrets

    with pytest.raises(
        ConfigurationError, match=r"secrets.kafka.user must be env:NAME, never the value itself"
    ) as caught:
        secrets.get("kafka")
    assert "hunter2" not in str(caught.value)


def test_other_names_are_looked_up_in_aws_secrets_manager(
    project: Project, aws_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = boto3.client("secretsmanager")
    client.create_secret(Name="snowflake/etl/prod", SecretString=json.dumps({"user": "etl", "password": "pw"}))
    secrets = project.load("secrets:\n  snowflake: snowflake/etl/prod\n  kafka: kafka/orders_stream/prod").secrets

    assert secrets.get("snowflake") == {"user": "etl", "password": "pw"}
    with pytest.raises(
        ConfigurationError, match=r"AWS Secrets Manager for kafka/orders_stream/prod.*ResourceNotFoundException"
    ):
        secrets.get("kafka")
