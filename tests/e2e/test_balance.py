"""A table's function that loses a row, or doubles one, publishes nothing, whichever table it is."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tests.e2e.tiny import T0, Lake, write_tiny

from headwater import sandbox
from headwater.config import load_settings
from headwater.engine.embedded import EmbeddedEngine
from headwater.errors import BalanceBroken
from headwater.extract import EXTRACTORS
from headwater.object_store import lake_of
from headwater.run import execute
from headwater.run.build import Build
from headwater.run.context import Context
from headwater.run.opened import opened
from headwater.run.plan import planned

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Iterator[Context]:
    """A lake whose Bronze is there and whose Silver is not."""
    place = tmp_path_factory.mktemp("balance")
    folder = place / ".headwater" / "sandbox"
    try:
        lake = Lake.beside(sandbox.up(folder, write_tiny(place / "tiny")), place / "lake")
        settings = load_settings(lake.config, {})
        assert execute(settings, select=tuple(EXTRACTORS), at=T0).exit_code == 0
        with opened(settings, T0, ()) as context:
            yield dataclasses.replace(context, engine=EmbeddedEngine(lake_of(settings), spark))
    finally:
        sandbox.down(folder)


def fans_out(rows: DataFrame) -> DataFrame:
    """As a join does whose other side has two rows for a key."""
    return rows.crossJoin(rows.sparkSession.range(2)).drop("id")


def loses_one(rows: DataFrame) -> DataFrame:
    return rows.where(F.col("_row_id") != last(rows))


def doubles_one(rows: DataFrame) -> DataFrame:
    return rows.unionByName(rows.where(F.col("_row_id") == last(rows)))


def loses_one_and_doubles_another(rows: DataFrame) -> DataFrame:
    """So that as many come out as went in."""
    kept = loses_one(rows)
    return doubles_one(kept)


def last(rows: DataFrame) -> str:
    return str(rows.agg(F.max("_row_id")).toArrow().column(0)[0].as_py())


def silver(context: Context) -> list[str]:
    """Every Silver table after those that it refers to."""
    order = planned(context.settings, context.contracts, context.functions, None).depends_on
    done: list[str] = []
    while len(done) < len(order):
        done += [name for name, above in order.items() if name not in done and above <= set(done)]
    return [name for name in done if context.contracts[name].layer == "silver"]


def test_a_function_that_loses_or_doubles_a_version_publishes_nothing(landed: Context) -> None:
    for name in silver(landed):
        function, contract = landed.functions[name], landed.contracts[name]
        for fault in (fans_out, loses_one, doubles_one, loses_one_and_doubles_another):
            wrong = dataclasses.replace(function, function=after(function.function, fault))

            with pytest.raises(BalanceBroken, match=rf"silver\.{name}: .*nothing was committed"):
                Build(landed, wrong, contract).run()

            assert Build(landed, function, contract).standing() is None, f"{name} {fault.__name__}"
        assert Build(landed, function, contract).run().outcome == "committed"


def after(compute: Callable[..., DataFrame], fault: Callable[[DataFrame], DataFrame]) -> Callable[..., DataFrame]:
    return lambda *frames, **settings: fault(compute(*frames, **settings))


LOST, DOUBLED = "O4", "O0"
"""Orders of different worth: of two of the same worth, customer and day the table is the same whichever is counted twice."""


def loses_an_order_and_doubles_another(orders: DataFrame) -> DataFrame:
    """So that as many come in as there are."""
    kept = orders.where(F.col("order_id") != LOST)
    return kept.unionByName(kept.where(F.col("order_id") == DOUBLED))


def loses_a_row(rows: DataFrame) -> DataFrame:
    """As a filter does that is a little too narrow."""
    key = rows.columns[0]
    return rows.where(F.col(key) != str(rows.agg(F.max(key)).toArrow().column(0)[0].as_py()))


GOLD_FAULTS = {
    ("customer_360", "customers"): (fans_out, loses_a_row),
    ("customer_360", "orders"): (fans_out, loses_a_row, loses_an_order_and_doubles_another),
    ("customer_360", "behavior"): (fans_out, loses_a_row),
    ("product_perf_daily", "orders"): (fans_out, loses_a_row, loses_an_order_and_doubles_another),
    ("product_perf_daily", "products"): (fans_out,),
    ("revenue_by_geography", "orders"): (fans_out, loses_a_row, loses_an_order_and_doubles_another),
    ("revenue_by_geography", "customers"): (fans_out,),
    ("revenue_by_industry", "orders"): (fans_out, loses_a_row, loses_an_order_and_doubles_another),
    ("revenue_by_industry", "customers"): (fans_out,),
    ("revenue_by_industry", "opportunities"): (fans_out, loses_a_row),
}
"""What can go wrong with an input on its way into a Gold table."""


def test_a_gold_table_that_does_not_keep_what_its_inputs_hold_is_not_published(landed: Context) -> None:
    for name in silver(landed):
        step = Build(landed, landed.functions[name], landed.contracts[name])
        assert step.standing() or step.run().outcome == "committed"
    conserved = {name for name, contract in landed.contracts.items() if contract.conserved}
    assert {table for table, _ in GOLD_FAULTS} == conserved

    for (name, wrong), faults in GOLD_FAULTS.items():
        function, contract = landed.functions[name], landed.contracts[name]
        for fault in faults:
            place = function.inputs.index(wrong)
            broken = dataclasses.replace(function, function=before(function.function, place, fault))

            report = Build(landed, broken, contract).run()

            failed = {check["rule"] for check in report.checks if not check["success"]}
            assert report.outcome == "gate failed", f"{name} {wrong} {fault.__name__}"
            assert any(rule.endswith(":conserved") for rule in failed), f"{name} {wrong} {fault.__name__}: {failed}"
            assert Build(landed, function, contract).standing() is None
    for name in conserved:
        assert Build(landed, landed.functions[name], landed.contracts[name]).run().outcome == "committed"


def before(
    compute: Callable[..., DataFrame], place: int, fault: Callable[[DataFrame], DataFrame]
) -> Callable[..., DataFrame]:
    def computed(*frames: DataFrame, **settings: object) -> DataFrame:
        return compute(*(fault(each) if number == place else each for number, each in enumerate(frames)), **settings)

    return computed
