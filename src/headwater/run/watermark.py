"""Sets how far a Bronze table counts as read, by hand: a commit without rows that carries the chosen position."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from headwater.config import Settings
from headwater.contracts import Contract
from headwater.engine import Commit, Staged
from headwater.engine.embedded import EmbeddedEngine
from headwater.errors import ConfigurationError, LakeError
from headwater.extract.base_extractor import Position
from headwater.object_store import lake_of
from headwater.run import positions
from headwater.run.opened import opened
from headwater.run.tables import lake_table
from headwater.state import Waiting, open_store


@dataclass(frozen=True)
class Watermark:
    """How far a table counts as read: by its last commit, which holds, and by the state store (None: it does not say)."""

    table: str
    version: int
    position: Position
    stored: Position | None
    moved_by: str = ""
    why: str = ""


def watermark(settings: Settings, contract: Contract) -> Watermark | None:
    """A Bronze table's position; None where it was never committed.

    Raises:
        LakeError: the lake cannot be reached.
        StateUnavailable: the state store did not answer.
    """
    lake = lake_of(settings)
    lake.check()
    head = EmbeddedEngine(lake).head(lake_table(contract))
    if head is None:
        return None
    stored = positions.parsed(open_store(settings).get_watermark(contract.name))
    said = head.metadata
    return Watermark(
        contract.name,
        head.version,
        positions.parsed(head.inputs) or Position(),
        stored,
        str(said.get("moved_by", "")),
        str(said.get("why", "")),
    )


def chosen(text: str, contract: Contract, now: datetime) -> Position:
    """The position that a text means: an instant for a table with a cursor, `0:120,1:88` for a topic's partitions.

    Raises:
        ConfigurationError: it is neither, it is an instant that is still to come, or the table has files, which are
            only known or not.
    """
    if "kafka_offset" in contract.column_names:
        return Position(offsets=_offsets(text, contract))
    if contract.cursor is None:
        raise ConfigurationError(f"{contract.name} is read by files, each once: its watermark can only be reset")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text} is not an instant such as 2024-11-02T00:00:00Z, by which {contract.name} is read"
        ) from None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    if instant > now:
        raise ConfigurationError(
            f"{text} is still to come (it is {now:%Y-%m-%d %H:%M:%S} UTC): nothing of {contract.name} would be read till then"
        )
    return Position(watermark=instant)


def _offsets(text: str, contract: Contract) -> dict[int, int]:
    pairs = [re.fullmatch(r"\s*(\d+):(\d+)\s*", part) for part in text.split(",")]
    found = {int(pair[1]): int(pair[2]) for pair in pairs if pair}
    if len(found) < len(pairs):
        raise ConfigurationError(
            f"{text} is not the next offset of each partition, once for each, such as 0:120,1:88, by which "
            f"{contract.name} is read"
        )
    return found


def consequences(before: Position, to: Position) -> list[str]:
    """What is not plain to whoever has a table read from `to` that was read until `before`."""
    forward = [str(number) for number, offset in sorted(to.offsets.items()) if offset > before.offsets.get(number, 0)]
    anew = [str(number) for number in sorted(before.offsets.keys() - to.offsets.keys())] if to.offsets else []
    found = []
    if to.watermark is not None and before.watermark is not None and to.watermark > before.watermark:
        found.append("this is forward: what lies between is not read")
    if forward:
        found.append(f"this is forward in partition {', '.join(forward)}: what lies between is not read")
    if anew:
        found.append(f"partition {', '.join(anew)} is not named, and is read from the beginning")
    return found


def move(settings: Settings, contract: Contract, to: Position, why: str, waiting: Waiting) -> Watermark:
    """Make the next run read a table from `to` on; what Bronze holds already it will count as repeated.

    `waiting` is told of a run that works on the table, for whose end is waited.

    Raises:
        LakeError: the table was never committed.
        TableIsHeld: a run works on it, and went on for longer than `lease.wait`.
        CommitRefused: another writer moved the table meanwhile.
    """
    table = lake_table(contract)
    with opened(settings, None, ()) as context, context.leases.held(table.name, waiting):
        head = context.engine.head(table)
        if head is None:
            raise LakeError(f"{contract.table} has never landed: there is no watermark to move")
        known = positions.parsed(head.inputs) or Position()
        inputs = positions.recorded(to, positions.together(positions.held(head.inputs), known))
        by = context.holder.who
        metadata = {"run_id": context.run_id, "at": context.at.isoformat(), "moved_by": by, "why": why}
        context.leases.check(table.name)
        version = context.engine.append(table, Staged(""), Commit(table.app_id, head.txn + 1, inputs, metadata))
        context.state.committed(table.name, inputs)
    return Watermark(contract.name, version, to, to, by, why)
