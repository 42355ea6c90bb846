"""Rows of a business day beside the usual ones: half and double are told, and a day that is not over is not short."""

from datetime import UTC, date, datetime, timedelta

import pytest

from headwater.quality.blocks import Daily
from headwater.quality.days import Usual, judged
from headwater.quality.span import Span

DAY = timedelta(days=1)
FRIDAY = date(2024, 11, 1)
WEEKS = {FRIDAY - 7 * DAY: 1000, FRIDAY - 14 * DAY: 1000}
DEFAULT = Daily()


def at(day: date, hour: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def ratio(counts: dict[date, int], span: Span, daily: Daily = DEFAULT) -> tuple[bool, float | None, str]:
    """Whether the days of a span hold, by what ratio, and what is said."""
    usual = Usual(span.days[0], span.last, daily.min_ratio, daily.max_ratio, daily.min_usual)
    worst, said = judged(usual, span.days, counts)
    return worst is None or daily.min_ratio <= worst <= daily.max_ratio, worst, said


ONE_DAY = Span(at(FRIDAY), at(FRIDAY + DAY))


@pytest.mark.parametrize(
    ("rows", "holds"),
    [(1000, True), (550, True), (549, False), (500, False), (0, False), (1800, True), (1801, False), (2000, False)],
)
def test_half_and_double_the_usual_volume_fail_the_default_bounds(rows: int, holds: bool) -> None:
    assert ratio({**WEEKS, FRIDAY: rows}, ONE_DAY)[:2] == (holds, rows / 1000)


def test_a_day_is_told_with_its_rows_the_usual_ones_and_the_days_they_are_of() -> None:
    assert ratio({**WEEKS, FRIDAY: 480}, ONE_DAY)[2] == (
        "2024-11-01 has 480 rows, 0.48 times the usual 1000 (of 2024-10-18 and 2024-10-25); limit 0.55 to 1.8"
    )


def test_a_day_that_is_not_over_may_have_few_rows_and_not_too_many() -> None:
    noon = Span(at(FRIDAY), at(FRIDAY, 12))

    holds, worst, said = ratio({**WEEKS, FRIDAY: 3}, noon)

    assert (holds, worst) == (True, None)
    assert said.startswith(
        "not judged yet: 2024-11-01 has 3 rows so far, 0.00 times the usual 1000 (of 2024-10-18 and "
    )
    assert said.endswith("and the day is not over")
    assert ratio({**WEEKS, FRIDAY: 2000}, noon)[:2] == (False, 2.0)


def test_a_day_is_over_only_when_its_source_was_read_to_its_end() -> None:
    down_since_noon = Span(at(FRIDAY), at(FRIDAY, 12))
    assert ratio({**WEEKS, FRIDAY: 500}, down_since_noon)[0]
    assert not ratio({**WEEKS, FRIDAY: 500}, ONE_DAY)[0]


def test_the_usual_is_the_same_weekday_s_and_no_other_one_s() -> None:
    sunday = FRIDAY + 2 * DAY
    counts = {**WEEKS, sunday - 7 * DAY: 200, sunday - 14 * DAY: 100, FRIDAY: 1000, FRIDAY + DAY: 9, sunday: 150}
    weekend = Span(at(FRIDAY), at(sunday + DAY))

    holds, _, said = ratio(counts, weekend)

    assert holds
    assert "150 rows, 1.00 times the usual 150" in said or "1000 rows, 1.00 times" in said


def test_days_of_the_batch_are_held_against_published_days_and_not_against_each_other() -> None:
    two_weeks = Span(at(FRIDAY), at(FRIDAY + 8 * DAY))
    holds, worst, said = ratio({**WEEKS, FRIDAY: 400, FRIDAY + 7 * DAY: 400}, two_weeks)

    assert not holds
    assert worst == 0.4
    assert said.count("times the usual 1000") == 2


def test_of_many_days_the_worst_three_are_told() -> None:
    counts = {FRIDAY - number * DAY: 1000 for number in range(1, 15)}
    week = Span(at(FRIDAY), at(FRIDAY + 7 * DAY))

    _, worst, said = ratio(counts, week)

    assert worst == 0
    assert said.count("0 rows, 0.00 times") == 3
    assert "and 4 more days" in said


@pytest.mark.parametrize("before", [{}, {FRIDAY - 7 * DAY: 99, FRIDAY - 14 * DAY: 99}, {FRIDAY - DAY: 1000}])
def test_without_enough_rows_on_that_weekday_nothing_is_judged_and_that_is_said(before: dict[date, int]) -> None:
    holds, worst, said = ratio({**before, FRIDAY: 5000}, ONE_DAY)

    assert (holds, worst) == (True, None)
    assert said == "not judged: no weekday had 100 rows in the 14 days before 2024-11-01"


def test_a_week_before_the_first_row_is_no_usual_week() -> None:
    assert ratio({FRIDAY - 7 * DAY: 1000, FRIDAY: 1000}, ONE_DAY)[:2] == (True, 1.0)


def test_first_loads_and_backfills_are_left_to_the_absolute_bounds() -> None:
    assert "first load" in (Span(None, at(FRIDAY)).why_not_daily or "")
    assert "a backfill of 15 days" in (Span(at(FRIDAY), at(FRIDAY + 15 * DAY)).why_not_daily or "")
    assert Span(at(FRIDAY), at(FRIDAY + 14 * DAY, 23)).why_not_daily is None


def test_a_watermark_that_was_set_back_leaves_the_day_in_which_it_is() -> None:
    back = Span(at(FRIDAY), at(FRIDAY - 3 * DAY, 5))
    assert back.days == [FRIDAY - 3 * DAY]
