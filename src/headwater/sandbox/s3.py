"""S3 on 127.0.0.1: moto's server with one bucket, behind a check of every request's signature.

moto takes any credentials. In front of it a request with an unknown access key is refused with InvalidAccessKeyId, a
wrong signature with SignatureDoesNotMatch and none in the header with AccessDenied, each as the XML that S3 sends.
Buckets are addressed by path. moto keeps its buckets in module state, so there is one such stand-in in a process at a time.
"""

# ruff: noqa: S608 - queries are put together from the dataset's own

import hmac
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from xml.sax.saxutils import escape

import duckdb
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import S3Backend, s3_backends
from werkzeug.serving import BaseWSGIServer, make_server

from headwater.sandbox.credentials import remembered_secrets
from headwater.sandbox.ports import listening_socket
from headwater.sandbox.stand_in import Connection
from headwater.sandbox.visible import VersionedTable

_LOG = logging.getLogger(__name__)
_BUCKET, _REGION = "company-raw-data", "us-east-1"
_ALGORITHM = "AWS4-HMAC-SHA256"
_STOP_S = 10.0
_WRONG_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)


class S3StandIn:
    """The bucket `company-raw-data` with the files that the dataset shows at the clock."""

    name = "s3"

    def __init__(self, folder: Path, port: int | None) -> None:
        self._folder = folder
        self._port = port
        self._server: BaseWSGIServer | None = None

    def start(self, dataset: Path, at: datetime) -> Connection:
        """Put what is visible at `at` into an empty bucket; the key pair is made once."""
        secret = remembered_secrets(
            self._folder, access_key_id=f"AKIA{secrets.token_hex(8).upper()}", secret_access_key=""
        )
        self._objects = dataset / "s3" / "objects"
        self._table = VersionedTable(dataset / "s3" / "files.parquet", ("key",))
        self._backend: S3Backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._backend.reset()
        self._backend.create_bucket(_BUCKET, _REGION)
        self._put(self._table.at(at))
        checked = _SignatureCheck(DomainDispatcherApplication(create_backend_app), secret)
        listener = listening_socket(self._port)
        listener.listen()
        port = int(listener.getsockname()[1])
        self._server = make_server(
            "127.0.0.1", port, checked, threaded=True, request_handler=_QuietRequests, fd=listener.fileno()
        )
        listener.close()  # the server listens on a duplicate
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, name="s3-server", daemon=True)
        self._thread.start()
        return Connection(
            {"endpoint_url": f"http://127.0.0.1:{port}", "region": _REGION, "bucket": _BUCKET, "prefix": ""}, secret
        )

    def advance(self, after: datetime, until: datetime) -> None:
        """Put the files that appeared or changed in `(after, until]` and delete those that went."""
        self._put(self._table.changed(after, until))
        gone = f"{self._table.changed_keys(after, until)} EXCEPT SELECT key FROM ({self._table.at(until)})"
        for (key,) in _rows(gone):
            self._backend.delete_object(_BUCKET, key)

    def stop(self) -> None:
        """Close the port and empty the bucket."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_STOP_S)
        self._server = None
        self._backend.reset()

    def _put(self, query: str) -> None:
        for key, path in _rows(f"SELECT key, path FROM ({query})"):
            self._backend.put_object(_BUCKET, key, (self._objects / path).read_bytes())


class _SignatureCheck:
    """A WSGI application that passes on only what is signed with the one key pair (Signature Version 4)."""

    def __init__(self, app: Callable[..., Iterable[bytes]], secret: dict[str, str]) -> None:
        self._app = app
        self._credentials = Credentials(secret["access_key_id"], secret["secret_access_key"])

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        refusal = self._refusal(environ)
        _LOG.info("%s %s %s", environ["REQUEST_METHOD"], environ["RAW_URI"], refusal[0] if refusal else "")
        if refusal is None:
            return self._app(environ, start_response)
        code, message = refusal
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{escape(message)}</Message>'
            f"<RequestId>{secrets.token_hex(8).upper()}</RequestId></Error>"
        ).encode()
        start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _refusal(self, environ: dict[str, Any]) -> tuple[str, str] | None:
        """S3's code and message for a request that it refuses."""
        signed = _signature_of(environ)
        if signed is None:
            return "AccessDenied", "Access Denied"
        key, scope, names, signature = signed
        if key != self._credentials.access_key:
            return "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
        if not hmac.compare_digest(self._expected(environ, scope, names), signature):
            return "SignatureDoesNotMatch", _WRONG_SIGNATURE
        return None

    def _expected(self, environ: dict[str, Any], scope: str, names: list[str]) -> str:
        """The signature that the request has if it was made with our secret key."""
        _, region, service, _ = scope.split("/", 3)
        headers = {name: _header(environ, name) for name in names}
        path = environ["RAW_URI"].partition("?")[0]
        query = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        # what is signed has a space as %20, however the client spelled it in the address
        url = f"http://{environ['HTTP_HOST']}{path}?{urlencode(query, quote_via=quote, safe='-_.~')}"
        request = AWSRequest(environ["REQUEST_METHOD"], url, headers)
        request.context["timestamp"] = _header(environ, "x-amz-date")
        signer = S3SigV4Auth(self._credentials, service, region)
        canonical = signer.canonical_request(request)
        return str(signer.signature(signer.string_to_sign(request, canonical), request))


def _signature_of(environ: dict[str, Any]) -> tuple[str, str, list[str], str] | None:
    """Access key, scope, names of the signed headers and signature of a request; None if it is not signed."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    if not authorization.startswith(_ALGORITHM):
        return None
    parts = (part.partition("=") for part in authorization.removeprefix(_ALGORITHM).split(","))
    values = {name.strip(): value.strip() for name, _, value in parts}
    key, _, scope = values.get("Credential", "").partition("/")
    if scope.count("/") != 3 or "Signature" not in values:
        return None
    return key, scope, values.get("SignedHeaders", "").split(";"), values["Signature"]


def _header(environ: dict[str, Any], name: str) -> str:
    variable = name.upper().replace("-", "_")
    return str(environ.get(f"HTTP_{variable}", environ.get(variable, "")))


def _rows(query: str) -> list[tuple[str, ...]]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query).fetchall()


class _QuietRequests(MotoRequestHandler):
    """Requests are logged by the signature check, in our log."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the overridden name
        _LOG.log(logging.WARNING if type == "error" else logging.DEBUG, message, *args)
