"""What people and later runs want to know without opening a table. The tables are right where the two differ."""

from headwater.state.local import LocalState

__all__ = ["LocalState"]
