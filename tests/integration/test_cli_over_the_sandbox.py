"""The sandbox and the checks of sources on the command line, over live stand-ins."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from headwater.contracts.standard import is_of_the_standard

PROJECT = Path(__file__).parents[2]
HEADWATER = Path(sys.prefix) / "bin" / "headwater"
SOURCES = {
    "snowflake": ("snowflake_orders", "snowflake_customers", "snowflake_products"),
    "redshift": ("redshift_behavior",),
    "salesforce": (
        "salesforce_accounts", "salesforce_contacts", "salesforce_opportunities", "salesforce_leads", "salesforce_cases",
        "salesforce_tasks", "salesforce_solutions",
    ),
    "s3": (
        "external_inventory", "external_purchasing", "external_employees", "external_performance_reviews",
        "external_transactions", "external_gl_accounts", "external_vendor_products",
    ),
    "kafka": ("kafka_orders_events", "kafka_user_events", "kafka_inventory_updates"),
    "fx_vendor": ("fx_vendor_rates",),
}  # fmt: skip

pytestmark = pytest.mark.slow


def headwater(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    return subprocess.run(
        [HEADWATER, *arguments],
        cwd=cwd,
        env=clean | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder whose sandbox was brought up small."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "config", folder / "config")
    try:
        up = headwater("sandbox", "up", "--scale", "0.005", cwd=folder)
        assert up.returncode == 0, up.stderr
        yield folder
    finally:
        down = headwater("sandbox", "down", cwd=folder)
        assert down.returncode == 0, down.stderr


def test_what_was_chosen_at_up_stays_chosen(project: Path) -> None:
    shown = json.loads(headwater("config", "show", "--json", cwd=project).stdout)

    assert shown["sandbox.scale"] == {"value": 0.005, "from": ".headwater/sandbox.yaml"}
    assert shown["lake"]["value"] == f"{project}/.headwater/lake/generated-x0.005"
    assert shown["data_sources.kafka.bootstrap_servers"]["from"] == ".headwater/sandbox/connections.yaml"
    again = headwater("sandbox", "up", cwd=project)
    assert again.returncode == 0
    assert "generated-x0.005" in again.stdout


def test_another_dataset_is_refused_while_one_is_shown_and_not_chosen(project: Path) -> None:
    refused = headwater("sandbox", "up", "--scale", "0.006", cwd=project)

    assert refused.returncode == 1
    assert f"stop it first: {HEADWATER} sandbox down" in refused.stderr
    assert json.loads(headwater("config", "show", "--json", cwd=project).stdout)["sandbox.scale"]["value"] == 0.005


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_lets_us_in(project: Path, source: str) -> None:
    checked = headwater("check", source, cwd=project)

    assert checked.returncode == 0, checked.stderr
    assert {line.partition(":")[0] for line in checked.stdout.splitlines()} == set(SOURCES[source])


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_refuses_a_wrong_login_without_showing_it(project: Path, source: str) -> None:
    right = json.loads((project / ".headwater" / "sandbox" / "secrets" / f"{source}.json").read_text(encoding="utf-8"))
    names = ("password", "client_secret", "api_key", "secret_access_key")
    wrong = {name: "hunter2hunter2" if name in names else value for name, value in right.items()}

    refused = headwater(
        "check", source, cwd=project, WRONG=json.dumps(wrong), **{f"HEADWATER_SECRETS__{source.upper()}": "env:WRONG"}
    )

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert source in refused.stderr
    assert "hunter2" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_clock_moves_on_and_never_back(project: Path) -> None:
    before = json.loads(headwater("sandbox", "status", "--json", cwd=project).stdout)["clock"]

    assert headwater("sandbox", "advance", "--days", "1", cwd=project).returncode == 0
    after = json.loads(headwater("sandbox", "status", "--json", cwd=project).stdout)["clock"]
    back = headwater("sandbox", "advance", "--to", before, cwd=project)

    assert after > before
    assert back.returncode == 1
    assert "never goes back" in back.stderr


DRAFTED = {
    "snowflake.ORDERS": "order_id",
    "redshift.customer_behavior": "event_id",
    "salesforce.Lead": "id",
    "kafka.user_events": "event_id",
    "s3.hr-export/employees": "employee_id",
    "fx_vendor.rates": "date",
}
"""A table of each source, and a column of the key that its rows show."""


@pytest.mark.parametrize("table", DRAFTED)
def test_a_contract_is_drafted_from_a_tables_rows(project: Path, table: str, tmp_path: Path) -> None:
    file = tmp_path / "draft.yaml"
    written = headwater("contract", "infer", table, "--rows", "200", "--write", str(file), cwd=project)

    assert written.returncode == 0, written.stderr
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert is_of_the_standard(document)
    keys = [each["name"] for each in document["schema"][0]["properties"] if each.get("primaryKey")]
    assert DRAFTED[table] in keys
    again = headwater("contract", "infer", table, "--write", str(file), cwd=project)
    assert again.returncode == 1
    assert f"{file} is there already; --force overwrites it" in again.stderr
    both = headwater(
        "contract", "infer", table, "--rows", "200", "--json", "--write", str(file), "--force", cwd=project
    )
    assert json.loads(both.stdout) == json.loads(json.dumps(yaml.safe_load(file.read_text("utf-8")), default=str))


def test_a_draft_of_a_table_that_is_not_there_says_so(project: Path) -> None:
    nothing = headwater("contract", "infer", "snowflake.NOPE", cwd=project)

    assert nothing.returncode == 1
    assert "ETL_PROJECT_DB.RAW.NOPE does not exist" in nothing.stderr
