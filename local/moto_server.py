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
from werkzeug.test import run_wsgi_app

from local.loopback import loopback_only

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def _serialize(app: WSGIApplication) -> WSGIApplication:
    """Return an application that handles one request at a time.

    When a TransactWriteItems fails, moto restores its copy of the table from the start of the transaction, which would
    undo concurrent writes.
    """
    lock = threading.Lock()

    def serialized(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with lock:
            body, status, headers = run_wsgi_app(app, environ, buffered=True)
        start_response(status, headers.to_wsgi_list())
        return body

    return serialized


class _Quiet(MotoRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


def main() -> None:
    """Serve all AWS services that moto supports on a free port of the loopback interface."""
    # moto requires no credentials, and holds both the KMS key and the ciphertexts.
    app = loopback_only(_serialize(DomainDispatcherApplication(create_backend_app)), pages=False)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    # The parent reads only the first line; redirect further output to stderr.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
