"""Two writers at once on the same tables: nothing is lost, nothing is doubled, and who loses a race says so."""

import pytest
from tests.chaos import driver
from tests.chaos.races import (
    ROWS_A_ROUND,
    TABLE,
    committing,
    everything_raced,
    held,
    landed_from_nothing,
    landing_raced,
    merging,
)

from headwater.config import load_settings
from headwater.engine import Commit, Staged
from headwater.errors import CommitRefused
from headwater.run.opened import opened

pytestmark = pytest.mark.slow

ROUNDS = 25


@pytest.fixture(params=["local", "s3"])
def config(request, second, tmp_path):
    """The configuration of a project whose lake is empty."""
    place = second.on_s3(tmp_path.name) if request.param == "s3" else {}
    yield second.empty(tmp_path.name, **place).config
    second.bucket.clear(tmp_path.name)


def test_two_runs_at_once_land_each_row_once(second):
    expected = landed_from_nothing(second)
    races = [landing_raced(second, where, expected) for where in ("local", "s3") * 2]

    assert [line for race in races for line in race.told] == []
    assert sum(race.commits for race in races) >= 200, races
    assert sum(race.lost for race in races) >= 20, races


def test_two_runs_at_once_build_each_table_once(second):
    race = everything_raced(second, "local")

    assert list(race.told) == []
    assert race.lost > 0


def test_of_two_who_make_the_same_commit_one_does(config):
    with driver.pool() as pool:
        lost = [pool.submit(committing, config, who, ROUNDS) for who in ("one", "other")]

    assert sum(each.result() for each in lost) == ROUNDS
    rows = held(config)
    made = {row.rpartition("-")[0].rpartition("-")[2] for row in rows}
    assert len(rows) == len(set(rows)) == ROUNDS * ROWS_A_ROUND
    assert made == {str(txn) for txn in range(1, ROUNDS + 1)}


def test_two_who_merge_the_same_keys_insert_each_once(config):
    with driver.pool() as pool:
        inserted = [pool.submit(merging, config, who, ROUNDS) for who in ("one", "other")]

    rows = held(config)
    assert len(rows) == len(set(rows)) == (ROUNDS + 1) * ROWS_A_ROUND
    assert sum(each.result() for each in inserted) == len(rows)


def test_a_version_that_is_not_above_the_last_is_refused(config):
    committing(config, "one", 3)

    with opened(load_settings(config, {}), None, ()) as context:
        for version in (1, 2, 3):
            with pytest.raises(CommitRefused, match=f"raced: version {version} is committed already"):
                context.engine.append(TABLE, Staged(""), Commit(TABLE.app_id, version, {}))
        head = context.engine.head(TABLE)

    assert head is not None
    assert head.txn == 3
    assert len(held(config)) == 3 * ROWS_A_ROUND
