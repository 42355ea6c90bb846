"""Salesforce's stand-in with one object, whose records a test changes at will, behind a line that a test disturbs."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.config import SalesforceSettings
from headwater.sandbox.http_clock import SandboxClock
from headwater.sandbox.salesforce.org import Org
from headwater.sandbox.salesforce.server import SalesforceServer
from headwater.sandbox.salesforce.stand_in import API_VERSION
from headwater.sandbox.serving import AsgiServer

INSTANT = pa.timestamp("us", "UTC")
CONTACT = pa.schema(
    [("Id", pa.string()), ("LastName", pa.string())]
    + [(name, INSTANT) for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp", "_visible_at", "_deleted_at")]
)
SECRET = {"client_id": "model", "client_secret": "of-the-model", "username": "etl@example.org", "password": "none"}

Page = tuple[int, bytes]
Disturbance = Callable[[Callable[[], Page]], Page]
"""Answers a page's request in place of Salesforce, whose own answer it can ask for."""


def contact(record_id: str, name: str, stamp: datetime, deleted: bool = False) -> dict[str, Any]:
    """A record as it stands; `stamp` is when it last changed, or was deleted."""
    return {
        "Id": record_id,
        "LastName": name,
        **dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp", "_visible_at"), stamp),
        "_deleted_at": stamp if deleted else None,
    }


@dataclass
class Organisation:
    """`disturbances` answer the pages of a window by their number, from 1 on; each only once."""

    folder: Path
    server: SalesforceServer
    disturbances: dict[int, Disturbance] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)
    """The queries of the pages that were asked for, in their order."""
    url: str = ""
    _last: Page | None = None

    def show(self, records: Sequence[dict[str, Any]], at: datetime) -> None:
        """Have exactly these records, at this instant."""
        rows = [record | {"_visible_at": min(record["_visible_at"], at)} for record in records]
        (self.folder / "salesforce").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, CONTACT), self.folder / "salesforce" / "Contact.parquet")
        self.server.org = Org(self.folder, at)

    def disturb(self, disturbances: dict[int, Disturbance]) -> None:
        self.pages.clear()
        self._last = None
        self.disturbances = dict(disturbances)

    def settings(self, page_records: int = 2000) -> SalesforceSettings:
        return SalesforceSettings(enabled=True, login_url=self.url, api_version=API_VERSION, page_records=page_records)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, unless it asks for a page that is to be disturbed."""
        query = parse_qs(scope.get("query_string", b"").decode()).get("q", [""])[0]
        if " LIMIT " not in query or "SC LIMIT" in query:
            await self.server.app(scope, receive, send)
            return
        self.pages.append(query)
        loop = asyncio.get_running_loop()

        def own() -> Page:
            self._last = asyncio.run_coroutine_threadsafe(self._own(scope, receive), loop).result()
            return self._last

        disturbance = self.disturbances.pop(len(self.pages), _undisturbed)
        status, body = await loop.run_in_executor(None, disturbance, own)
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": body})

    def last_page_again(self, own: Callable[[], Page]) -> Page:
        """The page before is told once more, in place of the one that was asked for."""
        return self._last or own()

    async def _own(self, scope: Any, receive: Any) -> Page:
        told: list[dict[str, Any]] = []

        async def keep(message: dict[str, Any]) -> None:
            told.append(message)

        await self.server.app(scope, receive, keep)
        return told[0]["status"], b"".join(each.get("body", b"") for each in told[1:])


@contextmanager
def organisation(folder: Path, at: datetime) -> Iterator[Organisation]:
    """One that is served on 127.0.0.1, without any record yet."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Organisation(folder, SalesforceServer(_empty(folder, at), SECRET))
    app = SandboxClock(made, made.server.clock, folder / "salesforce.log")
    door = AsgiServer(app, None, "salesforce", date_header=False)
    door.start()
    made.url = f"http://127.0.0.1:{door.port}"
    try:
        yield made
    finally:
        door.stop()
        made.server.jobs.stop()


def _empty(folder: Path, at: datetime) -> Org:
    (folder / "salesforce").mkdir(parents=True, exist_ok=True)
    pq.write_table(CONTACT.empty_table(), folder / "salesforce" / "Contact.parquet")
    return Org(folder, at)


# -- what can happen to a page


def _undisturbed(own: Callable[[], Page]) -> Page:
    return own()


def busy(_own: Callable[[], Page]) -> Page:
    return 503, b'[{"errorCode":"SERVER_UNAVAILABLE","message":"busy"}]'


def refused(_own: Callable[[], Page]) -> Page:
    return 400, b'[{"errorCode":"MALFORMED_QUERY","message":"refused on purpose"}]'


def cut(own: Callable[[], Page]) -> Page:
    """The answer breaks off in the middle."""
    status, body = own()
    return status, body[: len(body) // 2]


def short(own: Callable[[], Page]) -> Page:
    """A record is left out."""
    status, body = own()
    page = json.loads(body)
    return status, json.dumps(page | {"records": page["records"][:-1]}).encode()


def in_parts(own: Callable[[], Page]) -> Page:
    """The answer holds but the first of the records, and says so, as Salesforce does where they are wide."""
    status, body = own()
    page = json.loads(body)
    return status, json.dumps(page | {"records": page["records"][:1], "done": len(page["records"]) <= 1}).encode()


def once_changed(change: Callable[[], None]) -> Disturbance:
    """Something changes at the source just before the page is answered."""

    def changed(own: Callable[[], Page]) -> Page:
        change()
        return own()

    return changed
