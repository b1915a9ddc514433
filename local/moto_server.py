"""moto's server as a program: prints where it listens, and serves until its standard input ends.

Its parent holds the other end of that pipe, so that it never outlives its parent, whatever ends that.
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
    """A WSGI application that answers one request after the other.

    A failing TransactWriteItems puts back the copy of the table that moto made when it began, and with that undoes
    whatever another request wrote in between.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        with self._lock:
            # The work may go on until the last byte is taken.
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
    """Serve DynamoDB, KMS and whatever else moto knows on a free port of the loopback interface."""
    # moto asks for no token, and holds the KMS key beside what is encrypted under it.
    app = LoopbackOnly(SerializingMiddleware(DomainDispatcherApplication(create_backend_app)), pages=False)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    # Nobody reads on: anything else that is printed belongs with the errors.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
