"""Run moto's server as a program: print its URL and serve until standard input ends.

The parent process holds the other end of that pipe, so the server never outlives its parent.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from local.loopback import LoopbackOnly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class SerializingMiddleware:
    """WSGI middleware that handles one request at a time.

    When a TransactWriteItems fails, moto restores its copy of the table from the start of the transaction, which would
    undo concurrent writes.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        with self._lock:
            # An application may still work while its response is iterated.
            response = self._app(environ, start_response)
            try:
                return list(response)
            finally:
                close = getattr(response, "close", None)
                if close:
                    close()


class _Quiet(MotoRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


def main() -> None:
    """Serve all AWS services that moto supports on a free port of the loopback interface."""
    # moto requires no credentials, and holds both the KMS key and the ciphertexts.
    app = LoopbackOnly(SerializingMiddleware(DomainDispatcherApplication(create_backend_app)), pages=False)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    # The parent reads only the first line; redirect further output to stderr.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
