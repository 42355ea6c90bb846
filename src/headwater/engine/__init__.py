"""Where tables are computed and committed. Nothing above this room knows which engine runs."""

from headwater.engine.protocol import Commit, Engine, Head, Staged, Table

__all__ = ["Commit", "Engine", "Head", "Staged", "Table"]
