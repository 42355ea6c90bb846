"""Servers in threads of this process: always on 127.0.0.1, on the port of last time if it is still free."""

import asyncio
import threading
from typing import Any

from headwater.errors import SandboxError
from headwater.sandbox.ports import listening_socket

_START_S = 20.0
_STOP_S = 10.0


class AsgiServer:
    """An ASGI application that a thread of this process serves."""

    def __init__(self, app: Any, port: int | None, name: str, **options: Any) -> None:
        """Take `port` if it is free; `options` are uvicorn's own."""
        import uvicorn

        self._listener = listening_socket(port)
        self._name = name
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=2, **options
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name=f"{name}-server", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def start(self) -> None:
        """Return once requests are answered."""
        self._thread.start()
        deadline = threading.Event()
        waited_s = 0.0
        while not self._server.started:
            if not self._thread.is_alive() or waited_s > _START_S:
                raise SandboxError(f"{self._name}: the server did not start; its log says why")
            deadline.wait(0.01)
            waited_s += 0.01

    def stop(self) -> None:
        """Close the port and every connection, and wait for the thread."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._listener.close()
