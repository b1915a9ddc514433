"""HTTP requests sent as written: no added header, no normalized URL."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class RawResponse:
    """Status, headers with their names in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    url: str,
    method: str = "GET",
    path: str = "/",
    headers: Mapping[str, str | None] | None = None,
    body: bytes | None = None,
) -> RawResponse:
    """Send a request to the server at `url`. `Host` is the server's by default; None omits a header."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    given: dict[str, str | None] = {"Host": address.netloc, "Content-Length": str(len(body or b"")), **(headers or {})}
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    answer = RawResponse(
        response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    )
    connection.close()
    return answer
