"""Kafka's jars, fetched by Ivy from a Maven repository on this machine."""

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headwater.errors import SandboxError
from headwater.sandbox import jars
from headwater.sandbox.jars import KAFKA, Jar, kafka_jars, listed

pytestmark = pytest.mark.slow

LOGIN = "reader:s3cret/@"


@pytest.fixture(scope="module")
def real() -> Path:
    """The user's own cache, filled if it is not."""
    return kafka_jars()


@contextmanager
def repository(content: dict[str, bytes], login: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """A Maven repository; gives its address and the paths that were asked for."""
    asked: list[str] = []
    expected = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = content.get(self.path)
            if expected and self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="Some Repository Manager"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            asked.append(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET  # noqa: N815 - http.server's spelling

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def path_of(jar: Jar) -> str:
    return f"/{jar.organisation.replace('.', '/')}/{jar.module}/{jar.revision}/{jar.file_name}"


@pytest.fixture
def few(real: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Three small jars instead of all, an empty cache, and the repository's content."""
    wanted = [jar for jar in listed(KAFKA) if jar.module in ("jspecify", "kafka-tools-api", "slf4j-api")]
    monkeypatch.setattr(jars, "listed", lambda _name: wanted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return {path_of(jar): (real / jar.file_name).read_bytes() for jar in wanted}


def test_the_list_names_a_whole_broker() -> None:
    wanted = listed(KAFKA)
    assert {jar.file_name for jar in wanted} > {
        "kafka_2.13-4.3.1.jar",
        "kafka-clients-4.3.1.jar",
        "log4j-core-2.25.5.jar",
    }
    assert len({jar.file_name for jar in wanted}) == len(wanted)
    assert all(len(jar.sha256) == 64 for jar in wanted)


def test_two_checkouts_fetch_at_once_from_a_private_repository_with_a_password(
    few: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    with repository(few, LOGIN) as (address, asked):
        monkeypatch.setenv("HEADWATER_MAVEN_REPOSITORY", f"http://reader:s3cret%2F%40@{address}")
        with ThreadPoolExecutor(2) as both:
            folders = [each.result() for each in [both.submit(kafka_jars, said.append) for _ in range(2)]]
        before = len(asked)
        assert kafka_jars(said.append) == folders[0]
    assert folders == [tmp_path / "cache" / "headwater" / KAFKA] * 2
    assert sorted(path.name for path in folders[0].iterdir()) == sorted(path.rpartition("/")[2] for path in few)
    assert [path.name for path in folders[0].parent.iterdir()] == [KAFKA], "nothing else is left behind"
    assert len(asked) == before, "what is in the cache is not asked for again"
    assert len(said) == 2
    assert "3 jars, 0 MB" in said[0]


def test_a_damaged_jar_in_the_cache_is_fetched_again(few: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with repository(few) as (address, _):
        monkeypatch.setenv("HEADWATER_MAVEN_REPOSITORY", f"http://{address}")
        folder = kafka_jars()
        jar = folder / "slf4j-api-1.7.36.jar"
        whole = jar.read_bytes()
        jar.write_bytes(whole[:-1] + b"x")
        assert kafka_jars() == folder
    assert jar.read_bytes() == whole


def test_a_jar_that_is_not_the_listed_one_is_never_kept(
    few: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forged = {path: b"forged" if "slf4j" in path else body for path, body in few.items()}
    with repository(forged, LOGIN) as (address, _):
        monkeypatch.setenv("HEADWATER_MAVEN_REPOSITORY", f"http://reader:s3cret%2F%40@{address}")
        with pytest.raises(SandboxError, match=r"slf4j-api-1\.7\.36\.jar \(SHA-256 differs\)") as error:
            kafka_jars()
    assert "s3cret" not in str(error.value)
    assert list((tmp_path / "cache" / "headwater").iterdir()) == []


def test_what_cannot_be_reached_is_told_with_the_way_out(
    few: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with repository({}) as (address, _):
        monkeypatch.setenv("HEADWATER_MAVEN_REPOSITORY", f"http://{address}")
        with pytest.raises(
            SandboxError, match=r"could not be fetched from http://127\.0\.0\.1.*HTTPS_PROXY.*SSL_CERT_FILE"
        ):
            kafka_jars()
    assert list((tmp_path / "cache" / "headwater").iterdir()) == []


def test_a_proxy_is_used(few: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    through = {f"http://maven.invalid/repo{path}": body for path, body in few.items()}
    with repository(through) as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        monkeypatch.setenv("HEADWATER_MAVEN_REPOSITORY", "http://maven.invalid/repo")
        kafka_jars()
    assert set(through) <= set(asked)


def test_an_authority_file_that_is_missing_or_empty_is_told(
    few: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SandboxError, match=r"SSL_CERT_FILE names .*none\.pem, which is not a file"):
        kafka_jars()
    (tmp_path / "empty.pem").write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    with pytest.raises(SandboxError, match="holds no certificate"):
        kafka_jars()
