"""A fake HTTP server on a loopback port: the base of the fakes of other services."""

from __future__ import annotations

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class LoopbackServer:
    """An HTTP server on a free port of 127.0.0.1, in threads, until the end of the context.

    Args:
        handler: Creates the handler of each connection.

    Attributes:
        ended: Set at the end of the context; for handlers that wait.
    """

    def __init__(self, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class HttpServer(LoopbackServer):
    """Pass each request to a function, which responds to it. Use it as a context manager.

    Attributes:
        released: Cleared by a test to delay responses, if the function waits for it; set when the server ends.
        ended: Set when the server ends.
        hung_up: Set when a client disconnected before the end of the response.
    """

    def __init__(self, respond: Callable[[HttpRequest], object]) -> None:
        self.released, self.hung_up = threading.Event(), threading.Event()
        self.released.set()
        super().__init__(partial(HttpRequest, respond, self.hung_up))
        self._server.daemon_threads = False

    def __exit__(self, *error: object) -> None:
        self.released.set()
        super().__exit__(*error)


class HttpRequest(BaseHTTPRequestHandler):
    """A request with its body; its connection ends with the response."""

    def __init__(self, respond: Callable[[HttpRequest], object], hung_up: threading.Event, *args: Any) -> None:
        self.respond = respond
        self.hung_up = hung_up
        super().__init__(*args)

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.respond(self)
        except ConnectionError:
            self.hung_up.set()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - names of the base class

    def send(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a complete response."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Suppress the log."""
