"""Connections to one endpoint: kept alive, with deadlines, and replaced if the server closed them."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque

from service_keys.store.direct import trust
from service_keys.store.direct.errors import (
    CertificateError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from service_keys.store.direct.http_response import read_response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from service_keys.store.direct.endpoints import Endpoint
    from service_keys.store.direct.http_response import Response
    from service_keys.store.timeouts import Timeouts

MAX_IDLE_SECONDS: Final = 50
"""Maximum idle time of a connection. DynamoDB was seen to close idle ones after 60 s (aws-sdk-java issue 1365), and a
frozen execution environment does not see the end of a connection."""
MAX_IDLE_CONNECTIONS: Final = 10
"""As botocore's ``max_pool_connections``."""
_DER: Final = 2
"""`_ssl.ENCODING_DER`."""
_RECEIVE_BYTES: Final = 64 * 1024


class StaleConnectionError(ConnectionClosedError):
    """A kept-alive connection ended before the first byte of a response."""


class Connection:
    """One open connection.

    Args:
        endpoint: The server.
        timeouts: ``connect`` limits TCP and TLS together, ``read`` the complete response.
        clock: Returns a monotonic time in seconds.
        context: The context of a TLS connection; None for http.

    Raises:
        TransportError: No connection, or no TLS session.
    """

    def __init__(
        self, endpoint: Endpoint, timeouts: Timeouts, clock: Callable[[], float], context: ssl.SSLContext | None
    ) -> None:
        self._clock = clock
        self._read_seconds = timeouts.read
        self._used = False
        self._received = False
        ends_at = clock() + timeouts.connect
        self._socket: socket.socket = _connect(endpoint, ends_at, clock)
        if context is not None:
            self._start_tls(context, endpoint.host, ends_at)

    def _start_tls(self, context: ssl.SSLContext, host: str, ends_at: float) -> None:
        try:
            self._socket.settimeout(_left(ends_at, self._clock))
            # The handshake is separate, because wrap_socket() would not return the socket of one that fails.
            self._socket = tls = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
            tls.do_handshake()
        except TimeoutError as error:
            self.close()
            raise ConnectTimeoutError(f"{host}: no TLS handshake in time") from error
        except ssl.SSLCertVerificationError as error:
            chain = _received_chain(self._socket)
            self.close()
            raise CertificateError(f"{host}: {error.verify_message}", chain) from error
        except ssl.SSLError as error:
            self.close()
            raise SSLError(f"{host}: {error.reason or type(error).__name__}") from error
        except (OSError, ValueError) as error:
            self.close()
            raise EndpointConnectionError(f"{host}: {type(error).__name__} in the TLS handshake") from error
        except BaseException:
            self.close()
            raise

    def exchange(self, request: bytes, max_bytes: int, *, before: float) -> Response:
        """Send a request and return the complete response. After any error, close the connection.

        Args:
            request: The whole request.
            max_bytes: The maximum size of the response's body.
            before: The time of ``clock`` at which the attempt ends.

        Raises:
            StaleConnectionError: The connection had been kept alive, and the server has closed it.
            ConnectionClosedError: The connection ended before the complete response.
            ReadTimeoutError: The complete response did not arrive in time.
            UnreadableResponseError: The response is malformed or too large.
        """
        reused, self._used, self._received = self._used, True, False
        ends_at = min(self._clock() + self._read_seconds, before)

        def receive() -> bytes:
            self._socket.settimeout(_left(ends_at, self._clock))
            received = self._socket.recv(_RECEIVE_BYTES)
            self._received = self._received or bool(received)
            return received

        try:
            self._socket.settimeout(_left(ends_at, self._clock))
            # Without a TLS layer, as after a reset before the handshake, the class sends in clear text.
            if isinstance(self._socket, ssl.SSLSocket) and self._socket.version() is None:
                raise ConnectionResetError
            self._socket.sendall(request)
            return read_response(receive, max_bytes)
        except TimeoutError as error:
            raise ReadTimeoutError("no complete response in time") from error
        except (OSError, ConnectionClosedError) as error:
            kind = StaleConnectionError if reused and not self._received else ConnectionClosedError
            raise kind(f"the connection ended: {type(error).__name__}") from error

    def is_dropped(self) -> bool:
        """Return True if an idle connection was closed by the server, or sent bytes that belong to no request."""
        if not hasattr(select, "poll"):  # Windows
            return bool(select.select([self._socket], [], [], 0)[0])
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close the socket, without a message to the server: a forked child must not end its parent's TLS session."""
        self._socket.close()

    def __del__(self) -> None:
        # Not set if the constructor raised.
        if hasattr(self, "_socket"):
            self._socket.close()


def _received_chain(tls: socket.socket) -> list[bytes]:
    """Return the certificates, in DER, that a server sent in a failed handshake; empty if Python does not show them."""
    # Public from Python 3.13 on; before, a method of the inner object with certificates of a type of its own.
    public = getattr(tls, "get_unverified_chain", None)
    inner = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", lambda: None)
    found = public() if public else inner()
    return [each if isinstance(each, bytes) else each.public_bytes(_DER) for each in found or ()]


def _connect(endpoint: Endpoint, ends_at: float, clock: Callable[[], float]) -> socket.socket:
    """Connect to the first address that accepts. Addresses share the time, so that a silent one leaves some."""
    try:
        addresses = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise EndpointConnectionError(f"{endpoint.host}: {type(error).__name__}") from error
    failure: OSError | None = None
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        opened = None
        try:
            opened = socket.socket(family, kind, protocol)
            opened.settimeout(_left(ends_at, clock) / (len(addresses) - tried))
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            failure = error
            if opened is not None:
                opened.close()
        except BaseException:
            if opened is not None:
                opened.close()
            raise
        else:
            return opened
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(f"{endpoint.host}: no connection in time") from failure
    raise EndpointConnectionError(f"{endpoint.host}: {type(failure).__name__}") from failure


def _left(ends_at: float, clock: Callable[[], float]) -> float:
    """Return the remaining seconds, more than 0.

    Raises:
        TimeoutError: None remain.
    """
    left = ends_at - clock()
    if left <= 0:
        raise TimeoutError
    return left


class ConnectionPool:
    """The idle connections to one endpoint. Threads may share it: each takes a connection for one request.

    Without a lock, which a fork could leave locked: the operations of a deque are atomic.

    Args:
        endpoint: The server.
        timeouts: Of each connection.
        wall_clock: Returns seconds since the Unix epoch. A frozen execution environment must notice elapsed time.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        timeouts: Timeouts,
        *,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._wall_clock = wall_clock
        self._clock = clock
        self._idle: deque[tuple[Connection, float]] = deque()

    def exchange(self, request: bytes, max_bytes: int) -> Response:
        """Send a request on an idle connection or on a new one.

        Raises:
            TransportError: The request has no complete response; see `Connection`.
            UnreadableResponseError: The response is malformed or too large.
        """
        before = self._clock() + self._timeouts.connect + self._timeouts.read
        while (connection := self._take()) is not None:
            try:
                return self._exchange_on(connection, request, max_bytes, before)
            except StaleConnectionError:
                # All connections may have ended at once, such as in a freeze. None of them counts as an attempt.
                continue
        return self._exchange_on(self._open(), request, max_bytes, before)

    def _open(self) -> Connection:
        if not self._endpoint.tls:
            return Connection(self._endpoint, self._timeouts, self._clock, None)
        # Certificates are loaded before the time to connect begins, because to load them can take longer.
        trusted = trust.current()
        while True:
            try:
                return Connection(self._endpoint, self._timeouts, self._clock, trusted.context)
            except CertificateError as error:
                if trusted.is_whole:
                    raise
                trusted = trust.wider(trusted, error.chain)

    def _exchange_on(self, connection: Connection, request: bytes, max_bytes: int, before: float) -> Response:
        try:
            response = connection.exchange(request, max_bytes, before=before)
        except BaseException:
            connection.close()
            raise
        if response.reusable and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append((connection, self._wall_clock()))
        else:
            connection.close()
        return response

    def _take(self) -> Connection | None:
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            if 0 <= self._wall_clock() - since < MAX_IDLE_SECONDS and not connection.is_dropped():
                return connection
            connection.close()

    def close(self) -> None:
        """Close the idle connections. The pool remains usable."""
        while True:
            try:
                self._idle.pop()[0].close()
            except IndexError:
                return
