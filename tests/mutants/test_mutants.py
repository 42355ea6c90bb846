"""The independent answer is strong: wrong code gives a lake that differs from it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.oracle import GOLD as GOLD_TABLES
from tests.e2e.oracle import SILVER as SILVER_TABLES
from tests.mutants.catalogue import ALL, IN_CI, OPEN_GATE
from tests.mutants.mutant import Mutant, copied, stale
from tests.mutants.of_runs import LANDING, RUNS
from tests.mutants.of_tables import CONTRACTS, GOLD, QUALITY, SILVER, STEPS

PROJECT = Path(__file__).parents[2]


def test_every_mutant_can_be_applied():
    assert stale([OPEN_GATE, *ALL.values()], PROJECT) == []


def test_there_are_mutants_of_everything_that_can_go_wrong():
    parts = (SILVER, GOLD, STEPS, QUALITY, CONTRACTS, RUNS, LANDING)
    changed = {each.file for each in ALL.values()}

    assert len(ALL) == sum(map(len, parts)), "two mutants have one name"
    assert len(ALL) >= 40
    assert len(IN_CI) == len(set(IN_CI) & ALL.keys()) == 12
    functions = {f"transform/silver/{table}.py" for table in SILVER_TABLES}
    functions |= {f"transform/gold/{table}.py" for table in GOLD_TABLES}
    assert functions <= changed, f"of {', '.join(sorted(functions - changed))} there is no mutant"


def test_a_mutant_changes_a_copy_and_nothing_else(tmp_path):
    mutant = ALL["case-sensitive-e-mail"]
    copy = copied(PROJECT, tmp_path)

    mutant.apply(copy)

    changed, as_it_was = ((folder / mutant.path).read_text(encoding="utf-8") for folder in (copy, PROJECT))
    assert mutant.old in as_it_was
    assert changed == as_it_was.replace(mutant.old, mutant.new)
    assert stale([mutant], PROJECT) == []


@pytest.mark.parametrize("text", ["def no_such_function", "import"])
def test_a_mutant_whose_text_does_not_stand_there_once_is_stale(tmp_path, text):
    mutant = Mutant("renamed", "transform/silver/orders.py", text, "", ("orders",))

    (said,) = stale([mutant], PROJECT)

    assert said.startswith("renamed is stale: src/headwater/transform/silver/orders.py has ")
    with pytest.raises(ValueError, match="renamed is stale"):
        mutant.apply(copied(PROJECT, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_dozen_mutants_are_caught():
    # A process of its own: what it forks must not have imported headwater, as this one has.
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants", *IN_CI, "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=840,
    )

    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)
    assert [each["mutant"]["name"] for each in findings] == list(IN_CI)
    assert all(each["by"] for each in findings)
