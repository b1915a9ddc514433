"""Tests of the parser of HTTP responses: complete, malformed and too large ones, however they are split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service_keys.store.direct.errors import ConnectionClosedError, UnreadableResponseError
from service_keys.store.direct.http_response import HEAD_MAX_BYTES, Response, read_response

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1000
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(*parts: bytes) -> Response:
    """Read a response that arrives in these parts, after which the connection ends."""
    arriving: Iterator[bytes] = iter(parts)
    return read_response(lambda: next(arriving, b""), MAX_BYTES)


COMPLETE: dict[str, tuple[bytes, int, bytes, bool]] = {
    "length": (OK + b"Content-Length: 2\r\n\r\n{}", 200, b"{}", True),
    "length 0": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "length twice": (OK + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}", 200, b"{}", True),
    "largest body": (OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000, 200, b"x" * 1000, True),
    "close": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
    "Close among others": (OK + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
    "until the end": (OK + b"\r\n{}", 200, b"{}", False),
    "no reason": (b"HTTP/1.1 400\r\nContent-Length: 0\r\n\r\n", 400, b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "bytes after the body": (OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n", 200, b"{}", False),
    "interim response": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\n{}",
        *(200, b"{}", True),
    ),
    "chunks": (CHUNKED + b"1\r\n{\r\n00001\r\n}\r\n0\r\n\r\n", 200, b"{}", True),
    "chunk extension and trailer": (CHUNKED + b"2;a=b\r\n{}\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", 200, b"{}", True),
    "bytes after the chunks": (CHUNKED + b"0\r\n\r\nx", 200, b"", False),
}


@pytest.mark.parametrize("split", [1, 2, 7, 10_000])
@pytest.mark.parametrize("title", COMPLETE)
def test_a_complete_response_is_read(title: str, split: int) -> None:
    """Read status and body in parts of any size, and decide if the connection can be used again."""
    sent, status, body, reusable = COMPLETE[title]
    response = read(*(sent[at : at + split] for at in range(0, len(sent), split)))

    assert (response.status, response.body) == (status, body)
    # Bytes of a later response may not have arrived yet; `Connection.is_dropped` sees them.
    assert response.reusable == reusable or (title.startswith("bytes after") and split < 10_000)


def test_headers_have_lower_case_names() -> None:
    """Return names in lower case, and values without white space around them."""
    response = read(OK + b"Content-Length: 0\r\nX-Amz-CRC32:\t 5 \r\nX-Empty:\r\n\r\n")

    assert response.headers == {"content-length": "0", "x-amz-crc32": "5", "x-empty": ""}


MALFORMED: dict[str, bytes] = {
    "no HTTP": b"220 smtp.example.com ESMTP\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "other digits": "HTTP/1.1 ２００ OK\r\n\r\n".encode(),
    "protocol change": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "no colon": OK + b"Content-Length 2\r\n\r\n{}",
    "no name": OK + b": x\r\n\r\n{}",
    "space before the colon": OK + b"Content-Length : 2\r\n\r\n{}",
    "folded header": OK + b"X-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\n{}",
    "bare newline": OK + b"X-A: 1\nContent-Length: 2\r\n\r\n{}",
    "bare carriage return": OK + b"X-A: 1\rContent-Length: 2\r\n\r\n{}",
    "negative length": OK + b"Content-Length: -1\r\n\r\n",
    "signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "length with text": OK + b"Content-Length: 2x\r\n\r\n{}",
    "list of lengths": OK + b"Content-Length: 2, 2\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "compressed transfer": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "large length": OK + b"Content-Length: 1001\r\n\r\n",
    "huge length": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "large body": OK + b"\r\n" + b"x" * 1001,
    "large chunks": CHUNKED + (b"1ff\r\n" + b"x" * 511 + b"\r\n") * 2,
    "large chunk": CHUNKED + b"3e9\r\n",
    "huge chunk": CHUNKED + b"f" * 17 + b"\r\n",
    "chunk without size": CHUNKED + b"\r\n{}\r\n",
    "signed chunk": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    "chunk with a prefix": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "chunk with an underscore": CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
    "chunk without end": CHUNKED + b"2\r\n{}xx0\r\n\r\n",
    "long chunk line": CHUNKED + b"2;" + b"x" * 2000 + b"\r\n{}\r\n0\r\n\r\n",
    "large head": OK + b"X-A: " + b"x" * HEAD_MAX_BYTES + b"\r\n\r\n",
    "endless head": OK + b"X-A: " + b"x" * 2 * HEAD_MAX_BYTES,
    "large trailers": CHUNKED + b"0\r\n" + b"X-A: 1\r\n" * HEAD_MAX_BYTES,
}


@pytest.mark.parametrize("title", MALFORMED)
def test_a_malformed_or_large_response_is_unreadable(title: str) -> None:
    """Raise UnreadableResponseError before a byte can be taken for another response."""
    with pytest.raises(UnreadableResponseError):
        read(MALFORMED[title])


@pytest.mark.parametrize("title", [title for title in COMPLETE if title != "until the end"])
def test_a_truncated_response_is_no_response(title: str) -> None:
    """Raise ConnectionClosedError if the connection ends before any byte of the response."""
    sent, _, body, _ = COMPLETE[title]
    after = {"bytes after the body": 17, "bytes after the chunks": 1}.get(title, 0)
    for end in range(len(sent) - after):
        with pytest.raises(ConnectionClosedError):
            read(sent[:end])
    assert read(sent).body == body
