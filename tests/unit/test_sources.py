"""What the tables of one run share of a source: whether it answers, and its clock."""

from datetime import UTC, datetime

import pytest

from headwater.errors import SourceRejected, SourceUnavailable
from headwater.run.sources import Sources

NOON = datetime(2024, 11, 1, 12, tzinfo=UTC)


class Clock:
    source = "redshift"

    def __init__(self, *answers: datetime | Exception | None) -> None:
        self.answers = list(answers)

    def clock(self) -> datetime | None:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_source_that_one_table_found_silent_is_not_asked_by_another():
    sources = Sources()
    with pytest.raises(SourceUnavailable), sources.asked_by("orders", "snowflake"):
        raise SourceUnavailable("snowflake", "h:1 did not answer")

    with (
        pytest.raises(
            SourceUnavailable,
            match=r"^snowflake: not asked again in this run, for it did not answer \(orders found it so: h:1 did not answer\)",
        ),
        sources.asked_by("customers", "snowflake"),
    ):
        pytest.fail("it is asked")
    with sources.asked_by("behavior", "redshift"):
        pass


@pytest.mark.parametrize(
    "error",
    [
        SourceRejected("external", "no right"),
        SourceUnavailable("external", "a file is gone since it was listed", whole=False),
    ],
)
def test_what_concerns_one_table_alone_keeps_no_other_from_asking(error):
    sources = Sources()
    with pytest.raises(type(error)), sources.asked_by("inventory", "external"):
        raise error

    with sources.asked_by("purchasing", "external"):
        pass


def test_a_login_that_one_table_was_refused_is_not_tried_by_another():
    """A few more wrong ones, and the source locks the user out."""
    sources = Sources()
    refused = SourceRejected("redshift", "refused the login: check secrets.redshift (redshift/prod)", whole=True)
    with pytest.raises(SourceRejected):
        sources.clock(Clock(refused), "behavior")

    with pytest.raises(
        SourceRejected,
        match=r"^redshift: not asked again in this run, for it refused the login \(behavior found it so: refused the "
        r"login: check secrets\.redshift \(redshift/prod\)\)$",
    ):
        sources.clock(Clock(), "sessions")


def test_a_clock_is_asked_for_once():
    sources = Sources()

    assert [sources.clock(Clock(NOON), "behavior"), sources.clock(Clock(), "behavior")] == [NOON, NOON]


def test_a_source_without_a_clock_is_not_asked_for_it_again():
    sources = Sources()

    assert [sources.clock(Clock(None), "behavior"), sources.clock(Clock(), "behavior")] == [None, None]


def test_a_clock_that_did_not_answer_is_asked_for_again():
    sources = Sources()
    with pytest.raises(SourceUnavailable):
        sources.clock(Clock(SourceUnavailable("redshift", "busy")), "behavior")

    assert sources.clock(Clock(NOON), "behavior") == NOON
