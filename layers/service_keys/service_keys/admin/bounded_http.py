"""HTTP client for one request with a deadline and a maximum response size.

Shared by key verification and the authorizer. The authorizer has no layer, so its folder has a symbolic link to this
file, which the build resolves (docs/decisions/22-one-bounded-http-request.md). Imports only the standard library.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEAD_MAX_BYTES: Final = 64 * 1024
"""Maximum bytes of a response besides its body: status lines, headers and chunk framing."""


class Response(NamedTuple):
    """A complete response. Do not log it: the body can contain the secret of the request."""

    status: int
    body: bytes


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    deadline: float,
    max_bytes: int,
    clock: Callable[[], float] = time.monotonic,
) -> Response:
    """Send a request and return the response. Redirects are not followed, and no proxy is used.

    Args:
        method: ``GET`` or ``POST``.
        url: ``https://…``, or ``http://…`` with a loopback address.
        headers: Headers in addition to ``Host``, ``Accept-Encoding`` and ``Content-Length``.
        body: The request body.
        deadline: Seconds for the whole request, including the DNS lookup.
        max_bytes: The maximum size of the response body.
        clock: Returns a monotonic time in seconds.

    Raises:
        TimeoutError: The deadline passed.
        OSError: The server is unreachable or the connection broke; ``ssl.SSLError`` for TLS, ``socket.gaierror`` for
            DNS.
        HTTPException: The response is not HTTP, incomplete or too large.
        ValueError: The request is invalid; the message quotes nothing of it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http"):
        raise ValueError("The URL must begin with https:// or http://.")
    bounds = _Bounds(deadline, max_bytes + HEAD_MAX_BYTES, clock)
    connection = _Connection(parts.hostname or "", parts.port, tls=parts.scheme == "https", bounds=bounds)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with closing(connection):
            connection.connect()
            _send(connection, method, target, body, headers)
            return _read(connection, max_bytes)
    except TimeoutError as error:
        raise bounds.exceeded() from error


def _send(
    connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
) -> None:
    with suppress(ValueError):
        connection.request(method, target, body, headers)
        return
    # Raise outside the with block: the original error quotes the header and would stay reachable as __context__.
    raise ValueError("The request cannot be sent: its target or a header has characters that HTTP excludes.")


def _read(connection: http.client.HTTPConnection, max_bytes: int) -> Response:
    try:
        with connection.getresponse() as response:
            body = response.read(max_bytes + 1)
            # http.client does not report a body that is shorter than its Content-Length.
            missing = response.length
    except (OSError, http.client.HTTPException):
        raise
    except ValueError as error:  # raised by http.client, for example for a negative chunk size
        raise http.client.HTTPException("malformed response") from error
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if missing:
        raise http.client.HTTPException("incomplete response")
    return Response(response.status, body)


def _too_large(max_bytes: int) -> http.client.HTTPException:
    return http.client.HTTPException(f"more than {max_bytes // 1024} KiB")


class _Bounds:
    """The remaining time of a request and the remaining size of its response."""

    def __init__(self, seconds: float, max_bytes: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._ends_at = clock() + seconds
        self._received = 0

    def remaining(self) -> float:
        """Return the remaining seconds, more than 0.

        Raises:
            TimeoutError: The deadline passed.
        """
        left = self._ends_at - self._clock()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> TimeoutError:
        """Return the error to raise after the deadline."""
        return TimeoutError(f"timed out after {self._seconds:g} s")

    def count(self, received: int) -> None:
        """Count received bytes.

        Raises:
            HTTPException: The total exceeds the limit.
        """
        self._received += received
        if self._received > self._max_bytes:
            raise _too_large(self._max_bytes)


class _Socket(socket.socket):
    """Socket that limits each operation to the request's remaining time and counts received bytes.

    A subclass instead of a wrapper, because `http.client` closes its socket while it still reads the response through
    `makefile`, which only a real socket supports.
    """

    bounds: _Bounds

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(self.bounds.remaining())
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(self.bounds.remaining())
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(self.bounds.remaining())
        received = super().recv_into(buffer, nbytes or 0, flags)
        self.bounds.count(received)
        return received


class _TlsSocket(_Socket, ssl.SSLSocket):
    """TLS variant of `_Socket` that raises an error instead of using clear text.

    `ssl.SSLSocket` uses clear text without a TLS layer: before the handshake, and after ``shutdown`` or ``unwrap``.
    This module calls neither method; the check protects later changes.
    """

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        self.settimeout(self.bounds.remaining())
        super().do_handshake(block)

    def send(self, data: Any, flags: int = 0) -> int:
        self._require_tls()
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._require_tls()
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self._require_tls()
        return super().recv_into(buffer, nbytes, flags)

    def _require_tls(self) -> None:
        if self.version() is None:
            raise ssl.SSLError("no TLS layer: nothing is sent or read in clear text")


class _Connection(http.client.HTTPConnection):
    """HTTP connection that uses `_Socket` and `_TlsSocket`."""

    def __init__(self, host: str, port: int | None, *, tls: bool, bounds: _Bounds) -> None:
        self.default_port = http.client.HTTPS_PORT if tls else http.client.HTTP_PORT
        super().__init__(host, port)
        self._tls = tls
        self._bounds = bounds

    def connect(self) -> None:
        """Look up the host, connect to the first reachable address, and complete the TLS handshake."""
        plain = self._connect(_look_up(self.host, self.port, self._bounds))
        plain.bounds = self._bounds
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                self._secure(plain)
            else:
                self.sock = plain
        except BaseException:
            plain.close()
            raise

    def _secure(self, plain: _Socket) -> None:
        """Wrap the socket in TLS before the connection gets it, and complete the handshake."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = _TlsSocket
        # Delay the handshake until the new socket has its bounds.
        secured = context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        assert isinstance(secured, _TlsSocket)  # noqa: S101 - for the type checker
        secured.bounds = self._bounds
        self.sock = secured
        secured.do_handshake()

    def _connect(self, addresses: list[tuple[Any, ...]]) -> _Socket:
        failure: OSError = OSError("no address")
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            # Divide the time equally, so that an unreachable address leaves time for the others.
            timeout = self._bounds.remaining() / (len(addresses) - number)
            try:
                return _connected(_Socket(family, kind, protocol), address, timeout)
            except OSError as error:
                failure = error
        self._bounds.remaining()
        raise failure


def _connected(sock: _Socket, address: Any, timeout: float) -> _Socket:
    sock.settimeout(timeout)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _look_up(host: str, port: int, bounds: _Bounds) -> list[tuple[Any, ...]]:
    """Return the host's addresses in the order of `socket.getaddrinfo`.

    Runs in a thread, because `socket.getaddrinfo` has no timeout. The resolver's options (``RES_OPTIONS``) apply to the
    whole process, count whole seconds for each name server and search domain, and do not limit other sources of names.
    The thread is a daemon, because a lookup that exceeds the deadline is abandoned.

    Raises:
        TimeoutError: The deadline passed.
        OSError: The lookup failed, or no thread can be started.
    """
    found: list[list[tuple[Any, ...]] | Exception] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised by the waiting thread
            found.append(error)

    thread = threading.Thread(target=look_up, name="dns-lookup", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError("no thread can be started for the DNS lookup") from error
    thread.join(bounds.remaining())
    if not found:
        raise bounds.exceeded()
    result = found.pop()
    if isinstance(result, Exception):
        raise result
    return result
