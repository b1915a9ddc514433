"""What a download sends, and that it holds nobody up."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bounded_download import _Attempt, download

if TYPE_CHECKING:
    from tests.unit.authorizer.issuer import KeySetServer


@pytest.mark.parametrize(
    ("asked", "target"),
    [("", "/"), ("/", "/"), ("/jwks.json", "/jwks.json"), ("/jwks?tenant=a&v=2", "/jwks?tenant=a&v=2")],
)
def test_a_request_names_itself_and_asks_for_json(asked: str, target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{asked}"
        body = pool.submit(download, url, deadline=5, max_bytes=2)
        connection, _ = listener.accept()
        with connection:
            lines = connection.recv(65536).decode().split("\r\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        assert body.result(5) == b"{}"

    assert lines[0] == f"GET {target} HTTP/1.1"
    assert {"Accept: application/json", "User-Agent: service-keys-authorizer"} <= set(lines)


def test_while_it_waits_it_keeps_no_process_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        body = pool.submit(download, url, deadline=5, max_bytes=2)
        connection, _ = listener.accept()
        with connection:
            (waiting,) = [thread for thread in threading.enumerate() if thread.name == "key-set-download"]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        assert body.result(5) == b"{}"

    assert waiting.daemon


def test_after_the_deadline_nothing_of_it_is_left(server: KeySetServer) -> None:
    server.released.clear()

    # By whichever clock ran out first: the socket waits as long as the download.
    with pytest.raises(TimeoutError, match="timed out"):
        download(server.url, deadline=0.2, max_bytes=2)

    for thread in threading.enumerate():
        if thread.name == "key-set-download":
            thread.join(10)
            assert not thread.is_alive()


def test_a_socket_waits_no_longer_than_the_download(server: KeySetServer) -> None:
    attempt = _Attempt(server.url, 2.5, 65536)

    assert attempt._connection.timeout == 2.5
    assert isinstance(attempt.outcome(10), bytes)
