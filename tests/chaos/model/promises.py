"""What is tried of each source: so many histories for each promise."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from pyspark.sql import SparkSession
from tests.chaos.model.judged import Trial
from tests.chaos.model.sources import ModelSource

from headwater.contracts import Contracts

HISTORIES = {
    "salesforce": {"bronze": 130, "silver": 20, "reconciled": 60},
    "redshift": {"bronze": 130, "silver": 20, "reconciled": 70},
    "snowflake": {"bronze": 30, "silver": 20, "reconciled": 40},
}
"""By source and promise."""

LEAST_IN_ALL = 500


class Promises:
    """A source under histories of its own; which, a file of tests says."""

    name: ClassVar[str]

    @pytest.fixture
    def trial(
        self, opened: Callable[[str], ModelSource], contracts: Contracts, spark: SparkSession, tmp_path: Path
    ) -> Trial:
        return Trial(opened(self.name), contracts, tmp_path / "project", spark)

    def test_after_any_history_bronze_holds_each_version_that_a_run_could_see_once(self, trial: Trial) -> None:
        trial.bronze(HISTORIES[self.name]["bronze"])

        assert trial.lived >= HISTORIES[self.name]["bronze"]
        never = [what for what in trial.expected if not trial.happened[what]]
        assert not never, f"the histories never had: {', '.join(never)} of {dict(trial.happened)}"

    def test_after_any_history_silver_is_what_the_source_shows(self, trial: Trial) -> None:
        trial.silver(HISTORIES[self.name]["silver"])

        assert trial.lived >= HISTORIES[self.name]["silver"]

    def test_reconcile_tells_every_difference_and_none_that_is_not(self, trial: Trial) -> None:
        trial.reconciled(HISTORIES[self.name]["reconciled"])

        assert trial.lived >= HISTORIES[self.name]["reconciled"]
        assert trial.differing >= trial.lived // 5, "the histories hardly ever had anything to find"
