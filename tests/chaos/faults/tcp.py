"""A proxy in front of a server that breaks a connection in the middle of an answer."""

import contextlib
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tests.chaos.faults.log import Deliveries

TcpFault: TypeAlias = Literal["refuse", "cut", "drip", "truncate", "reset"]
"""`refuse`: every connection ends and no new one is taken until `heal`. The others happen once: `cut`: every connection
ends; `reset`: one ends with a reset; `truncate`: one ends in the middle of what it was about to say, and still listens;
`drip`: one goes on with a few bytes at a time until somebody ends it."""

_PIECE = 16_384
_LOOK_S = 0.05
_DRIP_BYTES, _DRIP_EVERY_S = 10, 0.05


@dataclass(frozen=True)
class _Line:
    client: socket.socket
    server: socket.socket

    def end(self) -> None:
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class TcpProxy:
    """Passes bytes on between 127.0.0.1:`port` and a server of the same host, until it is armed."""

    def __init__(self) -> None:
        self.upstream = 0
        self.deliveries = Deliveries()
        self.forwarded = 0
        """Bytes of the server's answers passed on since `arm`."""
        self._fault: TcpFault | None = None
        self._after = 0
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        # Holds the port while nobody listens on it, so that a connection is refused and nobody else takes the port.
        self._held = _bound(0)
        self.port = int(self._held.getsockname()[1])
        self._listener: socket.socket | None = None
        self._listen()

    def arm(self, fault: TcpFault | None, after: int, deliveries: Deliveries) -> None:
        """Do `fault` once `after` bytes of answers have passed from now on; count them in any case."""
        with self._lock:
            self._fault, self._after, self.forwarded, self.deliveries = fault, after, 0, deliveries

    def heal(self) -> None:
        """Take connections again, and break none."""
        with self._lock:
            self._fault = None
        if self._listener is None:
            self._listen()

    def close(self) -> None:
        self._deaf()
        self._end_lines()
        self._held.close()

    def _listen(self) -> None:
        self._listener = _bound(self.port)
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _deaf(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
            listener.close()

    def _end_lines(self) -> None:
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.end()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(_Line(client, server),), daemon=True).start()

    def _serve(self, line: _Line) -> None:
        """Both directions of a connection, until both have ended."""
        with line.client, line.server:
            with self._lock:
                self._lines.add(line)
            up = threading.Thread(target=self._up, args=(line,), daemon=True)
            up.start()
            with contextlib.suppress(OSError):
                self._down(line)
            line.end()
            up.join()
            with self._lock:
                self._lines.discard(line)

    def _up(self, line: _Line) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed by the other direction
            while True:
                # Not in `recv` for long: a socket that somebody reads from sends its reset only when that ends.
                readable, _, _ = select.select([line.client], [], [], _LOOK_S)
                if readable:
                    if not (piece := line.client.recv(_PIECE)):
                        break
                    line.server.sendall(piece)
            line.server.shutdown(socket.SHUT_WR)

    def _down(self, line: _Line) -> None:
        while piece := line.server.recv(_PIECE):
            due = self._due(len(piece))
            if due is None:
                line.client.sendall(piece)
            else:
                self._break(due, line, piece)

    def _due(self, size: int) -> TcpFault | None:
        """Count a piece that is about to be passed on; the fault, if this is the one that it hits."""
        with self._lock:
            if self._fault is not None and self.forwarded + size > self._after:
                fault, self._fault = self._fault, None
                return fault
            self.forwarded += size
            return None

    def _break(self, fault: TcpFault, line: _Line, piece: bytes) -> None:
        self.deliveries.write(fault, self.forwarded)
        match fault:
            case "refuse":
                self._deaf()
                self._end_lines()
            case "cut":
                self._end_lines()
            case "truncate":
                line.client.sendall(piece[: len(piece) // 2])
                line.client.shutdown(socket.SHUT_WR)
                while line.server.recv(_PIECE):
                    pass
            case "reset":
                line.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                line.client.close()
            case "drip":
                while piece:
                    for start in range(0, len(piece), _DRIP_BYTES):
                        line.client.sendall(piece[start : start + _DRIP_BYTES])
                        time.sleep(_DRIP_EVERY_S)
                    piece = line.server.recv(_PIECE)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
