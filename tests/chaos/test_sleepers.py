"""A run that sleeps while its log entry is put, past its lease: whoever wakes last, each span is committed once."""

import pytest
from tests.chaos.instant import named
from tests.chaos.same import EVIDENCE
from tests.chaos.sleepers import Sleep, slept

pytestmark = pytest.mark.slow

PUTS = {
    "append": ("snowflake_orders", "bronze/snowflake/orders", 1),
    "append of a later window": ("kafka_user_events", "bronze/kafka/user_events", 2),
    "merge": ("external_inventory", "rejects/external_inventory", 1),
    "replace in silver": ("orders", "silver/orders", 1),
    "replace in gold": ("product_perf_daily", "gold/product_perf_daily", 1),
    "quarantine": ("orders", "quarantine/orders", 1),
    "evidence": ("orders", EVIDENCE, 1),
}
ABOVE_ORDERS = (
    *("snowflake_orders", "snowflake_customers", "snowflake_products", "fx_vendor_rates"),
    *("customers", "products", "fx_rates"),
)


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize("put", PUTS)
def test_one_that_slept_in_its_put_finds_the_work_done(second, put, where):
    table, path, nth = PUTS[put]

    told = slept(second, Sleep(table, named(path, nth), where=where))

    assert not told, "\n".join(told)


@pytest.mark.parametrize("path", ["quarantine/orders", EVIDENCE, "silver/orders"])
def test_what_a_sleeper_judged_by_older_inputs_does_not_come_back(second, path):
    nth = 2 if path.startswith("quarantine") else 1  # the first makes the table

    told = slept(second, Sleep("orders", named(path, nth), number=0, overtaken=(*ABOVE_ORDERS, "orders")))

    assert not told, "\n".join(told)
