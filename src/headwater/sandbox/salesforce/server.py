"""Salesforce's REST API, as much of it as reading needs: login, queries, query jobs, describe, limits."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headwater.sandbox.salesforce.bulk import JobRefused, Jobs
from headwater.sandbox.salesforce.org import Org, Records
from headwater.sandbox.salesforce.rendering import described, json_page
from headwater.sandbox.salesforce.soql import QueryRefused, parse

OLDEST_VERSION, NEWEST_VERSION = 58, 66
DAILY_REQUESTS = 100_000
_MAX_BATCH, _MIN_BATCH = 2000, 200
_CURSORS_KEPT = 10  # as many as Salesforce lets one user have open
_LOCATOR = re.compile(r"(01g\w{12}AAA)-(\d+)")
_KEY_PREFIXES = {"Account": "001", "Contact": "003", "Opportunity": "006"}

Endpoint = Callable[[Request], Awaitable[Response]]


class SalesforceServer:
    """One organisation behind its API; `org` is replaced when the clock moves, open cursors keep what they found."""

    def __init__(self, org: Org, credentials: dict[str, str]) -> None:
        """`credentials` are client_id, client_secret, username and password."""
        self.org = org
        self._credentials = credentials
        self._tokens: set[str] = set()
        self._cursors: OrderedDict[str, Records] = OrderedDict()
        self._lock = threading.Lock()
        self._requests = 0
        self.jobs = Jobs(lambda: self.org)
        self.app = self._application()

    def clock(self) -> datetime:
        """The instant that the organisation shows."""
        return self.org.clock

    def _application(self) -> Starlette:
        api = "/services/data/v{version}"
        routes = [
            Route("/services/oauth2/token", self._token, methods=["POST"]),
            Route("/services/data", _versions),
            Route("/services/data/", _versions),
            *(
                Route(api + path, self._authorised(endpoint), methods=methods)
                for path, endpoint, methods in (
                    ("/", self._resources, ["GET"]),
                    ("/limits", self._limits, ["GET"]),
                    ("/query", self._query, ["GET"]),
                    ("/query/", self._query, ["GET"]),
                    ("/queryAll", self._query_all, ["GET"]),
                    ("/queryAll/", self._query_all, ["GET"]),
                    ("/query/{locator}", self._next_page, ["GET"]),
                    ("/queryAll/{locator}", self._next_page, ["GET"]),
                    ("/sobjects", self._sobjects, ["GET"]),
                    ("/sobjects/{name}/describe", self._describe, ["GET"]),
                    ("/jobs/query", self._job_list, ["GET"]),
                    ("/jobs/query", self._job_create, ["POST"]),
                    ("/jobs/query/{id}", self._job, ["GET", "PATCH", "DELETE"]),
                    ("/jobs/query/{id}/results", self._job_results, ["GET"]),
                )
            ),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _no_such_resource})

    # -- logging in

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        client_id, client_secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
        known = self._credentials
        match form.get("grant_type"):
            case "client_credentials" | "password" as grant:
                pass
            case None | "":
                return _login_refused("invalid_request", "must specify grant_type")
            case _:
                return _login_refused("unsupported_grant_type", "grant type not supported")
        if not _same(client_id, known["client_id"]):
            return _login_refused("invalid_client_id", "client identifier invalid")
        if not _same(client_secret, known["client_secret"]):
            return _login_refused("invalid_client", "invalid client credentials")
        if grant == "password":
            right_user = _same(form.get("username", ""), known["username"])
            right_password = _same(form.get("password", ""), known["password"])
            if not (right_user and right_password):
                return _login_refused("invalid_grant", "authentication failure")
        return JSONResponse(self._issue_token(f"{request.url.scheme}://{request.url.netloc}"))

    def _issue_token(self, instance_url: str) -> dict[str, str]:
        token = f"00D000000000001!{secrets.token_urlsafe(48)}"
        self._tokens.add(token)
        identity = f"{instance_url}/id/00D000000000001EAA/005000000000001AAA"
        issued_at = str(int(time.time() * 1000))
        key = self._credentials["client_secret"].encode()
        signature = hmac.new(key, (identity + issued_at).encode(), hashlib.sha256).digest()
        return {
            "access_token": token,
            "signature": base64.b64encode(signature).decode(),
            "scope": "api",
            "instance_url": instance_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def _authorised(self, endpoint: Endpoint) -> Endpoint:
        """Let only holders of a token in, and give Salesforce's words to whatever is refused."""

        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() not in ("bearer", "oauth") or token not in self._tokens:
                return _refused(401, "INVALID_SESSION_ID", "Session expired or invalid")
            version = request.path_params["version"]
            if not _is_served(version):
                return _refused(404, "NOT_FOUND", "The requested resource does not exist")
            try:
                response = await endpoint(request)
            except QueryRefused as refused:
                response = _refused(400, refused.code, refused.message)
            except JobRefused as refused:
                response = _refused(refused.status, refused.code, refused.message)
            self._requests += 1
            response.headers["Sforce-Limit-Info"] = f"api-usage={self._requests}/{DAILY_REQUESTS}"
            return response

        return guarded

    # -- queries

    async def _query(self, request: Request) -> Response:
        return await run_in_threadpool(self._first_page, request, deleted_too=False)

    async def _query_all(self, request: Request) -> Response:
        return await run_in_threadpool(self._first_page, request, deleted_too=True)

    def _first_page(self, request: Request, *, deleted_too: bool) -> Response:
        query = parse(request.query_params.get("q", ""))
        records = self.org.find(query, deleted_too=deleted_too)
        if query.is_count:
            total = records.rows.column(0)[0].as_py()
            return JSONResponse({"totalSize": total, "done": True, "records": []})
        locator = f"01g{secrets.token_hex(6)}AAA"
        if records.rows.num_rows > _batch_size(request):
            with self._lock:
                self._cursors[locator] = records
                while len(self._cursors) > _CURSORS_KEPT:
                    self._cursors.popitem(last=False)
        return self._rendered(request, locator, records, 0)

    async def _next_page(self, request: Request) -> Response:
        found = _LOCATOR.fullmatch(request.path_params["locator"])
        with self._lock:
            records = self._cursors.get(found[1]) if found else None
        if found is None or records is None or int(found[2]) >= records.rows.num_rows:
            raise QueryRefused("INVALID_QUERY_LOCATOR", "invalid query locator")
        return await run_in_threadpool(self._rendered, request, found[1], records, int(found[2]))

    def _rendered(self, request: Request, locator: str, records: Records, begin: int) -> Response:
        path = f"/services/data/v{request.path_params['version']}"
        total = records.rows.num_rows
        end = min(begin + _batch_size(request), total)
        following = "" if end == total else f'"nextRecordsUrl":"{path}/query/{locator}-{end}",'
        done = "true" if end == total else "false"
        head = f'{{"totalSize":{total},"done":{done},{following}"records":'
        body = head + json_page(records, begin, end, path) + "}"
        return Response(body, media_type="application/json;charset=UTF-8")

    # -- query jobs

    async def _job_create(self, request: Request) -> Response:
        try:
            asked = await request.json()
        except ValueError as error:
            raise JobRefused(400, "JSON_PARSER_ERROR", "the body is not JSON") from error
        job = await run_in_threadpool(self.jobs.create, asked, request.path_params["version"])
        return JSONResponse(job.shown())

    async def _job_list(self, _request: Request) -> Response:
        return JSONResponse({"done": True, "records": [job.shown() for job in self.jobs.all()], "nextRecordsUrl": None})

    async def _job(self, request: Request) -> Response:
        identity = request.path_params["id"]
        if request.method == "DELETE":
            self.jobs.delete(identity)
            return Response(status_code=204)
        if request.method == "PATCH":
            asked = await request.json()
            if not isinstance(asked, dict) or asked.get("state") != "Aborted":
                raise JobRefused(400, "INVALIDJOBSTATE", "a query job can only be set to Aborted")
            return JSONResponse(self.jobs.abort(identity).shown())
        return JSONResponse(self.jobs.get(identity).shown())

    async def _job_results(self, request: Request) -> Response:
        wanted = request.query_params
        identity = request.path_params["id"]
        page = await run_in_threadpool(self.jobs.page, identity, wanted.get("locator"), wanted.get("maxRecords"))
        headers = {"Sforce-Locator": page.locator, "Sforce-NumberOfRecords": str(page.rows)}
        return Response(page.csv, headers=headers, media_type="text/csv; charset=UTF-8")

    # -- what there is

    async def _resources(self, request: Request) -> Response:
        path = f"/services/data/v{request.path_params['version']}"
        return JSONResponse({name: f"{path}/{name}" for name in ("limits", "query", "queryAll", "sobjects", "jobs")})

    async def _limits(self, _request: Request) -> Response:
        left = max(0, DAILY_REQUESTS - self._requests)
        return JSONResponse({"DailyApiRequests": {"Max": DAILY_REQUESTS, "Remaining": left}})

    async def _sobjects(self, request: Request) -> Response:
        path = f"/services/data/v{request.path_params['version']}/sobjects"
        shown = [_summary(name, path) for name in self.org.objects]
        return JSONResponse({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": shown})

    async def _describe(self, request: Request) -> Response:
        wanted = request.path_params["name"].lower()
        sobject = next((each for name, each in self.org.objects.items() if name.lower() == wanted), None)
        if sobject is None:
            return _refused(404, "NOT_FOUND", "The requested resource does not exist")
        path = f"/services/data/v{request.path_params['version']}/sobjects"
        return JSONResponse(_summary(sobject.name, path) | {"fields": [described(field) for field in sobject.fields]})


def _summary(name: str, path: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name,
        "keyPrefix": _KEY_PREFIXES.get(name),
        "custom": False,
        "queryable": True,
        "createable": False,
        "updateable": False,
        "deletable": False,
        "urls": {"sobject": f"{path}/{name}", "describe": f"{path}/{name}/describe"},
    }


async def _versions(_request: Request) -> Response:
    numbers = range(OLDEST_VERSION, NEWEST_VERSION + 1)
    return JSONResponse([{"label": f"v{n}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"} for n in numbers])


def _is_served(version: str) -> bool:
    number, _, fraction = version.partition(".")
    return fraction == "0" and number.isdecimal() and OLDEST_VERSION <= int(number) <= NEWEST_VERSION


async def _no_such_resource(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 405:
        return _refused(405, "METHOD_NOT_ALLOWED", "HTTP method not allowed for this resource")
    return _refused(status, "NOT_FOUND", "The requested resource does not exist")


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse([{"message": message, "errorCode": code}], status)


def _login_refused(error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, 400)


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, client_secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client_id, client_secret


def _batch_size(request: Request) -> int:
    """What the header asks for, within Salesforce's bounds."""
    asked = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("sforce-query-options", ""), re.IGNORECASE)
    return min(_MAX_BATCH, max(_MIN_BATCH, int(asked[1]))) if asked else _MAX_BATCH
