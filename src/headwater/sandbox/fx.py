"""The FX vendor's stand-in: an HTTP API with a key, as the sandbox's own vendor describes it.

`GET /v1/rates?as_of_from=&as_of_to=&page_size=&cursor=` with `Authorization: Bearer <key>` gives the rates whose
`as_of_time` is in `[as_of_from, as_of_to)`, each bound an ISO 8601 instant and optional, ordered by `as_of_time`,
then `quote_currency`, then `date`:

    {"base": "EUR", "rates": [{"date": "2024-11-01", "base_currency": "EUR", "quote_currency": "USD",
     "rate": "1.0882", "as_of_time": "2024-11-01T15:00:00.000000Z"}], "next_cursor": null}

A rate is a JSON *string* with every digit and no closing zeros, so that no client rounds it to a float. `next_cursor`
goes into the next request beside the same bounds; null after the last page. Of a rate that was corrected only the
newest version is shown. `GET /v1/status` needs no key.
"""

import base64
import binascii
import hmac
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headwater.errors import SandboxError
from headwater.sandbox.credentials import remembered_secrets
from headwater.sandbox.http_clock import SandboxClock
from headwater.sandbox.serving import AsgiServer
from headwater.sandbox.stand_in import Connection, log_file
from headwater.sandbox.visible import VersionedTable

_KEY = ("date", "base_currency", "quote_currency")
_DEFAULT_PAGE, _MAX_PAGE = 1000, 5000
_REQUESTS_PER_S = 200
_BASE = "EUR"


class RequestRefused(Exception):
    """An answer other than rates."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


@dataclass(frozen=True)
class _Wanted:
    """One request for rates, checked."""

    begin: datetime | None
    end: datetime | None
    rows: int
    after: tuple[str, str, str, str] | None


class RateLimit:
    """At most so many requests in any second."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def wait_s(self) -> float:
        """Count one request; how long it must wait, 0 if it may pass."""
        now = time.monotonic()
        with self._lock:
            while self._times and self._times[0] <= now - 1:
                self._times.popleft()
            if len(self._times) >= self._per_second:
                return max(0.0, self._times[0] + 1 - now)
            self._times.append(now)
            return 0.0


class Rates:
    """The rates that stand at one instant; another instant is another `Rates`."""

    def __init__(self, dataset: Path, at: datetime) -> None:
        """Load what `dataset` shows at `at`; a dataset without rates shows none."""
        self.clock = at
        self._memory = duckdb.connect(":memory:", config={"threads": 1})
        file = dataset / "fx" / "rates.parquet"
        self._memory.execute(
            "CREATE TABLE rates (date DATE, base_currency VARCHAR, quote_currency VARCHAR, rate DECIMAL(20, 10), "
            "as_of_time TIMESTAMP)"
        )
        if file.is_file():
            self._memory.execute(
                "INSERT INTO rates BY NAME SELECT date, base_currency, quote_currency, rate, as_of_time "  # noqa: S608
                f"FROM ({VersionedTable(file, _KEY).at(at)}) ORDER BY as_of_time, quote_currency, date, base_currency"
            )

    def find(self, wanted: _Wanted) -> list[tuple[Any, ...]]:
        """The rates asked for, one more than a page where there are more."""
        conditions: list[str] = ["true"]
        values: list[Any] = []
        for sign, bound in ((">=", wanted.begin), ("<", wanted.end)):
            if bound is not None:
                conditions.append(f"as_of_time {sign} ?")
                values.append(bound.astimezone(UTC).replace(tzinfo=None))
        if wanted.after is not None:
            conditions.append(
                "(as_of_time, quote_currency, date, base_currency) > "
                "(CAST(? AS TIMESTAMP), CAST(? AS VARCHAR), CAST(? AS DATE), CAST(? AS VARCHAR))"
            )
            values += wanted.after
        sql = (
            "SELECT date, base_currency, quote_currency, rate, as_of_time FROM rates "  # noqa: S608 - values are apart
            f"WHERE {' AND '.join(conditions)} ORDER BY as_of_time, quote_currency, date, base_currency "
            f"LIMIT {wanted.rows + 1:d}"
        )
        return self._memory.cursor().execute(sql, values).fetchall()


class FxStandIn:
    """The vendor's API over a dataset's rates."""

    name = "fx_vendor"

    def __init__(self, folder: Path, port: int | None, requests_per_s: int = _REQUESTS_PER_S) -> None:
        """Keep the key in `folder`; more than `requests_per_s` requests in a second are told to wait."""
        self._folder = folder
        self._port = port
        self._limit = RateLimit(requests_per_s)
        self._dataset = Path()
        self._key = ""
        self._rates: Rates | None = None
        self._server: AsgiServer | None = None

    def start(self, dataset: Path, at: datetime) -> Connection:
        """Serve what `dataset` shows at `at`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._dataset, self._rates = dataset, Rates(dataset, at)
        secret = remembered_secrets(self._folder, api_key="")
        self._key = secret["api_key"]
        app = SandboxClock(self._application(), lambda: self._standing().clock, log_file(self._folder))
        self._server = AsgiServer(app, self._port, self.name, date_header=False)
        self._server.start()
        return Connection({"base_url": f"http://127.0.0.1:{self._server.port}"}, secret)

    def advance(self, after: datetime, until: datetime) -> None:  # noqa: ARG002 - another instant is another `Rates`
        """Show the rates of `until`."""
        self._standing()
        self._rates = Rates(self._dataset, until)

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _standing(self) -> Rates:
        if self._rates is None:
            raise SandboxError("the FX vendor's stand-in does not run: `headwater sandbox up` starts it")
        return self._rates

    def _application(self) -> Starlette:
        routes = [Route("/v1/status", self._status), Route("/v1/rates", self._answer)]
        return Starlette(routes=routes, exception_handlers={HTTPException: _no_such_page, RequestRefused: _refusal})

    async def _status(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "time": _iso(self._standing().clock), "base": _BASE})

    async def _answer(self, request: Request) -> Response:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), self._key.encode()):
            raise RequestRefused(401, "invalid_api_key", "the API key is missing or not one of ours")
        if (wait_s := self._limit.wait_s()) > 0:
            headers = {"Retry-After": str(max(1, round(wait_s)))}
            raise RequestRefused(429, "too_many_requests", "too many requests: wait, then go on", headers)
        wanted = _wanted(request)
        try:
            found = await run_in_threadpool(self._standing().find, wanted)
        except duckdb.ConversionException as error:
            raise RequestRefused(400, "invalid_cursor", "the cursor is not one that we gave") from error
        page = found[: wanted.rows]
        following = _cursor(page[-1]) if len(found) > wanted.rows else None
        return JSONResponse({"base": _BASE, "rates": [_rate(row) for row in page], "next_cursor": following})


def _wanted(request: Request) -> _Wanted:
    asked = request.query_params
    if unknown := sorted(set(asked) - {"as_of_from", "as_of_to", "page_size", "cursor"}):
        raise RequestRefused(400, "invalid_parameter", f"no such parameter: {', '.join(unknown)}")
    page_size = asked.get("page_size", str(_DEFAULT_PAGE))
    if not page_size.isdecimal() or not 1 <= int(page_size) <= _MAX_PAGE:
        raise RequestRefused(400, "invalid_parameter", f"page_size is a number from 1 to {_MAX_PAGE}")
    after = _position(asked["cursor"]) if asked.get("cursor") else None
    return _Wanted(_instant(asked.get("as_of_from")), _instant(asked.get("as_of_to")), int(page_size), after)


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise RequestRefused(400, "invalid_parameter", f"not an ISO 8601 instant: {text}") from error
    if instant.tzinfo is None:
        raise RequestRefused(400, "invalid_parameter", f"an instant needs its zone, as in 2024-11-01T00:00:00Z: {text}")
    return instant


def _position(cursor: str) -> tuple[str, str, str, str]:
    try:
        as_of_time, quote, date, base = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, TypeError, binascii.Error) as error:
        raise RequestRefused(400, "invalid_cursor", "the cursor is not one that we gave") from error
    return str(as_of_time), str(quote), str(date), str(base)


def _cursor(row: tuple[Any, ...]) -> str:
    date, base, quote, _, as_of_time = row
    return base64.urlsafe_b64encode(json.dumps([str(as_of_time), quote, str(date), base]).encode()).decode()


def _rate(row: tuple[Any, ...]) -> dict[str, Any]:
    date, base, quote, rate, as_of_time = row
    shown = None if rate is None else format(rate.normalize(), "f")
    return {
        "date": str(date),
        "base_currency": base,
        "quote_currency": quote,
        "rate": shown,
        "as_of_time": _iso(as_of_time),
    }


def _iso(instant: datetime) -> str:
    utc = instant if instant.tzinfo is None else instant.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestRefused):
        raise error
    return JSONResponse({"error": {"code": error.code, "message": str(error)}}, error.status, error.headers)


async def _no_such_page(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return JSONResponse({"error": {"code": "not_found", "message": "there is no such page or method"}}, status)
