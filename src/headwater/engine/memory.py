"""DuckDB in this process's memory, for what is done to a batch of rows and Arrow has no function for."""

import functools

import duckdb


def cursor() -> duckdb.DuckDBPyConnection:
    """A connection for one thread, with views of its own, to one database whose queries keep the order of rows.

    The thread that asks does the work. To open a database takes a hundred times as long as a cursor.
    """
    return _database().cursor()


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})
