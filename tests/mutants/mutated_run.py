"""A run by a copy of Headwater, in a process that has imported nothing of it before.

Processes are forked from one that holds the heavy libraries: a run costs seconds rather than half a minute. Nothing
here may import headwater before `_run` has put the copy first on the path.
"""

import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

PATIENCE_S = 180

_PREPARED = multiprocessing.get_context("forkserver")
_PREPARED.set_forkserver_preload(
    [
        *("pyspark.sql.connect.session", "pyspark.sql.connect.functions", "pyspark.sql.connect.dataframe"),
        *("pyspark.sql.connect.window", "pyspark.sql.connect.client", "pysail.spark", "pandas", "pyarrow.dataset"),
        *("great_expectations", "great_expectations.expectations.core", "deltalake", "duckdb", "jsonschema_rs"),
        *("snowflake.connector", "psycopg", "httpx", "obstore", "confluent_kafka", "pydantic", "yaml", "stamina"),
        "tests.frozen",
    ]
)


def prepare() -> None:
    """Import the heavy libraries, so that the first run need not wait for them."""
    process = _PREPARED.Process(target=os.getpid, daemon=True)
    process.start()
    process.join()


def run(copy: Path, config: Path, at: datetime, select: Sequence[str] | None = None) -> str:
    """Run the copy of the project in `copy` at an instant; why a table was not built, empty if all were.

    What else the run says is appended to `run.log` beside the config's folder.
    """
    folder = config.parent.parent
    result = folder / "run.json"
    result.unlink(missing_ok=True)
    given = (str(copy / "src"), str(config), at.isoformat(), None if select is None else list(select), str(result))
    process = _PREPARED.Process(target=_run, args=(*given, str(folder / "run.log")), daemon=True)
    process.start()
    process.join(PATIENCE_S)
    if process.is_alive():
        process.kill()
        process.join()
        return f"the run took more than {PATIENCE_S} s"
    if not result.exists():
        said = (folder / "run.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"the run ended with {process.exitcode}: {said[-1] if said else 'it said nothing'}"
    found: str = json.loads(result.read_text(encoding="utf-8"))
    return found


def _run(source: str, config: str, at: str, select: list[str] | None, result: str, log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.path.insert(0, source)
    try:
        why = _why_not(source, config, at, select)
    except Exception as error:  # noqa: BLE001 - a mutant may raise anything
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
    Path(result).write_text(json.dumps(why), encoding="utf-8")


def _why_not(source: str, config: str, at: str, select: list[str] | None) -> str:
    if "headwater" in sys.modules:
        raise RuntimeError("headwater was imported before its copy could be: nothing would be mutated")
    from headwater.config import load_settings
    from headwater.run import execute

    for name, module in sys.modules.items():
        if name.startswith("headwater.") and not str(module.__file__).startswith(source):
            raise RuntimeError(f"{name} was imported from {module.__file__}, not from the copy in {source}")
    settings = load_settings(Path(config), {})
    report = execute(settings, select=tuple(select) if select else None, at=datetime.fromisoformat(at))
    bad = [table for table in report.tables if table.outcome not in ("committed", "unchanged")]
    return "; ".join(f"{table.layer}.{table.table} {table.outcome}: {table.reason}" for table in bad)
