#!/usr/bin/env python3
"""Put everything that `uv.lock` names into `.venv`, once; needs nothing but a Python from 3.11 to 3.13.

uv is used where it is installed, else it is put into `.uv/` by pip, or where there is no pip straight from the
package index. Proxies (HTTPS_PROXY), company CAs (SSL_CERT_FILE, PIP_CERT, REQUESTS_CA_BUNDLE) and a private index
(UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL, pip's or uv's own configuration) are honoured. It can be stopped at
any moment and called again.
"""

import base64
import hashlib
import io
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

_PROJECT = Path(__file__).resolve().parents[2]
_VENV = _PROJECT / ".venv"
_OWN_UV = _PROJECT / ".uv"
_STAMP = _VENV / "headwater-setup.json"
_UV_VERSION = "0.9.0"
"""The oldest uv that reads our lock file."""
_PUBLIC_INDEX = "https://pypi.org/simple"
_DISK_PER_DOWNLOAD = 2.1
"""How much larger the packages are once unpacked, as measured."""


class SetupFailed(Exception):
    """Says what to do about it."""


def main() -> None:
    os.chdir(_PROJECT)
    wanted = _wanted()
    if _is_done(wanted):
        return
    uv = _find_uv() or _install_uv()
    _announce()
    _repair()
    index = _private_index()
    environment = _environment(index)
    if index is None:
        _call([uv, "sync", *_quietly(), "--frozen", "--all-extras", "--python", sys.executable], environment)
    else:
        _install_from(index, uv, environment)
    _STAMP.write_text(json.dumps(wanted))
    print("done: the environment is in .venv", file=sys.stderr)


def _wanted() -> dict[str, str]:
    """What decides what is in the environment."""
    files = (_PROJECT / "uv.lock", _PROJECT / "pyproject.toml")
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files} | {"project": str(_PROJECT)}


def _is_done(wanted: dict[str, str]) -> bool:
    try:
        return json.loads(_STAMP.read_text()) == wanted and (_VENV / "bin" / "python").exists()
    except (OSError, ValueError):
        return False


def _repair() -> None:
    """Remove an environment whose Python is gone, or too old or new: nothing can be put into it."""
    python = _VENV / "bin" / "python"
    if _VENV.exists() and not _is_supported(python):
        print("removing .venv: its Python does not run, or is not 3.11 to 3.13", file=sys.stderr)
        shutil.rmtree(_VENV)


def _is_supported(python: Path) -> bool:
    asks = "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))"
    try:
        return subprocess.run([python, "-c", asks], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _environment(index: str | None) -> dict[str, str]:
    """Ours, with what pip users set passed on to uv."""
    environment = dict(os.environ)
    environment.pop("VIRTUAL_ENV", None)  # another environment that happens to be active is not ours to fill
    environment["UV_PROJECT_ENVIRONMENT"] = str(_VENV)
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if "SSL_CERT_FILE" not in environment and (bundle := environment.get(variable)):
            environment["SSL_CERT_FILE"] = bundle
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    environment.setdefault("UV_HTTP_TIMEOUT", environment.get("PIP_DEFAULT_TIMEOUT", "120"))
    if environment.get("PYTHONDONTWRITEBYTECODE"):
        environment.setdefault("UV_COMPILE_BYTECODE", "1")  # else every process would compile half a gigabyte anew
    if index is not None:
        environment["UV_DEFAULT_INDEX"] = index
    return environment


def _find_uv() -> str | None:
    """A uv that runs and is new enough: the one on the PATH, or ours."""
    for candidate in (shutil.which("uv"), str(_OWN_UV / "bin" / "uv")):
        if candidate is None:
            continue
        try:
            said = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
        except OSError:
            continue
        if (version := re.match(r"uv (\d+)\.(\d+)\.(\d+)", said)) and _ordered(version.group(0)[3:]) >= _ordered(
            _UV_VERSION
        ):
            return candidate
    return None


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _install_uv() -> str:
    """Put uv into `.uv/`, by pip if there is one; pip's own configuration then holds."""
    print("uv is not installed here (or too old): getting it into .uv (about 20 MB)", file=sys.stderr)
    requirement = f"uv>={_UV_VERSION}"
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0:
        _call(
            [*pip, "install", "--quiet", "--upgrade", "--target", str(_OWN_UV), requirement],
            os.environ | {"PIP_ROOT_USER_ACTION": "ignore"},
        )
    else:
        _unpack_uv()
    uv = _find_uv()
    if uv is None:
        raise SetupFailed("uv was put into .uv, but does not run there; install uv yourself: https://docs.astral.sh/uv")
    return uv


def _unpack_uv() -> None:
    """Without pip: the newest wheel of uv for this machine, from the index, checked against the index's hash."""
    index = _private_index() or _PUBLIC_INDEX
    page_url = f"{index.rstrip('/')}/uv/"
    page = _fetch(page_url).decode()
    links = re.findall(r'href="([^"]+/(uv-([\d.]+)-py3-none-([\w.]+)\.whl)#sha256=([0-9a-f]{64}))"', page)
    fitting = [(_ordered(version), link, sha256) for link, _, version, tag, sha256 in links if _fits(tag)]
    if not fitting:
        raise SetupFailed(
            f"{_without_login(index)} has no uv for {platform.machine()}; install uv yourself, then: make setup"
        )
    _, link, sha256 = max(fitting)
    wheel = _fetch(urljoin(page_url, link.replace("&amp;", "&")))
    if hashlib.sha256(wheel).hexdigest() != sha256:
        raise SetupFailed(
            f"the uv from {_without_login(index)} is not the file that the index lists; nothing was installed"
        )
    binary = _OWN_UV / "bin" / "uv"
    binary.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
        partial = binary.with_name("uv.part")
        partial.write_bytes(archive.read(name))
    partial.chmod(0o755)
    partial.rename(binary)


def _fits(tag: str) -> bool:
    """Whether a platform tag is this machine's; statically linked Linux binaries run under every C library."""
    machine = {"AMD64": "x86_64", "aarch64": "aarch64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    if sys.platform == "darwin":
        return tag.startswith("macosx") and tag.endswith((machine, "universal2"))
    is_glibc = platform.libc_ver()[0] == "glibc"
    return tag.endswith(machine) and ("manylinux" if is_glibc else "musllinux") in tag


def _fetch(url: str) -> bytes:
    """GET over proxies and CAs as set in the environment; a login in the URL becomes a header."""
    parts = urlsplit(url)
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    bundle = next(filter(None, map(os.environ.get, ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"))), None)
    try:
        with urllib.request.urlopen(request, timeout=120, context=ssl.create_default_context(cafile=bundle)) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise SetupFailed(
            f"there is neither uv nor pip, and {_without_login(url)} did not give uv ({reason}); set HTTPS_PROXY, SSL_CERT_FILE "
            "or UV_DEFAULT_INDEX if your network needs them, or install uv yourself: https://docs.astral.sh/uv"
        ) from error


def _private_index() -> str | None:
    """The index that stands in for PyPI, as environment, uv's or pip's configuration say; None for PyPI itself."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if url := os.environ.get(variable):
            return _if_private(url)
    configured = _uv_index() or _pip_index()
    return _if_private(configured) if configured else None


def _if_private(url: str) -> str | None:
    named = re.fullmatch(r"[\w-]+=(\w+://.*)", url)  # uv's own NAME=URL
    url = named[1] if named else url
    return None if urlsplit(url).hostname == urlsplit(_PUBLIC_INDEX).hostname else url


def _uv_index() -> str | None:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for file in (Path(os.environ.get("UV_CONFIG_FILE", "/nowhere")), home / "uv" / "uv.toml", Path("/etc/uv/uv.toml")):
        if not file.is_file():
            continue
        settings = tomllib.loads(file.read_text())
        listed = [each["url"] for each in settings.get("index", []) if each.get("default")]
        if url := next(iter(listed), None) or settings.get("index-url"):
            return str(url)
    return None


def _pip_index() -> str | None:
    asks = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    answer = subprocess.run(asks, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _install_from(index: str, uv: str, environment: dict[str, str]) -> None:
    """The same versions and hashes from a private index: the lock file's own URLs point to the public one."""
    print(f"from {_without_login(index)}", file=sys.stderr)
    _OWN_UV.mkdir(exist_ok=True)
    requirements = _OWN_UV / "requirements.txt"
    export = [
        uv,
        "export",
        "--quiet",
        "--frozen",
        "--all-extras",
        "--no-emit-project",
        "--output-file",
        str(requirements),
    ]
    _call(export, environment)
    python = _VENV / "bin" / "python"
    if not python.exists():
        _call([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(_VENV)], environment)
    target = ["--python", str(python)]
    _call([uv, "pip", "sync", *_quietly(), *target, "--require-hashes", str(requirements)], environment)
    _call([uv, "pip", "install", "--quiet", *target, "--no-deps", "--editable", str(_PROJECT)], environment)


def _announce() -> None:
    packages, size = _download()
    print(
        f"installing {packages} packages into .venv: at most {size / 1e6:.0f} MB to download (less what uv has cached), "
        f"about {size * _DISK_PER_DOWNLOAD / 1e9:.1f} GB on disk",
        file=sys.stderr,
    )


def _download() -> tuple[int, int]:
    """The packages of the lock file, and the bytes of the files that this machine needs of them."""
    locked = tomllib.loads((_PROJECT / "uv.lock").read_text())["package"]
    sizes = []
    for package in locked:
        files = [each for each in package.get("wheels", []) if _installs(each["url"].rsplit("/", 1)[1])]
        if "wheels" not in package and "sdist" in package:
            files = [package["sdist"]]
        if files:
            sizes.append(max(each.get("size", 0) for each in files))
    return len(sizes), sum(sizes)


def _installs(wheel: str) -> bool:
    """Roughly whether a wheel is for this machine and Python; good enough for a size."""
    python, abi, tag = wheel.removesuffix(".whl").split("-")[-3:]
    ours = f"cp3{sys.version_info.minor}"
    return (tag == "any" or _fits(tag)) and ("py3" in python or ours in python or "abi3" in abi) and abi != f"{ours}t"


def _quietly() -> list[str]:
    """uv shows its progress on a terminal; elsewhere it would only list every package."""
    return [] if sys.stderr.isatty() else ["--quiet"]


def _call(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode < 0 or done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode != 0:
        raise SetupFailed(f"{Path(command[0]).name} failed, as it says above; when that is mended: make setup")


if __name__ == "__main__":
    try:
        main()
    except SetupFailed as failed:
        sys.exit(f"setup: {failed}")
    except KeyboardInterrupt:
        print("setup: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
