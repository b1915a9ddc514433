"""TCP relay that lets containers connect to the local servers, which listen on the loopback interface only.

Containers reach this machine at the address that Docker calls `host-gateway`. With Docker Desktop it leads to the
loopback interface. On Linux it is the address of Docker's network bridge; there the relay listens on the same ports.
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
    """Relay connections from ports of `address` to the same ports of the loopback interface until the block ends.

    Yields:
        True if the relay runs; False if `address` does not belong to this machine.

    Raises:
        OSError: A port is in use at `address`.
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
    # Do not wait for keep-alive connections of containers.
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
    """Forward one direction until it ends or the connection breaks, then shut down the other side."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
