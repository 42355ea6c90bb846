"""The seam of every extractor: windows, the shape of Bronze, retries, and what messages may hold."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import SourceSettings
from headwater.contracts import Column, Contract
from headwater.errors import ConfigurationError, SourceRejected, SourceUnavailable
from headwater.extract import EXTRACTORS, build
from headwater.extract.base_extractor import CursorSpan, Pace, TimeWindow, credential, retried, scrubbed, utc, windows
from headwater.extract.conform import BronzeShape
from headwater.extract.from_text import typed
from headwater.secrets import Secret

T0 = datetime(2024, 11, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
ORDERS = Contract(
    layer="bronze",
    name="snowflake_orders",
    path="bronze/snowflake/orders",
    columns=(
        Column("order_id", "string", required=True),
        Column("quantity", "bigint", required=True),
        Column("amount", "decimal(20,4)"),
        Column("shipped_on", "date"),
        Column("last_modified_ts", "timestamp", required=True),
    ),
    key=("order_id",),
    cursor="last_modified_ts",
)


def cast(batch: dict[str, pa.Array], contract: Contract = ORDERS) -> tuple[list[dict], list[dict]]:
    """The rows and the rejects of one batch."""
    rejects: list[dict] = []
    shape = BronzeShape("snowflake", "RAW.ORDERS", contract)
    rows = shape.cast(pa.RecordBatch.from_pydict(batch), lambda refused: rejects.extend(refused.to_pylist()))
    assert pa.schema(list(rows.schema)[: len(contract.columns)]) == contract.arrow_schema
    return rows.to_pylist(), rejects


def an_order(**columns: pa.Array) -> dict[str, pa.Array]:
    rows = len(next(iter(columns.values()), [0]))
    return {
        "ORDER_ID": pa.array([f"O{row}" for row in range(rows)]),
        "QUANTITY": pa.array([1] * rows, pa.int8()),
        "AMOUNT": pa.array([Decimal("1.00")] * rows),
        "SHIPPED_ON": pa.nulls(rows),
        "LAST_MODIFIED_TS": pa.array([T0] * rows, pa.timestamp("us", "UTC")),
    } | columns


# Windows


def test_a_small_table_is_one_window_from_the_beginning_of_time():
    assert windows(None, T0, CursorSpan(100_000, T0 - timedelta(days=9), T0 - US)) == [TimeWindow(None, T0)]


def test_an_empty_table_has_no_window():
    assert windows(None, T0, CursorSpan(0)) == []


def test_a_large_table_is_cut_into_windows_of_about_half_a_million_rows():
    cut = windows(None, T0, CursorSpan(1_750_000, T0 - timedelta(days=8), T0 - US))

    assert len(cut) == 4
    assert cut[0].start is None
    assert cut[1].start == T0 - timedelta(days=6)


def test_a_table_is_cut_as_finely_as_is_set():
    assert len(windows(None, T0, CursorSpan(10, T0 - timedelta(days=8), T0 - US), rows=3)) == 4


def test_a_huge_table_is_cut_into_64_windows_at_most():
    assert len(windows(None, T0, CursorSpan(10**10, T0 - timedelta(days=3650), T0))) == 64


def test_a_million_rows_of_one_instant_are_not_cut():
    assert windows(None, T0, CursorSpan(5_000_000, T0 - US, T0 - US)) == [
        TimeWindow(None, T0 - US),
        TimeWindow(T0 - US, T0),
    ]


@given(
    rows=st.integers(1, 10**8),
    oldest=st.timedeltas(timedelta(0), timedelta(days=4000)),
    length=st.timedeltas(US, timedelta(days=4000)),
    first_load=st.booleans(),
)
def test_windows_touch_never_overlap_and_cover_the_whole_span(rows, oldest, length, first_load):
    start, end = T0, T0 + length
    span = CursorSpan(rows, start + min(oldest, length - US), end - US)

    cut = windows(None if first_load else start, end, span)

    assert cut[0].start == (None if first_load else start)
    assert cut[-1].end == end
    assert all(before.end == after.start for before, after in pairwise(cut))
    assert all(window.start is None or window.start < window.end for window in cut)
    assert len(cut) <= 64


def test_a_cursor_that_is_no_timestamp_is_refused_with_its_name():
    with pytest.raises(SourceRejected, match=r"RAW\.ORDERS\.SEQ orders the row versions and must be a timestamp"):
        CursorSpan.told("snowflake", "RAW.ORDERS.SEQ", (5, 1, 9))


@pytest.mark.parametrize(
    "text", ["2024-11-01T00:00:00+00:00", "2024-11-01 02:00:00.0+02:00", "2024-10-31 19:00-05:00", "2024-11-01T00:00"]
)
def test_an_instant_that_is_told_as_text_may_tell_its_offset(text):
    arrays, refused = typed([Column("at", "timestamp")], {"at": pa.array([text])})

    assert (arrays["at"].to_pylist(), refused) == ([T0], {})


def test_an_instant_without_a_zone_is_utc():
    assert utc(datetime(2024, 11, 1)) == T0  # noqa: DTZ001
    assert utc(T0.astimezone(tz=None)) == T0


# The shape of Bronze


def test_decimals_are_widened_exactly_and_integers_become_bigint():
    rows, rejects = cast(
        an_order(AMOUNT=pa.array([Decimal("99999999.99"), None, Decimal("-0.01")], pa.decimal128(10, 2)))
    )

    assert [row["amount"] for row in rows] == [Decimal("99999999.9900"), None, Decimal("-0.0100")]
    assert [row["quantity"] for row in rows] == [1, 1, 1]
    assert not rejects


def test_an_integer_and_a_double_become_decimals_without_passing_through_binary_fractions():
    assert cast(an_order(AMOUNT=pa.array([7])))[0][0]["amount"] == Decimal("7.0000")
    assert cast(an_order(AMOUNT=pa.array([0.1])))[0][0]["amount"] == Decimal("0.1000")


def test_a_number_with_more_digits_than_its_column_has_stands_beside_it_and_is_not_rounded():
    rows, rejects = cast(an_order(AMOUNT=pa.array([Decimal("1.23455"), Decimal("2.50000")])))

    assert [(row["amount"], row["amount__decimal"]) for row in rows] == [
        (None, Decimal("1.2345500000")),
        (Decimal("2.5000"), None),
    ]
    assert not rejects


def test_a_row_with_two_misfits_is_rejected_once_with_both_reasons_and_the_same_id_each_time():
    batch = an_order(AMOUNT=pa.array(["much", "1.5"]), QUANTITY=pa.array(["2.5", "3"]))

    rows, rejects = cast(batch)

    assert [(row["amount"], row["quantity"]) for row in rows] == [(Decimal("1.5000"), 3)]
    assert [each["reason"] for each in rejects] == [
        "quantity is '2.5', which is no bigint; amount is 'much', which is no decimal(20,4)"
    ]
    assert cast(batch)[1] == rejects


def test_every_misfit_of_a_large_batch_is_found_and_nothing_else():
    amounts = ["little" if row % 997 == 1 else str(row) for row in range(20_000)]

    rows, rejects = cast(an_order(AMOUNT=pa.array(amounts)))

    assert len(rows) + len(rejects) == 20_000
    assert {each["position"] for each in rejects} == {f"RAW.ORDERS ORDER_ID=O{row}" for row in range(1, 20_000, 997)}


def test_timestamps_without_a_zone_are_utc_and_keep_their_microseconds():
    naive = pa.array([1730419200000001], pa.timestamp("us"))

    assert cast(an_order(LAST_MODIFIED_TS=naive))[0][0]["last_modified_ts"] == T0 + US


def test_what_a_timestamp_holds_below_a_microsecond_is_cut_off_downwards():
    nanoseconds = pa.array([1730419200000001999, -1], pa.timestamp("ns"))

    rows, _ = cast(an_order(LAST_MODIFIED_TS=nanoseconds))

    assert [row["last_modified_ts"] for row in rows] == [T0 + US, datetime(1970, 1, 1, tzinfo=UTC) - US]


@pytest.mark.parametrize(
    "text", ["2024-11-01 02:00:00+02", "2024-11-01T00:00:00Z", "2024-11-01 00:00:00", "2024-11-01 00:00:00.000000"]
)
def test_timestamps_told_as_text_are_read(text):
    assert cast(an_order(LAST_MODIFIED_TS=pa.array([text])))[0][0]["last_modified_ts"] == T0


@pytest.mark.parametrize("text", ["infinity", "2024-02-30 00:00:00", ""])
def test_text_that_is_no_timestamp_is_rejected(text):
    rows, rejects = cast(an_order(LAST_MODIFIED_TS=pa.array([text])))

    assert not rows
    assert "which is no timestamp" in rejects[0]["reason"]


def test_an_instant_within_a_day_is_no_date_and_stands_beside():
    noon = pa.array([T0 + timedelta(hours=12), T0], pa.timestamp("us", "UTC"))

    rows, rejects = cast(an_order(SHIPPED_ON=noon))

    assert [(row["shipped_on"], row["shipped_on__timestamp"]) for row in rows] == [
        (None, T0 + timedelta(hours=12)),
        (T0.date(), None),
    ]
    assert not rejects


def test_a_missing_optional_column_is_null_with_one_warning(caplog):
    batch = an_order()
    del batch["AMOUNT"]
    shape = BronzeShape("snowflake", "RAW.ORDERS", ORDERS)

    for _ in range(3):
        rows = shape.cast(pa.RecordBatch.from_pydict(batch), pytest.fail)

    assert rows.to_pylist()[0]["amount"] is None
    assert [each.getMessage() for each in caplog.records] == [
        "snowflake: RAW.ORDERS has no column amount: it is null (config/contracts/bronze/snowflake_orders.yaml has it)"
    ]


def test_an_unknown_column_is_merged_in_with_one_warning(caplog):
    rows, _ = cast(an_order(DISCOUNT=pa.array([5], pa.int16())))

    assert rows[0]["discount"] == 5
    (message,) = caplog.messages
    assert message.endswith("snowflake_orders.yaml does not know; merged in: DISCOUNT")


def test_a_missing_required_column_stops_the_table_and_names_table_column_and_contract():
    batch = an_order()
    del batch["QUANTITY"]

    with pytest.raises(
        SourceRejected, match=r"RAW\.ORDERS has no column quantity, which config/contracts/bronze/snow.*"
    ):
        cast(batch)


def test_a_cursor_of_a_kind_that_is_no_instant_stops_the_table():
    with pytest.raises(SourceRejected, match=r"RAW\.ORDERS has last_modified_ts as int64, which can't become"):
        cast(an_order(LAST_MODIFIED_TS=pa.array([1730419200])))


# Retries and messages


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, not slept."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def failing(*errors: Exception):
    remaining = list(errors)

    def ask() -> str:
        if remaining:
            raise remaining.pop(0)
        return "answered"

    return ask


def test_a_source_that_is_unavailable_is_asked_again_after_as_long_as_it_says(pauses):
    ask = failing(SourceUnavailable("fx_vendor", "busy", 7.0), SourceUnavailable("fx_vendor", "busy", 0.0))

    assert retried(ask, SourceSettings()) == "answered"
    assert pauses == [7.0, 0.0]


def test_a_source_is_asked_three_times_at_most(pauses):
    with pytest.raises(SourceUnavailable, match="third"):
        retried(
            failing(*(SourceUnavailable("fx_vendor", each) for each in ("first", "second", "third", "fourth"))),
            SourceSettings(),
        )

    assert len(pauses) == 2


def test_a_source_is_asked_as_often_as_its_settings_say(pauses):
    ask = failing(*(SourceUnavailable("fx_vendor", "busy") for _ in range(4)))

    assert retried(ask, SourceSettings(attempts=5)) == "answered"
    assert len(pauses) == 4


def test_a_source_that_was_asked_again_for_a_part_is_not_asked_again_for_the_whole(pauses):
    asked: list[str] = []

    def part() -> str:
        asked.append("asked")
        raise SourceUnavailable("fx_vendor", "busy")

    with pytest.raises(SourceUnavailable):
        retried(lambda: retried(part, SourceSettings()), SourceSettings())

    assert len(asked) == 3


def test_a_source_is_not_asked_again_once_its_time_is_up(pauses):
    with pytest.raises(SourceUnavailable, match="first"):
        retried(
            failing(*(SourceUnavailable("fx_vendor", each) for each in ("first", "second"))),
            SourceSettings(retry_for=timedelta(0)),
        )

    assert not pauses


def test_a_source_that_wants_to_be_left_alone_for_an_hour_is_not_waited_for(pauses):
    with pytest.raises(SourceUnavailable):
        retried(failing(SourceUnavailable("fx_vendor", "come back tomorrow", 3600.0)), SourceSettings())

    assert not pauses


def test_a_refusal_is_not_tried_again(pauses):
    with pytest.raises(SourceRejected):
        retried(
            failing(SourceRejected("fx_vendor", "no"), SourceRejected("fx_vendor", "asked again")), SourceSettings()
        )

    assert not pauses


class Stopwatch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("bytes_a_second", "drips"), [(100, True), (2_000, False)])
def test_an_answer_that_is_slow_is_given_up_only_where_it_drips(monkeypatch, bytes_a_second, drips):
    stopwatch = Stopwatch()
    monkeypatch.setattr("headwater.extract.base_extractor.time.monotonic", stopwatch)
    pace = Pace(timedelta(seconds=30))
    given_up = []

    for second in range(1, 61):
        stopwatch.now = second
        given_up.append(pace.drips(bytes_a_second))

    assert not any(given_up[:29])
    assert any(given_up) is drips


def test_a_message_never_holds_a_credential():
    secret = {"user": "etl", "password": "p w"}

    assert scrubbed("etl failed\n  with p w here", secret) == "etl failed with *** here"


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("snowflake/etl/prod", r"secrets\.snowflake \(snowflake/etl/prod\)"),
        ({"user": "env:SNOWFLAKE_USER"}, r"secrets\.snowflake \(user: env:SNOWFLAKE_USER\)"),
    ],
)
def test_a_secret_is_called_by_where_its_reference_leads(reference, named):
    with pytest.raises(ConfigurationError, match=rf"^{named} has no password: add that field to the secret$"):
        credential("snowflake", Secret({"user": "etl"}, reference), "password")


def test_a_secret_that_is_shown_shows_no_value():
    assert repr(Secret({"user": "etl", "password": "p w"}, "env:X")) == "Secret(user, password of env:X)"


def test_a_secret_without_a_field_names_the_field_and_not_the_rest():
    with pytest.raises(ConfigurationError, match=r"^secrets\.snowflake has no password: add that field to the secret$"):
        credential("snowflake", {"user": "etl"}, "password")


# The registry


def test_every_bronze_table_has_an_extractor(contracts):
    assert set(EXTRACTORS) == {name for name, contract in contracts.items() if contract.layer == "bronze"}


def test_a_table_that_no_source_has_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"no source has the table snowflake_order; known: .*snowflake_orders"):
        build("snowflake_order", None, {}, ORDERS)


def test_importing_the_extractors_imports_no_client_library():
    clients = ("snowflake", "psycopg", "httpx", "confluent_kafka", "obstore", "stamina", "duckdb", "boto3")
    code = f"import sys, headwater.extract; print([name for name in {clients} if name in sys.modules])"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
