"""What landing a source's rows in Bronze costs beside a raw client that only reads them, and beside dlt.

    python -m benchmarks.extract [--rows 1000000] [--source NAME ...] [--pairs 3] [--folder .headwater/bench/extract]

Ends with 1 if the rows differ or, from a million rows on, a bound is missed.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml
from deltalake import DeltaTable

from benchmarks.by_headwater import PROJECT
from benchmarks.extract_data import END, prepared
from benchmarks.measured import Cost, cost
from benchmarks.rows_seen import Seen, seen
from headwater import sandbox
from headwater.contracts import Contracts, load_contracts

LEAST_OF_RAW = 0.7
"""Headwater's rows per second, in times of the raw client's: the median of its runs by the median of the client's."""
LEAST_OF_DLT = 2.0
MOST_GROWTH = 1.25
"""Peak memory with ten times the rows, in times of the peak with the rows."""
MOST_NO_OP_S = 3.0

TABLES = {
    "snowflake": "snowflake_orders",
    "redshift": "redshift_behavior",
    "salesforce": "salesforce_opportunities",
    "s3": "external_transactions",
    "kafka": "kafka_orders_events",
    "fx_vendor": "fx_vendor_rates",
}
"""The Bronze table of each source's rows."""

_PARTS = {"fx_vendor": "fx"}
_PROGRAMS = ("raw", "dlt", "headwater")
_BOUNDS_FROM = 1_000_000
_NO_OP_RUNS = 3


@dataclass(frozen=True)
class Run:
    """One program's run: the stretch that it timed itself, from its first import of a client to its last row."""

    seconds: float
    cpu_s: float
    peak_bytes: int
    seen: Seen


@dataclass(frozen=True)
class Source:
    """A source that is up: its name, its rows, and the configuration that reaches it, below `folder`."""

    name: str
    rows: int
    folder: Path
    config: Path
    contracts: Contracts

    @property
    def table(self) -> str:
        return TABLES[self.name]

    def run(self, program: str, *options: str) -> Run:
        """Run a program on it, from nothing, in a process of its own."""
        match program:
            case "raw":
                took = cost("benchmarks.raw_clients", [str(self.config), self.name, self.table])
            case "dlt":
                out = self.folder / "dlt"
                shutil.rmtree(out, ignore_errors=True)
                took = cost("benchmarks.by_dlt", [str(self.config), self.name, self.table, str(out)])
            case _:
                for place in ("lake", "state"):
                    shutil.rmtree(self.folder / place, ignore_errors=True)
                took = cost("benchmarks.landed", [str(self.config), self.table, *options])
        return self._told(program, took)

    def _told(self, program: str, took: Cost) -> Run:
        told = json.loads(took.said.splitlines()[-1])
        contract = self.contracts[self.table]
        if program == "raw":  # its rows are gone with it: it has looked itself, after its clock stopped
            found, peak = Seen(told["rows"], told["total"]), told["peak_bytes"]
        else:
            place = self.folder / ("dlt/lake/bronze" if program == "dlt" else "lake")
            place /= self.table if program == "dlt" else contract.path
            files = DeltaTable(place).file_uris()
            found, peak = seen(contract, f"read_parquet({files})"), took.peak_bytes
        return Run(told["seconds"], told["cpu_s"], peak, found)


@contextmanager
def standing(folder: Path, name: str, rows: int) -> Iterator[Source]:
    """A source's stand-in with so many rows, in a process of its own until the end."""
    home = folder / f"{name}-{rows}"
    dataset = prepared(home, _PARTS.get(name, name), rows)
    status = sandbox.up(home / "sandbox", dataset, END)
    try:
        reached = yaml.safe_load(status.connections.read_text(encoding="utf-8"))
        config = home / "config.yaml"
        own = {
            "state": str(home / "state"),
            "lake": str(home / "lake"),
            "contracts": str(PROJECT / "config" / "contracts"),
            "dq": str(PROJECT / "config" / "dq.yaml"),
        }
        reached["data_sources"][name]["enabled"] = True
        config.write_text(yaml.safe_dump(reached | own), encoding="utf-8")
        yield Source(name, rows, home, config, load_contracts(PROJECT / "config" / "contracts"))
    finally:
        sandbox.down(home / "sandbox")


@dataclass(frozen=True)
class Compared:
    """The runs of each program on one source."""

    source: str
    runs: dict[str, list[Run]]

    def ratio(self, other: str, what: str = "seconds") -> float:
        """How often the other program's median holds Headwater's: of seconds, how many times as fast Headwater is."""
        ours, theirs = ([getattr(run, what) for run in self.runs[name]] for name in ("headwater", other))
        return float(median(theirs) / median(ours))


def compared(source: Source, pairs: int) -> Compared:
    """Run the programs by turns, each pair beginning with another one.

    Raises:
        SystemExit: two of them saw different rows.
    """
    runs: dict[str, list[Run]] = {program: [] for program in _PROGRAMS}
    for pair in range(pairs):
        for place in range(len(_PROGRAMS)):
            program = _PROGRAMS[(pair + place) % len(_PROGRAMS)]
            runs[program].append(source.run(program))
    seen_rows = {program: {run.seen for run in each} for program, each in runs.items()}
    if len(set().union(*seen_rows.values())) != 1 or next(iter(seen_rows["raw"])).rows != source.rows:
        raise SystemExit(f"{source.name}: the programs saw different rows: {seen_rows}")
    return Compared(source.name, runs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print it; the exit code."""
    given = _parser().parse_args(arguments)
    bounded = given.rows >= _BOUNDS_FROM
    missed: list[str] = []
    print(f"extract benchmark: {given.rows:,} rows a source", flush=True)
    print(f"{'source':<11} {'program':<10} {'rows/s':>10} {'CPU s':>7} {'peak MB':>8}   Headwater is", flush=True)
    for name in given.source or TABLES:
        with standing(given.folder, name, given.rows) as source:
            found = compared(source, given.pairs)
        _print(found, given.rows)
        missed += _missed(found)
    if given.windows:
        missed += _windows(given.folder, given.rows, given.pairs)
    if given.no_op:
        missed += _no_op(given.folder)
    return judged(missed, bounded=bounded)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extract", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="a source; bounds hold from 1000000 on (default)")
    parser.add_argument("--source", nargs="+", choices=list(TABLES), help="only these (default: all)")
    parser.add_argument("--pairs", type=int, default=3, help="how often each program runs, by turns (default 3)")
    parser.add_argument("--no-windows", dest="windows", action="store_false", help="leave out windows and memory")
    parser.add_argument("--no-no-op", dest="no_op", action="store_false", help="leave out the run with nothing new")
    folder = PROJECT / ".headwater" / "bench" / "extract"
    parser.add_argument("--folder", type=Path, default=folder, help="where inputs are kept and results written")
    return parser


def _print(found: Compared, rows: int) -> None:
    for program in _PROGRAMS:
        runs = found.runs[program]
        speed = rows / median(run.seconds for run in runs)
        cpu_s, peak = median(run.cpu_s for run in runs), max(run.peak_bytes for run in runs)
        beside = "" if program == "headwater" else f"{found.ratio(program):.2f} times as fast as {program}"
        if beside:
            beside += f", with {1 / found.ratio(program, 'cpu_s'):.2f} times the CPU"
        print(
            f"{found.source:<11} {program:<10} {speed:>10,.0f} {cpu_s:>7.1f} {peak / 1e6:>8.0f}   {beside}", flush=True
        )


def _missed(found: Compared) -> list[str]:
    bounds = {"raw": LEAST_OF_RAW, "dlt": LEAST_OF_DLT}
    return [
        f"{found.source}: {found.ratio(program):.2f} times as fast as {program}, below {least:g}"
        for program, least in bounds.items()
        if found.ratio(program) < least
    ]


def _windows(folder: Path, rows: int, pairs: int) -> list[str]:
    """Twice the rows in one window and in several; then ten times the rows, whose memory may not grow."""
    with standing(folder, "snowflake", 2 * rows) as source:
        whole, cut = [], []
        for _ in range(pairs):
            whole.append(source.run("headwater", "--one-window"))
            cut.append(source.run("headwater"))
    ratio = median(run.seconds for run in whole) / median(run.seconds for run in cut)
    print(f"{2 * rows:,} rows in windows: {ratio:.2f} times as fast as in one", flush=True)
    with standing(folder, "snowflake", rows) as source:
        few = {how: source.run("headwater", *how) for how in ((), ("--one-window",))}
    with standing(folder, "snowflake", 10 * rows) as source:
        many = {how: source.run("headwater", *how) for how in ((), ("--one-window",))}
    missed = []
    for how, name in (((), "in windows"), (("--one-window",), "in one window")):
        growth = many[how].peak_bytes / few[how].peak_bytes
        print(
            f"{10 * rows:,} rows {name}: {growth:.2f} times the memory of {rows:,} ({few[how].peak_bytes / 1e6:.0f} MB)"
        )
        if growth > MOST_GROWTH:
            missed.append(f"{10 * rows:,} rows {name} take {growth:.2f} times the memory, above {MOST_GROWTH:g}")
    return missed


def _no_op(folder: Path) -> list[str]:
    """A run over all six sources of the sandbox's own dataset with nothing new, whole, as it is typed."""
    home = folder / "no-op"
    config = home / "config.yaml"
    home.mkdir(parents=True, exist_ok=True)
    document = yaml.safe_load((PROJECT / "config" / "local.yaml").read_text(encoding="utf-8"))
    places = {
        "state": str(home / "state"),
        "contracts": str(PROJECT / "config/contracts"),
        "dq": str(PROJECT / "config/dq.yaml"),
    }
    document |= places | {"lake": str(home / "lake"), "sandbox": {"dataset": "generated", "scale": 0.05}}
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    run = ["run", "--config", str(config)]
    try:
        cost("headwater.cli", run)
        took = [cost("headwater.cli", run).seconds for _ in range(_NO_OP_RUNS)]
    finally:
        sandbox.down(home / "state" / "sandbox")
    print(f"a run with nothing new: {median(took):.1f} s", flush=True)
    return (
        [f"a run with nothing new takes {median(took):.1f} s, above {MOST_NO_OP_S:g}"]
        if median(took) > MOST_NO_OP_S
        else []
    )


def judged(missed: Sequence[str], *, bounded: bool) -> int:
    """Print the bounds that were missed; 1 if there are any."""
    if not bounded:
        print(f"bounds are not judged below {_BOUNDS_FROM:,} rows, where starting costs more than the rows")
        return 0
    if missed:
        print("bounds missed:", *missed, sep="\n  ")
        return 1
    print(f"bounds kept: at least {LEAST_OF_RAW:g} of the raw client and {LEAST_OF_DLT:g} times dlt on each source")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
