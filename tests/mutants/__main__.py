"""Does the independent answer notice what is wrong? Mutants of the code, and what caught each.

    python -m tests.mutants [NAME ...] [--list] [--json]

Ends with 1 if a mutant survives, or can't be applied any more.
"""

import argparse
import dataclasses
import json
import sys
import textwrap
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tests.e2e.tiny import PROJECT
from tests.mutants.catalogue import ALL, OPEN_GATE
from tests.mutants.hunt import Finding, UnsoundError, hunted, place
from tests.mutants.mutant import Mutant, stale

_SHOWN = 200
_WIDE = 160


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="say what the mutants are, and try none")
    parser.add_argument("--json", action="store_true", help="the findings as one JSON document")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in ALL]:
        parser.error(f"no such mutant: {', '.join(unknown)}; --list says which there are")
    mutants = [ALL[name] for name in asked.names or ALL]
    if gone := stale([OPEN_GATE, *mutants], PROJECT):
        _note("\n".join(gone))
        return 1
    if asked.list:
        _show(mutants)
        return 0
    return _hunt(mutants, as_json=asked.json)


def _hunt(mutants: Sequence[Mutant], *, as_json: bool) -> int:
    started, findings = time.monotonic(), dict[str, Finding]()
    try:
        with place() as folder:
            for finding in hunted(mutants, folder, _note):
                findings[finding.mutant.name] = finding
                _note(f"{len(findings)}/{len(mutants)} {finding.mutant.name}: {finding.missed or 'caught'}")
    except UnsoundError as error:
        _note(str(error))
        return 1
    survivors = [name for name, finding in findings.items() if not finding.by]
    if as_json:
        document = [dataclasses.asdict(findings[each.name]) for each in mutants]
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _show(mutants, findings)
    _note(f"{len(findings) - len(survivors)} of {len(mutants)} caught in {time.monotonic() - started:.0f} s")
    if survivors:
        _note(f"not caught, so that such a mistake might go unnoticed: {', '.join(survivors)}")
    return 1 if survivors else 0


def _show(mutants: Sequence[Mutant], findings: dict[str, Finding] | None = None) -> None:
    """Print the mutants as a table, with what caught each once that is known."""
    table = Table("mutant", "in", "what it changes", *(("caught by", "s") if findings else ()), show_lines=True)
    for mutant in mutants:
        cells = [mutant.name, mutant.file, mutant.change]
        if findings:
            finding = findings[mutant.name]
            cells += [textwrap.shorten(finding.by or finding.missed, _SHOWN), f"{finding.seconds:.1f}"]
        table.add_row(*map(Text, cells))
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
