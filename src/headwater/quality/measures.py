"""What the gate asks, as expectations of Great Expectations: each measures one number of a candidate and bounds it.

Whatever is an aggregate of the rows is measured in one pass with all others of its kind.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from pyspark.sql import Column as Expression
from pyspark.sql import functions as F

_VIEW = "gate_candidate"


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
    """The rows of an SQL query in which `{batch}` stands for the candidate. They are few."""

    metric_name = "headwater.found"
    value_keys = ("query",)

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805 - as Great Expectations calls it
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> list[list[Any]]:
        return _found(execution_engine, metric_domain_kwargs, metric_value_kwargs["query"])


class Recounted(TableMetricProvider):
    """The rows of a quick query that may count too much; where it counts anything, those of an exact one."""

    metric_name = "headwater.recounted"
    value_keys = ("query", "exactly")

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805 - as Great Expectations calls it
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> list[list[Any]]:
        found = _found(execution_engine, metric_domain_kwargs, metric_value_kwargs["query"])
        return (
            found if found == [[0]] else _found(execution_engine, metric_domain_kwargs, metric_value_kwargs["exactly"])
        )


def _found(engine: SparkDFExecutionEngine, domain: dict[str, Any], query: str) -> list[list[Any]]:
    rows, _, _ = engine.get_compute_domain(domain, domain_type=MetricDomainTypes.TABLE)
    rows.createOrReplaceTempView(_VIEW)
    found = engine.spark.sql(query.replace("{batch}", _VIEW)).toArrow()
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
        observed, details = self._measured(metrics)
        above = observed is not None and (self.min_value is None or observed >= self.min_value)
        below = observed is not None and (self.max_value is None or observed <= self.max_value)
        return {"success": above and below, "result": {"observed_value": observed, "details": details}}

    def _measured(self, metrics: Mapping[str, Any]) -> tuple[float | None, Any]:
        """The number, None if there is none; and what else people should know."""
        raise NotImplementedError


class ExpectAggregate(ExpectMeasure):
    """Bounds an SQL aggregate over the rows, such as `count_if(name IS NULL)`."""

    aggregate: str

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.aggregate",)
    success_keys: ClassVar[tuple[str, ...]] = ("aggregate", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> tuple[float | None, Any]:
        return metrics["headwater.aggregate"], None


class ExpectValue(ExpectMeasure):
    """Bounds the one value of an SQL query."""

    query: str

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.found",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> tuple[float | None, Any]:
        return _only_value(metrics["headwater.found"]), None


class ExpectRecounted(ExpectMeasure):
    """Bounds the one value of `query`; where that is not 0, the one of `exactly`, which takes longer."""

    query: str
    exactly: str

    metric_dependencies: ClassVar[tuple[str, ...]] = ("headwater.recounted",)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "exactly", "min_value", "max_value")

    def _measured(self, metrics: Mapping[str, Any]) -> tuple[float | None, Any]:
        return _only_value(metrics["headwater.recounted"]), None


def _only_value(rows: list[list[Any]]) -> float | None:
    if len(rows) != 1 or len(rows[0]) != 1:
        raise ValueError(f"the query must find one value, and found {len(rows)} rows")
    value = rows[0][0]
    return None if value is None else float(value)
