"""A drafted contract says what the rows show, holds no personal value, and counts only once somebody has read it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import yaml

from headwater.contracts.draft import Drafted, draft
from headwater.contracts.files import ContractFile
from headwater.contracts.odcs import read_contract
from headwater.contracts.standard import is_of_the_standard

ROWS = 40
NOON = datetime(2024, 11, 1, 12, tzinfo=UTC)


def drafted(layer: Any = "silver", **columns: Any) -> dict[str, Any]:
    text = draft(Drafted(layer, "sales", f"{layer}/sales", "shop.SALES", pa.table(columns)))
    document = yaml.safe_load(text)
    assert is_of_the_standard(document)
    return dict(document)


def column(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in document["schema"][0]["properties"] if each["name"] == name)


def texts(*values: str | None) -> list[str | None]:
    """These values over and over, one for each row."""
    return [values[number % len(values)] for number in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "spark"),
    [
        (texts("true", "False"), "boolean"),
        (texts("1", "-20"), "bigint"),
        (texts("007", "12"), "string"),
        (texts("1.25", "3"), "decimal(20,4)"),
        (texts("1197495.26", "5.752228828E7"), "decimal(20,4)"),
        (texts("0.123456", "1"), "decimal(22,6)"),
        (texts("2024-11-01"), "date"),
        (texts("2024-02-30"), "string"),
        (texts("2024-11-01T10:00:00Z", "2024-11-01 10:00:00.5"), "timestamp"),
        (texts("a", "1"), "string"),
        (texts(None, ""), "string"),
        ([str(number) for number in range(ROWS - 1)] + ["many"], "bigint"),
        (pa.array([1] * ROWS, pa.int8()), "bigint"),
        (pa.array([Decimal("1.5")] * ROWS, pa.decimal128(10, 2)), "decimal(20,4)"),
        (pa.array([1.5] * ROWS), "double"),
        (pa.array([date(2024, 11, 1)] * ROWS), "date"),
        (pa.array([NOON] * ROWS), "timestamp"),
        (pa.array([["a"]] * ROWS), "string"),
        (pa.nulls(ROWS), "string"),
    ],
)
def test_the_type_is_what_nearly_all_values_are(values: Any, spark: str):
    assert column(drafted(value=values), "value")["physicalType"] == spark


def test_what_is_never_missing_is_required_and_the_share_of_the_others_is_told():
    document = drafted(order_id=[f"O{number}" for number in range(ROWS)], note=texts("x", None))

    assert column(document, "order_id")["required"] is True
    assert "required" not in column(document, "note")
    assert column(document, "note")["description"] == "Seen: missing in 50.0%, 1 different value."


def test_a_value_of_another_type_is_counted_and_the_column_is_not_required():
    quantity = column(drafted(quantity=[str(number) for number in range(ROWS - 1)] + ["many"]), "quantity")

    assert "1 that are no bigint" in quantity["description"]
    assert "required" not in quantity


def test_the_key_is_the_column_that_tells_rows_apart_by_its_name_and_nearly_always():
    found = drafted(
        noted=[f"n{number}" for number in range(ROWS)],
        order_id=[None, "O1", *(f"O{number}" for number in range(1, ROWS - 1))],
    )

    assert column(found, "order_id")["primaryKeyPosition"] == 1
    assert "primaryKey" not in column(found, "noted")


def test_several_columns_are_a_key_where_no_one_is():
    days = [date(2024, 11, 1) + timedelta(days=number // 2) for number in range(ROWS)]
    found = drafted(shop_id=texts("A", "B"), day=days, units=[1] * ROWS)

    key = [each["name"] for each in found["schema"][0]["properties"] if each.get("primaryKey")]
    assert key == ["shop_id", "day"]


def test_few_values_that_each_come_often_are_the_only_ones_allowed():
    found = drafted(state=texts("OPEN", "DONE"), place=[f"town {number}" for number in range(ROWS)])

    assert column(found, "state")["quality"][0]["arguments"] == {"validValues": ["DONE", "OPEN"]}
    assert "quality" not in column(found, "place")


def test_a_limit_that_the_next_row_may_break_is_told_and_not_drafted():
    found = drafted(units=list(range(1, ROWS + 1)), delta=list(range(-1, ROWS - 1)), percent_off=texts("5", "90"))

    assert column(found, "units")["logicalTypeOptions"] == {"minimum": 0}
    assert "from 1 to 40" in column(found, "units")["description"]
    assert "logicalTypeOptions" not in column(found, "delta")
    assert column(found, "percent_off")["logicalTypeOptions"] == {"minimum": 0, "maximum": 100}


def test_what_looks_personal_by_name_or_by_value_is_classified_and_none_of_its_values_is_written():
    rows = pa.table(
        {
            "contact": texts("ann@example.com", "bob@example.com"),
            "reach": texts("+44 20 7946 0958", "+1 (555) 010-9999"),
            "last_name": texts("Smith", "Jones"),
            "billing_street": texts("1 High St", "2 Low Rd"),
            "annual_revenue": texts("1234567", "7654321"),
            "industry": texts("Retail", "Energy"),
        }
    )
    text = draft(Drafted("silver", "people", "silver/people", "crm.People", rows))

    found = {each["name"]: each.get("classification") for each in yaml.safe_load(text)["schema"][0]["properties"]}
    assert found == {
        "contact": "pii:email",
        "reach": "pii:phone",
        "last_name": "pii:name",
        "billing_street": "pii:address",
        "annual_revenue": "sensitive",
        "industry": None,
    }
    for value in ("ann@", "7946", "555", "Smith", "High St", "1234567", "7654321"):
        assert value not in text
    assert "Retail" in text


def test_the_cursor_is_the_timestamp_that_changes_with_the_row():
    found = drafted(created_ts=[NOON] * ROWS, last_modified_ts=[NOON] * ROWS, id=[str(n) for n in range(ROWS)])

    assert found["schema"][0]["customProperties"] == [{"property": "cursor", "value": "last_modified_ts"}]


@pytest.mark.parametrize("layer", ["bronze", "silver"])
def test_a_draft_is_in_force_once_its_status_says_so_and_not_before(layer: Any):
    rows = pa.table({"sale_id": [f"S{n}" for n in range(ROWS)], "state": texts("OPEN", "DONE"), "units": [1] * ROWS})
    text = draft(Drafted(layer, "sales", f"{layer}/sales", "shop.SALES", rows))

    _, problems = read_contract(ContractFile("sales.yaml", layer, "sales", text))
    assert [problem.said for problem in problems] == [
        "status is draft, but a contract that lies here is in force; set it to active or deprecated"
    ]
    contract, problems = read_contract(
        ContractFile("sales.yaml", layer, "sales", text.replace("status: draft", "status: active"))
    )
    assert problems == []
    assert contract is not None
    assert contract.key == ("sale_id",)


def test_bronze_is_as_the_source_tells_it_and_gets_no_rules_on_values():
    found = drafted("bronze", state=texts("OPEN", "DONE"), units=[1] * ROWS)

    assert all("quality" not in each for each in found["schema"][0]["properties"])
    assert all("logicalTypeOptions" not in each for each in found["schema"][0]["properties"])


def test_a_table_without_rows_gives_its_columns():
    found = drafted(order_id=pa.array([], pa.string()), units=pa.array([], pa.int64()))

    assert [each["name"] for each in found["schema"][0]["properties"]] == ["order_id", "units"]
    assert all("required" not in each for each in found["schema"][0]["properties"])
