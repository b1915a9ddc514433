"""A proxy in front of the API that breaks chosen responses, as a faulty deployment would."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

from tests.support.http_server import HttpRequest, HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable

Change = "Callable[[dict[str, Any]], object]"
_HOP_BY_HOP = {"connection", "content-length", "date", "server", "transfer-encoding"}


@dataclass
class Break:
    """A fault in the responses to one request.

    Attributes:
        method: The method of the request.
        path: The end of its path and query; empty for all paths.
        skip: The number of such requests that work before.
        times: The number of such requests that fail after those; None for all.
        status: The status of a response that replaces the API's; the request is then not forwarded.
        lost: True to forward the request and lose its response.
        text: The text that replaces the body of the response.
        change: Changes the JSON of the response.
        headers: Headers to replace; None removes one.
        with_token: False to break requests without a token only.
    """

    method: str = ""
    path: str = ""
    skip: int = 0
    times: int | None = 1
    status: int = 0
    lost: bool = False
    text: str | None = None
    change: Callable[[dict[str, Any]], object] | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    with_token: bool = True

    def applies(self, request: HttpRequest) -> bool:
        """Return True if this request has to fail; count it."""
        if (self.method, self.with_token) != (request.command, "Authorization" in request.headers):
            return False
        if not request.path.endswith(self.path) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        return True


class BreakingProxy(HttpServer):
    """Forward requests to `url`, except those that `fault` breaks. Use it as a context manager.

    Attributes:
        fault: The fault; None forwards everything.
        seen: The forwarded requests, as method and path.
        before: Called before each request.
        after: Called after each forwarded request.
    """

    def __init__(self, url: str) -> None:
        self.upstream = url
        self.fault: Break | None = None
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        self.before: Callable[[HttpRequest], object] = lambda _: None
        self.after: Callable[[], object] = lambda: None
        super().__init__(self._forward)

    def _forward(self, request: HttpRequest) -> None:
        self.before(request)
        fault = self.fault if self.fault and self.fault.applies(request) else None
        if fault and fault.status:
            body = {"success": False, "error": {"code": "BROKEN", "message": "Broken."}, "requestId": "made-up-id"}
            request.send(fault.status, json.dumps(body).encode(), {"Cache-Control": "no-store"})
            return
        sent = {name: value for name, value in request.headers.items() if name.lower() not in {"host", "connection"}}
        reply = requests.request(
            request.command, self.upstream + request.path, data=request.body, headers=sent, timeout=30
        )
        self.seen.append(f"{request.command} {request.path}")
        self.bodies.append(request.body)
        self.after()
        headers = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP_BY_HOP}
        text = reply.text
        if fault:
            if fault.lost:
                request.close_connection = True
                return
            if fault.change:
                document = json.loads(text)
                fault.change(document)
                text = json.dumps(document)
            text = text if fault.text is None else fault.text
            headers = {name: value for name, value in (headers | fault.headers).items() if value is not None}
        request.send(reply.status_code, text.encode(), headers)
