"""Salesforce's stand-in, asked by httpx over HTTP and by simple-salesforce, which insists on HTTPS."""

import csv
import io
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest

from headwater.sandbox.salesforce import SalesforceStandIn
from headwater.sandbox.stand_in import Connection

T0 = datetime(2024, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
API = "/services/data/v64.0"
INSTANT = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("Id", pa.string()),
        ("AccountId", pa.string()),
        ("Name", pa.string()),
        ("StageName", pa.string()),
        ("Amount", pa.decimal128(18, 2)),
        ("CloseDate", pa.date32()),
        ("Probability", pa.int64()),
        ("CreatedDate", INSTANT),
        ("LastModifiedDate", INSTANT),
        ("SystemModstamp", INSTANT),
        ("_visible_at", INSTANT),
        ("_deleted_at", INSTANT),
    ]
)
FIELDS = SCHEMA.names[:-2]


def identity(number: int) -> str:
    return f"006{number:012d}AAA"


def version(number: int, at: datetime, **more: Any) -> dict[str, Any]:
    """An opportunity as it is from `at` on."""
    return {
        "Id": identity(number),
        "AccountId": f"001{number % 7:012d}AAA",
        "Name": f"Deal {number}",
        "StageName": "Closed Won" if number % 2 else None,
        "Amount": Decimal(number) * Decimal("1000.25"),
        "CloseDate": date(2024, 1, 1) + timedelta(days=number % 300),
        "Probability": number % 101,
        "CreatedDate": T0 - DAY,
        "LastModifiedDate": at,
        "SystemModstamp": at,
        "_visible_at": at,
        "_deleted_at": None,
    } | more


HISTORY = [
    *(version(number, T0 - timedelta(minutes=number)) for number in range(1, 4501)),
    # on the day after: one changed (late by five minutes), one deleted, one new whose time has microseconds
    version(
        7,
        T0 + timedelta(hours=1),
        Name='Deal "7", renamed\nover two lines; Größe',
        _visible_at=T0 + timedelta(minutes=65),
    ),
    version(8, T0 - timedelta(minutes=8), _deleted_at=T0 + timedelta(hours=2, microseconds=1500)),
    version(5000, T0 + timedelta(hours=3, microseconds=123_999), Amount=Decimal("1234567890123456.78"), CloseDate=None),
]


def standing(at: datetime, *, deleted_too: bool = False) -> dict[str, dict[str, Any]]:
    """What the API must tell of each record at `at`, in Python's values."""
    shown: dict[str, dict[str, Any]] = {}
    newest = sorted((row for row in HISTORY if row["_visible_at"] <= at), key=lambda row: row["_visible_at"])
    for row in newest:
        gone = row["_deleted_at"] is not None and row["_deleted_at"] <= at
        modified = row["_deleted_at"] if gone else row["SystemModstamp"]
        told = {name: row[name] for name in FIELDS} | {"LastModifiedDate": modified, "SystemModstamp": modified}
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            told[name] = told[name].replace(microsecond=told[name].microsecond // 1000 * 1000)
        shown[row["Id"]] = told | {"IsDeleted": gone}
    return {key: row for key, row in shown.items() if deleted_too or not row["IsDeleted"]}


def from_text(record: dict[str, Any]) -> dict[str, Any]:
    """A record of JSON or CSV in Python's values; an empty CSV field is a null."""
    told = {name: None if value == "" else value for name, value in record.items() if name != "attributes"}
    for name, value in told.items():
        if value is None:
            continue
        if name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            told[name] = datetime.fromisoformat(value)
        elif name == "CloseDate":
            told[name] = date.fromisoformat(value)
        elif name in ("Amount", "Probability"):
            told[name] = Decimal(str(value))
        elif name == "IsDeleted":
            told[name] = value in (True, "true")
    return told


def by_id(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {record["Id"]: from_text(record) for record in records}
    assert len(found) == len(records), "a record came twice"
    return found


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = tmp_path_factory.mktemp("dataset")
    (dataset / "salesforce").mkdir()
    pq.write_table(pa.Table.from_pylist(HISTORY, SCHEMA), dataset / "salesforce" / "Opportunity.parquet")
    return dataset


@contextmanager
def logged_in(stand_in: SalesforceStandIn, connection: Connection) -> Iterator[httpx.Client]:
    login = {"grant_type": "client_credentials"}
    login |= {name: connection.secret[name] for name in ("client_id", "client_secret")}
    with httpx.Client(base_url=connection.settings["login_url"], timeout=30) as client:
        answer = client.post("/services/oauth2/token", data=login).raise_for_status().json()
        assert answer["instance_url"] == connection.settings["login_url"]
        client.headers["Authorization"] = f"Bearer {answer['access_token']}"
        yield client


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[SalesforceStandIn]:
    salesforce = SalesforceStandIn(tmp_path / "sandbox" / "salesforce", None)
    yield salesforce
    salesforce.stop()


@pytest.fixture
def moving(stand_in: SalesforceStandIn, dataset: Path) -> Iterator[httpx.Client]:
    """A logged-in client of a stand-in that begins at T0 and may be moved on."""
    with logged_in(stand_in, stand_in.start(dataset, T0)) as client:
        yield client


@pytest.fixture(scope="module")
def api(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A logged-in client of one stand-in that stays at T0."""
    still = SalesforceStandIn(tmp_path_factory.mktemp("still") / "salesforce", None)
    try:
        with logged_in(still, still.start(dataset, T0)) as client:
            yield client
    finally:
        still.stop()


def ask(api: httpx.Client, soql: str, resource: str = "query") -> dict[str, Any]:
    answer = api.get(f"{API}/{resource}", params={"q": soql}).raise_for_status()
    told: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
    return told


def ask_all(api: httpx.Client, soql: str, resource: str = "query", batch: int = 2000) -> list[dict[str, Any]]:
    headers = {"Sforce-Query-Options": f"batchSize={batch}"}
    answer = api.get(f"{API}/{resource}", params={"q": soql}, headers=headers).raise_for_status()
    page = json.loads(answer.text, parse_float=Decimal)
    found = page["records"]
    while not page["done"]:
        answer = api.get(page["nextRecordsUrl"], headers=headers).raise_for_status()
        page = json.loads(answer.text, parse_float=Decimal)
        found += page["records"]
    assert len(found) == page["totalSize"]
    return found


def refused(api: httpx.Client, soql: str) -> tuple[int, str]:
    answer = api.get(f"{API}/query", params={"q": soql})
    [complaint] = answer.json()
    return answer.status_code, complaint["errorCode"]


ALL_FIELDS = ", ".join([*FIELDS, "IsDeleted"])


def test_queries_show_the_dataset_at_the_clock_page_by_page(moving: httpx.Client, stand_in: SalesforceStandIn) -> None:
    soql = f"SELECT {ALL_FIELDS} FROM Opportunity"
    assert by_id(ask_all(moving, soql)) == standing(T0)

    first = moving.get(f"{API}/query", params={"q": soql})
    assert len(first.json()["records"]) == 2000
    assert first.headers["Date"] == "Fri, 01 Nov 2024 00:00:00 GMT"
    stand_in.advance(T0, T0 + DAY)

    assert by_id(ask_all(moving, soql, batch=500)) == standing(T0 + DAY)
    every = by_id(ask_all(moving, soql, "queryAll"))
    assert every == standing(T0 + DAY, deleted_too=True)
    assert every[identity(8)]["IsDeleted"]
    assert moving.get(f"{API}/limits").headers["Date"] == "Sat, 02 Nov 2024 00:00:00 GMT"

    # a cursor opened before keeps what it found
    rest = moving.get(first.json()["nextRecordsUrl"]).json()
    assert rest["totalSize"] == 4500


def test_a_record_is_spelled_as_salesforce_spells_it(moving: httpx.Client, stand_in: SalesforceStandIn) -> None:
    stand_in.advance(T0, T0 + DAY)
    soql = "SELECT id, name, stagename, amount, probability, closedate, systemmodstamp, isdeleted FROM opportunity"
    answer = moving.get(f"{API}/query", params={"q": f"{soql} WHERE Id = '{identity(5000)}'"})
    assert answer.text == (
        '{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Opportunity",'
        f'"url":"{API}/sobjects/Opportunity/{identity(5000)}"}},"Id":"{identity(5000)}","Name":"Deal 5000",'
        '"StageName":null,"Amount":1.23456789012345678E15,"Probability":51.0,"CloseDate":null,'
        '"SystemModstamp":"2024-11-01T03:00:00.123+0000","IsDeleted":false}]}'
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("SystemModstamp >= 2024-10-31T23:55:00Z AND SystemModstamp < 2024-10-31T23:58:00Z", [3, 4, 5]),
        ("SystemModstamp >= 2024-11-01T01:55:00.000+02:00 AND SystemModstamp < 2024-10-31T23:58:00Z", [3, 4, 5]),
        ("Name = 'dEAL 12'", [12]),
        ("Name LIKE 'deal 44_0' AND NOT (Name LIKE '%1_')", [4400, 4420, 4430, 4440, 4450, 4460, 4470, 4480, 4490]),
        ("Name LIKE 'deal\\_12'", []),
        ("Id IN ('006000000000003', '006000000000005AAA')", [3, 5]),
        ("Amount < 3000.75 AND (CloseDate = 2024-01-02 OR Probability = 2)", [1, 2]),
        ("StageName = null AND Amount <= 4001", [2, 4]),
        ("StageName != 'closed won' AND Amount <= 4001", [2, 4]),
        ("NOT StageName = 'closed won' AND Amount <= 4001", [2, 4]),
        ("StageName NOT IN ('x', 'Closed Won') AND Amount <= 4001", [2, 4]),
        ("Amount < 2000.75 AND Name != ''' OR ''1''=''1'", None),
        ("Amount < 1001 AND Name != '\\' OR \\'1\\'=\\'1'", [1]),
    ],
)
def test_conditions_mean_what_they_mean_at_salesforce(
    api: httpx.Client, condition: str, expected: list[int] | None
) -> None:
    soql = f"SELECT Id FROM Opportunity WHERE {condition} ORDER BY Id"
    if expected is None:
        assert refused(api, soql) == (400, "MALFORMED_QUERY")
    else:
        assert [record["Id"] for record in ask(api, soql)["records"]] == [identity(number) for number in expected]


def test_order_limit_offset_and_counts(api: httpx.Client) -> None:
    soql = "SELECT Name FROM Opportunity ORDER BY StageName DESC NULLS LAST, Amount DESC LIMIT 2 OFFSET 1"
    assert [record["Name"] for record in ask(api, soql)["records"]] == ["Deal 4497", "Deal 4495"]
    assert ask(api, "SELECT Id FROM Opportunity ORDER BY StageName, Id LIMIT 1")["records"][0]["Id"] == identity(2)
    assert ask(api, "SELECT COUNT() FROM Opportunity WHERE Amount > 1000.25") == {
        "totalSize": 4499,
        "done": True,
        "records": [],
    }
    extremes = ask(api, "SELECT COUNT(StageName), MAX(SystemModstamp) newest FROM Opportunity")["records"]
    assert extremes == [
        {"attributes": {"type": "AggregateResult"}, "expr0": 2250, "newest": "2024-10-31T23:59:00.000+0000"}
    ]


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FORM Opportunity", "MALFORMED_QUERY"),
        ("SELECT Id FROM Opportunity WHERE Amount = 1 AND Amount = 2 OR Amount = 3", "MALFORMED_QUERY"),
        ("SELECT Id, Id FROM Opportunity", "MALFORMED_QUERY"),
        ("SELECT Id, COUNT(Name) FROM Opportunity", "MALFORMED_QUERY"),
        ("SELECT Nonsense FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Nonsense = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity ORDER BY Nonsense", "INVALID_FIELD"),
        ("SELECT Account.Name FROM Opportunity", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE SystemModstamp > '2024-11-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE SystemModstamp > 2024-11-01", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE CloseDate > 2024-11-01T00:00:00Z", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Name = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Amount = '5'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE IsDeleted > false", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Amount LIKE '5%'", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE Id = 'nonsense'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Nonsense", "INVALID_TYPE"),
        ("SELECT Id FROM Opportunity OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_salesforce_says_what_is_wrong_with_a_query(api: httpx.Client, soql: str, code: str) -> None:
    assert refused(api, soql) == (400, code)


def test_logins(stand_in: SalesforceStandIn, dataset: Path, tmp_path: Path) -> None:
    connection = stand_in.start(dataset, T0)
    secret = connection.secret
    client = {"client_id": secret["client_id"], "client_secret": secret["client_secret"]}
    user = {"username": secret["username"], "password": secret["password"]}
    with httpx.Client(base_url=connection.settings["login_url"]) as http:

        def login(**form: str) -> tuple[int, str]:
            answer = http.post("/services/oauth2/token", data=form)
            return answer.status_code, answer.json().get("error", "")

        assert login(grant_type="client_credentials", **client) == (200, "")
        assert login(grant_type="password", **client, **user) == (200, "")
        assert login(grant_type="client_credentials", **(client | {"client_id": "x"})) == (400, "invalid_client_id")
        assert login(grant_type="client_credentials", **(client | {"client_secret": "x"})) == (400, "invalid_client")
        assert login(grant_type="password", **client, **(user | {"password": "x"})) == (400, "invalid_grant")
        assert login(grant_type="password", **client) == (400, "invalid_grant")
        assert login(grant_type="refresh_token", **client) == (400, "unsupported_grant_type")
        assert login(**client) == (400, "invalid_request")

        for headers in ({}, {"Authorization": "Bearer x"}):
            answer = http.get(f"{API}/query", params={"q": "SELECT Id FROM Opportunity"}, headers=headers)
            assert answer.status_code == 401
            assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
        assert "64.0" in [each["version"] for each in http.get("/services/data").json()]
    log = (tmp_path / "sandbox" / "logs" / "salesforce.log").read_text()
    assert "POST /services/oauth2/token 400" in log
    assert not any(value in log for value in secret.values())
    assert (tmp_path / "sandbox" / "salesforce" / "secrets.json").stat().st_mode & 0o077 == 0


def test_unknown_versions_resources_and_locators(api: httpx.Client) -> None:
    for path, status, code in (
        ("/services/data/v20.0/limits", 404, "NOT_FOUND"),
        (f"{API}/nonsense", 404, "NOT_FOUND"),
        (f"{API}/sobjects/Nonsense/describe", 404, "NOT_FOUND"),
        (f"{API}/query/01g000000000000AAA-2000", 400, "INVALID_QUERY_LOCATOR"),
        (f"{API}/query/nonsense", 400, "INVALID_QUERY_LOCATOR"),
    ):
        answer = api.get(path)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code), path
    assert api.delete(f"{API}/limits").json()[0]["errorCode"] == "METHOD_NOT_ALLOWED"
    # an eleventh cursor closes the first
    urls = [ask(api, "SELECT Id FROM Opportunity")["nextRecordsUrl"] for _ in range(11)]
    assert api.get(urls[0]).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert api.get(urls[1]).status_code == 200


def test_describe_names_the_fields_and_their_types(api: httpx.Client) -> None:
    told = api.get(f"{API}/sobjects/opportunity/describe").json()
    assert told["name"] == "Opportunity"
    assert {field["name"]: field["type"] for field in told["fields"]} == {
        "Id": "id",
        "AccountId": "reference",
        "Name": "string",
        "StageName": "picklist",
        "Amount": "currency",
        "CloseDate": "date",
        "Probability": "percent",
        "CreatedDate": "datetime",
        "LastModifiedDate": "datetime",
        "SystemModstamp": "datetime",
        "IsDeleted": "boolean",
    }
    assert [each["name"] for each in api.get(f"{API}/sobjects").json()["sobjects"]] == ["Opportunity"]


def finished(api: httpx.Client, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while True:
        told: dict[str, Any] = api.get(f"{API}/jobs/query/{job}").raise_for_status().json()
        if told["state"] in ("JobComplete", "Failed", "Aborted"):
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.02)


def test_a_bulk_query_is_read_as_csv_in_parts_and_then_thrown_away(
    moving: httpx.Client, stand_in: SalesforceStandIn
) -> None:
    stand_in.advance(T0, T0 + DAY)
    query = {"operation": "queryAll", "query": f"SELECT {ALL_FIELDS} FROM Opportunity"}
    job = moving.post(f"{API}/jobs/query", json=query).raise_for_status().json()
    assert job["state"] in ("UploadComplete", "InProgress", "JobComplete")
    assert finished(moving, job["id"]) | {"numberRecordsProcessed": 4501} == finished(moving, job["id"])

    records: list[dict[str, Any]] = []
    wanted = {"maxRecords": "2000"}
    while True:
        answer = moving.get(f"{API}/jobs/query/{job['id']}/results", params=wanted).raise_for_status()
        part = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert len(part) == int(answer.headers["Sforce-NumberOfRecords"])
        records += part
        if answer.headers["Sforce-Locator"] == "null":
            break
        wanted["locator"] = answer.headers["Sforce-Locator"]
    assert by_id(records) == standing(T0 + DAY, deleted_too=True)

    assert moving.delete(f"{API}/jobs/query/{job['id']}").status_code == 204
    assert moving.get(f"{API}/jobs/query/{job['id']}").status_code == 404
    assert moving.get(f"{API}/jobs/query/{job['id']}/results").json()[0]["errorCode"] == "NOT_FOUND"


def test_a_bulk_result_is_spelled_as_salesforce_spells_it(moving: httpx.Client, stand_in: SalesforceStandIn) -> None:
    stand_in.advance(T0, T0 + DAY)
    soql = "SELECT Id, Name, StageName, Amount, Probability, CloseDate, SystemModstamp, IsDeleted FROM Opportunity"
    where = f"WHERE Id IN ('{identity(7)}', '{identity(5000)}') ORDER BY Id"
    for delimiter, sign, line_ending, end in (("COMMA", ",", "LF", "\n"), ("PIPE", "|", "CRLF", "\r\n")):
        asked = {
            "operation": "query",
            "query": f"{soql} {where}",
            "columnDelimiter": delimiter,
            "lineEnding": line_ending,
        }
        job = finished(moving, moving.post(f"{API}/jobs/query", json=asked).json()["id"])
        lines = [
            ["Id", "Name", "StageName", "Amount", "Probability", "CloseDate", "SystemModstamp", "IsDeleted"],
            [identity(7), 'Deal ""7"", renamed\nover two lines; Größe', "Closed Won", "7001.75", "7.0", "2024-01-08",
             "2024-11-01T01:00:00.000Z", "false"],
            [identity(5000), "Deal 5000", "", "1.23456789012345678E15", "51.0", "", "2024-11-01T03:00:00.123Z", "false"],
        ]  # fmt: skip
        expected = "".join(sign.join(f'"{value}"' for value in line) + end for line in lines)
        assert moving.get(f"{API}/jobs/query/{job['id']}/results").content == expected.encode()


def test_bulk_jobs_that_cannot_be(api: httpx.Client) -> None:
    def created(**job: str) -> tuple[int, str]:
        answer = api.post(f"{API}/jobs/query", json={"operation": "query", **job})
        return answer.status_code, answer.json()[0]["errorCode"]

    assert created(query="SELECT Id FORM Opportunity") == (400, "MALFORMED_QUERY")
    assert created(query="SELECT Nonsense FROM Opportunity") == (400, "INVALID_FIELD")
    assert created(query="SELECT COUNT() FROM Opportunity") == (400, "API_ERROR")
    assert created(query="SELECT Id FROM Opportunity OFFSET 5") == (400, "API_ERROR")
    assert created(query="SELECT Id FROM Opportunity", operation="insert") == (400, "INVALIDJOB")
    assert created(query="SELECT Id FROM Opportunity", columnDelimiter="SPACE") == (400, "INVALIDJOB")
    assert api.post(f"{API}/jobs/query", content=b"{").json()[0]["errorCode"] == "JSON_PARSER_ERROR"

    job = api.post(f"{API}/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Opportunity"}).json()["id"]
    finished(api, job)
    assert api.patch(f"{API}/jobs/query/{job}", json={"state": "Aborted"}).json()[0]["errorCode"] == "INVALIDJOBSTATE"
    answer = api.get(f"{API}/jobs/query/{job}/results", params={"locator": "nonsense"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_simple_salesforce_unmodified_reads_the_same_records(moving: httpx.Client, stand_in: SalesforceStandIn) -> None:
    token = httpx.post(
        f"{stand_in.https_url}/services/oauth2/token",
        data={"grant_type": "client_credentials"} | client_of(stand_in),
        verify=ssl.create_default_context(cafile=stand_in.authority),
    ).json()
    assert token["instance_url"] == stand_in.https_url
    with requests.Session() as session:
        session.trust_env = False  # or REQUESTS_CA_BUNDLE would replace the authority
        session.verify = str(stand_in.authority)
        salesforce = Salesforce(
            instance_url=token["instance_url"], session_id=token["access_token"], session=session, version="64.0"
        )
        soql = f"SELECT {ALL_FIELDS} FROM Opportunity"
        assert by_id(salesforce.query_all(soql)["records"]) == by_id(ask_all(moving, soql)) == standing(T0)
        parts = list(salesforce.bulk2.Opportunity.query(soql, max_records=2000, wait=1))
        records = [record for part in parts for record in csv.DictReader(io.StringIO(part, newline=""))]
        assert len(parts) == 3
        assert by_id(records) == standing(T0)
        assert "Amount" in [field["name"] for field in salesforce.Opportunity.describe()["fields"]]
        with pytest.raises(SalesforceMalformedRequest, match="INVALID_FIELD"):
            salesforce.query("SELECT Nonsense FROM Opportunity")


def client_of(stand_in: SalesforceStandIn) -> dict[str, str]:
    secret = json.loads((stand_in._folder / "secrets.json").read_text())
    return {"client_id": secret["client_id"], "client_secret": secret["client_secret"]}


def test_a_restart_keeps_address_and_secrets_and_an_absent_folder_is_an_empty_organisation(
    stand_in: SalesforceStandIn, dataset: Path, tmp_path: Path
) -> None:
    connection = stand_in.start(dataset, T0)
    stand_in.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{connection.settings['login_url']}/services/data")

    (tmp_path / "nothing").mkdir()
    port = int(connection.settings["login_url"].rpartition(":")[2])
    again = SalesforceStandIn(tmp_path / "sandbox" / "salesforce", port)
    try:
        assert again.start(tmp_path / "nothing", T0) == connection
        assert again.https_url == stand_in.https_url
        login = httpx.post(
            f"{connection.settings['login_url']}/services/oauth2/token",
            data={"grant_type": "client_credentials"} | client_of(again),
        ).json()
        headers = {"Authorization": f"Bearer {login['access_token']}"}
        assert httpx.get(f"{login['instance_url']}{API}/sobjects", headers=headers).json()["sobjects"] == []
    finally:
        again.stop()
