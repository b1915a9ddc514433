"""Parser of one HTTP/1.1 response with bounded sizes (RFC 9112).

Strict: a response that deviates from the grammar raises an error and ends its connection, so that no byte of it can
be taken for the next response. `http.client` imports the e-mail package, which costs as much as the whole request.
"""

from __future__ import annotations

from service_keys.store.direct.errors import ConnectionClosedError, UnreadableResponseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

HEAD_MAX_BYTES: Final = 64 * 1024
"""Maximum bytes of the status line and the headers, and of the trailers."""
_CHUNK_LINE_MAX_BYTES: Final = 1024
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_NO_CONTENT: Final = 204
_NOT_MODIFIED: Final = 304
_FINAL: Final = 200


class Response:
    """A complete response. Do not log it: a body can contain a plaintext.

    Attributes:
        status: The status code.
        headers: The headers, with their names in lower case.
        body: The body as sent.
        reusable: True if another request can be sent on the connection.
    """

    __slots__ = ("body", "headers", "reusable", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes, *, reusable: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.reusable = reusable


def read_response(receive: Callable[[], bytes], max_bytes: int) -> Response:
    """Read one response to a POST request.

    Args:
        receive: Returns the next bytes of the connection; none at its end.
        max_bytes: The maximum size of the body.

    Raises:
        ConnectionClosedError: The connection ended before the end of the response.
        UnreadableResponseError: The response is malformed or too large.
    """
    return _Reader(receive, max_bytes).read()


class _Reader:
    __slots__ = ("_buffer", "_max_bytes", "_receive")

    def __init__(self, receive: Callable[[], bytes], max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def read(self) -> Response:
        version, status, headers = self._head()
        while status < _FINAL:  # an interim response
            if status == 101:  # noqa: PLR2004 - Switching Protocols
                raise UnreadableResponseError("the protocol changed")
            version, status, headers = self._head()
        closes = "close" in headers.get("connection", "").lower() or version == b"HTTP/1.0"
        encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if status in {_NO_CONTENT, _NOT_MODIFIED}:
            body = b""
        elif encoding is not None:
            if encoding.lower() != "chunked" or length is not None:
                raise UnreadableResponseError("unknown transfer encoding")
            body = self._chunked()
        elif length is not None:
            body = self._take(self._size(length))
        else:
            body, closes = self._rest(), True
        # Bytes after the response belong to no request.
        return Response(status, headers, body, reusable=not closes and not self._buffer)

    def _head(self) -> tuple[bytes, int, dict[str, str]]:
        lines = self._until(b"\r\n\r\n", HEAD_MAX_BYTES).split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        digits = rest[:3]
        if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not digits.isdigit() or rest[3:4] not in {b"", b" "}:
            raise UnreadableResponseError("no HTTP status line")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line:
                raise UnreadableResponseError("malformed header")
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
            if headers.setdefault(key, text) != text and key in {"content-length", "transfer-encoding"}:
                raise UnreadableResponseError("two different lengths")
        return version, int(digits), headers

    def _size(self, length: str) -> int:
        if not (length.isascii() and length.isdigit()):
            raise UnreadableResponseError("malformed length")
        return self._bounded(int(length[:20]))

    def _bounded(self, size: int) -> int:
        if size > self._max_bytes:
            raise UnreadableResponseError(f"more than {self._max_bytes} bytes")
        return size

    def _chunked(self) -> bytes:
        body = bytearray()
        while True:
            digits = self._until(b"\r\n", _CHUNK_LINE_MAX_BYTES).partition(b";")[0].rstrip()
            if not digits or len(digits) > 16 or not _HEX.issuperset(digits):  # noqa: PLR2004 - 64 bits
                raise UnreadableResponseError("malformed chunk")
            size = int(digits, 16)
            if size == 0:
                break
            self._bounded(len(body) + size)
            body += self._take(size)
            if self._take(2) != b"\r\n":
                raise UnreadableResponseError("malformed chunk")
        left = HEAD_MAX_BYTES
        while trailer := self._until(b"\r\n", left):
            left -= len(trailer) + 2
        return bytes(body)

    def _rest(self) -> bytes:
        self._bounded(len(self._buffer))
        while more := self._receive():
            self._buffer += more
            self._bounded(len(self._buffer))
        body = bytes(self._buffer)
        self._buffer.clear()
        return body

    def _until(self, end: bytes, max_bytes: int) -> bytes:
        """Return the bytes before ``end``, and remove both from the buffer."""
        searched = 0
        while (at := self._buffer.find(end, searched)) < 0:
            if len(self._buffer) > max_bytes:
                raise UnreadableResponseError(f"more than {max_bytes} bytes")
            searched = max(len(self._buffer) - len(end) + 1, 0)
            self._fill()
        if at > max_bytes:
            raise UnreadableResponseError(f"more than {max_bytes} bytes")
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return found

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _fill(self) -> None:
        more = self._receive()
        if not more:
            raise ConnectionClosedError("the connection ended before the response")
        self._buffer += more
