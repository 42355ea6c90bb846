"""What the terminal shows of a refused record: values of personal columns only where the settings say that they may be."""

from dataclasses import replace
from pathlib import Path

import pytest

from headwater.config import load_settings
from headwater.contracts import Contract, Contracts
from headwater.errors import ConfigurationError
from headwater.run.refused_rows import Hiding, place

NONE = "{pii:email: none, pii:phone: none, pii:name: none, pii:address: none, pii:embedded: none, sensitive: none}"
RECORD = '{"customer_id": "C1", "EMAIL": "ada@example.com", "phone__string": "555-123-4567", "nick": "ada@example.com"}'


def hiding(folder: Path, contracts: Contracts, masking: str, bronze: str = "snowflake_customers") -> Hiding:
    file = folder / "config.yaml"
    file.write_text(f"engine: embedded\n{masking}", encoding="utf-8")
    return Hiding(contracts[bronze], contracts["customers"], load_settings(file, environment={}))


def test_without_a_rule_personal_values_are_hidden_and_others_shown_without_contacts(tmp_path, contracts):
    assert hiding(tmp_path, contracts, "").record(RECORD) == {
        "customer_id": "C1", "EMAIL": "(hidden)", "phone__string": "(hidden)", "nick": "(email)",
    }  # fmt: skip


def test_what_the_settings_do_not_mask_is_shown(tmp_path, contracts):
    shown = hiding(tmp_path, contracts, f"masking: {{rules: {NONE}}}").record(RECORD)

    assert (shown["EMAIL"], shown["nick"]) == ("ada@example.com", "ada@example.com")


def test_a_rule_for_the_tables_column_goes_before_that_of_its_classification(tmp_path, contracts):
    settings = (
        f"masking: {{rules: {NONE}, columns: {{silver.customers.email: hash}}}}\nsecrets: {{masking: 'env:KEY'}}\n"
    )

    shown = hiding(tmp_path, contracts, settings).record(RECORD)

    assert (shown["EMAIL"], shown["phone__string"]) == ("(hidden)", "555-123-4567")


def test_a_record_without_columns_is_hidden_whole_where_it_can_hold_personal_values(tmp_path, contracts):
    told = hiding(tmp_path, contracts, "").record("C1,Ada,Kent,ada@example.com")

    assert str(told).startswith("(hidden: 27 characters, in which ")
    assert "Ada" not in str(told)


def test_reasons_and_positions_do_not_tell_what_is_hidden(tmp_path, contracts):
    told = hiding(tmp_path, contracts, "").told

    assert told("email is 'ada; a, which is no b', which is no date; created_ts is 'soon', which is no timestamp") == (
        "email is (hidden), which is no timestamp"
    )
    assert told("ORDERS phone=555-123-4567 customer_id=C1") == "ORDERS phone=(hidden) customer_id=C1"


def test_gold_refuses_no_rows(contracts):
    gold: Contract = replace(contracts["customer_360"])

    with pytest.raises(ConfigurationError, match=r"gold\.customer_360 refuses no rows: name the Silver table"):
        place(gold)
