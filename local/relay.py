"""The way from a container to what listens on this machine's loopback.

Containers know this machine by the address that Docker calls `host-gateway`. With Docker Desktop that leads to the
loopback already. On Linux it is the address of Docker's bridge, where nothing of ours listens: there a relay takes the
same ports, so that no server has to listen where others could reach it.
"""

from __future__ import annotations

import errno
import socket
import socketserver
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from local.port import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextmanager
def tcp_relay(address: str, ports: Iterable[int]) -> Iterator[bool]:
    """Pass on what comes to `address` to the same ports of the loopback, until the block ends.

    Yields:
        Whether there is something to relay: False where `address` is not this machine's.

    Raises:
        OSError: A port is taken there.
    """
    with ExitStack() as exits:
        try:
            for port in ports:
                relay = exits.enter_context(_Relay((address, port), _Connection))
                threading.Thread(target=relay.serve_forever, args=(0.05,), daemon=True).start()
                exits.callback(relay.shutdown)
        except OSError as exc:
            if exc.errno != errno.EADDRNOTAVAIL:
                raise
            yield False
            return
        yield True


class _Relay(socketserver.ThreadingTCPServer):
    daemon_threads = True
    # Connections of containers that were kept end with them.
    block_on_close = False
    allow_reuse_address = True


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        _, port = self.request.getsockname()
        with suppress(ConnectionRefusedError), socket.create_connection((HOST, port)) as there:
            back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
            back.start()
            _pump(self.request, there)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on one direction until it ends. A connection that breaks is an end: the other side is told the same way."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
