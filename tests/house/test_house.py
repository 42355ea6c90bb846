"""The house stands as its plan says: floors, and for each table a function, a contract, a test and its rules in prose."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from headwater.contracts import Contracts, load_contracts
from headwater.transform.table import load_tables

PROJECT = Path(__file__).parent.parent.parent
CONTRACTS: Contracts = load_contracts(PROJECT / "config" / "contracts")
COMPUTED = sorted(name for name, contract in CONTRACTS.items() if contract.layer != "bronze")


def test_rooms_import_rooms_on_lower_floors_only():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", ".importlinter", "--no-cache"]
    checked = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_computed_table_has_a_contract_and_every_contract_a_function():
    assert sorted(load_tables()) == COMPUTED


@pytest.mark.parametrize("name", COMPUTED)
def test_a_table_is_one_function_in_the_file_of_its_name(name: str):
    table = load_tables()[name]
    assert table.layer == CONTRACTS[name].layer
    assert table.function.__module__ == f"headwater.transform.{table.layer}.{name}"
    assert table.function.__name__ == name
    assert table.function.__doc__, "says what it promises"


@pytest.mark.parametrize("name", COMPUTED)
def test_a_table_is_tried_by_a_unit_test(name: str):
    called = re.compile(
        rf"^from headwater\.transform\.\w+\.{name} import {name}$.*\b{name}\(", re.MULTILINE | re.DOTALL
    )
    files = (PROJECT / "tests" / "unit").rglob("test_*.py")
    assert any(called.search(path.read_text(encoding="utf-8")) for path in files)


@pytest.mark.parametrize("name", COMPUTED)
def test_a_tables_rules_are_written_in_prose(name: str):
    rules = (PROJECT / "docs" / "rules.md").read_text(encoding="utf-8")
    heading = re.search(rf"^### {name} — .*?(?=^##)", rules + "\n##", re.MULTILINE | re.DOTALL)
    assert heading, f"docs/rules.md has no heading for {name}"

    measures = {"orders", "units", "customers", "revenue_usd", "net_revenue_usd"}
    for column in set(CONTRACTS[name].column_names) - measures:
        assert f"`{column}`" in heading[0], f"docs/rules.md does not say how {name}.{column} is computed"


@pytest.mark.parametrize("name", [each for each in COMPUTED if CONTRACTS[each].layer == "silver"])
def test_every_row_rule_of_a_contract_is_named_in_prose(name: str):
    rules = (PROJECT / "docs" / "rules.md").read_text(encoding="utf-8")
    contract = CONTRACTS[name]
    named = {f"{column.name}:required" for column in contract.columns if column.required}
    named |= {f"{key.column}:reference" for key in contract.foreign_keys}
    bounded = [c for c in contract.columns if (c.minimum, c.maximum, c.exclusive_minimum) != (None, None, None)]
    named |= {f"{column.name}:range" for column in bounded}
    section = rules[rules.index(f"### {name} ") :].split("\n### ", 1)[0]
    unnamed = {rule for rule in named if f"`{rule}`" not in section}
    assert unnamed <= {"origin:required"}, "what the function itself fills in cannot be missing"


def test_an_operator_finds_every_computed_table_in_the_quality_settings():
    settings = yaml.safe_load((PROJECT / "config" / "dq.yaml").read_text(encoding="utf-8"))
    assert sorted(settings["tables"]) == sorted(CONTRACTS[name].table for name in COMPUTED)


def test_every_bronze_table_is_in_the_rules():
    rules = (PROJECT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert [name for name, each in CONTRACTS.items() if each.layer == "bronze" and f"`{name}`" not in rules] == []
