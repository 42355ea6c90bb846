"""Redshift on 127.0.0.1: a PostgreSQL server with database `dev`, schema `raw` and Redshift's `getdate()`.

`etl_user` may read and nothing else. The owner's credentials are in `owner.json` in the stand-in's folder, for
whoever wants to change rows with SQL of their own; such changes last until the next `start`, which loads the dataset
anew. Timestamps are `timestamp` without zone and in UTC, as Redshift has them.
"""

# ruff: noqa: S608 - statements are put together from the names of the dataset's tables and columns

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from headwater.sandbox.credentials import remembered_secrets
from headwater.sandbox.postgres import Postgres
from headwater.sandbox.private_file import write_private
from headwater.sandbox.stand_in import Connection, log_file
from headwater.sandbox.visible import VersionedTable, literal

_DATABASE, _SCHEMA, _USER, _OWNER = "dev", "raw", "etl_user", "awsuser"
_KEYS = {"customer_behavior": "event_id"}
"""The key of each known table; of any other table it is the first column."""

_COPY_BYTES = 1 << 20


class RedshiftStandIn:
    """The table of customer behaviour, as the dataset shows it at the clock."""

    name = "redshift"

    def __init__(self, folder: Path, port: int | None) -> None:
        self.owner = folder / "owner.json"
        self._folder = folder
        self._port = port
        self._server = Postgres(folder / "server", log_file(folder))

    def start(self, dataset: Path, at: datetime) -> Connection:
        """Load what is visible at `at` into a new server."""
        self._folder.mkdir(parents=True, exist_ok=True)
        secret = remembered_secrets(self._folder, user=_USER, password="")
        owner = remembered_secrets(self._folder / "owner", user=_OWNER, password="")
        self._tables = {
            file.stem: VersionedTable(file, (_KEYS.get(file.stem) or pq.read_schema(file).names[0],))
            for file in sorted((dataset / "redshift").glob("*.parquet"))
        }
        self._server.start(_OWNER, owner["password"], self._port)
        self._login = owner | {"host": "127.0.0.1", "port": str(self._server.port), "database": _DATABASE}
        write_private(self.owner, json.dumps(self._login, indent=2) + "\n")
        with self._connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {_DATABASE}")
        with self._connect(_DATABASE) as connection:
            _create_reader(connection, secret["password"])
            with connection.transaction():
                for name, table in self._tables.items():
                    connection.execute(_create_table(name, table))
                    self._copy(connection, f'{_SCHEMA}."{name}"', table.columns, table.at(at))
                    connection.execute(_composed(f'GRANT SELECT ON {_SCHEMA}."{name}" TO {_USER}'))
                _tell_time(connection, at)
        settings = {
            "host": "127.0.0.1",
            "port": self._server.port,
            "database": _DATABASE,
            "schema": _SCHEMA,
            "ssl_mode": "disable",
        }
        return Connection(settings, secret)

    def advance(self, after: datetime, until: datetime) -> None:
        """Replace the rows that changed in `(after, until]` and set `getdate()`, in one transaction."""
        with self._connect(_DATABASE) as connection, connection.transaction():
            for name, table in self._tables.items():
                place, key = f'{_SCHEMA}."{name}"', f'"{table.key[0]}"'
                connection.execute(
                    _composed(f"CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT {key} FROM {place} LIMIT 0")
                )
                self._copy(connection, "changed", list(table.key), table.changed_keys(after, until))
                connection.execute(_composed(f"DELETE FROM {place} USING changed WHERE {place}.{key} = changed.{key}"))
                self._copy(connection, place, table.columns, table.changed(after, until))
                connection.execute("DROP TABLE changed")
            _tell_time(connection, until)

    def stop(self) -> None:
        """Shut PostgreSQL down."""
        self._server.stop()

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self._login["host"],
            port=self._login["port"],
            user=self._login["user"],
            password=self._login["password"],
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )

    def _copy(self, connection: psycopg.Connection[Any], place: str, columns: list[str], query: str) -> None:
        """COPY the result of a DuckDB query; null is an empty field without quotes."""
        names = ", ".join(f'"{name}"' for name in columns)
        file = self._folder / "rows.csv"
        with duckdb.connect(config={"threads": 2, "memory_limit": "512MB"}) as reader:
            reader.execute("SET TimeZone = 'UTC'")
            reader.execute(f"SET temp_directory = {literal(str(self._folder / 'spill'))}")
            reader.execute(
                f"COPY (SELECT {names} FROM ({query})) TO {literal(str(file))} "
                "(FORMAT csv, HEADER false, FORCE_QUOTE *, NULLSTR '', TIMESTAMPFORMAT '%Y-%m-%d %H:%M:%S.%f')"
            )
        statement = _composed(f"COPY {place} ({names}) FROM STDIN (FORMAT csv)")
        with file.open("rb") as rows, connection.cursor().copy(statement) as copy:
            while block := rows.read(_COPY_BYTES):
                copy.write(block)
        file.unlink()


def _create_reader(connection: psycopg.Connection[Any], word: str) -> None:
    """Make the schema and `etl_user`, whose statements are logged; its password goes over as a SCRAM verifier."""
    verifier = connection.pgconn.encrypt_password(word.encode(), _USER.encode(), b"scram-sha-256").decode()
    connection.execute(f"CREATE SCHEMA {_SCHEMA}")
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(_USER), sql.Literal(verifier)))
    connection.execute(f"GRANT USAGE ON SCHEMA {_SCHEMA} TO {_USER}")
    connection.execute(f"ALTER ROLE {_USER} SET log_statement = 'all'")
    for role in (_USER, _OWNER):
        connection.execute(_composed(f"ALTER ROLE {role} SET search_path = {_SCHEMA}, public"))


def _tell_time(connection: psycopg.Connection[Any], at: datetime) -> None:
    """Define `getdate()` where every search path finds it, as Redshift does."""
    moment = at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    connection.execute("SET LOCAL allow_system_table_mods = on")
    connection.execute(
        _composed(
            "CREATE OR REPLACE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE PARALLEL SAFE "
            f"AS $$ SELECT timestamp '{moment}' $$"
        )
    )


def _create_table(name: str, table: VersionedTable) -> sql.SQL:
    schema = table.schema
    described = ", ".join(f'"{column}" {_type(schema.field(column).type)}' for column in table.columns)
    return _composed(f'CREATE TABLE {_SCHEMA}."{name}" ({described})')


def _type(kind: pa.DataType) -> str:
    """A column's type as Redshift would have it."""
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_integer(kind):
        return "bigint"
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pa.types.is_floating(kind):
        return "double precision"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "date" if pa.types.is_date(kind) else "varchar(65535)"


def _composed(statement: str) -> sql.SQL:
    """A statement put together from names that this file and the dataset give, not from what anybody types."""
    return sql.SQL(statement)
