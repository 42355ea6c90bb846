"""The command line: one of the two doors. Nothing heavy is imported before a command needs it."""

from headwater.cli.door import main

__all__ = ["main"]
