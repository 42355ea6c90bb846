#!/usr/bin/env python3
"""One run from the sources to Gold: `headwater run` under the name that jobs and schedulers know.

    python scripts/local/run_etl_end_to_end.py --config config/local.yaml

It takes the options of `headwater run`. Where Headwater is not installed for the Python that was called, the
project's own `.venv` (made by `make setup`) is used.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]


def _run() -> None:
    own = _PROJECT / ".venv" / "bin" / "python"
    if find_spec("headwater") is None:
        if not own.exists() or Path(sys.prefix) == own.parent.parent:
            sys.exit(f"Headwater is not installed here; install it first: make -C {_PROJECT} setup")
        os.execv(own, [str(own), __file__, *sys.argv[1:]])

    from headwater.cli import main

    main(["run", *sys.argv[1:]])


if __name__ == "__main__":
    _run()
