"""What people and sources get wrong: each has its message, and leaves nothing half-written."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from tests.e2e.runs import AT, ended, typed
from tests.e2e.tiny import PROJECT, T0, Lake, everything
from tests.forked import headwater

from headwater.sandbox import Status

pytestmark = pytest.mark.slow

BRONZE = {
    "snowflake": ("snowflake_orders", "snowflake_customers", "snowflake_products"),
    "redshift": ("redshift_behavior",),
    "salesforce": ("salesforce_accounts", "salesforce_contacts", "salesforce_opportunities"),
    "s3": ("external_inventory",),
    "kafka": ("kafka_orders_events", "kafka_user_events", "kafka_inventory_updates"),
    "fx_vendor": ("fx_vendor_rates",),
}
PASSWORDS = ("password", "client_secret", "api_key", "secret_access_key")
BESIDE = "external_inventory"
"""A table of another source, which must land all the same."""


def run(lake: Lake, *tables: str) -> tuple[int, dict[str, str], str]:
    """The exit code, what the summary says of each table that did not go right, and all that was said."""
    made = typed(lake, "run", *AT, "--select", ",".join(tables))
    lines = [line.partition(": ") for line in made.stdout.splitlines()]
    wrong = {
        head.split()[0]: rest for head, colon, rest in lines if colon and head.endswith(("failed", "skipped", "stale"))
    }
    return made.returncode, wrong, made.stdout + made.stderr


def refused(lake: Lake, table: str, *words: str) -> None:
    """One table fails for its reason and leaves nothing; its neighbour lands."""
    code, wrong, said = run(lake, table, BESIDE)

    assert code == 1, said
    assert list(wrong) == [f"bronze.{table}"], said
    assert all(word in wrong[f"bronze.{table}"] for word in words), said
    assert "Traceback" not in said
    assert lake.tables() == ["bronze/external/inventory", "rejects/external_inventory"]
    assert BESIDE in lake.store()
    assert table not in lake.store()


@contextmanager
def owner(sources: Status) -> Iterator[psycopg.Connection[Any]]:
    login = json.loads(sources.owner.read_text(encoding="utf-8"))
    login["dbname"] = login.pop("database")
    with psycopg.connect(**login, autocommit=True) as session:
        yield session


def test_an_unknown_key_is_named_with_its_file_and_nothing_begins(sources, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake", lakes="elsewhere")

    made = headwater("run", "--config", "config/local.yaml", *AT, cwd=lake.folder)

    assert made.returncode == 1
    assert "config/local.yaml: lakes is not a setting; did you mean lake?" in made.stderr
    assert not (lake.folder / "lake").exists()
    assert not (lake.folder / "state").exists()


def test_a_missing_secret_is_named_with_where_it_was_looked_for(sources, tmp_path):
    nowhere = tmp_path / "nowhere.json"
    lake = Lake.beside(sources, tmp_path / "lake", secrets={"redshift": f"file:{nowhere}"})

    refused(lake, "redshift_behavior", "no secret redshift", str(nowhere), "secrets.redshift", "create it")


def test_a_wrong_password_is_refused_by_every_source_and_shown_by_none(sources, tmp_path):
    references = yaml.safe_load(sources.connections.read_text(encoding="utf-8"))["secrets"]
    wrong = {}
    for source, reference in references.items():
        right = json.loads(Path(reference.removeprefix("file:")).read_text(encoding="utf-8"))
        secret = {name: "hunter2hunter2" if name in PASSWORDS else value for name, value in right.items()}
        file = tmp_path / f"{source}.json"
        file.write_text(json.dumps(secret), encoding="utf-8")
        file.chmod(0o600)
        wrong[source] = f"file:{file}"
    lake = Lake.beside(sources, tmp_path / "lake", secrets=wrong)

    code, told, said = run(lake, *(table for tables in BRONZE.values() for table in tables))

    assert code == 1, said
    assert "hunter2" not in said
    assert "Traceback" not in said
    for source, tables in BRONZE.items():
        for table in tables:
            assert "refused the" in told[f"bronze.{table}"] or "denies" in told[f"bronze.{table}"], said
            assert f"secrets.{source}" in told[f"bronze.{table}"], said
    assert [file for file in (lake.folder / "lake").rglob("*") if file.is_file()] == []
    assert lake.store() == {}


def test_a_source_that_is_down_holds_up_none_of_the_others(sources, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        lake = Lake.beside(sources, tmp_path / "lake", data_sources={"redshift": {"port": port}})

        refused(lake, "redshift_behavior", f"127.0.0.1:{port} did not answer")


def test_a_table_chosen_before_what_it_reads_has_landed_is_skipped_and_says_so(sources, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")

    code, wrong, said = run(lake, "revenue_by_geography")

    assert code == 1, said
    assert wrong == {"gold.revenue_by_geography": "silver.customers has never landed"}
    assert lake.tables() == []


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of its own at `place`, of a few bytes."""
    place.mkdir()
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "headwater", str(place)]
    subprocess.run([*as_root, *mount], check=True)
    try:
        yield
    finally:
        subprocess.run([*as_root, "umount", "--lazy", str(place)], check=True)


def enlarge(place: Path, size: str) -> None:
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    subprocess.run([*as_root, "mount", "-o", f"remount,size={size}", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system as Linux does")
def test_a_full_disk_is_named_and_nothing_but_room_was_missing(sources, tmp_path):
    plenty = Lake.beside(sources, tmp_path / "plenty")
    assert ended(plenty, T0) == 0

    refusals = 0
    with small_disk(tmp_path / "small", "200k"):
        lake = Lake.beside(sources, tmp_path / "small" / "lake")
        for size in range(200, 8_000, 400):
            enlarge(tmp_path / "small", f"{size}k")
            made = typed(lake, "run", *AT)
            if made.returncode == 0:
                break
            said = made.stdout + made.stderr
            assert made.returncode == 1, said
            assert "the disk is full" in said
            assert str(tmp_path / "small") in said
            assert "Traceback" not in said
            assert "defect" not in said
            refusals += 1

        assert refusals >= 3
        assert everything(lake) == everything(plenty)


def with_contracts(lake: Lake, table: str, column: dict[str, Any]) -> Path:
    """Give a lake contracts of its own, in which a table has one column more."""
    folder = lake.folder / "config" / "contracts"
    shutil.copytree(PROJECT / "config" / "contracts", folder)
    settings = yaml.safe_load(lake.config.read_text(encoding="utf-8"))
    lake.config.write_text(yaml.safe_dump(settings | {"contracts": "config/contracts"}), encoding="utf-8")
    file = folder / "bronze" / f"{table}.yaml"
    contract = yaml.safe_load(file.read_text(encoding="utf-8"))
    contract["schema"][0]["properties"].append(column)
    file.write_text(yaml.safe_dump(contract, sort_keys=False), encoding="utf-8")
    return file


def test_a_contract_that_requires_what_the_source_lacks_is_named(sources, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")
    told = {"logicalType": "string", "physicalType": "string", "description": "A card.", "required": True}
    file = with_contracts(lake, "redshift_behavior", {"name": "loyalty_card", **told})

    refused(lake, "redshift_behavior", "raw.customer_behavior has no column loyalty_card", file.name)


def test_a_column_that_the_source_dropped_is_named_and_can_come_back(sources, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")
    with owner(sources) as session:
        session.execute("ALTER TABLE raw.customer_behavior RENAME COLUMN event_name TO dropped")
        try:
            refused(lake, "redshift_behavior", "raw.customer_behavior has no column event_name", "bring it back")
        finally:
            session.execute("ALTER TABLE raw.customer_behavior RENAME COLUMN dropped TO event_name")

    code, wrong, said = run(lake, "redshift_behavior")

    assert (code, wrong) == (0, {}), said
    assert len(lake.rows("bronze/redshift/behavior")) == 6


def asked(sources: Status) -> dict[str, int]:
    """How much each stand-in has logged."""
    return {file.name: file.stat().st_size for file in sources.logs.iterdir()}


def test_an_event_that_came_late_is_landed_alone_and_then_nothing_is_left_to_do(sources, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")
    assert ended(lake, T0) == 0
    before, versions = lake.rows("bronze/redshift/behavior"), lake.versions()
    late = T0 - timedelta(minutes=30)
    with owner(sources) as session:
        session.execute(
            "INSERT INTO raw.customer_behavior (event_id, customer_id, event_name, event_ts) VALUES (%s, %s, %s, %s)",
            ("LATE", "C1", "page_view", late.replace(tzinfo=None)),
        )

    assert ended(lake, T0) == 0
    after = lake.rows("bronze/redshift/behavior")
    moved = {path for path, version in lake.versions().items() if version != versions[path]}

    assert [row["event_id"] for row in after if row not in before] == ["LATE"]
    assert [row for row in before if row not in after] == []
    assert {path for path in moved if path.startswith("bronze/")} == {"bronze/redshift/behavior"}
    assert {path for path in moved if path.startswith("silver/")} == {"silver/behavior"}
    assert {path for path in moved if path.startswith("gold/")} == {"gold/customer_360"}

    standing, said = lake.versions(), asked(sources)
    assert ended(lake, T0) == 0
    assert lake.versions() == standing
    grown = {name.split(".")[0] for name, size in asked(sources).items() if size > said.get(name, 0)}
    assert {"redshift", "salesforce", "snowflake", "s3", "fx_vendor"} <= grown
