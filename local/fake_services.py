"""Fake services: local HTTP servers in place of the external services, to verify keys without an account.

They return the documented responses of each service. A PUT of a response's name selects it:

    curl -X PUT http://127.0.0.1:PORT/openai -d rate-limited
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from local.loopback import refusal

if TYPE_CHECKING:
    from collections.abc import Callable


def _google(code: int, status: str, message: str = "…", reason: str | None = None) -> tuple[int, dict[str, Any]]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]
    return code, {"error": {"code": code, "message": message, "status": status, "details": details if reason else []}}


_INVALID, _DENIED = "INVALID_ARGUMENT", "PERMISSION_DENIED"
_GOOGLE_ERRORS: Final[dict[str, tuple[int, Any]]] = {
    "wrong": _google(400, _INVALID, "API key not valid. Please pass a valid API key.", "API_KEY_INVALID"),
    "revoked": _google(400, _INVALID, "API key expired. Please renew the API key.", "API_KEY_INVALID"),
    "leaked": _google(403, _DENIED, "Your API key was reported as leaked. Please use another API key."),
    "forbidden": _google(403, _DENIED, "The caller does not have permission"),
    "restricted": _google(403, _DENIED, "Requests to this API … are blocked.", "API_KEY_SERVICE_BLOCKED"),
    "other-address": _google(403, _DENIED, "…", "API_KEY_IP_ADDRESS_BLOCKED"),
    "disabled": _google(403, _DENIED, "… has not been used in project …", "SERVICE_DISABLED"),
    "standard-key": _google(401, "UNAUTHENTICATED", "…", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    "rate-limited": _google(429, "RESOURCE_EXHAUSTED", "…", "RATE_LIMIT_EXCEEDED"),
    "quota": _google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"),
}
# Sources: https://developer.spotify.com/documentation/web-api/tutorials/client-credentials-flow (errors as in RFC 6749,
# section 5.2); https://platform.openai.com/docs/api-reference/models/list and /docs/guides/error-codes;
# https://docs.anthropic.com/en/api/errors; for the others, the docstrings in admin/services. A fake echoes request data
# if the service does.
_DOCUMENTED: Final[dict[str, dict[str, tuple[int, Any]]]] = {
    "spotify": {
        "valid": (200, {"access_token": "made-up", "token_type": "Bearer", "expires_in": 3600}),
        "wrong": (400, {"error": "invalid_client", "error_description": "Invalid client secret"}),
        "revoked": (400, {"error": "invalid_client", "error_description": "Invalid client"}),
        "forbidden": (403, {"error": "access_denied"}),
        "rate-limited": (429, {"error": {"status": 429, "message": "API rate limit exceeded"}}),
        "quota": (429, {"error": {"status": 429, "message": "API rate limit exceeded"}}),
    },
    "openai": {
        "valid": (200, {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "owned_by": "system"}]}),
        "wrong": (401, {"error": {"message": "Incorrect API key provided: {sent}.", "code": "invalid_api_key"}}),
        "revoked": (401, {"error": {"message": "Incorrect API key provided: {sent}.", "code": "invalid_api_key"}}),
        "forbidden": (403, {"error": {"message": "Missing scopes: api.model.read", "code": None}}),
        "restricted": (401, {"error": {"message": "Missing scopes: api.model.read", "code": None}}),
        "deactivated": (401, {"error": {"message": "…", "code": "account_deactivated"}}),
        "other-organization": (401, {"error": {"message": "…", "code": "mismatched_organization"}}),
        "elsewhere": (403, {"error": {"message": "…", "code": "unsupported_country_region_territory"}}),
        "rate-limited": (429, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}),
        "quota": (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
    },
    "anthropic": {
        "valid": (200, {"data": [{"type": "model", "id": "claude-sonnet-4", "display_name": "…"}], "has_more": False}),
        "wrong": (401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
        "revoked": (401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
        "forbidden": (403, {"type": "error", "error": {"type": "permission_error", "message": "…"}}),
        "rate-limited": (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "…"}}),
        "quota": (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "…"}}),
        "billing": (402, {"type": "error", "error": {"type": "billing_error", "message": "…"}}),
        "overloaded": (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    },
    "gemini": _GOOGLE_ERRORS
    | {
        "valid": (200, {"models": [{"name": "models/gemini-2.5-flash", "displayName": "…"}], "nextPageToken": "…"}),
        "elsewhere": _google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
    },
    "youtube": _GOOGLE_ERRORS
    | {
        "valid": (200, {"kind": "youtube#i18nLanguageListResponse", "items": [{"id": "af"}]}),
        "quota": (403, {"error": {"code": 403, "message": "…", "errors": [{"reason": "quotaExceeded"}]}}),
    },
    "mistral": {
        "valid": (200, {"object": "list", "data": [{"id": "mistral-small-latest", "object": "model"}]}),
        "wrong": (401, {"detail": "Unauthorized"}),
        "revoked": (401, {"message": "Unauthorized", "request_id": "made-up"}),
        "forbidden": (403, {"detail": "…"}),
        "rate-limited": (429, {"object": "error", "message": "Requests rate limit exceeded", "type": "rate_limited"}),
        "quota": (429, {"object": "error", "message": "Service tier capacity exceeded", "type": "rate_limited"}),
        "billing": (402, {"detail": "…"}),
    },
    "lastfm": {
        "valid": (200, {"artists": {"artist": [{"name": "…", "playcount": "1"}], "@attr": {"page": "1"}}}),
        "wrong": (403, {"error": 10, "message": "Invalid API key - You must be granted a valid key by last.fm"}),
        "revoked": (403, {"error": 10, "message": "Invalid API key - You must be granted a valid key by last.fm"}),
        "suspended": (403, {"error": 26, "message": "API Key Suspended - This application is not allowed …"}),
        "forbidden": (403, {"error": 4, "message": "Authentication Failed - You do not have permissions …"}),
        "rate-limited": (429, {"error": 29, "message": "Rate Limit Exceeded"}),
        "quota": (429, {"error": 29, "message": "Rate Limit Exceeded"}),
    },
    "genius": {
        "valid": (200, {"meta": {"status": 200}, "response": {"hits": []}}),
        "wrong": (401, {"error": "invalid_token", "error_description": "The access token provided is … invalid …"}),
        "revoked": (401, {"error": "invalid_token", "error_description": "The access token provided is … revoked …"}),
        "forbidden": (403, {"meta": {"status": 403, "message": "…"}}),
        "without-token": (401, {"meta": {"status": 401, "message": "This call requires an access_token."}}),
        "rate-limited": (429, {"meta": {"status": 429, "message": "…"}}),
        "quota": (429, {"meta": {"status": 429, "message": "…"}}),
    },
}


_MALFORMED: Final = {
    "failing": (500, b'{"error": "internal"}', "application/json"),
    "html": (200, b"<html><body>Welcome to the hotel's network</body></html>", "text/html"),
    "firewall": (403, b"<html><title>403 Forbidden</title></html>", "text/html"),
    "gateway": (401, b"<html><title>401 Authorization Required</title></html>", "text/html"),
    "garbage": (200, b'{"access_token": ', "application/json"),
    "huge": (200, b'{"access_token": "' + b"x" * 1024 * 1024 + b'", "data": []}', "application/json"),
}
"""Responses of no service: status, body and media type."""


class FakeServices(ThreadingHTTPServer):
    """The fake services, on one port of the loopback interface. Use as a context manager.

    Attributes:
        chosen: The selected response of each service; initially ``valid``.
        requests: Received requests, as method, path and headers.
    """

    daemon_threads = True
    # Do not wait for responses that hang or send slowly.
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.chosen = dict.fromkeys(_DOCUMENTED, "valid")
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.before_answer: Callable[[], None] = lambda: None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The URL of the fake services."""
        return f"http://127.0.0.1:{self.server_port}"

    def server_close(self) -> None:
        """Stop the server; `with` calls this at its end."""
        self.ended.set()
        self.shutdown()
        self._thread.join()
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeServices

    def parse_request(self) -> bool:
        """Parse the request head; reject requests from web pages."""
        if not super().parse_request():
            return False
        host, origin, fetch_site = (self.headers.get(name) for name in ("Host", "Origin", "Sec-Fetch-Site"))
        reason = refusal(host, origin, fetch_site, pages=False)
        if reason is not None:
            self._send(403, reason.encode(), "text/plain")
            self.close_connection = True
        return reason is None

    def do_PUT(self) -> None:
        service, answer = self.path.strip("/"), self._body().decode().strip()
        methods = (name.removeprefix("_answer_") for name in vars(_Handler) if name.startswith("_answer_"))
        known = sorted({*_DOCUMENTED.get(service, {}), *_MALFORMED, *methods})
        if service not in _DOCUMENTED or answer not in known:
            self._send(404, f"PUT one of {', '.join(known)} to one of {', '.join(_DOCUMENTED)}\n".encode())
            return
        self.server.chosen[service] = answer
        self._send(200, f"{service} answers {answer} from now on\n".encode())

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._body()
        self._answer()

    def _answer(self) -> None:
        service = self.path.split("/")[1]
        if service not in _DOCUMENTED:
            self._send(404, b"no such service\n")
            return
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.server.before_answer()
        chosen = self.server.chosen[service]
        if chosen in _DOCUMENTED[service]:
            status, document = _DOCUMENTED[service][chosen]
            sent = self.headers.get("Authorization", "").rpartition(" ")[2]
            self._send(status, json.dumps(document).replace("{sent}", sent).encode())
        elif chosen in _MALFORMED:
            self._send(*_MALFORMED[chosen])
        else:
            getattr(self, f"_answer_{chosen}")()

    def _answer_redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer_reset(self) -> None:
        # Linger of 0 seconds: close() sends a reset instead of a normal end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _answer_hang(self) -> None:
        self.server.ended.wait(60)

    def _answer_drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        while not self.server.ended.wait(0.2):
            self.wfile.write(b" ")
            self.wfile.flush()

    def _answer_no_http(self) -> None:
        self.wfile.write(b"220 smtp.example.com\r\n")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """Handle the connection; ignore a client that disconnects."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing, because headers contain keys."""
