"""How many histories the tests live, and that the model notices what is wrong."""

from tests.chaos.model.promises import HISTORIES, LEAST_IN_ALL
from tests.chaos.model.sources import SOURCES


def test_enough_histories_are_lived_over_every_source():
    assert HISTORIES.keys() == SOURCES.keys()
    assert sum(number for promises in HISTORIES.values() for number in promises.values()) >= LEAST_IN_ALL
