"""Who a key of `headwater forget` means, and what of other tables refers to them."""

import pytest

from headwater.contracts import Contracts
from headwater.errors import ConfigurationError
from headwater.run.person import person
from headwater.transform.table import load_tables


@pytest.mark.parametrize("told", ["customers=C42", "silver.customers=C42", "customers.customer_id = C42 "])
def test_a_person_is_named_by_table_and_key(contracts: Contracts, told: str) -> None:
    found = person(told, contracts, load_tables())

    assert (found.contract.table, found.column, found.key) == ("silver.customers", "customer_id", "C42")
    assert [each.name for each in found.bronze] == ["snowflake_customers"]


def test_a_person_of_bronze_alone_is_named_by_the_column_that_is_theirs(contracts: Contracts) -> None:
    found = person("external_employees.employee_id=E7", contracts, load_tables())

    assert found.references(contracts["external_performance_reviews"]) == {"employee_id"}
    assert person("salesforce_leads=00Q1", contracts, load_tables()).column == "id"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("customers", "--key takes TABLE=KEY, such as customers=C42"),
        ("customers= ", "--key takes TABLE=KEY"),
        ("custmers=C42", "no contract describes a table custmers; did you mean customers?"),
        ("orders=O1", "silver.orders holds no people: its contract classifies no column as pii:"),
        ("fx_rates=1", "silver.fx_rates holds no people"),
        (
            "customers.email=a@b.example",
            "silver.customers.email is not the key: its rows are told apart by customer_id",
        ),
        ("snowflake_customers=C42", "bronze.snowflake_customers is what is made into customers: name a Silver table"),
        ("customer_360=C42", "gold.customer_360 is made of customers, accounts, orders, behavior: name a Silver table"),
        ("external_employees=E7", "by their place in a file: say whose you mean by external_employees.employee_id=…"),
        (
            "external_employees.city=Ulm",
            "by their place in a file: say whose you mean by external_employees.employee_id",
        ),
    ],
)
def test_what_means_nobody_is_refused_and_says_why(contracts: Contracts, told: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        person(told, contracts, load_tables())

    assert says in str(refused.value)


def test_what_refers_to_a_person_is_read_from_the_contracts(contracts: Contracts) -> None:
    functions = load_tables()

    def refer(told: str) -> dict[str, set[str]]:
        found = person(told, contracts, functions)
        refers = {name: set(found.references(contract)) for name, contract in contracts.items()}
        return {name: columns for name, columns in refers.items() if columns}

    customer = refer("customers=C42")
    assert customer["snowflake_orders"] == customer["orders"] == {"customer_id"}
    assert customer["kafka_orders_events"] == {"customer_id", "kafka_key"}
    assert "products" not in customer
    contact = refer("contacts=0031")
    assert contact["salesforce_tasks"] == {"who_id", "what_id", "account_id"}
    assert contact["salesforce_leads"] == {"converted_account_id", "converted_contact_id"}
    assert "id" not in contact["salesforce_cases"]
    assert refer("accounts=0011")["opportunities"] == {"account_id"}
