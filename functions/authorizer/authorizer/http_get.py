"""HTTP GET with a deadline and a maximum response size."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPException

from authorizer.bounded_http import request

_HEADERS = {"Accept": "application/json", "User-Agent": "service-keys-authorizer"}


def get(url: str, *, deadline: float, max_bytes: int) -> bytes:
    """Return the body of a 200 response. Redirects are not followed and no proxy is used.

    Args:
        url: An https URL, or an http URL with a loopback address.
        deadline: Seconds for the whole request, including the DNS lookup.
        max_bytes: The maximum size of the body.

    Raises:
        OSError: The server is unreachable, or the deadline passed.
        HTTPException: The response is not HTTP, has another status, or is too large or incomplete.
        ValueError: The request contains characters that HTTP excludes.
    """
    response = request("GET", url, headers=_HEADERS, deadline=deadline, max_bytes=max_bytes)
    if response.status != HTTPStatus.OK:
        message = f"status {response.status}"
        raise HTTPException(message)
    return response.body
