"""Leads, cases, tasks and solutions over Salesforce's stand-in: their fields, their deletions, page by page and by a job."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.config import SalesforceSettings
from headwater.contracts import Contracts
from headwater.extract import salesforce
from headwater.extract.base_extractor import Position, TimeWindow
from headwater.extract.salesforce import OBJECTS, SalesforceExtractor
from headwater.sandbox.datasets.folder import SOURCE_SCHEMAS
from headwater.sandbox.salesforce import SalesforceStandIn

T0 = datetime(2024, 11, 1, tzinfo=UTC)
AT = T0 + timedelta(days=1)
GONE = T0 + timedelta(hours=20)
NOTE = 'Says "never again",\nwants a refund — 返金'
RECORDS: dict[str, list[dict[str, Any]]] = {
    "Lead": [
        {"Id": "00QHw0000000001MAA", "LastName": "Zoë", "Email": " Z@Example.com ", "IsConverted": False},
        {
            "Id": "00QHw0000000002MAA", "Company": "Müller, AG", "IsConverted": True, "ConvertedDate": T0.date(),
            "ConvertedAccountId": "001Hw0000000001IAA", "ConvertedContactId": "003Hw0000000001IAA",
        },
    ],
    "Case": [
        {
            "Id": "500Hw0000000001IAA", "CaseNumber": "00001001", "AccountId": "001Hw0000000001IAA", "Description": NOTE,
            "IsClosed": True, "ClosedDate": T0 + timedelta(milliseconds=1500),
        },
        {"Id": "500Hw0000000002IAA", "CaseNumber": "00001002", "IsClosed": False, "_deleted_at": GONE},
    ],
    "Task": [
        {
            "Id": "00THw0000000001MAA", "WhoId": "00QHw0000000001MAA", "ActivityDate": date(2024, 2, 29), "IsClosed": False,
        },
        {
            "Id": "00THw0000000002MAA", "WhoId": "003Hw0000000001IAA", "WhatId": "500Hw0000000001IAA",
            "AccountId": "001Hw0000000001IAA", "Description": NOTE, "IsClosed": True,
        },
    ],
    "Solution": [
        {
            "Id": "501Hw0000000001IAA", "SolutionNumber": "00000007", "SolutionNote": NOTE, "Status": "Reviewed",
            "IsPublished": True, "IsReviewed": True, "TimesUsed": 12,
        },
    ],
}  # fmt: skip
TABLES = {name: table for table, name in OBJECTS.items()}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("salesforce")
    (folder / "dataset" / "salesforce").mkdir(parents=True)
    stamps = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp", "_visible_at"), T0)
    for name, records in RECORDS.items():
        table = pa.Table.from_pylist([stamps | each for each in records], SOURCE_SCHEMAS[f"salesforce/{name}"])
        pq.write_table(table, folder / "dataset" / "salesforce" / f"{name}.parquet")
    stand_in = SalesforceStandIn(folder / "salesforce", None)
    try:
        connection = stand_in.start(folder / "dataset", AT)
        yield SimpleNamespace(
            settings=SalesforceSettings(enabled=True, **connection.settings),
            secret=connection.secret,
            folder=folder,
        )
    finally:
        stand_in.stop()


@pytest.mark.parametrize("by", ["pages", "job"])
@pytest.mark.parametrize("name", RECORDS)
def test_every_record_arrives_as_its_contract_says(live, contracts: Contracts, monkeypatch, name, by):
    if by == "job":
        monkeypatch.setattr(salesforce, "_BY_REST_UP_TO", 0)
    contract = contracts[TABLES[name]]
    extractor = SalesforceExtractor(live.settings, live.secret, contract)
    rejects: list[pa.RecordBatch] = []

    batches = list(extractor.read(TimeWindow(None, AT), rejects.append))

    assert not rejects
    rows = sorted(pa.Table.from_batches(batches, contract.arrow_schema).to_pylist(), key=lambda row: row["id"])
    told = {name: salesforce.snake_case(name) for name in SOURCE_SCHEMAS[f"salesforce/{name}"].names}
    assert set(contract.column_names) == {*told.values(), "is_deleted"} - {"_visible_at", "_deleted_at"}
    for row, record in zip(rows, RECORDS[name], strict=True):
        assert row["is_deleted"] == ("_deleted_at" in record)
        assert row["system_modstamp"] == record.get("_deleted_at", T0)
        own = {each: value for each, value in row.items() if value is not None and each in map(told.get, record)}
        assert own == {told[each]: value for each, value in record.items() if each != "_deleted_at"}


def test_only_what_changed_since_is_due(live, contracts: Contracts):
    extractor = SalesforceExtractor(live.settings, live.secret, contracts["salesforce_cases"])

    assert extractor.partitions(Position(watermark=T0), AT) == [TimeWindow(T0, AT)]
    assert extractor.partitions(Position(watermark=GONE), AT) == [TimeWindow(GONE, AT)]
    assert extractor.partitions(Position(watermark=GONE + timedelta(seconds=1)), AT) == []


def test_a_tasks_references_name_all_objects_that_they_may_mean(live):
    login = httpx.post(
        f"{live.settings.login_url}/services/oauth2/token",
        data={"grant_type": "client_credentials"}
        | {name: live.secret[name] for name in ("client_id", "client_secret")},
    ).json()
    headers = {"Authorization": f"Bearer {login['access_token']}"}
    path = f"{login['instance_url']}/services/data/v{live.settings.api_version}"

    told = httpx.get(f"{path}/sobjects/Task/describe", headers=headers).json()["fields"]
    fields = {each["name"]: each for each in told}

    assert fields["WhoId"]["referenceTo"] == ["Contact", "Lead"]
    assert fields["WhatId"]["polymorphicForeignKey"]
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert not fields["AccountId"]["polymorphicForeignKey"]
    assert (fields["ActivityDate"]["type"], fields["IsClosed"]["type"]) == ("date", "boolean")
    asked = "SELECT Id FROM Task WHERE WhoId = '00QHw0000000001' AND ActivityDate < 2024-03-01"
    found = httpx.get(f"{path}/query", params={"q": asked}, headers=headers).json()
    assert [each["Id"] for each in found["records"]] == ["00THw0000000001MAA"]


def test_ids_of_the_made_up_desk_begin_and_end_as_salesforces_own(tmp_path: Path):
    from headwater.sandbox.datasets import materialise

    folder = materialise("generated", tmp_path / "generated", 0.01)
    for name, prefix in (("Lead", "00Q"), ("Case", "500"), ("Task", "00T"), ("Solution", "501")):
        for identity in pq.read_table(folder / f"salesforce/{name}.parquet")["Id"].unique().to_pylist():
            assert identity.startswith(prefix)
            assert identity[15:] == check_letters(identity[:15])


def check_letters(identity: str) -> str:
    """Each of five letters counts one; a letter says which of its five are capitals."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    fives = (identity[at : at + 5] for at in (0, 5, 10))
    return "".join(alphabet[sum(1 << place for place, each in enumerate(five) if each.isupper())] for five in fives)
