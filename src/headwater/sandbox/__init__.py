"""Local stand-ins of the six sources, with a clock of their own.

`up` starts them, `advance` moves their clock, `status` tells what runs, `down` stops it. Everything is kept in one
folder: the dataset, the servers' data, ports, logs, secrets, and `connections.yaml`, which the configuration reads.
"""

from headwater.sandbox.control import Status, advance, down, status, up

__all__ = ["Status", "advance", "down", "status", "up"]
