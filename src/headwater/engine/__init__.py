"""Where tables are computed and committed. Nothing above this room knows which engine runs."""

from headwater.engine.protocol import (
    Attempt,
    Commit,
    Engine,
    File,
    Found,
    Head,
    Held,
    HeldSince,
    Repeats,
    Staged,
    StagedFile,
    Table,
)

__all__ = [
    "Attempt",
    "Commit",
    "Engine",
    "File",
    "Found",
    "Head",
    "Held",
    "HeldSince",
    "Repeats",
    "Staged",
    "StagedFile",
    "Table",
]
