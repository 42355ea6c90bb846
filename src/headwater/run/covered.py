"""Which span of time a table's batch covers: what the gate judges day by day."""

from collections.abc import Sequence
from datetime import datetime

from headwater.engine import Head
from headwater.quality.span import Span
from headwater.run import positions

READ_UNTIL = "read_until"
"""Where a commit's metadata says how far its inputs had been read."""


def covered(head: Head | None, landed: Sequence[Head], at: datetime) -> Span:
    """From where the inputs of the version that stands had been read to, up to where they are read now.

    `landed` are the Bronze tables that its rows come from; without any that says how far it is read, that is `at`. Of
    several the one that is read least far counts: no day is over before all have been read to its end.
    """
    told = None if head is None else head.metadata.get(READ_UNTIL, head.metadata.get("at"))
    since = None if told is None else datetime.fromisoformat(told)
    reached = [until for each in landed if (until := _reached(each)) is not None]
    return Span(since, min(reached, default=at))


def _reached(head: Head) -> datetime | None:
    """The end of the span that a Bronze table was read for; where it has no watermark, the instant of its newest commit."""
    position = positions.parsed(head.inputs)
    if position is not None and position.watermark is not None:
        return position.watermark
    told = head.metadata.get("at")
    return None if told is None else datetime.fromisoformat(told)
