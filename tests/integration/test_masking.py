"""Masks between the row rules and the gate: what Silver and Gold hold, what tokens lead back to, and a key that changes."""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from tests.frames import at
from tests.integration.test_bronze_to_silver import customer, order, parents
from tests.lake import Lake

from headwater.contracts import Contracts
from headwater.errors import MaskedOtherwise
from headwater.run.events import Event, Refused
from headwater.run.quarantine import Replay

pytestmark = pytest.mark.slow  # Great Expectations takes seconds to import

KEY, OTHER_KEY = "a-key-of-at-least-thirty-two-characters", "another-key-of-thirty-two-characters!"
UNTIL = "2024-11-01"
SECRET = "secrets: {masking: 'env:TESTS_MASKING_KEY'}\n"
HASHED = (
    f"{SECRET}masking: {{rules: {{pii:email: hash, pii:phone: partial, pii:name: redact, pii:embedded: redact}}}}\n"
)
TOKENIZED = f"{SECRET}masking: {{rules: {{pii:email: tokenize, pii:name: tokenize}}}}\n"


@pytest.fixture
def rotate(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put another key where the reference leads; at first it is `KEY`."""

    def put(key: str) -> None:
        monkeypatch.setenv("TESTS_MASKING_KEY", key)

    put(KEY)
    return put


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession, contracts: Contracts, rotate: Callable[[str], None]) -> Lake:
    return Lake(tmp_path, spark, contracts)


def hashed(value: str, key: str = KEY, kind: str = "pii:email") -> str:
    return hmac.new(key.encode(), f"{kind}\0{value}".encode(), "sha256").hexdigest()


def ada(**values: Any) -> dict[str, Any]:
    told = {"first_name": "Ada", "last_name": "King", "phone": "+44 20 7946 0958", "city": "London", "country": "gb"}
    return customer("C1") | told | values


def people(lake: Lake) -> None:
    lake.land("snowflake_customers", ada(), customer("C2") | {"email": None}, until=UNTIL)


def test_silver_holds_masked_values_and_bronze_the_raw_ones(lake: Lake) -> None:
    lake.mask(HASHED)
    people(lake)
    report = lake.build("customers", until=UNTIL)

    assert report.terms["accepted"] == 2
    assert lake.rows("customers", "customer_id", "first_name", "email", "phone", "city", "country") == [
        ("C1", "(redacted)", hashed("c1@example.com"), "***0958", "London", "GB"),
        ("C2", None, None, None, None, None),
    ]
    assert lake.rows("snowflake_customers", "customer_id", "email")[0] == ("C1", " C1@Example.COM ")


def test_gold_takes_masked_values_from_silver(lake: Lake) -> None:
    lake.mask(HASHED)
    parents(lake, ada())
    lake.land("snowflake_orders", order(1, "2024-10-31"), until=UNTIL)
    lake.build("orders", until=UNTIL)
    lake.build("customer_360", until=UNTIL)

    assert lake.rows("customer_360", "customer_id", "email", "total_orders") == [("C1", hashed("c1@example.com"), 1)]


def test_contacts_in_json_and_urls_are_replaced(lake: Lake) -> None:
    lake.mask(HASHED)
    parents(lake)
    event = {
        "event_id": "E1",
        "customer_id": "C1",
        "event_name": "login",
        "event_ts": at("2024-10-31"),
        "url_1": "/login?user=ada%40example.com&tab=1",
        "url_2": "/home",
        "metadata": '{"user": {"mail": "ada@example.com", "tel": 5551234567}, "n": 1}',
    }
    lake.land("redshift_behavior", event, event | {"event_id": "E2", "url_1": None, "url_2": None}, until=UNTIL)
    lake.build("behavior", until=UNTIL)

    masked = '{"user": {"mail": "(email)", "tel": "(phone)"}, "n": 1}'
    assert lake.rows("behavior", "event_id", "urls", "metadata") == [
        ("E1", ["/login?user=(email)&tab=1", "/home"], masked),
        ("E2", [], masked),
    ]


def test_rules_judge_raw_values_and_quarantine_keeps_them(lake: Lake) -> None:
    """A key that is missing refuses the row; what it held lies in quarantine, raw, and nowhere else."""
    lake.mask(HASHED)
    lake.land("snowflake_customers", ada(), ada(customer_id=None), until=UNTIL)
    report = lake.build("customers", until=UNTIL)

    assert (report.terms["accepted"], report.terms["quarantined"]) == (1, 1)
    [refused] = lake.quarantine("customers")
    assert json.loads(refused["raw"])["first_name"] == "Ada"
    assert "Ada" not in refused["reason"]
    assert "C1" not in refused["key"]


def test_no_file_of_silver_holds_a_raw_value_not_even_before_the_gate(
    tmp_path: Path,
    spark: SparkSession,
    contracts: Contracts,
    rotate: Callable[[str], None],
) -> None:
    seen: list[dict[str, Any]] = []

    def look(event: Event) -> None:
        if isinstance(event, Refused) and event.table == "customers":
            files = (tmp_path / "lake" / "silver" / "customers").rglob("*.parquet")
            seen.extend(row for file in files for row in pq.ParquetFile(file).read().to_pylist())

    lake = Lake(tmp_path, spark, contracts, look)
    lake.mask(HASHED)
    newer = ada(last_modified_ts=at("2024-10-31"), first_name="Augusta")
    others = [customer(f"D{number}") for number in range(60)]
    lake.land("snowflake_customers", *others, ada(), newer, ada(customer_id=None, first_name="Lovelace"), until=UNTIL)
    report = lake.build("customers", until=UNTIL)

    assert (report.outcome, report.terms["quarantined"], report.terms["superseded"]) == ("committed", 1, 1)
    assert len(seen) == 63
    log = (tmp_path / "lake" / "silver" / "customers" / "_delta_log" / "00000000000000000000.json").read_text()
    for raw in ("Ada", "Augusta", "Lovelace", "King", "7946 0958", "example.com"):
        assert raw not in str(seen)
        assert raw not in log


def test_tokens_lead_back_to_values_and_each_stands_once(lake: Lake) -> None:
    lake.mask(TOKENIZED)
    people(lake)
    lake.build("customers", until=UNTIL)
    contact = {"id": "K1", "first_name": "Ada", "email": "ada@work.example", "last_modified_date": at("2024-10-30")}
    lake.land("salesforce_accounts", account("A1"), until=UNTIL)
    lake.land(
        "salesforce_contacts",
        contact | {"account_id": "A1", "created_date": at("2024-10-30"), "system_modstamp": at("2024-10-30")},
        until=UNTIL,
    )
    lake.build("accounts", until=UNTIL)
    lake.build("contacts", until=UNTIL)

    tokens = lake.tokens()
    assert sorted((row["value"], row["classification"]) for row in tokens) == [
        ("Ada", "pii:name"),
        ("King", "pii:name"),
        ("ada@work.example", "pii:email"),
        ("c1@example.com", "pii:email"),
    ]
    by_value = {row["value"]: row["token"] for row in tokens}
    assert lake.rows("customers", "first_name", "email")[0] == (by_value["Ada"], by_value["c1@example.com"])
    assert lake.rows("contacts", "first_name", "email") == [(by_value["Ada"], by_value["ada@work.example"])]


def test_tokens_of_a_step_that_is_repeated_are_not_doubled(lake: Lake) -> None:
    lake.mask(TOKENIZED)
    people(lake)
    lake.build("customers", until=UNTIL)
    before = lake.tokens()
    lake.land(
        "snowflake_customers", ada(last_modified_ts=at("2024-11-01 10:00"), last_name="Lovelace"), until="2024-11-02"
    )
    lake.build("customers", until="2024-11-02")

    assert sorted(row["value"] for row in lake.tokens()) == sorted([*(row["value"] for row in before), "Lovelace"])
    table = DeltaTable(str(lake.folder / "lake" / "restricted" / "tokens"))
    assert table.transaction_version("headwater:tokens") == 2


def test_another_key_is_refused_and_a_remask_rebuilds_with_it(lake: Lake, rotate: Callable[[str], None]) -> None:
    lake.mask(HASHED)
    people(lake)
    lake.build("customers", until=UNTIL)

    rotate(OTHER_KEY)
    lake.mask(HASHED)
    with pytest.raises(
        MaskedOtherwise, match=r"silver\.customers is masked with the key \w{16}, and .*run --remask"
    ) as told:
        lake.build("customers", until=UNTIL)
    assert KEY not in str(told.value)
    assert OTHER_KEY not in str(told.value)
    assert lake.rows("customers", "email")[0] == (hashed("c1@example.com"),)

    report = lake.build("customers", until=UNTIL, remask=True)
    assert (report.outcome, report.terms["recomputed"], report.terms["new"]) == ("committed", 2, 0)
    assert lake.rows("customers", "email")[0] == (hashed("c1@example.com", OTHER_KEY),)
    assert lake.build("customers", until=UNTIL, remask=True).outcome == "unchanged"
    assert lake.build("customers", until=UNTIL).outcome == "unchanged"


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ("", HASHED, "stands unmasked, and the settings mask it"),
        (HASHED, "", "stands masked, and the settings do not mask it"),
        (HASHED, HASHED.replace("partial", "redact"), "is masked by other rules than the settings have"),
    ],
)
def test_other_rules_are_refused_also_where_new_rows_came(lake: Lake, first: str, then: str, told: str) -> None:
    lake.mask(first)
    people(lake)
    lake.build("customers", until=UNTIL)
    lake.mask(then)
    lake.land("snowflake_customers", customer("C3", "2024-11-01 10:00"), until="2024-11-02")

    with pytest.raises(MaskedOtherwise, match=f"silver.customers {told}"):
        lake.build("customers", until="2024-11-02", replay=Replay())
    with pytest.raises(MaskedOtherwise, match=f"silver.customers {told}"):
        lake.build("customers", until="2024-11-02")
    lake.build("customers", until="2024-11-02", remask=True)
    assert len(lake.rows("customers", "email")) == 3


def test_gold_is_not_made_of_tables_with_different_keys(lake: Lake, rotate: Callable[[str], None]) -> None:
    lake.mask(HASHED)
    parents(lake, ada())
    lake.land("salesforce_accounts", account("A1"), until=UNTIL)
    lake.build("accounts", until=UNTIL)
    lake.build("customer_360", until=UNTIL)

    rotate(OTHER_KEY)
    lake.mask(HASHED)
    lake.build("customers", until=UNTIL, remask=True)
    with pytest.raises(
        MaskedOtherwise, match=r"gold\.customer_360 is made of it: silver\.accounts is masked with the key"
    ):
        lake.build("customer_360", until=UNTIL, remask=True)

    lake.build("accounts", until=UNTIL, remask=True)
    assert lake.build("customer_360", until=UNTIL).outcome == "committed"


def test_a_table_without_masks_does_not_mind_another_key(lake: Lake, rotate: Callable[[str], None]) -> None:
    lake.mask(HASHED)
    parents(lake)
    rotate(OTHER_KEY)
    lake.mask(HASHED)

    assert lake.build("products", until=UNTIL).outcome == "unchanged"


def account(name: str) -> dict[str, Any]:
    changed = at("2024-10-30")
    return {"id": name, "name": "Kent", "last_modified_date": changed, "system_modstamp": changed, "is_deleted": False}
