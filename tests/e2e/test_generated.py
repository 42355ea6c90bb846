"""The lake of the invented shop holds exactly what the independent answer says."""

import os
from pathlib import Path

import pytest
import yaml
from tests.e2e.shop import is_as_the_oracle_says, shop_in

from headwater.contracts import Contracts

SCALE = float(os.environ.get("HEADWATER_E2E_SCALE", "0.2"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def _let_small_days_pass(dq: Path) -> None:
    """A fifth of a day has so few rows that a single bad one is more than the share which the gate lets pass."""
    limits = yaml.safe_load(dq.read_text(encoding="utf-8"))
    limits["defaults"]["refused"]["default"] = 0.9
    dq.write_text(yaml.safe_dump(limits), encoding="utf-8")


def test_the_lake_holds_what_the_independent_answer_says(tmp_path: Path, contracts: Contracts) -> None:
    with shop_in(tmp_path) as shop:
        if SCALE < 1:
            _let_small_days_pass(shop.folder / "config" / "dq.yaml")
        shop.headwater("sandbox", "up", "--dataset", "generated", "--scale", str(SCALE))
        is_as_the_oracle_says(shop, contracts)
