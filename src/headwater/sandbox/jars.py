"""The jars of the sandbox's Kafka broker: fetched once by the Ivy that pyspark ships, kept in the user's cache.

`kafka-<version>.jars` beside this file lists them with their checksums; nothing that differs from it is ever run.
"""

import hashlib
import importlib.util
import logging
import os
import re
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit
from xml.sax.saxutils import quoteattr

from headwater.errors import SandboxError
from headwater.sandbox.java import argument_file, authority_file, java, network_options
from headwater.sandbox.private_file import write_private

KAFKA = "kafka-4.3.1"
MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
REPOSITORY_VARIABLE = "HEADWATER_MAVEN_REPOSITORY"
_FETCH_TIMEOUT_S = 900
_log = logging.getLogger("headwater.sandbox")


@dataclass(frozen=True)
class Jar:
    """One file of a class path: where it comes from, and how to know it again."""

    organisation: str
    module: str
    revision: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the folder."""
        return f"{self.module}-{self.revision}.jar"

    def is_in(self, folder: Path) -> bool:
        """Whether `folder` holds exactly this file."""
        path = folder / self.file_name
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def kafka_jars(announce: Callable[[str], None] = _log.info) -> Path:
    """The folder with the broker's class path, each file verified; downloads what the cache lacks.

    Several processes may ask at once: each downloads into a folder of its own, and the first to finish wins.
    `announce` is told in words what is downloaded, and how large it is, before the download.

    Raises:
        SandboxError: the download failed, or a file is not the one that is listed.
    """
    wanted = listed(KAFKA)
    folder = cache_folder() / KAFKA
    if not _missing(wanted, folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    megabytes = sum(jar.size for jar in wanted) / 1e6
    announce(
        f"downloading Apache Kafka {KAFKA.removeprefix('kafka-')}: {len(wanted)} jars, {megabytes:.0f} MB, into {folder}"
    )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{KAFKA}-") as scratch:
        fetched = Path(scratch) / "jars"
        _fetch(wanted, fetched, Path(scratch))
        if wrong := _missing(wanted, fetched):
            raise SandboxError(
                f"{_repository_shown()} gave another file than listed for {', '.join(jar.file_name for jar in wrong)} "
                f"(SHA-256 differs): nothing was kept; check the repository named in {REPOSITORY_VARIABLE}"
            )
        _put_in_place(fetched, folder, wanted, Path(scratch))
    return folder


def listed(name: str) -> list[Jar]:
    """The jars that the committed list `<name>.jars` names."""
    lines = (resources.files("headwater.sandbox") / f"{name}.jars").read_text(encoding="utf-8").splitlines()
    jars = []
    for line in lines:
        if line and not line.startswith("#"):
            sha256, size, coordinates = line.split()
            organisation, module, revision = coordinates.split(":")
            jars.append(Jar(organisation, module, revision, int(size), sha256))
    return jars


def cache_folder() -> Path:
    """Where downloads are kept for all checkouts of this user."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "headwater"


def _missing(wanted: Iterable[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in wanted if not jar.is_in(folder)]


def _put_in_place(fetched: Path, folder: Path, wanted: Iterable[Jar], scratch: Path) -> None:
    """Give the whole folder its name at once; leave one that somebody else finished meanwhile."""
    if folder.exists() and _missing(wanted, folder):
        # a file was damaged or is missing: a broker that runs from it keeps the files that it has open
        folder.rename(scratch / "damaged")
    try:
        fetched.rename(folder)
    except OSError:
        if _missing(wanted, folder):
            raise


def _fetch(wanted: list[Jar], into: Path, scratch: Path) -> None:
    """Let Ivy download exactly the listed files: it resolves nothing, so no other file is asked for."""
    module, settings = scratch / "ivy.xml", scratch / "settings.xml"
    module.write_text(_ivy_module(wanted), encoding="utf-8")
    write_private(settings, _ivy_settings())
    command = [
        *network_options(scratch),
        "-jar",
        str(_ivy()),
        *("-settings", str(settings), "-ivy", str(module), "-cache", str(scratch / "ivy"), "-confs", "default"),
        *("-types", "jar", "-retrieve", str(into / "[artifact]-[revision].[ext]")),
    ]
    log = scratch / "log"
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [java(), argument_file(scratch / "arguments", command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_FETCH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SandboxError(f"{_repository_shown()} did not answer in time: {_how_to_reach()}") from error
    if done.returncode != 0 or len(list(into.glob("*.jar"))) < len(wanted):
        raise SandboxError(
            f"the jars could not be fetched from {_repository_shown()} ({_cause(log)}): {_how_to_reach()}"
        )


def _ivy() -> Path:
    spec = importlib.util.find_spec("pyspark")
    jars = Path(spec.origin).parent / "jars" if spec and spec.origin else Path()
    found = sorted(jars.glob("ivy-*.jar"))
    if not found:
        raise SandboxError(f"no ivy-*.jar under {jars}: reinstall pyspark")
    return found[-1]


def _ivy_module(wanted: Iterable[Jar]) -> str:
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.organisation)} name={quoteattr(jar.module)} rev={quoteattr(jar.revision)} "
        'transitive="false" conf="default->default"/>'
        for jar in wanted
    )
    return (
        '<ivy-module version="2.0"><info organisation="headwater" module="sandbox"/>'
        f'<configurations><conf name="default"/></configurations><dependencies>{dependencies}</dependencies></ivy-module>'
    )


def _ivy_settings() -> str:
    address, user, password = _repository()
    login = ""
    if user:
        host, realm = quoteattr(urlsplit(address).hostname or ""), quoteattr(_realm(address))
        login = f"<credentials realm={realm} host={host} username={quoteattr(user)} passwd={quoteattr(password)}/>"
    return (
        f'<ivysettings><settings defaultResolver="maven"/>{login}<resolvers><ibiblio name="maven" m2compatible="true" '
        f'usepoms="false" useMavenMetadata="false" root={quoteattr(address)}/></resolvers></ivysettings>'
    )


def _realm(address: str) -> str:
    """What a private repository calls the place that its password opens: Ivy gives a password to no other."""
    import httpx

    try:
        answer = httpx.get(f"{address}/", verify=ssl.create_default_context(cafile=authority_file()))
    except httpx.HTTPError as error:
        raise SandboxError(f"{address} did not answer ({type(error).__name__}): {_how_to_reach()}") from error
    found = re.search(r'realm="([^"]*)"', answer.headers.get("WWW-Authenticate", ""), re.IGNORECASE)
    return found[1] if found else ""


def _repository() -> tuple[str, str, str]:
    """The Maven repository's address without its login, and the login."""
    parts = urlsplit(os.environ.get(REPOSITORY_VARIABLE) or MAVEN_CENTRAL)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare), unquote(parts.username or ""), unquote(parts.password or "")


def _repository_shown() -> str:
    return _repository()[0]


def _how_to_reach() -> str:
    return (
        f"check the network; a proxy is named by HTTPS_PROXY, a private Maven repository by {REPOSITORY_VARIABLE}, "
        "your own certificate authority by SSL_CERT_FILE"
    )


def _cause(log: Path) -> str:
    """The line of Ivy's log that says why, as far as it can be told."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    for sign in ("Exception", "Server access", "unauthorized", "not found", "ERROR"):
        for line in lines:
            if sign.lower() in line.lower():
                return line.strip(": !")[:200]
    return lines[-1][:200] if lines else "no output"
