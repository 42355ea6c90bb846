"""Parts the tests among processes: those of one file stay together, as they share servers, the longest files first.

A parametrized test that brings up all that it needs can be marked `alone`: each of its cases is a part of its own.
"""

import pytest

_LONGEST = (
    "test_docs.py",
    "test_against_the_oracle.py",
    "test_crashes.py",
    "test_gate_closes.py",
    "test_wrong_input.py",
)
"""Files that a process should not come upon last."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("loadgroup", default=False):
        return
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    for item in items:
        alone = item.get_closest_marker("alone") is not None
        item.add_marker(pytest.mark.xdist_group(item.nodeid if alone else item.path.as_posix()))
