"""What a run tells people: while it goes on, and at its end."""

import io
import json
import os
import pty
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from headwater.observe.progress import Progress
from headwater.observe.summary import Afterwards, document, summary
from headwater.run.events import Judging, Progressed, RunStarted, Staged, TableFinished, TableStarted
from headwater.run.report import RunReport, TableReport

AT = datetime(2024, 11, 1, tzinfo=UTC)
PASSED = ({"rule": "order_id:unique", "severity": "critical", "success": True},)
FAILED = (
    {
        "rule": "order_id:unique",
        "severity": "critical",
        "success": False,
        "observed": 2.0,
        "limit": "none twice",
        "detail": "2 keys (order_id) stand more than once",
        "keys": ('{"order_id": "O1"}', '{"order_id": null, "line": 2}'),
        "records": ("snowflake_orders 8f",),
    },
)

ORDERS_IN = TableReport(
    table="snowflake_orders",
    layer="bronze",
    outcome="committed",
    terms={"read": 100_012, "landed": 100_000, "repeated": 10, "rejected": 2},
    seconds=3.14,
    bytes=5_200_000,
    version=0,
)
ORDERS = TableReport(
    table="orders",
    layer="silver",
    outcome="committed",
    terms={
        "new": 100_000,
        "retried": 0,
        "accepted": 99_000,
        "deleted": 0,
        "superseded": 988,
        "quarantined": 12,
        "recomputed": 0,
    },
    seconds=2.0,
    bytes=3_000_000,
    version=4,
    checks=PASSED,
)
GEOGRAPHY = TableReport(
    table="revenue_by_geography", layer="gold", outcome="committed", terms={"rows": 40}, checks=PASSED
)


def report(*tables: TableReport) -> RunReport:
    return RunReport(run_id="20241101T000000", at=AT, tables=tables, seconds=58.2, peak_rss_bytes=1_234_000_000)


def test_every_term_of_every_balance_is_told() -> None:
    text = summary(report(ORDERS_IN, ORDERS, GEOGRAPHY), Afterwards("headwater"))

    lines = [line.split() for line in text.splitlines()]
    assert [
        "bronze",
        "read",
        "landed",
        "repeated",
        "rejected",
        "seconds",
        "bytes",
        "version",
        "outcome",
        "gate",
    ] in lines
    assert ["snowflake_orders", "100,012", "100,000", "10", "2", "3.1", "5.2", "MB", "0", "committed"] in lines
    assert [
        "orders",
        "100,000",
        "0",
        "99,000",
        "0",
        "988",
        "12",
        "0",
        "2.0",
        "3.0",
        "MB",
        "4",
        "committed",
        "passed",
    ] in lines
    assert ["revenue_by_geography", "40", "0.0", "committed", "passed"] in lines
    assert "took 58.2 s; peak memory 1.2 GB." in text


def test_refused_rows_come_with_the_command_that_shows_them() -> None:
    text = summary(report(ORDERS_IN, ORDERS, GEOGRAPHY), Afterwards(".venv/bin/headwater", " --config x.yaml"))

    assert ".venv/bin/headwater quarantine show orders --config x.yaml" in text
    assert ".venv/bin/headwater quarantine show snowflake_orders --config x.yaml" in text
    assert "quarantine show" not in summary(report(GEOGRAPHY), Afterwards("headwater"))


def test_what_still_runs_is_told_and_how_to_stop_it() -> None:
    text = summary(report(GEOGRAPHY), Afterwards("headwater", running="the sandbox"))

    assert "Still running: the sandbox. To stop it: headwater sandbox down" in text
    assert "  headwater sandbox advance --days 1" in text
    assert "Still running" not in summary(report(GEOGRAPHY), Afterwards("headwater"))


def test_a_refusal_of_the_gate_leads_to_its_checks() -> None:
    refused = TableReport(
        table="orders",
        layer="silver",
        outcome="gate failed",
        reason="order_id:unique failed: 2 observed",
        checks=FAILED,
        below=("gold.customer_360",),
    )
    skipped = TableReport(table="customer_360", layer="gold", outcome="skipped", reason="silver.orders was refused")

    text = summary(report(refused, skipped), Afterwards("headwater"))

    assert "silver.orders gate failed: order_id:unique failed: 2 observed" in text
    assert "gold.customer_360 skipped: silver.orders was refused" in text
    assert "  headwater quality orders" in text.split("Next:")[1]
    block = text[text.index("silver.orders was not published, and stays as it was:") :].split("\n\n")[0]
    assert [line.strip().split(maxsplit=1) for line in block.splitlines()[1:]] == [
        ["rule", "order_id:unique (critical)"],
        ["observed", "2; limit: none twice"],
        ["2", "keys (order_id) stand more than once"],
        ["rows", "order_id=O1; order_id=null, line=2"],
        ["records", "snowflake_orders 8f"],
        ["stale", "now  gold.customer_360"],
        ["look", "headwater quality orders --run 20241101T000000"],
        ["mend", "correct it at the source, or the limit in config/dq.yaml; then: headwater run"],
        ["or", "accept  headwater quality accept orders --run 20241101T000000 --rule order_id:unique --why '...'"],
    ]
    assert report(refused, skipped).exit_code == 2


def test_what_was_not_judged_and_what_merely_grew_old_cannot_be_accepted() -> None:
    raised = {**FAILED[0], "observed": None, "detail": "no rate", "limit": "", "keys": (), "records": ()}
    unjudged = TableReport("orders", "silver", "gate failed", checks=(raised,))
    stale = TableReport("orders", "silver", "gate failed", checks=FAILED, version=4)

    text = summary(report(unjudged), Afterwards("headwater"))
    assert "observed   nothing: it could not be judged; limit: that it is judged" in text
    assert "or accept" not in text
    old = summary(report(stale), Afterwards("headwater"))
    assert "silver.orders stands, and is not good enough any more:" in old
    assert "or accept" not in old


def test_the_document_says_the_same() -> None:
    made = json.loads(json.dumps(document(report(ORDERS_IN, ORDERS), Afterwards("headwater", running="the sandbox"))))

    assert made["exit_code"] == 0
    assert made["at"] == "2024-11-01T00:00:00+00:00"
    assert made["peak_rss_bytes"] == 1_234_000_000
    assert made["still_running"] == {"what": "the sandbox", "stop": "headwater sandbox down"}
    assert made["tables"][0]["terms"] == {"read": 100_012, "landed": 100_000, "repeated": 10, "rejected": 2}
    assert made["tables"][1]["verdict"] == "passed"
    assert made["tables"][1]["refused"] == "headwater quarantine show orders"


def play(progress: Progress) -> None:
    with progress:
        progress.step("starting the engine")
        progress(RunStarted("r1", AT, ("snowflake_orders", "orders")))
        progress(TableStarted("snowflake_orders", "bronze"))
        progress(Progressed("snowflake_orders", 50_000))
        progress(TableFinished(ORDERS_IN))
        progress(TableStarted("orders", "silver"))
        progress(Staged("orders", 99_000))
        progress(Judging("orders"))
        progress(TableFinished(ORDERS))


def test_a_plain_stream_gets_a_line_for_each_step_and_finished_table() -> None:
    stream = io.StringIO()

    play(Progress(stream))

    lines = [line.split("  ", 1)[1].split("s  ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "starting the engine",
        "run at 2024-11-01 00:00:00 UTC: 2 tables",
        "bronze.snowflake_orders: committed, 100,012 read, 100,000 landed, 2 rejected, 5.2 MB",
        "silver.orders: committed, 100,000 new, 99,000 accepted, 12 quarantined, 3.0 MB",
    ]


def test_a_long_table_speaks_up_on_a_plain_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, clock = io.StringIO(), iter(range(0, 10_000, 6))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = Progress(stream)

    progress(TableStarted("snowflake_orders", "bronze"))
    for rows in (1_000, 2_000, 3_000):
        progress(Progressed("snowflake_orders", rows))

    assert "snowflake_orders: 2,000 rows read" in stream.getvalue()
    assert "1,000" not in stream.getvalue()


def test_quiet_is_quiet() -> None:
    stream = io.StringIO()

    play(Progress(stream, quiet=True))

    assert stream.getvalue() == ""


def test_a_terminal_is_left_with_the_finished_tables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        play(Progress(stream))
    told = b""
    with suppress(OSError):  # which is how the end shows where nobody writes any more
        while piece := os.read(master, 100_000):
            told += piece
    os.close(master)
    shown = told.decode()

    assert "bronze.snowflake_orders: committed" in shown
    assert "\x1b[?25l" in shown
    assert shown.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in shown
