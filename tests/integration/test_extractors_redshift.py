"""RedshiftExtractor over its live stand-in, read with psycopg as a real cluster is."""

import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.config import RedshiftSettings
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract import RedshiftExtractor
from headwater.extract.base_extractor import Position, TimeWindow
from headwater.sandbox.redshift import RedshiftStandIn

pytestmark = pytest.mark.slow

T0 = datetime(2024, 11, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
END = T0 + timedelta(days=1)
EVENTS = 2_000
TEXTS = ("customer_id", "event_name", "session_id", "device", "geo", "url_1", "url_2", "metadata")


def write_dataset(folder: Path) -> Path:
    """Events a few seconds and microseconds apart, two of them around noon by one microsecond, some with nulls."""
    moments = [T0 + timedelta(seconds=40 * number, microseconds=number) for number in range(EVENTS - 3)]
    noon = T0 + timedelta(hours=12)
    moments += [noon - US, noon, noon + US]
    columns: dict[str, pa.Array] = {"event_id": pa.array([f"E{number}" for number in range(EVENTS)])}
    for name in TEXTS:
        columns[name] = pa.array([None if number % 7 == 0 else f"{name} {number} é" for number in range(EVENTS)])
    columns["metadata"] = pa.array([f'{{"n": {number}, "s": "a%b\\"c"}}' for number in range(EVENTS)])
    columns["event_ts"] = pa.array(moments, pa.timestamp("us", "UTC"))
    columns["_visible_at"] = pa.array([T0] * EVENTS, pa.timestamp("us", "UTC"))
    columns["_deleted_at"] = pa.nulls(EVENTS, pa.timestamp("us", "UTC"))
    (folder / "redshift").mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "redshift" / "customer_behavior.parquet")
    return folder


@dataclass
class Redshift:
    """A running stand-in: how Headwater reaches it, and how its owner changes rows."""

    settings: RedshiftSettings
    secret: dict[str, str]
    owner: dict[str, str]

    def sql(self, *statements: str) -> list[tuple]:
        """Run them, and give the rows of the last."""
        with psycopg.connect(
            host=self.owner["host"],
            port=self.owner["port"],
            dbname=self.owner["database"],
            user=self.owner["user"],
            password=self.owner["password"],
        ) as connection:
            for statement in statements:
                told = connection.execute(statement)
            return told.fetchall() if told.description else []


@pytest.fixture(scope="module")
def redshift() -> Iterator[Redshift]:
    # Not below pytest's own folder: another session of pytest would close that to PostgreSQL's user.
    with tempfile.TemporaryDirectory(prefix="headwater-") as name:
        folder = Path(name)
        stand_in = RedshiftStandIn(folder / "stand-in", None)
        try:
            connection = stand_in.start(write_dataset(folder / "dataset"), END)
            owner = json.loads((folder / "stand-in" / "owner.json").read_text())
            yield Redshift(RedshiftSettings(enabled=True, **connection.settings), connection.secret, owner)
        finally:
            stand_in.stop()


@pytest.fixture
def behavior(redshift, contracts) -> Iterator[RedshiftExtractor]:
    with closing(RedshiftExtractor(redshift.settings, redshift.secret, contracts["redshift_behavior"])) as extractor:
        yield extractor


def read(extractor: RedshiftExtractor, *windows: TimeWindow) -> list[dict]:
    rows: list[dict] = []
    for window in windows:
        for batch in extractor.read(window, pytest.fail):
            rows += batch.to_pylist()
    return rows


def test_check_says_as_whom_and_what_was_found(behavior):
    assert behavior.check() == "logged in as etl_user; raw.customer_behavior can be read and has 20 columns"


def test_the_clock_is_the_sources_own(behavior):
    assert behavior.clock() == END


def test_a_first_load_is_one_window_and_reads_each_row_once(behavior, contracts):
    windows = behavior.partitions(Position(), END)
    assert windows == [TimeWindow(None, END)]

    batches = list(behavior.read(windows[0], pytest.fail))

    assert all(batch.schema == contracts["redshift_behavior"].arrow_schema for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert sorted(row["event_id"] for row in rows) == sorted(f"E{number}" for number in range(EVENTS))
    by_id = {row["event_id"]: row for row in rows}
    assert by_id["E3"]["event_ts"] == T0 + timedelta(seconds=120, microseconds=3)
    assert by_id["E3"]["customer_id"] == "customer_id 3 é"
    assert by_id["E3"]["metadata"] == '{"n": 3, "s": "a%b\\"c"}'
    assert by_id["E7"]["customer_id"] is None


def test_however_a_load_is_cut_each_row_is_read_once(behavior):
    behavior.rows_per_window = 130

    windows = behavior.partitions(Position(), END)
    rows = read(behavior, *windows)

    assert len(windows) == 16
    assert sorted(row["event_id"] for row in rows) == sorted(f"E{number}" for number in range(EVENTS))


def test_a_window_begins_with_its_start_and_ends_before_its_end_to_the_microsecond(behavior):
    noon = T0 + timedelta(hours=12)

    at_noon = read(behavior, TimeWindow(noon, noon + US))
    until_noon = read(behavior, TimeWindow(noon - US, noon))

    assert [row["event_id"] for row in until_noon if row["event_ts"] == noon - US] == [f"E{EVENTS - 3}"]
    assert {row["event_ts"] for row in at_noon} == {noon}
    assert f"E{EVENTS - 2}" in {row["event_id"] for row in at_noon}


def test_a_later_span_is_one_window_and_an_empty_one_none(behavior):
    noon = T0 + timedelta(hours=12)

    assert behavior.partitions(Position(watermark=noon), END) == [TimeWindow(noon, END)]
    assert behavior.partitions(Position(watermark=END), END) == []
    assert behavior.partitions(Position(watermark=END), END + timedelta(days=1)) == []


def test_a_stopped_reader_leaves_no_session_behind(behavior, redshift):
    batches = behavior.read(TimeWindow(None, END), pytest.fail)
    next(batches)
    batches.close()

    redshift.sql("SELECT 1/(count(*) = 0)::int FROM pg_stat_activity WHERE usename = 'etl_user' AND state = 'active'")


@pytest.fixture
def changed(redshift) -> Iterator[Redshift]:
    """The table may be changed; it is put back afterwards."""
    redshift.sql("CREATE TABLE kept AS TABLE raw.customer_behavior")
    try:
        yield redshift
    finally:
        redshift.sql(
            "DROP TABLE IF EXISTS raw.customer_behavior",
            "ALTER TABLE kept SET SCHEMA raw",
            "ALTER TABLE raw.kept RENAME TO customer_behavior",
            "GRANT SELECT ON raw.customer_behavior TO etl_user",
        )


def test_an_empty_table_gives_no_window(changed, behavior):
    changed.sql("DELETE FROM raw.customer_behavior")

    assert behavior.partitions(Position(), END) == []
    assert read(behavior, TimeWindow(None, END)) == []


def test_a_row_without_cursor_is_not_claimed(changed, behavior):
    changed.sql("UPDATE raw.customer_behavior SET event_ts = NULL WHERE event_id = 'E5'")

    assert "E5" not in {row["event_id"] for row in read(behavior, *behavior.partitions(Position(), END))}


def test_a_required_column_dropped_at_the_source_is_named(changed, behavior):
    changed.sql("ALTER TABLE raw.customer_behavior DROP COLUMN event_name")

    with pytest.raises(
        SourceRejected, match=r"^redshift: raw\.customer_behavior has no column event_name, which config/"
    ):
        behavior.partitions(Position(), END)
    with pytest.raises(SourceRejected, match="event_name"):
        read(behavior, TimeWindow(None, END))


def test_a_dropped_optional_column_is_null_and_new_ones_come_in_their_types(changed, behavior, caplog):
    changed.sql(
        "ALTER TABLE raw.customer_behavior DROP COLUMN url_2",
        "ALTER TABLE raw.customer_behavior ADD browser text DEFAULT 'Lynx', ADD visits integer DEFAULT 3, "
        "ADD spent numeric(12, 3) DEFAULT 1.125, ADD seen timestamp DEFAULT '2024-11-01', ADD known boolean DEFAULT true, "
        "ADD tags jsonb DEFAULT '[1]'",
    )

    rows = read(behavior, *behavior.partitions(Position(), END))

    assert len(rows) == EVENTS
    assert {row["url_2"] for row in rows} == {None}
    added = ("browser", "visits", "spent", "seen", "known", "tags")
    assert [rows[0][name] for name in added] == ["Lynx", 3, Decimal("1.1250000000"), T0, True, "[1]"]
    assert set(behavior.drift.missing()) == {"url_2"}
    assert "has no column url_2" in caplog.text
    assert "merged in: browser, known, seen, spent, tags, visits" in caplog.text


def test_a_column_of_another_type_is_text_where_the_contract_has_text(changed, behavior):
    changed.sql("ALTER TABLE raw.customer_behavior ALTER session_id TYPE integer USING 7")

    assert {row["session_id"] for row in read(behavior, TimeWindow(None, END))} == {"7"}


def test_a_value_that_is_no_instant_is_rejected_as_it_was_told(changed, behavior):
    changed.sql("UPDATE raw.customer_behavior SET event_ts = '-infinity' WHERE event_id = 'E5'")
    rejects: list[dict] = []

    rows = sum(
        batch.num_rows for batch in behavior.read(TimeWindow(None, END), lambda each: rejects.extend(each.to_pylist()))
    )

    assert rows == EVENTS - 1
    assert [(each["position"], each["reason"]) for each in rejects] == [
        ("raw.customer_behavior event_id=E5", "event_ts is '-infinity', which is no timestamp")
    ]
    assert json.loads(rejects[0]["raw"])["event_ts"] == "-infinity"


def test_a_column_that_became_a_number_still_arrives_exactly(changed, behavior):
    changed.sql("ALTER TABLE raw.customer_behavior ALTER COLUMN device TYPE numeric(20,4) USING 12345678901234.5678")

    assert {row["device"] for row in read(behavior, TimeWindow(None, T0 + timedelta(hours=1)))} == {
        "12345678901234.5678"
    }


def test_a_table_that_may_not_be_read_is_named_with_the_fix(changed, behavior):
    changed.sql("REVOKE SELECT ON raw.customer_behavior FROM etl_user")

    with pytest.raises(SourceRejected, match=r"raw\.customer_behavior does not exist, or etl_user may not read it"):
        behavior.check()


def test_a_table_that_is_not_there_is_named(changed, behavior):
    changed.sql("DROP TABLE raw.customer_behavior")

    with pytest.raises(SourceRejected, match=r"raw\.customer_behavior does not exist"):
        behavior.check()


def test_a_session_that_is_cut_in_mid_stream_is_unavailable_and_never_a_short_read(changed, behavior):
    changed.sql("INSERT INTO raw.customer_behavior SELECT b.* FROM raw.customer_behavior b, generate_series(1, 100)")
    batches = behavior.read(TimeWindow(None, END), pytest.fail)
    next(batches)
    changed.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'etl_user'")

    with pytest.raises(SourceUnavailable, match="Redshift broke off while reading raw"):
        list(batches)


def test_one_login_serves_what_is_asked_in_turn_and_another_follows_where_it_is_lost(redshift, behavior):
    behavior.clock()
    read(behavior, TimeWindow(None, END))
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'etl_user'"
    assert redshift.sql(ended) == [(1,)]

    with pytest.raises(SourceUnavailable, match="Redshift broke off"):
        behavior.clock()
    assert len(read(behavior, TimeWindow(None, END))) > 0


def test_a_wrong_password_is_refused_at_once_and_not_shown(redshift, contracts):
    wrong = redshift.secret | {"password": "not-the-password"}
    before = time.monotonic()

    with pytest.raises(SourceRejected, match=r"check user and password in secrets\.redshift") as caught:
        RedshiftExtractor(redshift.settings, wrong, contracts["redshift_behavior"]).check()

    assert time.monotonic() - before < 5
    assert "not-the-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("to_tls", "error", "message"),
    [
        (b"S", SourceUnavailable, "did not answer"),
        (b"N", SourceRejected, "refused the login: .* server does not support SSL"),
    ],
    ids=["breaks off", "has none"],
)
def test_a_line_that_breaks_while_tls_begins_is_no_refusal(redshift, contracts, to_tls, error, message):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.recv(8)
                line.sendall(to_tls)
                line.recv(1024)

        serving = threading.Thread(target=answer)
        serving.start()
        settings = replace(redshift.settings, port=server.getsockname()[1], ssl_mode="require")
        with pytest.raises(error, match=message):
            RedshiftExtractor(settings, redshift.secret, contracts["redshift_behavior"]).clock()
        serving.join()


def test_a_closed_port_is_unavailable_at_once(redshift, contracts):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens on it
        settings = RedshiftSettings(
            enabled=True, host="127.0.0.1", port=held.getsockname()[1], database="dev", schema="raw"
        )
        before = time.monotonic()

        with pytest.raises(SourceUnavailable, match=rf"127\.0\.0\.1:{settings.port} did not answer"):
            RedshiftExtractor(settings, redshift.secret, contracts["redshift_behavior"]).partitions(Position(), END)

    assert time.monotonic() - before < 5
