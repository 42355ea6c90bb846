"""No trouble of the invented shop is for nothing: without its rows the independent answer is another."""

import json
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from tests.e2e.oracle import answer
from tests.versions import T0

from headwater.sandbox.datasets import materialise
from headwater.sandbox.datasets.generated.troubles import FILES, TROUBLES, Trouble, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCALE = 0.03
GROUPS = 6
INSTANTS = [T0, T0 + timedelta(days=1)]
COMPARED = {
    "orders": ("orders", "snowflake_orders"),
    "customers": ("customers", "snowflake_customers"),
    "products": ("products", "snowflake_products"),
    "customer_behavior": ("behavior", "redshift_behavior"),
    "account": ("accounts", "salesforce_accounts"),
    "contact": ("contacts", "salesforce_contacts"),
    "opportunity": ("opportunities", "salesforce_opportunities"),
    "orders_events": ("order_events", "kafka_orders_events"),
    "user_events": ("user_events", "kafka_user_events"),
    "inventory_updates": ("inventory", "kafka_inventory_updates"),
    "lines": ("inventory", "external_inventory"),
}
"""The Silver and the Bronze table that the rows of each view come to."""


def group(number: int) -> dict[str, list[Trouble]]:
    """Some of the troubles of each view: in all groups together each of them once."""
    some = {view: [each for each in TROUBLES if each.file == view][number::GROUPS] for view in COMPARED}
    return {view: troubles for view, troubles in some.items() if troubles}


def without(db: duckdb.DuckDBPyConnection, made: Path, folder: Path, troubles: dict[str, list[Trouble]]) -> Path:
    """A copy of the made folder that lacks the rows of the troubles."""
    shutil.copytree(made, folder)
    for view, those in troubles.items():
        found = " OR ".join(f"coalesce({trouble.rows}, false)" for trouble in those)
        if view == "lines":
            leave_out_lines(folder, [n for (n,) in db.execute(f"SELECT n FROM lines WHERE {found}").fetchall()])
        else:
            own = db.execute(f"SELECT * EXCLUDE (n, file_row_number) FROM {view} LIMIT 0").description or []
            names = ", ".join(f'"{name}"' for name, *_ in own if name not in ("text", "told"))
            file = folder / f"{FILES[view]}.parquet"
            db.execute(f"COPY (SELECT {names} FROM {view} WHERE NOT ({found}) ORDER BY n) TO '{file}' (FORMAT parquet)")
    return folder


def leave_out_lines(folder: Path, numbers: Sequence[int]) -> None:
    """Take lines out of the inventory files, numbered over all of them in their order."""
    gone, first = set(numbers), 0
    for path in sorted((folder / "s3" / "objects" / "erp-export" / "inventory").glob("*/inventory.csv")):
        header, *lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(header + b"".join(line for n, line in enumerate(lines, first) if n not in gone))
        first += len(lines)


def changed(before: Path, after: Path, view: str) -> bool:
    """Whether two answers differ in rows of the view's Silver table, or in how many of its rows landed or did not."""
    silver, bronze = COMPARED[view]
    counts = [json.loads((out / "counts.json").read_text(encoding="utf-8")) for out in (before, after)]
    if any(counts[0][what].get(bronze) != counts[1][what].get(bronze) for what in ("landed", "rejected")):
        return True
    told, untold = (f"SELECT * FROM '{out}/silver/{silver}.parquet'" for out in (before, after))
    with duckdb.connect() as db:
        found = db.execute(f"(({told} EXCEPT {untold}) UNION ALL ({untold} EXCEPT {told})) LIMIT 1").fetchone()
    return found is not None


def test_without_some_troubles_of_a_table_the_answer_is_another(tmp_path: Path) -> None:
    made = materialise("generated", tmp_path / "made", SCALE)
    answer(made, tmp_path / "with", INSTANTS)

    with opened(made) as db:
        for number in range(GROUPS):
            lacking = without(db, made, tmp_path / f"lacking-{number}", group(number))
            answer(lacking, tmp_path / "without", INSTANTS)
            for view, troubles in group(number).items():
                assert changed(tmp_path / "with", tmp_path / "without", view), (view, troubles)
            shutil.rmtree(lacking)
