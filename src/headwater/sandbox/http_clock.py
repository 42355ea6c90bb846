"""What the stand-ins that speak HTTP share: the sandbox's clock as their own, and a log of what they were asked."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any


class SandboxClock:
    """Wraps an ASGI application: every answer's `Date` is the sandbox's clock, every request a line of the log.

    The server's own date must be off. A line has the time of the machine, method, path with query, and status;
    headers and bodies, where credentials are, are not logged.
    """

    def __init__(self, app: Any, clock: Callable[[], datetime], log: Path) -> None:
        self._app = app
        self._clock = clock
        self._log = log

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""

        async def dated(message: Any) -> None:
            if message["type"] == "http.response.start":
                # whole seconds, rounded down: an answer never says that it is later than it is
                date = format_datetime(self._clock().astimezone(UTC).replace(microsecond=0), usegmt=True)
                message["headers"] = [*message["headers"], (b"date", date.encode())]
                self._write(scope, message["status"])
            await send(message)

        await self._app(scope, receive, dated)

    def _write(self, scope: Any, status: int) -> None:
        query = scope.get("query_string", b"").decode("latin-1")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{now} {scope['method']} {scope['path']}{'?' + query if query else ''} {status}\n")
