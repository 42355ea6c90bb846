"""Contracts say what is true of the tables, and a wrong one says where it is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import open_data_contract_standard
import pyarrow as pa
import pytest
import yaml
from pyspark.sql import SparkSession

from headwater.contracts import Contracts, load_contracts
from headwater.contracts.types import arrow_type
from headwater.errors import ConfigurationError

FOLDER = Path(__file__).parent.parent.parent / "config" / "contracts"
FILES = sorted(FOLDER.rglob("*.yaml"))

PERSONAL = {
    "email": "pii:email", "primary_email": "pii:email", "phone": "pii:phone", "first_name": "pii:name",
    "last_name": "pii:name", "address": "pii:address", "billing_street": "pii:address",
    "supplied_name": "pii:name", "supplied_email": "pii:email", "city": "pii:address", "billing_city": "pii:address",
    "billing_country": "pii:address", "urls": "pii:embedded", "metadata": "pii:embedded", "page_url": "pii:embedded",
    **{f"url_{number}": "pii:embedded" for number in range(1, 13)},
}  # fmt: skip
SENSITIVE = {
    "annual_revenue", "amount", "amount_usd", "probability", "total_revenue", "salary", "score", "comments", "goals",
    "description",
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_contract_is_one_by_the_standard(path: Path):
    schema = Path(open_data_contract_standard.__file__).with_name("schema.json").read_text(encoding="utf-8")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads(schema))
    assert document["apiVersion"] == "v3.1.0"


def test_every_table_has_its_contract_under_its_own_path(contracts: Contracts):
    assert {(each.layer, each.path) for each in contracts.values()} == {
        ("bronze", "bronze/snowflake/orders"),
        ("bronze", "bronze/snowflake/customers"),
        ("bronze", "bronze/snowflake/products"),
        ("bronze", "bronze/redshift/behavior"),
        ("bronze", "bronze/crm/salesforce/accounts"),
        ("bronze", "bronze/crm/salesforce/contacts"),
        ("bronze", "bronze/crm/salesforce/opportunities"),
        ("bronze", "bronze/crm/salesforce/leads"),
        ("bronze", "bronze/crm/salesforce/cases"),
        ("bronze", "bronze/crm/salesforce/tasks"),
        ("bronze", "bronze/crm/salesforce/solutions"),
        ("bronze", "bronze/external/inventory"),
        ("bronze", "bronze/external/purchasing"),
        ("bronze", "bronze/external/employees"),
        ("bronze", "bronze/external/performance_reviews"),
        ("bronze", "bronze/external/transactions"),
        ("bronze", "bronze/external/gl_accounts"),
        ("bronze", "bronze/external/vendor_products"),
        ("bronze", "bronze/kafka/orders_events"),
        ("bronze", "bronze/kafka/user_events"),
        ("bronze", "bronze/kafka/inventory_updates"),
        ("bronze", "bronze/fx/rates"),
        *(
            ("silver", f"silver/{name}")
            for name in (
                "orders", "customers", "products", "behavior", "accounts", "contacts", "opportunities", "fx_rates",
                "order_events", "user_events", "inventory",
            )
        ),
        *(
            ("gold", f"gold/{name}")
            for name in ("customer_360", "product_perf_daily", "revenue_by_geography", "revenue_by_industry")
        ),
    }  # fmt: skip


def test_every_table_and_column_is_described_and_has_an_owner(contracts: Contracts):
    for contract in contracts.values():
        assert contract.description, contract.table
        assert contract.owner, contract.table
        for column in contract.columns:
            assert column.description, f"{contract.table}.{column.name}"


def test_every_silver_and_gold_table_has_a_key_and_every_silver_table_a_cursor(contracts: Contracts):
    for contract in contracts.values():
        if contract.layer != "bronze":
            assert contract.key, contract.table
        if contract.layer == "silver":
            assert contract.cursor, contract.table


def test_what_tells_of_people_and_money_is_classified_everywhere(contracts: Contracts):
    for contract in contracts.values():
        for column in contract.columns:
            expected = PERSONAL.get(column.name) or ("sensitive" if column.name in SENSITIVE else None)
            assert column.classification == expected, f"{contract.table}.{column.name}"


def test_the_foreign_keys_are_these(contracts: Contracts):
    assert {
        (each.table, key.column, f"{key.parent}.{key.parent_column}")
        for each in contracts.values()
        for key in each.foreign_keys
    } == {
        ("silver.orders", "customer_id", "customers.customer_id"),
        ("silver.orders", "product_id", "products.product_id"),
        ("silver.behavior", "customer_id", "customers.customer_id"),
        ("silver.contacts", "account_id", "accounts.account_id"),
        ("silver.opportunities", "account_id", "accounts.account_id"),
    }


def test_rules_on_values_are_read(contracts: Contracts):
    assert contracts["order_events"].column("event_type").allowed == ("PLACED", "PAID", "SHIPPED", "CANCELLED")
    probability, rate = contracts["opportunities"].column("probability"), contracts["fx_rates"].column("rate")
    assert (probability.minimum, probability.maximum) == (0, 100)
    assert (rate.minimum, rate.exclusive_minimum) == (None, 0)


def test_salesforce_tables_know_their_deletions_and_silver_does_not_keep_the_mark(contracts: Contracts):
    for name in ("accounts", "contacts", "opportunities"):
        assert contracts[name].deletion == "is_deleted"
        assert "is_deleted" not in contracts[name].column_names
        assert "is_deleted" in contracts[f"salesforce_{name}"].column_names


def test_spark_reads_the_schema_as_arrow_does(spark: SparkSession, contracts: Contracts):
    for contract in contracts.values():
        empty = spark.createDataFrame([], contract.ddl).toArrow()
        assert empty.schema.names == list(contract.column_names)
        assert dict(spark.createDataFrame([], contract.ddl).dtypes) == {
            each.name: each.type for each in contract.columns
        }


def test_a_type_that_the_lake_cannot_keep_is_refused():
    assert arrow_type("array<decimal(18,2)>") == pa.list_(pa.field("element", pa.decimal128(18, 2)))
    with pytest.raises(ValueError, match="'varchar' is not one of string, boolean"):
        arrow_type("varchar")


# Wrong contracts

GOOD = (FOLDER / "silver" / "fx_rates.yaml").read_text(encoding="utf-8")


@pytest.fixture
def contract_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the text as the contract of silver.fx_rates, and gives the folder of contracts."""

    def write(text: str) -> Path:
        (tmp_path / "silver").mkdir(exist_ok=True)
        (tmp_path / "silver" / "fx_rates.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("kind: DataContract", "kind: [", r"fx_rates\.yaml: not YAML: "),
        ("kind: DataContract", "kind: Contract", r"fx_rates\.yaml: kind: 'Contract' is not one of"),
        ("version: 1.0.0\n", "", r"fx_rates\.yaml: the document: 'version' is a required property"),
        ("        required: true\n", "        requird: true\n", r"fx_rates\.yaml: schema\[0\]\.properties\[0\]: .*'requird'"),
        ("physicalType: decimal(20,10)", "physicalType: money", r"fx_rates\.yaml: rate\.physicalType: 'money' is not one"),
        ("    physicalName: silver/fx_rates\n", "", r"fx_rates\.yaml: schema\[0\]\.physicalName is missing"),
        ("  - name: fx_rates", "  - name: rates", r"fx_rates\.yaml: schema\[0\]\.name is rates, but the file is named fx_rates"),
        ("property: cursor", "property: cursors", r"fx_rates\.yaml: customProperties has cursors; known are cursor, tieBreak"),
        ("value: as_of_time", "value: as_of", r"fx_rates\.yaml: cursor names the column as_of, which properties does not have"),
        ("      - name: rate\n", "      - name: date\n", r"fx_rates\.yaml: properties has the column date more than once"),
        (
            "      - name: rate\n", "      - name: rate\n        relationships: [{to: vendors.rate}]\n",
            r"fx_rates\.yaml: rate\.relationships: no contract has vendors\.rate",
        ),
    ],
)  # fmt: skip
def test_a_wrong_contract_names_its_file_and_key(
    contract_file: Callable[[str], Path], right: str, wrong: str, message: str
):
    assert right in GOOD
    with pytest.raises(ConfigurationError, match=message):
        load_contracts(contract_file(GOOD.replace(right, wrong, 1)))


def test_a_name_exists_once_over_all_layers(contract_file: Callable[[str], Path]):
    folder = contract_file(GOOD)
    (folder / "gold").mkdir()
    (folder / "gold" / "fx_rates.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"the name fx_rates is taken by silver\.fx_rates; choose another"):
        load_contracts(folder)


def test_a_folder_without_contracts_says_so(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="no contracts; it should hold bronze/, silver/ and gold/"):
        load_contracts(tmp_path)
