"""What every stand-in of a source promises to the sandbox's host."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Connection:
    """How a client reaches a stand-in, in the words of Headwater's own configuration.

    Attributes:
        settings: becomes `data_sources.<name>` in the sandbox's `connections.yaml`; never holds a credential.
        secret: becomes a JSON file that only its owner can read, referenced from there as `file:<path>`.
    """

    settings: dict[str, Any]
    secret: dict[str, str] = field(repr=False)


class StandIn(Protocol):
    """One source on 127.0.0.1 that speaks its real protocol and shows what a dataset holds at the sandbox's clock.

    The host calls `start` once, then `advance` any number of times with instants that never go back, then `stop`.
    `stop` also works after a `start` that failed half-way, and leaves no process and no open port.

    Attributes:
        name: the key below `data_sources`: snowflake, redshift, salesforce, s3, kafka or fx_vendor.
    """

    name: str

    def __init__(self, folder: Path, port: int | None) -> None:
        """Keep everything in `folder` (its own, below the sandbox's); `port` is the one of last time, to be tried first."""
        ...

    def start(self, dataset: Path, at: datetime) -> Connection:
        """Listen on 127.0.0.1 and show what `dataset` holds at `at`; secrets are generated once, into the folder.

        Nothing of an earlier start is relied on but ports and secrets: the rows shown are those of `at`.
        """
        ...

    def advance(self, after: datetime, until: datetime) -> None:
        """Apply what became visible or was deleted in `(after, until]`; the source's own clock then says `until`."""
        ...

    def stop(self) -> None:
        """Stop listening and end every process that `start` began, waiting until they are gone."""
        ...


def log_file(folder: Path) -> Path:
    """Where a stand-in with this folder, and the processes that it starts, write their log."""
    file = folder.parent / "logs" / f"{folder.name}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
