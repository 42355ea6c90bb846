"""A lake on S3 holds what one on this machine holds, and says what is wrong where it cannot be reached."""

import json
from collections.abc import Iterator

import pytest
import yaml
from tests.aws import KEYS, served
from tests.e2e.runs import AT, typed
from tests.e2e.tiny import T0, T1, Lake, everything

from headwater import sandbox
from headwater.config import AwsSettings
from headwater.object_store import Place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsSettings]:
    with served("lake-of-e2e") as settings:
        yield settings


def answer(lake: Lake, command: str, *options: str) -> str:
    made = typed(lake, command, *options)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


def test_two_runs_over_a_lake_on_s3_make_what_they_make_on_this_machine(sources, aws, tmp_path):
    here = Lake.beside(sources, tmp_path / "here")
    there = Lake.beside(sources, tmp_path / "there", elsewhere=Place("s3://lake-of-e2e/two/runs", aws))

    for at in (T0, T1):
        sandbox.advance(sources.connections.parent, at)
        for lake in (here, there):
            answer(lake, "run", "--at", at.isoformat())
        assert everything(there) == everything(here)
    versions = there.versions()
    answer(there, "run", "--at", T1.isoformat())

    assert {path: version for path, version in there.versions().items() if path != "_dq_results"} == {
        path: version for path, version in versions.items() if path != "_dq_results"
    }
    assert not (there.folder / "lake").exists()
    sql = "SELECT order_id, amount_usd FROM silver.orders ORDER BY order_id"
    assert answer(there, "query", "--csv", sql) == answer(here, "query", "--csv", sql)
    assert answer(there, "query", "SELECT * FROM gold.revenue_by_geography LIMIT 1")
    told, expected = (json.loads(answer(lake, "status", "--json")) for lake in (there, here))
    assert told["lake"] == "s3://lake-of-e2e/two/runs"
    for table in (*told["tables"], *expected["tables"]):
        table.pop("age_s")
    assert told["tables"] == expected["tables"]
    described, alike = (json.loads(answer(lake, "describe", "silver.orders", "--json")) for lake in (there, here))
    assert described["place"] == "s3://lake-of-e2e/two/runs/silver/orders"
    assert described["rows"] == alike["rows"]
    position = ("watermark", "show", "snowflake_orders", "--json")
    assert answer(there, *position) == answer(here, *position)
    assert "s3://lake-of-e2e/two/runs answers" in typed(there, "doctor").stdout
    published, same = (
        json.loads(answer(each, "quality", "run", "--at", T1.isoformat(), "--json")) for each in (there, here)
    )
    assert published["tables"] == same["tables"]
    verdicts, those = (json.loads(answer(each, "quality", "orders", "--json")) for each in (there, here))
    assert [each["checks"] for each in verdicts] == [each["checks"] for each in those]
    assert [each["suite"] for each in verdicts] == ["published", "gate", "gate"]


COMMANDS = (("run", *AT), ("status",), ("query",), ("describe", "orders"), ("watermark", "show"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_bucket_that_is_not_there_is_named(sources, aws, tmp_path, command):
    lake = Lake.beside(sources, tmp_path / "lake", elsewhere=Place("s3://no-such-bucket/lake", aws))
    made = typed(lake, *command)

    assert made.returncode == 1
    assert "headwater: the lake s3://no-such-bucket/lake: there is no bucket no-such-bucket; create it" in made.stderr


def test_an_endpoint_that_does_not_answer_is_named(sources, aws, tmp_path):
    silent = AwsSettings(aws.region, "http://127.0.0.1:9")
    lake = Lake.beside(sources, tmp_path / "lake", elsewhere=Place("s3://lake-of-e2e/lake", silent))
    made = typed(lake, "status")

    assert made.returncode == 1
    assert "http://127.0.0.1:9 does not answer; check aws.endpoint_url, aws.region and the network" in made.stderr


def test_credentials_that_s3_refuses_are_not_told_but_where_they_come_from(sources, tmp_path):
    connections = yaml.safe_load(sources.connections.read_text(encoding="utf-8"))["data_sources"]["s3"]
    strict = Place("s3://company-raw-data/lake", AwsSettings(connections["region"], connections["endpoint_url"]))
    lake = Lake.beside(sources, tmp_path / "lake", elsewhere=strict)
    made = typed(lake, "run", *AT, **KEYS)

    assert made.returncode == 1
    assert "S3 refuses the credentials or lacks a right (InvalidAccessKeyId); check the AWS profile" in made.stderr
    assert "made-up" not in made.stdout + made.stderr


def test_a_machine_without_credentials_is_told_how_to_have_some(sources, aws, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake", elsewhere=Place("s3://lake-of-e2e/lake", aws))
    none = dict.fromkeys(KEYS, "") | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    made = typed(lake, "status", **none)

    assert made.returncode == 1
    assert "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID" in made.stderr


def test_credentials_are_found_in_a_profile(sources, aws, tmp_path):
    """By every library that reads or writes the lake: they all share one, which is not in the environment."""
    profile = tmp_path / "credentials"
    profile.write_text("[warehouse]\naws_access_key_id = made-up\naws_secret_access_key = made-up\n", encoding="utf-8")
    found = {"AWS_SHARED_CREDENTIALS_FILE": str(profile), "AWS_PROFILE": "warehouse"}
    environment = dict.fromkeys(KEYS, "") | {"AWS_EC2_METADATA_DISABLED": "true"} | found
    lake = Lake.beside(sources, tmp_path / "lake", elsewhere=Place("s3://lake-of-e2e/profile", aws))
    made = typed(lake, "run", "--at", T1.isoformat(), "--select", "snowflake_products,products", **environment)

    assert made.returncode == 0, made.stdout + made.stderr
    rows = typed(lake, "query", "--csv", "SELECT count(*) FROM silver.products", **environment)
    assert rows.stdout.splitlines()[1] == "2"


def test_a_region_that_only_the_config_has_is_asked_for_nowhere_else(sources, aws, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake", elsewhere=Place("s3://lake-of-e2e/region", aws))
    nowhere = {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    typed(lake, "run", *AT, "--select", "snowflake_products", **nowhere)
    made = typed(lake, "status", **nowhere)

    assert (made.returncode, made.stderr) == (0, "")
    assert "snowflake_products" in made.stdout


def test_a_prefix_that_could_not_be_read_back_is_refused(sources, aws, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake", lake="s3://lake-of-e2e/my lake")
    made = typed(lake, "status")

    assert made.returncode == 1
    assert "lake: s3://lake-of-e2e/my lake: a prefix with ' ' cannot be read back" in made.stderr
