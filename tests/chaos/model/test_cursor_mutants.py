"""The model is strong: of mistakes made with cursors on purpose it notices each, within a bounded number of histories."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.model.mutants import MUTANTS, CursorMutant
from tests.mutants.mutant import copied, stale

PROJECT = Path(__file__).parents[3]
HISTORIES = 120
AT_ONCE = 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def lived(copy: Path, source: str, histories: int) -> dict[str, Any]:
    """What the model says of the code in `copy`, in a process that has it first on its path."""
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(copy / "src"), str(PROJECT)])}
    options = ("--promise", "bronze", "--histories", str(histories), "--json")
    made = subprocess.run(
        [sys.executable, "-m", "tests.chaos.model", source, *options],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert made.stdout, made.stderr
    found = json.loads(made.stdout)
    assert Path(found["code"]).is_relative_to(copy), "the model tried other code than that which was changed"
    (told,) = found["sources"]
    assert made.returncode == (1 if told["broken"] else 0), made.stderr
    return told


def caught(changed: CursorMutant, folder: Path) -> dict[str, Any]:
    changed.mutant.apply(copied(PROJECT, folder / changed.mutant.name))
    return lived(folder / changed.mutant.name, changed.source, HISTORIES)


def test_each_mutant_knows_the_code_as_it_is():
    assert stale([each.mutant for each in MUTANTS], PROJECT) == []
    assert len({each.mutant.name for each in MUTANTS}) == len(MUTANTS)


def test_code_without_a_mistake_breaks_no_promise_in_a_process_of_its_own(tmp_path):
    told = lived(copied(PROJECT, tmp_path / "unchanged"), "redshift", 10)

    assert (told["broken"], told["histories"]) == ("", 11)


def test_every_mistake_is_noticed_within_so_many_histories(tmp_path):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(MUTANTS, pool.map(lambda each: caught(each, tmp_path), MUTANTS), strict=True))

    survived = [each.mutant.name for each, told in found.items() if not told["broken"]]
    assert survived == [], f"not noticed in {HISTORIES} histories"
