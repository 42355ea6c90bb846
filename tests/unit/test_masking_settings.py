"""`masking:` as an operator writes it: what is refused before anything is read, and in which words."""

import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tests.frames import rows

from headwater.config import Settings, load_settings
from headwater.contracts import Contracts, load_contracts
from headwater.errors import ConfigurationError
from headwater.masking import load_masking, masks_of
from headwater.masking.masks import EMBEDDED
from headwater.transform.table import load_tables

PROJECT = Path(__file__).parents[2]
KEY = "a-key-of-at-least-thirty-two-characters"
Configure = Callable[..., Settings]


@pytest.fixture
def configured(tmp_path: Path) -> Configure:
    """Settings with these lines below `masking:`."""

    def configure(masking: str, top: str = "") -> Settings:
        file = tmp_path / "config" / "my.yaml"
        file.parent.mkdir(exist_ok=True)
        indented = "".join(f"  {line}\n" for line in dedent(masking).strip().splitlines())
        file.write_text(f"{top}\nmasking:\n{indented}", encoding="utf-8")
        return load_settings(file, {})

    return configure


def test_production_masks_every_personal_column_but_towns_and_countries(contracts: Contracts) -> None:
    masks = masks_of(load_settings(PROJECT / "config" / "prod.yaml", {}), contracts)

    kept = {
        f"{contract.name}.{column.name}"
        for contract in contracts.values()
        for column in contract.columns
        if contract.layer == "silver"
        and (column.classification or "").startswith("pii:")
        and column.name not in masks.get(contract.name, {})
    }
    assert kept == {"accounts.billing_city", "accounts.billing_country", "customers.city"}
    rules = {name: mask.rule for name, mask in masks["customers"].items()}
    assert rules == {
        "first_name": "redact",
        "last_name": "redact",
        "email": "hash",
        "phone": "partial",
        "address": "redact",
    }


def test_nothing_is_masked_locally_and_no_key_is_needed(contracts: Contracts) -> None:
    settings = load_settings(PROJECT / "config" / "local.yaml", {})

    assert not load_masking(settings, contracts).masks
    assert settings.effective()["masking.rules.pii:email"] == "none"
    assert settings.effective()["masking.required"] is False


def test_without_a_block_nothing_is_masked(configured: Configure, contracts: Contracts) -> None:
    settings = configured("required: false")

    assert not masks_of(settings, contracts)
    assert settings.origin("masking.rules") == "default"


def test_a_column_goes_before_its_classification(configured: Configure, contracts: Contracts) -> None:
    settings = configured(
        "rules: {pii:phone: redact}\ncolumns: {silver.accounts.phone: none, silver.contacts.title: partial}"
    )
    masks = masks_of(settings, contracts)

    assert {table: set(columns) for table, columns in masks.items()} == {
        "contacts": {"phone", "title"},
        "customers": {"phone"},
    }
    assert settings.origin("masking.columns.silver.accounts.phone") == "config/my.yaml"


ALL = "rules: {pii:email: none, pii:phone: none, pii:name: none, pii:embedded: none, pii:address: none}\n"


@pytest.mark.parametrize(
    ("masking", "told"),
    [
        ("required: maybe", r"config/my\.yaml: masking\.required: "),
        ("require: true", r"config/my\.yaml: masking\.require is not a setting; did you mean required\?"),
        ("rules: {pii:email: hide}", r"config/my\.yaml: masking\.rules\.pii:email: .*'hash'"),
        ("rules: {pii:emial: hash}", r"config/my\.yaml: masking\.rules\.pii:emial: .* did you mean pii:email\?"),
        (
            "columns: {silver.customers.phon: redact}",
            r"config/my\.yaml: masking\.columns\.silver\.customers\.phon: .* did you mean silver\.customers\.phone\?",
        ),
        (
            "columns: {gold.customer_360.email: hash}",
            r"masking\.columns\.gold\.customer_360\.email: Silver has no such",
        ),
        (
            "required: true\nrules: {pii:email: hash}",
            r"config/my\.yaml: masking is required, and silver\.accounts\.phone \(pii:phone\) has no rule; set masking\.rules",
        ),
        (
            "columns: {silver.customers.customer_id: hash}",
            r"masking\.columns\.silver\.customers\.customer_id: .* is part of the key",
        ),
        ("columns: {silver.orders.customer_id: hash}", r"orders\.customer_id refers to another table"),
        ("columns: {silver.orders.order_month: redact}", r"orders\.order_month parts the table"),
        ("columns: {silver.orders.last_modified_ts: redact}", r"last_modified_ts orders the versions"),
        ("columns: {silver.orders.amount_usd: hash}", r"amount_usd is decimal\(18,2\), no text: redact .* not hash"),
        ("rules: {sensitive: redact}", r"masking\.rules\.sensitive: silver\.orders\.amount is required"),
        ("rules: {pii:embedded: hash}", r"masking\.rules\.pii:embedded: .* redact or none, not hash"),
        (
            "rules: {pii:email: partial}",
            r"silver\.customers\.email and silver\.accounts\.primary_email are joined, which partial makes impossible; set hash",
        ),
        (
            ALL + "columns: {silver.accounts.primary_email: redact}",
            r"masking\.columns\.silver\.accounts\.primary_email: .* are joined",
        ),
        (
            ALL + "columns: {silver.customers.email: hash}",
            r"masking\.columns\.silver\.customers\.email: .*\(hash\) and silver\.accounts\.primary_email \(none\)",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    masking: str, told: str, configured: Configure, contracts: Contracts
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        masks_of(configured(masking), contracts)


def test_one_side_of_a_join_may_be_hashed_and_the_other_tokenized(configured: Configure, contracts: Contracts) -> None:
    masks = masks_of(configured("rules: {pii:email: hash}\ncolumns: {silver.customers.email: tokenize}"), contracts)

    assert (masks["customers"]["email"].rule, masks["accounts"]["primary_email"].rule) == ("tokenize", "hash")


def test_joined_columns_that_are_compared_differently_are_refused(configured: Configure, contracts: Contracts) -> None:
    customers = contracts["customers"]
    columns = [replace(each, compared_as=None) if each.name == "email" else each for each in customers.columns]
    changed = {**contracts, "customers": replace(customers, columns=tuple(columns))}

    with pytest.raises(ConfigurationError, match="one classification and one comparedAs"):
        masks_of(configured("rules: {pii:email: hash}"), changed)


def test_a_hash_without_a_key_is_refused(configured: Configure, contracts: Contracts) -> None:
    with pytest.raises(ConfigurationError, match=r"no secret masking: looked for secrets\.masking in config/my\.yaml"):
        load_masking(configured("rules: {pii:email: hash}"), contracts)


def test_the_variable_of_the_key_is_no_setting(
    configured: Configure, contracts: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_MASKING_KEY", KEY)
    configured("rules: {pii:email: hash}", top="secrets: {masking: 'env:HEADWATER_MASKING_KEY'}")
    settings = load_settings(tmp_path / "config" / "my.yaml", os.environ)

    masking = load_masking(settings, contracts)
    assert masking.key is not None
    assert KEY not in str(settings.effective())


def test_the_record_of_a_table_changes_with_its_rules_and_its_key(
    configured: Configure, contracts: Contracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "secrets: {masking: 'env:TESTS_MASKING_KEY'}"
    monkeypatch.setenv("TESTS_MASKING_KEY", KEY)
    first = load_masking(configured("rules: {pii:email: hash, pii:phone: redact}", secret), contracts)
    other_rules = load_masking(configured("rules: {pii:email: hash, pii:phone: partial}", secret), contracts)
    monkeypatch.setenv("TESTS_MASKING_KEY", KEY + "!")
    other_key = load_masking(configured("rules: {pii:email: hash, pii:phone: redact}", secret), contracts)

    told = [each.record("customers") for each in (first, other_rules, other_key)]
    assert len({str(each) for each in told}) == 3
    assert told[0] is not None
    assert told[2] is not None
    assert told[0]["rules"] == told[2]["rules"]
    assert first.record("fx_rates") is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("joinedWith: accounts.email", r"customers\.yaml: email: joinedWith: no contract has accounts\.email"),
        ("comparedAs: lower", r"customers\.yaml: email: comparedAs lower is none of trimmed, trimmed-lowercase"),
        ("joinWith: accounts.primary_email", r"email\.customProperties has joinWith; known are joinedWith, comparedAs"),
    ],
)
def test_what_a_contract_says_of_a_join_is_checked(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "silver").mkdir()
    text = (PROJECT / "config" / "contracts" / "silver" / "customers.yaml").read_text(encoding="utf-8")
    name, _, value = line.partition(": ")
    before, _, after = text.partition("          - property: joinedWith\n")
    after = after.partition("value: trimmed-lowercase\n")[2]
    changed = f"{before}          - property: {name}\n            value: {value}\n{after}"
    (tmp_path / "silver" / "customers.yaml").write_text(changed, encoding="utf-8")
    accounts = PROJECT / "config" / "contracts" / "silver" / "accounts.yaml"
    (tmp_path / "silver" / "accounts.yaml").write_text(accounts.read_text(encoding="utf-8"), encoding="utf-8")

    with pytest.raises(ConfigurationError, match=told):
        load_contracts(tmp_path)


GOLD = ["customer_360", "product_perf_daily", "revenue_by_geography", "revenue_by_industry"]


@pytest.mark.parametrize("table", GOLD)
def test_no_gold_table_joins_on_a_personal_column_unless_its_contract_says_so(
    table: str, spark: SparkSession, contracts: Contracts
) -> None:
    assert _undeclared(table, spark, contracts) == []


def test_a_join_that_no_contract_tells_is_noticed(spark: SparkSession, contracts: Contracts) -> None:
    customers = contracts["customers"]
    silent = replace(customers, columns=tuple(replace(each, joined_with=()) for each in customers.columns))

    found = _undeclared("customer_360", spark, {**contracts, "customers": silent})

    assert found == ["accounts.primary_email", "customers.email"]


def _undeclared(table: str, spark: SparkSession, contracts: Contracts) -> list[str]:
    """The personal columns that change what is not personal in a Gold table when their texts become others.

    Each changes together with those it is said to be joined with. As every text of every input is one of two, a join
    on any column finds something, and finds nothing once one side of it is other text.
    """
    function = load_tables()[table]
    frames = {name: _two_rows(spark, contracts, name) for name in function.inputs}
    joined_with = {
        f"{name}.{column.name}": column.joined_with
        for name in function.inputs
        for column in contracts[name].columns
        if (column.classification or "").startswith("pii:") and column.classification != EMBEDDED
    }
    names = [each.name for each in contracts[table].columns if not (each.classification or "").startswith("pii:")]
    as_is = rows(function.compute(frames).select(*names))
    found = []
    for column, joined in joined_with.items():
        together = {column, *joined, *(other for other, its in joined_with.items() if column in its)}
        changed = {name: _reversed(frame, name, together) for name, frame in frames.items()}
        if rows(function.compute(changed).select(*names)) != as_is:
            found.append(column)
    return sorted(found)


def _two_rows(spark: SparkSession, contracts: Contracts, table: str) -> DataFrame:
    """Two rows whose texts are `v0` and `v1` in every column."""
    schema = contracts[table].arrow_schema
    told = {
        field.name: pa.array([f"v{n}" for n in range(2)]) if pa.types.is_string(field.type) else _plain(field.type)
        for field in schema
    }
    return spark.createDataFrame(pa.table(told, schema=schema))


def _plain(kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind):
        return pa.array([["v0"], ["v1"]], kind)
    if pa.types.is_timestamp(kind):
        return pa.array([1730419200000000, 1730505600000000], pa.int64()).cast(kind)
    if pa.types.is_date(kind):
        return pa.array([20028, 20029], pa.int32()).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array([True, False])
    return pa.array([Decimal(1), Decimal(2)] if pa.types.is_decimal(kind) else [1, 2], kind)


def _reversed(frame: DataFrame, table: str, columns: set[str]) -> DataFrame:
    """Other texts in these columns, different where they were different."""
    return frame.select(
        *(F.reverse(name).alias(name) if f"{table}.{name}" in columns else F.col(name) for name in frame.columns)
    )
