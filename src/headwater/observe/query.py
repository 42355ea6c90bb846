"""SQL over a lake, read-only: DuckDB scans the Delta tables as they stand, and can touch nothing else."""

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Contracts
from headwater.errors import HeadwaterError
from headwater.object_store import Place
from headwater.observe.lake import LakeTable, lake_tables, open_all, row_count

_OF_NAMES = (
    *(duckdb.ParserException, duckdb.SyntaxException, duckdb.BinderException, duckdb.CatalogException),
    *(duckdb.PermissionException, duckdb.NotImplementedException, duckdb.DependencyException),
)
"""Errors about what was written, not about what the rows hold."""

_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


class QueryRefused(HeadwaterError):
    """A statement does not only read, or names what the lake does not have."""


@dataclass(frozen=True)
class Listed:
    """A table that was written, and its rows."""

    name: str
    rows: int


class LakeQuery:
    """One connection that sees every table of a lake at its newest version.

    Schemas are bronze, silver, gold, quarantine, rejects and restricted, `_dq_results` beside them; a bare name is looked for
    in silver, gold and bronze. Files, extensions, settings and the network are closed to its statements.
    """

    def __init__(self, lake: Place, contracts: Contracts) -> None:
        lake.check()
        self._tables = lake_tables(lake, contracts)
        self._handles = open_all(self._tables)
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        for number, (table, handle) in enumerate(self._handles.items()):
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
            # Read without Python: a scan that a LIMIT left behind would call into an interpreter that is gone by then.
            self._connection.register(f"_dataset_{number}", table.dataset(handle))
            view = f'CREATE VIEW {table.full_name} AS SELECT * FROM "_dataset_{number}"'  # noqa: S608 - names are ours
            self._connection.execute(view)
        present = {table.schema for table in self._handles}
        searched = [schema for schema in ("silver", "gold", "bronze", "main") if schema in present or schema == "main"]
        self._connection.execute(f"SET search_path = '{','.join(searched)}'")
        _lock(self._connection)

    def tables(self) -> list[Listed]:
        """Every table that was written, with its rows."""
        return [Listed(table.full_name, row_count(handle)) for table, handle in self._handles.items()]

    def run(self, sql: str) -> pa.RecordBatchReader:
        """The answer to one statement that reads.

        Raises:
            QueryRefused: it is not one statement that reads, or names an unknown table or column.
        """
        with self._explained(sql):
            statements = duckdb.extract_statements(sql)
            if len(statements) != 1:
                raise QueryRefused(f"one statement at a time: there are {len(statements)}")
            if statements[0].type not in _READING:
                raise QueryRefused(
                    f"the lake is read-only here: {statements[0].type.name} is refused; only SELECT and EXPLAIN are taken"
                )
            return self._connection.sql(sql).to_arrow_reader()

    def rows(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The column names and all rows of an answer."""
        reader = self.run(sql)
        with self._explained(sql):
            table = reader.read_all()
        columns = [column.to_pylist() for column in table.columns]
        return table.column_names, list(zip(*columns, strict=True))

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _explained(self, sql: str) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise QueryRefused(self._explanation(error, sql)) from error

    def _explanation(self, error: duckdb.Error, sql: str) -> str:
        """DuckDB's complaint in one sentence, with the nearest name that the lake has."""
        if missing := re.search(r"Table with name \"?([\w.]+)\"? does not exist", str(error)):
            qualified = re.search(rf"[\w]+\.{re.escape(missing[1])}\b", sql)
            return self._no_table(qualified[0] if qualified else missing[1])
        return _explained(error)

    def _no_table(self, wanted: str) -> str:
        for table in self._tables:
            if wanted in (table.full_name, table.name) and table not in self._handles:
                return f"{table.full_name} has not been written yet; a run writes it"
        near = _nearest(wanted, self._handles)
        return f"no table {wanted}" + (f"; did you mean {near}?" if near else "; `query` without SQL lists the tables")


def holds(rows: pa.Table, where: str) -> pa.Array:
    """For each of the rows whether a predicate in SQL holds; where it is null it does not.

    The predicate sees these rows and nothing else, and stands alone: no statement is put together with it.

    Raises:
        QueryRefused: it is no predicate over the rows' columns.
    """
    numbered = rows.append_column("_number", pa.array(range(rows.num_rows), pa.int64()))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("refused", numbered)
        _lock(connection)
        try:
            found = connection.view("refused").filter(where).select("_number").to_arrow_table()
        except duckdb.Error as error:
            raise QueryRefused(f"--where {where}: {_explained(error)}") from error
    return pc.is_in(numbered["_number"], found["_number"].combine_chunks()).combine_chunks()


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Close files, extensions, settings and the network to whatever the connection is told from here on."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _explained(error: duckdb.Error) -> str:
    """DuckDB's complaint in one sentence, with the nearest name of a column; what it says of values is not told."""
    if not isinstance(error, _OF_NAMES):
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Exception")).lower()
        return (
            f"{kind} error over the rows (not shown: it may hold their values); try_cast(... AS ...) is null where a value "
            "does not fit"
        )
    message = str(error)
    first = message.split("\n\nLINE", maxsplit=1)[0].split("\n")
    if column := re.search(r'column "([^"]+)" not found', message):
        candidates = re.findall(r'"([^"]+)"', next((line for line in first if "andidate" in line), ""))
        near = difflib.get_close_matches(column[1], candidates, n=1, cutoff=0.5) or candidates[:1]
        return f"no column {column[1]}" + (f"; did you mean {near[0]}?" if near else "")
    return " ".join(line.strip() for line in first if line.strip())


def _nearest(wanted: str, tables: Sequence[LakeTable] | dict[LakeTable, Any]) -> str | None:
    """The full name most like what was asked for, by its bare name first."""
    bare = wanted.rpartition(".")[2].lower()
    by_name = {table.name: table.full_name for table in reversed(list(tables))}
    full = [table.full_name for table in tables]
    near = difflib.get_close_matches(wanted.lower(), full, n=1, cutoff=0.75)
    if near:
        return near[0]
    close = difflib.get_close_matches(bare, by_name, n=1)
    return by_name[close[0]] if close else None
