"""Sets how far a Bronze table counts as read, by hand: a commit without rows that carries the chosen position."""

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


def chosen(text: str, contract: Contract) -> Position:
    """The position that a text means: an instant for a table with a cursor, `0:120,1:88` for a topic's partitions.

    Raises:
        ConfigurationError: it is neither, or the table has files, which are only known or not.
    """
    if contract.cursor is not None and "kafka_offset" not in contract.column_names:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise ConfigurationError(
                f"{text} is not an instant such as 2024-11-02T00:00:00Z, by which {contract.name} is read"
            ) from None
        return Position(watermark=instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    if "kafka_offset" in contract.column_names:
        try:
            pairs = [part.split(":") for part in text.split(",")]
            return Position(offsets={int(number): int(offset) for number, offset in pairs})
        except ValueError:
            raise ConfigurationError(
                f"{text} is not the next offset of each partition, such as 0:120,1:88, by which {contract.name} is read"
            ) from None
    raise ConfigurationError(f"{contract.name} is read by files, each once: its watermark can only be reset")


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
        by = f"{context.holder.user}@{context.holder.host}"
        metadata = {"run_id": context.run_id, "at": context.at.isoformat(), "moved_by": by, "why": why}
        context.leases.check(table.name)
        version = context.engine.append(table, Staged(""), Commit(table.app_id, head.txn + 1, inputs, metadata))
        context.state.committed(table.name, inputs)
    return Watermark(contract.name, version, to, to, by, why)
