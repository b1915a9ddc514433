"""Run moto's server as a program: print its URL, or the reason for ending at once, and serve until standard input ends.

The parent process holds the other end of that pipe, so the server never outlives its parent.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from local import LocalError
from local.loopback import loopback_only
from local.port import HOST, PortError, bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from local.kept_state import KeptState


def _serialize(app: WSGIApplication, lock: threading.Lock) -> WSGIApplication:
    """Return an application that handles one request at a time.

    When a TransactWriteItems fails, moto restores its copy of the table from the start of the transaction, which would
    undo concurrent writes.
    """

    def serialized(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with lock:
            body, status, headers = run_wsgi_app(app, environ, buffered=True)
        start_response(status, headers.to_wsgi_list())
        return body

    return serialized


class _Quiet(MotoRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


def main() -> int:
    """Serve all AWS services that moto supports on a port of the loopback interface; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.moto_server", description=main.__doc__)
    parser.add_argument("--state", type=Path, help="file that keeps the table's items and the KMS keys")
    parser.add_argument("--table", help="name of the table in --state")
    options = parser.parse_args()
    lock, port = threading.Lock(), 0
    app: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    try:
        state = _load(options.state, options.table) if options.state else None
        if state:
            app, port = state.keeping(app), state.port
        listener = _bind(port)
        if state:
            state.port = listener.getsockname()[1]
    except LocalError as exc:
        print(exc, flush=True)
        return 1
    # moto requires no credentials, and holds both the KMS key and the ciphertexts.
    app = loopback_only(_serialize(app, lock), pages=False)
    server = make_server(HOST, 0, app, threaded=True, request_handler=_Quiet, fd=listener.fileno())
    print(f"http://{HOST}:{listener.getsockname()[1]}", flush=True)
    # The parent reads only the first line; redirect further output to stderr.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()
    if state:
        # Keep the lock, so that no request follows.
        lock.acquire()
        state.close()
    return 0


def _load(path: Path, table_name: str) -> KeptState:
    try:
        from local.kept_state import KeptState
        from local.state_file import StateFile
    except ModuleNotFoundError as exc:
        # A Python that was compiled without SQLite's header files.
        if exc.name not in {"sqlite3", "_sqlite3"}:
            raise
        message = "This Python has no module sqlite3, in which stored keys are kept"
        raise LocalError(f"{message}. Use another one: make clean, then make run PYTHON=/path/to/python3.13") from exc
    return KeptState(StateFile.open(path), table_name)


def _bind(port: int) -> socket.socket:
    """Bind the port of the last run if it is free, so that environments that were read from it stay valid."""
    try:
        return bind(port)
    except PortError:
        return bind(0)


if __name__ == "__main__":
    sys.exit(main())
