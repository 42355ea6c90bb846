"""Free ports on 127.0.0.1."""

import socket


def listening_socket(preferred: int | None) -> socket.socket:
    """A socket bound to the preferred port of 127.0.0.1, or to a free one where that is taken."""
    for port in (preferred, 0) if preferred else (0,):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Without it each answer whose body is sent after its headers waits 40 ms for the client to confirm these.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            bound.bind(("127.0.0.1", port or 0))
        except OSError:
            bound.close()
            if not port:
                raise
        else:
            return bound
    raise AssertionError("binding port 0 either works or raises")


def free_port(preferred: int | None = None) -> int:
    """The preferred port if nobody listens on it, else one that is free now."""
    with listening_socket(preferred) as bound:
        port: int = bound.getsockname()[1]
        return port
