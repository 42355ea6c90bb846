"""The reference job by Headwater: what `headwater run --select orders,customer_360` does, with a clock beside it.

python -m benchmarks.by_headwater LAKE STATE [--no-gate]
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from unittest.mock import patch

import yaml

from benchmarks.data import END
from headwater.config import load_settings
from headwater.quality.verdict import Candidate, Check, Verdict
from headwater.run.events import Event
from headwater.run.execute import execute

TABLES = ("orders", "customer_360")
PROJECT = Path(__file__).parent.parent


class Clock:
    """An observer of the run: what each stretch between two events took, in seconds and processor seconds.

    Processor seconds are the whole process's: its threads compute the tables. The first stretch begins with the
    process.
    """

    def __init__(self) -> None:
        self.phases: dict[str, tuple[float, float]] = {}
        self._last = perf_counter(), 0.0

    def __call__(self, event: Event) -> None:
        table = getattr(event, "table", "") or "the run"
        self.close(f"{table} until {type(event).__name__}")

    def close(self, phase: str) -> None:
        """End the present stretch under this name."""
        now = perf_counter(), process_time()
        taken = self.phases.get(phase, (0.0, 0.0))
        self.phases[phase] = taken[0] + now[0] - self._last[0], taken[1] + now[1] - self._last[1]
        self._last = now


class _OpenGate:
    """Stands in the gate's place and lets everything through."""

    def __init__(self, *_: object) -> None: ...

    def warm(self) -> None: ...

    def judge(self, candidate: Candidate) -> Verdict:
        return Verdict(candidate.contract.table, (Check("not judged", "warning", None, "", success=True),))


@contextmanager
def _ungated() -> Iterator[None]:
    with patch("headwater.run.opened.Gate", _OpenGate):
        yield


def main(lake: Path, state: Path, *, gate: bool) -> None:
    """Move the two tables of `lake` forward and print what each stretch took.

    Raises:
        SystemExit: a table was not committed; says which and why.
    """
    clock = Clock()
    state.mkdir(parents=True, exist_ok=True)
    file = state / "config.yaml"
    config = {
        "state": str(state),
        "lake": str(lake),
        "contracts": str(PROJECT / "config" / "contracts"),
        "dq": str(PROJECT / "config" / "dq.yaml"),
        "data_sources": {"snowflake": {"enabled": True}},
    }
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    settings = load_settings(file, {})
    if gate:
        report = execute(settings, select=TABLES, at=END, observers=[clock])
    else:
        with _ungated():
            report = execute(settings, select=TABLES, at=END, observers=[clock])
    if stopped := [
        f"{table.table}: {table.outcome}: {table.reason}" for table in report.tables if table.version is None
    ]:
        raise SystemExit("; ".join(stopped))
    print(json.dumps({phase: [round(second, 3) for second in taken] for phase, taken in clock.phases.items()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--no-gate", action="store_true")
    given = parser.parse_args()
    main(given.lake, given.state, gate=not given.no_gate)
