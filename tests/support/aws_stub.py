"""A fake of STS, SSO, the metadata services, DynamoDB and KMS on one loopback port, for tests of credentials."""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from service_keys.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_ID: Final = new_id("one", at_ms=1_800_000_000_000, random_bits=0)
SECRET: Final = "made-up-secret-0123456789"
EXPIRY: Final = "2099-01-01T00:00:00Z"
TOKEN: Final = "made-up-token"
"""Token that a request must send to a source of credentials."""
ISSUED: Final = ("ASIAMADEUPISSUED", "made-up-issued-secret", "made-up-session")
"""Access key id, secret and session token that every source returns."""
LONG_TERM: Final = ("AKIAMADEUPLONGTERM", "made-up-long-term-secret")
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")

_STS = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>
<AccessKeyId>{0}</AccessKeyId><SecretAccessKey>{1}</SecretAccessKey><SessionToken>{2}</SessionToken>
<Expiration>{expiry}</Expiration></Credentials></{action}Result></{action}Response>"""

_ISSUED: Final = dict(zip(("AccessKeyId", "SecretAccessKey", "Token"), ISSUED, strict=True)) | {"Expiration": EXPIRY}
_SSO: Final = dict(zip(("accessKeyId", "secretAccessKey", "sessionToken"), ISSUED, strict=True))
_INSTANCE: Final = "/latest/meta-data/iam/security-credentials/"
_SOURCES: Final[dict[str, tuple[str | None, dict[str, Any] | str]]] = {
    "/container": ("authorization", _ISSUED),
    "/federation/credentials": ("x-amz-sso_bearer_token", {"roleCredentials": _SSO | {"expiration": 4 * 10**12}}),
    "/latest/api/token": (None, TOKEN),
    _INSTANCE: ("x-aws-ec2-metadata-token", "made-up-role"),
    f"{_INSTANCE}made-up-role": ("x-aws-ec2-metadata-token", {**_ISSUED, "Code": "Success"}),
    "/held": (None, "held"),
    "/release": (None, "released"),
    "/token": (None, {"accessToken": TOKEN, "expiresIn": 3600}),
}
"""Header that must contain `TOKEN`, and the response, by path."""
_ITEM: Final = {"id": {"S": KEY_ID}, "name": {"S": "Prod"}, "active": {"BOOL": True}, "version": {"N": "1"}}
_RESPONSES: Final[dict[str, dict[str, Any]]] = {
    "Query": {"Items": [_ITEM | {"ciphertext": {"B": base64.b64encode(b"ciphertext").decode()}}]},
    "Decrypt": {"Plaintext": base64.b64encode(json.dumps(SECRET).encode()).decode()},
    "UpdateItem": {},
}
"""Successful responses by operation."""


@dataclass(frozen=True)
class Request:
    """A recorded request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    port: int
    """Port of the peer, which identifies the connection."""

    @property
    def access_key(self) -> str | None:
        """The access key id in the signature."""
        signed = _SIGNED.match(self.headers.get("authorization", ""))
        return signed and signed[1]

    @property
    def operation(self) -> str:
        """The operation of DynamoDB or KMS; empty for other services."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


@dataclass
class AwsStub:
    """Returns credentials for `TOKEN`, and a key for requests signed with these credentials.

    Attributes:
        accepted: The access key id and the session token that DynamoDB and KMS accept.
        failing: Responses that replace the usual ones, by operation: status, content type and body.
    """

    accepted: tuple[str, str | None] = (ISSUED[0], ISSUED[2])
    requests: list[Request] = field(default_factory=list)
    failing: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    holding: str = ""
    """The operation that blocks until a request for ``/release``; one for ``/held`` blocks until it has arrived."""
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def operations(self) -> list[str]:
        """Return the operations of DynamoDB and KMS so far."""
        return [request.operation for request in self.requests if request.operation]

    def respond(self, request: Request) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        if request.operation and request.operation == self.holding:
            self.arrived.set()
            self.released.wait(30)
        if request.operation:
            return self.failing.get(request.operation) or self._respond_to_call(request)
        path = urlsplit(request.path).path
        if path == "/held":
            self.arrived.wait(30)
        elif path == "/release":
            self.released.set()
        if path == "/":
            return self._respond_as_sts(request)
        if path not in _SOURCES:
            return _json({}, 404)
        header, body = _SOURCES[path]
        authorized = header is None or request.headers.get(header) == TOKEN
        if path == "/token":
            authorized = json.loads(request.body)["refreshToken"] == "made-up-refresh"
        if not authorized:
            return _json({}, 401)
        return (200, "text/plain", body.encode()) if isinstance(body, str) else _json(body)

    def _respond_as_sts(self, request: Request) -> tuple[int, str, bytes]:
        form = parse_qs(request.body)
        action = form["Action"][0]
        if action in self.failing:
            return self.failing[action]
        if form.get("WebIdentityToken") != [TOKEN] and request.access_key not in {LONG_TERM[0], ISSUED[0]}:
            return _json({}, 403)
        return 200, "text/xml", _STS.format(*ISSUED, action=action, expiry=EXPIRY).encode()

    def _respond_to_call(self, request: Request) -> tuple[int, str, bytes]:
        if (request.access_key, request.headers.get("x-amz-security-token")) != self.accepted:
            return _json({"__type": "UnrecognizedClientException", "message": "made up"}, 400)
        return _json(_RESPONSES[request.operation])


def _json(body: dict[str, Any], status: int = 200) -> tuple[int, str, bytes]:
    return status, "application/x-amz-json-1.0", json.dumps(body).encode()


class _Handler(BaseHTTPRequestHandler):
    owner: AwsStub
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body.decode("latin-1"), self.client_address[1])
        self.owner.requests.append(request)
        status, kind, response = self.owner.respond(request)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(response)))
        self.end_headers()
        self.wfile.write(response)

    do_GET = do_POST = do_PUT = _handle  # noqa: N815 - names of the base class

    def log_message(self, *_: object) -> None:
        """Suppress the log."""
