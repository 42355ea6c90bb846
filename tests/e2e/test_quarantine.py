"""What was refused is shown, tried again once its contract or its parent is mended, or given up; and no row is lost."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.tiny import DAY, PROJECT, SOON, T0, T1, Lake, clean_environment, everything
from tests.forked import headwater

from headwater import sandbox
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

AT = ("--at", T1.isoformat())
ORDERS, REFUSED = "silver/orders", "quarantine/orders"
KILLED_AT = """
import os, sys
from datetime import datetime
from pathlib import Path
from headwater.config import load_settings
from headwater.run.replay import replay

def die(event):
    if type(event).__name__ == sys.argv[4]:
        os._exit(9)

replay(load_settings(Path(sys.argv[1])), sys.argv[2], None, at=datetime.fromisoformat(sys.argv[3]), observers=(die,))
"""


@pytest.fixture(scope="module")
def run_twice(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The tiny shop after runs at both instants: C9 came, and so O6 was released; O5 was corrected; O8 is below zero."""
    folder = tmp_path_factory.mktemp("landed")
    shutil.copytree(PROJECT / "config" / "contracts", folder / "contracts")
    lake = Lake.beside(sources, folder / "lake", contracts="../contracts")
    for instant in (T0, T1):
        sandbox.advance(sources.connections.parent, instant)
        made = headwater("run", "-q", "--at", instant.isoformat(), "--config", str(lake.config), cwd=lake.folder)
        assert made.returncode == 0, made.stdout + made.stderr
    return lake


@pytest.fixture
def lake(run_twice: Lake, tmp_path: Path) -> Lake:
    """A copy with contracts of its own, so that a test can mend them."""
    shutil.copytree(run_twice.folder.parent, tmp_path / "copy")
    return Lake(tmp_path / "copy" / "lake")


def quarantine(lake: Lake, *arguments: str) -> subprocess.CompletedProcess[str]:
    return headwater("quarantine", *arguments, "--config", str(lake.config), cwd=lake.folder)


def replayed(lake: Lake, table: str, *options: str) -> dict[str, Any]:
    made = quarantine(lake, "replay", table, "--json", *AT, *options)
    assert made.returncode == 0, made.stdout + made.stderr
    return dict(json.loads(made.stdout))


def run(lake: Lake) -> None:
    made = headwater("run", "-q", *AT, "--config", str(lake.config), cwd=lake.folder)
    assert made.returncode == 0, made.stdout + made.stderr


def mend(lake: Lake, table: str, old: str, new: str) -> None:
    """Change a contract."""
    file = lake.folder.parent / "contracts" / f"{table}.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def allow_negative_quantities(lake: Lake) -> None:
    mend(lake, "silver/orders", "minimum: 0", "minimum: -5")


def order_ids(lake: Lake, path: str) -> list[str]:
    rows = lake.rows(path)
    return sorted(row["order_id"] if "order_id" in row else json.loads(row["raw"])["order_id"] for row in rows)


def units(lake: Lake) -> int:
    return sum(row["units"] for row in lake.rows("gold/product_perf_daily"))


def test_refused_rows_are_counted_by_table_and_rule(lake):
    found = {each["table"]: each for each in json.loads(quarantine(lake, "list", "--json", *AT).stdout)}

    assert found["quarantine.orders"]["rules"].keys() == {"currency:required", "quantity:range"}
    assert {name: each["waiting"] for name, each in found.items()} == {
        "quarantine.orders": 2, "quarantine.behavior": 1, "quarantine.inventory": 1,
        "rejects.external_inventory": 2, "rejects.kafka_orders_events": 2,
    }  # fmt: skip
    assert found["quarantine.orders"]["oldest"] == T0.isoformat()
    told = quarantine(lake, "list", "inventory", *AT).stdout
    assert "rejects.external_inventory" in told
    assert "quarantine.orders" not in told


def test_a_refused_row_is_shown_with_its_rules_in_words_its_record_and_its_history(lake):
    told = quarantine(lake, "show", "orders", "--where", "list_contains(rules, 'quantity:range')").stdout

    assert "bronze.snowflake_orders, " in told
    assert "quantity is not at least 0 (quantity:range)" in told
    assert "order_id=O8 " in told
    assert f"refused since {T1:%Y-%m-%d %H:%M:%S}, first by run " in told
    assert "1 of 1 rows of quarantine.orders" in told
    assert "external_inventory.csv:3" not in quarantine(lake, "show", "orders").stdout
    assert "'many', which is no bigint" in quarantine(lake, "show", "external_inventory").stdout


def test_personal_values_are_hidden_on_the_terminal_unless_their_classification_is_not_masked(lake):
    configured = lake.config.read_text(encoding="utf-8")
    lake.config.write_text(configured.replace("sensitive: none", "sensitive: redact"), encoding="utf-8")

    told = quarantine(lake, "show", "orders").stdout

    assert "amount=(hidden)" in told
    assert "order_id=O8" in told
    assert json.loads(lake.rows(REFUSED)[0]["raw"])["amount"] == 20.0


def test_rows_of_a_contract_that_was_too_strict_are_accepted_once_it_is_mended(lake):
    before = units(lake)
    allow_negative_quantities(lake)

    done = replayed(lake, "orders")
    run(lake)

    assert {name: done["terms"][name] for name in ("asked", "new", "retried", "accepted", "superseded", "quarantined")} == {
        "asked": 2, "new": 0, "retried": 2, "accepted": 1, "superseded": 0, "quarantined": 1,
    }  # fmt: skip
    assert order_ids(lake, ORDERS) == [f"O{number}" for number in range(9)]
    assert order_ids(lake, REFUSED) == ["O5"]
    assert units(lake) == before - 1


def test_a_row_that_a_newer_version_has_overtaken_counts_superseded(lake):
    mend(lake, "silver/orders", "description: ISO 4217 code of the amount, in capitals.\n        required: true",
         "description: ISO 4217 code of the amount, in capitals.")  # fmt: skip

    done = replayed(lake, "orders")

    assert [done["terms"][name] for name in ("retried", "accepted", "superseded", "quarantined")] == [2, 0, 1, 1]
    [row] = [row for row in lake.rows(ORDERS) if row["order_id"] == "O5"]
    assert (row["currency"], row["last_modified_ts"]) == ("USD", SOON)
    assert order_ids(lake, REFUSED) == ["O8"]


def test_rows_that_where_leaves_out_stay_as_they_stand(lake):
    allow_negative_quantities(lake)
    mend(lake, "silver/orders", "description: ISO 4217 code of the amount, in capitals.\n        required: true",
         "description: ISO 4217 code of the amount, in capitals.")  # fmt: skip
    [kept] = [row for row in lake.rows(REFUSED) if row["rules"] == ["currency:required"]]

    done = replayed(lake, "orders", "--where", "list_contains(rules, 'quantity:range')")

    assert (done["terms"]["asked"], done["terms"]["held_back"]) == (1, 1)
    assert lake.rows(REFUSED) == [kept]
    assert "O8" in order_ids(lake, ORDERS)


def test_a_row_that_fails_again_keeps_its_history(lake):
    [before] = [row for row in lake.rows(REFUSED) if row["rules"] == ["quantity:range"]]
    mend(lake, "silver/orders", "description: The order.",
         "description: The order.\n        logicalTypeOptions:\n          pattern: '^O[0-7]$'")  # fmt: skip

    replayed(lake, "orders", "--where", "list_contains(rules, 'quantity:range')")

    [after] = [row for row in lake.rows(REFUSED) if "quantity:range" in row["rules"]]
    assert after["rules"] == ["order_id:pattern", "quantity:range"]
    assert after["rules_before"] == ["quantity:range"]
    assert (after["refused_at"], after["refused_run_id"]) == (before["refused_at"], before["refused_run_id"])
    assert (before["replays"], after["replays"], after["tried_at"]) == (0, 1, T1)
    told = quarantine(lake, "show", "orders").stdout
    assert "before that it broke quantity:range" in told
    assert "replayed in vain: 1, last at 2024-11-02 00:00:00" in told


def test_a_replay_in_vain_publishes_nothing(lake):
    versions = lake.versions()

    done = quarantine(lake, "replay", "orders", *AT)

    assert done.returncode == 0, done.stderr
    assert "0 accepted" in done.stdout
    assert "up to date" not in done.stdout
    moved = {path for path, version in lake.versions().items() if versions[path] != version}
    assert moved == {REFUSED}
    assert {row["replays"] for row in lake.rows(REFUSED)} == {1}


def test_a_predicate_that_chokes_on_a_value_does_not_tell_it(lake):
    for where in ("CAST(raw->>'order_id' AS INTEGER) = 1", "error(raw::VARCHAR)"):
        made = quarantine(lake, "show", "quarantine.orders", "--where", where)

        assert (made.returncode, "not shown: it may hold their values" in made.stderr) == (1, True), made.stderr
        assert "O8" not in made.stdout + made.stderr


def test_a_replay_repeated_changes_no_row(lake):
    allow_negative_quantities(lake)
    replayed(lake, "orders", "--where", "list_contains(rules, 'quantity:range')")
    before, versions = everything(lake)["tables"], lake.versions()

    again = quarantine(lake, "replay", "orders", *AT, "--where", "list_contains(rules, 'quantity:range')")

    assert again.returncode == 0
    assert "no row of quarantine.orders is to be tried again" in again.stdout
    assert everything(lake)["tables"] == before
    assert lake.versions() == versions


@pytest.mark.parametrize("instant", ["Refused", "Committing", "Committed"])
def test_a_replay_that_is_killed_and_repeated_leaves_what_an_undisturbed_one_leaves(lake, tmp_path, instant):
    allow_negative_quantities(lake)
    shutil.copytree(lake.folder.parent, tmp_path / "undisturbed")
    undisturbed = Lake(tmp_path / "undisturbed" / "lake")
    replayed(undisturbed, "orders")

    arguments = [str(lake.config), "orders", T1.isoformat(), instant]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT, *arguments], cwd=lake.folder, env=clean_environment(), check=False
    )
    assert killed.returncode == 9
    replayed(lake, "orders")

    for path in (ORDERS, REFUSED):
        rows, expected = (sorted(map(told, each.rows(path))) for each in (lake, undisturbed))
        if instant != "Committed":
            assert rows == expected, path
    assert order_ids(lake, ORDERS) == order_ids(undisturbed, ORDERS)
    assert order_ids(lake, REFUSED) == order_ids(undisturbed, REFUSED)


def told(row: dict[str, Any]) -> str:
    return repr(sorted((name, value) for name, value in row.items() if name != "_run_id"))


def test_two_replays_and_a_run_at_once_lose_no_row_and_double_none(lake):
    allow_negative_quantities(lake)
    command = [str(Path(sys.prefix) / "bin" / "headwater")]
    calls = [["quarantine", "replay", "orders"], ["run", "-q"], ["quarantine", "replay", "orders"]]

    began = [
        subprocess.Popen([*command, *call, *AT, "--config", str(lake.config)], cwd=lake.folder,
                         env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for call in calls
    ]  # fmt: skip
    ended = [process.communicate(timeout=300)[1] for process in began]

    assert [process.returncode for process in began] == [0, 0, 0], ended
    assert order_ids(lake, ORDERS) == [f"O{number}" for number in range(9)]
    assert order_ids(lake, REFUSED) == ["O5"]


def test_a_gate_that_refuses_a_replay_leaves_its_rows_in_quarantine(lake):
    before = {row["_row_id"]: row for row in lake.rows(REFUSED)}
    standing = lake.versions()[ORDERS]
    allow_negative_quantities(lake)
    late = T1.replace(year=T1.year + 1).isoformat()

    made = quarantine(lake, "replay", "orders", "--at", late)

    assert made.returncode == 2
    assert "silver.orders was not published, and stays as it was:" in made.stdout
    assert "rule       freshness (critical)" in made.stdout
    assert "stale now  gold.customer_360, gold.product_perf_daily" in made.stdout
    assert lake.versions()[ORDERS] == standing
    after = {row["_row_id"]: row for row in lake.rows(REFUSED)}
    assert after.keys() == before.keys()
    done = replayed(lake, "orders")
    assert [done["terms"][name] for name in ("new", "retried", "accepted", "quarantined")] == [0, 2, 1, 1]


def test_rows_that_are_discarded_stay_and_are_never_accepted(lake):
    where = ("--where", "raw->>'order_id' = 'O8'")
    unsure = quarantine(lake, "discard", "orders", *where, "--why", "a test order")
    assert unsure.returncode == 64
    assert "1 rows of quarantine.orders are never tried again" in unsure.stderr

    done = quarantine(lake, "discard", "orders", *where, "--why", "a test order", "--yes")
    assert done.returncode == 0
    assert "quarantine.orders: 1 row discarded by " in done.stdout
    allow_negative_quantities(lake)
    terms = replayed(lake, "orders")["terms"]

    assert (terms["asked"], terms["retried"], terms["quarantined"]) == (1, 2, 2)
    [row] = [row for row in lake.rows(REFUSED) if row["discarded_at"]]
    assert (row["rules"], row["discarded_why"], row["replays"]) == (["quantity:range"], "a test order", 0)
    assert "O8" not in order_ids(lake, ORDERS)
    [orders] = json.loads(quarantine(lake, "list", "orders", "--json", *AT).stdout)[:1]
    assert (orders["waiting"], orders["discarded"]) == (1, 1)
    assert "a test order" in quarantine(lake, "show", "orders").stdout
    again = quarantine(lake, "discard", "orders", *where, "--why", "again", "--yes")
    assert (again.returncode, "nothing was done" in again.stdout) == (0, True)


def test_a_parent_that_is_mended_and_replayed_releases_its_orphans(sources, tmp_path):
    sandbox.advance(sources.connections.parent, T1)
    shutil.copytree(PROJECT / "config" / "contracts", tmp_path / "contracts")
    lake = Lake.beside(sources, tmp_path / "lake", contracts="../contracts")
    strict = "description: The customer.\n        logicalTypeOptions:\n          pattern: '^C[0-8]$'"
    mend(lake, "silver/customers", "description: The customer.", strict)
    run(lake)
    assert "O6" in order_ids(lake, REFUSED)
    overdue = json.loads(quarantine(lake, "list", "orders", "--json", "--at", (T1 + 8 * DAY).isoformat()).stdout)
    assert [each["overdue"] for each in overdue if each["table"] == "quarantine.orders"] == [1]
    assert json.loads(quarantine(lake, "list", "orders", "--json", *AT).stdout)[0]["overdue"] == 0
    status = headwater("status", "--config", str(lake.config), cwd=lake.folder).stdout
    assert "Rows without their parent for longer than orphan_after:\nquarantine.orders: 1 rows\n" in status

    mend(lake, "silver/customers", strict, "description: The customer.")
    done = replayed(lake, "customers")
    run(lake)

    assert (done["terms"]["accepted"], done["terms"]["quarantined"]) == (1, 0)
    assert order_ids(lake, REFUSED) == ["O8"]
    assert [row["customer_id"] for row in lake.rows("gold/customer_360")].count("C9") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("replay", "ordrs"), 1, "did you mean"),
        (("replay", "customer_360"), 1, "gold.customer_360 refuses no rows: name the Silver table that does"),
        (("replay", "orders", "--where", "nonsense > 1"), 1, "--where nonsense > 1: no column nonsense"),
        (("replay", "orders", "--where", "1=1; DROP TABLE refused"), 1, "--where 1=1; DROP TABLE refused: "),
        (("show", "orders", "--where", "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0"), 1, "--where "),
        (("discard", "orders"), 64, "Missing option '--why'"),
        (("discard", "orders", "--why", " ", "--yes"), 64, "'--why': it is empty"),
        (
            ("discard", "orders", "--why", "ask ada@example.com", "--yes"),
            64,
            "without an e-mail address or phone number",
        ),
        (("discard", "orders", "--why", "a test order"), 64, "nobody answered, and nothing was done"),
        (("show", "orders", "--where", " "), 64, "'--where': it is empty"),
        (("replay", "leads"), 1, "no contract describes a table leads"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_moves(lake, arguments, code, said):
    before = lake.versions()

    made = quarantine(lake, *arguments)

    assert (made.returncode, said in made.stderr) == (code, True), made.stderr
    assert lake.versions() == before


def test_a_predicate_that_matches_nothing_does_nothing(lake):
    before = lake.versions()

    made = quarantine(lake, "replay", "orders", "--where", "reason LIKE 'no such%'", *AT)

    assert (made.returncode, "nothing was done" in made.stdout) == (0, True)
    assert lake.versions() == before
