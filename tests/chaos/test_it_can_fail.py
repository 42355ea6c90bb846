"""The harness notices what it is there for: of four mistakes in how runs commit it tells each."""

import pytest
from tests.chaos.instant import Instant, named
from tests.chaos.kills import tried
from tests.chaos.points import Kill
from tests.chaos.shop import INSTANTS
from tests.chaos.sleepers import Sleep, slept
from tests.e2e.runs import ended
from tests.e2e.tiny import PROJECT
from tests.mutants.mutant import Mutant, copied

pytestmark = pytest.mark.slow

_CHECK = "if recorded is not None and recorded >= commit.version:"
_TOLD, _PUT = "        context.emit(Committing(table.name, txn))\n", "        version = context.engine.append("
WITHOUT_TXN = (
    Mutant(
        "no-txn",
        "engine/delta.py",
        "app_transactions=[Transaction(commit.app_id, commit.version)]",
        "app_transactions=[]",
        of=(),
    ),
    Mutant("no-check", "engine/delta.py", _CHECK, "if False:", of=()),
)
STORE_FIRST = Mutant(
    "store-first",
    "run/bronze.py",
    _TOLD + _PUT,
    f"{_TOLD}        context.state.committed(table.name, inputs)\n{_PUT}",
    (),
)
NO_OVERLAP = Mutant("no-overlap", "run/positions.py", "position.watermark - overlap", "position.watermark", of=())
STORE_BELIEVED = Mutant("store-believed", "run/bronze.py", "position = known or ", "position = ", of=())
"""How far a table is read is taken from the store: written after the rows it may be behind, before them ahead."""


@pytest.fixture
def code(tmp_path):
    """A copy of the package with mistakes in it."""

    def made(*mutants):
        copy = copied(PROJECT, tmp_path / "copy")
        for mutant in mutants:
            mutant.apply(copy)
        return copy

    return made


def test_a_watermark_that_is_stored_before_the_rows_is_noticed(first, code):
    kill = Kill("before-the-entry", "redshift_behavior", 0, named("bronze/redshift/behavior"))

    finding = tried(first, kill, code(STORE_BELIEVED, STORE_FIRST))

    assert not finding.missed, finding.missed
    assert any("bronze/redshift/behavior:" in line and "too few" in line for line in finding.told)


def test_a_batch_that_lands_twice_is_noticed(second, code):
    kill = Kill("before-the-store", "kafka_user_events", 1, Instant("Committed:kafka_user_events"))

    finding = tried(second, kill, code(STORE_BELIEVED))

    assert not finding.missed, finding.missed
    assert any("bronze/kafka/user_events:" in line and "too many" in line for line in finding.told)
    assert any("but" in line and "by kafka_partition, kafka_offset" in line for line in finding.told)


def test_an_overlap_that_is_dropped_is_noticed_by_the_independent_answer(second, code):
    lake = second.lake("no-overlap", 1, second.contracts["snowflake_orders"])

    assert ended(lake, INSTANTS[1], "--select", "snowflake_orders", code=code(NO_OVERLAP)) == 0

    assert "bronze.snowflake_orders: the lake has 21 rows, the answer 22" in second.answered(lake)


def test_a_commit_without_its_txn_is_noticed(second, code):
    told = slept(second, Sleep("snowflake_customers", named("bronze/snowflake/customers")), code(*WITHOUT_TXN))

    # What the sleeper had staged was swept when its work was done by another; else its rows would be there twice.
    assert any("bronze/snowflake/customers: names" in line and "which is not there" in line for line in told)
