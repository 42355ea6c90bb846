"""What an injector writes down: each fault, and what had been delivered before it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_DELIVERY_WITHIN_S = 10.0


@dataclass(frozen=True)
class Injected:
    """One fault.

    Attributes:
        fault: what was done.
        bytes: of the source's answers, how much had been passed on since the injector was armed.
        rows: how many rows of them the run had been given.
    """

    fault: str
    bytes: int
    rows: int


@dataclass
class Deliveries:
    """How many rows a run has been given so far, told by its observer; an injector holds its fault back for the first."""

    rows: Callable[[], int] = lambda: 0
    log: list[Injected] = field(default_factory=list)

    def write(self, fault: str, bytes_before: int) -> None:
        """Wait for the first batch to have arrived, then write the fault down."""
        deadline = time.monotonic() + _DELIVERY_WITHIN_S
        while not self.rows() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.log.append(Injected(fault, bytes_before, self.rows()))
