"""A door in front of a source: one connection is slammed, and what happens at a later one is told."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class Door:
    """Passes connections on to a port of this machine. The `slam`-th is closed at once; `at_next` is called at the one
    after it, which is that of another attempt, before a byte of it is passed on.
    """

    def __init__(self, port: int, slam: int, at_next: Callable[[], None]) -> None:
        self._port, self._slam, self._at_next = port, slam, at_next
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.opened = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, name="door", daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.opened += 1
            if self.opened == self._slam:
                client.close()
                continue
            if self.opened == self._slam + 1:
                self._at_next()
            try:
                source = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                client.close()
                continue
            for one, other in ((client, source), (source, client)):
                threading.Thread(target=_pumped, args=(one, other), daemon=True).start()


def _pumped(one: socket.socket, other: socket.socket) -> None:
    """Pass on what one side says until it ends."""
    with suppress(OSError):
        while said := one.recv(1 << 16):
            other.sendall(said)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
