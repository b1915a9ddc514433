"""An HTTP GET that ends: bounded in time and size, whatever the server does."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPException

from authorizer.bounded_http import request

_HEADERS = {"Accept": "application/json", "User-Agent": "service-keys-authorizer"}


def get(url: str, *, deadline: float, max_bytes: int) -> bytes:
    """Return the body of the response, which must be a 200: redirects are not followed.

    No proxy is used: TLS, or a loopback address, is the reason to trust the response, and Lambda needs none.

    Args:
        url: https, or http to a loopback address.
        deadline: seconds for everything, the DNS lookup included.
        max_bytes: size of the largest accepted body.

    Raises:
        OSError: not reached, or not in time.
        HTTPException: the response is not HTTP, has another status, or is too large or incomplete.
        ValueError: the request cannot be sent.
    """
    response = request("GET", url, headers=_HEADERS, deadline=deadline, max_bytes=max_bytes)
    if response.status != HTTPStatus.OK:
        message = f"status {response.status}"
        raise HTTPException(message)
    return response.body
