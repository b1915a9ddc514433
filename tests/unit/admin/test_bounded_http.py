"""Tests of one HTTP request: bounds of time and size, and no clear text."""

from __future__ import annotations

import ast
import http.client
import itertools
import socket
import ssl
import struct
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service_keys.admin import bounded_http
from service_keys.admin.bounded_http import Response, request
from tests.support import tls_deadline
from tests.support.tls import Conversation, TlsTap, certificate, is_tls
from tests.unit.admin.conftest import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Serve = Callable[[socket.socket], object]

AUTHORIZATION = {"Authorization": f"Bearer {SECRET}"}
MAX_BYTES = 64 * 1024
DEADLINE = 0.3
MAX_DURATION = 2.0
"""Maximum duration of a request with that deadline, in seconds, on a busy machine too."""
ROOT = Path(__file__).parents[3]
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    return pem


@pytest.fixture
def tap(trusted: Path) -> Iterator[TlsTap]:
    with TlsTap(trusted) as running:
        yield running


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """Run a server on a loopback port that calls `serve` with each connection."""

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # the client may disconnect
                connection.settimeout(5)
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert not thread.is_alive()


def received(connection: socket.socket, end: bytes = b"\r\n\r\n") -> bytes:
    """Return the bytes of a request up to `end`."""
    data = b""
    while end not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    return data


def responding(response: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        received(connection)
        connection.sendall(response)

    return serve


def repeating(start: bytes, part: bytes, *, pause: float = 0, tls: bool = False) -> Serve:
    """Send `start`, then `part` until the client disconnects."""
    stop = threading.Event()

    def serve(connection: socket.socket) -> None:
        if tls:
            connection.recv(65536)
        else:
            received(connection)
        connection.sendall(start)
        while not stop.wait(pause):
            connection.sendall(part)

    return serve


def silent(connection: socket.socket) -> None:
    """Read without sending until the client disconnects."""
    while connection.recv(65536):
        pass


def get(port: int, *, scheme: str = "http", host: str = "127.0.0.1", **options: Any) -> Response:
    bounds = {"deadline": 5.0, "max_bytes": MAX_BYTES} | options
    return request("GET", f"{scheme}://{host}:{port}/path", headers=AUTHORIZATION, **bounds)


def response_of(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, ...]) -> None:
    """Resolve every host name to these addresses."""
    families = {2: socket.AF_INET, 4: socket.AF_INET6}
    found = [(families[len(it)], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", it) for it in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@contextmanager
def timing_out() -> Iterator[None]:
    """Expect a TimeoutError at `DEADLINE`, not before and not long after."""
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"timed out after 0\.3 s"):
        yield
    assert DEADLINE <= time.monotonic() - begun < MAX_DURATION


# --- requests and responses ---------------------------------------------------------------------------------------


def test_the_request_carries_target_headers_and_body() -> None:
    """Send the method, path, query, given headers and body, and a Host header with the port."""
    requests = []

    def serve(connection: socket.socket) -> None:
        requests.append(received(connection, b"grant=x"))
        connection.sendall(response_of(b"{}", "418 I'm a teapot"))

    with server(serve) as port:
        url = f"http://127.0.0.1:{port}/token?a=1"
        response = request("POST", url, headers=AUTHORIZATION, body=b"grant=x", deadline=5, max_bytes=2)

    head, _, body = requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /token?a=1 HTTP/1.1"
    assert {f"Host: 127.0.0.1:{port}", f"Authorization: Bearer {SECRET}", "Content-Length: 7"} <= set(lines)
    assert (body, response) == (b"grant=x", Response(418, b"{}"))


def test_a_request_over_tls_arrives_encrypted(tap: TlsTap) -> None:
    """Verify the premise of the tests below: a complete request whose raw bytes are TLS records."""
    assert get(tap.port, scheme="https") == Response(200, b"{}")

    tap.join()
    (conversation,) = tap.take()
    assert f"Authorization: Bearer {SECRET}".encode() in conversation.decrypted
    assert is_tls(conversation.raw)
    assert SECRET.encode() not in conversation.raw


def test_connection_close_does_not_truncate_the_body(trusted: Path) -> None:
    """Read a body to its end although http.client closes the socket at ``Connection: close``."""
    body = b"x" * MAX_BYTES
    with server(responding(OK + b"Connection: close\r\n\r\n" + body)) as port:
        assert get(port).body == body
    with TlsTap(trusted, response_of(body, "200 OK", "Connection: close")) as tap:
        assert get(tap.port, scheme="https").body == body


def test_redirects_are_not_followed() -> None:
    """Return a 302 unchanged, and connect once."""
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(received(connection))
        connection.sendall(response_of(b"", "302 Found", "Location: http://127.0.0.1:9/"))

    with server(serve) as port:
        assert get(port).status == 302
    assert len(connections) == 1


def test_proxy_variables_are_ignored(tap: TlsTap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect to the host itself although each proxy variable contains another address."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with server(responding(response_of(b"{}"))) as port:
        assert get(port).body == b"{}"
    assert get(tap.port, scheme="https").body == b"{}"


@pytest.mark.parametrize("scheme", ["ftp", "file", "httpx", ""])
def test_other_schemes_are_rejected(scheme: str) -> None:
    """Send nothing to a URL whose scheme is neither https nor http."""
    with pytest.raises(ValueError, match="must begin with https:// or http://"):
        get(9, scheme=scheme)


@pytest.mark.parametrize("value", [f"{SECRET}\nX: y", f"{SECRET}\r", f"{SECRET}\u2011"])
def test_an_unsendable_header_is_not_repeated(value: str) -> None:
    """Raise an error without the header's value in its text and its chain."""
    with server(silent) as port, pytest.raises(ValueError, match="cannot be sent") as raised:
        request("GET", f"http://127.0.0.1:{port}/", headers={"Authorization": value}, deadline=5, max_bytes=1)

    assert SECRET not in repr(raised.value)
    assert (raised.value.__context__, raised.value.__cause__) == (None, None)


# --- bounds of size -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("respond", [response_of, lambda body: OK + b"\r\n" + body], ids=["with length", "without"])
def test_a_body_of_exactly_max_bytes_is_accepted(respond: Callable[[bytes], bytes]) -> None:
    """Accept `max_bytes` and reject one byte more, with and without a Content-Length."""
    body = b"x" * MAX_BYTES
    with server(responding(respond(body))) as port:
        assert get(port).body == body
    too_large = pytest.raises(http.client.HTTPException, match="more than 64 KiB")
    with server(responding(respond(body + b"x"))) as port, too_large:
        get(port)


@pytest.mark.parametrize(
    ("start", "part"),
    [
        pytest.param(OK + b"\r\n", b"x" * 65536, id="body"),
        pytest.param(OK + b"Content-Length: 99999999999\r\n\r\n", b"x" * 65536, id="body beyond its length"),
        pytest.param(b"HTTP/1.1 200 ", b"x" * 65536, id="status line"),
        pytest.param(OK + b"X: ", b"x" * 65536, id="header"),
        pytest.param(OK, b"X: y\r\n" * 1000, id="headers"),
        pytest.param(OK, b"X: " + b"y" * 60_000 + b"\r\n", id="large headers"),
        pytest.param(b"", CONTINUE * 1000, id="100 Continue"),
        pytest.param(CHUNKED, b"1\r\nx\r\n" * 1000, id="chunks"),
        pytest.param(CHUNKED, b"1;" + b"y" * 60_000 + b"\r\nx\r\n", id="chunk extension"),
        pytest.param(CHUNKED + b"0\r\n", b"X: y\r\n" * 1000, id="trailers"),
        pytest.param(CHUNKED + b"-1\r\n", b"x" * 65536, id="chunk of size -1"),
        pytest.param(b"", b"x" * 65536, id="no HTTP"),
    ],
)
def test_an_endless_response_is_rejected(monkeypatch: pytest.MonkeyPatch, start: bytes, part: bytes) -> None:
    """Stop at the size bound, long before the deadline, and receive at most one more read."""
    counted = []
    count = bounded_http._Bounds.count

    def record(self: Any, size: int) -> None:
        counted.append(size)
        count(self, size)

    monkeypatch.setattr(bounded_http._Bounds, "count", record)
    with server(repeating(start, part)) as port, pytest.raises(http.client.HTTPException):
        get(port, deadline=20)

    assert sum(counted) <= MAX_BYTES + bounded_http.HEAD_MAX_BYTES + 2 * 65536


@pytest.mark.parametrize(
    "response",
    [
        *(b"", OK + b"Content-Length: 100\r\n\r\n{}", CHUNKED + b"2\r\n{}\r\n", CHUNKED + b"-5\r\n{}\r\n"),
        *(CHUNKED + b"zz\r\n{}\r\n", b"HTTP/1.1 9999 OK\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n"),
        *(b"220 smtp.example.com\r\n", b"\xff\xfe\x00\r\n\r\n"),
    ],
)
def test_an_incomplete_or_malformed_response_is_rejected(response: bytes) -> None:
    """Raise HTTPException or OSError, and never return an incomplete body."""
    with server(responding(response)) as port, pytest.raises((http.client.HTTPException, OSError)):
        get(port)


# --- bounds of time -----------------------------------------------------------------------------------------------

HELLO = b"\x16\x03\x03\x40\x00"
"""Header of a TLS handshake record of 16 KiB."""


@pytest.mark.parametrize(
    ("scheme", "serve"),
    [
        pytest.param("https", silent, id="TLS handshake silent"),
        pytest.param("https", repeating(HELLO, b"x", pause=0.01, tls=True), id="TLS handshake drips"),
        pytest.param("http", silent, id="no response"),
        pytest.param("http", repeating(b"HTTP/1.1 200 ", b"x", pause=0.01), id="status line drips"),
        pytest.param("http", repeating(b"", CONTINUE, pause=0.01), id="100 Continue drips"),
        pytest.param("http", repeating(OK + b"X: ", b"x", pause=0.01), id="header drips"),
        pytest.param("http", repeating(OK, b"X: y\r\n", pause=0.02), id="headers drip"),
        pytest.param("http", repeating(OK + b"\r\n", b"x", pause=0.01), id="body drips"),
        pytest.param("http", repeating(CHUNKED, b"1\r\nx\r\n", pause=0.01), id="chunks drip"),
    ],
)
def test_a_slow_server_times_out_at_the_deadline(scheme: str, serve: Serve) -> None:
    """Raise TimeoutError at the deadline although each byte arrives in time."""
    with server(serve) as port, timing_out():
        get(port, scheme=scheme, deadline=DEADLINE)


def test_a_server_that_reads_nothing_times_out_at_the_deadline() -> None:
    """Bound the time of sending: a large body fills the buffers of a server that does not read."""
    body = bytes(2**25)
    with server(lambda _: threading.Event().wait(2 * DEADLINE)) as port, timing_out():
        request("POST", f"http://127.0.0.1:{port}/", headers={}, body=body, deadline=DEADLINE, max_bytes=1)


def test_a_slow_name_server_times_out_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound the DNS lookup, and leave it in a daemon thread."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30))

    with timing_out():
        get(443, scheme="https", host="service.example", deadline=DEADLINE)

    lookups = [thread for thread in threading.enumerate() if thread.name == "dns-lookup"]
    released.set()
    assert [thread.daemon for thread in lookups] == [True]
    lookups[0].join(5)


def test_an_unknown_host_name_is_a_dns_error() -> None:
    """Raise the resolver's error unchanged."""
    with pytest.raises(socket.gaierror):
        get(443, scheme="https", host="no-such-host.invalid")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_an_invalid_host_name_is_rejected(host: str) -> None:
    """Raise an error of a documented class for labels that DNS excludes."""
    with pytest.raises((OSError, ValueError)):
        get(443, scheme="https", host=host)


def test_a_process_without_free_threads_raises_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise an error of a documented class, so that callers treat it as a transient error."""

    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)

    with pytest.raises(OSError, match="no thread"):
        get(9, scheme="https")


# Before Python 3.13, wrap_socket() leaves the socket to the garbage collector after a reset.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reset_before_the_tls_handshake_is_an_os_error(trusted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send nothing if the server resets the connection before `ssl` sees it."""

    create, was_reset = ssl.create_default_context, threading.Event()

    def reset(connection: socket.socket) -> None:
        # Without linger, the other end receives a reset, not an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        was_reset.set()

    def create_late() -> ssl.SSLContext:
        assert was_reset.wait(10)  # wrap_socket() then finds no connection
        return create()

    with server(reset) as port:
        monkeypatch.setattr(ssl, "create_default_context", create_late)
        with pytest.raises(OSError):  # noqa: PT011 - which one depends on the moment of the reset
            get(port, scheme="https")


@contextmanager
def black_hole() -> Iterator[int]:
    """Open a loopback port to which connecting never completes, because the queue of its listener is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def test_an_unresponsive_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect to the third address, after an unusable IPv6 and an unresponsive address, within one deadline."""
    with black_hole() as closed, server(responding(response_of(b"{}"))) as port:
        resolving(monkeypatch, ("::1", 1, 0, 0), ("127.0.0.1", closed), ("127.0.0.1", port))

        assert get(80, host="service.example", deadline=1).body == b"{}"


def test_many_addresses_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop at the deadline although none of eight addresses responds."""
    with black_hole() as closed, timing_out():
        resolving(monkeypatch, *[("127.0.0.1", closed)] * 8)
        get(80, host="service.example", deadline=DEADLINE)


def test_a_refused_connection_is_not_reported_as_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the error of the last address if time remains."""
    resolving(monkeypatch, ("::1", 1, 0, 0), ("127.0.0.1", 1))

    with pytest.raises(ConnectionRefusedError):
        get(80, host="service.example")


# --- never in clear text ------------------------------------------------------------------------------------------


class JumpingClock:
    """A clock that stands still and jumps one hour ahead at its n-th reading."""

    def __init__(self, jump_at: int) -> None:
        self.readings = 0
        self._jump_at = jump_at

    def __call__(self) -> float:
        self.readings += 1
        return 3600.0 if self.readings >= self._jump_at else 0.0


def attempted(tap: TlsTap, clock: JumpingClock) -> tuple[bool, Conversation]:
    """Return True if a request with this clock was completed, and the conversation."""
    try:
        get(tap.port, scheme="https", clock=clock)
        complete = True
    except TimeoutError:
        complete = False
    tap.join()
    return complete, next(iter(tap.take()), Conversation())


def test_nothing_is_sent_after_the_deadline(tap: TlsTap) -> None:
    """Let the deadline pass before each operation: before the send, the server receives no byte of the request."""
    arrived = []
    for reading in itertools.count(2):
        complete, conversation = attempted(tap, JumpingClock(reading))
        assert is_tls(conversation.raw)
        assert SECRET.encode() not in conversation.raw
        arrived.append(SECRET.encode() in conversation.decrypted)
        if complete:
            break
        assert reading < 50

    assert arrived == sorted(arrived), "once an operation comes after the send, the request has arrived"
    assert arrived.count(False) >= 4, "lookup, connect, handshake, send"
    assert arrived.count(True) >= 2, "receive, complete"


@pytest.mark.parametrize("operation", ["send", "sendall", "recv_into"])
def test_a_socket_without_tls_layer_sends_nothing(tap: TlsTap, operation: str) -> None:
    """Prevent the fallback of `ssl.SSLSocket` to clear text once its TLS layer is gone."""
    bounds = bounded_http._Bounds(5, MAX_BYTES, time.monotonic)
    connection = bounded_http._Connection("127.0.0.1", tap.port, tls=True, bounds=bounds)
    connection.connect()
    sock: Any = connection.sock
    # Drop the TLS layer but leave the connection able to send, as between the two steps of shutdown().
    ssl.SSLSocket.shutdown(sock, socket.SHUT_RD)

    with pytest.raises(ssl.SSLError, match="no TLS layer"):
        getattr(sock, operation)(bytearray(SECRET.encode()))

    connection.close()
    tap.join()
    (conversation,) = tap.take()
    assert is_tls(conversation.raw)
    assert SECRET.encode() not in conversation.raw


def test_an_unknown_certificate_gets_no_request(pem: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Verify the server's certificate before sending any part of the request."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path)))
    with TlsTap(pem) as tap:
        with pytest.raises(ssl.SSLCertVerificationError):
            get(tap.port, scheme="https")
        tap.join()
        (conversation,) = tap.take()
    assert conversation.decrypted == b""


def test_a_certificate_of_another_host_gets_no_request(tap: TlsTap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify the server's name."""
    resolving(monkeypatch, ("127.0.0.1", tap.port))

    with pytest.raises(ssl.SSLCertVerificationError):
        get(443, scheme="https", host="service.example")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        *((b"", True), (b"\x16", True), (b"\x16\x03\x01\x00\x02hi\x17\x03", True), (b"\x17\x03\x03\x00\x09cut", True)),
        *((b"GET / HTTP/1.1\r\n", False), (b"\x16\x03\x01\x00\x02hiGET / HTTP/1.1\r\n", False)),
        (b"\x17\x03\x03\xff\xff", False),
    ],
)
def test_is_tls_detects_clear_text(raw: bytes, *, expected: bool) -> None:
    """Check the framing of TLS records."""
    assert is_tls(raw) is expected


def test_findings_count_requests_in_clear_text() -> None:
    """Count clear text alone, after TLS records, and inside bytes that resemble a record."""
    findings = tls_deadline.Findings()
    clear = f"GET / HTTP/1.1\r\nAuthorization: {tls_deadline.AUTHORIZATION}\r\n\r\n".encode()
    framed = b"\x17\x03\x03" + len(clear).to_bytes(2) + clear

    for raw in (b"\x16\x03\x01\x00\x02hi", clear, b"\x16\x03\x01\x00\x02hi" + clear, framed):
        findings.add(Conversation(raw))

    assert (findings.connections, findings.in_clear_text) == (4, 3)


@pytest.mark.slow
def test_throttled_attempts_send_nothing_in_clear_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Run 300 of the 20,000 attempts of ``python -m tests.support.tls_deadline``."""
    assert tls_deadline.main(["--attempts", "300"]) == 0

    assert "300 attempts" in capsys.readouterr().out


def test_no_deployed_source_shuts_a_socket_down() -> None:
    """Reject calls that drop a TLS layer in all deployed files."""
    sources = [path for folder in ("layers", "functions") for path in (ROOT / folder).rglob("*.py")]
    calls = [
        f"{path}:{node.lineno}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("shutdown", "unwrap")
    ]

    assert len(sources) > 20
    assert calls == []
