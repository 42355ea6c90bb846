"""The Delta log through delta-rs: what a table records, and commits that happen at most once."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions

from headwater.engine.protocol import Commit, File, Head, Staged, StagedFile, Table
from headwater.errors import CommitRefused, LakeError
from headwater.object_store import Place

_RECORD = "headwater"
"""The key of a commit's metadata under which its inputs and counts stand."""

_ATTEMPT = "attempt"

_MADE_ONCE = 0
"""How often the making of a table is tried again: delta-rs would put the loser's first commit behind the winner's."""

_MAINTENANCE = frozenset({"VACUUM START", "VACUUM END", "OPTIMIZE", "FSCK", "SET TBLPROPERTIES"})
_NOWHERE = "0001-01-01"
"""A value of a date partition that no row has."""

_LOG_KEPT = "interval 365 days"


def open_table(place: Place) -> DeltaTable | None:
    """A fresh handle, or None where there is no table.

    Raises:
        LakeError: there is something else.
    """
    try:
        return DeltaTable(place.uri, storage_options=place.log_options)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        if place.is_on_s3:  # which refuses or does not answer: that is told by who knows the account
            raise
        raise LakeError(
            f"{place} is no Delta table that can be opened ({type(error).__name__}): its log is damaged, or something "
            f"else stands there; move it away, or put back what was there"
        ) from error


def open_version(place: Place, version: int) -> DeltaTable:
    """A handle on a table as it was."""
    return DeltaTable(place.uri, version=version, storage_options=place.log_options)


def existing(place: Place, table: Table) -> DeltaTable:
    """A fresh handle on a table, made empty if it was not there."""
    try:
        return DeltaTable.create(
            place.uri,
            table.schema,
            mode="ignore",
            partition_by=list(table.partition_by),
            configuration=configuration(table),
            storage_options=place.log_options,
            commit_properties=CommitProperties(max_commit_retries=_MADE_ONCE),
        )
    except CommitFailedError:  # somebody else made it at the same instant
        return DeltaTable(place.uri, storage_options=place.log_options)


def head(place: Place, app_id: str) -> Head | None:
    """What the newest commit of a table says."""
    handle = open_table(place)
    if handle is None:
        return None
    record = recorded(place, handle.version())
    return Head(
        version=handle.version(),
        txn=handle.transaction_version(app_id) or 0,
        inputs=record.get("inputs"),
        metadata=record.get("metadata", {}),
        schema=pa.schema(handle.schema().to_arrow()),
    )


def recorded(place: Place, version: int) -> Mapping[str, Any]:
    """The inputs and the metadata that a version was committed with; empty where there are none that can be read.

    Commits of maintenance, by whichever tool, move nothing: the one before them tells. A commit's file is read directly:
    delta-rs lists the log for it, and stops all other threads meanwhile.
    """
    for each in range(version, -1, -1):
        entries = (place.content(f"_delta_log/{each:020}.json") or b"").splitlines()
        try:
            [information] = [json.loads(entry) for entry in entries if entry.startswith(b'{"commitInfo"')]
            if information["commitInfo"].get("operation") in _MAINTENANCE:
                continue
            return dict(json.loads(information["commitInfo"][_RECORD]))
        except (KeyError, TypeError, ValueError):
            break
    return {}


def put(place: Place, table: Table, staged: Staged, commit: Commit, *, overwrite: bool) -> int:
    """Commit staged files with their `txn`, and say the Delta version.

    The check on a fresh handle refuses what is done already; the `txn` action makes delta-rs refuse whoever passed
    that check at the same time as another writer.

    Raises:
        CommitRefused: the table records this version of its application, or a higher one.
    """
    adds, attempt = [add_action(table, file) for file in staged.files], uuid.uuid4().hex
    handle = open_table(place)
    try:
        if handle is None:
            create_table_with_add_actions(
                place.uri,
                Schema.from_arrow(table.schema),
                adds,
                mode="error",
                partition_by=list(table.partition_by),
                configuration=configuration(table),
                commit_properties=commit_properties(commit, attempt, _MADE_ONCE),
                storage_options=place.log_options,
            )
            return DeltaTable(place.uri, storage_options=place.log_options).version()
        refuse_what_is_done(handle, table, commit)
        schema = _widened(handle, table)
        wider = schema != handle.schema() and not overwrite
        handle.create_write_transaction(
            [*adds],
            "overwrite" if overwrite or wider else "append",
            schema,
            list(table.partition_by),
            # A new schema is only taken with an overwrite: here of a partition in which nothing lies.
            partition_filters=[(table.partition_by[0], "=", _NOWHERE)] if wider else None,
            commit_properties=commit_properties(commit, attempt),
        )
        handle.update_incremental()
        return handle.version()
    except (CommitFailedError, DeltaError) as error:
        return committed_after_all(place, table, commit, attempt, error)


def committed_after_all(place: Place, table: Table, commit: Commit, attempt: str, error: Exception) -> int:
    """The version of a commit of which only the answer was lost.

    Raises:
        CommitRefused: another writer was faster.
        LakeError: it failed otherwise.
    """
    now = head(place, commit.app_id)
    if now is not None and recorded(place, now.version).get(_ATTEMPT) == attempt:
        return now.version
    if now is not None and now.txn >= commit.version:
        raise CommitRefused(f"{table.name}: another writer committed version {commit.version} first") from error
    raise LakeError(f"{table.name}: the commit failed: {error}") from error


def refuse_what_is_done(handle: DeltaTable, table: Table, commit: Commit) -> None:
    """Ask a fresh handle whether a commit may still be made.

    Raises:
        CommitRefused: the table records this version of the application, or a higher one.
    """
    recorded = handle.transaction_version(commit.app_id)
    if recorded is not None and recorded >= commit.version:
        raise CommitRefused(f"{table.name}: version {commit.version} is committed already (the table is at {recorded})")


def widen(handle: DeltaTable, table: Table) -> None:
    """Give a table that was made by an earlier Headwater the columns that it lacks, in a commit of their own."""
    names = {field.name for field in handle.schema().fields}
    if more := [field for field in Schema.from_arrow(table.schema).fields if field.name not in names]:
        handle.alter.add_columns(more)


def _widened(handle: DeltaTable, table: Table) -> Schema:
    """The schema that stands, with the columns of `table` that it lacks behind its own."""
    standing = handle.schema()
    names = {field.name for field in standing.fields}
    more = [field for field in Schema.from_arrow(table.schema).fields if field.name not in names]
    return Schema([*standing.fields, *more]) if more else standing


def commit_properties(commit: Commit, attempt: str, retries: int | None = None) -> CommitProperties:
    """The commit's `txn` and its record; `attempt` tells its writer that a commit is theirs."""
    said = {"inputs": commit.inputs, "metadata": commit.metadata, _ATTEMPT: attempt}
    record = json.dumps(said, sort_keys=True, default=str)
    return CommitProperties(
        custom_metadata={_RECORD: record},
        app_transactions=[Transaction(commit.app_id, commit.version)],
        max_commit_retries=retries,
    )


def configuration(table: Table) -> dict[str, str | None]:
    """Properties that a table is created with; readers stay at protocol 1."""
    kept: dict[str, str | None] = {"delta.logRetentionDuration": _LOG_KEPT}
    if table.change_data_feed:
        kept["delta.enableChangeDataFeed"] = "true"
    return kept


def staged_file(table: Table, file: File, footer: pq.FileMetaData, partition: Mapping[str, str | None]) -> StagedFile:
    """Describe a Parquet file by its footer."""
    statistics = json.dumps(_statistics(footer, table.schema))
    return StagedFile(file.path, footer.num_rows, file.bytes, partition, file.modified, statistics)


def add_action(table: Table, file: StagedFile) -> AddAction:
    """A staged file as the log's word for it."""
    partition = {column: file.partition[column] for column in table.partition_by}
    return AddAction(file.path, file.bytes, partition, int(file.modified.timestamp() * 1000), True, file.statistics)


def _statistics(metadata: pq.FileMetaData, schema: pa.Schema) -> dict[str, Any]:
    """Bounds and null counts from a footer, in the words of the Delta protocol; columns without them are left out."""
    lower: dict[str, Any] = {}
    upper: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for index in range(metadata.num_columns):
        name = metadata.schema.column(index).path
        if name not in schema.names or metadata.num_row_groups == 0:
            continue
        groups = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
        if any(group is None or not group.has_null_count for group in groups):
            continue
        nulls[name] = sum(group.null_count for group in groups)
        bounded = [group for group in groups if group.has_min_max]
        if len(bounded) + sum(group.null_count == group.num_values + group.null_count for group in groups) < len(
            groups
        ):
            continue
        if bounded and (bounds := _bounds(schema.field(name).type, bounded)):
            lower[name], upper[name] = bounds
    return {"numRecords": metadata.num_rows, "minValues": lower, "maxValues": upper, "nullCount": nulls}


def _bounds(kind: pa.DataType, groups: list[pq.Statistics]) -> tuple[Any, Any] | None:
    """The least and greatest value as JSON, rounded outwards to what Delta keeps; None for types without bounds."""
    if not (
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    ):
        return None
    least, most = min(group.min for group in groups), max(group.max for group in groups)
    if pa.types.is_timestamp(kind):
        micros = pa.scalar(most, kind).cast(pa.int64()).as_py()
        most = pa.scalar(-(-micros // 1000) * 1000, pa.int64()).cast(kind).as_py()
        return _milliseconds(least), _milliseconds(most)
    if pa.types.is_date(kind):
        return least.isoformat(), most.isoformat()
    return least, most


def _milliseconds(instant: Any) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"
