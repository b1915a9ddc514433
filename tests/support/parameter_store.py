"""A fake of SSM's Parameter Store that records requests and injects faults."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.http_server import HttpServer
from tests.support.issuer import PARAMETER, SECRET

if TYPE_CHECKING:
    from tests.support.http_server import HttpRequest


class ParameterStore(HttpServer):
    """Parameter Store with one parameter.

    Attributes:
        value: Value of the parameter.
        kind: ``SecureString`` or another type.
        error: Code of the error to return; empty for none.
        status: Status of the error.
        body: Body in place of any response, if set.
        requests: Bodies of the requests.
    """

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.value = SECRET
        self.kind = "SecureString"
        self.error = ""
        self.status = 400
        self.body: bytes | None = None
        self.requests: list[dict[str, Any]] = []

    def _respond(self, request: HttpRequest) -> None:
        assert request.headers["X-Amz-Target"] == "AmazonSSM.GetParameter"
        asked = json.loads(request.body)
        self.requests.append(asked)
        self.released.wait()
        status = 200
        content: object = {"Parameter": {"Name": PARAMETER, "Type": self.kind, "Value": self.value}}
        if asked != {"Name": PARAMETER, "WithDecryption": True}:
            status, content = 400, {"__type": "ParameterNotFound"}
        if self.error:
            status, content = self.status, {"__type": self.error, "message": "made up"}
        body = json.dumps(content).encode()
        if self.body is not None:
            status, body = 200, self.body
        headers = {"Content-Type": "application/x-amz-json-1.1", "Content-Length": str(len(body))}
        request.send(status, body, headers)
