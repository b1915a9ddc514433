"""HTTP server on the loopback interface for the API, the web console and the sign-in."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from http.client import responses
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import get_input_stream

from local.gateway import MAX_BODY, Request, Response
from local.port import HOST

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from local.gateway import Gateway
    from local.sign_in import SignIn

_HEADERS = "local.headers"


class Application:
    """WSGI application: passes requests to the sign-in or the gateway, and redirects the root to the console's path."""

    def __init__(self, gateway: Gateway, sign_in: SignIn, console: str | None, *, log_requests: bool) -> None:
        self._gateway = gateway
        self._sign_in = sign_in
        self._console = console
        self._log_requests = log_requests

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request and log a line without headers and bodies, because those contain secrets."""
        started = time.monotonic()
        # Use the raw path: in the decoded PATH_INFO, %2F is indistinguishable from a slash.
        path, _, query = environ["RAW_URI"].partition("?")
        request = Request(environ["REQUEST_METHOD"], path, query, environ[_HEADERS], _body(environ))
        if path == "/" and request.method == "GET" and self._console:
            response = Response(HTTPStatus.FOUND, "", [("Location", self._console)])
        else:
            response = self._sign_in.handle(request) or self._gateway.handle(request)
        content = response.body.encode()
        status = f"{response.status} {responses.get(response.status, 'Unknown')}"
        start_response(status, [*response.headers, ("Content-Length", str(len(content)))])
        if self._log_requests:
            milliseconds = (time.monotonic() - started) * 1000
            sys.stderr.write(f"{request.method} {quote(path, safe='/%')} {response.status} {milliseconds:.0f} ms\n")
        return [content]


@contextmanager
def serving(listener: socket.socket, application: WSGIApplication) -> Iterator[None]:
    """Serve an application on a socket from `port.bind`, in threads; stop without waiting for requests in progress."""
    server = make_server(HOST, 0, application, threaded=True, request_handler=_RequestHandler, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _RequestHandler(WSGIRequestHandler):
    def make_environ(self) -> WSGIEnvironment:
        # WSGI changes the spelling of headers and joins repeated ones.
        return {**super().make_environ(), _HEADERS: list(self.headers.items())}

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Log nothing, because the application logs requests."""


def _body(environ: WSGIEnvironment) -> bytes:
    """Return the body of a request, truncated to one byte above `MAX_BODY`."""
    stream, body = get_input_stream(environ), b""
    while len(body) <= MAX_BODY and (chunk := stream.read(MAX_BODY + 1 - len(body))):
        body += chunk
    return body
