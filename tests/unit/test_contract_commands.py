"""`headwater contract check` and `diff`, as people type them: every call is a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
HEADWATER = Path(sys.prefix) / "bin" / "headwater"

pytestmark = pytest.mark.slow


def headwater(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    command = [HEADWATER, "contract", *arguments]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(PROJECT / "config", tmp_path / "config")
    return tmp_path


def change(file: Path, right: str, wrong: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert right in text
    file.write_text(text.replace(right, wrong, 1), encoding="utf-8")


AMOUNT_USD = """      - name: amount_usd
        logicalType: number
        physicalType: decimal(18,2)
        description: The order's worth in US dollars; null while no rate is recent enough.
        classification: sensitive
"""


def test_the_projects_own_code_agrees_with_its_contracts(project: Path) -> None:
    checked = headwater("check", cwd=project)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.splitlines()[-1] == f"37 tables agree with {project}/config/contracts"
    assert "gold.customer_360" in checked.stdout


def test_a_query_of_ones_own_over_a_misspelt_column_is_found_before_a_run(project: Path) -> None:
    dq = project / "config" / "dq.yaml"
    change(
        dq,
        "    unpriced: {max_share: 0.05}\n",
        "    unpriced: {max_share: 0.05}\n    expectations:\n"
        "      fine: {sql: 'SELECT count(*) FROM candidate WHERE amount > :most', parameters: {most: 5}}\n"
        "      wrong:\n        sql: SELECT count(*) FROM candidate WHERE statte IS NULL\n",
    )

    checked = headwater("check", "orders", "--json", cwd=project)

    [problem] = json.loads(checked.stdout)["problems"]
    assert problem["file"] == str(dq)
    assert problem["said"].startswith("tables.silver.orders.expectations.wrong.sql: cannot be asked of silver.orders: ")
    assert "statte" in problem["said"]
    assert dq.read_text(encoding="utf-8").splitlines()[problem["line"] - 1].strip().startswith("sql: ")


def test_everything_that_disagrees_is_listed_with_its_file_and_its_line(project: Path) -> None:
    contracts = project / "config" / "contracts"
    change(contracts / "gold" / "customer_360.yaml", "decimal(28,2)", "decimal(30,2)")
    change(contracts / "silver" / "orders.yaml", "customers.customer_id", "clients.customer_id")
    change(contracts / "silver" / "products.yaml", "name: brand", "name: label")
    (contracts / "silver" / "user_events.yaml").unlink()
    change(project / "config" / "dq.yaml", "max_shrink: 0.2", "max_shrink: 0.2, min_row: 1")
    shutil.copy(contracts / "silver" / "contacts.yaml", contracts / "silver" / "friends.yaml")
    change(contracts / "silver" / "friends.yaml", "- name: contacts", "- name: friends")

    checked = headwater("check", "--json", cwd=project)
    assert checked.returncode == 1
    found = {(Path(each["file"]).name, each["said"]) for each in json.loads(checked.stdout)["problems"]}
    for file, said in (
        (
            "customer_360.yaml",
            "the function returns total_revenue as decimal(28,2), where the contract has decimal(30,2)",
        ),
        ("orders.yaml", "customer_id.relationships: no contract has clients.customer_id"),
        ("products.yaml", "label: the function lacks label"),
        ("user_events.py", "silver.user_events has no contract"),
        ("dq.yaml", "tables.silver.orders.volume.min_row is not known; did you mean min_rows?"),
        ("friends.yaml", "no function makes this table"),
    ):
        assert any(name == file and said in told for name, told in found), (file, said, found)
    shown = headwater("check", "customer_360", cwd=project)
    line = next(
        number
        for number, text in enumerate((contracts / "gold" / "customer_360.yaml").read_text().splitlines(), 1)
        if text.strip() == "- name: total_revenue"
    )
    assert shown.returncode == 1
    assert shown.stdout.startswith(
        f"config/contracts/gold/customer_360.yaml:{line}: total_revenue: the function returns"
    )


def test_a_table_that_no_contract_describes_is_an_error(project: Path) -> None:
    checked = headwater("check", "silver.order", cwd=project)

    assert checked.returncode == 1
    assert "no contract describes a table silver.order; did you mean silver.orders?" in checked.stderr


@pytest.fixture
def newer(project: Path) -> Path:
    return Path(shutil.copytree(project / "config" / "contracts", project / "newer"))


def test_a_column_that_is_removed_breaks_what_is_made_from_it_by_column(project: Path, newer: Path) -> None:
    change(newer / "silver" / "orders.yaml", AMOUNT_USD, "")

    compared = headwater("diff", "--json", "config/contracts", "newer", cwd=project)
    assert compared.returncode == 1, compared.stderr
    [effect] = json.loads(compared.stdout)["changes"]
    assert (effect["change"]["column"], effect["change"]["kind"], effect["breaking"]) == ("amount_usd", "removed", True)
    broken = {(each["table"], each["column"]) for each in effect["breaks"]}
    assert ("gold.customer_360", "total_revenue") in broken
    assert ("gold.product_perf_daily", "average_price_usd") in broken
    assert ("gold.customer_360", "total_orders") not in broken
    one = ("config/contracts/silver/orders.yaml", "newer/silver/orders.yaml")
    assert json.loads(headwater("diff", "--json", *one, cwd=project).stdout)["changes"] == [effect]


def test_where_no_column_can_be_known_the_table_is_told(project: Path, newer: Path) -> None:
    change(newer / "silver" / "fx_rates.yaml", "physicalType: decimal(20,10)", "physicalType: double")

    compared = headwater("diff", "config/contracts", "newer", cwd=project)
    assert compared.returncode == 1
    assert "silver.orders is made from silver.fx_rates.rate; in which columns, its function's plan does not tell" in (
        compared.stdout
    )


def test_a_change_that_breaks_nobody_ends_well(project: Path, newer: Path) -> None:
    change(newer / "silver" / "orders.yaml", "description: Who ordered.", "description: Whoever ordered.")
    change(newer / "bronze" / "snowflake_orders.yaml", "decimal(20,4)", "decimal(28,6)")

    compared = headwater("diff", "config/contracts", "newer", cwd=project)
    assert compared.returncode == 0, compared.stdout
    assert compared.stdout.splitlines()[-1] == "2 changes, 0 of them breaking"
    assert headwater("diff", "newer", "newer", cwd=project).stdout == "nothing changed\n"


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("        description: Where the order stands.\n", "        required: true\n", "status is required now"),
        ("physicalType: bigint", "physicalType: int", "quantity is narrowed: bigint -> int"),
        ("          minimum: 0\n", "          minimum: 1\n", "quantity: at least 0 -> at least 1"),
        ("value: last_modified_ts", "value: order_date", "cursor: last_modified_ts -> order_date"),
    ],
)
def test_a_tightened_contract_breaks(project: Path, newer: Path, right: str, wrong: str, said: str) -> None:
    change(newer / "silver" / "orders.yaml", right, wrong)

    compared = headwater("diff", "config/contracts", "newer", cwd=project)
    assert compared.returncode == 1
    assert f"BREAKS  {said}" in compared.stdout


def test_things_that_cannot_be_compared_are_an_error(project: Path) -> None:
    mixed = headwater("diff", "config/contracts", "config/contracts/silver/orders.yaml", cwd=project)
    two = headwater("diff", "config/contracts/silver/orders.yaml", "config/contracts/silver/products.yaml", cwd=project)
    none = headwater("diff", "nowhere", "config/contracts", cwd=project)

    assert [each.returncode for each in (mixed, two, none)] == [1, 1, 1]
    assert "compare two files, or two folders" in mixed.stderr
    assert "compare one table" in two.stderr
    assert "nowhere: no contracts" in none.stderr


def test_a_draft_needs_a_source_that_is_there(project: Path) -> None:
    unknown = headwater("infer", "oracle.ORDERS", cwd=project)

    assert unknown.returncode == 1
    assert (
        "oracle.ORDERS is no <source>.<table>, such as snowflake.ORDERS; sources: fx_vendor, kafka," in unknown.stderr
    )
