"""A run that sleeps while its log entry is put, past its lease: whoever wakes last, each span is committed once."""

from dataclasses import replace

import pytest
from tests.chaos.instant import Instant, named
from tests.chaos.same import EVIDENCE
from tests.chaos.sleepers import Sleep, slept

pytestmark = pytest.mark.slow

PUTS = {
    "append": Sleep("snowflake_orders", named("bronze/snowflake/orders")),
    "append of a later window": Sleep("kafka_user_events", named("bronze/kafka/user_events", 2)),
    "append, before the check": Sleep("snowflake_orders", Instant("Staged:snowflake_orders")),
    "merge": Sleep("external_inventory", named("rejects/external_inventory")),
    "replace in silver": Sleep("orders", named("silver/orders")),
    "replace in gold": Sleep("product_perf_daily", named("gold/product_perf_daily")),
    "quarantine": Sleep("orders", named("quarantine/orders")),
    "evidence": Sleep("orders", named(EVIDENCE)),
}
ABOVE_ORDERS = (
    *("snowflake_orders", "snowflake_customers", "snowflake_products", "fx_vendor_rates"),
    *("customers", "products", "fx_rates"),
)


JUDGED = {
    "quarantine": named("quarantine/orders"),
    "quarantine, before the check": Instant("Refusing:orders"),
    "evidence": named(EVIDENCE),
    "evidence, before the check": Instant("Judged:orders"),
    "target": named("silver/orders"),
}


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize("put", PUTS)
def test_one_that_slept_in_its_put_finds_the_work_done(second, put, where):
    told = slept(second, replace(PUTS[put], where=where))

    assert not told, "\n".join(told)


@pytest.mark.parametrize("put", JUDGED)
def test_what_a_sleeper_judged_by_older_inputs_does_not_come_back(second, put):
    told = slept(second, Sleep("orders", JUDGED[put], number=0, overtaken=(*ABOVE_ORDERS, "orders")))

    assert not told, "\n".join(told)
