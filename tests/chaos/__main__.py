"""Kills runs at every point that a crash can come at, and compares what the next run makes of it with undisturbed runs.

    python -m tests.chaos [--kills N] [--seed S] [--lake local|s3] [--point NAME ...] [--list]

Ends with 1 if a lake differs, if a point had no kill, or if a kill came after the end of its run.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence

from tests.chaos.ground import UnsoundError, ground
from tests.chaos.kills import Finding, all_tried
from tests.chaos.points import POINTS, Kill, planned
from tests.chaos.report import Report
from tests.e2e.tiny import PROJECT

from headwater.contracts import load_contracts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=3 * len(POINTS), metavar="N", help="so many (%(default)s)")
    parser.add_argument("--seed", type=int, help="the same kills again; by default others each time")
    parser.add_argument("--lake", choices=("local", "s3"), help="only on such lakes")
    parser.add_argument("--point", action="append", choices=tuple(POINTS), metavar="NAME", help="only at these")
    parser.add_argument("--list", action="store_true", help="say what the points are, and kill nothing")
    asked = parser.parse_args(arguments)
    if asked.list:
        width = max(map(len, POINTS))
        sys.stdout.write("".join(f"{each.name.ljust(width)}  {each.means}\n" for each in POINTS.values()))
        return 0
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    contracts = load_contracts(PROJECT / "config" / "contracts")
    points = asked.point or list(POINTS)
    return _tried(points, planned(contracts, seed, asked.kills, points, asked.lake), seed)


def _tried(points: Sequence[str], kills: Sequence[Kill], seed: int) -> int:
    started, report = time.monotonic(), Report(points)
    _note(f"seed {seed}")
    try:
        with ground() as place:
            _note(f"undisturbed runs give the independent answer; prepared in {time.monotonic() - started:.0f} s")
            for number, finding in enumerate(all_tried(place, kills), 1):
                report.add(finding)
                _note(f"{number}/{len(kills)} {finding.kill}: {_outcome(finding)} ({finding.seconds:.1f} s)")
    except UnsoundError as error:
        _note(str(error))
        return 1
    report.print()
    _note(f"seed {seed}: {len(kills)} kills in {time.monotonic() - started:.0f} s")
    if problems := report.problems():
        _note("\n".join(problems))
    return 1 if problems else 0


def _outcome(finding: Finding) -> str:
    return finding.missed or "; ".join(finding.told) or "as undisturbed"


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
