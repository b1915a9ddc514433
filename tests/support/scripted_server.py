"""An HTTP server on a loopback port, with TLS or without, that sends exactly the bytes that a test names."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Reply = bytes | Callable[["ScriptedServer", socket.socket], object]


@dataclass(frozen=True)
class Received:
    """A request: the port of its connection, its headers with names in lower case, and its body."""

    port: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        return self.headers["x-amz-target"].partition(".")[2]


def respond(status: int = 200, body: object = b"{}", **headers: str) -> bytes:
    """Return the bytes of a response; the body is bytes or JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Length": str(len(content)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    return f"HTTP/1.1 {status} made up\r\n{head}\r\n".encode() + content


def close(_: ScriptedServer, connection: socket.socket) -> None:
    """End the connection without a response."""
    # `ssl.SSLSocket.shutdown` would drop the TLS layer.
    socket.socket.shutdown(connection, socket.SHUT_RDWR)


def reset(_: ScriptedServer, connection: socket.socket) -> None:
    """Reset the connection without a response."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang(server: ScriptedServer, _: socket.socket) -> None:
    """Send nothing until the server ends."""
    server.ended.wait(30)


def then_close(reply: bytes) -> Reply:
    """Send the bytes and end the connection."""

    def act(server: ScriptedServer, connection: socket.socket) -> None:
        connection.sendall(reply)
        close(server, connection)

    return act


def in_pieces(reply: bytes, size: int = 1) -> Reply:
    """Send the bytes in small TLS records, each of which the client receives on its own."""

    def act(_: ScriptedServer, connection: socket.socket) -> None:
        with suppress(OSError):
            for at in range(0, len(reply), size):
                connection.sendall(reply[at : at + size])

    return act


EMPTY: Final = respond()


class ScriptedServer:
    """A server that answers each request with the next reply, or with ``{}``. Use it as a context manager.

    Args:
        pem: The certificate and its key, in one file; None for http.
        host: The loopback address.

    Attributes:
        replies: The replies to come.
        requests: The requests so far.
        accepted: The number of connections so far.
        ended: Set at the end of the context.
        closed: A semaphore that is released at the end of each connection.
    """

    def __init__(self, pem: Path | None = None, host: str = "127.0.0.1") -> None:
        self._context: ssl.SSLContext | None = None
        if pem is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pem)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.replies: deque[Reply] = deque()
        self.requests: list[Received] = []
        self.accepted = 0
        self.ended = threading.Event()
        self.closed = threading.Semaphore(0)
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)

    def hang_up(self) -> None:
        """End every open connection."""
        for connection in list(self._connections):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    @property
    def ports(self) -> list[int]:
        """The client's port of each request, which identifies its connection."""
        return [request.port for request in self.requests]

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(connection, address[1]), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket, port: int) -> None:
        connection = plain
        with suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connection = self._context.wrap_socket(plain, server_side=True)
            self._connections.add(connection)
            while (request := _read(connection, port)) is not None:
                self.requests.append(request)
                reply = self.replies.popleft() if self.replies else EMPTY
                if isinstance(reply, bytes):
                    connection.sendall(reply)
                else:
                    reply(self, connection)
        self._connections.discard(connection)
        connection.close()
        plain.close()
        self.closed.release()


def _read(connection: socket.socket, port: int) -> Received | None:
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            return None
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    assert lines[0] == "POST / HTTP/1.1"
    headers: dict[str, Any] = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        assert name.lower() not in headers
        headers[name.lower()] = value
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return Received(port, headers, body)
