"""Redshift's stand-in, asked by a PostgreSQL client and by connectorx."""

import json
import os
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import connectorx
import psutil
import psycopg
import pyarrow as pa
import pytest
from psycopg.errors import InsufficientPrivilege
from tests.versions import DAY, INSTANT, T0, US, Version, standing, write_versions

from headwater.sandbox.redshift import RedshiftStandIn
from headwater.sandbox.stand_in import Connection

BEHAVIOR = (
    ("event_id", pa.string()),
    ("customer_id", pa.string()),
    ("event_ts", INSTANT),
    ("url_2", pa.string()),
    ("metadata", pa.string()),
)
FILLED = ", ".join(name for name, _ in BEHAVIOR)
"""The columns that the file has; those that it lacks are null."""


def event(
    name: str | None, at: datetime, text: str | None, late: timedelta = timedelta(0), gone: datetime | None = None
) -> Version:
    return Version((name, None, at, text, '{"said": "a, \\"b\\"\\n"}'), at + late, gone)


HISTORY = [
    event("E1", T0 - DAY, ""),
    event("E2", T0 - DAY + US, None, gone=T0 + DAY),
    event(None, T0 - 2 * DAY, "nobody's"),
    event(None, T0 - 2 * DAY, "nobody's too"),
    event("E3", T0, "\\N"),
    event("E4", T0 - DAY, 'it\'s "so"\r\n', late=2 * DAY),
    event(None, T0 + 2 * DAY, "nobody's third"),
    event("E1", T0 + 2 * DAY, "ü€😀"),
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_versions(tmp_path / "dataset" / "redshift" / "customer_behavior.parquet", BEHAVIOR, HISTORY)
    return tmp_path / "dataset"


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[RedshiftStandIn]:
    redshift_here = RedshiftStandIn(tmp_path / "sandbox" / "redshift", None)
    yield redshift_here
    redshift_here.stop()


def client(connection: Connection, **changes: Any) -> psycopg.Connection[Any]:
    settings = connection.settings
    login = {"host": settings["host"], "port": settings["port"], "dbname": settings["database"], **connection.secret}
    return psycopg.connect(autocommit=True, **{**login, **changes})


def asked(connection: Connection, query: str, **changes: Any) -> list[tuple[Any, ...]]:
    with client(connection, **changes) as session:
        return session.execute(query.encode()).fetchall()


def as_redshift_tells(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    plain = [tuple(each.replace(tzinfo=None) if isinstance(each, datetime) else each for each in row) for row in rows]
    return sorted(plain, key=repr)


def test_its_table_shows_what_the_dataset_shows_at_the_clock(stand_in, dataset):
    connection = stand_in.start(dataset, T0)
    clock = T0
    for until in (T0, T0 + DAY, T0 + 3 * DAY):
        stand_in.advance(clock, until)
        clock = until
        assert sorted(asked(connection, f"SELECT {FILLED} FROM raw.customer_behavior"), key=repr) == as_redshift_tells(
            standing(HISTORY, until)
        )
        assert asked(connection, "SELECT getdate()") == [(until.replace(tzinfo=None),)]


def test_connectorx_reads_it_as_redshift(stand_in, dataset):
    connection = stand_in.start(dataset, T0)
    login = f"{connection.secret['user']}:{quote(connection.secret['password'])}"
    address = f"redshift://{login}@127.0.0.1:{connection.settings['port']}/dev"

    found = connectorx.read_sql(
        address, "SELECT event_id, event_ts FROM customer_behavior WHERE event_ts < getdate()", return_type="arrow"
    )

    assert sorted(found["event_id"].to_pylist(), key=repr) == ["E1", "E2", None, None]
    assert found.schema.field("event_ts").type == pa.timestamp("us")


def test_who_may_do_what(stand_in, dataset):
    connection = stand_in.start(dataset, T0)
    owner_file = stand_in.owner
    owner = json.loads(owner_file.read_text())

    for wrong in ({"password": "guessed"}, {"user": "somebody"}):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            client(connection, **wrong)
    for forbidden in (
        "DELETE FROM customer_behavior",
        "CREATE TABLE raw.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "CREATE OR REPLACE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql AS 'SELECT now()'",
    ):
        with client(connection) as session, pytest.raises(InsufficientPrivilege):
            session.execute(forbidden.encode())
    assert stat.S_IMODE(owner_file.stat().st_mode) == 0o600
    with psycopg.connect(
        host=owner["host"], port=owner["port"], dbname=owner["database"], user=owner["user"], password=owner["password"]
    ) as session:
        session.execute("INSERT INTO raw.customer_behavior (event_id, event_ts) VALUES ('mine', getdate())")
    assert asked(connection, "SELECT count(*) FROM customer_behavior WHERE event_id = 'mine'") == [(1,)]
    stand_in.advance(T0, T0 + DAY)
    assert asked(connection, "SELECT count(*) FROM customer_behavior WHERE event_id = 'mine'") == [(1,)]


def test_it_starts_anew_on_the_same_port_with_the_same_password_and_leaves_nothing(stand_in, dataset, tmp_path):
    others = set(psutil.Process(os.getpid()).children())
    first = stand_in.start(dataset, T0)
    [server] = set(psutil.Process(os.getpid()).children()) - others
    stand_in.stop()
    assert not server.is_running()
    assert not (tmp_path / "sandbox" / "redshift" / "server").exists()

    again = RedshiftStandIn(tmp_path / "sandbox" / "redshift", first.settings["port"])
    try:
        second = again.start(dataset, T0 + 3 * DAY)
        assert second == first
        assert asked(second, "SELECT count(*) FROM customer_behavior") == [(len(standing(HISTORY, T0 + 3 * DAY)),)]
    finally:
        again.stop()


def test_its_log_shows_the_readers_statements_and_no_password(stand_in, dataset, tmp_path):
    connection = stand_in.start(dataset, T0)
    asked(connection, "SELECT 'a statement' FROM customer_behavior")
    log = (tmp_path / "sandbox" / "logs" / "redshift.log").read_text()

    assert "SELECT 'a statement' FROM customer_behavior" in log
    assert connection.secret["password"] not in log
    assert json.loads(stand_in.owner.read_text())["password"] not in log
