"""Histories of Redshift, read by the real extractor over its stand-in."""

import pytest
from tests.chaos.model.promises import Promises

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class TestRedshift(Promises):
    name = "redshift"
