"""Salesforce's REST and Bulk API 2.0 over HTTP: login, requests, queries; its refusals in our words."""

import contextlib
import json
import logging
import ssl
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

import httpx

from headwater.config import SalesforceSettings
from headwater.errors import SourceError, SourceRejected, SourceUnavailable
from headwater.extract.base_extractor import credential, referred, retried, scrubbed
from headwater.extract.http_client import http_client, retry_after

_JOB_WITHIN_S = 3600.0
_LONGEST_WAIT_S = 10.0
_PAGE_RECORDS = 50_000
_PASSING = frozenset(
    {"REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "INVALID_QUERY_LOCATOR", "UNKNOWN_EXCEPTION"}
)
"""Error codes of states that pass."""
_NO_RIGHT = frozenset({"INVALID_TYPE", "INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY"})
"""Error codes of a right that is missing: an object that the user may not see does not exist for it."""
_REFUSED_JOB = ("MALFORMED_QUERY", "INVALID_", "INSUFFICIENT_ACCESS", "API_", "FUNCTIONALITY_NOT_ENABLED")

_log = logging.getLogger("headwater.extract")


@dataclass(frozen=True)
class RestPage:
    """The first records that a query finds, and whether they are all that it finds."""

    records: list[dict[str, Any]]
    whole: bool


@dataclass(frozen=True)
class CsvPage:
    """A page of a query job's result and how many records Salesforce says it holds."""

    content: bytes
    records: int | None


class SalesforceSession:
    """A login by OAuth2 client credentials, renewed when Salesforce ends it; closes its connections at exit."""

    def __init__(self, settings: SalesforceSettings, secret: Mapping[str, str]) -> None:
        self._login_url = settings.login_url.rstrip("/")
        self._version = settings.api_version
        self._settings = settings
        self._secret = secret
        self._http = http_client(settings, verify=_trust())
        self._token = ""
        self.instance_url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: str) -> httpx.Response:
        """Ask for a path below `/services/data/v<version>`, or for one that Salesforce named; again while it is busy."""
        return retried(lambda: self._ask("GET", path, params=params), self._settings)

    def fields(self, name: str) -> list[dict[str, Any]]:
        """The descriptions of an object's fields that the app's user may see."""
        return list(self._read_json(self.get(f"/sobjects/{name}/describe"))["fields"])

    def page(self, soql: str) -> RestPage:
        """The records of a query, deleted ones too, as many as one answer holds; numbers are the texts they were sent as.

        Raises:
            SourceUnavailable: Salesforce did not answer, or with fewer records than it says.
        """
        answer = self._read_json(self.get("/queryAll", q=soql))
        records, whole = answer.get("records"), answer.get("done")
        if not isinstance(records, list) or (whole and len(records) != int(answer.get("totalSize", -1))):
            raise SourceUnavailable("salesforce", "an answer lacks records that it says the query found", whole=False)
        return RestPage(records, bool(whole))

    def count(self, soql: str) -> int:
        """What a `SELECT COUNT()` query finds, deleted records too."""
        return int(self._read_json(self.get("/queryAll", q=soql))["totalSize"])

    def csv_pages(self, soql: str) -> Generator[CsvPage]:
        """The records of a query job, deleted ones too; the job is deleted when this ends or is closed."""
        asked = {"operation": "queryAll", "query": soql, "contentType": "CSV", "lineEnding": "LF"}
        job = f"/jobs/query/{self._read_json(self._ask('POST', '/jobs/query', json=asked))['id']}"
        finished = False
        try:
            self._wait_for(job)
            finished = True
            position: dict[str, str] = {}
            while True:
                page = self.get(f"{job}/results", maxRecords=str(_PAGE_RECORDS), **position)
                told = page.headers.get("Sforce-NumberOfRecords", "")
                yield CsvPage(page.content, int(told) if told.isdecimal() else None)
                locator = page.headers.get("Sforce-Locator", "null")
                if locator == "null":
                    return
                position = {"locator": locator}
        finally:
            self._remove(job, finished)

    def _wait_for(self, job: str) -> None:
        deadline = time.monotonic() + _JOB_WITHIN_S
        wait_s = 0.1
        while True:
            shown = self._read_json(self.get(job))
            match shown["state"]:
                case "JobComplete":
                    return
                case "Failed" | "Aborted" as state:
                    said = scrubbed(shown.get("errorMessage") or state, self._secret)
                    if said.startswith(_REFUSED_JOB):
                        raise SourceRejected("salesforce", f"a query job was refused: {said}")
                    raise SourceUnavailable("salesforce", f"a query job did not finish: {said}", whole=False)
            if time.monotonic() > deadline:
                raise SourceUnavailable("salesforce", f"a query job took more than {_JOB_WITHIN_S:.0f} s")
            time.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)

    def _remove(self, job: str, finished: bool) -> None:
        """Delete a job, which Salesforce allows of those that have ended; what fails here has hurt nothing."""
        with contextlib.suppress(SourceError):
            if not finished:
                self._ask("PATCH", job, json={"state": "Aborted"})
        try:
            self._ask("DELETE", job)
        except SourceError as error:
            _log.warning("the query job %s could not be deleted: %s", job.rpartition("/")[2], error)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        if not self._token:
            self._login()
        response = self._send(method, path, request)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._login()
            response = self._send(method, path, request)
        if response.is_success:
            return response
        raise self._refusal(response)

    def _send(self, method: str, path: str, request: Mapping[str, Any]) -> httpx.Response:
        full = path if path.startswith("/services/") else f"/services/data/v{self._version}{path}"
        try:
            return self._http.request(
                method, self.instance_url + full, headers={"Authorization": f"Bearer {self._token}"}, **request
            )
        except httpx.HTTPError as error:
            raise self._no_answer(self.instance_url, error) from error

    def _login(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": credential("salesforce", self._secret, "client_id"),
            "client_secret": credential("salesforce", self._secret, "client_secret"),
        }
        try:
            response = self._http.post(f"{self._login_url}/services/oauth2/token", data=form)
        except httpx.HTTPError as error:
            raise self._no_answer(self._login_url, error) from error
        answer = _json_or_none(response)
        if response.is_success and isinstance(answer, dict) and {"access_token", "instance_url"} <= answer.keys():
            self._token, self.instance_url = answer["access_token"], answer["instance_url"].rstrip("/")
            return
        if _is_passing(response):
            raise self._refusal(response)
        if isinstance(answer, dict) and "error" in answer:
            said = scrubbed(f"{answer['error']}: {answer.get('error_description', '')}", self._secret)
            raise SourceRejected(
                "salesforce", f"{self._login_url} refused the login ({said}): check {self._secret_named}", whole=True
            )
        raise SourceRejected(
            "salesforce",
            f"{self._login_url} is no Salesforce login (HTTP {response.status_code}): "
            "check data_sources.salesforce.login_url",
        )

    def _read_json(self, response: httpx.Response) -> dict[str, Any]:
        answer = _json_or_none(response)
        if not isinstance(answer, dict):
            raise SourceUnavailable("salesforce", f"{response.url.path} answered with something that is not JSON")
        return answer

    def _refusal(self, response: httpx.Response) -> SourceError:
        """What an unsuccessful answer means."""
        answer = _json_or_none(response)
        first = answer[0] if isinstance(answer, list) and answer and isinstance(answer[0], dict) else {}
        code = str(first.get("errorCode", ""))
        said = scrubbed(f"{code or f'HTTP {response.status_code}'} {first.get('message', '')}", self._secret)
        if code in _PASSING or _is_passing(response):
            return SourceUnavailable("salesforce", f"{said} at {response.url.path}", retry_after(response))
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return SourceRejected(
                "salesforce", f"a fresh login is not accepted ({said}): check {self._secret_named}", whole=True
            )
        if code in _NO_RIGHT or response.status_code in (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
            return SourceRejected(
                "salesforce",
                f"{said} at {response.url.path}: check data_sources.salesforce.api_version, and that the user of "
                f"{self._secret_named} has the right to use the API and to read the object",
            )
        return SourceRejected("salesforce", f"{said} at {response.url.path}")

    @property
    def _secret_named(self) -> str:
        return referred("salesforce", self._secret)

    def _no_answer(self, url: str, error: httpx.HTTPError) -> SourceUnavailable:
        said = scrubbed(error, self._secret) or type(error).__name__
        return SourceUnavailable("salesforce", f"{url} did not answer ({said})")


@cache
def _trust() -> ssl.SSLContext:
    """Whom to trust; reading the authorities takes longer than a request, so it is done once."""
    return httpx.create_ssl_context()


def _is_passing(response: httpx.Response) -> bool:
    return response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error


def _json_or_none(response: httpx.Response) -> Any:
    """The body, with numbers as the texts they were sent as: a float could not hold every amount."""
    try:
        return json.loads(response.content, parse_float=str, parse_int=str)
    except ValueError:
        return None
