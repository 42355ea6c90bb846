"""A bucket for lakes on S3 (moto, over HTTP) in which a put can be held, or be the last thing that a run does."""

import io
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import S3Backend, s3_backends
from tests.chaos.instant import Instant
from werkzeug.serving import WSGIRequestHandler, make_server

NAME, REGION = "headwater-lakes", "eu-central-1"
KEYS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up"}


@dataclass
class Trap:
    """What happens at the n-th request that puts, gets or deletes a matching key: `act`, before S3 has it or when S3 did it.

    Before, `act` says whether S3 is to have it at all.
    """

    instant: Instant
    keys: str
    act: Callable[[], bool]
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_now(self, call: str, keys: Sequence[str]) -> bool:
        """Whether a request is the one."""
        if call != self.instant.call or not any(fnmatchcase(key, self.keys) for key in keys):
            return False
        with self.lock:
            self.seen += 1
            return self.seen == self.instant.nth


class Bucket:
    """S3 on 127.0.0.1 with one bucket. Lakes are put into it and fetched from it as folders."""

    def __init__(self) -> None:
        self._backend: S3Backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self.make()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._traps: list[Trap] = []
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, name="lakes", daemon=True).start()

    def make(self) -> None:
        """Have the bucket: other tests of this process may have emptied all of moto."""
        if NAME not in self._backend.buckets:
            self._backend.create_bucket(NAME, REGION)

    @property
    def place(self) -> str:
        return f"s3://{NAME}"

    @property
    def settings(self) -> dict[str, str]:
        """The block `aws:` of a project."""
        return {"endpoint_url": f"http://127.0.0.1:{self._server.server_port}", "region": REGION}

    @contextmanager
    def trapped(self, prefix: str, instant: Instant, act: Callable[[], bool]) -> Iterator[Trap]:
        """Have `act` done in the thread of the request at the instant of a key below `prefix`; it may wait there."""
        trap = Trap(instant, f"{prefix}/{instant.file}", act)
        self._traps.append(trap)
        try:
            yield trap
        finally:
            self._traps.remove(trap)

    def put(self, folder: Path, prefix: str) -> None:
        """Make what is below `prefix` what `folder` holds."""
        self.clear(prefix)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self._backend.put_object(NAME, f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def fetch(self, prefix: str, folder: Path) -> None:
        """Write what is below `prefix` into an empty folder."""
        for key in self.keys(prefix):
            file = folder / key.removeprefix(f"{prefix}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._backend.get_object(NAME, key).value)

    def clear(self, prefix: str) -> None:
        """Delete what is below `prefix`, or everything."""
        for key in self.keys(prefix):
            self._backend.delete_object(NAME, key)

    def keys(self, prefix: str) -> list[str]:
        """Every key below `prefix`."""
        return [key for key in list(self._backend.buckets[NAME].keys) if not prefix or key.startswith(f"{prefix}/")]

    def close(self) -> None:
        """Close the port and empty the bucket."""
        self._server.shutdown()
        self._server.server_close()
        self.make()
        self.clear("")
        self._backend.delete_bucket(NAME)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call, keys = _asked(environ)
        now = [trap for trap in list(self._traps) if trap.is_now(call, keys)]
        if not all(trap.act() for trap in now if not trap.instant.after):
            start_response("503 Slow Down", [("Content-Length", "0")])
            return []
        answered: list[Any] = []
        body = [*self._app(environ, lambda *said: answered.append(said))]
        for trap in now:
            if trap.instant.after:
                trap.act()
        start_response(*answered[0])
        return body


def _asked(environ: dict[str, Any]) -> tuple[str, list[str]]:
    """What a request is about to do with which keys of the bucket."""
    key = unquote(environ["PATH_INFO"]).removeprefix(f"/{NAME}").removeprefix("/")
    if environ["REQUEST_METHOD"] != "POST":
        return {"PUT": "named", "GET": "read", "DELETE": "removed"}.get(environ["REQUEST_METHOD"], ""), [key]
    if "delete" not in environ.get("QUERY_STRING", ""):
        return "", []
    said = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(said)
    return "removed", re.findall(r"<Key>(.*?)</Key>", said.decode())


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the overridden name
        """Say nothing."""


def with_keys() -> None:
    """Give this process, and those that it starts, credentials that moto takes."""
    for name, value in KEYS.items():
        os.environ.setdefault(name, value)
