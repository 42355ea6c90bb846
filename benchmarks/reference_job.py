"""The reference job: ten million order versions become silver.orders and gold.customer_360, by Headwater and by hand.

    python -m benchmarks.reference_job [--scale 1.0] [--pairs 5] [--folder .headwater/bench]

Ends with 1 if the results differ or, at scale 1 and above, a bound is missed.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.by_headwater import PROJECT
from benchmarks.data import Volumes, prepared
from benchmarks.measured import Cost, cost
from benchmarks.same import differences
from headwater.contracts import load_contracts

MOST_RATIO = 1.5
"""Headwater's time without the gate, in times of the program by hand: the median of all pairs."""
MOST_BYTES = 3_000_000_000
"""Headwater's memory at any moment of any run."""

RESULTS = ("silver/orders", "gold/customer_360", "quarantine/orders")
_COMPARED = {"quarantine/orders": ["_row_id", "rules"]}
_WRITTEN = (*RESULTS, "_dq_results")
_BOUNDS_FROM_SCALE = 1.0


@dataclass(frozen=True)
class Pair:
    """The three programs, run one after the other."""

    by_hand: Cost
    ungated: Cost
    gated: Cost


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job and print what it cost; the exit code."""
    given = _parser().parse_args(arguments)
    volumes = Volumes.of(given.scale)
    print(
        f"reference job at scale {given.scale:g}: {volumes.order_versions:,} versions of {volumes.orders:,} orders, "
        f"{volumes.events:,} events, {volumes.customers:,} customers, {volumes.accounts:,} accounts",
        flush=True,
    )
    lake = prepared(given.folder, given.scale, load_contracts(PROJECT / "config" / "contracts"))
    pairs = []
    for number in range(1, given.pairs + 1):
        pair, different = _pair(lake, by_hand_first=number % 2 == 1)
        pairs.append(pair)
        print(f"pair {number}: {_in_words(pair)}", flush=True)
        if different:
            print("the results differ:", *different, sep="\n  ")
            return 1
        print("        equal results", flush=True)
    return judged(pairs, bounded=given.scale >= _BOUNDS_FROM_SCALE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference_job", description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the volumes; bounds hold from 1 on (default 1)")
    parser.add_argument("--pairs", type=int, default=5, help="how often both programs run, by turns (default 5)")
    folder = PROJECT / ".headwater" / "bench"
    parser.add_argument("--folder", type=Path, default=folder, help="where inputs are kept and results written")
    return parser


def _pair(lake: Path, *, by_hand_first: bool) -> tuple[Pair, list[str]]:
    """Run each program once and compare what they made."""
    out, state = lake / "by_hand", lake / "state"
    costs: dict[str, Cost] = {}
    different: list[str] = []
    order = ["by hand", "ungated", "gated"]
    for program in order if by_hand_first else reversed(order):
        if program == "by hand":
            shutil.rmtree(out, ignore_errors=True)
            costs[program] = cost("benchmarks.by_hand_duckdb", [str(lake), str(out)])
        else:
            _clear(lake, state)
            gate = [] if program == "gated" else ["--no-gate"]
            costs[program] = cost("benchmarks.by_headwater", [str(lake), str(state), *gate])
    for name in RESULTS:
        different += [f"{name}: {each}" for each in differences(lake / name, out / name, _COMPARED.get(name))]
    return Pair(costs["by hand"], costs["ungated"], costs["gated"]), different


def _clear(lake: Path, state: Path) -> None:
    for place in (*(lake / name for name in _WRITTEN), state):
        shutil.rmtree(place, ignore_errors=True)


def _in_words(pair: Pair) -> str:
    said = []
    for name, each in (("by hand", pair.by_hand), ("Headwater", pair.ungated), ("with the gate", pair.gated)):
        said.append(f"{name} {each.seconds:.1f} s, {each.cpu_s:.1f} CPU s, {each.peak_bytes / 1e9:.2f} GB")
    return "; ".join(said)


def judged(pairs: list[Pair], *, bounded: bool) -> int:
    """Print the ratios and the bounds; 1 if one of them is missed."""
    ratio = [pair.ungated.seconds / pair.by_hand.seconds for pair in pairs]
    peak = max(each.peak_bytes for pair in pairs for each in (pair.ungated, pair.gated))
    print(f"Headwater / by hand without the gate: {_spread(ratio)}")
    print(f"  in CPU seconds: {_spread([pair.ungated.cpu_s / pair.by_hand.cpu_s for pair in pairs])}")
    print(
        f"Headwater / by hand with the gate: {_spread([pair.gated.seconds / pair.by_hand.seconds for pair in pairs])}"
    )
    print(f"  in CPU seconds: {_spread([pair.gated.cpu_s / pair.by_hand.cpu_s for pair in pairs])}")
    print(
        f"peak memory: Headwater {peak / 1e9:.2f} GB, by hand {max(p.by_hand.peak_bytes for p in pairs) / 1e9:.2f} GB"
    )
    missed = []
    if median(ratio) > MOST_RATIO:
        missed.append(f"the ratio without the gate is {median(ratio):.2f}, above {MOST_RATIO:g}")
    if peak > MOST_BYTES:
        missed.append(f"the peak is {peak / 1e9:.2f} GB, above {MOST_BYTES / 1e9:g} GB")
    if not bounded:
        print("bounds are not judged below scale 1, where starting costs more than the rows")
        return 0
    if not missed:
        print(f"bounds kept: ratio without the gate at most {MOST_RATIO:g}, peak at most {MOST_BYTES / 1e9:g} GB")
        return 0
    print("bounds missed:", *missed, sep="\n  ")
    print("the three largest costs of the last run without the gate:", *_largest(pairs[-1].ungated), sep="\n  ")
    return 1


def _spread(ratios: list[float]) -> str:
    return f"median {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _largest(run: Cost) -> list[str]:
    phases: dict[str, tuple[float, float]] = json.loads(run.said.splitlines()[-1])
    dearest = sorted(phases.items(), key=lambda phase: phase[1][1], reverse=True)[:3]
    return [f"{cpu_s:.1f} CPU s in {seconds:.1f} s: {phase}" for phase, (seconds, cpu_s) in dearest]


if __name__ == "__main__":
    raise SystemExit(main())
