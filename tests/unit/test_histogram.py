"""Bins of values: quantiles to 9 %, outliers among their own group, and how far a distribution has moved."""

import math
import random

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from headwater.quality import histogram
from headwater.quality.blocks import Outliers
from headwater.quality.histogram import Bin, as_pairs, bin_of, from_pairs, merged, middle, outlying, psi, quantile

ROBUST = Outliers(beyond=8, max_share=0.01)


def bins(*values: float) -> dict[int, int]:
    """The bins of numbers, by the rule that the query has in SQL."""
    counts: dict[int, int] = {}
    for value in values:
        size = math.floor(math.log2(abs(value)) * 8) if value else 0
        of = 0 if value == 0 else 1000 + size if value > 0 else -1000 - size
        counts[of] = counts.get(of, 0) + 1
    return counts


def test_the_bins_of_the_engine_are_in_order_and_their_middles_near_the_values(spark: SparkSession) -> None:
    values = [-1e300, -1000.0, -3.0, -0.001, 0.0, 1e-300, 0.001, 1.0, 2.0, 999.0, 1e300, None, float("nan"), math.inf]
    rows = spark.createDataFrame(pa.table({"place": list(range(len(values))), "value": pa.array(values, pa.float64())}))

    found = rows.selectExpr("place", f"{bin_of('value', number=True)} AS bin").toArrow().sort_by("place")
    of = found["bin"].to_pylist()

    assert of[:11] == sorted(of[:11])
    assert of[11:13] == [None, None]
    assert of[13] > of[9]
    for value, each in list(zip(values, of, strict=True))[1:10]:
        if value and abs(value) > 1e-100:
            assert middle(each) == pytest.approx(value, rel=0.05)
    assert middle(of[4]) == 0


def test_money_is_binned_as_any_number(spark: SparkSession) -> None:
    found = spark.sql(f"SELECT {bin_of('x', number=True)} AS bin FROM (SELECT CAST('2.00' AS DECIMAL(18,2)) AS x)")
    assert found.toArrow()["bin"].to_pylist() == [1008]


def test_a_quantile_is_the_value_that_so_many_lie_below() -> None:
    values = [(1.0, 50), (2.0, 25), (9.0, 25)]
    assert [quantile(values, share) for share in (0.1, 0.5, 0.75, 0.76, 1.0)] == [1.0, 1.0, 2.0, 9.0, 9.0]


@pytest.mark.parametrize("method", ["robust_z", "iqr"])
def test_one_value_far_from_all_others_is_an_outlier_and_none_of_those_near_is(method: str) -> None:
    normal = random.Random(7)
    values = [normal.gauss(100, 10) for _ in range(1000)]
    how = Outliers.model_validate({"method": method, "beyond": 8, "max_share": 0})

    assert outlying(None, bins(*values), how).outliers == 0
    found = outlying(None, bins(*values, 100_000), how)
    assert (found.outliers, found.of) == (1, 1001)
    assert 150 < found.high < 400


def test_on_a_log_scale_far_means_many_times_more_or_less() -> None:
    many = random.Random(7)
    amounts = [math.exp(many.gauss(3, 1)) for _ in range(1000)]
    how = Outliers(scale="log", beyond=8, max_share=0)

    assert outlying(None, bins(*amounts), how).outliers == 0
    assert outlying(None, bins(*amounts, 1e6, 1e-6), how).outliers == 2
    assert outlying(None, bins(*amounts), ROBUST).outliers > 10


def test_where_nearly_all_values_are_alike_the_others_are_judged_by_their_mean_distance() -> None:
    assert outlying(None, bins(*[1] * 1000, *[2] * 200), ROBUST).outliers == 0
    assert outlying(None, bins(*[1] * 1000, 50), ROBUST).outliers == 1
    assert outlying(None, bins(*[1] * 1000), ROBUST).outliers == 0


def test_of_a_handful_of_values_none_is_an_outlier() -> None:
    assert outlying("JPY", bins(*[1.0, 1.1] * 9, 1e9), ROBUST).outliers == 0
    assert outlying("JPY", bins(*[1.0, 1.1] * 10, 1e9), ROBUST).outliers == 1


def test_the_same_distribution_has_an_index_of_nearly_none_whatever_its_size() -> None:
    before: dict[Bin, int] = {"EUR": 500_000, "USD": 300_000, "GBP": 200_000}
    assert psi(before, {"EUR": 500, "USD": 300, "GBP": 200}) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    "now",
    [
        {"EUR": 10, "USD": 790, "GBP": 200},
        {"EUR": 500, "USD": 300, "???": 200},
        {"EUR": 250, "USD": 150, "GBP": 100, None: 500},
        {"EUR": 1000},
    ],
)
def test_a_currency_that_goes_one_that_comes_and_values_that_go_missing_are_drift(now: dict[Bin, int]) -> None:
    assert psi({"EUR": 500, "USD": 300, "GBP": 200}, now) > 0.25


def test_numbers_are_compared_by_tenths_of_those_before() -> None:
    many = random.Random(7)
    before: dict[Bin, int] = {**bins(*(many.gauss(100, 20) for _ in range(10_000)))}
    same: dict[Bin, int] = {**bins(*(many.gauss(100, 20) for _ in range(1000)))}
    cents: dict[Bin, int] = {**bins(*(many.gauss(100, 20) * 100 for _ in range(1000)))}

    assert psi(before, same) < 0.05
    assert psi(before, cents) > 2


def test_versions_before_weigh_so_much_and_no_more() -> None:
    assert merged({}, {"a": 3}, 100) == {"a": 3}
    assert merged({"a": 60, "b": 20}, {"a": 3}, 100) == {"a": 63, "b": 20}
    assert merged({"a": 6000, "b": 2000, "c": 1}, {"a": 3}, 80) == {"a": 63, "b": 20}


def test_a_profile_has_few_bins() -> None:
    before: dict[Bin, int] = {f"v{number}": 1000 - number for number in range(histogram.MOST_BINS)}
    kept = merged(before, {"new": 5000, "rare": 1}, 10_000_000)
    assert len(kept) == histogram.MOST_BINS
    assert "new" in kept
    assert "rare" not in kept


def test_bins_are_kept_as_json_has_them() -> None:
    told: dict[Bin, int] = {"": 1, None: 2, 1003: 4}
    assert from_pairs(as_pairs(told)) == told
