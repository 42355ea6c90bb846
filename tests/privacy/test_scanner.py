"""The scanner finds a value in every kind of place that it claims to look into, and in a whole run with trouble nowhere but
where raw values may stand."""

import base64
import gzip
import html
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import CommitProperties, DeltaTable, write_deltalake
from tests.e2e.tiny import PROJECT, T0, T1, Lake
from tests.forked import headwater
from tests.privacy.people import EMAIL, FIRST, LAST, OLD_EMAIL, PERSON
from tests.privacy.scanner import files_of, found_in

from headwater import sandbox
from headwater.run.tables import RESTRICTED
from headwater.sandbox import Status

PASSWORD = "hunter2-planted-password"
PLANTED = (*PERSON, OLD_EMAIL)


def nested(value: str) -> pa.Table:
    inner = {"list": [None, {"a": [value]}], "map": [("k", "v")]}
    kind = pa.struct(
        [("list", pa.list_(pa.struct([("a", pa.list_(pa.string()))]))), ("map", pa.map_(pa.string(), pa.string()))]
    )
    return pa.table({"deep": pa.array([inner], kind)})


def delta(folder: Path, value: str, **options: object) -> Path:
    feed = {"delta.enableChangeDataFeed": "true"}
    properties = CommitProperties(custom_metadata={"headwater": json.dumps({"inputs": {"said": value}})})
    write_deltalake(folder, pa.table({"id": [1, 2], "name": [value, "b"]}), configuration=feed)
    DeltaTable(folder).update(updates={"name": "'gone'"}, predicate="id = 1", commit_properties=properties)
    return folder


def only(folder: Path, pattern: str) -> None:
    """Leave nothing of a folder but files of one kind."""
    for file in [each for each in folder.rglob("*") if each.is_file() and not each.match(pattern)]:
        file.unlink()


def plant(folder: Path, value: str, place: str) -> None:
    kinds: dict[str, Callable[[], object]] = {
        "a column of text": lambda: pq.write_table(pa.table({"a": ["x", value]}), folder / "a.parquet"),
        "a nested column": lambda: pq.write_table(nested(value), folder / "a.parquet"),
        "a column of bytes": lambda: pq.write_table(
            pa.table({"a": [b"\xff\xfe" + value.encode()]}), folder / "a.parquet"
        ),
        "metadata of a file": lambda: pq.write_table(
            pa.table({"a": [1]}).replace_schema_metadata({"said": value}), folder / "a.parquet"
        ),
        "bounds in a log": lambda: only(delta(folder, value), "*00000.json"),
        "metadata of a commit": lambda: only(delta(folder, value), "*00001.json"),
        "a change feed": lambda: only(delta(folder, value), "_change_data/*"),
        "a checkpoint": lambda: (
            write_deltalake(folder, pa.table({"name": [value]})),
            DeltaTable(folder).create_checkpoint(),
            only(folder, "*.checkpoint.parquet"),
        ),
        "an Arrow stream that broke off": lambda: (folder / "spill").write_bytes(stream(value)[:-8]),
        "a file compressed": lambda: (folder / "a.gz").write_bytes(gzip.compress(value.encode())),
        "the name of a file": lambda: (folder / f"{value}.txt").write_text("", encoding="utf-8"),
        "a line of a log": lambda: (folder / "a.log").write_text(f"ERROR it was {value.upper()}\n", encoding="utf-8"),
        "JSON in JSON": lambda: (folder / "a.json").write_text(
            json.dumps({"a": json.dumps({"b": escaped(value)})}), encoding="utf-8"
        ),
        "a URL": lambda: (folder / "a").write_text(f"/?q={quote(value, safe='')}", encoding="utf-8"),
        "a URL in a URL": lambda: (folder / "a").write_text(f"/?q={quote(quote(value, safe=''))}", encoding="utf-8"),
        "HTML": lambda: (folder / "a").write_text(html.escape(value).replace("@", "&#64;"), encoding="utf-8"),
        "base64 in JSON": lambda: (folder / "a").write_text(
            json.dumps({"h": base64.urlsafe_b64encode(f"key={value}".encode()).decode()}), encoding="utf-8"
        ),
    }
    kinds[place]()


def stream(value: str) -> bytes:
    sink, table = pa.BufferOutputStream(), pa.table({"a": pa.array([value]).dictionary_encode()})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def escaped(value: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in value)


PLACES = (
    *("a column of text", "a nested column", "a column of bytes", "metadata of a file", "bounds in a log"),
    *("metadata of a commit", "a change feed", "a checkpoint", "an Arrow stream that broke off", "a file compressed"),
    *("the name of a file", "a line of a log", "JSON in JSON", "a URL", "a URL in a URL", "HTML", "base64 in JSON"),
)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_planted_is_found(tmp_path: Path, place: str) -> None:
    plant(tmp_path, EMAIL, place)

    assert found_in(files_of(tmp_path), [EMAIL, "nobody@privacy.example"]).keys() == {EMAIL}


def test_a_whole_run_with_trouble_shows_nobody_outside_of_the_restricted_prefixes(
    sources: Status, tmp_path: Path
) -> None:
    """Masks of production; rejects and quarantine of every source, a gate that closes, a source that refuses us."""
    lake = troubled(sources, tmp_path)
    said = tmp_path / "said"
    said.mkdir()
    (tmp_path / "tmp").mkdir()

    def run(name: str, *command: str, code: int) -> None:
        made = headwater(*command, "--config", str(lake.config), cwd=lake.folder, TMPDIR=str(tmp_path / "tmp"))
        (said / name).write_text(made.stdout + made.stderr, encoding="utf-8")
        assert made.returncode == code, made.stdout + made.stderr

    sandbox.advance(sources.connections.parent, T0)
    run("first", "run", "--at", T0.isoformat(), "--json", code=0)
    sandbox.advance(sources.connections.parent, T1)
    run("gate", "run", "--at", T1.isoformat(), "--debug", "-v", code=2)
    secret = tmp_path / "wrong.json"
    secret.write_text(json.dumps({"user": "headwater", "password": PASSWORD}), encoding="utf-8")
    secret.chmod(0o600)
    with_wrong_password(lake, secret)
    run("refused", "run", "--at", T1.isoformat(), "--debug", "-v", code=2)
    for command in (("status",), ("runs",), ("runs", "show", "last"), ("describe", "customers"), ("vacuum",)):
        run("-".join(command), *command, "--debug", code=0)

    files = files_of(lake.folder / "lake", lake.folder / "state", said, tmp_path / "tmp")
    raw = {path: content for path, content in files.items() if path.removeprefix("lake/").startswith(RESTRICTED)}
    assert found_in({path: raw[path] for path in raw if path.startswith("lake/bronze/")}, PLANTED).keys() == set(
        PLANTED
    )
    for prefix in ("lake/rejects/", "lake/quarantine/"):
        assert EMAIL in found_in({path: raw[path] for path in raw if path.startswith(prefix)}, PLANTED), prefix
    elsewhere = found_in({path: content for path, content in files.items() if path not in raw}, (*PLANTED, PASSWORD))
    # A name within JSON is no contact: masks say that they leave it.
    assert {value: {path.split("/")[2] for path in paths} for value, paths in elsewhere.items()} == {
        FIRST: {"behavior"},
        LAST: {"behavior"},
    }


def troubled(sources: Status, folder: Path) -> Lake:
    """A lake with the masks of production, whose gate lets few refused visits pass."""
    key = folder / "masking.json"
    key.write_text(json.dumps({"key": "a-key-of-at-least-thirty-two-characters"}), encoding="utf-8")
    key.chmod(0o600)
    masking = yaml.safe_load((PROJECT / "config" / "prod.yaml").read_text(encoding="utf-8"))["masking"]
    masking["rules"]["pii:email"] = "tokenize"
    dq = {"tables": {"silver.behavior": {"refused": {"event_name:required": 0.15}}}}
    return Lake.beside(sources, folder / "lake", dq=dq, masking=masking, secrets={"masking": f"file:{key}"})


def with_wrong_password(lake: Lake, secret: Path) -> None:
    configured = yaml.safe_load(lake.config.read_text(encoding="utf-8"))
    configured["secrets"]["redshift"] = f"file:{secret}"
    lake.config.write_text(yaml.safe_dump(configured), encoding="utf-8")
