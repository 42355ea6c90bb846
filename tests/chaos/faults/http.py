"""A proxy in front of an HTTP service that answers in its place."""

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

from tests.chaos.faults.log import Deliveries

A_PAGE = 10_000
"""An answer of so many bytes is a page of rows; logins, counts and clocks are smaller."""

_PER_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


HttpFault: TypeAlias = Callable[[Answer, Answer], Answer]
"""What is told in the place of a page, given the page before it and the page itself."""


def status(code: int, body: bytes = b"", **headers: str) -> HttpFault:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _before, _page: Answer(code, told, body)


def the_page_before(before: Answer, _page: Answer) -> Answer:
    return before


def the_page_twice(_before: Answer, page: Answer) -> Answer:
    return Answer(page.status, page.headers, page.body * 2)


def with_a_new_field(list_of: str) -> HttpFault:
    """The page with one more field in each object of its list."""

    def changed(_before: Answer, page: Answer) -> Answer:
        document = json.loads(page.body)
        for each in document[list_of]:
            each["Channel"] = "web"
        return Answer(page.status, page.headers, json.dumps(document).encode())

    return changed


def with_its_columns_in_another_order(_before: Answer, page: Answer) -> Answer:
    """A CSV file of as many bytes, the first two columns changed over."""
    lines = [line.split(b",") for line in page.body.split(b"\n")]
    turned = [b",".join([*line[1::-1], *line[2:]]) for line in lines]
    return Answer(page.status, page.headers, b"\n".join(turned))


@dataclass(frozen=True)
class Plan:
    """Let some pages pass, then tell `fault` in the place of the next one; of all that follow too, if it is `lasting`."""

    name: str
    fault: HttpFault
    pages: int = 1
    lasting: bool = False


class HttpProxy:
    """Passes requests on to a server of this host, and its answers back, until it is armed."""

    def __init__(self) -> None:
        self.upstream = 0
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._deliveries = Deliveries()
        self._passed: list[Answer] = []
        self._forwarded, self._fired = 0, False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                answer = proxy._answer(self.command, self.path, dict(self.headers), self.rfile.read(length))
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that the base class calls

            def log_message(self, *_: object) -> None:
                """The log is ours."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def arm(self, plan: Plan, deliveries: Deliveries) -> None:
        """Carry out a plan from now on."""
        with self._lock:
            self._plan, self._deliveries = plan, deliveries
            self._passed, self._forwarded, self._fired = [], 0, False

    def heal(self) -> None:
        with self._lock:
            self._plan = None

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            told = {name: value for name, value in response.getheaders() if name.lower() not in _PER_HOP}
            answer = Answer(response.status, told, response.read())
        finally:
            connection.close()
        return self._page(answer) if len(answer.body) >= A_PAGE else answer

    def _page(self, page: Answer) -> Answer:
        with self._lock:
            plan = self._plan
            if plan is None or len(self._passed) < plan.pages:
                self._passed.append(page)
                self._forwarded += len(page.body)
                return page
            first, self._fired = not self._fired, True
            if not plan.lasting:
                self._plan = None
        if first:
            self._deliveries.write(plan.name, self._forwarded)
        return plan.fault(self._passed[-1], page)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, _request: object, _address: object) -> None:
        """A client that went away is nothing to tell."""
