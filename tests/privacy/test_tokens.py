"""Whatever dies or races between the commit of tokens and that of their table: each value has one token, and none is lost."""

import hmac
import json
import os
import shutil
import signal
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import psutil
import pytest
import yaml
from tests.chaos import driver
from tests.chaos.instant import Instant, named
from tests.e2e.tiny import T0, T1, Lake

from headwater import sandbox
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

PATIENCE_S = 240
KEY = "a-key-of-at-least-thirty-two-characters"
CUSTOMERS = ("--select", "snowflake_customers,customers")
PEOPLE = ("--select", "snowflake_customers,customers,salesforce_accounts,salesforce_contacts,accounts,contacts")
TOKENIZED = {
    "silver/customers": {"first_name": "pii:name", "last_name": "pii:name", "email": "pii:email"},
    "silver/contacts": {"first_name": "pii:name", "last_name": "pii:name", "email": "pii:email"},
    "silver/accounts": {"primary_email": "pii:email"},
}
INSTANTS = {
    "before the tokens": named("restricted/tokens"),
    "after the tokens": named("restricted/tokens", after=True),
    "before the table": named("silver/customers"),
}


@pytest.fixture(scope="module")
def landed(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose tokens are those of the first instant, while the sources have come to the second."""
    place = tmp_path_factory.mktemp("landed")
    key = place / "masking.json"
    key.write_text(json.dumps({"key": KEY}), encoding="utf-8")
    key.chmod(0o600)
    masking = {"rules": {"pii:email": "tokenize", "pii:name": "tokenize"}}
    lake = Lake.beside(sources, place / "lake", masking=masking, secrets={"masking": f"file:{key}"})
    assert ended(begun(lake, T0, *CUSTOMERS)) == 0
    sandbox.advance(sources.connections.parent, T1)
    return lake


@pytest.fixture(params=["first", "later"])
def lake(request: pytest.FixtureRequest, landed: Lake, tmp_path: Path) -> Lake:
    """A lake that has no tokens yet, or some."""
    shutil.copytree(landed.folder, tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    if request.param == "first":
        shutil.rmtree(lake.folder / "lake")
        shutil.rmtree(lake.folder / "state")
    return lake


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_run_that_was_killed_around_the_tokens_leaves_them_whole(lake: Lake, instant: str) -> None:
    process = begun(lake, T1, *PEOPLE, *INSTANTS[instant].sends(signal.SIGKILL))
    assert ended(process) == -signal.SIGKILL
    assert_each_value_has_one_token(lake)
    assert ended(begun(lake, T1, *PEOPLE)) == 0

    assert_each_value_has_one_token(lake)


@pytest.mark.parametrize("point", [named("restricted/tokens"), Instant("Judging:customers")], ids=str)
def test_two_runs_that_race_give_each_value_one_token(lake: Lake, point: Instant) -> None:
    """One is stopped around its tokens, and another, which no lease keeps away, does the same work and more meanwhile."""
    configured = yaml.safe_load(lake.config.read_text(encoding="utf-8"))
    other = lake.config.with_name("other.yaml")
    other.write_text(yaml.safe_dump(configured | {"state": "other"}), encoding="utf-8")
    sleeper = begun(lake, T1, *CUSTOMERS, *point.sends(signal.SIGSTOP))
    try:
        deadline = time.monotonic() + PATIENCE_S
        while psutil.Process(sleeper.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert ended(driver.begin(other, T1, *PEOPLE)) == 0
        assert_each_value_has_one_token(lake)
        os.kill(sleeper.pid or 0, signal.SIGCONT)
        assert ended(sleeper) == 0
    finally:
        sleeper.kill()

    assert_each_value_has_one_token(lake)
    assert len(lake.rows("silver/contacts")) == len({row["contact_id"] for row in lake.rows("silver/contacts")})


def assert_each_value_has_one_token(lake: Lake) -> None:
    """No value twice, none without its own token, and every token that a table shows leads to a value."""
    committed = (lake.folder / "lake" / "restricted" / "tokens" / "_delta_log").glob("*.json")
    rows = lake.rows("restricted/tokens") if any(committed) else []
    assert not [token for token, times in Counter(row["token"] for row in rows).items() if times > 1]
    assert not [v for v, times in Counter((row["classification"], row["value"]) for row in rows).items() if times > 1]
    known = {row["token"] for row in rows}
    for row in rows:
        assert row["token"] == hashed(row["classification"], row["value"])
    for table, columns in TOKENIZED.items():
        shown_in = lake.rows(table) if any((lake.folder / "lake" / table / "_delta_log").glob("*.json")) else []
        for shown in shown_in:
            assert {shown[name] for name in columns} - {None} <= known, table


def hashed(kind: str, value: str) -> str:
    return hmac.new(KEY.encode(), f"{kind}\0{value}".encode(), "sha256").hexdigest()


def begun(lake: Lake, at: datetime, *options: str) -> driver.Process:
    return driver.begin(lake.config, at, *options)


def ended(process: driver.Process) -> int | None:
    process.join(PATIENCE_S)
    return process.exitcode
