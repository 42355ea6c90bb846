"""Whatever a source or the line to it does in the middle of a landing, Bronze ends as if nothing had happened."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from tests.chaos.faults import http, matrix
from tests.chaos.faults.bench import CLOCK, Bench, Ended, Landed, Source, bench_in, landed
from tests.chaos.faults.http import Plan, status
from tests.chaos.faults.log import Deliveries
from tests.chaos.faults.matrix import EXPECTED, FAULTS, SOURCES, NotApplicable
from tests.e2e.tiny import Lake
from tests.plugins.fault_matrix import CELL

from headwater.contracts import Contracts
from headwater.errors import SourceRejected, SourceUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Record = Callable[[str, object], None]

PART = 0.6
"""So much of a source's answers is passed on before a connection breaks: one batch, and less than all."""

EXPIRED_SESSION = b'[{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]'
EXPIRED_TOKEN = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
EXPIRED_LINK = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"

PLANS: dict[str, dict[str, Plan]] = {
    "429": {each: Plan("429", status(429, Retry_After="1")) for each in SOURCES},
    "500": {each: Plan("500", status(500)) for each in SOURCES},
    "503": {each: Plan("503", status(503), lasting=True) for each in SOURCES},
    "token expiry": {
        "snowflake": Plan("token expiry", status(403, EXPIRED_LINK)),
        "salesforce": Plan("token expiry", status(401, EXPIRED_SESSION)),
        "s3": Plan("token expiry", status(400, EXPIRED_TOKEN)),
        "fx_vendor": Plan("token expiry", status(401)),
    },
    "duplicated page": {
        "snowflake": Plan("duplicated page", http.the_page_before, pages=2),
        "salesforce": Plan("duplicated page", http.the_page_before),
        "s3": Plan("duplicated page", http.the_page_twice),
        "fx_vendor": Plan("duplicated page", http.the_page_before),
    },
    "schema change": {
        "salesforce": Plan("schema change", http.with_a_new_field("records")),
        "s3": Plan("schema change", http.with_its_columns_in_another_order),
        "fx_vendor": Plan("schema change", http.with_a_new_field("rates")),
    },
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_in(tmp_path_factory.mktemp("faults")) as bench:
        yield bench


@pytest.fixture
def source(bench: Bench, name: str) -> Source:
    return bench.sources[name]


@pytest.fixture
def undisturbed(bench: Bench, source: Source) -> Landed:
    return whole(bench, source)[0]


def whole(bench: Bench, source: Source) -> tuple[Landed, int]:
    """What the source's landing leaves without any fault, and how many bytes of answers that takes.

    A client that finds a busy machine slow asks again by itself, and then there are more: the fewer of two landings count.
    """
    if source.name not in bench.undisturbed:
        sizes = []
        for _ in range(2):
            lake = bench.lake(source, source.tcp.port)
            source.tcp.arm(None, 0, Deliveries())
            assert bench.land(lake, source).error is None
            sizes.append(source.tcp.forwarded)
        bench.undisturbed[source.name] = landed(lake, source), min(sizes)
    return bench.undisturbed[source.name]


def cells(faults: tuple[str, ...]) -> pytest.MarkDecorator:
    """Every cell of these faults to which the protocol of the source has something to answer."""
    wanted = [
        (name, fault) for name in SOURCES for fault in faults if not isinstance(EXPECTED[fault][name], NotApplicable)
    ]
    return pytest.mark.parametrize(("name", "fault"), wanted, ids=[f"{name}-{fault}" for name, fault in wanted])


def finished(bench: Bench, lake: Lake, source: Source, first: Ended) -> matrix.Answer | None:
    """How a run ended that failed, once the next one has finished its work; None if it did not fail."""
    match first.error:
        case None:
            return None
        case SourceUnavailable() as error:
            answer: matrix.Answer = "rerun"
            assert "did not answer" in str(error) or "HTTP" in str(error) or "broke off" in str(error), str(error)
        case SourceRejected() as error:
            answer = "refusal"
            assert "check " in str(error)
        case error:
            pytest.fail(f"neither unavailable nor rejected: {error!r}")
    assert bench.land(lake, source).error is None
    return answer


def happened_once_after_a_batch(deliveries: Deliveries, fault: str) -> None:
    [injected] = deliveries.log
    assert injected.fault == fault
    assert injected.bytes > 0
    assert injected.rows > 0


@cells(matrix.TCP)
def test_a_line_that_breaks_loses_and_doubles_nothing(bench, source, fault, undisturbed, record_property):
    lake, deliveries = bench.lake(source, source.tcp.port), Deliveries()
    _, size = whole(bench, source)

    source.tcp.arm(fault, int(size * PART), deliveries)
    try:
        first = bench.land(lake, source, deliveries=deliveries)
    finally:
        source.tcp.heal()

    answer = finished(bench, lake, source, first) or "retry"
    record_property(CELL, (fault, source.name, answer))
    happened_once_after_a_batch(deliveries, fault)
    assert landed(lake, source) == undisturbed
    assert answer == EXPECTED[fault][source.name]


@cells(matrix.HTTP)
def test_a_service_that_answers_amiss_loses_and_doubles_nothing(
    bench, source, fault, undisturbed, contracts, record_property
):
    lake, deliveries = bench.lake(source, source.http.port), Deliveries()

    source.http.arm(PLANS[fault][source.name], deliveries)
    try:
        first = bench.land(lake, source, deliveries=deliveries)
    finally:
        source.http.heal()

    broken = fault not in ("duplicated page", "schema change")
    answer = finished(bench, lake, source, first) or ("retry" if broken or first.retries else "absorbed")
    record_property(CELL, (fault, source.name, answer))
    happened_once_after_a_batch(deliveries, fault)
    found = landed(lake, source)
    if fault == "schema change":
        assert known(found, source, contracts) == known(undisturbed, source, contracts)
        assert found.position == undisturbed.position
    else:
        assert found == undisturbed
    assert answer == EXPECTED[fault][source.name]


@cells(matrix.CLOCK)
def test_a_clock_of_ours_that_is_wrong_loses_and_doubles_nothing(bench, source, fault, undisturbed, record_property):
    lake = bench.lake(source, source.tcp.port)
    wrong = timedelta(minutes=10 if fault.endswith("ahead") else -10)

    assert bench.land(lake, source, CLOCK + wrong).error is None
    answer = "absorbed"
    if landed(lake, source) != undisturbed:
        answer = "rerun"
        assert landed(lake, source).rows.num_rows < undisturbed.rows.num_rows
        assert bench.land(lake, source).error is None

    record_property(CELL, (fault, source.name, answer))
    assert landed(lake, source) == undisturbed
    assert answer == EXPECTED[fault][source.name]


def known(found: Landed, source: Source, contracts: Contracts) -> tuple[object, ...]:
    """The columns that the contract knows, and the rejects: what a column that is new at the source must leave alone."""
    contract = contracts[source.table]
    order = [(name, "ascending") for name in contract.column_names]
    rejects = found.rejects["_row_id"] if found.rejects.num_rows else None
    return found.rows.select(list(contract.column_names)).sort_by(order), rejects


@pytest.mark.parametrize("name", SOURCES)
def test_an_undisturbed_landing_has_each_row_once(bench, source, undisturbed):
    ids = undisturbed.rows["_row_id"].to_pylist()

    assert len(ids) == len(set(ids))
    assert undisturbed.rejects.num_rows == {"s3": 4, "kafka": 300}.get(source.name, 0)


def test_no_cell_of_the_matrix_is_missing():
    assert tuple(EXPECTED) == FAULTS
    for fault in FAULTS:
        assert tuple(EXPECTED[fault]) == SOURCES
        for name, cell in EXPECTED[fault].items():
            if isinstance(cell, NotApplicable):
                assert len(cell.reason.split()) > 3, f"why does {name} not know {fault}?"
            elif fault in matrix.HTTP:
                assert name in PLANS[fault]
