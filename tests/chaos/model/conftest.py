"""The sources of the model, each opened once for a file of tests; what fails in its modules is told in full."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite("tests.chaos.model.judged", "tests.chaos.model.lived", "tests.chaos.model.promises")

from tests.chaos.model.history import T0  # noqa: E402 - after what it says of assertions
from tests.chaos.model.sources import SOURCES, ModelSource  # noqa: E402


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModelSource]]:
    """Starts a source by its name, once."""
    found: dict[str, ModelSource] = {}
    with ExitStack() as stack:

        def open_source(name: str) -> ModelSource:
            if name not in found:
                found[name] = stack.enter_context(SOURCES[name](tmp_path_factory.mktemp("model") / name, T0))
            return found[name]

        yield open_source
