"""The loopback address and the port of the local API: bind the port, or explain the reason why it is not available.

Commands bind the port before slow imports, so that a port in use is reported immediately.
"""

from __future__ import annotations

import errno
import socket

from local import LocalError

HOST = "127.0.0.1"


class PortError(LocalError):
    """The port is not available. The message states the remedy."""


def bind(port: int) -> socket.socket:
    """Bind a port of the loopback interface; 0 selects a free one. Connections queue until a server accepts them.

    Raises:
        PortError: The port is in use or not allowed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without SO_REUSEADDR, open connections of an earlier run block the port for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        in_use = "is in use by another program or another `make run`"
        reason = in_use if exc.errno == errno.EADDRINUSE else f"cannot be used: {exc.strerror}"
        message = f"Port {port} {reason}. Choose another: make run PORT={port + 1 if port >= 1024 else 8001}"  # noqa: PLR2004
        raise PortError(message) from exc
    return listener
