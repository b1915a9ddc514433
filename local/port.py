"""The port, taken before anything slow is loaded: who must choose another learns it at once."""

from __future__ import annotations

import errno
import socket

HOST = "127.0.0.1"


class PortError(RuntimeError):
    """The port cannot be had; the message says what to do."""


def bind(port: int) -> socket.socket:
    """Take a port of the loopback interface, 0 for any free one. Connections wait until a server answers them.

    Raises:
        PortError: It is taken, or not allowed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Otherwise the port is not to be had for a minute after a run that ended with connections open.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        reason = "is taken by another program" if exc.errno == errno.EADDRINUSE else f"cannot be used: {exc.strerror}"
        message = f"Port {port} {reason}. Choose another: make run PORT={port + 1 if port >= 1024 else 8001}"  # noqa: PLR2004
        raise PortError(message) from exc
    return listener
