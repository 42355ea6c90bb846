"""Is the lake what the independent answer says? Compared as multisets both ways, types included, to the last digit.

    python tests/e2e/compare.py LAKE_DIR ORACLE_OUT_DIR

Prints every difference with the first rows that differ, and ends with 1 if there is one.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from headwater.contracts import Contract, Contracts, load_contracts

PROJECT = Path(__file__).parents[2]
SHOWN = 3


def differences(lake: Path, answer: Path, contracts: Contracts) -> list[str]:
    """What the lake has that the answer lacks, what it lacks, and where types or counts differ; empty if all is equal."""
    counts = json.loads((answer / "counts.json").read_text(encoding="utf-8"))
    found = []
    for name, landed in counts["landed"].items():
        found += _count(f"bronze.{name}", _rows(lake / contracts[name].path), landed)
        found += _count(f"rejects.{name}", _rows(lake / "rejects" / name), counts["rejected"].get(name, 0))
    for name, rules in json.loads((answer / "quarantine.json").read_text(encoding="utf-8")).items():
        found += _count(f"quarantine.{name}", _rows(lake / "quarantine" / name), counts["quarantined"][name])
        refused = _refused(lake / "quarantine" / name)
        found += [] if refused == rules else [f"quarantine.{name}: the lake counts {refused}, the answer {rules}"]
    for layer in ("silver", "gold"):
        for file in sorted((answer / layer).glob("*.parquet")):
            found += _table(lake, file, contracts[file.stem])
    return found


def _count(table: str, lake: int, answer: int) -> list[str]:
    return [] if lake == answer else [f"{table}: the lake has {lake:,} rows, the answer {answer:,}"]


def _rows(table: Path) -> int:
    return DeltaTable(table).to_pyarrow_dataset().count_rows() if DeltaTable.is_deltatable(str(table)) else 0


def _refused(table: Path) -> dict[str, int]:
    """How many quarantined versions broke each rule; nothing for a table that nothing was ever refused of."""
    if not DeltaTable.is_deltatable(str(table)):
        return {}
    counts: dict[str, int] = {}
    for rules in DeltaTable(table).to_pyarrow_table(columns=["rules"])["rules"].to_pylist():
        for rule in rules:
            counts[rule] = counts.get(rule, 0) + 1
    return dict(sorted(counts.items()))


def _table(lake: Path, file: Path, contract: Contract) -> list[str]:
    if not DeltaTable.is_deltatable(str(lake / contract.path)):
        return [f"{contract.table}: the lake has no such table"]
    return different_rows(DeltaTable(lake / contract.path).to_pyarrow_table(), pq.read_table(file), contract)


def different_rows(found: pa.Table, expected: pa.Table, contract: Contract) -> list[str]:
    """What two states of one table don't have in common, types included; empty if they are equal as multisets."""
    if _types(found) != _types(expected):
        return [
            f"{contract.table}.{name}: the lake has {_types(found).get(name)}, the answer {_types(expected).get(name)}"
            for name in _types(found) | _types(expected)
            if _types(found).get(name) != _types(expected).get(name)
        ]
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SET memory_limit = '3GB'")
        db.register("lake", found)
        db.register("answer", expected)
        return list(_compared(db, contract))


def _types(table: pa.Table) -> dict[str, str]:
    """Types by column; Arrow's several layouts of text and lists are one."""
    names = {"large_string": "string", "string_view": "string"}
    return {
        field.name: f"list of {names.get(str(field.type.value_type), field.type.value_type)}"
        if pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        else names.get(str(field.type), str(field.type))
        for field in table.schema
    }


def _compared(db: duckdb.DuckDBPyConnection, contract: Contract) -> Iterator[str]:
    """The rows of one side that the other lacks, each as often as it does; 0.0 and -0.0 are two values."""
    columns = db.execute("DESCRIBE answer").fetchall()
    names = ", ".join(f'"{name}"' for name, *_ in columns)
    signs = "".join(f', signbit("{name}")' for name, kind, *_ in columns if kind == "DOUBLE")
    both = " UNION ALL ".join(
        f"SELECT {names}{signs}, {one} AS _n FROM {side}" for side, one in (("lake", 1), ("answer", -1))
    )
    db.execute(
        f"CREATE TABLE differing AS SELECT * EXCLUDE (_n), sum(_n)::BIGINT AS _n FROM ({both}) GROUP BY ALL HAVING sum(_n) <> 0"
    )
    for side, sign in (("lake", ""), ("answer", "-")):
        db.execute(f"CREATE TABLE only_{side} AS SELECT {names} FROM differing, range({sign}_n) WHERE {sign}_n > 0")
    extra, missing = (_all(db, f"SELECT count(*) FROM only_{side}")[0][0] for side in ("lake", "answer"))
    if not extra and not missing:
        return
    rows = {side: _all(db, f"SELECT count(*) FROM {side}")[0][0] for side in ("lake", "answer")}
    yield (
        f"{contract.table}: {extra:,} of the lake's {rows['lake']:,} rows are not in the answer, "
        f"{missing:,} of the answer's {rows['answer']:,} are not in the lake"
    )
    key = ", ".join(f'"{name}"' for name in contract.key)
    yield from _first(db, contract, key)
    for column, many in _by_column(db, contract, [name for name, *_ in columns]):
        yield f"  {column} differs in {many:,} rows of one key"


def _first(db: duckdb.DuckDBPyConnection, contract: Contract, key: str) -> Iterator[str]:
    """The first keys that differ, with both sides' values of the columns that do."""
    keys = _all(
        db, f"SELECT DISTINCT {key} FROM (SELECT {key} FROM only_lake UNION SELECT {key} FROM only_answer) ORDER BY ALL"
    )
    same = " AND ".join(f'"{name}" IS NOT DISTINCT FROM ?' for name in contract.key)
    for values in keys[:SHOWN]:
        sides = [_dicts(db, f"SELECT * FROM {side} WHERE {same}", values) for side in ("only_lake", "only_answer")]
        where = ", ".join(f"{name}={value}" for name, value in zip(contract.key, values, strict=True))
        if all(len(side) == 1 for side in sides):
            ours, theirs = sides[0][0], sides[1][0]
            told = [
                f"{name}: lake {ours[name]!r}, answer {theirs[name]!r}" for name in ours if ours[name] != theirs[name]
            ]
            yield f"  {where}: {'; '.join(told)}"
        else:
            yield f"  {where}: lake {sides[0]}, answer {sides[1]}"


def _by_column(db: duckdb.DuckDBPyConnection, contract: Contract, names: list[str]) -> Iterator[tuple[str, int]]:
    joined = " AND ".join(f'l."{name}" IS NOT DISTINCT FROM a."{name}"' for name in contract.key)
    for name in names:
        differing = f'l."{name}" IS DISTINCT FROM a."{name}"'
        many = _all(db, f"SELECT count(*) FROM only_lake AS l JOIN only_answer AS a ON {joined} WHERE {differing}")[0][
            0
        ]
        if many:
            yield name, many


def _all(db: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return db.execute(query).fetchall()


def _dicts(db: duckdb.DuckDBPyConnection, query: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    cursor = db.execute(query, list(values))
    names = [each[0] for each in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


if __name__ == "__main__":
    told = differences(Path(sys.argv[1]), Path(sys.argv[2]), load_contracts(PROJECT / "config" / "contracts"))
    sys.stdout.write("\n".join(told) + "\n" if told else "equal\n")
    sys.exit(1 if told else 0)
