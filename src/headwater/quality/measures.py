"""What the gate asks, as expectations of Great Expectations: each measures one number of a candidate and bounds it.

Whatever is an aggregate of the rows is measured in one pass with all others of its kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Final

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from pyspark.sql import Column as Expression
from pyspark.sql import functions as F

from headwater.masking.embedded import without_contacts_in
from headwater.quality import days, histogram
from headwater.quality.blocks import Outliers

CANDIDATE: Final = "candidate"
"""The view of the candidate, which whoever asks has made; in queries `{batch}` stands for it."""
_NONE_NEW: Final = "there are no new rows"


class Aggregate(TableMetricProvider):
    """An SQL aggregate over the candidate. All that a suite asks for are computed in one pass."""

    metric_name = "headwater.aggregate"
    value_keys = ("aggregate",)

    @metric_partial(
        engine=SparkDFExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _spark(
        cls,  # noqa: N805 - as Great Expectations calls it
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> tuple[Expression, dict[str, Any], dict[str, Any]]:
        return F.expr(metric_value_kwargs["aggregate"]), metric_domain_kwargs, {}


class Found(TableMetricProvider):
    """The rows of an SQL query over the candidate. They are few."""

    metric_name = "headwater.found"
    value_keys = ("query",)

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805 - as Great Expectations calls it
        execution_engine: SparkDFExecutionEngine,
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> list[list[Any]]:
        return _found(execution_engine, metric_value_kwargs["query"])


class Recounted(TableMetricProvider):
    """The rows of a quick query that may count too much; where it counts anything, those of an exact one."""

    metric_name = "headwater.recounted"
    value_keys = ("query", "exactly")

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805 - as Great Expectations calls it
        execution_engine: SparkDFExecutionEngine,
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> list[list[Any]]:
        found = _found(execution_engine, metric_value_kwargs["query"])
        return found if found == [[0]] else _found(execution_engine, metric_value_kwargs["exactly"])


def _found(engine: SparkDFExecutionEngine, query: str) -> list[list[Any]]:
    found = engine.spark.sql(query.replace("{batch}", CANDIDATE)).toArrow()
    return [list(row) for row in zip(*(column.to_pylist() for column in found.columns), strict=True)]


class ExpectMeasure(BatchExpectation):
    """That a number lies between two bounds, which may be met; what could not be measured does not."""

    min_value: float | None = None
    max_value: float | None = None

    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,  # noqa: ARG002 - the parent's signature
        execution_engine: ExecutionEngine[Any] | None = None,  # noqa: ARG002 - the parent's signature
    ) -> dict[str, Any]:
        measured = self._measured(metrics)
        result = {"observed_value": measured.observed, "details": {"said": measured.said, "found": measured.found}}
        return {"success": self._holds(measured), "result": result}

    def _holds(self, measured: "Measured") -> bool:
        if measured.observed is None:
            return measured.said is not None
        above = self.min_value is None or measured.observed >= self.min_value
        return above and (self.max_value is None or measured.observed <= self.max_value)

    def _measured(self, metrics: Mapping[str, Any]) -> "Measured":
        raise NotImplementedError


@dataclass(frozen=True)
class Measured:
    """A number, and what is to say of it where the number does not say it all.

    Without a number `said` tells why there is nothing to judge, or else what was asked was not measured. `found` is what
    the number was made of, where somebody wants to keep it.
    """

    observed: float | None
    said: str | None = None
    found: Any = None


class ExpectAggregate(ExpectMeasure):
    """Bounds an SQL aggregate over the rows, such as `count_if(name IS NULL)`."""

    aggregate: str

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.aggregate",)
    success_keys: ClassVar[tuple[str, ...]] = ("aggregate", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> Measured:
        return Measured(metrics["headwater.aggregate"])


class ExpectValue(ExpectMeasure):
    """Bounds the one value of an SQL query."""

    query: str

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.found",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> Measured:
        return Measured(_only_value(metrics["headwater.found"]))


class ExpectRecounted(ExpectMeasure):
    """Bounds the one value of `query`; where that is not 0, the one of `exactly`, which takes longer."""

    query: str
    exactly: str

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.recounted",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "exactly", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> Measured:
        return Measured(_only_value(metrics["headwater.recounted"]))


class ExpectShare(ExpectMeasure):
    """Bounds a share of the rows that a query counted in its first column; `position` is the column that counts it."""

    query: str
    position: int

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.found",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "position", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> Measured:
        [[of, *counts]] = metrics["headwater.found"]
        return Measured(counts[self.position] / of) if of else Measured(None, _NONE_NEW)


class ExpectUsualDays(ExpectMeasure):
    """Bounds the rows of each business day in times of the usual ones; the query finds days and their rows.

    `instead` says why none is judged.
    """

    query: str
    days: list[str]
    usual: dict[str, Any]
    instead: str | None = None

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.found",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "days", "usual", "instead", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> Measured:
        if self.instead is not None:
            return Measured(None, self.instead)
        counts = {date.fromisoformat(day): rows for day, rows in metrics["headwater.found"]}
        return Measured(*days.judged(days.Usual.of(self.usual), list(map(date.fromisoformat, self.days)), counts))


class ExpectFewOutliers(ExpectMeasure):
    """Bounds the share of outliers; the query finds groups, bins of numbers and their rows."""

    query: str
    how: dict[str, Any]

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.found",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "how", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> Measured:
        how = Outliers(**self.how)
        found = histogram.outlying_groups((tuple(row[:3]) for row in metrics["headwater.found"]), how)
        rows = sum(each.of for each in found)
        if not rows:
            return Measured(None, "there are no new values")
        worst = histogram.most_outlying(found)
        outliers = sum(each.outliers for each in found)
        where = f" of {how.per} {without_contacts_in(str(worst.group))}" if how.per else ""
        most = f", most{where} below {worst.low:.4g} or above {worst.high:.4g}" if outliers else ""
        return Measured(outliers / rows, f"{outliers} of {rows} new values are outliers{most}")


class ExpectNoDrift(ExpectMeasure):
    """Bounds how far a column's distribution is from the one `before`; the query finds groups, bins, their rows and all."""

    query: str
    before: list[list[Any]] | None = None
    enough: int

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.found",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "before", "enough", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> Measured:
        found = metrics["headwater.found"]
        rows = found[0][3] if found else 0
        bins: dict[histogram.Bin, int] = {}
        for _, value, count, _ in found:
            of = without_contacts_in(value) if isinstance(value, str) else value
            bins[of] = bins.get(of, 0) + count
        if rest := rows - sum(bins.values()):
            bins[histogram.OTHERS] = bins.get(histogram.OTHERS, 0) + rest
        kept = histogram.as_pairs(bins)
        if self.before is None:
            return Measured(None, "no profile yet: this version is the first to have one", kept)
        if rows < self.enough:
            return Measured(None, f"not judged: of {rows} new rows chance would decide, {self.enough} are enough", kept)
        return Measured(histogram.psi(histogram.from_pairs(self.before), bins), None, kept)


def _only_value(rows: list[list[Any]]) -> float | None:
    if len(rows) != 1 or len(rows[0]) != 1:
        raise ValueError(f"the query must find one value, and found {len(rows)} rows")
    value = rows[0][0]
    return None if value is None else float(value)
