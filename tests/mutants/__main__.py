"""Does the independent answer notice what is wrong? Mutants of the code, and what caught each.

    python -m tests.mutants [NAME ...] [--list] [--json]

Ends with 1 if a mutant survives, or can't be applied any more.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence

from tests.e2e.tiny import PROJECT
from tests.mutants.catalogue import ALL
from tests.mutants.hunt import Finding, UnsoundError, hunted, place
from tests.mutants.mutant import Mutant, stale

_SHOWN = 160


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Mutants of the code, and what of the lake tells each.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="say what the mutants are, and try none")
    parser.add_argument("--json", action="store_true", help="the findings as one JSON document")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in ALL]:
        parser.error(f"no such mutant: {', '.join(unknown)}; --list says which there are")
    mutants = [ALL[name] for name in asked.names or ALL]
    if gone := stale(iter(mutants), PROJECT):
        _say("\n".join(gone))
        return 1
    if asked.list:
        _say("\n".join(f"{each.name:30} {each.file}: {each.change}" for each in mutants))
        return 0
    return _hunt(mutants, as_json=asked.json)


def _hunt(mutants: Sequence[Mutant], *, as_json: bool) -> int:
    started, findings = time.monotonic(), list[Finding]()
    try:
        with place() as folder:
            for finding in hunted(mutants, folder, _say if not as_json else lambda _: None):
                findings.append(finding)
                if not as_json:
                    _say(_line(finding))
    except UnsoundError as error:
        _say(str(error))
        return 1
    if as_json:
        _say(json.dumps([dataclasses.asdict(each) for each in findings], indent=2))
    survivors = [each.mutant.name for each in findings if not each.by]
    if not as_json:
        _say(f"{len(findings) - len(survivors)} of {len(mutants)} caught in {time.monotonic() - started:.0f} s")
        _say(f"survived: {', '.join(survivors)}" if survivors else "none survived")
    return 1 if survivors else 0


def _line(finding: Finding) -> str:
    mutant = finding.mutant
    by = finding.by[:_SHOWN] if finding.by else "nothing: it SURVIVED"
    return f"{mutant.name} ({finding.seconds:.1f} s)\n  {mutant.file}: {mutant.change}\n  caught by {by}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
