"""A window of Salesforce by pages: each record once, whatever happens between two pages, however many share an instant."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import stamina
from tests.chaos.model.organisation import (
    SECRET,
    Organisation,
    busy,
    contact,
    cut,
    in_parts,
    once_changed,
    organisation,
    refused,
    short,
)

from headwater.contracts import Contracts
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract import SalesforceExtractor
from headwater.extract.base_extractor import Position, TimeWindow

pytestmark = pytest.mark.slow

T0 = datetime(2024, 11, 1, tzinfo=UTC)
AT = T0 + timedelta(days=1)
EVERYTHING = TimeWindow(None, AT)
MS = timedelta(milliseconds=1)


def record_id(number: int) -> str:
    return f"003{number:012d}AAA"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    with organisation(tmp_path_factory.mktemp("organisation"), AT) as made:
        yield made


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


class Asked:
    """An organisation with records told, and what a window of it gives."""

    def __init__(self, org: Organisation, contracts: Contracts, records: list[dict]) -> None:
        org.show(records, AT)
        org.disturb({})
        self.org, self.records = org, records
        self._contract = contracts["salesforce_contacts"]

    def extractor(self, page_records: int = 2000) -> SalesforceExtractor:
        return SalesforceExtractor(self.org.settings(page_records), SECRET, self._contract)

    def read(self, page_records: int = 2000) -> Counter[tuple[str, str]]:
        rows = Counter[tuple[str, str]]()
        for batch in self.extractor(page_records).read(EVERYTHING, pytest.fail):
            rows.update((row["id"], row["last_name"]) for row in batch.to_pylist())
        return rows

    @property
    def all(self) -> Counter[tuple[str, str]]:
        return Counter((record["Id"], record["LastName"]) for record in self.records)


def few(moments: list[datetime]) -> list[dict]:
    return [contact(record_id(number), f"N{number}", moment) for number, moment in enumerate(moments)]


@pytest.fixture
def ties(served, contracts) -> Asked:
    """Nine records at three instants: with pages of three each page ends where an instant does, with two in its midst."""
    return Asked(served, contracts, few([T0] * 3 + [T0 + MS] * 3 + [T0 + 2 * MS] * 3))


def test_five_thousand_records_of_one_instant_are_read_once_in_pages_of_two_thousand(served, contracts):
    asked = Asked(served, contracts, few([T0] * 5000))

    assert asked.extractor().partitions(Position(), AT) == [EVERYTHING]
    assert asked.read() == asked.all
    assert len(served.pages) == 3


@pytest.mark.parametrize("page_records", [1, 2, 3, 4, 9, 10])
def test_wherever_a_page_ends_no_record_is_lost_or_doubled(ties, page_records):
    assert ties.read(page_records) == ties.all
    assert len(ties.org.pages) == 9 // page_records + 1


def test_ids_are_told_apart_by_case_as_salesforce_does(served, contracts):
    records = [contact(f"003{letter * 12}AAA", letter, T0) for letter in "AaBbZz09"]
    asked = Asked(served, contracts, records)

    assert asked.read(1) == asked.all


@pytest.mark.parametrize("fault", [busy, cut, short])
def test_a_page_that_fails_is_asked_for_again_and_none_before_it(ties, fault):
    ties.org.disturb({3: fault})

    assert ties.read(2) == ties.all
    asked = ties.org.pages
    assert asked[2] == asked[3], "the page that failed is asked for again"
    assert len(asked) == len(set(asked)) + 1, "and no other"


def test_a_login_that_ends_between_two_pages_is_renewed_and_reading_goes_on(ties):
    ties.org.disturb({3: once_changed(ties.org.server._tokens.clear)})

    assert ties.read(2) == ties.all
    assert len(ties.org.pages) == 9 // 2 + 1 + 1


def test_a_page_that_keeps_failing_fails_the_window(ties):
    ties.org.disturb(dict.fromkeys(range(2, 10), busy))

    with pytest.raises(SourceUnavailable, match="SERVER_UNAVAILABLE"):
        ties.read(2)
    assert len(ties.org.pages) == 1 + 3


def test_a_page_that_is_refused_fails_the_window_at_once(ties):
    ties.org.disturb({2: refused})

    with pytest.raises(SourceRejected, match="refused on purpose"):
        ties.read(2)
    assert len(ties.org.pages) == 2


def test_a_page_told_twice_doubles_nothing_and_ends_nothing(ties):
    ties.org.disturb({3: ties.org.last_page_again})

    assert ties.read(2) == ties.all
    assert len(ties.org.pages) == 9 // 2 + 1 + 1


def test_a_page_that_overlaps_the_one_before_doubles_nothing(ties):
    told: list[dict] = []

    def remembered(own):
        status, body = own()
        told.append(json.loads(body)["records"][-1])
        return status, body

    def overlapping(own):
        status, body = own()
        page = json.loads(body)
        records = [*told, *page["records"]]
        return status, json.dumps(page | {"records": records, "totalSize": len(records)}).encode()

    ties.org.disturb({2: remembered, 3: overlapping})

    assert ties.read(2) == ties.all


def test_an_answer_in_smaller_parts_than_asked_for_is_read_to_its_end(ties):
    ties.org.disturb(dict.fromkeys(range(1, 20), in_parts))

    assert ties.read(5) == ties.all


def test_a_record_that_changes_between_two_pages_takes_no_other_along_and_is_read_by_the_next_span(ties):
    later = AT + timedelta(minutes=1)

    def touched() -> None:
        ties.records[0] = contact(record_id(0), "moved", AT)
        ties.org.show(ties.records, later)

    ties.org.disturb({2: once_changed(touched)})

    assert ties.read(2) == Counter((record_id(number), f"N{number}") for number in range(9)), "its old version was read"
    (window,) = ties.extractor().partitions(Position(watermark=AT), later)
    rows = [row for batch in ties.extractor().read(window, pytest.fail) for row in batch.to_pylist()]
    assert [(row["id"], row["last_name"]) for row in rows] == [(record_id(0), "moved")]


def test_a_record_that_leaves_the_window_before_its_page_is_read_by_the_next_span(ties):
    def touched() -> None:
        ties.records[8] = contact(record_id(8), "moved", AT)
        ties.org.show(ties.records, AT + timedelta(minutes=1))

    ties.org.disturb({2: once_changed(touched)})

    assert ties.read(2) == Counter((record_id(number), f"N{number}") for number in range(8))


def test_a_record_deleted_between_two_pages_shifts_no_other(ties):
    def deleted() -> None:
        ties.records[1] = contact(record_id(1), "N1", AT, deleted=True)
        ties.org.show(ties.records, AT + timedelta(minutes=1))

    ties.org.disturb({2: once_changed(deleted)})

    assert ties.read(1) == Counter((record_id(number), f"N{number}") for number in range(9) if number != 1)


def test_where_a_page_is_as_large_as_what_is_left_an_empty_one_ends_it(served, contracts):
    asked = Asked(served, contracts, few([T0] * 4))

    assert asked.read(2) == asked.all
    assert len(served.pages) == 3
