"""A run that dies at the worst instants: after the next one, everything is as if nothing had happened."""

from collections import Counter

import pytest
from tests.chaos.instant import Instant, named
from tests.chaos.kills import Finding, tried, tried_on_the_way
from tests.chaos.points import POINTS, Kill, planned
from tests.chaos.report import Report
from tests.e2e.tiny import PROJECT

from headwater.contracts import load_contracts

pytestmark = pytest.mark.slow

SEED = 5
KILLS = planned(load_contracts(PROJECT / "config" / "contracts"), SEED, 4 * len(POINTS), whole=False)
FIRST, SECOND = ([kill for kill in KILLS if kill.number == number] for number in (0, 1))


WAY = (
    named("rejects/external_inventory", 2),
    named("bronze/external/inventory"),
    Instant("TableStarted:inventory"),
    Instant("Refused:inventory"),
    Instant("Judging:inventory"),
    named("silver/inventory", after=True),
    Instant("Staged:product_perf_daily"),
    named("gold/product_perf_daily"),
    Instant("Committed:product_perf_daily"),
)
"""Along one path of tables, each instant still to come when the one before it was passed."""


@pytest.mark.parametrize("kill", FIRST, ids=str)
def test_killed_in_the_first_run(first, kill):
    is_as_undisturbed(tried(first, kill))


def test_killed_again_and_again_on_the_first_way_from_the_sources_to_gold(first):
    assert tried_on_the_way(first, 0, WAY) == []


@pytest.mark.parametrize("kill", SECOND, ids=str)
def test_killed_in_the_second_run(second, kill):
    is_as_undisturbed(tried(second, kill))


def test_killed_again_and_again_on_the_way_of_what_is_new(second):
    assert tried_on_the_way(second, 1, [named("rejects/external_inventory"), *WAY[1:]]) == []


def is_as_undisturbed(finding: Finding) -> None:
    assert not finding.missed, finding.missed
    assert not finding.told, "\n".join(finding.told)


def test_the_kills_come_at_every_point_in_both_runs_on_both_lakes_and_on_many_tables():
    assert {point: count for point, count in Counter(kill.point for kill in KILLS).items() if count < 3} == {}
    assert {kill.point for kill in KILLS} == POINTS.keys()
    for part in (FIRST, SECOND):
        assert {kill.point for kill in part} == POINTS.keys()
    assert len({kill.table for kill in KILLS}) >= 15
    assert {kill.where for kill in KILLS} == {"local", "s3"}


def test_the_same_seed_gives_the_same_kills(contracts):
    assert planned(contracts, 7, 100) == planned(contracts, 7, 100)
    assert planned(contracts, 7, 100) != planned(contracts, 8, 100)


def test_a_kill_that_the_run_did_not_come_to_fails(second):
    never = Kill("staged", "snowflake_products", 1, Instant("Staged:orders"))

    finding = tried(second, never)

    assert finding.missed.startswith("the run was not killed, it ended with 0")
    report = Report(["staged", "in-the-gate"], [finding])
    assert report.problems()[:2] == ["staged: no kill came there", "in-the-gate: no kill came there"]


def test_a_lake_that_differs_fails():
    kill = Kill("staged", "orders", 1, Instant("Staged:orders"))
    good, bad = (Finding(kill, "", told, 1.0) for told in ([], ["silver/orders: 1 rows too many"]))

    assert Report(["staged"], [good]).problems() == []
    assert Report(["staged"], [good, bad]).problems() == [f"{kill}: silver/orders: 1 rows too many"]
