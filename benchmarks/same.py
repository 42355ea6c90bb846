"""Whether two programs made the same tables: as multisets of rows, to the last digit, types included."""

from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable


def differences(left: Path, right: Path, columns: list[str] | None = None) -> list[str]:
    """What differs between two Delta tables, in words; `columns` are compared, or all if not told."""
    tables = DeltaTable(left), DeltaTable(right)
    types = [_types(table, columns) for table in tables]
    if types[0] != types[1]:
        return [f"the columns differ: {types[0]} and {types[1]}"]
    parts = [_parts(table) for table in tables]
    if parts[0].keys() != parts[1].keys():
        return [f"the partitions differ: {sorted(map(str, parts[0]))} and {sorted(map(str, parts[1]))}"]
    kept = [name for name in types[0] if name not in tables[0].metadata().partition_columns]
    found = []
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'; SET memory_limit = '3GB'; SET threads = 2")
        for partition, files in parts[0].items():
            if rows := _different_rows(session, kept, files, parts[1][partition]):
                found.append(f"{rows} different rows in the partition {partition}")
    return found


def _types(table: DeltaTable, columns: list[str] | None) -> dict[str, str]:
    kinds = {field.name: str(field.type) for field in table.schema().fields}
    return {name: kinds[name] for name in columns or kinds}


def _parts(table: DeltaTable) -> dict[tuple[str | None, ...], list[str]]:
    """The files of each partition, so that memory holds the rows of one."""
    actions = pa.table(table.get_add_actions(flatten=True))
    names = [f"partition.{column}" for column in table.metadata().partition_columns]
    parts: dict[tuple[str | None, ...], list[str]] = {}
    for file, action in zip(table.file_uris(), actions.to_pylist(), strict=True):
        parts.setdefault(tuple(action[name] for name in names), []).append(file)
    return parts


def _different_rows(session: duckdb.DuckDBPyConnection, columns: list[str], left: list[str], right: list[str]) -> int:
    listed = ", ".join(f'"{column}"' for column in columns)
    both = " UNION ALL ".join(
        f"SELECT {listed}, {side} AS side FROM read_parquet({files}, hive_partitioning = false)"
        for files, side in ((left, 1), (right, -1))
    )
    query = f"SELECT count(*) FROM (SELECT 1 FROM ({both}) GROUP BY {listed} HAVING sum(side) <> 0)"
    return int(session.execute(query).fetchall()[0][0])
