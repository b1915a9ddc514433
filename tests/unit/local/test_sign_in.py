"""The OpenID provider of local runs: code flow with PKCE, its pages and its errors."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest

from local.gateway import Request, Response
from local.issuer import AUDIENCE, Issuer
from local.sign_in import CLIENT_ID, SignIn

URL = "http://127.0.0.1:8000"
PAGE = f"{URL}/console/index.html"
VERIFIER = "made-up-verifier-of-at-least-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
FORM = "application/x-www-form-urlencoded"
STATE = "made up/state?&=#%ä"


@dataclass
class Browser:
    """A browser on the console's page, and the clock of the provider."""

    now: float = 0.0
    sign_in: SignIn = field(init=False)

    def __post_init__(self) -> None:
        issuer = Issuer.generate().at(URL)
        self.sign_in = SignIn(issuer, (PAGE, PAGE.replace("127.0.0.1", "localhost")), clock=lambda: self.now)

    def send(self, method: str, path: str, query: str = "", body: str = "", content_type: str = FORM) -> Response:
        sent = Request(method, path, query, [("Content-Type", content_type)], body.encode())
        response = self.sign_in.handle(sent)
        assert response
        return response

    def authorize(self, method: str = "GET", user: str = "", **changes: str | None) -> Response:
        """Open the sign-in page, or choose a user on it; None leaves a parameter out."""
        asked = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": PAGE,
            "scope": "openid",
            "state": STATE,
            "nonce": "made-up-nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return self.send(method, "/authorize", query, urlencode({"user": user}))

    def code(self, user: str = "admin", **changes: str | None) -> str:
        return returned(self.authorize("POST", user, **changes))["code"]

    def token(self, code: str, *, content_type: str = FORM, **changes: str | None) -> tuple[int, dict[str, Any]]:
        sent = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "redirect_uri": PAGE,
            "code": code,
            "code_verifier": VERIFIER,
            **changes,
        }
        body = urlencode({name: value for name, value in sent.items() if value is not None})
        response = self.send("POST", "/token", body=body, content_type=content_type)
        assert dict(response.headers)["Cache-Control"] == "no-store"
        return response.status, json.loads(response.body)

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        key = jwt.PyJWKSet.from_dict(self.sign_in.issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=URL)


def returned(response: Response) -> dict[str, str]:
    """Return the parameters with which a response redirects to the console's page."""
    assert response.status == 303
    target = urlsplit(dict(response.headers)["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" in {PAGE, PAGE.replace("127.0.0.1", "localhost")}
    return dict(parse_qsl(target.query))


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.mark.parametrize(("user", "sub", "role"), [("admin", "local-admin", "admin"), ("other", "local-user", "user")])
def test_code_flow_returns_the_tokens_of_the_chosen_user(browser: Browser, user: str, sub: str, role: str) -> None:
    """The state passes through unchanged; the ID token has the nonce and another audience."""
    answer = returned(browser.authorize("POST", user))

    assert answer.keys() == {"code", "state"}
    assert answer["state"] == STATE
    status, tokens = browser.token(answer["code"])
    assert (status, tokens["token_type"], tokens["expires_in"], tokens["scope"]) == (200, "Bearer", 3600, "openid")
    access, identity = browser.claims(tokens["access_token"], AUDIENCE), browser.claims(tokens["id_token"], CLIENT_ID)
    assert (access["sub"], access["role"], access["exp"] - access["iat"]) == (sub, role, 3600)
    assert access["email"] == identity["email"] == f"{sub}@example.com"
    assert (identity["sub"], identity["nonce"]) == (sub, "made-up-nonce")
    assert "role" not in identity
    assert "nonce" not in access


def test_lifetime_of_tokens_can_be_changed(browser: Browser) -> None:
    """The setting applies to the next sign-in."""
    browser.sign_in.seconds = 5

    _, tokens = browser.token(browser.code())

    claims = browser.claims(tokens["access_token"], AUDIENCE)
    assert (tokens["expires_in"], claims["exp"] - claims["iat"]) == (5, 5)


def test_page_offers_both_users_without_script(browser: Browser) -> None:
    """Its policy allows its one style sheet and its form, which may lead to the page that asked."""
    response = browser.authorize(redirect_uri=PAGE.replace("127.0.0.1", "localhost"))

    assert response.status == 200
    buttons = re.findall("<button [^>]*>([^<]+)</button>", response.body)
    assert buttons == [
        "Sign in as administrator (Local Admin)",
        "Sign in as a user who is not an administrator",
        "Cancel",
    ]
    assert "<script" not in response.body
    policy = dict(response.headers)["Content-Security-Policy"]
    (style,) = re.findall("<style>([^<]+)</style>", response.body)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self' http://localhost:8000"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": "<b>other</b>"}, "Unknown client_id: use local-console."),
        ({"client_id": None}, "Unknown client_id"),
        ({"redirect_uri": None}, "Unknown redirect_uri"),
        ({"redirect_uri": "https://evil.example/console/index.html"}, "Unknown redirect_uri"),
        ({"redirect_uri": f"{PAGE}?x"}, "Unknown redirect_uri"),
        ({"redirect_uri": f"{URL}/console"}, "Unknown redirect_uri"),
        ({"redirect_uri": PAGE.upper()}, "Unknown redirect_uri"),
        ({"redirect_uri": f"{PAGE}@evil.example"}, "Unknown redirect_uri"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_client_or_page_is_not_redirected(
    browser: Browser, method: str, changes: dict[str, str | None], words: str
) -> None:
    """The error is a page of the provider, which repeats nothing of the request."""
    response = browser.authorize(method, "admin", **changes)

    assert (response.status, "Location" in dict(response.headers)) == (400, False)
    assert words in response.body
    assert "other" not in response.body
    assert "evil" not in response.body


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_other_errors_return_to_the_page_with_the_state(
    browser: Browser, changes: dict[str, str | None], error: str
) -> None:
    """No code is issued."""
    answer = returned(browser.authorize("POST", "admin", **changes))

    assert (answer["error"], answer["state"]) == (error, STATE)
    assert answer["error_description"]
    assert "code" not in answer


@pytest.mark.parametrize("user", ["none", "", "root"])
def test_cancelled_sign_in_returns_an_error(browser: Browser, user: str) -> None:
    """Only a known user signs in."""
    assert returned(browser.authorize("POST", user))["error"] == "access_denied"


def test_state_is_optional(browser: Browser) -> None:
    """An answer has a state only if the request has one."""
    assert returned(browser.authorize("POST", "admin", state=None)).keys() == {"code"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": VERIFIER.upper()}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"redirect_uri": PAGE.replace("127.0.0.1", "localhost")}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ({"code": "made-up"}, "invalid_grant"),
        ({"code": None}, "invalid_grant"),
        ({"content_type": "application/json"}, "invalid_request"),
    ],
)
def test_wrong_token_request_rejected(browser: Browser, changes: dict[str, Any], error: str) -> None:
    """The error has a code and a remedy, and there is no token."""
    code = browser.code()

    status, body = browser.token(**{"code": code, **changes})

    assert (status, body["error"]) == (400, error)
    assert set(body) == {"error", "error_description"}


def test_code_works_once(browser: Browser) -> None:
    """A second use fails, and a wrong verifier uses the code up."""
    code = browser.code()
    assert browser.token(code)[0] == 200
    assert browser.token(code)[1]["error"] == "invalid_grant"

    code = browser.code()
    browser.token(code, code_verifier="wrong")
    assert browser.token(code)[1]["error"] == "invalid_grant"


def test_code_expires_after_a_minute(browser: Browser) -> None:
    """A code works until, but not at, 60 seconds."""
    early, late = browser.code(), browser.code()

    browser.now = 59.9
    assert browser.token(early)[0] == 200
    browser.now = 60.0
    assert browser.token(late)[1]["error"] == "invalid_grant"


def test_discovery_names_the_endpoints_of_this_url(browser: Browser) -> None:
    """Every endpoint answers, and pages of other origins may read the metadata."""
    response = browser.send("GET", "/.well-known/openid-configuration")

    metadata = json.loads(response.body)
    assert metadata["issuer"] == URL
    endpoints = {name: metadata[f"{name}_endpoint"] for name in ("authorization", "token", "end_session")}
    assert endpoints == {
        "authorization": f"{URL}/authorize",
        "token": f"{URL}/token",
        "end_session": f"{URL}/end-session",
    }
    assert json.loads(browser.send("GET", metadata["jwks_uri"].removeprefix(URL)).body)["keys"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert dict(response.headers)["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("uri", "state", "location"),
    [(PAGE, None, PAGE), (PAGE, "a b", f"{PAGE}?state=a+b"), ("https://evil.example/", None, None), (None, None, None)],
)
def test_end_session_returns_to_the_page(
    browser: Browser, uri: str | None, state: str | None, location: str | None
) -> None:
    """To the console's page only; otherwise the provider says that the user is signed out."""
    asked = {"post_logout_redirect_uri": uri, "state": state, "client_id": CLIENT_ID}
    query = urlencode({name: value for name, value in asked.items() if value is not None})

    response = browser.send("GET", "/end-session", query)

    assert dict(response.headers).get("Location") == location
    assert ("signed out" in response.body) == (location is None)


@pytest.mark.parametrize(("method", "path"), [("GET", "/token"), ("PUT", "/authorize"), ("GET", "/api"), ("GET", "/")])
def test_other_paths_are_not_the_providers(browser: Browser, method: str, path: str) -> None:
    """They are left to the API."""
    assert browser.sign_in.handle(Request(method, path)) is None
