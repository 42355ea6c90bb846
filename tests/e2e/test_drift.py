"""Sources change their columns between two runs: Silver is as it would have been, whatever dies on the way."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import snowflake.connector
from tests.chaos.instant import Instant
from tests.e2e.runs import called, ended, said
from tests.e2e.tiny import FILES, T0, T1, TOPICS, Lake, everything, write_tiny

from headwater import sandbox
from headwater.config import load_settings
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

ALTERED = (
    "CREATE TABLE WIDER AS SELECT * REPLACE (CAST(QUANTITY AS VARCHAR) AS QUANTITY) FROM ORDERS",
    "DROP TABLE ORDERS",
    "CREATE TABLE ORDERS AS SELECT * FROM WIDER",
    "ALTER TABLE ORDERS ADD COLUMN DISCOUNT NUMBER(10,2)",
    "UPDATE ORDERS SET DISCOUNT = 1.5 WHERE ORDER_ID = 'O7'",
    "UPDATE ORDERS SET QUANTITY = 'less than none' WHERE ORDER_ID = 'O8'",
    "ALTER TABLE CUSTOMERS DROP COLUMN PHONE",
)
"""A new column, one of another type (with a value that is none of its old one), and one that is gone."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    later, told = FILES["2024-11-01"]
    files = FILES | {"2024-11-01": (later, "shelf," + told.replace("\n", "\nA1,").removesuffix("A1,"))}
    users = [(fields and fields | {"browser": {"name": "Lynx"}}, at) for fields, at in TOPICS["user_events"]]
    topics = TOPICS | {"user_events": [*TOPICS["user_events"][:2], *users[2:]]}
    return write_tiny(tmp_path_factory.mktemp("dataset") / "tiny", files=files, topics=topics)


@pytest.fixture(scope="module")
def first(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake.beside(sources, tmp_path_factory.mktemp("first") / "lake")
    assert ended(lake, T0) == 0, said(lake)
    return lake


@pytest.fixture(scope="module")
def undisturbed(sources: Status, first: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """After a second run over sources whose tables are as they were."""
    lake = copied(first, tmp_path_factory.mktemp("undisturbed") / "lake")
    sandbox.advance(sources.connections.parent, T1)
    assert ended(lake, T1) == 0, said(lake)
    return lake


@pytest.fixture(scope="module")
def changed(sources: Status, first: Lake, undisturbed: Lake) -> Status:
    """The sources after people changed their tables."""
    settings = load_settings(first.config)
    place, secret = settings.data_sources.snowflake, settings.secrets.get("snowflake")
    with snowflake.connector.connect(
        **secret,
        account=place.account,
        host=place.host,
        port=place.port,
        protocol="http",
        database=place.database,
        schema=place.schema,
        platform_detection_timeout_seconds=0,
        session_parameters={"CLIENT_TELEMETRY_ENABLED": False},
    ) as connection:
        for statement in ALTERED:
            connection.cursor().execute(statement)
    login = json.loads(sources.owner.read_text(encoding="utf-8"))
    login["dbname"] = login.pop("database")
    with psycopg.connect(**login, autocommit=True) as session:
        session.execute("ALTER TABLE raw.customer_behavior ADD browser text DEFAULT 'Lynx'")
    return sources


@pytest.fixture(scope="module")
def second(changed: Status, first: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """After a second run over the changed sources."""
    lake = copied(first, tmp_path_factory.mktemp("second") / "lake")
    assert ended(lake, T1) == 0, said(lake)
    return lake


def copied(lake: Lake, folder: Path) -> Lake:
    shutil.copytree(lake.folder, folder, ignore=shutil.ignore_patterns("run.log"))
    return Lake(folder)


def rows(lake: Lake, path: str, *columns: str) -> list[tuple[Any, ...]]:
    found = [tuple(row[name] for name in columns) if columns else tuple(row.items()) for row in lake.rows(path)]
    return sorted(found, key=str)


def test_silver_and_gold_are_as_without_the_changes(undisturbed, second):
    for path in [path for path in undisturbed.tables() if path.startswith(("silver/", "gold/"))]:
        assert rows(second, path) == rows(undisturbed, path), path


def test_bronze_has_what_the_sources_have(second):
    orders = rows(second, "bronze/snowflake/orders", "order_id", "quantity", "quantity__string", "discount")
    assert {row[:3] for row in orders if row[0] in ("O7", "O8")} == {("O7", 2, None), ("O8", None, "less than none")}
    assert [str(row[3]) for row in orders if row[3]] == ["1.5000000000"]
    browsers = rows(second, "bronze/redshift/behavior", "event_id", "browser")
    assert {row for row in browsers if row[0] in ("E6", "E7")} == {("E6", "Lynx"), ("E7", "Lynx")}
    assert ("U2", '{"name":"Lynx"}') in rows(second, "bronze/kafka/user_events", "event_id", "browser")
    assert {row[1] for row in rows(second, "bronze/external/inventory", "product_id", "shelf")} == {None, "A1"}


def test_what_cannot_be_cast_is_quarantined_with_the_record_as_bronze_has_it(second):
    [refused] = [row for row in second.rows("quarantine/orders") if '"O8"' in row["raw"]]

    assert refused["rules"] == ["quantity:type"]
    assert json.loads(refused["raw"])["quantity__string"] == "less than none"


def test_people_can_read_what_changed(second):
    run = json.loads(called(second, "runs", "--json"))[0]["run_id"]
    shown = called(second, "runs", "show", run)
    assert "discount (decimal(38,10)) is new, and not in the contract" in shown
    assert "1 values of another type than quantity has are in quantity__string" in shown
    assert "has no column phone" in shown
    status = called(second, "status")
    assert "bronze.snowflake_orders: quantity__string string, discount decimal(38,10)" in status
    assert "quantity__string string" in called(second, "describe", "bronze.snowflake_orders")
    assert "less than none" in called(second, "query", "SELECT quantity__string FROM bronze.snowflake_orders")


def test_a_second_run_over_the_same_sources_changes_nothing(second, tmp_path):
    again = copied(second, tmp_path / "lake")

    assert ended(again, T1) == 0, said(again)
    assert again.versions() == second.versions()


@pytest.mark.parametrize(
    "point",
    [
        *("Staged:snowflake_orders", "Committing:snowflake_orders", "Committed:snowflake_orders"),
        *("Committing:kafka_user_events", "Committed:external_inventory", "Committed:orders"),
    ],
)
def test_a_run_killed_over_changed_sources_and_then_repeated_leaves_what_an_undisturbed_one_does(
    point, first, second, tmp_path
):
    lake = copied(first, tmp_path / "lake")

    assert ended(lake, T1, *Instant(point).sends(signal.SIGKILL)) == -signal.SIGKILL, said(lake)
    assert ended(lake, T1) == 0, said(lake)

    found, expected = everything(lake), everything(second)
    assert found["inputs"] == expected["inputs"]
    assert found["tables"] == expected["tables"]
