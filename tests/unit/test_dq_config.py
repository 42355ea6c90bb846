"""`dq.yaml`: what it says is what is judged, and what it misspells stops the run before anything is read."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from headwater.contracts import Contracts
from headwater.contracts.contract import Promise
from headwater.contracts.schema_contracts import in_force
from headwater.errors import ConfigurationError
from headwater.quality.blocks import SqlExpectation
from headwater.quality.limits import Limits, load_limits, read_limits

PROJECT = Path(__file__).parent.parent.parent


def loaded(folder: Path, contracts: Contracts, text: str) -> Limits:
    path = folder / "dq.yaml"
    path.write_text(text, encoding="utf-8")
    return load_limits(path, contracts)


def test_the_projects_own_limits_cover_every_table_that_is_judged(contracts: Contracts) -> None:
    limits = load_limits(PROJECT / "config" / "dq.yaml", contracts)

    assert set(limits.tables) == {name for name, contract in contracts.items() if contract.layer != "bronze"}
    assert limits.tables["orders"].freshness is not None
    assert limits.tables["orders"].unpriced is not None
    assert limits.tables["fx_rates"].freshness is not None
    assert limits.tables["fx_rates"].freshness.max_age == timedelta(days=7)
    assert limits.timeout > timedelta(0)


def test_the_block_of_schema_contracts_loads_as_it_is_usually_written(tmp_path: Path, contracts: Contracts) -> None:
    limits = loaded(
        tmp_path,
        contracts,
        """
        schema_contracts:
          enabled: true
          validation_mode: strict
          contracts_path: s3://bucket/schema_definitions/
          required_tables:
            - silver.orders
            - silver.behavior
        """,
    )

    assert limits.schema_contracts.enabled
    assert limits.schema_contracts.contracts_path == "s3://bucket/schema_definitions/"
    assert limits.schema_contracts.required_tables == ("silver.orders", "silver.behavior")


def test_loose_and_off_are_read(tmp_path: Path, contracts: Contracts) -> None:
    loose = loaded(tmp_path, contracts, "schema_contracts: {validation_mode: loose}")
    off = loaded(tmp_path, contracts, "schema_contracts: {enabled: false}")

    assert (loose.schema_contracts.enabled, loose.schema_contracts.validation_mode) == (True, "loose")
    assert not off.schema_contracts.enabled
    assert in_force(contracts, loose.schema_contracts) is contracts
    unheld = in_force(contracts, off.schema_contracts)
    assert unheld["orders"].foreign_keys == ()
    assert unheld["orders"].column("amount").classification == "sensitive"
    assert unheld["snowflake_orders"] == contracts["snowflake_orders"], "what the source must have is still asked for"


def promising(contracts: Contracts) -> Contracts:
    """The contracts, where the one of silver.orders promises its freshness and its volume."""
    promise = Promise(max_age=timedelta(hours=6), of="order_date", min_rows=7)
    return {**contracts, "orders": replace(contracts["orders"], promise=promise)}


def test_what_a_contract_promises_is_the_limit(tmp_path: Path, contracts: Contracts) -> None:
    text = """
        defaults: {volume: {min_rows: 1, max_shrink: 0.5}}
        tables: {silver.orders: {freshness: {severity: warning}, volume: {max_rows: 90}}}
        """
    orders = loaded(tmp_path, promising(contracts), text).tables["orders"]

    assert orders.freshness is not None
    assert (orders.freshness.max_age, orders.freshness.column) == (timedelta(hours=6), "order_date")
    assert orders.freshness.severity == "warning"
    assert (orders.volume.min_rows, orders.volume.max_rows, orders.volume.max_shrink) == (7, 90, 0.5)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("freshness: {max_age: 9d}", "freshness.max_age"),
        ("freshness: null", "freshness"),
        ("volume: {min_rows: 0}", "volume.min_rows"),
    ],
)
def test_what_a_contract_promises_is_said_there_alone(
    tmp_path: Path, contracts: Contracts, block: str, key: str
) -> None:
    said = rf"dq\.yaml:1: tables\.silver\.orders\.{key}: the contract of silver\.orders promises it already"
    with pytest.raises(ConfigurationError, match=said):
        loaded(tmp_path, promising(contracts), f"tables: {{silver.orders: {{{block}}}}}")


def test_everything_that_is_wrong_is_found_at_once(contracts: Contracts) -> None:
    document = {
        "tables": {
            "silver.orders": {"refused": {"quantity:rang": 0, "statuz:type": 0}},
            "silver.customers": {"unpriced": {"max_share": 0.1}},
        }
    }
    _, found = read_limits(document, contracts)

    assert [key for key, _ in found] == [
        "tables.silver.customers.unpriced", "tables.silver.orders.refused", "tables.silver.orders.refused",
    ]  # fmt: skip


def test_a_table_overrides_the_defaults_key_by_key(tmp_path: Path, contracts: Contracts) -> None:
    limits = loaded(
        tmp_path,
        contracts,
        """
        defaults:
          freshness: {max_age: 1d}
          refused: {default: 0.02, parse: 0.01}
          volume: {min_rows: 5}
        tables:
          silver.orders:
            freshness: {max_age: 12h, severity: warning}
            refused: {"quantity:range": 0.5}
            volume: {max_shrink: 0.1}
          silver.customers:
            freshness: null
          gold.customer_360: {freshness: null}
          gold.product_perf_daily: {freshness: {column: order_date}}
          gold.revenue_by_geography: {freshness: null}
          gold.revenue_by_industry: {freshness: null}
        """,
    )

    orders, behavior = limits.tables["orders"], limits.tables["behavior"]
    assert orders.freshness is not None
    assert (orders.freshness.max_age, orders.freshness.severity) == (timedelta(hours=12), "warning")
    assert (orders.volume.min_rows, orders.volume.max_shrink) == (5, 0.1)
    assert [orders.refused_share(rule) for rule in ("quantity:range", "parse", "status:type")] == [0.5, 0.01, 0.02]
    assert behavior.freshness is not None
    assert behavior.freshness.max_age == timedelta(days=1)
    assert limits.tables["customers"].freshness is None


def test_without_a_share_for_a_rule_no_row_may_break_it(tmp_path: Path, contracts: Contracts) -> None:
    limits = loaded(tmp_path, contracts, "tables: {silver.orders: {refused: {parse: 0.1}}}")

    assert limits.tables["orders"].refused_share("quantity:range") == 0
    only = loaded(tmp_path, contracts, "defaults: {refused: {parse: 0.1}}")
    assert only.tables["orders"].refused_share("quantity:range") == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tabels: {}", r"tabels is not known; did you mean tables\?"),
        ("tables: {silver.order: {}}", r"tables\.silver\.order: .*did you mean silver\.orders\?"),
        ("tables: {snowflake_orders: {}}", r"snowflake_orders is no table with a Silver or Gold contract"),
        ("tables: {silver.orders: {freshnes: {}}}", r"silver\.orders\.freshnes is not known; did you mean freshness\?"),
        ("tables: {silver.orders: {freshness: {max_age: 2d, colum: x}}}", r"freshness\.colum .*did you mean column\?"),
        (
            "tables: {silver.orders: {freshness: {max_age: 2d, column: order_dat}}}",
            r"order_dat is no column of silver\.orders; did you mean order_date\?",
        ),
        (
            "tables: {silver.orders: {freshness: {max_age: 2d, severity: critcal}}}",
            r"freshness\.severity: Input should be 'critical' or 'warning'",
        ),
        ("tables: {silver.orders: {freshness: {max_age: 2}}}", r"max_age: 2 is not a duration such as 30s"),
        ("tables: {silver.orders: {freshness: {max_age: 2d, column: status}}}", r"needs a date or timestamp column"),
        ("tables: {gold.customer_360: {freshness: {max_age: 2d}}}", r"needs a date or timestamp column"),
        ("tables: {silver.orders: {refused: {'quantity:rang': 0}}}", r"no row rule .*did you mean quantity:range\?"),
        ("tables: {silver.orders: {refused: {default: 1.5}}}", r"refused\.default: .*less than or equal to 1"),
        ("tables: {silver.customers: {unpriced: {max_share: 0}}}", r"silver\.customers has no column amount_usd"),
        ("tables: {silver.orders: {volume: {min_rows: 9, max_rows: 3}}}", r"max_rows is below min_rows"),
        ("schema_contracts: {validation_mode: lax}", r"validation_mode: Input should be 'strict' or 'loose'"),
        (
            "schema_contracts: {required_tables: [silver.order]}",
            r"required_tables: silver\.order has no contract; did you mean silver\.orders\?; write silver/order\.yaml",
        ),
        ("schema_contracts: {enable: false}", r"schema_contracts\.enable is not known; did you mean enabled\?"),
        (
            "tables: {silver.orders: {daily: {column: order_dat}}}",
            r"daily\.column: order_dat is no column .*order_date\?",
        ),
        ("tables: {silver.orders: {daily: {column: status}}}", r"daily\.column: .*needs a date or timestamp column"),
        ("tables: {silver.orders: {daily: {min_ratio: 1.5}}}", r"daily\.min_ratio: .*less than or equal to 1"),
        (
            "tables: {silver.orders: {missing: {max_share: {statsu: 0.1}}}}",
            r"statsu is no column .*did you mean status\?",
        ),
        ("tables: {silver.orders: {missing: {max_share: {amount: 0.1}}}}", r"amount is required by its contract"),
        ("tables: {silver.orders: {outliers: {status: {beyond: 3, max_share: 0}}}}", r"status is string; only numbers"),
        ("tables: {silver.orders: {outliers: {amount: {beyond: 3}}}}", r"outliers\.amount\.max_share: Field required"),
        (
            "tables: {silver.orders: {outliers: {amount: {beyond: 3, max_share: 0, metod: iqr}}}}",
            r"outliers\.amount\.metod is not known; did you mean method\?",
        ),
        (
            "tables: {silver.orders: {outliers: {amount: {beyond: 3, max_share: 0, per: curency}}}}",
            r"outliers\.amount\.per: curency is no column .*did you mean currency\?",
        ),
        (
            "tables: {silver.orders: {near_duplicates: {ignore: [last_modified], max_share: 0}}}",
            r"near_duplicates\.ignore: last_modified is no column .*did you mean last_modified_ts\?",
        ),
        (
            "tables: {silver.order_events: {near_duplicates: {ignore: [customer_id, metadata, event_month], max_share: 0}}}",
            r"leaves no column by which rows could be alike",
        ),
        ("tables: {silver.orders: {drift: {columns: [curency]}}}", r"curency is no column .*did you mean currency\?"),
        ("tables: {silver.orders: {drift: {columns: [order_date]}}}", r"order_date is timestamp; only text, numbers"),
        ("tables: {silver.customers: {drift: {columns: [email]}}}", r"email is personal \(pii:email\), and a profile"),
        (
            "tables: {silver.accounts: {outliers: {annual_revenue: {beyond: 3, max_share: 0, per: billing_city}}}}",
            r"annual_revenue\.per: billing_city is personal \(pii:address\), and a group is told by its value",
        ),
        (
            "tables: {silver.orders: {expectations: {dear: {sql: 'SELECT :most', parameters: {mots: 3}}}}}",
            r"expectations\.dear\.sql: the parameter :most has no value; did you mean mots\?; add it to parameters",
        ),
        (
            "tables: {silver.orders: {expectations: {dear: {sql: 'SELECT 1', parameters: {most: 3}}}}}",
            r"expectations\.dear\.parameters\.most is not in the query",
        ),
        (
            "tables: {silver.orders: {expectations: {dear: {sql: 'SELECT 1', severity: critcal}}}}",
            r"expectations\.dear\.severity: Input should be 'critical' or 'warning'",
        ),
        ("tables: {silver.orders: {expectations: {dear: {}}}}", r"expectations\.dear\.sql: Field required"),
        ("timeout: soon", r"timeout: 'soon' is not a duration"),
        ("tables: {silver.orders: {}, silver.orders: {}}", r"the key 'silver\.orders' is given twice"),
        ("tables: [", r"not valid YAML"),
        ("- tables", r"expected keys and values at the top"),
    ],
)
def test_what_is_misspelt_is_an_error_that_names_the_file_and_the_key(
    tmp_path: Path, contracts: Contracts, text: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"dq\.yaml(:1)?: .*{said}"):
        loaded(tmp_path, contracts, text)


def test_what_is_misspelt_in_a_table_is_told_with_its_line(tmp_path: Path, contracts: Contracts) -> None:
    text = "tables:\n  silver.orders:\n    refused:\n      amount: 0.1\n    refusd: {}\n"

    with pytest.raises(ConfigurationError, match=r"dq\.yaml:5: tables\.silver\.orders\.refusd is not known"):
        loaded(tmp_path, contracts, text)


def test_a_missing_file_is_an_error(tmp_path: Path, contracts: Contracts) -> None:
    with pytest.raises(ConfigurationError, match=r"dq\.yaml: cannot read the gate's limits"):
        load_limits(tmp_path / "dq.yaml", contracts)


def test_a_parameter_is_put_in_as_a_literal_and_what_is_quoted_is_left_alone() -> None:
    told = SqlExpectation(
        sql="SELECT ':a', `:a`, x::int, :a, :b, :c, :d -- :a",
        parameters={"a": "it's \\ here", "b": 2, "c": True, "d": date(2024, 11, 1)},
    )

    assert told.named == {"a", "b", "c", "d"}
    assert told.query == r"SELECT ':a', `:a`, x::int, 'it\'s \\ here', 2, TRUE, DATE '2024-11-01' -- :a"
