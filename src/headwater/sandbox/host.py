"""The sandbox's host: one process that runs all stand-ins of a dataset. Started by `headwater.sandbox.up`.

    python -m headwater.sandbox.host FOLDER DATASET DATASET-FOLDER

It describes itself in `host.json`, takes `advance` on its control port, and ends on SIGTERM or when its folder is gone.
"""

import hmac
import importlib
import json
import logging
import os
import re
import secrets
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import yaml

from headwater.errors import SandboxError
from headwater.sandbox.datasets.folder import absent_tables
from headwater.sandbox.private_file import write_private
from headwater.sandbox.record import Host, Process, Record, note_children
from headwater.sandbox.stand_in import Connection, StandIn, log_file

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STAND_INS = {
    "kafka": ("kafka", "headwater.sandbox.kafka", "KafkaStandIn"),
    "redshift": ("redshift", "headwater.sandbox.redshift", "RedshiftStandIn"),
    "snowflake": ("snowflake", "headwater.sandbox.snowflake", "SnowflakeStandIn"),
    "s3": ("s3", "headwater.sandbox.s3", "S3StandIn"),
    "salesforce": ("salesforce", "headwater.sandbox.salesforce", "SalesforceStandIn"),
    "fx_vendor": ("fx", "headwater.sandbox.fx", "FxStandIn"),
}
"""By name: the folder of a dataset that it shows, its module and its class. Those with processes of their own first."""

_LOG = logging.getLogger("headwater.sandbox.host")
_NOTE_CHILDREN_S = 0.25
_LOOK_S = 2.0
_KEPT_LOG_BYTES = 20_000_000


class _Sandbox:
    """The stand-ins of one dataset and the record of them."""

    def __init__(self, folder: Path, key: str, dataset: Path) -> None:
        self.record = Record(folder)
        self.stopping = threading.Event()
        self._me = psutil.Process()
        self._dataset = dataset
        self._key = key
        self._stand_ins: dict[str, StandIn] = {}
        self._connections: dict[str, Connection] = {}
        self._writing = threading.Lock()
        self._moving = threading.Lock()
        wanted = tuple(name for name, (part, *_) in STAND_INS.items() if (dataset / part).is_dir())
        self._host = Host(Process.of(self._me), self._key, waiting=wanted, token=secrets.token_urlsafe(24))
        self._write()

    def start(self) -> None:
        """Start all stand-ins at once; the first failure, told as it is, ends the wait."""
        at = self.record.clock(self._key)
        if at is None:
            raise SandboxError("the sandbox has no clock; start it with `headwater sandbox up`")
        with ThreadPoolExecutor(len(STAND_INS), thread_name_prefix="start") as pool:
            starting = [pool.submit(self._start_one, name, at) for name in self._host.waiting]
            self._wait(starting)
        for each in starting:
            each.result()
        if self.stopping.is_set():
            return
        self._write_connections()
        self.record.write_ports(self._host.sources)

    def ready(self, control_port: int) -> None:
        """Say that everything answers."""
        self._write(state="ready", control_port=control_port)

    def failed(self, problem: str) -> None:
        """Say why it does not."""
        self._write(state="failed", problem=problem)

    def advance(self, until: datetime) -> datetime:
        """Move the clock to `until`, and every source with it; an instant that has passed changes nothing.

        The clock is written down first: should a source fail to follow, the next `up` shows all of them at `until`,
        and no source ever shows an earlier time than it did before.
        """
        with self._moving:
            after = self.record.clock(self._key)
            if after is None or self._host.problem or self.stopping.is_set():
                raise SandboxError(self._host.problem or "the sandbox is stopping")
            if until <= after:
                return after
            self.record.write_clock(self._key, until)
            with ThreadPoolExecutor(len(self._stand_ins) or 1, thread_name_prefix="advance") as pool:
                moving = {name: pool.submit(each.advance, after, until) for name, each in self._stand_ins.items()}
            failures = {name: error for name, each in moving.items() if (error := each.exception())}
            if failures:
                for name, error in failures.items():
                    logging.getLogger(f"headwater.sandbox.{name}").error("advance failed", exc_info=error)
                problem = (
                    f"{', '.join(failures)} did not follow the clock to {until.isoformat()}; {self.record.logs} says why. "
                    "Run `headwater sandbox down` and `headwater sandbox up`, which shows every source at that time"
                )
                self._write(problem=problem)
                raise SandboxError(problem)
            _LOG.info("the clock is at %s", until.isoformat())
            return until

    def stop(self) -> None:
        """Stop all stand-ins at once; a failure of one keeps no other from stopping."""
        with self._moving, ThreadPoolExecutor(len(STAND_INS), thread_name_prefix="stop") as pool:
            stopping = {name: pool.submit(each.stop) for name, each in self._stand_ins.items()}
        for name, each in stopping.items():
            if error := each.exception():
                logging.getLogger(f"headwater.sandbox.{name}").error("stop failed", exc_info=error)

    def wanted(self) -> bool:
        """Whether the folder still names this process as its host."""
        host = self.record.host()
        return host is not None and host.process == self._host.process

    @property
    def token(self) -> str:
        return self._host.token

    def _start_one(self, name: str, at: datetime) -> None:
        _, module, class_name = STAND_INS[name]
        folder = self.record.folder / name
        folder.mkdir(exist_ok=True)
        log = log_file(folder)
        logger = logging.getLogger(module)
        _log_to(logger, log)
        try:
            stand_in: StandIn = getattr(importlib.import_module(module), class_name)(folder, self.record.port(name))
            self._stand_ins[name] = stand_in
            connection = stand_in.start(self._dataset, at)
        except SandboxError:
            raise
        except Exception as error:  # what a server or its library may raise is not ours to list
            logger.exception("start failed")
            raise SandboxError(f"{name} did not start: {error}; {log} says more") from error
        with self._writing:
            self._connections[name] = connection
            self._host = replace(
                self._host,
                sources={**self._host.sources, name: _port_of(connection)},
                waiting=tuple(each for each in self._host.waiting if each != name),
            )
            self.record.write_host(self._host)
        _LOG.info("%s is up", name)

    def _wait(self, starting: Sequence[Future[None]]) -> None:
        """Wait for all, or for the first failure, and write down meanwhile which processes they start."""
        while True:
            done, pending = wait(starting, _NOTE_CHILDREN_S)
            self._write()
            failure = next((error for each in done if (error := each.exception())), None)
            if failure is not None:
                raise failure
            if not pending:
                return

    def _write(self, **changes: Any) -> None:
        with self._writing:
            self._host = replace(note_children(self._host, self._me), **changes)
            self.record.write_host(self._host)

    def _write_connections(self) -> None:
        """Write what the configuration reads: settings and secrets of the sources, and which sources and tables are not here."""
        secret_files = {name: self.record.folder / "secrets" / f"{name}.json" for name in self._connections}
        for name, file in secret_files.items():
            write_private(file, json.dumps(self._connections[name].secret, indent=2) + "\n")
        document = {
            "data_sources": {
                name: dict(self._connections[name].settings) if name in self._connections else {"enabled": False}
                for name in STAND_INS
            },
            "secrets": {name: f"file:{file.absolute()}" for name, file in secret_files.items()},
            "tables": {name: {"enabled": False} for name in absent_tables(self._dataset)},
        }
        heading = "# Written by `headwater sandbox up`: where the stand-ins of the six sources are.\n"
        write_private(self.record.connections, heading + yaml.safe_dump(document, sort_keys=False))


def _port_of(connection: Connection) -> int:
    """The port in a connection's settings, however they spell the address."""
    if "port" in connection.settings:
        return int(connection.settings["port"])
    for value in connection.settings.values():
        if match := re.search(r"(?:127\.0\.0\.1|localhost):(\d+)", str(value)):
            return int(match[1])
    return 0


def _control(sandbox: _Sandbox) -> Any:
    """The application on the control port; whoever asks must have read the token from `host.json`."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def advance(request: "Request") -> "Response":
        offered = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(offered.encode(), sandbox.token.encode()):
            return JSONResponse({"error": "wrong token"}, status_code=401)
        until = datetime.fromisoformat((await request.json())["until"])
        try:
            clock = await run_in_threadpool(sandbox.advance, until)
        except SandboxError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return JSONResponse({"clock": clock.isoformat()})

    return Starlette(routes=[Route("/advance", advance, methods=["POST"])])


def _run(sandbox: _Sandbox) -> None:
    """Start, serve until told to stop, stop; whatever happens, nothing that was started stays."""
    from headwater.sandbox.serving import AsgiServer

    control: AsgiServer | None = None
    try:
        sandbox.start()
        control = AsgiServer(_control(sandbox), sandbox.record.port("control"), "control")
        control.start()
        sandbox.record.write_ports({"control": control.port})
        sandbox.ready(control.port)
        while not sandbox.stopping.wait(_LOOK_S):
            if not sandbox.wanted():
                _LOG.warning("the sandbox's folder was removed or given to another host: stopping")
                break
    finally:
        sandbox.stopping.set()
        sandbox.stop()
        if control is not None:
            control.stop()


def main(folder: Path, key: str, dataset: Path) -> int:
    """Be the host of `folder` until told to stop; `key` is how its record calls the dataset."""
    with suppress(OSError):
        os.setsid()  # Ctrl-C in the terminal of `up` is not for us
    _log_to_stderr()
    sys.meta_path.insert(0, _WithoutPandas())
    sandbox = _Sandbox(folder, key, dataset)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: sandbox.stopping.set())
    try:
        _run(sandbox)
    except SandboxError as error:
        sandbox.failed(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the outermost door: who waits in `up` has to be told
        traceback.print_exc()
        sandbox.failed(f"the sandbox's host failed: {error!r}; {sandbox.record.logs / 'host.log'} says where")
        return 1
    return 0


class _WithoutPandas:
    """Lets `import pandas` fail in this process: Snowflake's connector would load it, 1.5 s and 60 MB for nothing."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("the sandbox's host does without pandas", name=name)


def _log_to(logger: logging.Logger, file: Path) -> None:
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    if file.stat().st_size > _KEPT_LOG_BYTES:
        os.truncate(file, 0)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _log_to_stderr() -> None:
    """`up` has pointed standard error at the host's log."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("headwater").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
