"""Where tests are parted among processes by file, a process should not come upon the longest files last."""

import pytest

_LONGEST = (
    "test_forget.py",
    "test_completejourney.py",
    "test_kills.py",
    "test_docs.py",
    "test_model_of_snowflake.py",
    "test_faults.py",
    "test_lake_on_s3.py",
    "test_model_of_salesforce.py",
    "test_races.py",
    "test_model_of_redshift.py",
    "test_sleepers.py",
    "test_sandbox.py",
    "test_quarantine.py",
    "test_gate_closes.py",
    "test_drift.py",
    "test_gate_fails_closed.py",
    "test_generated.py",
    "test_night_watch.py",
    "test_stand_in_kafka.py",
    "test_verdicts.py",
    "test_it_can_fail.py",
    "test_extract_benchmark.py",
    "test_hand_written_folders.py",
    "test_mutants.py",
    "test_cursor_mutants.py",
    "test_contract_commands.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        order = {name: place for place, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: order.get(item.path.name, len(order)))
