"""What the sources of the tests of privacy have."""

from pathlib import Path

import pytest
from tests.privacy.people import write_shop


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with people in every source."""
    return write_shop(tmp_path_factory.mktemp("dataset") / "shop")
