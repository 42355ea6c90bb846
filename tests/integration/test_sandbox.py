"""The sandbox as a whole: one host process, its clock, and what is left when something goes wrong."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import yaml
from tests.versions import DAY, INSTANT, T0, Version, write_about, write_versions

from headwater import sandbox
from headwater.config import load_settings
from headwater.errors import SandboxError
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

HISTORY = [Version((f"E{number}", T0 + number * DAY), T0 + number * DAY) for number in range(-3, 9)]


def write_dataset(folder: Path) -> Path:
    """Events and one file: two sources suffice here, the others have tests of their own."""
    write_versions(
        folder / "redshift" / "customer_behavior.parquet", (("event_id", pa.string()), ("event_ts", INSTANT)), HISTORY
    )
    write_versions(
        folder / "s3" / "files.parquet",
        (("key", pa.string()), ("path", pa.string())),
        [Version(("erp-export/inventory/2024-11-01/inventory.csv", "one.csv"), T0)],
    )
    (folder / "s3" / "objects").mkdir()
    (folder / "s3" / "objects" / "one.csv").write_text("product_id\nP1\n")
    return write_about(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / ".headwater" / "sandbox"
    yield place
    sandbox.down(place)


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def ends(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def nothing_runs(folder: Path) -> bool:
    """No host of this folder, and no PostgreSQL: its data is deleted when it has ended."""
    hosts = [each for each in psutil.process_iter(["cmdline"]) if str(folder) in (each.info["cmdline"] or [])]
    return not hosts and not (folder / "redshift" / "server").exists()


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def events(state: Status) -> int:
    """How many rows Redshift's stand-in shows, asked as its reader."""
    import psycopg

    source = yaml.safe_load(state.connections.read_text())
    secret = json.loads(Path(source["secrets"]["redshift"].removeprefix("file:")).read_text())
    settings = source["data_sources"]["redshift"]
    with psycopg.connect(
        host=settings["host"], port=settings["port"], dbname=settings["database"], connect_timeout=10, **secret
    ) as session:
        ((count,),) = session.execute("SELECT count(*) FROM customer_behavior").fetchall()
    return int(count)


def seen(clock: object) -> int:
    return sum(version.visible_at <= clock for version in HISTORY)


def test_a_day_in_its_life(folder, dataset):
    told: list[str] = []

    first = sandbox.up(folder, dataset, progress=told.append)
    assert (first.running, first.dataset, first.clock, set(first.sources)) == (
        True,
        str(dataset),
        T0,
        {"redshift", "s3"},
    )
    assert sorted(line.split()[0] for line in told) == ["redshift", "s3"]
    assert events(first) == seen(T0)
    assert len(first.pids) == 2
    assert first.memory_bytes > 10_000_000
    assert sandbox.up(folder).pids == sandbox.up(folder, dataset, T0).pids == first.pids

    moved = sandbox.advance(folder, T0 + 2 * DAY)
    assert (moved.clock, events(moved)) == (T0 + 2 * DAY, seen(T0 + 2 * DAY))
    assert sandbox.advance(folder, T0 + 2 * DAY).clock == T0 + 2 * DAY

    down = sandbox.down(folder)
    assert (down.running, down.pids, down.clock) == (False, (), T0 + 2 * DAY)
    assert all(ends(pid) for pid in first.pids)
    assert not any(listens(port) for port in first.sources.values())
    assert sandbox.down(folder) == down == sandbox.status(folder)

    again = sandbox.up(folder)
    assert (again.dataset, again.clock, again.sources) == (first.dataset, T0 + 2 * DAY, first.sources)
    assert events(again) == seen(T0 + 2 * DAY)


def test_the_configuration_finds_it(folder, dataset, tmp_path):
    sandbox.up(folder, dataset)
    config = tmp_path / "config" / "local.yaml"
    config.parent.mkdir()
    config.write_text(
        "sandbox: {}\ndata_sources: {s3: {enabled: true}, redshift: {enabled: true}, kafka: {enabled: true}}\n"
    )

    settings = load_settings(config, {})

    assert settings.data_sources.enabled() == ("redshift", "s3")
    assert settings.data_sources.redshift.port == sandbox.status(folder).sources["redshift"]
    assert set(settings.secrets.get("s3")) == {"access_key_id", "secret_access_key"}
    assert settings.secrets.get("redshift")["user"] == "etl_user"


def test_what_makes_no_sense_is_refused_and_changes_nothing(folder, dataset, tmp_path):
    with pytest.raises(SandboxError, match="headwater sandbox up"):
        sandbox.advance(folder, T0)
    before = sandbox.up(folder, dataset, T0 + DAY)
    another = write_dataset(tmp_path / "another")

    with pytest.raises(SandboxError, match="stop it first: headwater sandbox down"):
        sandbox.up(folder, another)
    with pytest.raises(SandboxError, match="advance --to 2024-11-05T00:00:00"):
        sandbox.up(folder, dataset, T0 + 4 * DAY)
    with pytest.raises(SandboxError, match="never goes back to 2024-11-01"):
        sandbox.advance(folder, T0)
    assert sandbox.status(folder).pids == before.pids
    assert events(before) == seen(T0 + DAY)

    sandbox.down(folder)
    with pytest.raises(SandboxError, match="never goes back to 2024-11-01"):
        sandbox.up(folder, dataset, T0)
    assert sandbox.up(folder, another).clock == T0
    sandbox.down(folder)
    assert sandbox.up(folder, dataset).clock == T0 + DAY


def test_an_unknown_dataset_is_refused(folder):
    with pytest.raises(SandboxError, match="no dataset 'nothing'"):
        sandbox.up(folder, "nothing")
    assert sandbox.status(folder).dataset is None


def test_no_secret_is_in_a_log_on_a_command_line_or_open_to_others(folder, dataset):
    state = sandbox.up(folder, dataset)
    events(state)
    sandbox.advance(folder, T0 + DAY)

    secret_files = [*(folder / "secrets").iterdir(), state.owner]
    words = [value for file in secret_files for name, value in json.loads(file.read_text()).items() if len(value) > 12]
    assert len(words) >= 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in [*secret_files, folder / "host.json"])
    logs = "".join(file.read_text() for file in state.logs.iterdir())
    lines = " ".join(word for pid in state.pids for word in psutil.Process(pid).cmdline())
    assert "customer_behavior" in logs
    assert not [word for word in words if word in logs or word in lines]


def test_a_port_that_was_taken_meanwhile_is_replaced(folder, dataset):
    before = sandbox.up(folder, dataset)
    sandbox.down(folder)

    with socket.create_server(("127.0.0.1", before.sources["s3"])):
        after = sandbox.up(folder)

    assert after.sources["redshift"] == before.sources["redshift"]
    assert after.sources["s3"] != before.sources["s3"]
    assert str(after.sources["s3"]) in after.connections.read_text()


def test_a_record_from_before_a_reboot_is_not_believed(folder, dataset):
    """After a reboot some other process has the ids that were written down; it is none of ours."""
    sandbox.up(folder, dataset)
    sandbox.down(folder)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        stale = {"pid": bystander.pid, "started": psutil.Process(bystander.pid).create_time() - 3600, "name": "python"}
        record = {"process": stale, "dataset": str(dataset), "state": "ready", "problem": "", "sources": {"s3": 1}}
        record |= {"waiting": [], "children": [stale], "control_port": 1, "token": "t"}
        (folder / "host.json").write_text(json.dumps(record))

        assert not sandbox.status(folder).running
        assert sandbox.up(folder).running
        sandbox.down(folder)

        assert bystander.poll() is None
        bystander.communicate(b"\n")


def test_a_host_that_was_killed_leaves_nothing_in_the_way(folder, dataset):
    before = sandbox.up(folder, dataset)
    sandbox.advance(folder, T0 + DAY)
    host, postgres = before.pids
    os.kill(host, signal.SIGKILL)
    until(lambda: ends(host))
    assert not sandbox.status(folder).running
    assert not ends(postgres)

    after = sandbox.up(folder)

    assert ends(postgres)
    assert after.sources == before.sources
    assert events(after) == seen(T0 + DAY)


def test_down_ends_what_a_killed_host_left_behind(folder, dataset):
    host, postgres = sandbox.up(folder, dataset).pids
    os.kill(host, signal.SIGKILL)

    sandbox.down(folder)

    assert ends(host)
    assert ends(postgres)


def test_a_server_that_died_is_noticed_and_started_again(folder, dataset):
    host, postgres = sandbox.up(folder, dataset).pids
    os.kill(postgres, signal.SIGKILL)
    until(lambda: ends(postgres))
    assert "postgres" in sandbox.status(folder).problem

    told: list[str] = []
    after = sandbox.up(folder, progress=told.append)

    assert "has ended; starting it again" in told[0]
    assert ends(host)
    assert events(after) == seen(T0)


@pytest.mark.parametrize("moment", ["host.json", "redshift/server/data", "connections.yaml"])
def test_interrupted_while_starting_it_starts_the_next_time(folder, dataset, moment):
    program = "import sys, pathlib; from headwater import sandbox; sandbox.up(pathlib.Path(sys.argv[1]), sys.argv[2])"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(dataset)], stderr=subprocess.PIPE
    ) as starting:
        until((folder / moment).exists)
        starting.send_signal(signal.SIGINT)
        _, said = starting.communicate(timeout=60)

    if starting.returncode:  # else it was ready before the signal came
        assert b"KeyboardInterrupt" in said
        assert not (folder / "host.json").exists()
        assert nothing_runs(folder)
    assert events(sandbox.up(folder, dataset)) == seen(T0)


def test_two_who_start_it_at_once_get_the_same_one(folder, dataset):
    program = "import sys, pathlib; from headwater import sandbox; print(sandbox.up(pathlib.Path(sys.argv[1]), sys.argv[2]).pids)"
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(folder), str(dataset)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = {each.communicate(timeout=120)[0] for each in both}

    assert answers == {f"{sandbox.status(folder).pids}\n".encode()}


def test_a_source_that_does_not_start_is_named_and_nothing_stays(folder, dataset, tmp_path):
    broken = shutil.copytree(dataset, tmp_path / "broken")
    (broken / "redshift" / "customer_behavior.parquet").write_bytes(b"no Parquet")

    with pytest.raises(SandboxError, match=r"redshift did not start: .*redshift\.log says more"):
        sandbox.up(folder, broken)

    assert not sandbox.status(folder).running
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(each.info["cmdline"] or [])
    ]


def test_a_source_that_does_not_follow_the_clock_is_reported_and_the_next_up_mends_it(folder, dataset, tmp_path):
    damaged = shutil.copytree(dataset, tmp_path / "damaged")
    sandbox.up(folder, damaged)
    files = (damaged / "s3" / "files.parquet").read_bytes()
    (damaged / "s3" / "files.parquet").write_bytes(b"no Parquet")

    with pytest.raises(SandboxError, match="s3 did not follow the clock to 2024-11-02"):
        sandbox.advance(folder, T0 + DAY)
    assert sandbox.status(folder).problem
    (damaged / "s3" / "files.parquet").write_bytes(files)
    after = sandbox.up(folder)

    assert not after.problem
    assert after.clock == T0 + DAY
    assert events(after) == seen(T0 + DAY)


def test_it_ends_by_itself_when_its_folder_is_removed(folder, dataset):
    pids = sandbox.up(folder, dataset).pids

    shutil.rmtree(folder, ignore_errors=True)

    until(lambda: all(map(ends, pids)))
