"""What the sources of a module's tests have, and a lake that has landed it."""

import shutil
from pathlib import Path

import pytest
from tests.e2e.runs import AT, called
from tests.e2e.tiny import Lake, write_tiny

from headwater.sandbox import Status


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the sources have: the tiny shop, where a module has no `dataset` of its own."""
    return write_tiny(tmp_path_factory.mktemp("dataset") / "tiny")


@pytest.fixture(scope="module")
def landed(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake after one run, which nobody changes."""
    lake = Lake.beside(sources, tmp_path_factory.mktemp("landed") / "lake")
    called(lake, "run", *AT)
    return lake


@pytest.fixture
def lake(landed: Lake, tmp_path: Path) -> Lake:
    """A copy of `landed`, for one test to change."""
    shutil.copytree(landed.folder, tmp_path / "lake")
    return Lake(tmp_path / "lake")
