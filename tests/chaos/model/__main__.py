"""Lives histories of sources and of the runs over them, and says which promise was broken, if any.

    python -m tests.chaos.model [SOURCE ...] [--histories N] [--promise P] [--seed S] [--json]

The tests live the same histories every time; another seed gives others. Ends with 1 if a promise was broken.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from pyspark.sql import SparkSession
from tests.chaos.model.history import T0
from tests.chaos.model.judged import Trial
from tests.chaos.model.sources import SOURCES

import headwater
from headwater.contracts import load_contracts

PROJECT = Path(__file__).parents[3]
PROMISES = ("bronze", "reconciled", "silver")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.model", description=__doc__.partition("\n")[0])
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=f"of {', '.join(SOURCES)}; by default all")
    parser.add_argument("--histories", type=int, default=100, metavar="N", help="of each source and promise")
    parser.add_argument("--promise", choices=PROMISES, action="append", help="only this; by default all")
    parser.add_argument("--seed", type=int, help="other histories than those of the tests")
    parser.add_argument("--json", action="store_true", help="what was lived and what was broken as one JSON document")
    asked = parser.parse_args(arguments)
    logging.getLogger("stamina").setLevel(logging.ERROR)  # it tells every attempt
    if unknown := set(asked.sources) - SOURCES.keys():
        parser.error(f"no such source: {', '.join(sorted(unknown))}")
    promises = asked.promise or PROMISES
    found = [_tried(name, promises, asked) for name in asked.sources or SOURCES]
    if asked.json:
        sys.stdout.write(json.dumps({"code": headwater.__file__, "sources": found}) + "\n")
    for each in found:
        told = each["broken"] or "every promise was kept"
        sys.stderr.write(f"{each['source']}: {each['histories']} histories with {each['runs']} runs: {told}\n")
    return 1 if any(each["broken"] for each in found) else 0


def _tried(name: str, promises: Sequence[str], asked: argparse.Namespace) -> dict[str, object]:
    """Live histories until a promise is broken."""
    broken = ""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="headwater-model-")))
        source = opened.enter_context(SOURCES[name](folder / "source", T0))
        spark = opened.enter_context(_sail()) if "silver" in promises else None
        contracts = load_contracts(PROJECT / "config" / "contracts")
        trial = Trial(source, contracts, folder / "project", spark, seed=asked.seed, shrink=not asked.json)
        try:
            for promise in promises:
                getattr(trial, promise)(asked.histories)
        except (AssertionError, ExceptionGroup) as error:  # a group, where it did not break in the same way again
            broken = "\n".join([str(error) or "an assertion", *getattr(error, "__notes__", [])])
    return {"source": name, "histories": trial.lived, "runs": trial.runs, "broken": broken}


def _sail() -> AbstractContextManager[SparkSession]:
    from tests.conftest import sail

    return sail()


if __name__ == "__main__":
    sys.exit(main())
