"""Snowflake on 127.0.0.1: the fakesnow server, made to refuse, to stream and to tell the time as Snowflake does.

The tables are `ETL_PROJECT_DB.RAW.{ORDERS, CUSTOMERS, PRODUCTS}` (one per Parquet file of the dataset). Timestamps are
TIMESTAMP_NTZ and in UTC, integers NUMBER(38,0), decimals as the dataset's page has them. What fakesnow lacks is added
in front of it:

- a wrong user or password is refused with Snowflake's code 390100;
- a result beyond its first rows comes in chunks that the client fetches one by one;
- CURRENT_TIMESTAMP(), SYSDATE() and their kin answer the sandbox's clock.

fakesnow keeps its databases in module state, so there is one such stand-in in a process at a time.
"""

# ruff: noqa: S608 - statements are put together from the names of the dataset's tables and columns

import contextvars
import gzip
import hmac
import importlib
import json
import logging
import re
import secrets
import shutil
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp
from sqlglot.errors import SqlglotError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from headwater.sandbox.credentials import remembered_secrets
from headwater.sandbox.serving import AsgiServer
from headwater.sandbox.stand_in import Connection
from headwater.sandbox.visible import VersionedTable

_server: Any = importlib.import_module("fakesnow.server")  # `fakesnow.server` itself is a function for type checkers
_LOG = logging.getLogger(__name__)
_DATABASE, _SCHEMA, _WAREHOUSE, _USER = "ETL_PROJECT_DB", "RAW", "COMPUTE_WH", "ETL_USER"
_KEYS = {"ORDERS": "ORDER_ID", "CUSTOMERS": "CUSTOMER_ID", "PRODUCTS": "PRODUCT_ID"}
"""The key of each known table; of any other table it is the first column."""

_FIRST_ROWS = 5_000
_CHUNK_ROWS = 25_000
_CHUNKS_KEPT_S = 3600.0
_REMEMBERED_RESULTS = 8
_MEMORY_LIMIT = "768MB"
_ASKS_THE_TIME = re.compile(
    r"\b(current_timestamp|localtimestamp|systimestamp|sysdate|getdate|current_date|current_time|localtime)\b",
    re.IGNORECASE,
)


class SnowflakeStandIn:
    """The three tables of the commerce database, as the dataset shows them at the clock."""

    name = "snowflake"

    def __init__(self, folder: Path, port: int | None) -> None:
        self._folder = folder
        self._port = port
        self._server: AsgiServer | None = None

    def start(self, dataset: Path, at: datetime) -> Connection:
        """Load what is visible at `at` and serve it; the user is `ETL_USER`, its password is made once."""
        secret = remembered_secrets(self._folder, user=_USER, password="")
        results = self._folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        self._warehouse = _Warehouse(self._folder, dataset)
        self._warehouse.load(at)
        self._front = _Front(secret, results, at)
        self._server = AsgiServer(self._front.app, self._port, self.name)
        self._server.start()
        settings = {
            "account": "sandbox",
            "host": "127.0.0.1",
            "port": self._server.port,
            "protocol": "http",
            "warehouse": _WAREHOUSE,
            "database": _DATABASE,
            "schema": _SCHEMA,
        }
        return Connection(settings, secret)

    def advance(self, after: datetime, until: datetime) -> None:
        """Replace the rows that changed in `(after, until]`, all at once, and only then tell the new time.

        In this order a client that asks for the time first never misses a row older than the answer.
        """
        self._warehouse.advance(after, until)
        self._front.clock.at = until

    def stop(self) -> None:
        """Close the port and drop the database."""
        if self._server is not None:
            self._server.stop()
            self._server = None
            self._warehouse.close()
        shutil.rmtree(self._folder / "results", ignore_errors=True)


class _Warehouse:
    """The database behind the server: DuckDB on disk, so that a large dataset does not fill the memory."""

    def __init__(self, folder: Path, dataset: Path) -> None:
        for leftover in folder.glob(f"{_DATABASE}.db*"):
            leftover.unlink()
        self._tables = {
            file.stem: VersionedTable(file, (_KEYS.get(file.stem) or _first_column(file),))
            for file in sorted((dataset / "snowflake").glob("*.parquet"))
        }
        self._folder = folder
        self._fakesnow = FakeSnow(db_path=folder)
        self._fakesnow.results_cache = _LatestResults()
        _server.shared_fs = self._fakesnow
        _server.sessions.clear()

    def load(self, at: datetime) -> None:
        """Create every table with the rows that stand at `at`."""
        self._fakesnow.connect(_DATABASE, _SCHEMA)
        self._fakesnow.create_database_on_connect = False
        self._fakesnow.create_schema_on_connect = False
        with self._fakesnow.duck_conn.cursor() as connection:
            connection.execute(f"SET GLOBAL memory_limit = '{_MEMORY_LIMIT}'")
            connection.execute(f"SET GLOBAL temp_directory = '{self._folder / 'spill'}'")
            for name, table in self._tables.items():
                connection.execute(f"CREATE TABLE {_qualified(name)} AS {table.at(at)}")

    def advance(self, after: datetime, until: datetime) -> None:
        """Delete and insert the changed keys of all tables in one transaction."""
        with self._fakesnow.duck_conn.cursor() as connection:
            connection.execute("BEGIN")
            for name, table in self._tables.items():
                key = f'"{table.key[0]}"'
                connection.execute(
                    f"DELETE FROM {_qualified(name)} WHERE {key} IN ({table.changed_keys(after, until)})"
                )
                connection.execute(f"INSERT INTO {_qualified(name)} {table.changed(after, until)}")
            connection.execute("COMMIT")

    def close(self) -> None:
        _server.sessions.clear()
        self._fakesnow.duck_conn.close()


class _LatestResults(OrderedDict[str, tuple[Any, ...]]):
    """The last few results, for RESULT_SCAN; fakesnow itself would keep every result it ever gave."""

    def __setitem__(self, query: str, result: tuple[Any, ...]) -> None:
        super().__setitem__(query, result)
        while len(self) > _REMEMBERED_RESULTS:
            self.popitem(last=False)


@dataclass
class _Clock:
    """The sandbox's time, put into statements that ask for it."""

    at: datetime

    def told(self, sql: str) -> str:
        """`sql` with the time written out where it asks for the time; any other statement as it is."""
        if not _ASKS_THE_TIME.search(sql):
            return sql
        try:
            tree = _server.parse_one(sql)
        except (SqlglotError, ProgrammingError):
            return sql  # fakesnow says what is wrong with it
        told: str = tree.transform(self._answer).sql(dialect="snowflake")
        return told

    def _answer(self, node: Any) -> Any:
        at = self.at.astimezone(UTC)
        match node:
            case exp.CurrentTimestamp() if not node.args.get("sysdate"):
                text, kind = at.isoformat(sep=" "), "TIMESTAMPTZ"
            case exp.CurrentTimestamp() | exp.Localtimestamp():
                text, kind = at.replace(tzinfo=None).isoformat(sep=" "), "TIMESTAMPNTZ"
            case exp.CurrentDate():
                text, kind = at.date().isoformat(), "DATE"
            case exp.CurrentTime() | exp.Localtime():
                text, kind = at.time().isoformat(), "TIME"
            case _:
                return node
        answer = exp.cast(exp.Literal.string(text), kind)
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            return exp.alias_(answer, node.sql(dialect="snowflake").upper(), quoted=True)
        return answer


@dataclass
class _Chunks:
    """What of one result goes over the wire after its first rows."""

    folder: Path
    address: str
    listed: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, table: pa.Table, to_ipc: Callable[[pa.Table], pa.Buffer]) -> pa.Buffer:
        """Put all but the first rows into files; give back the first rows as they are sent inline.

        As at Snowflake a chunk outlives its session, so that another process can fetch it; it is gone in the end.
        """
        stem = secrets.token_urlsafe(18)
        for number, start in enumerate(range(_FIRST_ROWS, table.num_rows, _CHUNK_ROWS)):
            chunk = table.slice(start, _CHUNK_ROWS)
            buffer = to_ipc(chunk)
            name = f"{stem}-{number}.arrow"
            (self.folder / name).write_bytes(buffer)
            self.listed.append(
                {
                    "url": f"{self.address}/results/{name}",
                    "rowCount": chunk.num_rows,
                    "uncompressedSize": buffer.size,
                    "compressedSize": buffer.size,
                }
            )
        if self.listed:
            _sweep(self.folder)
        return to_ipc(table.slice(0, _FIRST_ROWS))


def _sweep(folder: Path) -> None:
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > _CHUNKS_KEPT_S:
            file.unlink()


_chunks: contextvars.ContextVar[_Chunks | None] = contextvars.ContextVar("_chunks", default=None)
_whole_to_ipc = _server.to_ipc


def _to_ipc(table: pa.Table) -> pa.Buffer:
    table = _with_null_timestamps(table)
    chunks = _chunks.get()
    return _whole_to_ipc(table) if chunks is None else chunks.keep(table, _whole_to_ipc)


def _with_null_timestamps(table: pa.Table) -> pa.Table:
    """Mark null timestamps as null where Snowflake's client looks for it: fakesnow sends them as 1970-01-01."""
    for index, column in enumerate(table.schema):
        if pa.types.is_struct(column.type) and column.type.get_field_index("epoch") == 0:
            whole = table.column(index).combine_chunks()
            parts = [whole.field(part) for part in range(column.type.num_fields)]
            if parts[0].null_count == 0:
                continue
            missing = pc.is_null(parts[0])
            filled = [pc.fill_null(part, 0) for part in parts]
            marked = pa.StructArray.from_arrays(filled, fields=list(column.type), mask=missing)
            table = table.set_column(index, column, marked)
    return table


class _Front:
    """The application in front of fakesnow's."""

    def __init__(self, secret: dict[str, str], results: Path, at: datetime) -> None:
        self.clock = _Clock(at)
        self._secret = secret
        self._results = results
        # fakesnow encodes a whole result with this function, whatever its size. Chunks made here never exist as text.
        _server.to_ipc = _to_ipc
        self.app = Starlette(
            routes=[
                Route("/session/v1/login-request", self._login, methods=["POST"]),
                Route("/queries/v1/query-request", self._query, methods=["POST"]),
                Route("/results/{name}", self._chunk, methods=["GET"]),
                Mount("/", _server.app),
            ]
        )

    async def _login(self, request: Request) -> Response:
        body = await _json(request)
        data = body["data"]
        user, offered = str(data.get("LOGIN_NAME", "")), str(data.get("PASSWORD", ""))
        same_user = user.upper() == self._secret["user"].upper()
        if not (hmac.compare_digest(offered.encode(), self._secret["password"].encode()) and same_user):
            _LOG.info("login of %s refused", user)
            return JSONResponse(
                {
                    "data": {"nextAction": "RETRY_LOGIN", "authnMethod": "USERNAME_PASSWORD"},
                    "code": "390100",
                    "message": "Incorrect username or password was specified.",
                    "success": False,
                    "headers": None,
                }
            )
        _LOG.info("login of %s accepted", user)
        data.setdefault("SESSION_PARAMETERS", {}).pop("FAKESNOW_DB_PATH", None)
        accepted: Response = await _server.login_request(_with_body(request, body))
        document = json.loads(bytes(accepted.body))
        document["data"]["masterToken"] = secrets.token_urlsafe(32)  # without one the client does not end its session
        return JSONResponse(document)

    async def _query(self, request: Request) -> Response:
        # Here, not once: whoever runs this stand-in may reset the filters. The warning is for fakesnow, not for its users.
        warnings.filterwarnings("ignore", message="Arrow output on a DB-API result", category=UserWarning)
        body = await _json(request)
        _LOG.info("%s", " ".join(str(body["sqlText"]).split()))
        body["sqlText"] = await run_in_threadpool(self.clock.told, body["sqlText"])
        chunks = _Chunks(self._results, str(request.base_url).rstrip("/"))
        token = _chunks.set(chunks)
        try:
            response: Response = await _server.query_request(_with_body(request, body))
        finally:
            _chunks.reset(token)
        if not chunks.listed:
            return response
        document = json.loads(bytes(response.body))
        document["data"] |= {"chunks": chunks.listed, "chunkHeaders": {}, "returned": document["data"]["total"]}
        return JSONResponse(document)

    async def _chunk(self, request: Request) -> Response:
        file = self._results / Path(request.path_params["name"]).name
        return FileResponse(file) if file.is_file() else Response(status_code=404)


async def _json(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    document: dict[str, Any] = json.loads(body)
    return document


def _with_body(request: Request, body: dict[str, Any]) -> Request:
    """The same request with another body, not compressed."""
    content = json.dumps(body).encode()
    headers = [each for each in request.scope["headers"] if each[0] not in (b"content-encoding", b"content-length")]
    scope = dict(request.scope) | {"headers": [*headers, (b"content-length", str(len(content)).encode())]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    return Request(scope, receive)


def _first_column(file: Path) -> str:
    return str(pq.read_schema(file).names[0])


def _qualified(table: str) -> str:
    return f'{_DATABASE}.{_SCHEMA}."{table}"'
