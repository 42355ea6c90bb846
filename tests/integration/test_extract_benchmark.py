"""The benchmark of reading measures programs that saw the same rows, and says which bound is missed."""

import dataclasses
from pathlib import Path

import pytest
from benchmarks import extract
from benchmarks.rows_seen import Seen

pytestmark = pytest.mark.slow


def test_a_raw_client_dlt_and_headwater_see_the_same_rows_of_every_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    only_sources = ["--no-windows", "--no-no-op"]
    ended = extract.main(["--rows", "3000", "--pairs", "1", *only_sources, "--folder", str(tmp_path)])

    said = capsys.readouterr().out
    assert ended == 0, said
    for source in extract.TABLES:
        assert f"{source:<11} headwater" in said


def test_a_missed_bound_ends_with_1_and_is_named(capsys: pytest.CaptureFixture[str]):
    run = extract.Run(1.0, 1.0, 1, Seen(1, 1))
    slow = dataclasses.replace(run, seconds=2.0)
    found = extract.Compared("kafka", {"raw": [run], "dlt": [slow], "headwater": [slow]})

    missed = extract._missed(found)

    assert missed == [
        "kafka: 0.50 times as fast as raw, below 0.7",
        "kafka: 1.00 times as fast as dlt, below 2",
    ]
    assert extract.judged(missed, bounded=True) == 1
    assert "0.50 times as fast as raw" in capsys.readouterr().out
    assert extract.judged(missed, bounded=False) == 0
