"""Where tables are computed and committed. Nothing above this room knows which engine runs."""

from headwater.engine.protocol import Commit, Engine, Head, Held, HeldSince, Repeats, Staged, StagedFile, Table

__all__ = ["Commit", "Engine", "Head", "Held", "HeldSince", "Repeats", "Staged", "StagedFile", "Table"]
