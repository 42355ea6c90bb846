"""SalesforceExtractor over the stand-in: every version of a window once, however it is read; refusals in our words."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import SimpleNamespace

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.config import SalesforceSettings
from headwater.contracts import Column, Contract, Contracts
from headwater.errors import ConfigurationError, SourceRejected, SourceUnavailable
from headwater.extract import salesforce, salesforce_api
from headwater.extract.base_extractor import Position, TimeWindow
from headwater.extract.salesforce import SalesforceExtractor, snake_case
from headwater.sandbox.salesforce import SalesforceStandIn

T0 = datetime(2024, 11, 1, tzinfo=UTC)
AT = T0 + timedelta(days=1)
ROWS = 4500
US = pa.timestamp("us", "UTC")
TIMES = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp", "_visible_at", "_deleted_at"), US)
ACCOUNT = pa.schema(
    {
        "Id": pa.string(),
        "Name": pa.string(),
        "Industry": pa.string(),
        "AnnualRevenue": pa.decimal128(18, 2),
        "Phone": pa.string(),
        "BillingStreet": pa.string(),
        "BillingCity": pa.string(),
        "BillingCountry": pa.string(),
    }
    | TIMES
)
OPPORTUNITY = pa.schema(
    {
        "Id": pa.string(),
        "AccountId": pa.string(),
        "Name": pa.string(),
        "StageName": pa.string(),
        "Amount": pa.decimal128(18, 2),
        "CloseDate": pa.date32(),
        "Probability": pa.decimal128(5, 2),
    }
    | TIMES
)


def account_id(number: int) -> str:
    return f"001{number:012d}AAA"


def account(number: int, **changed: object) -> dict[str, object]:
    """One account a second; every eleventh without industry and revenue."""
    moment = T0 + timedelta(seconds=number, milliseconds=number % 1000)
    return {
        "Id": account_id(number),
        "Name": f'A "{number}", Ltd\nline é',
        "Industry": None if number % 11 == 0 else "Retail",
        "AnnualRevenue": None if number % 11 == 0 else Decimal("9999999999999999.99") - number,
        "BillingStreet": "1 Main St\r\nFloor 2" if number % 7 == 0 else None,
        "CreatedDate": T0,
        "LastModifiedDate": T0,
        "SystemModstamp": moment,
        "_visible_at": moment,
    } | changed


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("salesforce")
    accounts = [account(number) for number in range(ROWS)]
    accounts[5] |= {"_deleted_at": T0 + timedelta(hours=20)}
    opportunities = [
        {
            "Id": f"006{number:012d}AAA",
            "Name": f"O{number}",
            "StageName": "Prospecting",
            "Probability": probability,
            "CloseDate": T0.date(),
            **dict.fromkeys(TIMES, T0),
            "_deleted_at": None,
        }
        for number, probability in enumerate([Decimal(75), Decimal("12.5"), None])
    ]
    (folder / "dataset" / "salesforce").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(accounts, ACCOUNT), folder / "dataset" / "salesforce" / "Account.parquet")
    pq.write_table(
        pa.Table.from_pylist(opportunities, OPPORTUNITY), folder / "dataset" / "salesforce" / "Opportunity.parquet"
    )
    stand_in = SalesforceStandIn(folder / "salesforce", None)
    try:
        connection = stand_in.start(folder / "dataset", AT)
        yield SimpleNamespace(
            stand_in=stand_in,
            settings=SalesforceSettings(enabled=True, **connection.settings),
            secret={name: connection.secret[name] for name in ("client_id", "client_secret")},
        )
    finally:
        stand_in.stop()


@pytest.fixture
def accounts(live: SimpleNamespace, contracts: Contracts) -> SalesforceExtractor:
    return SalesforceExtractor(live.settings, live.secret, contracts["salesforce_accounts"])


def read(extractor: SalesforceExtractor, *windows: TimeWindow) -> tuple[list[dict], list[dict]]:
    rejects: list[pa.RecordBatch] = []
    batches = [batch for window in windows for batch in extractor.read(window, rejects.append)]
    rows = [row for batch in batches for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["id"]), [row for batch in rejects for row in batch.to_pylist()]


JOB = re.compile(r"/services/data/v64.0/jobs/query/\w+")
EVERYTHING = TimeWindow(None, AT)


def test_every_row_arrives_typed_deleted_ones_too(accounts, contracts):
    batch = next(accounts.read(EVERYTHING, print))
    rows, rejects = read(accounts, EVERYTHING)

    assert batch.schema == contracts["salesforce_accounts"].arrow_schema
    assert [row["id"] for row in rows] == [account_id(number) for number in range(ROWS)]
    assert rejects == []
    first = account(1)
    assert rows[1] == {
        "id": account_id(1),
        "name": 'A "1", Ltd\nline é',
        "industry": "Retail",
        "annual_revenue": Decimal("9999999999999998.9900"),
        "phone": None,
        "billing_street": None,
        "billing_city": None,
        "billing_country": None,
        "created_date": T0,
        "last_modified_date": T0,
        "system_modstamp": first["SystemModstamp"],
        "is_deleted": False,
    }
    assert rows[0]["billing_street"] == "1 Main St\r\nFloor 2"
    deleted_at = T0 + timedelta(hours=20)
    assert [(row["id"], row["system_modstamp"]) for row in rows if row["is_deleted"]] == [(account_id(5), deleted_at)]


def test_a_query_job_gives_the_same_rows_as_the_pages_and_leaves_nothing_behind(live, accounts, monkeypatch):
    by_rest, _ = read(accounts, EVERYTHING)
    monkeypatch.setattr(salesforce, "_BY_REST_UP_TO", 0)
    monkeypatch.setattr(salesforce_api, "_PAGE_RECORDS", 1000)

    by_job, rejects = read(accounts, EVERYTHING)

    assert by_job == by_rest
    assert rejects == []
    assert live.stand_in._server.jobs.all() == []


def test_a_query_job_without_records_gives_none(live, accounts, monkeypatch):
    monkeypatch.setattr(salesforce, "_BY_REST_UP_TO", -1)

    assert read(accounts, TimeWindow(AT - timedelta(seconds=1), AT)) == ([], [])
    assert live.stand_in._server.jobs.all() == []


def test_a_window_includes_its_start_and_excludes_its_end_to_the_millisecond(accounts):
    # account 100 was changed at 100.100 s, account 101 at 101.101 s
    start, end = (account(number)["SystemModstamp"] for number in (100, 101))
    microsecond = timedelta(microseconds=1)

    def found(start: datetime, end: datetime) -> list[int]:
        return [int(row["id"][3:15]) for row in read(accounts, TimeWindow(start, end))[0]]

    assert found(start, end) == [100]
    assert found(start, end + microsecond) == [100, 101]
    assert found(start + microsecond, end) == []
    assert found(start - microsecond, end - microsecond) == [100]


def test_windows_cover_the_span_without_overlap(accounts):
    accounts.rows_per_window = 1000
    since = Position(watermark=T0 + timedelta(seconds=100))

    windows = accounts.partitions(since, AT)

    assert len(windows) == 5
    assert (windows[0].start, windows[-1].end) == (since.watermark, AT)
    assert all(before.end == after.start for before, after in pairwise(windows))
    rows, _ = read(accounts, *windows)
    # all but the first hundred, and the deleted one among these, whose deletion is a change of its own
    assert [row["id"] for row in rows] == [account_id(5), *(account_id(number) for number in range(100, ROWS))]


def test_nothing_is_due_where_nothing_changed(accounts):
    assert accounts.partitions(Position(watermark=AT - timedelta(hours=1)), AT) == []
    assert accounts.partitions(Position(watermark=AT), AT - timedelta(hours=1)) == []
    assert accounts.partitions(Position(), AT) == [EVERYTHING]


def test_the_clock_is_the_organisations(accounts):
    assert accounts.clock() == AT


def test_check_says_what_was_found(live, accounts):
    assert accounts.check() == f"{live.settings.login_url}: Account with {ROWS} records, 12 fields to read"


def test_a_session_that_ended_is_renewed(live, accounts):
    batches = accounts.read(EVERYTHING, print)
    rows = next(batches).num_rows
    live.stand_in._server._tokens.clear()

    assert rows + sum(batch.num_rows for batch in batches) == ROWS


def test_a_number_of_a_described_type_that_the_contract_does_not_hold_stands_beside_its_column(live, contracts):
    extractor = SalesforceExtractor(live.settings, live.secret, contracts["salesforce_opportunities"])

    rows, rejects = read(extractor, EVERYTHING)

    assert not rejects
    assert [(row["probability"], row["probability__decimal"]) for row in rows] == [
        (75, None),
        (None, Decimal("12.5000000000")),
        (None, None),
    ]


def test_a_value_that_is_none_of_its_described_type_is_rejected_with_its_record(live, contracts, monkeypatch):
    monkeypatch.setattr(salesforce, "_declared", lambda _: pa.int64())
    extractor = SalesforceExtractor(live.settings, live.secret, contracts["salesforce_opportunities"])

    rows, rejects = read(extractor, EVERYTHING)

    assert [row["probability"] for row in rows] == [75, None]
    assert len(rejects) == 1
    assert rejects[0]["position"] == "Opportunity id=006000000000001AAA"
    assert "12.5" in rejects[0]["reason"]
    assert b'"O1"' in rejects[0]["raw"]


def without(contract: Contract, column: str) -> Contract:
    return replace(contract, columns=tuple(each for each in contract.columns if each.name != column))


def plus(contract: Contract, column: Column) -> Contract:
    return replace(contract, columns=(*contract.columns, column))


def test_a_field_that_the_contract_requires_and_the_object_lacks_is_named(live, contracts):
    contract = plus(contracts["salesforce_accounts"], Column("tax_number", "string", required=True))
    extractor = SalesforceExtractor(live.settings, live.secret, contract)

    for ask in (lambda: extractor.partitions(Position(), AT), lambda: read(extractor, EVERYTHING), extractor.check):
        with pytest.raises(SourceRejected, match=r"Account .*tax_number.*bronze/salesforce_accounts\.yaml"):
            ask()


def test_an_optional_field_that_the_object_lacks_is_null(live, contracts, caplog):
    contract = plus(contracts["salesforce_accounts"], Column("tax_number", "string"))

    rows, _ = read(SalesforceExtractor(live.settings, live.secret, contract), EVERYTHING)

    assert {row["tax_number"] for row in rows} == {None}
    assert "tax_number" in caplog.text


def test_fields_that_the_contract_does_not_know_come_in_the_types_of_the_description(live, contracts):
    contract = contracts["salesforce_accounts"]
    for column in ("annual_revenue", "created_date", "industry"):
        contract = without(contract, column)
    extractor = SalesforceExtractor(live.settings, live.secret, contract)

    batch = next(extractor.read(EVERYTHING, pytest.fail))

    assert [batch.schema.field(name).type for name in ("annual_revenue", "created_date", "industry")] == [
        pa.decimal128(38, 10),
        pa.timestamp("us", "UTC"),
        pa.string(),
    ]
    assert batch.column("created_date")[0].as_py() == T0


def test_a_field_whose_described_type_the_contract_does_not_hold_keeps_what_fits(live, contracts):
    contract = without(contracts["salesforce_accounts"], "name")
    extractor = SalesforceExtractor(live.settings, live.secret, plus(contract, Column("name", "bigint")))

    rows, rejects = read(extractor, EVERYTHING)

    assert not rejects
    assert {row["name"] for row in rows} == {None}
    assert rows[1]["name__string"] == account(1)["Name"]


def test_an_object_that_is_not_there_is_named(live, contracts):
    with pytest.raises(SourceRejected, match="sobjects/Contact/describe"):
        SalesforceExtractor(live.settings, live.secret, contracts["salesforce_contacts"]).check()


@pytest.mark.parametrize("field", ["client_id", "client_secret"])
def test_a_wrong_credential_is_refused_and_not_shown(live, contracts, field):
    secret = live.secret | {field: "sesame-open"}
    extractor = SalesforceExtractor(live.settings, secret, contracts["salesforce_accounts"])

    with pytest.raises(SourceRejected, match=r"refused the login .*check secrets\.salesforce") as refused:
        extractor.check()
    assert not any(value in str(refused.value) for value in secret.values())


def test_a_missing_credential_is_named(live, contracts):
    extractor = SalesforceExtractor(live.settings, {"client_id": "x"}, contracts["salesforce_accounts"])

    with pytest.raises(ConfigurationError, match=r"secrets\.salesforce has no client_secret"):
        extractor.check()


def test_a_version_that_is_not_served_is_refused(live, contracts):
    settings = replace(live.settings, api_version="1.0")

    with pytest.raises(SourceRejected, match=r"NOT_FOUND.*data_sources\.salesforce\.api_version"):
        SalesforceExtractor(settings, live.secret, contracts["salesforce_accounts"]).check()


def test_nobody_at_the_address_is_unavailable(live, contracts):
    settings = replace(live.settings, login_url="http://127.0.0.1:1")

    with pytest.raises(SourceUnavailable, match=r"http://127\.0\.0\.1:1 did not answer"):
        SalesforceExtractor(settings, live.secret, contracts["salesforce_accounts"]).check()


# -- Salesforce on a bad day: a proxy before the stand-in answers some requests itself

Fault = Callable[[str, str], tuple[int, dict[str, str], bytes] | None]


@pytest.fixture
def bad_day(live: SimpleNamespace, contracts: Contracts) -> Iterator[SimpleNamespace]:
    """An extractor whose requests `faults` may answer: from method and path to an answer, or None to pass it on."""
    faults: list[Fault] = []
    seen: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(f"{self.command} {self.path}")
            for fault in faults:
                if answer := fault(self.command, self.path):
                    return self._send(*answer)
            with httpx.Client() as client:
                asked = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
                passed = client.request(self.command, live.settings.login_url + self.path, headers=asked, content=body)
            kept = {name: value for name, value in passed.headers.items() if name.startswith("sforce")}
            return self._send(passed.status_code, kept, passed.content)

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        settings = replace(live.settings, login_url=f"http://127.0.0.1:{server.server_port}")
        extractor = SalesforceExtractor(settings, live.secret, contracts["salesforce_accounts"])
        yield SimpleNamespace(extractor=extractor, faults=faults, seen=seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, b'[{"errorCode":"%s","message":"told so"}]' % code.encode()


@pytest.mark.parametrize(
    ("answer", "retry_after_s"),
    [
        (error(503, "SERVER_UNAVAILABLE", Retry_After="7"), 7.0),
        (error(429, "TOO_MANY", Retry_After="soon"), None),
        (error(403, "REQUEST_LIMIT_EXCEEDED"), None),
        (error(400, "QUERY_TIMEOUT"), None),
        ((502, {}, b"<html>bad gateway</html>"), None),
    ],
)
def test_what_passes_is_unavailable(bad_day, answer, retry_after_s):
    bad_day.faults.append(lambda _, path: answer if "/queryAll" in path else None)

    with pytest.raises(SourceUnavailable) as unavailable:
        read(bad_day.extractor, EVERYTHING)
    assert unavailable.value.retry_after_s == retry_after_s


@pytest.mark.parametrize("code", ["MALFORMED_QUERY", "INVALID_FIELD", "INVALID_TYPE"])
def test_a_refused_query_is_told_in_salesforces_words(bad_day, code):
    bad_day.faults.append(lambda _, path: error(400, code) if "/queryAll" in path else None)

    with pytest.raises(SourceRejected, match=f"{code} told so"):
        read(bad_day.extractor, EVERYTHING)


def test_a_login_that_is_never_accepted_is_tried_twice_and_no_more(bad_day):
    bad_day.faults.append(lambda _, path: error(401, "INVALID_SESSION_ID") if "/describe" in path else None)

    with pytest.raises(SourceRejected, match=r"check secrets\.salesforce"):
        bad_day.extractor.check()
    assert sum("/oauth2/token" in each for each in bad_day.seen) == 2


def test_a_login_page_that_is_down_is_unavailable_and_one_of_somebody_else_refused(bad_day):
    answers = [*[(503, {}, b"")] * SalesforceSettings().attempts, (200, {}, b"<html>welcome</html>")]
    bad_day.faults.append(lambda _, path: answers.pop(0) if "/oauth2/token" in path else None)

    with pytest.raises(SourceUnavailable):
        bad_day.extractor.check()
    with pytest.raises(SourceRejected, match=r"no Salesforce login .*data_sources\.salesforce\.login_url"):
        bad_day.extractor.check()


@pytest.fixture
def small_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salesforce, "_BY_REST_UP_TO", 0)
    monkeypatch.setattr(salesforce_api, "_PAGE_RECORDS", 1000)


def test_a_job_is_deleted_when_a_page_fails(live, bad_day, small_job):
    bad_day.faults.append(lambda _, path: error(500, "UNKNOWN_EXCEPTION") if "locator=" in path else None)

    with pytest.raises(SourceUnavailable):
        read(bad_day.extractor, EVERYTHING)
    assert live.stand_in._server.jobs.all() == []


def test_a_job_is_deleted_when_nobody_reads_on(live, bad_day, small_job):
    batches = bad_day.extractor.read(EVERYTHING, print)
    next(batches)
    batches.close()

    assert live.stand_in._server.jobs.all() == []


def test_a_job_that_is_given_up_is_aborted_and_deleted(live, bad_day, small_job, monkeypatch):
    monkeypatch.setattr(salesforce_api, "_JOB_WITHIN_S", 0.0)
    running = (200, {}, b'{"state":"InProgress"}')
    bad_day.faults.append(lambda verb, path: running if verb == "GET" and JOB.fullmatch(path) else None)

    with pytest.raises(SourceUnavailable, match="took more than"):
        read(bad_day.extractor, EVERYTHING)
    assert [each.split()[0] for each in bad_day.seen[-2:]] == ["PATCH", "DELETE"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [("INVALID_FIELD: no such column", SourceRejected), ("Internal error", SourceUnavailable)],
)
def test_a_job_that_failed_says_why(bad_day, small_job, said, kind):
    failed = (200, {}, b'{"state":"Failed","errorMessage":"%s"}' % said.encode())
    bad_day.faults.append(lambda verb, path: failed if verb == "GET" and JOB.fullmatch(path) else None)

    with pytest.raises(kind, match=said):
        read(bad_day.extractor, EVERYTHING)


@pytest.mark.parametrize("content", [b'"Id"\n"1"\n', b'"Id","Name"\n"1\n', b"<html>"])
def test_a_page_that_broke_off_is_unavailable(bad_day, small_job, content):
    page = (200, {"Sforce-NumberOfRecords": "1000", "Sforce-Locator": "null"}, content)
    bad_day.faults.append(lambda _, path: page if "/results" in path else None)

    with pytest.raises(SourceUnavailable, match="a page of a query job"):
        read(bad_day.extractor, EVERYTHING)


def test_fewer_records_than_told_are_unavailable(bad_day, small_job, live):
    def cut(_: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if "/results" not in path:
            return None
        names = ",".join(field.name for field in live.stand_in._server.org.objects["Account"].fields)
        return 200, {"Sforce-NumberOfRecords": "1000", "Sforce-Locator": "null"}, f"{names}\n".encode()

    bad_day.faults.append(cut)

    with pytest.raises(SourceUnavailable, match="0 records instead of 1000"):
        read(bad_day.extractor, EVERYTHING)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Id", "id"),
        ("SystemModstamp", "system_modstamp"),
        ("IsDeleted", "is_deleted"),
        ("StageName", "stage_name"),
        ("Tax_Id__c", "tax_id_c"),
        ("SICDesc", "sic_desc"),
    ],
)
def test_a_fields_name_in_bronze(name, column):
    assert snake_case(name) == column
