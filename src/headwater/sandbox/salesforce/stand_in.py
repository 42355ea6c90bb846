"""Salesforce's stand-in on 127.0.0.1."""

from datetime import datetime
from pathlib import Path

from headwater.errors import SandboxError
from headwater.sandbox.certificates import server_certificate
from headwater.sandbox.credentials import remembered_secrets
from headwater.sandbox.http_clock import SandboxClock
from headwater.sandbox.salesforce.org import Org
from headwater.sandbox.salesforce.server import SalesforceServer
from headwater.sandbox.serving import AsgiServer
from headwater.sandbox.stand_in import Connection, log_file

API_VERSION = "64.0"


class SalesforceStandIn:
    """One organisation with two doors: HTTP, and HTTPS with a certificate of `authority` for clients that insist on it.

    `simple-salesforce` is one that does. Both doors know the same tokens and show the same records.
    """

    name = "salesforce"

    def __init__(self, folder: Path, port: int | None) -> None:
        """Keep secrets and certificate in `folder`."""
        self._folder = folder
        self._port = port
        self._dataset = Path()
        self._server: SalesforceServer | None = None
        self._doors: list[AsgiServer] = []
        self.authority: Path | None = None
        self.https_url: str | None = None

    def start(self, dataset: Path, at: datetime) -> Connection:
        """Open both doors on the records that `dataset` shows at `at`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._dataset = dataset
        secret = remembered_secrets(
            self._folder, client_id="", client_secret="", username="etl@headwater.example", password=""
        )
        self._server = SalesforceServer(Org(dataset, at), secret)
        app = SandboxClock(self._server.app, self._server.clock, log_file(self._folder))
        certificate = server_certificate(self._folder)
        self.authority = certificate.authority
        http = self._open(AsgiServer(app, self._port, self.name, date_header=False))
        https = self._open(
            AsgiServer(
                app,
                self._remembered_https_port(),
                f"{self.name}-https",
                date_header=False,
                ssl_certfile=str(certificate.server),
                ssl_keyfile=str(certificate.server),
            )
        )
        self._https_port_file.write_text(f"{https.port}\n", encoding="utf-8")
        self.https_url = f"https://127.0.0.1:{https.port}"
        return Connection({"login_url": f"http://127.0.0.1:{http.port}", "api_version": API_VERSION}, secret)

    def advance(self, after: datetime, until: datetime) -> None:  # noqa: ARG002 - another instant is another organisation
        """Show the records of `until`; queries and jobs begun before keep what they found."""
        if self._server is None:
            raise SandboxError("Salesforce's stand-in does not run: `headwater sandbox up` starts it")
        self._server.org = Org(self._dataset, until)

    def stop(self) -> None:
        """Close both doors."""
        for door in self._doors:
            door.stop()
        self._doors.clear()
        if self._server is not None:
            self._server.jobs.stop()
            self._server = None

    def _open(self, door: AsgiServer) -> AsgiServer:
        self._doors.append(door)
        door.start()
        return door

    @property
    def _https_port_file(self) -> Path:
        return self._folder / "https.port"

    def _remembered_https_port(self) -> int | None:
        return int(self._https_port_file.read_text(encoding="utf-8")) if self._https_port_file.is_file() else None
