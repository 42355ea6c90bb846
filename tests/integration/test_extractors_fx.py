"""FXRatesExtractor over its live stand-in, and over vendors that answer otherwise."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.config import FxVendorSettings
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract import FXRatesExtractor, fx_rates
from headwater.extract.base_extractor import Position, TimeWindow
from headwater.sandbox.fx import FxStandIn
from headwater.secrets import Secret

T0 = datetime(2024, 11, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
END = T0 + timedelta(days=300)
RATES = 300
SECRET = {"api_key": "key-of-the-tests"}


# Over the stand-in


def write_dataset(folder: Path) -> Path:
    """One rate a day, each with ten digits after the point; 30 of them as of one instant."""
    (folder / "fx").mkdir(parents=True)
    instant = pa.timestamp("us", "UTC")
    moments = [T0 + timedelta(days=max(number, 30), microseconds=1) for number in range(RATES)]
    rates = {
        "date": pa.array([T0.date() + timedelta(days=number) for number in range(RATES)]),
        "base_currency": pa.array(["EUR"] * RATES),
        "quote_currency": pa.array(["USD"] * RATES),
        "rate": pa.array([Decimal(10**10 + number).scaleb(-10) for number in range(RATES)], pa.decimal128(20, 10)),
        "as_of_time": pa.array(moments, instant),
        "_visible_at": pa.array([T0] * RATES, instant),
        "_deleted_at": pa.nulls(RATES, instant),
    }
    pq.write_table(pa.table(rates), folder / "fx" / "rates.parquet")
    return folder


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FxVendorSettings, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("fx")
    stand_in = FxStandIn(folder / "stand-in", None)
    try:
        connection = stand_in.start(write_dataset(folder / "dataset"), END)
        yield FxVendorSettings(enabled=True, **connection.settings), connection.secret
    finally:
        stand_in.stop()


@pytest.fixture
def rates(vendor, contracts) -> FXRatesExtractor:
    return FXRatesExtractor(*vendor, contracts["fx_vendor_rates"])


def read(extractor: FXRatesExtractor, *windows: TimeWindow) -> list[dict]:
    rows: list[dict] = []
    for window in windows:
        for batch in extractor.read(window, pytest.fail):
            rows += batch.to_pylist()
    return rows


def test_check_says_what_was_found(rates, vendor):
    assert rates.check() == f"the API key is accepted; {vendor[0].base_url}/v1/rates can be read"


def test_the_clock_is_the_vendors_own(rates):
    assert rates.clock() == END


def test_a_first_load_reads_each_rate_once_page_by_page_and_exactly(rates, contracts, monkeypatch):
    monkeypatch.setattr(fx_rates, "_PAGE_ROWS", 70)
    windows = rates.partitions(Position(), END)
    assert windows == [TimeWindow(None, END)]

    batches = list(rates.read(windows[0], pytest.fail))

    assert [batch.num_rows for batch in batches] == [70, 70, 70, 70, 20]
    assert all(batch.schema == contracts["fx_vendor_rates"].arrow_schema for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert {row["date"]: row["rate"] for row in rows} == {
        T0.date() + timedelta(days=number): Decimal(10**10 + number).scaleb(-10) for number in range(RATES)
    }


def test_a_window_begins_with_its_start_and_ends_before_its_end_to_the_microsecond(rates):
    moment = T0 + timedelta(days=40, microseconds=1)

    assert [row["as_of_time"] for row in read(rates, TimeWindow(moment, moment + US))] == [moment]
    assert read(rates, TimeWindow(moment - US, moment)) == []


def test_however_a_span_is_cut_each_rate_is_read_once(rates):
    cuts = [None, *(T0 + timedelta(days=day) for day in (1, 30, 31, 150, 299)), END]

    rows = read(rates, *(TimeWindow(start, end) for start, end in pairwise(cuts)))

    assert sorted(row["date"] for row in rows) == [T0.date() + timedelta(days=number) for number in range(RATES)]


def test_a_later_span_is_one_window_and_an_empty_one_none(rates):
    assert rates.partitions(Position(watermark=T0), END) == [TimeWindow(T0, END)]
    assert rates.partitions(Position(watermark=END), END) == []


def test_a_wrong_key_is_refused_and_not_shown(vendor, contracts):
    secret = Secret({"api_key": "not-the-key"}, "fx_vendor/api_key/prod")
    extractor = FXRatesExtractor(vendor[0], secret, contracts["fx_vendor_rates"])

    with pytest.raises(
        SourceRejected,
        match=r"refused the API key \(HTTP 401\): check api_key in secrets\.fx_vendor \(fx_vendor/api_key/prod\), and "
        r"that it has the right to read /v1/rates",
    ) as caught:
        extractor.check()

    assert "not-the-key" not in str(caught.value)


def test_a_closed_port_is_unavailable_soon(contracts):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens on it
        settings = FxVendorSettings(enabled=True, base_url=f"http://127.0.0.1:{held.getsockname()[1]}")
        before = time.monotonic()

        with pytest.raises(SourceUnavailable, match=r"http://127\.0\.0\.1:\d+ did not answer"):
            FXRatesExtractor(settings, SECRET, contracts["fx_vendor_rates"]).clock()

    assert time.monotonic() - before < 10


# Over other vendors


class Vendor:
    """Answers with what a test gave it, in turn, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], str]] = []
        self.asked: list[dict[str, list[str]]] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                vendor.asked.append(parse_qs(urlsplit(self.path).query))
                status, headers, body = vendor.answers.pop(0)
                content = body.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, body: object, status: int = 200, **headers: str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, text))


@pytest.fixture
def other() -> Iterator[Vendor]:
    vendor = Vendor()
    thread = threading.Thread(target=vendor.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield vendor
    vendor.server.shutdown()
    thread.join()
    vendor.server.server_close()


@pytest.fixture
def reading(other, contracts) -> Callable[[], tuple[list[dict], list[dict]]]:
    """Reads one window from the other vendor: the rows and the rejects."""

    def go() -> tuple[list[dict], list[dict]]:
        settings = FxVendorSettings(enabled=True, base_url=other.base_url + "/")
        extractor = FXRatesExtractor(settings, SECRET, contracts["fx_vendor_rates"])
        rejects: list[dict] = []
        batches = extractor.read(TimeWindow(T0, END), lambda refused: rejects.extend(refused.to_pylist()))
        return [row for batch in batches for row in batch.to_pylist()], rejects

    return go


def page(*rates: str, following: str | None = None) -> str:
    return f'{{"base": "EUR", "rates": [{", ".join(rates)}], "next_cursor": {json.dumps(following)}}}'


def rate(told: str, quote: str = "USD") -> str:
    return (
        f'{{"date": "2024-11-01", "base_currency": "EUR", "quote_currency": "{quote}", "rate": {told}, '
        '"as_of_time": "2024-11-01T15:00:00Z"}'
    )


def test_rates_told_as_numbers_or_as_texts_keep_every_digit(other, reading):
    told = ("1.0882", '"1.0882"', "1234567890.0123456789", "1e2", "17", "0.1")
    other.says(page(*(rate(each) for each in told)))

    rows, rejects = reading()

    exact = ("1.0882", "1.0882", "1234567890.0123456789", "100", "17", "0.1")
    assert [row["rate"] for row in rows] == [Decimal(each) for each in exact]
    assert rows[0]["date"] == date(2024, 11, 1)
    assert not rejects


def test_a_rate_that_does_not_parse_is_rejected_as_it_was_told_and_costs_no_other(other, reading):
    bad = ['"n/a"', "1.123456789012345", "true", '{"mid": 1.10}', "NaN"]
    other.says(page(rate("1.5"), *(rate(each) for each in bad), '"what is this"', rate("null")))

    rows, rejects = reading()

    assert [row["rate"] for row in rows] == [Decimal("1.5"), None]
    assert {each["raw"].decode() for each in rejects} == {*(rate(each) for each in bad), '"what is this"'}
    assert all(each["reason"].startswith("rate is ") for each in rejects if each["raw"].startswith(b"{"))
    assert len({each["_row_id"] for each in rejects}) == 6


def test_pages_are_followed_beside_the_same_bounds(other, reading):
    other.says(page(rate("1"), following="abc"))
    other.says(page(following="def"))
    other.says(page(rate("2")))

    rows, _ = reading()

    assert [row["rate"] for row in rows] == [1, 2]
    assert [asked.get("cursor") for asked in other.asked] == [None, ["abc"], ["def"]]
    assert {asked["as_of_from"][0] for asked in other.asked} == {"2024-11-01T00:00:00.000000Z"}


def test_a_busy_vendor_is_asked_again_for_that_page(other, reading):
    other.says(page(rate("1"), following="abc"))
    other.says("slow down", 429, Retry_After="0")
    other.says("oh no", 503)
    other.says(page(rate("2")))

    assert [row["rate"] for row in reading()[0]] == [1, 2]


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, {"Retry_After": "3600"}, 3600.0),
        (503, {"Retry_After": "Fri, 01 Nov 2999 00:02:00 GMT"}, None),
        (429, {"Retry_After": "0"}, 0.0),
    ],
)
def test_a_vendor_that_stays_busy_is_unavailable_and_says_for_how_long(other, reading, status, header, seconds):
    for _ in range(3):
        other.says("busy", status, **header)

    with pytest.raises(SourceUnavailable, match=f"HTTP {status}") as caught:
        reading()

    assert caught.value.retry_after_s is not None
    assert seconds is None or caught.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (
            {"success": False, "error": {"code": 105, "info": "not in your plan"}},
            200,
            "refused the request: .*not in your",
        ),
        ("forbidden", 403, r"refused the API key \(HTTP 403\)"),
        ({"error": {"code": "invalid_parameter"}}, 400, "answers HTTP 400: .*invalid_parameter"),
        ("<html>sign in</html>", 200, r"does not answer in JSON: check data_sources\.fx_vendor\.base_url"),
        ({"quotes": {"USDEUR": 0.9}}, 200, "answers without a list of rates"),
        (
            {"rates": [{"date": "2024-11-01"}]},
            200,
            "has no column base_currency, which config/contracts/bronze/fx_vendor",
        ),
    ],
)
def test_what_no_retry_helps_is_rejected_with_its_reason(other, reading, answer, status, message):
    other.says(answer, status)

    with pytest.raises(SourceRejected, match=message):
        reading()

    assert len(other.asked) == 1


@pytest.mark.parametrize("following", [["abc", "abc"], ["abc", "def", "abc"]])
def test_a_vendor_that_goes_round_in_circles_is_left(other, reading, following):
    for each in following:
        other.says(page(rate("1"), following=each))

    with pytest.raises(SourceUnavailable, match="names the same next page twice: abc"):
        reading()


def test_an_answer_that_breaks_off_is_unavailable(other, reading):
    other.says(page(rate("1"))[:-20])

    with pytest.raises(SourceUnavailable, match="broke off"):
        reading()


def test_a_key_that_the_vendor_repeats_is_not_shown(other, reading):
    other.says(f"no such plan for {SECRET['api_key']}", 400)

    with pytest.raises(SourceRejected, match=r"no such plan for \*\*\*"):
        reading()


def test_fields_that_no_contract_knows_come_as_they_were_told_page_by_page(other, reading):
    rate = {"date": "2024-11-01", "base_currency": "EUR", "quote_currency": "USD", "rate": 1.1}
    rate |= {"as_of_time": "2024-11-02T00:00:00Z"}
    other.says({"rates": [rate], "next_cursor": "2"})
    other.says({"rates": [rate | {"Spread": 0.10, "desk": {"city": "Bonn"}, "_id": 7}], "next_cursor": None})

    rows, rejects = reading()

    assert not rejects
    assert "spread" not in rows[0]
    assert (rows[1]["spread"], rows[1]["desk"], rows[1]["source_id"]) == ("0.1", '{"city": "Bonn"}', "7")
