"""OpenID provider of local runs: the authorization code flow with PKCE for the web console.

It asks for no password: the page of `/authorize` has one button per user. It keeps no sessions, so every sign-in shows
that page.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from local.gateway import Request, Response
from local.issuer import JWKS_PATH, Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CLIENT_ID: Final = "local-console"
CODE_SECONDS: Final = 60
DEFAULT_SECONDS: Final = 3600
_CODE_CHALLENGE: Final = re.compile("[A-Za-z0-9_-]{43}")
# Subject and role of each button.
_USERS: Final = {"admin": ("local-admin", "admin"), "other": ("local-user", "user")}
_CORS: Final = ("Access-Control-Allow-Origin", "*")
_STYLE: Final = (
    ":root{color-scheme:light dark;font-family:system-ui,sans-serif;line-height:1.5}"
    "body{max-width:28rem;margin:0 auto;padding:2rem 1rem}"
    "button{display:block;width:100%;min-height:3rem;margin:0 0 .75rem;padding:.5rem;font:inherit}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""
_CHOICE: Final = """\
<p>This is the sign-in page of a local run. It asks for no password, and it exists on this machine only.</p>
<form method="post">
<button name="user" value="admin" autofocus>Sign in as administrator (Local Admin)</button>
<button name="user" value="other">Sign in as a user who is not an administrator</button>
<button name="user" value="none">Cancel</button>
</form>"""


@dataclass(frozen=True)
class _Grant:
    """The meaning of one authorization code."""

    user: str
    redirect_uri: str
    challenge: str
    nonce: str | None
    scope: str
    expires: float


class _TokenError(Exception):
    """An error response of the token endpoint: https://www.rfc-editor.org/rfc/rfc6749#section-5.2."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


@dataclass
class SignIn:
    """The provider; thread-safe.

    Attributes:
        issuer: Signs the tokens.
        redirect_uris: The URLs to which a sign-in may return, compared exactly.
        seconds: The lifetime of access tokens; can be changed while the stack runs.
        clock: Seconds that never go backwards.
    """

    issuer: Issuer
    redirect_uris: Sequence[str]
    seconds: int = DEFAULT_SECONDS
    clock: Callable[[], float] = time.monotonic
    _grants: dict[str, _Grant] = field(default_factory=dict)

    def handle(self, request: Request) -> Response | None:
        """Return the response to a request; None if its path is none of the provider's."""
        routes: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", JWKS_PATH): lambda _: _json(HTTPStatus.OK, self.issuer.jwks()),
            ("GET", "/.well-known/openid-configuration"): lambda _: _json(HTTPStatus.OK, self.discovery()),
            ("GET", "/authorize"): self._authorize,
            ("POST", "/authorize"): self._authorize,
            ("POST", "/token"): self._token,
            ("GET", "/end-session"): self._end_session,
        }
        handle = routes.get((request.method, request.path))
        return handle(request) if handle else None

    def discovery(self) -> dict[str, Any]:
        """Return the metadata of the provider: https://openid.net/specs/openid-connect-discovery-1_0.html."""
        url = self.issuer.url
        return {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "end_session_endpoint": f"{url}/end-session",
            "jwks_uri": url + JWKS_PATH,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["openid", "email"],
        }

    def _authorize(self, request: Request) -> Response:
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        # Redirect to no other page, not even with an error.
        if asked.get("client_id") != CLIENT_ID:
            return self._refused(f"Unknown client_id: use {CLIENT_ID}.")
        if asked.get("redirect_uri") not in self.redirect_uris:
            return self._refused(f"Unknown redirect_uri: use {' or '.join(self.redirect_uris)}, spelled exactly so.")
        if error := _authorization_error(asked):
            return _return(asked, error=error[0], error_description=error[1])
        if request.method == "GET":
            return _page("Sign in to Service Keys", _CHOICE, form_action=_origin(asked["redirect_uri"]))
        user = dict(parse_qsl(request.body.decode(errors="replace"))).get("user")
        if user not in _USERS:
            return _return(asked, error="access_denied", error_description="The sign-in was cancelled.")
        code = secrets.token_urlsafe(32)
        self._grants[code] = _Grant(
            user,
            asked["redirect_uri"],
            asked["code_challenge"],
            asked.get("nonce"),
            asked["scope"],
            self.clock() + CODE_SECONDS,
        )
        return _return(asked, code=code)

    def _token(self, request: Request) -> Response:
        try:
            grant = self._grant(request)
        except _TokenError as error:
            return _json(HTTPStatus.BAD_REQUEST, {"error": error.code, "error_description": error.description})
        sub, role = _USERS[grant.user]
        hours = self.seconds / 3600
        identity = self.issuer.token(sub, None, hours, aud=CLIENT_ID, nonce=grant.nonce)
        tokens = {"access_token": self.issuer.token(sub, role, hours), "id_token": identity}
        return _json(
            HTTPStatus.OK, {**tokens, "token_type": "Bearer", "expires_in": self.seconds, "scope": grant.scope}
        )

    def _grant(self, request: Request) -> _Grant:
        """Return the grant of a token request; its code is used up, whether or not the rest is right.

        Raises:
            _TokenError: The request is not valid.
        """
        media_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded":
            raise _TokenError("invalid_request", "Send the parameters as application/x-www-form-urlencoded.")
        sent = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
        if sent.get("grant_type") != "authorization_code":
            raise _TokenError("unsupported_grant_type", "Send grant_type=authorization_code.")
        if sent.get("client_id") != CLIENT_ID:
            raise _TokenError("invalid_client", f"Unknown client_id: use {CLIENT_ID}.")
        grant = self._grants.pop(sent.get("code", ""), None)
        if grant is None or grant.expires <= self.clock():
            raise _TokenError("invalid_grant", "The code is unknown, used or expired. Sign in again.")
        if sent.get("redirect_uri") != grant.redirect_uri:
            raise _TokenError("invalid_grant", "redirect_uri differs from the one of the sign-in. Send the same.")
        if not hmac.compare_digest(_challenge(sent.get("code_verifier", "")), grant.challenge):
            raise _TokenError("invalid_grant", "code_verifier does not belong to the code_challenge of the sign-in.")
        return grant

    def _end_session(self, request: Request) -> Response:
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        uri = asked.get("post_logout_redirect_uri")
        if uri in self.redirect_uris:
            state = {"state": asked["state"]} if "state" in asked else {}
            return _redirect(f"{uri}?{urlencode(state)}" if state else str(uri))
        return _page("Signed out", "<p>You are signed out. You can close this page.</p>")

    def _refused(self, reason: str) -> Response:
        content = f"<p>{html.escape(reason)}</p>"
        return _page("The sign-in cannot start", content, status=HTTPStatus.BAD_REQUEST)


def _authorization_error(asked: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the error code and description of an authorization request, or None."""
    if asked.get("response_type") != "code":
        return "unsupported_response_type", "Send response_type=code."
    if "openid" not in asked.get("scope", "").split():
        return "invalid_scope", "The scope must contain openid."
    if asked.get("code_challenge_method") != "S256" or not _CODE_CHALLENGE.fullmatch(asked.get("code_challenge", "")):
        return "invalid_request", "Send code_challenge with code_challenge_method=S256 (PKCE)."
    if asked.get("prompt") == "none":
        return "login_required", "There are no sessions. Sign in without prompt=none."
    return None


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _origin(url: str) -> str:
    scheme, host, *_ = urlsplit(url)
    return f"{scheme}://{host}"


def _return(asked: Mapping[str, str], **answer: str) -> Response:
    state = {"state": asked["state"]} if "state" in asked else {}
    return _redirect(f"{asked['redirect_uri']}?{urlencode({**answer, **state})}")


def _redirect(location: str) -> Response:
    return Response(HTTPStatus.SEE_OTHER, "", [("Location", location), ("Cache-Control", "no-store")])


def _page(title: str, content: str, *, status: int = HTTPStatus.OK, form_action: str = "") -> Response:
    # Chromium checks the redirect after the form too: localhost is another origin than 127.0.0.1.
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; "
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", f"{policy}form-action 'self' {form_action}".strip()),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Response(status, _PAGE.format(title=html.escape(title), style=_STYLE, content=content), headers)


def _json(status: int, body: object) -> Response:
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), _CORS]
    return Response(status, json.dumps(body), headers)
