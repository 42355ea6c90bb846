"""Files below a table that no version names: what a writer that died left, and what was replaced."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from headwater.engine.delta import open_table
from headwater.engine.files import Files, files_below
from headwater.engine.protocol import Attempt, File, Table
from headwater.object_store import Place

_LOG = "_delta_log"
_LAST_COMMITS = 16
_AT_ONCE = 16
_ENTRY = re.compile(rf"{_LOG}/(\d{{20}})\.json")
_DRAFT = re.compile(r"#\d+$")
"""How the name of a file ends that delta-rs or Sail has not finished, on this machine."""


@dataclass
class _Named:
    """The paths that some versions name, and the lowest version of the table's application among their commits."""

    paths: set[str] = field(default_factory=set)
    lowest: int | None = None


def sweep(place: Place, table: Table, ended: Attempt, below: Sequence[str]) -> list[File]:
    """Remove what dead attempts staged: see the engine's verb."""
    files = files_below(place)
    dead = []
    for folder in (each for parent in below for each in files.folders(parent)):
        attempt = Attempt.of(folder.rpartition("/")[2])
        if attempt and (attempt.run_id == ended.run_id or attempt.first <= ended.first):
            dead.append((attempt, folder))
    handle = open_table(place) if dead else None
    if handle is None:
        return []
    standing = _standing(handle)
    suspects = [(attempt, file) for attempt, folder in dead for file in files.listed(folder)]
    suspects = [(attempt, file) for attempt, file in suspects if file.path not in standing]
    removed = []
    if suspects:
        first = 0 if table.append_only else handle.version() - _LAST_COMMITS + 1
        named = _named(place, table, range(max(0, first), handle.version() + 1))
        lowest = 0 if first <= 0 or named.lowest is None else named.lowest
        removed = [file for attempt, file in suspects if attempt.first >= lowest and file.path not in named.paths]
        files.remove(file.path for file in removed)
    for _, folder in dead:
        files.prune(folder)
    return removed


def vacuum(
    place: Place, table: Table, since: datetime, given_up: Callable[[File], bool], *, dry_run: bool
) -> list[File]:
    """Remove what no version since an instant names: see the engine's verb."""
    files = files_below(place)
    handle = open_table(place)  # before the files are listed: who commits now stages under a name that is spared
    listed = [file for file in files.listed("") if not file.path.startswith(f"{_LOG}/") or _DRAFT.search(file.path)]
    kept, before = set[str](), set[str]()
    if handle is not None:
        oldest = _oldest_kept(files, since)
        kept = _standing(handle) | _named(place, table, range(oldest, handle.version() + 1)).paths
        before = _named(place, table, range(oldest)).paths
    unnamed = (file for file in listed if file.path not in kept)
    removed = [file for file in unnamed if file.path in before or given_up(file)]
    if not dry_run:
        files.remove(file.path for file in removed)
        files.prune("")
    return removed


def _standing(handle: DeltaTable) -> set[str]:
    """The paths that a version names."""
    return {unquote(path) for path in pa.table(handle.get_add_actions(flatten=True))["path"].to_pylist()}


def _named(place: Place, table: Table, versions: range) -> _Named:
    """What commits put into a table or took out of it: whatever their versions named, and still did before them."""
    named = _Named()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for content in pool.map(lambda version: place.content(f"{_LOG}/{version:020}.json"), versions):
            for action in _actions(content or b""):
                match action:
                    case {"add": {"path": path}} | {"remove": {"path": path}} | {"cdc": {"path": path}}:
                        named.paths.add(unquote(path))
                    case {"txn": {"appId": application, "version": version}} if application == table.app_id:
                        named.lowest = version if named.lowest is None else min(named.lowest, version)
    return named


def _actions(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        if line.startswith((b'{"add"', b'{"remove"', b'{"cdc"', b'{"txn"')):
            yield json.loads(line)


def _oldest_kept(files: Files, since: datetime) -> int:
    """The first version after the one that was the newest at an instant; the oldest in the log, if none was.

    A file of the version that was the newest then either stands still, or a commit from this one on took it out.
    """
    entries = [(int(match[1]), file) for file in files.listed(_LOG) if (match := _ENTRY.fullmatch(file.path))]
    before = [version for version, file in entries if file.modified <= since]
    return max(before) + 1 if before else min((version for version, _ in entries), default=0)
