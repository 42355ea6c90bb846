"""The gate's questions as a Great Expectations suite. Importing this imports Great Expectations: some seconds.

Only `questions.py` imports it, in a thread, while data is still being extracted.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported: it sends nothing anywhere

import great_expectations as gx
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from headwater.masking.embedded import without_contacts_in_each
from headwater.quality.measures import ExpectMeasure
from headwater.quality.verdict import without_values

_LISTS = frozenset(
    {
        "partial_unexpected_list",
        "partial_unexpected_counts",
        "partial_unexpected_index_list",
        "unexpected_list",
        "unexpected_index_list",
        "unexpected_index_query",
        "unexpected_rows",
        "details",
    }
)
"""Parts of a result that hold values of rows."""


@dataclass(frozen=True)
class Question:
    """What is asked of a candidate: `expectation` by the name it is answered under."""

    rule: str
    expectation: ExpectMeasure


@dataclass(frozen=True)
class Answer:
    """`error` says why a question was not answered; `said` is what the number does not say.

    Without a number, `said` tells why nothing was judged. `found` is what a number was made of, and `validation` Great
    Expectations' own result, as JSON.
    """

    success: bool
    observed: float | None
    error: str | None = None
    said: str | None = None
    found: Any = None
    validation: str | None = None


class Suites:
    """Runs suites over candidates, one after the other, in one context that nothing outlives."""

    def __init__(self, session: SparkSession) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_spark("session", persist=False)
        if source.get_execution_engine().spark is not session:
            raise RuntimeError("Great Expectations found another PySpark session than the candidate's")
        asset = source.add_dataframe_asset("candidate")
        self._batch: BatchDefinition[Any] = asset.add_batch_definition_whole_dataframe("whole")

    def answers(self, table: str, candidate: DataFrame, questions: list[Question]) -> dict[str, Answer]:
        """The answer to each question that Great Expectations evaluated, by its rule."""
        expectations = [_named(question) for question in questions]
        suite = gx.ExpectationSuite(name=table, expectations=expectations)
        batch = self._batch.get_batch({"dataframe": candidate})
        validated = batch.validate(suite, result_format="BASIC")
        validations = without_contacts_in_each(map(_validation, validated.results))
        return {
            _rule(each): replace(_answer(each), validation=validation)
            for each, validation in zip(validated.results, validations, strict=True)
        }


def _named(question: Question) -> ExpectMeasure:
    question.expectation.meta = {"rule": question.rule}
    return question.expectation


def _rule(result: Any) -> str:
    return str(result.expectation_config.meta["rule"])


def _answer(result: Any) -> Answer:
    if error := _error(result.exception_info):
        return Answer(success=False, observed=None, error=error)
    told = result.result or {}
    observed = told.get("observed_value")
    details = told.get("details") or {}
    number = None if observed is None else float(observed)
    return Answer(bool(result.success), number, said=details.get("said"), found=details.get("found"))


def _validation(result: Any) -> str:
    """A validation result as JSON, without values of rows, which it may list."""
    told = result.to_json_dict()
    told["result"] = {name: value for name, value in (told.get("result") or {}).items() if name not in _LISTS}
    for report in _reports(told.get("exception_info") or {}):
        report.pop("exception_traceback", None)
        if said := report.get("exception_message"):
            report["exception_message"] = without_values(str(said))
    return json.dumps(told, sort_keys=True, ensure_ascii=False)


def _error(told: Mapping[str, Any]) -> str | None:
    """The first exception in `exception_info`, which is one report or one report for each metric."""
    raised = [report for report in _reports(told) if report.get("raised_exception")]
    return without_values(str(raised[0].get("exception_message"))) if raised else None


def _reports(told: Mapping[str, Any]) -> list[Any]:
    return [told] if "raised_exception" in told else list(told.values())
