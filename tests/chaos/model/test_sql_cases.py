"""What a SQL source can hold that a model of keyed rows does not: no key, twins, transactions that stay open."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import stamina
from tests.chaos.model.history import OVERLAP, T0, Failure
from tests.chaos.model.lived import Unsteady, settings_of
from tests.chaos.model.sources import ModelSource, Row
from tests.lake import Lake

from headwater.contracts import Contracts
from headwater.errors import SourceRejected
from headwater.extract import build
from headwater.run.reconcile import reconcile
from headwater.run.report import TableReport
from headwater.run.tables import lake_table

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
LATER = T0 + HOUR


class Landed:
    """A lake beside one SQL source."""

    def __init__(self, source: ModelSource, contracts: Contracts, folder: Path) -> None:
        self.source, self.contract = source, contracts[source.table]
        self.settings = settings_of(source, folder / "project")
        self.lake = Lake(folder, None, contracts, settings=self.settings)

    def show(self, *rows: Row, at: datetime = LATER) -> None:
        self.source.show(rows, at)

    def run(
        self, at: datetime = LATER, rows_per_window: int = 1_000_000, failure: Failure | None = None
    ) -> TableReport:
        block = getattr(self.settings.data_sources, self.source.name)
        real = build(self.source.table, block, self.settings.secrets.get(self.source.name), self.contract)
        real.rows_per_window = rows_per_window
        return self.lake.land_from(Unsteady(real, failure), self.source.table, at)

    def bronze(self) -> Counter[tuple[object, ...]]:
        place = lake_table(self.contract)
        head = self.lake.engine.head(place)
        assert head is not None
        rows = self.lake.engine.scan(place, head.version, self.source.columns).read_all().to_pylist()
        return Counter(tuple(row[name] for name in self.source.columns) for row in rows)


@pytest.fixture(params=["redshift", "snowflake"])
def landed(
    request: pytest.FixtureRequest,
    opened: Callable[[str], ModelSource],
    contracts: Contracts,
    tmp_path: Path,
) -> Landed:
    return Landed(opened(request.param), contracts, tmp_path)


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def once(*rows: Row) -> Counter[tuple[object, ...]]:
    return Counter((row.key, row.value, row.cursor) for row in rows)


def test_rows_of_one_instant_are_one_window_and_land_once(landed):
    rows = [Row(f"K{number}", "x", T0) for number in range(50)]
    landed.show(*rows)

    landed.run(rows_per_window=7)
    landed.run(rows_per_window=7)

    assert landed.bronze() == once(*rows)


def test_ties_at_the_edges_of_windows_land_once(landed):
    rows = [Row(f"K{number}", "x", T0 + (number // 10) * timedelta(minutes=10)) for number in range(40)]
    landed.show(*rows)

    report = landed.run(rows_per_window=10)

    assert report.terms == {"read": 40, "landed": 40, "repeated": 0, "rejected": 0}
    assert landed.bronze() == once(*rows)


def test_rows_without_a_key_land_each_once(landed):
    rows = [Row(None, value, T0) for value in ("one", "two", "three")]
    landed.show(*rows)

    landed.run()
    again = landed.run(at=LATER)

    assert landed.bronze() == once(*rows)
    assert (again.terms["landed"], again.terms["repeated"]) == (0, 3)


def test_rows_that_differ_in_one_column_are_two_and_twins_are_one(landed):
    rows = [Row("K", "one", T0), Row("K", "two", T0), Row("K", "two", T0), Row("K", None, T0)]
    landed.show(*rows)

    report = landed.run()

    assert landed.bronze() == once(rows[0], rows[1], rows[3])
    assert (report.terms["landed"], report.terms["repeated"]) == (3, 1)


def test_a_row_whose_every_column_but_the_key_is_null_has_no_cursor_and_is_told_by_reconcile(landed):
    landed.show(Row("K", "x", T0), Row("timeless", None, None))

    landed.run()
    found = reconcile(landed.lake.next_run(LATER), landed.contract, None)

    assert landed.bronze() == once(Row("K", "x", T0))
    assert (found.without_cursor, found.missing.rows, found.deleted.rows) == (1, 0, 0)


def test_what_landed_before_a_window_failed_is_read_but_once(landed):
    rows = [Row(f"K{number}", "x", T0 - OVERLAP * 2 * number) for number in range(4)]
    landed.show(*rows)

    with pytest.raises(SourceRejected, match="on purpose"):
        landed.run(rows_per_window=1, failure=Failure(window=2, after_rows=True, for_good=True))
    assert landed.bronze() == once(*rows[2:]), "the older windows stay landed"
    landed.run(rows_per_window=1)

    assert landed.bronze() == once(*rows)


def test_a_row_just_written_is_not_held_for_deleted(landed):
    """Its cursor is the very instant of the source's clock, which no span reaches yet."""
    landed.show(Row("K", "x", T0))
    landed.run()
    landed.show(Row("K", "y", LATER))

    found = reconcile(landed.lake.next_run(LATER), landed.contract, None)

    assert found.agrees


# -- a transaction that stays open while runs go by


@pytest.fixture
def redshift(opened: Callable[[str], ModelSource], contracts: Contracts, tmp_path: Path) -> Landed:
    return Landed(opened("redshift"), contracts, tmp_path)


INSERT = "INSERT INTO raw.customer_behavior (event_id, event_name, event_ts) VALUES ('open', 'x', %s)"


def opened_at(landed: Landed, stamp: datetime) -> psycopg.Connection:
    """A session that has written a row, and not committed it yet."""
    session = psycopg.connect(**landed.source.owner)
    session.execute(INSERT, (stamp.replace(tzinfo=None),))
    return session


def set_clock(landed: Landed, at: datetime) -> None:
    with psycopg.connect(**landed.source.owner, autocommit=True) as session:
        session.execute("UPDATE public.clock SET at = %s", (at.replace(tzinfo=None),))


@pytest.mark.parametrize("short_of_the_overlap", [timedelta(0), timedelta(microseconds=1), timedelta(minutes=30)])
def test_a_transaction_open_during_two_runs_lands_with_the_next_within_the_overlap(redshift, short_of_the_overlap):
    first = Row("first", "x", T0 - timedelta(microseconds=1))
    redshift.show(first, at=T0)
    late = T0 - OVERLAP + short_of_the_overlap
    session = opened_at(redshift, late)
    try:
        redshift.run(at=T0)
        redshift.run(at=T0)
        assert redshift.bronze() == once(first)
        session.commit()
    finally:
        session.close()

    redshift.run(at=T0)

    assert redshift.bronze() == once(first, Row("open", "x", late))


def test_a_transaction_open_for_longer_than_the_overlap_is_found_by_reconcile_and_lands_once(redshift):
    first, late = Row("first", "x", T0 - timedelta(minutes=1)), T0 - OVERLAP - timedelta(microseconds=1)
    redshift.show(first, at=T0)
    session = opened_at(redshift, late)
    try:
        redshift.run(at=T0)
        session.commit()
    finally:
        session.close()
    set_clock(redshift, LATER)

    redshift.run(at=T0)
    assert redshift.bronze() == once(first), "a cursor does not see it"
    found = reconcile(redshift.lake.next_run(LATER), redshift.contract, None)

    assert (found.missing.rows, found.missing.keys, found.landed) == (1, ("open",), 1)
    assert redshift.bronze() == once(first, Row("open", "x", late))
    assert reconcile(redshift.lake.next_run(LATER), redshift.contract, None).agrees


def test_a_transaction_that_is_rolled_back_leaves_nothing(redshift):
    first = Row("first", "x", T0 - timedelta(minutes=1))
    redshift.show(first, at=T0)
    session = opened_at(redshift, T0 - timedelta(minutes=30))
    try:
        redshift.run(at=T0)
        session.rollback()
    finally:
        session.close()
    redshift.run(at=T0)

    assert redshift.bronze() == once(first)
