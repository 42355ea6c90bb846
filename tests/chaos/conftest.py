"""One ground for all tests that one process runs one after another."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.chaos.ground import Ground, ground


@pytest.fixture(scope="session")
def ground_at() -> Iterator[Callable[[int], Ground]]:
    """Gives the ground with the sources' clock at an instant; a new one where the clock of the last has passed it."""
    with ExitStack() as last:
        standing: list[Ground] = []

        def at(number: int) -> Ground:
            if standing and standing[-1].now > number:
                standing.clear()
                last.close()
            if not standing:
                standing.append(last.enter_context(ground()))
            standing[-1].bucket.make()
            while standing[-1].now < number:
                standing[-1].advance()
            return standing[-1]

        yield at


@pytest.fixture
def first(ground_at: Callable[[int], Ground]) -> Ground:
    """The sources stand at the first instant: nothing has landed."""
    return ground_at(0)


@pytest.fixture
def second(ground_at: Callable[[int], Ground]) -> Ground:
    """The sources stand at the second instant: every table stands, and every source has something new."""
    return ground_at(1)
