"""One source's rows landed in Bronze by Headwater: what `headwater run --select TABLE` does.

    python -m benchmarks.landed CONFIG TABLE [--one-window]

`--one-window` reads a table whole, however many rows it has, instead of half a million at a time.
"""

import argparse
import json
from pathlib import Path

from benchmarks.extract_data import END
from benchmarks.measured import Stretch
from headwater.config import TableSettings, load_settings
from headwater.run.execute import execute


def main(config: Path, table: str, *, one_window: bool) -> None:
    """Land what the source has, and say what it took.

    Raises:
        SystemExit: the table was not committed; says why.
    """
    settings = load_settings(config, {})
    stretch = Stretch()
    if one_window:
        settings = settings.model_copy(update={"tables": {table: TableSettings(rows_per_commit=1 << 40)}})
    report = execute(settings, select=(table,), at=END)
    [landed] = report.tables
    if landed.outcome != "committed":
        raise SystemExit(f"{table}: {landed.outcome}: {landed.reason}")
    print(json.dumps(stretch.taken() | {"rows": landed.terms["landed"]}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("table")
    parser.add_argument("--one-window", action="store_true")
    given = parser.parse_args()
    main(given.config, given.table, one_window=given.one_window)
