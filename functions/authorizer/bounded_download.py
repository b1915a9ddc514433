"""An HTTP GET that ends: bounded in time and size, whatever the other side does."""

from __future__ import annotations

import http.client
import queue
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

_HEADERS = {"Accept": "application/json", "User-Agent": "service-keys-authorizer"}


def download(url: str, *, deadline: float, max_bytes: int) -> bytes:
    """Return the body of the answer, which must be a 200: redirects are not followed.

    No proxy is used: TLS, or a loopback address, is what makes the answer trustworthy, and Lambda needs none.

    Args:
        url: https, or http to a loopback address.
        deadline: seconds for everything, the look-up of the host's name included.
        max_bytes: size of the body from which on it is refused.

    Raises:
        OSError: not reached, or not in time.
        HTTPException: answered with no HTTP, with another status, or with more than that.
    """
    outcome = _Attempt(url, deadline, max_bytes).outcome(deadline)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class _Attempt:
    """One request, in a thread of its own: neither a name server nor a drip of bytes minds a socket's timeout."""

    def __init__(self, url: str, timeout: float, max_bytes: int) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._max_bytes = max_bytes
        self._socket: socket.socket | None = None
        self._given_up = False
        self._outcomes: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        # A daemon: what does not end when its connection is cut, such as the look-up of a name, is left behind.
        threading.Thread(target=self._run, name="key-set-download", daemon=True).start()

    def outcome(self, deadline: float) -> bytes | Exception:
        """Wait for the body, or for what came instead; cut the connection after so many seconds."""
        try:
            return self._outcomes.get(timeout=deadline)
        except queue.Empty:
            self._given_up = True
            if self._socket is not None:
                with suppress(OSError):  # it may have ended by itself just now
                    self._socket.shutdown(socket.SHUT_RDWR)
            return TimeoutError(f"timed out after {deadline:g} s")

    def _run(self) -> None:
        try:
            self._outcomes.put(self._get())
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits, which would otherwise wait in vain
            self._outcomes.put(error)
        finally:
            self._connection.close()

    def _get(self) -> bytes:
        self._connection.connect()
        # Kept, for the connection lets go of it once the answer begins.
        self._socket = self._connection.sock
        if self._given_up:  # before there was anything to cut
            raise TimeoutError
        self._connection.request("GET", self._target, headers=_HEADERS)
        with self._connection.getresponse() as response:
            if response.status != http.client.OK:
                message = f"status {response.status}"
                raise http.client.HTTPException(message)
            body = response.read(self._max_bytes + 1)
        if len(body) > self._max_bytes:
            message = f"more than {self._max_bytes // 1024} KiB"
            raise http.client.HTTPException(message)
        return body
