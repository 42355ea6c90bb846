"""What a cursor cannot see is found by comparing with the source, and what can be landed is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.e2e.runs import AT, called, typed
from tests.e2e.tiny import T0, Lake

from headwater.sandbox import Status

pytestmark = pytest.mark.slow

BEHAVIOR = "bronze/redshift/behavior"
LATE = (
    "INSERT INTO raw.customer_behavior (event_id, customer_id, event_name, event_ts, session_id) "
    "VALUES (%s, 'C1', 'click', %s, 'S1')"
)


@contextmanager
def changed(sources: Status, *statements: tuple[str, tuple[Any, ...]]) -> Iterator[None]:
    """The source after somebody's own SQL, and as it was afterwards."""
    login = json.loads(sources.owner.read_text(encoding="utf-8"))
    login["dbname"] = login.pop("database")
    with psycopg.connect(**login, autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT * FROM raw.customer_behavior")
        try:
            for statement, values in statements:
                session.execute(statement, values)
            yield
        finally:
            session.execute("TRUNCATE raw.customer_behavior")
            session.execute("INSERT INTO raw.customer_behavior SELECT * FROM kept")
            session.execute("DROP TABLE kept")


def reconciled(lake: Lake, table: str, *options: str) -> tuple[int, dict[str, Any]]:
    made = typed(lake, "reconcile", table, "--json", *options)
    assert made.stdout, made.stderr
    return made.returncode, json.loads(made.stdout)


@pytest.mark.parametrize(
    "table",
    ["snowflake_orders", "redshift_behavior", "salesforce_contacts", "salesforce_opportunities", "fx_vendor_rates"],
)
def test_a_table_that_is_as_its_source_agrees(lake, table):
    before = lake.versions()

    code, found = reconciled(lake, table)

    assert (code, found["agrees"]) == (0, True), found
    assert found["source_rows"] > 0
    assert lake.versions() == before


def test_a_row_committed_later_than_the_overlap_is_found_and_landed_once(sources, lake):
    hour = "2024-10-20T10:00:00"
    with changed(sources, (LATE, ("late-1", hour)), (LATE, ("late-2", "2024-09-01T00:00:00"))):
        called(lake, "run", *AT)
        assert not [row for row in lake.rows(BEHAVIOR) if row["event_id"].startswith("late")]

        code, told = reconciled(lake, "redshift_behavior", "--dry-run")
        assert code == 1
        assert told["missing"] == {"rows": 2, "keys": ["late-2", "late-1"]}
        assert told["windows"] == []

        code, only = reconciled(lake, "redshift_behavior", "--since", "2024-10-01")
        assert (code, only["landed"], only["missing"]["keys"]) == (0, 1, ["late-1"])
        code, rest = reconciled(lake, "redshift_behavior")
        assert (code, rest["landed"], rest["missing"]["keys"]) == (0, 1, ["late-2"])
        assert reconciled(lake, "redshift_behavior")[1]["missing"]["rows"] == 0

    ids = [row["event_id"] for row in lake.rows(BEHAVIOR)]
    assert sorted(each for each in ids if each.startswith("late")) == ["late-1", "late-2"]
    assert lake.inputs()[BEHAVIOR] == {"watermark": T0.isoformat()}


def test_a_row_that_is_gone_and_one_without_a_cursor_are_told_and_not_hidden(sources, lake):
    with changed(
        sources,
        ("DELETE FROM raw.customer_behavior WHERE event_id = 'E1'", ()),
        ("INSERT INTO raw.customer_behavior (event_id, customer_id) VALUES ('timeless', 'C1')", ()),
    ):
        code, found = reconciled(lake, "redshift_behavior")
        made = typed(lake, "reconcile", "redshift_behavior")

    assert code == made.returncode == 1
    assert found["deleted"] == {"rows": 1, "keys": ["E1"]}
    assert found["without_cursor"] == 1
    assert "1 deleted: Bronze has them, the source no longer: E1" in made.stdout
    assert "1 without a cursor" in made.stdout


def test_a_version_that_was_replaced_behind_the_watermark_is_a_change(sources, lake):
    moved = (
        "UPDATE raw.customer_behavior SET event_ts = event_ts - interval '1 day', device = 'x' WHERE event_id = 'E2'"
    )
    with changed(sources, (moved, ())):
        code, found = reconciled(lake, "redshift_behavior")

    assert code == 0
    assert found["changed"] == {"rows": 1, "keys": ["E2"]}
    assert found["landed"] == 1
    assert len([row for row in lake.rows(BEHAVIOR) if row["event_id"] == "E2"]) == 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("kafka_user_events", "is not read by a cursor"),
        ("external_inventory", "is not read by a cursor"),
        ("orders", "is not a Bronze table"),
        ("salesforce_leads", "has never landed"),
    ],
)
def test_what_cannot_be_compared_is_told(lake, table, said):
    made = typed(lake, "reconcile", table)

    assert made.returncode == 1
    assert said in made.stderr
