"""Query jobs of the Bulk API 2.0: made, run one after another in a thread, read page by page, thrown away."""

import base64
import binascii
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.sandbox.salesforce.org import Org, Records
from headwater.sandbox.salesforce.rendering import csv_page
from headwater.sandbox.salesforce.soql import Query, QueryRefused, parse

DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
_LINE_ENDINGS = ("LF", "CRLF")
_PAGE_ROWS = 50_000
_JOBS_KEPT = 20
"""Results are in memory; a client that never deletes its jobs loses the oldest."""


class JobRefused(Exception):
    """Salesforce's answer to a request about a job that cannot be fulfilled."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass
class Job:
    """One query job."""

    id: str
    operation: str
    query: Query
    delimiter: str
    line_ending: str
    created: datetime
    api_version: str
    state: str = "UploadComplete"
    records: Records | None = None
    error: str | None = None

    def shown(self) -> dict[str, Any]:
        """The job as the API shows it."""
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.query.object.text,
            "createdById": "005000000000001AAA",
            "createdDate": _instant(self.created),
            "systemModstamp": _instant(self.created),
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.api_version),
            "jobType": "V2Query",
            "lineEnding": self.line_ending,
            "columnDelimiter": self.delimiter,
            "numberRecordsProcessed": self.records.rows.num_rows if self.records else 0,
            "retries": 0,
            "totalProcessingTime": 0,
        } | ({"errorMessage": self.error} if self.error else {})


@dataclass(frozen=True)
class Page:
    """A part of a job's result; `locator` asks for the next, "null" after the last."""

    csv: bytes
    locator: str
    rows: int


class Jobs:
    """All query jobs of the stand-in."""

    def __init__(self, org: Callable[[], Org]) -> None:
        """`org` gives the organisation as it is now."""
        self._org = org
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "salesforce-bulk")

    def stop(self) -> None:
        """Let the running job end, and drop the others."""
        self._worker.shutdown(cancel_futures=True)

    def create(self, request: Any, api_version: str) -> Job:
        """Accept a job; it runs soon.

        Raises:
            JobRefused: the request or its query is wrong.
        """
        if not isinstance(request, dict):
            raise JobRefused(
                400, "JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body."
            )
        operation, text = request.get("operation"), request.get("query")
        delimiter, line_ending = request.get("columnDelimiter", "COMMA"), request.get("lineEnding", "LF")
        if operation not in ("query", "queryAll") or not isinstance(text, str):
            raise JobRefused(400, "INVALIDJOB", "a query job has an operation, query or queryAll, and a query")
        if (
            delimiter not in DELIMITERS
            or line_ending not in _LINE_ENDINGS
            or request.get("contentType", "CSV") != "CSV"
        ):
            raise JobRefused(
                400, "INVALIDJOB", "contentType is CSV; columnDelimiter or lineEnding is not one that exists"
            )
        try:
            query = parse(text)
            self._org().check(query)
        except QueryRefused as refused:
            raise JobRefused(400, refused.code, refused.message) from refused
        if query.is_aggregate or query.offset:
            raise JobRefused(400, "API_ERROR", "Aggregate functions and OFFSET are not supported in Bulk V2 Query")
        identity = f"750{secrets.token_hex(6)}AAA"
        job = Job(identity, operation, query, delimiter, line_ending, self._org().clock, api_version)
        with self._lock:
            self._jobs[identity] = job
            for oldest in list(self._jobs)[:-_JOBS_KEPT]:
                del self._jobs[oldest]
        self._worker.submit(self._run, job)
        return job

    def _run(self, job: Job) -> None:
        if job.state != "UploadComplete":
            return
        job.state = "InProgress"
        try:
            records = self._org().find(job.query, deleted_too=job.operation == "queryAll")
        except QueryRefused as refused:  # the object was there when the job was made, and is not any more
            job.error, job.state = refused.message, "Failed"
            return
        with self._lock:
            if job.state == "InProgress":
                job.records, job.state = records, "JobComplete"

    def all(self) -> list[Job]:
        """Every job that was not deleted, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def get(self, identity: str) -> Job:
        """One job.

        Raises:
            JobRefused: there is no such job.
        """
        with self._lock:
            job = self._jobs.get(identity)
        if job is None:
            raise JobRefused(404, "NOT_FOUND", "The requested resource does not exist")
        return job

    def abort(self, identity: str) -> Job:
        """Stop a job that is not complete; its result, if any, is gone."""
        job = self.get(identity)
        with self._lock:
            if job.state in ("JobComplete", "Failed"):
                raise JobRefused(400, "INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed")
            job.state, job.records = "Aborted", None
        return job

    def delete(self, identity: str) -> None:
        """Forget a job that has come to an end."""
        job = self.get(identity)
        with self._lock:
            if job.state not in ("JobComplete", "Aborted", "Failed"):
                raise JobRefused(
                    400, "INVALIDJOBSTATE", f"Job {identity} is {job.state}: only a finished job can be deleted"
                )
            self._jobs.pop(identity, None)

    def page(self, identity: str, locator: str | None, max_records: str | None) -> Page:
        """A part of a complete job's result.

        Raises:
            JobRefused: the job is not complete, or the locator is not one of its own.
        """
        job = self.get(identity)
        records = job.records
        if job.state != "JobComplete" or records is None:
            raise JobRefused(400, "INVALIDJOBSTATE", f"Job {identity} is {job.state}: there is no result")
        total = records.rows.num_rows
        try:
            begin = int(base64.urlsafe_b64decode(locator)) if locator else 0
            rows = int(max_records) if max_records else _PAGE_ROWS
        except (ValueError, binascii.Error) as error:
            raise JobRefused(400, "INVALID_QUERY_LOCATOR", "invalid query locator") from error
        if not 0 <= begin <= total or rows < 1:
            raise JobRefused(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        end = min(begin + rows, total)
        content = csv_page(records, begin, end, DELIMITERS[job.delimiter], job.line_ending)
        following = base64.urlsafe_b64encode(str(end).encode()).decode() if end < total else "null"
        return Page(content, following, end - begin)


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
