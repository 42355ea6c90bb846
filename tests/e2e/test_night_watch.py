"""What somebody who is paged at night can find out, and what setting a watermark by hand does."""

import json
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from tests.chaos import driver
from tests.chaos.instant import Instant
from tests.e2e.runs import AT, PATIENCE_S, called, typed
from tests.e2e.tiny import T0, T1, Lake, clean_environment, everything

pytestmark = pytest.mark.slow

AT_A_TERMINAL = """
import signal
from headwater.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The command line with Ctrl-C as a terminal has it: what was begun in the background is deaf to it."""


def terms(lake: Lake, *tables: str) -> dict[str, tuple[int, int, int]]:
    """What a run read, landed and counted as repeated."""
    made = typed(lake, "run", "--json", *AT, "--select", ",".join(tables))
    document = json.loads(made.stdout)
    return {
        each["table"]: tuple(each["terms"][term] for term in ("read", "landed", "repeated"))
        for each in document["tables"]
    }


def test_a_run_tells_what_it_read_what_landed_and_how_far_it_came(lake):
    [listed] = json.loads(called(lake, "runs", "--json"))
    run = json.loads(called(lake, "runs", "show", "last", "--json"))
    steps = {step["table"]: step for step in run["steps"]}

    assert (listed["state"], listed["exit_code"]) == ("ok", 0)
    assert listed["run_id"] == run["run_id"]
    assert set(listed["tables"]) == set(steps)
    assert steps["snowflake_orders"]["terms"]["landed"] == len(lake.rows("bronze/snowflake/orders"))
    assert steps["snowflake_orders"]["consumed"] == [{}, {"watermark": T0.isoformat()}]
    assert steps["external_inventory"]["consumed"] == [{}, {"files": 1}]
    assert steps["customer_360"]["consumed"][1] == dict.fromkeys(("accounts", "behavior", "customers", "orders"), 0)
    assert steps["customer_360"]["version"] == 0
    for step in steps.values():
        assert step["seconds"] > 0
        assert step["cpu_seconds"] >= 0

    told = called(lake, "runs", "show", run["run_id"][:12])
    assert f"run {run['run_id']}: ok" in told
    assert "the beginning to 2024-11-01 00:00:00" in told
    assert "to go on" not in told


def test_a_run_that_was_killed_says_where_it_stopped_and_that_going_on_is_safe(sources, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")
    called(lake, "run", *AT, "--select", "snowflake_orders")
    process = driver.begin(lake.config, T0, *Instant("Staged:orders").sends(signal.SIGKILL))
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL

    newest, before = json.loads(called(lake, "runs", "--json"))
    told = called(lake, "runs", "show", "last")

    assert (newest["state"], before["state"]) == ("interrupted", "ok")
    assert "not finished: " in told
    assert "orders" in told.split("not finished: ")[1].splitlines()[0]
    assert "to go on: " in told
    assert "safe at any time" in told
    called(lake, "run", *AT)
    assert [run["state"] for run in json.loads(called(lake, "runs", "--json"))] == ["ok", "interrupted", "ok"]


def test_a_run_that_is_not_there_is_an_error_and_a_short_name_is_enough_if_it_is_one(lake):
    assert "no run 1999; list them: " in called(lake, "runs", "show", "1999", code=1)
    assert ": ok" in called(lake, "runs", "show", "2")


@pytest.mark.parametrize(
    ("table", "path", "position"),
    [
        ("snowflake_orders", "bronze/snowflake/orders", "2024-10-01"),
        ("kafka_user_events", "bronze/kafka/user_events", "0:0,1:0,2:0"),
    ],
)
def test_what_is_read_again_after_a_watermark_was_set_back_is_repeated(lake, table, path, position):
    rows = lake.rows(path)
    said = called(lake, "watermark", "set", table, position, "--why", "the vendor mended October", "--yes")

    assert "--select " + table in said
    shown = json.loads(called(lake, "watermark", "show", table, "--json"))[table]
    assert shown["why"] == "the vendor mended October"
    assert shown["stored"] == shown["position"]
    assert "@" in shown["moved_by"]

    found = terms(lake, table)[table]
    assert found == (len(rows), 0, len(rows))
    assert lake.rows(path) == rows
    assert terms(lake, table)[table][1] == 0


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ("external_inventory", "bronze/external/inventory"),
        ("kafka_orders_events", "bronze/kafka/orders_events"),
        ("salesforce_contacts", "bronze/crm/salesforce/contacts"),
    ],
)
def test_after_a_reset_the_whole_source_is_read_and_no_row_stands_twice(lake, table, path):
    rows, rejects = lake.rows(path), lake.rows(f"rejects/{table}")
    called(lake, "watermark", "reset", table, "--why", "to be sure", "--yes")

    read, landed, repeated = terms(lake, table)[table]

    assert (read, landed, repeated) == (len(rows) + len(rejects), 0, len(rows) + len(rejects))
    assert lake.rows(path) == rows
    assert lake.rows(f"rejects/{table}") == rejects


def test_a_watermark_is_not_set_without_a_yes_nor_to_nonsense(lake):
    before = everything(lake)
    nonsense = called(lake, "watermark", "set", "snowflake_orders", "0:1", "--why", "x", "--yes", code=1)
    offsets = called(lake, "watermark", "set", "kafka_user_events", "2024-10-01", "--why", "x", "--yes", code=1)
    files = called(lake, "watermark", "set", "external_inventory", "3", "--why", "x", "--yes", code=1)
    silver = called(lake, "watermark", "set", "orders", "2024-10-01", "--why", "x", "--yes", code=1)
    asked = called(lake, "watermark", "reset", "snowflake_orders", "--why", "x", code=64)

    assert "0:1 is not an instant" in nonsense
    assert "2024-10-01 is not the next offset of each partition" in offsets
    assert "its watermark can only be reset" in files
    assert "orders is not a Bronze table" in silver
    assert "set it to the beginning?" in asked
    assert "nobody answered, and nothing was done; --yes does it without asking" in asked
    for wrong, reason in [("0:1,0:2", "once for each"), ("0:-1", "once for each"), ("0", "once for each")]:
        assert reason in called(lake, "watermark", "set", "kafka_user_events", wrong, "--why", "x", "--yes", code=1)
    yet = called(lake, "watermark", "set", "snowflake_orders", "2999-01-01", "--why", "x", "--yes", code=1)
    assert "2999-01-01 is still to come" in yet
    unsaid = called(lake, "watermark", "set", "snowflake_orders", "2024-10-01", "--why", " ", "--yes", code=64)
    assert "say why" in unsaid
    assert everything(lake) == before


def test_what_a_watermark_that_was_set_leaves_out_or_reads_again_is_told(lake):
    later = f"{T1:%Y-%m-%dT%H:%M:%SZ}"
    assert "this is forward: what lies between is not read" in called(
        lake, "watermark", "set", "snowflake_orders", later, "--why", "x", "--yes"
    )
    offsets = called(lake, "watermark", "set", "kafka_user_events", "0:9", "--why", "x", "--yes")
    assert "this is forward in partition 0: what lies between is not read" in offsets
    assert "partition 1 is not named, and is read from the beginning" in offsets
    back = called(lake, "watermark", "set", "snowflake_orders", "2024-10-01", "--why", "x", "--yes")
    assert "forward" not in back


def test_a_run_that_found_nothing_new_says_where_each_table_stays(lake):
    called(lake, "run", *AT)

    told = called(lake, "runs", "show", "last")

    assert "stays at 2024-11-01 00:00:00" in told
    assert "stays at 1 file" in told
    assert " to " not in told.split("bronze ")[1].split("silver ")[0]


def test_control_c_in_the_middle_of_silver_ends_the_run_and_the_next_one_goes_on(sources, landed, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")
    run = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, "run", *AT, "--config", str(lake.config)],
        cwd=lake.folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stderr is not None
        next(line for line in run.stderr if "silver." in line)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=PATIENCE_S)
    finally:
        run.kill()

    assert run.returncode == 130
    assert said.endswith("interrupted: nothing half-done counts; the same command goes on from here\n")
    assert "run" in called(lake, "runs", "show", "last").split("to go on: ")[1]
    called(lake, "run", *AT)
    assert everything(lake) == everything(landed)


@pytest.mark.parametrize("state", ["empty", "corrupt", "behind", "ahead"])
def test_a_state_store_that_says_something_else_is_mended_from_the_tables(lake, state):
    before = everything(lake)
    watermarks = lake.folder / "state" / "state" / "watermarks"
    if state == "empty":
        shutil.rmtree(lake.folder / "state")
    said = {"corrupt": "{", "behind": '{"watermark": "2024-01-01T00:00:00+00:00"}'}
    said["ahead"] = said["behind"].replace("2024", "2031")
    for file in watermarks.glob("snowflake_orders.json"):
        file.write_text(said[state], encoding="utf-8")

    told = called(lake, "run", *AT)

    assert "snowflake_orders: the state store said something else than the table, and was mended" in told
    assert everything(lake) == before


def test_a_state_store_that_is_gone_stops_no_run_and_is_said_once(lake):
    before = lake.versions()
    shutil.rmtree(lake.folder / "state" / "state")
    (lake.folder / "state" / "state").write_text("not a folder", encoding="utf-8")

    told = called(lake, "run", *AT)

    assert told.count("the run goes on without it") == 1
    assert lake.versions() == before


def test_of_two_runs_at_once_the_second_finds_the_work_done(sources, tmp_path):
    lake = Lake.beside(sources, tmp_path / "lake")
    codes: list[int | None] = []

    def run() -> None:
        process = driver.begin(lake.config, T0)
        process.join(PATIENCE_S)
        codes.append(process.exitcode)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [0, 0]
    written = {path: version for path, version in lake.versions().items() if path in lake.inputs()}
    evidence = written.pop("_dq_results")
    assert {path: version for path, version in written.items() if version} == {}
    assert evidence == len([path for path in written if path.startswith(("silver/", "gold/"))]), "one verdict for each"
    for path in ("bronze/snowflake/orders", "bronze/kafka/orders_events", "bronze/external/inventory"):
        ids = [row["_row_id"] for row in lake.rows(path)]
        assert len(ids) == len(set(ids))
