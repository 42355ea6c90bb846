"""The command line as people use it: every call is a process of its own."""

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from headwater.contracts import load_contracts
from headwater.object_store import Place
from headwater.observe.query import LakeQuery, QueryRefused

PROJECT = Path(__file__).parents[2]
EARLIER = datetime(2024, 11, 1, 4, tzinfo=UTC)
HEADWATER = Path(sys.prefix) / "bin" / "headwater"
HEAVY = (
    "pyspark",
    "duckdb",
    "rich",
    "deltalake",
    "pyarrow",
    "pandas",
    "pydantic",
    "yaml",
    "great_expectations",
    "pysail",
)


def headwater(
    *arguments: str | Path, cwd: Path, stdin: int = subprocess.DEVNULL, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    return subprocess.run(
        [HEADWATER, *arguments],
        cwd=cwd,
        env=clean | environment,
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with two tables of Silver, their quarantine, and evidence of two checks."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "config", folder / "config")
    lake = folder / ".headwater" / "lake" / "generated"
    contracts = load_contracts(folder / "config" / "contracts")
    orders = {
        "order_id": ["O1", "O2"],
        "customer_id": ["C1", "C2"],
        "order_date": [datetime(2024, 10, 31, 10, 30, tzinfo=UTC)] * 2,
        "amount_usd": [Decimal("10.80"), None],
        "last_modified_ts": [datetime(2024, 10, 31, 11, tzinfo=UTC)] * 2,
        "order_month": ["2024-10"] * 2,
    }
    write(lake / "silver" / "orders", orders, contracts["orders"].arrow_schema)
    write(
        lake / "silver" / "customers",
        {"customer_id": ["C1"], "city": ['Say "Oslo",\nNorway']},
        contracts["customers"].arrow_schema,
    )
    quarantine = pa.schema([("_row_id", pa.string()), ("reason", pa.string()), ("raw", pa.string())])
    write(lake / "quarantine" / "orders", {"_row_id": ["r"], "reason": ["no amount"], "raw": ["{}"]}, quarantine)
    evidence = {
        "run_id": ["r1", "r1"],
        "table": ["orders", "orders"],
        "severity": ["critical", "warning"],
        "success": [True, True],
    }
    write(lake / "_dq_results", evidence, None)
    return folder


def write(place: Path, columns: dict[str, list[object]], schema: pa.Schema | None) -> None:
    if schema is None:
        table = pa.table(columns)
    else:
        length = len(next(iter(columns.values())))
        arrays = [pa.array(columns.get(field.name, [None] * length), field.type) for field in schema]
        table = pa.Table.from_arrays(arrays, schema=schema)
    deltalake.write_deltalake(place, table)


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from headwater.cli import main\n"
        "try: main(['--help'])\n"
        f"finally: print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    asked = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    for command in ("run", "status", "query", "check", "doctor", "config", "sandbox", "--version"):
        assert command in asked.stdout
    assert asked.stdout.endswith("HEAVY []\n")


@pytest.mark.slow
def test_help_takes_no_more_than_four_tenths_of_a_second(tmp_path: Path) -> None:
    took = []
    for _ in range(10):
        began = time.perf_counter()
        assert headwater("--help", cwd=tmp_path).returncode == 0
        took.append(time.perf_counter() - began)

    assert min(took) <= 0.4


def test_the_version_is_told(tmp_path: Path) -> None:
    assert headwater("--version", cwd=tmp_path).stdout == "headwater 0.1.0\n"


def test_a_wrong_command_is_64_and_names_the_nearest(tmp_path: Path) -> None:
    wrong = headwater("quary", cwd=tmp_path)

    assert wrong.returncode == 64
    assert "(Did you mean one of: 'quality', 'query'?)" in wrong.stderr


def test_an_unknown_key_is_one_sentence_with_file_and_key(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "local.yaml").write_text("data_sources: {kafka: {enabeld: true}}\n", encoding="utf-8")

    refused = headwater("config", "show", cwd=tmp_path)

    assert refused.returncode == 1
    assert refused.stderr == (
        "headwater: config/local.yaml: data_sources.kafka.enabeld is not a setting; did you mean enabled?\n"
    )
    assert refused.stdout == ""


def test_outside_of_a_project_the_fix_is_told(tmp_path: Path) -> None:
    lost = headwater("status", cwd=tmp_path)

    assert lost.returncode == 1
    assert "cannot read the config file config/local.yaml" in lost.stderr
    assert "run from the project folder or give --config" in lost.stderr


def test_debug_shows_the_traceback_and_without_it_there_is_none(tmp_path: Path) -> None:
    assert "Traceback" in headwater("--debug", "status", cwd=tmp_path).stderr
    assert "Traceback" in headwater("status", "--debug", cwd=tmp_path).stderr
    assert "Traceback" not in headwater("status", cwd=tmp_path).stderr


def test_a_failure_tells_where_its_log_is(project: Path) -> None:
    failed = headwater("query", "SELECT nothing FROM orders", cwd=project)

    assert failed.returncode == 1
    log = Path(failed.stderr.splitlines()[-1].removeprefix("log: "))
    assert log.parent == project / ".headwater" / "logs"
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_config_show_tells_values_and_where_they_came_from(project: Path) -> None:
    shown = headwater("config", "show", cwd=project, HEADWATER_FX__MAX_AGE_DAYS="3")

    lines = [line.split(maxsplit=2) for line in shown.stdout.splitlines()]
    assert ["fx.max_age_days", "3", "environment HEADWATER_FX__MAX_AGE_DAYS"] in lines
    assert ["data_sources.snowflake.warehouse", "COMPUTE_WH", "config/local.yaml"] in lines
    assert ["data_sources.redshift.port", "5439", "default"] in lines


def test_config_show_takes_another_file_and_gives_json(project: Path) -> None:
    shown = headwater("config", "show", "--json", "--config", "config/prod.yaml", cwd=project)

    assert json.loads(shown.stdout)["secrets.kafka"] == {
        "value": "kafka/orders_stream/prod",
        "from": "config/prod.yaml",
    }


def test_query_without_sql_lists_tables_and_rows(project: Path) -> None:
    listed = headwater("query", cwd=project)

    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["table", "rows"],
        ["silver.customers", "1"],
        ["silver.orders", "2"],
        ["quarantine.orders", "1"],
        ["_dq_results", "2"],
    ]


def test_query_prints_aligned_columns_where_nobody_looks(project: Path) -> None:
    sql = "SELECT order_id, amount_usd, order_date FROM silver.orders ORDER BY 1"

    assert headwater("query", sql, cwd=project, TZ="America/New_York").stdout.splitlines() == [
        "order_id  amount_usd  order_date",
        "O1             10.80  2024-10-31 10:30:00",
        "O2                    2024-10-31 10:30:00",
    ]


def on_a_terminal(project: Path, *arguments: str, **environment: str) -> str:
    master, slave = pty.openpty()
    wide = {"TERM": "xterm-256color", "COLUMNS": "160"}
    subprocess.run([HEADWATER, *arguments], cwd=project, stdout=slave, check=True, env=os.environ | wide | environment)
    os.close(slave)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    return shown


def test_query_frames_its_table_on_a_terminal_and_no_color_has_none(project: Path) -> None:
    asked = ("query", "SELECT order_id FROM orders ORDER BY 1")

    assert "─" in on_a_terminal(project, *asked)
    assert "\x1b[" not in on_a_terminal(project, *asked, NO_COLOR="1")


def test_quality_reads_what_an_earlier_headwater_found_and_draws_it_on_a_terminal(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "config", tmp_path / "config")
    verdicts = {"r1": "critical", "r2": "", "r3": "warning"}
    rows = [
        {"run_id": run, "table": "orders", "rule": rule, "severity": rule, "success": rule != failing}
        | {"target_version": 1, "observed": 0.5, "limit": "at most 0.1", "detail": "half of them", "at": EARLIER}
        for run, failing in verdicts.items()
        for rule in ("critical", "warning")
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    write(tmp_path / ".headwater" / "lake" / "generated" / "_dq_results", columns, None)

    [line] = json.loads(headwater("quality", "--json", cwd=tmp_path).stdout)
    assert line["history"] == ["failed", "passed", "warned"]
    assert (line["verdicts"], line["pass_rate"], line["failing"]) == (3, pytest.approx(2 / 3), ["warning"])
    assert "▁█▆" in on_a_terminal(tmp_path, "quality")
    assert "fpw" in headwater("quality", cwd=tmp_path).stdout
    told = headwater("quality", "orders", "--limit", "1", cwd=tmp_path)
    assert told.stdout.startswith("silver.orders, run r3 at 2024-11-01 04:00:00 UTC: warned\n"), told.stderr
    assert ["warning", "warning", "failed", "0.5", "at", "most", "0.1", "half", "of", "them"] in [
        line.split() for line in told.stdout.splitlines()
    ]


def test_quality_of_a_lake_without_verdicts_says_how_to_get_some(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "config", tmp_path / "config")

    assert "no verdict yet; a run makes them:" in headwater("quality", cwd=tmp_path).stdout
    assert headwater("quality", "--json", cwd=tmp_path).stdout == "[]\n"
    assert "no verdict on silver.orders yet" in headwater("quality", "orders", cwd=tmp_path).stdout
    assert "did you mean orders?" in headwater("quality", "orderz", cwd=tmp_path).stderr


def test_query_gives_csv_and_json_of_exact_values(project: Path) -> None:
    sql = "SELECT order_id, amount_usd, order_date FROM orders ORDER BY 1"

    as_json = json.loads(headwater("query", "--json", sql, cwd=project).stdout)
    as_csv = headwater(
        "query", "--csv", "SELECT city, amount_usd FROM customers, orders ORDER BY order_id", cwd=project
    ).stdout

    assert as_json[0] == {"order_id": "O1", "amount_usd": "10.80", "order_date": "2024-10-31T10:30:00+00:00"}
    assert as_json[1]["amount_usd"] is None
    assert list(csv.reader(io.StringIO(as_csv))) == [
        ["city", "amount_usd"],
        ['Say "Oslo",\nNorway', "10.80"],
        ['Say "Oslo",\nNorway', ""],
    ]


def test_a_table_is_described_by_its_contract_its_neighbours_and_its_rows(project: Path) -> None:
    done = headwater("describe", "silver.orders", cwd=project)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert lines[0].startswith("silver.orders: ")
    assert "made from bronze.snowflake_orders, silver.fx_rates" in lines
    assert "refers to silver.customers, silver.products" in lines
    assert any(line.startswith("made of it gold.customer_360, gold.product_perf_daily") for line in lines)
    assert any(line.startswith("state 2 rows, version 0, the newest record ") for line in lines)
    assert any(line.startswith("customer_id string required; in customers.customer_id Who") for line in lines)
    assert any(line.startswith("quantity bigint required; at least 0 ") for line in lines)
    assert "2 of its rows" in lines


def test_a_source_s_patience_is_part_of_what_a_table_is(project: Path) -> None:
    made = json.loads(headwater("describe", "kafka_user_events", "--json", cwd=project).stdout)

    assert made["is_asked"] == (
        "up to 3 times, the last within 5 min of its first failure (data_sources.kafka.attempts, .retry_for); a login that "
        "takes more than 8 s (.connect_timeout) and a silence of more than 30 s (.answer_timeout) are failures"
    )


def test_a_description_hides_what_is_classified(project: Path) -> None:
    made = json.loads(headwater("describe", "orders", "--json", "--rows", "1", cwd=project).stdout)

    assert made["table"] == "silver.orders"
    assert made["lineage"]["above"] == ["bronze.snowflake_orders", "silver.fx_rates"]
    [row] = made["sample"]
    assert (row["order_id"], row["amount_usd"], row["status"]) == ("O1", "(hidden)", None)
    classified = {column["name"] for column in made["columns"] if column["classification"]}
    assert classified == {"amount", "amount_usd"}


def test_a_table_that_nothing_describes_is_named_with_the_nearest(project: Path) -> None:
    done = headwater("describe", "ordrs", cwd=project)

    assert done.returncode == 1
    assert "no contract describes a table ordrs; did you mean orders?" in done.stderr


def test_query_of_nothing_is_an_empty_document(project: Path) -> None:
    sql = "SELECT order_id FROM orders WHERE false"

    assert json.loads(headwater("query", "--json", sql, cwd=project).stdout) == []
    assert headwater("query", "--csv", sql, cwd=project).stdout == "order_id\n"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM silver.ordrs", "no table silver.ordrs; did you mean silver.orders?"),
        ("SELECT * FROM gold.orders", "no table gold.orders; did you mean silver.orders?"),
        ("SELECT * FROM costumers", "no table costumers; did you mean silver.customers?"),
        ("SELECT amount_us FROM orders", "no column amount_us; did you mean amount_usd?"),
        ("SELECT * FROM gold.customer_360", "gold.customer_360 has not been written yet; a run writes it"),
        ("DELETE FROM silver.orders", "the lake is read-only here: DELETE is refused"),
        ("COPY orders TO '/tmp/x.csv'", "the lake is read-only here: COPY is refused"),
        ("SET threads = 1", "the lake is read-only here: SET is refused"),
        ("SELECT 1; SELECT 2", "one statement at a time: there are 2"),
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Cannot access file"),
        ("SELECT * FROM read_text('/etc/passwd')", "Cannot access file"),
        ("SELECT * FROM '/etc/passwd.parquet'", "Cannot access file"),
    ],
)
def test_query_refuses_in_one_sentence(lake: LakeQuery, sql: str, message: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        lake.rows(sql)

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.fixture
def lake(project: Path) -> Iterator[LakeQuery]:
    contracts = load_contracts(project / "config" / "contracts")
    opened = LakeQuery(Place(str(project / ".headwater" / "lake" / "generated")), contracts)
    yield opened
    opened.close()


def test_query_before_any_run_says_how_to_make_tables(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "config", tmp_path / "config")

    empty = headwater("query", cwd=tmp_path)

    assert empty.returncode == 0
    assert empty.stdout == f"no table yet in {tmp_path}/.headwater/lake/generated; make them: {HEADWATER} run\n"


def test_query_into_a_pipe_that_closes_ends_quietly(project: Path) -> None:
    command = f"{HEADWATER} query --csv 'SELECT * FROM range(1000000)' | head -n 1"

    piped = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=project, capture_output=True, text=True, check=False
    )

    assert piped.stdout == "range\n"
    assert piped.stderr == ""


def test_status_tells_rows_version_freshness_and_verdict(project: Path) -> None:
    told = json.loads(headwater("status", "--json", cwd=project).stdout)
    tables = {table["table"]: table for table in told["tables"]}

    assert (tables["orders"]["rows"], tables["orders"]["version"], tables["orders"]["verdict"]) == (2, 0, "passed")
    assert tables["orders"]["newest"] == "2024-10-31T11:00:00+00:00"
    assert (tables["customer_360"]["rows"], tables["customer_360"]["version"]) == (0, None)
    assert "silver.orders" in headwater("status", cwd=project).stdout


@pytest.mark.parametrize(
    ("select", "message"),
    [("ordrs", "did you mean orders?"), ("gold.orders", "'gold.orders' is not a table"), (",", "no table is named")],
)
def test_run_refuses_to_select_what_is_not_a_table(project: Path, select: str, message: str) -> None:
    refused = headwater("run", "--select", select, cwd=project)

    assert refused.returncode == 64
    assert message in refused.stderr


def test_run_refuses_an_instant_that_is_none(project: Path) -> None:
    refused = headwater("run", "--at", "yesterday", cwd=project)

    assert refused.returncode == 64
    assert "'yesterday' is not an instant such as 2024-11-02" in refused.stderr


def test_check_names_the_nearest_source_and_one_that_is_not_enabled(project: Path) -> None:
    assert "did you mean kafka?" in headwater("check", "kafak", cwd=project).stderr

    disabled = headwater("check", "kafka", cwd=project, HEADWATER_DATA_SOURCES__KAFKA__ENABLED="false")

    assert disabled.returncode == 1
    assert "kafka is not enabled (environment HEADWATER_DATA_SOURCES__KAFKA__ENABLED)" in disabled.stderr


def test_settings_of_a_table_that_no_contract_has_are_refused(project: Path) -> None:
    refused = headwater("status", cwd=project, HEADWATER_TABLES__SNOWFLAKE_ORDRES__SETTLE="5m")

    assert refused.returncode == 1
    assert "tables.snowflake_ordres is not a Bronze table; did you mean snowflake_orders?" in refused.stderr


def test_the_sandbox_that_never_ran_is_down(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "config", tmp_path / "config")

    status = headwater("sandbox", "status", cwd=tmp_path)

    assert (status.returncode, status.stdout) == (1, "the sandbox is down\n")
    assert headwater("sandbox", "down", cwd=tmp_path).returncode == 0
    assert headwater("sandbox", "advance", cwd=tmp_path).returncode == 64
    advanced = headwater("sandbox", "advance", "--days", "1", cwd=tmp_path)
    assert advanced.returncode == 1
    assert f"the sandbox is not up; start it: {HEADWATER} sandbox up" in advanced.stderr


def test_real_sources_have_no_sandbox(project: Path) -> None:
    refused = headwater("sandbox", "up", "--config", "config/prod.yaml", cwd=project)

    assert refused.returncode == 1
    assert "config/prod.yaml has no `sandbox:` block" in refused.stderr


def test_doctor_says_what_is_not_ready_and_the_fix(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "config", tmp_path / "config")

    well = headwater("doctor", cwd=tmp_path)
    ill = headwater("doctor", cwd=tmp_path, HEADWATER_CONTRACTS="nowhere")

    assert "ok   Python: 3." in well.stdout
    assert "ok   config: config/local.yaml" in well.stdout
    assert ill.returncode == 1
    assert "NOT  contracts:" in ill.stdout
    assert "     fix:" in ill.stdout


@pytest.fixture
def endless(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A query at a terminal: what a shell begins in the background is deaf to Ctrl-C, and so is all that it starts."""
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from headwater.cli import main"
    query = 'main(["query", "SELECT count(*) FROM range(100000000000) a"])'
    command = [sys.executable, "-c", f"{heard}; {query}"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_control_c_ends_with_130_and_one_line(endless: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    while endless.poll() is None and time.monotonic() - began < 60:
        threads = list(Path(f"/proc/{endless.pid}/task").iterdir()) if Path("/proc").exists() else []
        if len(threads) > 1 or (not threads and time.monotonic() - began > 10):
            break
        time.sleep(0.05)
    endless.send_signal(signal.SIGINT)

    _, said = endless.communicate(timeout=60)

    assert endless.returncode == 130
    assert said.strip() == "interrupted: nothing half-done counts; the same command goes on from here"


LEFT_WAITING = """
import threading
import duckdb
from headwater.cli import main

def wait():
    duckdb.connect()
    threading.Event().wait()

threading.Thread(target=wait, daemon=True).start()
main(["--version"])
"""


def test_a_thread_that_is_left_spoils_neither_the_exit_code_nor_what_was_said(tmp_path: Path) -> None:
    """Without care C++ libraries end the process badly, or tell of what leaked, as Python goes away under a thread."""
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_WAITING], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("headwater ")


def test_before_any_run_the_newest_is_told_to_be_missing(project: Path) -> None:
    none = headwater("runs", "show", "last", cwd=project)

    assert none.returncode == 1
    assert f"no run yet; make one: {HEADWATER} run\n" in none.stderr
