"""Takes values out of a table for good: its files are written anew without them, and its history ends.

A commit swaps the files that held them; then the version that stands becomes the first of the log. What can be broken
off in between is repeated: a swap is one commit, and a history that is partly gone is none that anybody reads.
"""

import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import RemoveAction

from headwater.engine import delta, leftovers
from headwater.engine.files import files_below
from headwater.engine.protocol import Attempt, Commit, File, Found, Staged, StagedFile, Table
from headwater.errors import LakeError
from headwater.object_store import Place

Looking: TypeAlias = Callable[[pa.RecordBatch], bool]
Changing: TypeAlias = Callable[[pa.RecordBatch], pa.RecordBatch]

_LOG = "_delta_log"
_ENTRY = re.compile(rf"{_LOG}/(\d{{20}})\..+")
_LONG_AGO_MS = 400 * 24 * 3600 * 1000
"""So long ago a swapped file counts as removed: longer than a checkpoint remembers its name."""
_LONG_OR_SEEN = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
"""What libraries call text and bytes in the files that they write, and the plain types that these are."""


def found(place: Place, table: Table, look: Looking) -> Found | None:
    """The files of a table in which `look` finds something in the columns of text; None where there is no table."""
    handle = delta.open_table(place)
    if handle is None:
        return None
    held = []
    for action in pa.table(handle.get_add_actions(flatten=True)).to_pylist():
        path = unquote(action["path"])
        with place.filesystem.open_input_file(path) as stream, pq.ParquetFile(stream) as file:
            plain = _plain(file.schema_arrow)
            names = [
                each.name for each in plain if each.type in (pa.string(), pa.binary()) or pa.types.is_list(each.type)
            ]
            schema = pa.schema([plain.field(name) for name in names])
            # To its end: whoever looks counts too.
            told = [look(batch.cast(schema)) for batch in file.iter_batches(columns=names)]
        if any(told):
            held.append(_staged(table, action))
    return Found(handle.version(), tuple(held))


def rewritten(place: Place, table: Table, held: Found, change: Changing, attempt: Attempt) -> Staged:
    """Write files anew, batch by batch, as `change` makes them; one that has no row left is not written."""
    files, staged = files_below(place), list[StagedFile]()
    for number, old in enumerate(held.files):
        above = old.path.split("/")[0] if table.append_only else ""
        path = f"{above}/{attempt.folder(number)}/part-0.parquet".lstrip("/")
        with files.written(path) as draft:
            rows = _copied(place, old.path, draft, change)
            if not rows:
                draft.unlink(missing_ok=True)
        if rows:
            listed = File(path, *_size_and_time(place, path))
            [footer] = files.footers([listed])
            staged.append(delta.staged_file(table, listed, footer, old.partition))
    return Staged(attempt.folder(), tuple(staged))


def swap(place: Place, table: Table, held: Found, staged: Staged, commit: Commit) -> int:
    """Commit new files in the place of old ones, or nothing but the commit, and say the Delta version.

    Raises:
        CommitRefused: the table records this version of its application, or a higher one.
        LakeError: the table moved since its files were looked at.
    """
    handle, attempt = delta.open_table(place), uuid.uuid4().hex
    if handle is None:
        raise LakeError(f"{table.name} is gone")
    delta.refuse_what_is_done(handle, table, commit)
    if handle.version() != held.version:
        raise LakeError(f"{table.name} moved meanwhile; run the same command again")
    removed_at = int(time.time() * 1000) - _LONG_AGO_MS
    gone = [RemoveAction(each.path, True, removed_at, each.bytes, dict(each.partition)) for each in held.files]
    try:
        handle.create_write_transaction(
            [*gone, *(delta.add_action(table, file) for file in staged.files)],
            "append",
            handle.schema(),
            list(table.partition_by),
            commit_properties=delta.commit_properties(commit, attempt),
        )
        handle.update_incremental()
        return handle.version()
    except (CommitFailedError, DeltaError) as error:
        return delta.committed_after_all(place, table, commit, attempt, error)


def begin_anew(place: Place, table: Table, given_up: Callable[[File], bool]) -> int:
    """Make the version that stands the first one that can be read; say how many files went.

    First its state is written down as a checkpoint, then data files that it does not name go, then the log before it,
    oldest first. Whoever asks for an earlier version, or for changes since one, is told that it is not there.
    """
    handle = delta.open_table(place)
    if handle is None:
        return 0
    files, version = files_below(place), handle.version()
    before = [(number, path) for number, path in _entries(place) if number < version]
    if before and not any(number == version and ".checkpoint" in path for number, path in _entries(place)):
        handle.create_checkpoint()
    if before and not any(number == version and ".checkpoint" in path for number, path in _entries(place)):
        raise LakeError(f"{table.name}: no checkpoint of version {version} could be written; nothing was removed")
    removed = leftovers.vacuum(place, table, datetime.max.replace(tzinfo=UTC), given_up, dry_run=False)
    for _, path in sorted(before):
        files.remove([path])
    return len(removed) + len(before)


def grew(place: Place, after: int, until: int) -> bool:
    """Whether a version has all files of an earlier one: see the engine's verb."""
    if after == until:
        return True
    try:
        earlier, later = delta.open_version(place, after), delta.open_version(place, until)
    except (DeltaError, OSError):  # among them that there is no such version any more
        return False
    return set(earlier.file_uris()) <= set(later.file_uris())


def _entries(place: Place) -> list[tuple[int, str]]:
    listed = (file.path for file in files_below(place).listed(_LOG))
    return [(int(match[1]), path) for path in listed if (match := _ENTRY.fullmatch(path))]


def _staged(table: Table, action: dict[str, Any]) -> StagedFile:
    told = {name: action.get(f"partition.{name}") for name in table.partition_by}
    partition = {name: None if value is None else str(value) for name, value in told.items()}
    modified = datetime.fromtimestamp(action["modification_time"] / 1000, UTC)
    return StagedFile(unquote(action["path"]), action["num_records"], action["size_bytes"], partition, modified, "")


def _copied(place: Place, path: str, to: Any, change: Changing) -> int:
    """Copy a Parquet file as `change` makes its batches, and say how many rows it has then."""
    rows = 0
    with (
        place.filesystem.open_input_file(path) as stream,
        pq.ParquetFile(stream) as file,
        pq.ParquetWriter(to, plain := _plain(file.schema_arrow), compression="zstd") as writer,
    ):
        for batch in file.iter_batches():
            changed = change(batch.cast(plain))
            rows += changed.num_rows
            writer.write_batch(changed)
    return rows


def _size_and_time(place: Place, path: str) -> tuple[int, datetime]:
    information = place.filesystem.get_file_info(path)
    return information.size, information.mtime


def _plain(schema: pa.Schema) -> pa.Schema:
    """The same columns with texts, bytes and lists of them in their plain types."""
    return pa.schema([each.with_type(_plain_type(each.type)) for each in schema])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = kind.value_field
        return pa.list_(inner.with_type(_plain_type(inner.type)))
    return _LONG_OR_SEEN.get(kind, kind)
