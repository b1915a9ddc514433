"""A fake of SSM's Parameter Store on a loopback port that records requests and injects faults."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    import pytest


@dataclass
class ParameterStore:
    """Holds one parameter.

    Attributes:
        name: Name of the parameter; others are not found.
        value: Value of the parameter.
        kind: ``SecureString`` or another type.
        error: Code of the error to return; empty for none.
        status: Status of the error.
        body: Body in place of any response, if set.
        requests: Bodies of the requests.
        released: While cleared, the server accepts requests but does not respond.
    """

    name: str
    value: str = field(repr=False)
    kind: str = "SecureString"
    error: str = ""
    status: int = 400
    body: bytes | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.released.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def lead_to_it(self, environment: pytest.MonkeyPatch) -> None:
        """Set the variables that Lambda sets, and the endpoint of SSM."""
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_ENDPOINT_URL_SSM", self.url)
        environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "made-up")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
        environment.setenv("NO_PROXY", "127.0.0.1")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        if self.body is not None:
            return 200, self.body
        if self.error:
            return self.status, json.dumps({"__type": self.error, "message": "made up"}).encode()
        if asked != {"Name": self.name, "WithDecryption": True}:
            return 400, b'{"__type": "ParameterNotFound"}'
        return 200, json.dumps({"Parameter": {"Name": self.name, "Type": self.kind, "Value": self.value}}).encode()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, state: ParameterStore, *args: Any) -> None:
        self.state = state
        super().__init__(*args)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "AmazonSSM.GetParameter"
        self.state.requests.append(asked)
        self.state.released.wait()
        status, body = self.state.answer(asked)
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            pass  # the client gave up after its deadline

    def log_message(self, *_args: object) -> None:
        """Suppress the log."""
