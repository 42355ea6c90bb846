"""How far Bronze has read its source: as commits record it, and as it moves."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from headwater.extract.base_extractor import OffsetRange, Partition, Position, SourceFile, TimeWindow


def recorded(position: Position) -> dict[str, Any]:
    """The position as JSON; of its three forms a table has one."""
    document: dict[str, Any] = {}
    if position.watermark is not None:
        document["watermark"] = position.watermark.astimezone(UTC).isoformat()
    if position.offsets:
        document["offsets"] = {str(partition): offset for partition, offset in sorted(position.offsets.items())}
    if position.files:
        document["files"] = sorted([file.key, file.etag, file.size] for file in position.files)
    return document


def parsed(document: Mapping[str, Any] | None) -> Position | None:
    """The position that a commit recorded, or None where it can't be read."""
    if document is None:
        return None
    try:
        watermark = document.get("watermark")
        return Position(
            watermark=None if watermark is None else datetime.fromisoformat(watermark),
            offsets={int(partition): int(offset) for partition, offset in document.get("offsets", {}).items()},
            files=frozenset(SourceFile(key, etag, int(size)) for key, etag, size in document.get("files", ())),
        )
    except (TypeError, ValueError, AttributeError):
        return None


def before(position: Position, overlap: timedelta) -> Position:
    """Where reading begins again: a timestamp source is asked once more for what may have been committed late."""
    if position.watermark is None:
        return position
    return replace(position, watermark=position.watermark - overlap)


def after(position: Position, partition: Partition) -> Position:
    """The position once a partition is consumed: the end of the span that was read, whatever stood in it."""
    match partition:
        case TimeWindow(end=end):
            return replace(position, watermark=end)
        case OffsetRange(partition=number, end=end_offset):
            return replace(position, offsets={**position.offsets, number: end_offset})
        case SourceFile():
            # A changed file is another file at the same key: the earlier one can't be listed any more.
            others = {file for file in position.files if file.key != partition.key}
            return replace(position, files=frozenset({*others, partition}))
    assert_never(partition)
