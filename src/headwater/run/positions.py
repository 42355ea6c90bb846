"""How far Bronze has read its source: as commits record it, and as it moves."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from headwater.extract.base_extractor import OffsetRange, Partition, Position, SourceFile, TimeWindow

_HELD = "held"


def recorded(position: Position, held: Position | None = None) -> dict[str, Any]:
    """The position as JSON; of its three forms a table has one.

    `held` is what the table may hold beyond it, because somebody has set it back; what is passed again is left out.
    """
    document: dict[str, Any] = {}
    if position.watermark is not None:
        document["watermark"] = position.watermark.astimezone(UTC).isoformat()
    if position.offsets:
        document["offsets"] = {str(partition): offset for partition, offset in sorted(position.offsets.items())}
    if position.files:
        document["files"] = sorted([file.key, file.etag, file.size] for file in position.files)
    if held is not None and (beyond := recorded(_beyond(position, held))):
        document[_HELD] = beyond
    return document


def _beyond(position: Position, held: Position) -> Position:
    """The part of `held` that reading from `position` comes upon. Rows before a cursor tell themselves by it."""
    offsets = {number: offset for number, offset in held.offsets.items() if offset > position.offsets.get(number, 0)}
    return Position(offsets=offsets, files=held.files - position.files)


def held(document: Mapping[str, Any] | None) -> Position:
    """What a commit says that its table may hold beyond its position."""
    return parsed((document or {}).get(_HELD)) or Position()


def together(one: Position, other: Position) -> Position:
    """As far as either of two positions reaches."""
    numbers = one.offsets.keys() | other.offsets.keys()
    offsets = {number: max(one.offsets.get(number, 0), other.offsets.get(number, 0)) for number in numbers}
    return Position(offsets=offsets, files=one.files | other.files)


def is_held(partition: Partition, held: Position) -> bool:
    """Whether the table may hold rows of a partition already."""
    match partition:
        case OffsetRange(partition=number, start=start):
            return start < held.offsets.get(number, 0)
        case SourceFile():
            return partition in held.files
        case _:
            return False


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


def told(position: Position) -> dict[str, Any]:
    """The position for people: as it is recorded, but files only counted."""
    document = recorded(position)
    if position.files:
        document["files"] = len(position.files)
    return document


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
