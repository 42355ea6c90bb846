"""The benchmark measures programs that make the same tables, and would see it if they did not."""

from pathlib import Path

import pyarrow as pa
import pytest
from benchmarks import reference_job
from benchmarks.data import prepared
from benchmarks.measured import Cost, cost
from benchmarks.same import differences
from deltalake import write_deltalake

from headwater.contracts import Contracts

ROWS = pa.table({"month": ["2024-01", "2024-01", "2024-02"], "cents": [1, 1, 2]})


@pytest.mark.slow
def test_headwater_and_the_program_by_hand_make_equal_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ended = reference_job.main(["--scale", "0.002", "--pairs", "1", "--folder", str(tmp_path)])

    said = capsys.readouterr().out
    assert ended == 0, said
    assert "equal results" in said
    assert "Headwater / by hand with the gate: median" in said
    quarantine = tmp_path / "scale-0.002" / "quarantine" / "orders"
    assert len(list(quarantine.rglob("*.parquet"))) > 0, "the job has refused rows"


def test_the_inputs_are_made_once_and_made_again_if_they_were_left_unfinished(tmp_path: Path, contracts: Contracts):
    lake = prepared(tmp_path, 0.0002, contracts)
    file = next((lake / "silver" / "customers").rglob("*.parquet"))
    made = file.stat().st_mtime_ns, file.read_bytes()

    prepared(tmp_path, 0.0002, contracts)
    assert file.stat().st_mtime_ns == made[0]

    (lake / "made.json").unlink()
    prepared(tmp_path, 0.0002, contracts)
    assert file.stat().st_mtime_ns != made[0]
    assert file.read_bytes() == made[1]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (ROWS.set_column(1, "cents", pa.array([1, 1, 3])), "2 different rows"),
        (ROWS.slice(1), "1 different rows"),
        (ROWS.set_column(1, "cents", pa.array([1, 1, 2], pa.int32())), "the columns differ"),
        (ROWS.set_column(0, "month", pa.array(["2024-01", "2024-01", "2024-03"])), "the partitions differ"),
    ],
    ids=["a value", "a row less", "a type", "a partition"],
)
def test_a_difference_between_two_tables_is_seen(tmp_path: Path, other: pa.Table, said: str):
    for name, rows in (("left", ROWS), ("same", ROWS.take([2, 1, 0])), ("other", other)):
        write_deltalake(tmp_path / name, rows, partition_by=["month"])

    assert differences(tmp_path / "left", tmp_path / "same") == []
    assert said in differences(tmp_path / "left", tmp_path / "other")[0]


def test_a_missed_bound_ends_with_1_and_names_the_largest_costs(capsys: pytest.CaptureFixture[str]):
    by_hand = Cost(10.0, 20.0, 2_000_000_000, "")
    phases = '{"orders until Refused": [12.0, 24.0], "a": [1.0, 1.0], "b": [2.0, 3.0], "c": [0.1, 0.1]}'
    slow = Cost(16.0, 30.0, 3_100_000_000, phases)
    fast = Cost(14.0, 30.0, 2_900_000_000, phases)

    assert reference_job.judged([reference_job.Pair(by_hand, fast, slow)], bounded=False) == 0
    assert reference_job.judged([reference_job.Pair(by_hand, fast, fast)], bounded=True) == 0
    capsys.readouterr()
    assert reference_job.judged([reference_job.Pair(by_hand, slow, slow)], bounded=True) == 1
    said = capsys.readouterr().out
    assert "the ratio without the gate is 1.60, above 1.5" in said
    assert "the peak is 3.10 GB, above 3 GB" in said
    assert "24.0 CPU s in 12.0 s: orders until Refused" in said
    assert "until c" not in said


def test_memory_and_processor_time_of_what_a_program_starts_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "starts_another.py").write_text(
        "import subprocess, sys\n"
        "held = 'import time; held = bytearray(b\"x\") * 150_000_000; end = time.process_time() + 0.5\\n'"
        "'while time.process_time() < end: pass'\n"
        "subprocess.run([sys.executable, '-c', held], check=True)\n"
        "print('done')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    told = cost("starts_another", [])

    assert told.said == "done\n"
    assert told.cpu_s > 0.5
    assert told.peak_bytes > 150_000_000
