"""The FX vendor's stand-in, asked by httpx."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.sandbox.fx import FxStandIn

T0 = datetime(2024, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("date", pa.date32()),
        ("base_currency", pa.string()),
        ("quote_currency", pa.string()),
        ("rate", pa.decimal128(20, 10)),
        ("as_of_time", INSTANT),
        ("_visible_at", INSTANT),
        ("_deleted_at", INSTANT),
    ]
)


def rate(
    day: int, quote: str, units: str, as_of: datetime, visible: datetime | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "date": date(2024, 10, 1) + timedelta(days=day),
        "base_currency": "EUR",
        "quote_currency": quote,
        "rate": Decimal(units),
        "as_of_time": as_of,
        "_visible_at": visible or as_of,
        "_deleted_at": None,
    } | more


HISTORY = [
    *(
        rate(day, quote, f"{day + 1}.{number:02d}", T0 - timedelta(days=30 - day, hours=9))
        for day in range(30)
        for number, quote in enumerate(("CHF", "GBP", "JPY", "USD"))
    ),
    rate(30, "IDR", "17123.1234567891", T0 - timedelta(hours=9)),
    # the day after: a correction that becomes visible late, a withdrawn rate, a new one with microseconds
    rate(3, "USD", "1.0882", T0 + timedelta(hours=1), T0 + timedelta(hours=2)),
    rate(5, "GBP", "6.01", T0 - timedelta(days=25, hours=9), _deleted_at=T0 + timedelta(hours=3)),
    rate(31, "USD", "1.1", T0 + timedelta(hours=15, microseconds=123456)),
]


def standing(at: datetime) -> list[dict[str, Any]]:
    """What the API must tell at `at`, in its order."""
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted((row for row in HISTORY if row["_visible_at"] <= at), key=lambda row: row["_visible_at"]):
        newest[(row["date"], row["quote_currency"])] = row
    shown = [row for row in newest.values() if row["_deleted_at"] is None or row["_deleted_at"] > at]
    shown.sort(key=lambda row: (row["as_of_time"], row["quote_currency"], row["date"]))
    return [{name: row[name] for name in SCHEMA.names[:5]} for row in shown]


def in_values(told: dict[str, Any]) -> dict[str, Any]:
    assert isinstance(told["rate"], str)
    return told | {
        "date": date.fromisoformat(told["date"]),
        "rate": Decimal(told["rate"]),
        "as_of_time": datetime.fromisoformat(told["as_of_time"]),
    }


def ask_all(api: httpx.Client, **parameters: str) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        asked = parameters | ({"cursor": cursor} if cursor else {})
        page = api.get("/v1/rates", params=asked).raise_for_status().json()
        assert page["base"] == "EUR"
        assert len(page["rates"]) <= int(parameters.get("page_size", "1000"))
        found += [in_values(each) for each in page["rates"]]
        if (cursor := page["next_cursor"]) is None:
            return found


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "dataset" / "fx").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(HISTORY, SCHEMA), tmp_path / "dataset" / "fx" / "rates.parquet")
    return tmp_path / "dataset"


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[FxStandIn]:
    fx = FxStandIn(tmp_path / "sandbox" / "fx_vendor", None)
    yield fx
    fx.stop()


@pytest.fixture
def api(stand_in: FxStandIn, dataset: Path) -> Iterator[httpx.Client]:
    """A client with the right key, of the stand-in at T0."""
    connection = stand_in.start(dataset, T0)
    headers = {"Authorization": f"Bearer {connection.secret['api_key']}"}
    with httpx.Client(base_url=connection.settings["base_url"], headers=headers) as client:
        yield client


def test_the_rates_are_those_of_the_clock_on_pages_of_any_size(api: httpx.Client, stand_in: FxStandIn) -> None:
    assert ask_all(api) == standing(T0)
    assert ask_all(api, page_size="7") == standing(T0)
    assert api.get("/v1/rates").headers["Date"] == "Fri, 01 Nov 2024 00:00:00 GMT"

    stand_in.advance(T0, T0 + DAY)
    after = standing(T0 + DAY)
    assert ask_all(api, page_size="11") == ask_all(api) == after
    assert len(after) == len(standing(T0)) - 1 + 1, "one was withdrawn, one corrected, one is new"
    assert api.get("/v1/status").json() == {"status": "ok", "time": "2024-11-02T00:00:00.000000Z", "base": "EUR"}


def test_a_span_includes_its_beginning_and_not_its_end(api: httpx.Client) -> None:
    begin, end = T0 - timedelta(days=20, hours=9), T0 - timedelta(days=10, hours=9)
    expected = [row for row in standing(T0) if begin <= row["as_of_time"] < end]
    assert len(expected) == 40
    assert ask_all(api, as_of_from=begin.isoformat(), as_of_to=end.isoformat(), page_size="3") == expected
    assert ask_all(api, as_of_to="2024-10-02T17:00:00+02:00") == [
        row for row in standing(T0) if row["as_of_time"] < datetime(2024, 10, 2, 15, tzinfo=UTC)
    ]
    assert ask_all(api, as_of_from=T0.isoformat()) == []


def test_a_rate_is_told_with_every_digit(api: httpx.Client) -> None:
    assert api.get("/v1/rates", params={"as_of_from": "2024-10-31T15:00:00Z"}).json()["rates"] == [
        {
            "date": "2024-10-31",
            "base_currency": "EUR",
            "quote_currency": "IDR",
            "rate": "17123.1234567891",
            "as_of_time": "2024-10-31T15:00:00.000000Z",
        }
    ]


def test_without_the_key_there_is_nothing(stand_in: FxStandIn, dataset: Path, tmp_path: Path) -> None:
    connection = stand_in.start(dataset, T0)
    with httpx.Client(base_url=connection.settings["base_url"]) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": connection.secret["api_key"]}):
            answer = client.get("/v1/rates", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert client.get("/v1/status").status_code == 200
    log = (tmp_path / "sandbox" / "logs" / "fx_vendor.log").read_text()
    assert "GET /v1/rates 401" in log
    assert connection.secret["api_key"] not in log
    assert (tmp_path / "sandbox" / "fx_vendor" / "secrets.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"as_of_from": "yesterday"}, "invalid_parameter"),
        ({"as_of_to": "2024-11-01T00:00:00"}, "invalid_parameter"),
        ({"page_size": "0"}, "invalid_parameter"),
        ({"page_size": "5001"}, "invalid_parameter"),
        ({"page_size": "x"}, "invalid_parameter"),
        ({"since": "2024-11-01T00:00:00Z"}, "invalid_parameter"),
        ({"cursor": "nonsense"}, "invalid_cursor"),
        ({"cursor": "WzEsMiwzLDRd"}, "invalid_cursor"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(api: httpx.Client, asked: dict[str, str], code: str) -> None:
    answer = api.get("/v1/rates", params=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_unknown_pages_are_json_too(api: httpx.Client) -> None:
    assert api.get("/v2/rates").json()["error"]["code"] == "not_found"
    assert api.post("/v1/rates").status_code == 405


def test_who_asks_too_often_is_told_how_long_to_wait(tmp_path: Path, dataset: Path) -> None:
    strict = FxStandIn(tmp_path / "strict", None, requests_per_s=3)
    try:
        connection = strict.start(dataset, T0)
        headers = {"Authorization": f"Bearer {connection.secret['api_key']}"}
        with httpx.Client(base_url=connection.settings["base_url"], headers=headers) as client:
            answers = [client.get("/v1/rates", params={"page_size": "1"}) for _ in range(4)]
        assert [answer.status_code for answer in answers[:3]] == [200] * 3
        assert answers[3].status_code == 429
        assert answers[3].headers["Retry-After"] == "1"
        assert answers[3].json()["error"]["code"] == "too_many_requests"
    finally:
        strict.stop()


def test_a_restart_keeps_address_and_key_and_a_dataset_without_rates_has_none(
    stand_in: FxStandIn, dataset: Path, tmp_path: Path
) -> None:
    connection = stand_in.start(dataset, T0)
    stand_in.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{connection.settings['base_url']}/v1/status")

    (tmp_path / "nothing").mkdir()
    port = int(connection.settings["base_url"].rpartition(":")[2])
    again = FxStandIn(tmp_path / "sandbox" / "fx_vendor", port)
    try:
        assert again.start(tmp_path / "nothing", T0) == connection
        headers = {"Authorization": f"Bearer {connection.secret['api_key']}"}
        with httpx.Client(base_url=connection.settings["base_url"], headers=headers) as client:
            assert ask_all(client) == []
    finally:
        again.stop()
