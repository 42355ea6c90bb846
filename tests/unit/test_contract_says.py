"""What a contract may say is held to; what nothing would hold to is refused, with its file, its line and its key."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from headwater.contracts import Contract, Contracts, load_contracts
from headwater.contracts.contract import Promise
from headwater.contracts.files import ContractFile
from headwater.contracts.odcs import read_contract, read_contracts
from headwater.contracts.types import widens
from headwater.errors import ConfigurationError

FOLDER = Path(__file__).parents[2] / "config" / "contracts"
Edit = Callable[[dict[str, Any]], object]


def edited(table: str, edit: Edit) -> ContractFile:
    """The project's contract of a table (`silver.orders`) after a change of its document."""
    layer, _, name = table.partition(".")
    document = yaml.safe_load((FOLDER / layer / f"{name}.yaml").read_text(encoding="utf-8"))
    edit(document)
    text = yaml.safe_dump(document, sort_keys=False, width=200)
    return ContractFile(f"{layer}/{name}.yaml", layer, name, text)  # type: ignore[arg-type]


def column(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in document["schema"][0]["properties"] if each["name"] == name)


def accepted(table: str, edit: Edit) -> Contract:
    contract, problems = read_contract(edited(table, edit))
    assert problems == []
    assert contract is not None
    return contract


def test_every_rule_on_values_is_read() -> None:
    def edit(document: dict[str, Any]) -> None:
        column(document, "status")["logicalTypeOptions"] = {"minLength": 2, "maxLength": 20, "pattern": "^[A-Z]+$"}
        column(document, "currency")["enum"] = [{"value": "EUR"}, {"value": "USD"}]
        column(document, "order_date")["logicalTypeOptions"] = {
            "minimum": "2020-01-01",
            "exclusiveMaximum": "2030-01-01",
        }
        column(document, "order_id")["unique"] = True

    orders = accepted("silver.orders", edit)
    status, placed = orders.column("status"), orders.column("order_date")
    assert (status.min_length, status.max_length, status.pattern) == (2, 20, "^[A-Z]+$")
    assert status.lengths == ("at least 2 characters long", "at most 20 characters long")
    assert orders.column("currency").allowed == ("EUR", "USD")
    assert placed.bounds == ("at least 2020-01-01", "below 2030-01-01")
    assert orders.column("order_id").unique


def test_freshness_and_volume_are_promised_of_the_table() -> None:
    def edit(document: dict[str, Any]) -> None:
        document["slaProperties"] = [
            {"property": "freshness", "value": 36, "unit": "h", "element": "orders.order_date"}
        ]
        document["schema"][0]["quality"] = [{"metric": "rowCount", "mustBeBetween": [10, 1000]}]

    assert accepted("silver.orders", edit).promise == Promise(timedelta(hours=36), "order_date", 10, 1000)


def set_in(name: str, **keys: Any) -> Edit:
    return lambda document: column(document, name).update(keys)


def options(name: str, **keys: Any) -> Edit:
    return set_in(name, logicalTypeOptions=keys)


def on_top(**keys: Any) -> Edit:
    return lambda document: document.update(keys)


def of_table(**keys: Any) -> Edit:
    return lambda document: document["schema"][0].update(keys)


def promise(what: str, unit: str, element: str | None = None) -> Edit:
    told = {"property": what, "value": 1, "unit": unit} | ({"element": element} if element else {})
    return on_top(slaProperties=[told])


RULE = {"metric": "invalidValues", "arguments": {"validValues": ["A"]}, "mustBe": 0}
NO_NULLS = {"metric": "nullValues", "mustBe": 0}
WARNS = {**RULE, "severity": "warning"}
TEXT = {"type": "text", "description": "x", "name": "y"}
ROWS = {"metric": "rowCount", "mustBeBetween": [9, 3]}
INTS = {"logicalType": "integer", "physicalType": "int"}


def own(role: str, name: str) -> Edit:
    return of_table(customProperties=[{"property": role, "value": name}])


@pytest.mark.parametrize(
    ("table", "edit", "said"),
    [
        ("silver.orders", on_top(apiVersion="v3.0.2"), "apiVersion is v3.0.2; contracts are read as v3.1.0"),
        ("silver.orders", on_top(status="draft"), "status is draft, but a contract that lies here is in force"),
        ("silver.orders", on_top(servers=[]), "servers is not heeded here, and nothing would hold to it: remove it; where"),
        ("silver.orders", on_top(roles=[{"role": "reader"}]), "roles is not heeded here"),
        ("silver.orders", on_top(customProperties=[{"property": "a", "value": 1}]), "customProperties is not heeded here"),
        ("silver.orders", of_table(relationships=[]), r"schema\[0\].relationships is not heeded here.*write them at the column"),
        ("silver.orders", set_in("status", encryptedName="x"), "status.encryptedName is not heeded here.*by classification"),
        ("silver.orders", set_in("status", transformLogic="upper"), "status.transformLogic is not heeded here"),
        ("silver.orders", set_in("status", physicalName="s"), "status.physicalName is not heeded here"),
        ("silver.orders", options("status", format="uuid"), "status.logicalTypeOptions.format is not heeded here.*pattern"),
        ("silver.orders", options("quantity", multipleOf=5), "quantity.logicalTypeOptions.multipleOf is not heeded here"),
        ("silver.orders", options("order_date", timezone=True), "order_date.logicalTypeOptions.timezone is not heeded.*UTC"),
        ("silver.behavior", options("urls", minItems=1), "urls.logicalTypeOptions.minItems is not heeded here"),
        ("silver.orders", options("order_date", minimum="soon"), "order_date.logicalTypeOptions.minimum: 'soon' is no timestamp"),
        ("silver.orders", options("quantity", minimum=5, maximum=1), "the minimum is above the maximum, so no value fits"),
        ("silver.orders", options("status", minLength=5, maxLength=1), "minLength is above maxLength"),
        ("silver.orders", options("status", pattern="["), "status.logicalTypeOptions.pattern is no regular expression"),
        ("silver.orders", options("status", pattern="^(?!X)"), "pattern looks around or back, which not every engine can"),
        ("silver.orders", set_in("status", logicalType="integer"), "status.logicalType is integer, but string is string"),
        ("silver.orders", set_in("status", classification="secret"), "status.classification is secret; known: pii:email,"),
        ("silver.orders", set_in("status", quality=[NO_NULLS]), r"status.quality\[0\]: of a column only"),
        ("silver.orders", set_in("status", quality=[{**RULE, "mustBe": 3}]), r"status.quality\[0\]: of a column only"),
        ("silver.orders", set_in("status", quality=[WARNS]), r"status.quality\[0\].severity is not heeded"),
        ("silver.orders", set_in("status", quality=[RULE], enum=[{"value": "A"}]), "the allowed values are said twice"),
        ("silver.orders", set_in("status", primaryKeyPosition=2), "status.primaryKeyPosition without primaryKey: true"),
        ("silver.orders", set_in("status", primaryKey=True, primaryKeyPosition=1), "order_id, status share a place"),
        ("silver.orders", set_in("status", relationships=[{"to": "a.b.c"}]), "status.relationships: a.b.c should read"),
        ("silver.behavior", set_in("urls", items=INTS), "urls.items are int, but the"),
        ("silver.orders", set_in("order_id", primaryKey=False), "no column is primaryKey: Silver keeps one row for each key"),
        ("silver.orders", on_top(team=[{"username": "me"}]), "team.name is missing"),
        ("silver.orders", promise("latency", "d"), "only freshness is held to"),
        ("silver.orders", promise("freshness", "y"), "a number with the unit d, h"),
        ("silver.orders", promise("freshness", "d", "status"), "status is no date"),
        ("gold.customer_360", promise("freshness", "d"), "freshness needs an element"),
        ("silver.orders", of_table(quality=[{"metric": "rowCount", "mustBe": 5}]), r"quality\[0\]: a rowCount mustBeBetween"),
        ("silver.orders", of_table(quality=[TEXT]), r"quality\[0\]: of a whole table only"),
        ("silver.orders", of_table(quality=[ROWS]), "the largest rowCount is below the smallest"),
        ("bronze.snowflake_orders", set_in("status", unique=True), "status.unique: Bronze is as the source told it"),
        ("bronze.snowflake_orders", set_in("status", quality=[RULE]), "status.quality: Bronze is as the source told it"),
        ("bronze.snowflake_orders", options("quantity", minimum=0), "quantity.logicalTypeOptions: Bronze is as the source"),
        ("bronze.snowflake_orders", set_in("status", partitioned=True), "status.partitioned: Bronze is as the source told it"),
        ("bronze.snowflake_orders", promise("freshness", "d"), "Bronze is not judged"),
        ("gold.customer_360", own("deletion", "gone"), "deletion: Gold has no versions"),
        ("gold.customer_360", own("tieBreak", "email"), "tieBreak: nothing chooses among"),
    ],
)  # fmt: skip
def test_what_nothing_would_hold_to_is_refused(table: str, edit: Edit, said: str) -> None:
    _, problems = read_contract(edited(table, edit))

    assert problems, "accepted without a word"
    assert any(re.search(said, problem.said) for problem in problems), problems


def test_a_problem_says_its_line() -> None:
    file = edited("silver.orders", set_in("status", physicalType="money", classification="secret"))
    _, problems = read_contract(file)

    lines = file.text.splitlines()
    [problem] = problems
    assert problem.line is not None
    assert lines[problem.line - 1].strip() == "physicalType: money"
    assert problem.file == "silver/orders.yaml"


def test_everything_that_is_wrong_with_a_file_is_said_at_once() -> None:
    def edit(document: dict[str, Any]) -> None:
        document["status"] = "retired"
        column(document, "status")["classification"] = "secret"
        column(document, "quantity")["logicalTypeOptions"] = {"minimum": 9, "maximum": 1}

    file = edited("silver.orders", edit)
    contract, problems = read_contract(file)
    assert contract is not None
    assert [problem.said.split(" ")[0] for problem in problems] == [
        "status",
        "quantity.logicalTypeOptions:",
        "status.classification",
    ]


def with_parent(edit: Edit) -> list[str]:
    """What is wrong with the projects' contracts after a change of silver.orders."""
    files = [
        ContractFile(str(path), path.parent.name, path.stem, path.read_text(encoding="utf-8"))  # type: ignore[arg-type]
        for path in sorted(FOLDER.rglob("*.yaml"))
        if (path.parent.name, path.stem) != ("silver", "orders")
    ]
    return [problem.said for problem in read_contracts([*files, edited("silver.orders", edit)]).problems]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("clients.customer_id", "customer_id.relationships: no contract has clients.customer_id"),
        ("customers.id", "customer_id.relationships: no contract has customers.id"),
        ("customers.email", "customer_id.relationships: customers.email is neither the key of customers nor unique"),
        ("snowflake_customers.customer_id", "bronze.snowflake_customers is no Silver table"),
        ("products.active", "customer_id.relationships: it is string, but products.active is boolean"),
    ],
)
def test_a_foreign_key_refers_to_the_key_of_a_silver_table_in_its_type(to: str, said: str) -> None:
    problems = with_parent(set_in("customer_id", relationships=[{"to": to}]))

    assert any(said in problem for problem in problems), problems


def test_the_first_problem_is_raised_and_the_others_are_counted(tmp_path: Path) -> None:
    (tmp_path / "silver").mkdir()
    file = edited("silver.fx_rates", set_in("rate", classification="secret", physicalName="r", unique=True))
    (tmp_path / "silver" / "fx_rates.yaml").write_text(file.text, encoding="utf-8")

    with pytest.raises(
        ConfigurationError, match=r"fx_rates\.yaml: rate\.physicalName is not heeded.*\(and 1 more: `head"
    ):
        load_contracts(tmp_path)


def test_every_computed_table_has_an_owner_and_every_shipped_contract_is_in_force(contracts: Contracts) -> None:
    assert all(contract.owner for contract in contracts.values())
    assert all(contract.held for contract in contracts.values())


@pytest.mark.parametrize(
    ("narrow", "wide", "held"),
    [
        ("int", "bigint", True),
        ("bigint", "int", False),
        ("date", "timestamp", True),
        ("decimal(10,2)", "decimal(12,2)", True),
        ("decimal(10,2)", "decimal(12,4)", True),
        ("decimal(10,2)", "decimal(10,4)", False),
        ("decimal(18,2)", "double", False),
        ("array<int>", "array<bigint>", True),
        ("string", "string", True),
    ],
)
def test_a_type_is_wider_where_no_value_is_lost(narrow: str, wide: str, held: bool) -> None:
    assert widens(narrow, wide) is held
