"""docs/tables/ says what the contracts say."""

from pathlib import Path

import pytest
from scripts.table_pages import FOLDER, LAYERS, pages

from headwater.contracts import Contracts
from headwater.transform.table import load_tables


@pytest.fixture(scope="module")
def made(contracts: Contracts) -> dict[str, str]:
    return pages(contracts, load_tables())


@pytest.mark.parametrize("layer", LAYERS)
def test_a_page_is_what_the_contracts_make_of_it(made: dict[str, str], layer: str):
    stands = (FOLDER / f"{layer}.md").read_text(encoding="utf-8")

    assert stands == made[f"{layer}.md"], "stale: run `.venv/bin/python -m scripts.table_pages`"


def test_there_is_no_other_page(made: dict[str, str]):
    assert {path.name for path in Path(FOLDER).iterdir()} == set(made)


def test_every_table_and_column_has_its_line_and_every_link_its_target(made: dict[str, str], contracts: Contracts):
    for contract in contracts.values():
        page = made[f"{contract.layer}.md"]
        section = page.split(f"\n## {contract.name}\n")[1].split("\n## ")[0]
        for column in contract.columns:
            assert f"| `{column.name}` | {column.type} |" in section, f"{contract.table}.{column.name}"
        if contract.layer == "bronze":
            assert "Comes from the source `" in section


def test_a_change_of_a_contract_makes_its_page_stale(contracts: Contracts, made: dict[str, str]):
    fewer = {name: contract for name, contract in contracts.items() if name != "kafka_user_events"}

    assert pages(fewer | {"kafka_user_events": contracts["kafka_orders_events"]}, load_tables()) != made
