"""The calls that are sent to two deployments of the API, and the comparison of their responses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests

from local.issuer import Issuer
from tests.functional.conftest import COLLECTION
from tests.functional.test_gateway import ORIGIN, ROUTES, SERVICES, UNKNOWN_ROUTES
from tests.support import contract
from tests.support.mistakes import KEY, MISTAKES, NAME, TAKEN

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = {"Content-Type": "application/json"}
SPOTIFY_KEY = {"clientId": "0123456789abcdef0123456789abcdef", "clientSecret": "fedcba9876543210fedcba9876543210"}
REPLACED_KEY = {"clientId": "0123456789abcdef0123456789abcdef", "clientSecret": "0" * 32}
RETRY = {"Idempotency-Key": "a-made-up-retry-key-0123456789"}
COMPARED_HEADERS = (
    *("access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin"),
    *("access-control-expose-headers", "access-control-max-age", "allow", "cache-control", "content-type", "etag"),
    *("idempotency-replayed", "location", "retry-after", "www-authenticate", "x-content-type-options"),
)
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.[0-9abcdefghjkmnpqrstvwxyz]{12}\b", re.IGNORECASE)
_VARIABLE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "(request id)"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "(time)"),
    (re.compile(r'("nextCursor": ")[^"]+'), r"\1(cursor)"),
)


@dataclass(frozen=True)
class Call:
    """A request; `{name}` in path and body is an id that a call with `keep` received.

    `token` is `admin`, `user`, `expired`, `foreign`, the value of the Authorization header, or None for no header.
    """

    title: str
    method: str
    path: str
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = "admin"
    keep: str = ""


@dataclass(frozen=True)
class Answer:
    """The comparable parts of a response."""

    status: int
    headers: Mapping[str, str]
    text: str

    def difference(self, other: Answer) -> str:
        """Return the parts that differ from those of another response; empty if none."""
        found = []
        if self.status != other.status:
            found.append(f"status {self.status}, not {other.status}")
        headers = ((name, self.headers.get(name), other.headers.get(name)) for name in COMPARED_HEADERS)
        found += [f"{name}: {ours}, not {theirs}" for name, ours, theirs in headers if ours != theirs]
        if self.text != other.text:
            found.append(f"body {self.text[:200]}, not {other.text[:200]}")
        return "; ".join(found)


class Api:
    """A deployment of the API.

    Args:
        url: The address of the stage.
        issuer: The issuer of the tokens.
        host: The Host header, if it differs.
    """

    def __init__(self, url: str, issuer: Issuer, host: str | None = None) -> None:
        self._url, self._headers = url, {"Host": host} if host else {}
        self._ids: dict[str, str] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self.tokens = {
            "admin": f"Bearer {issuer.token('ada')}",
            "user": f"Bearer {issuer.token('eve', 'listener')}",
            "expired": f"Bearer {issuer.token(hours=-1)}",
            "foreign": f"Bearer {Issuer.generate().at(issuer.url).token()}",
        }

    def send(self, call: Call) -> Answer:
        """Send a call; check its response against openapi.yaml, and return its comparable parts."""
        headers = {**self._headers, **call.headers}
        if call.token is not None:
            headers["Authorization"] = self.tokens.get(call.token, call.token)
        content = call.body if call.body is None or isinstance(call.body, bytes) else json.dumps(call.body).encode()
        path = self._filled(call.path)
        response = self._session.request(
            call.method, self._url + path, data=content, headers=headers, timeout=60, allow_redirects=False
        )
        text = response.content.decode(errors="replace")
        if call.keep:
            self._ids[call.keep] = json.loads(text)["data"]["id"]
        contract.check(call.method, path, response.status_code, response.headers, text)
        kept = {name: value for name, value in response.headers.items() if name.lower() in COMPARED_HEADERS}
        named = {name.lower(): self._normalized(value) for name, value in kept.items()}
        return Answer(response.status_code, named, self._normalized(text))

    def data(self, call: Call) -> Any:
        """Send a call that must succeed; return the data of its response."""
        headers = {**self._headers, **JSON, **call.headers, "Authorization": self.tokens["admin"]}
        response = self._session.request(
            call.method, self._url + self._filled(call.path), json=call.body, headers=headers, timeout=60
        )
        assert response.ok, response.text
        data = response.json()["data"]
        if call.keep:
            self._ids[call.keep] = data["id"]
        return data

    def _filled(self, text: str) -> str:
        for name, key_id in self._ids.items():
            text = text.replace(f"{{{name}}}", key_id)
        return text.replace("{ID}", self._ids.get("id", "").upper())

    def _normalized(self, text: str) -> str:
        for name, key_id in self._ids.items():
            text = text.replace(key_id, f"({name})")
        # Behind an address of API Gateway, a path has the stage.
        text = _ID.sub("(id)", text).replace("/live/api/", "/api/")
        for pattern, replacement in _VARIABLE:
            text = pattern.sub(replacement, text)
        return text


def _key(title: str, method: str, name: str, path: str = "", body: object = None, **headers: str) -> Call:
    sent = {each.replace("_", "-"): value for each, value in headers.items()}
    return Call(title, method, f"{COLLECTION}/{{{name}}}{path}", body, (JSON if body is not None else {}) | sent)


def _create(title: str, name: str, key: object, keep: str = "", headers: Mapping[str, str] = JSON, **more: Any) -> Call:
    return Call(title, "POST", COLLECTION, {"name": name, "key": key} | more, JSON | dict(headers), keep=keep)


SETUP = [
    _create("create Spotify", TAKEN, SPOTIFY_KEY, "spotify", service="spotify"),
    _create("create an unknown service", NAME, KEY, "id", service="intranet"),
    *(_key(f"describe it {number}", "PATCH", "id", body={"description": str(number)}) for number in range(3)),
]
GOOD = [
    _create(
        "create with a retry key", "OpenAI", f"sk-{KEY}", "openai", RETRY, service="openai", description="Ünïcödé ✓"
    ),
    _create("repeat it", "OpenAI", f"sk-{KEY}", "", RETRY, service="openai", description="Ünïcödé ✓"),
    _create("another request with its retry key", "OpenAI 2", f"sk-{KEY}", "", RETRY, service="openai"),
    _create("create PEM", "Apple", "-----BEGIN PRIVATE KEY-----\nmade/up\n-----END PRIVATE KEY-----\n", "apple"),
    _create("create an inactive key", "Anthropic", f"sk-ant-{KEY}", "anthropic", service="anthropic", active=False),
    Call("list", "GET", COLLECTION),
    Call("list the services", "GET", SERVICES),
    Call("list the services with a parameter", "GET", f"{SERVICES}?service=openai"),
    Call("list a page", "GET", f"{COLLECTION}?limit=2"),
    Call("list a service", "GET", f"{COLLECTION}?service=openai"),
    Call("list inactive keys", "GET", f"{COLLECTION}?active=false"),
    Call("list unverified keys", "GET", f"{COLLECTION}?verification=none&limit=100"),
    _key("get", "GET", "openai"),
    _key("get in percent encoding", "GET", "openai", "?"),
    _key("rename", "PATCH", "openai", body={"name": "OpenAI production"}, If_Match='"1"'),
    _key("replace", "PUT", "openai", body={"key": f"sk-another-{KEY}"}, If_Match='"2"'),
    _key("disable", "PATCH", "openai", body={"active": False}, If_Match="*"),
    _key("enable", "PATCH", "openai", body={"active": True, "description": None}),
    _key("verify OpenAI", "POST", "openai", "/verify"),
    _key("verify Spotify", "POST", "spotify", "/verify"),
    _key("verify an unknown service", "POST", "id", "/verify"),
    Call("list verified keys", "GET", f"{COLLECTION}?verification=valid"),
    _key("roll back without a version", "POST", "openai", "/rollback"),
    _key("roll back to any version", "POST", "openai", "/rollback", If_Match="*"),
    _key("roll back a stale version", "POST", "openai", "/rollback", If_Match='"1"'),
    _key("roll back", "POST", "openai", "/rollback", If_Match='"5"'),
    _key("roll back a key without a previous secret", "POST", "apple", "/rollback", If_Match='"1"'),
    _key("drop the previous secret", "PATCH", "openai", body={"keepPrevious": False}),
    _key("keep the previous secret", "PATCH", "openai", body={"keepPrevious": True}),
    _key("delete", "DELETE", "apple"),
    _key("get a deleted key", "GET", "apple"),
    _key("delete a deleted key", "DELETE", "apple"),
    Call("list deleted keys", "GET", f"{COLLECTION}?deleted=true"),
    _create("take the name of a deleted key", "Apple", KEY, "apple2"),
    _key("restore under a taken name", "POST", "apple", "/restore"),
    _key("restore under another name", "POST", "apple", "/restore", {"name": "Apple 2"}),
    _key("restore a key that is not deleted", "POST", "apple", "/restore"),
    _key("history", "GET", "apple", "/history"),
    _key("a page of the history", "GET", "openai", "/history?limit=2"),
    _key("an invalid page of the history", "GET", "openai", "/history?limit=0"),
    _key("delete permanently", "DELETE", "apple2", "?permanent=true", If_Match='"1"'),
    _key("history of a deleted key", "GET", "apple2", "/history"),
    _key("an invalid parameter of DELETE", "DELETE", "apple", "?permanent=maybe"),
    Call("list the services after the changes", "GET", SERVICES),
    Call("history of no key", "GET", f"{COLLECTION}/openai.0123456789ab/history"),
]
TOKENS = [
    *(Call("no token", method, path, token=None) for method, path in ROUTES),
    *(Call("a malformed token", method, path, token="Bearer a.b.c") for method, path in ROUTES),
    *(Call("a user's token", method, path, token="user") for method, path in ROUTES),
    *(
        Call(f"Authorization: {token}", "GET", COLLECTION, token=token)
        for token in ("", "Bearer", "Bearer x", "Basic YWRhOmE=", "expired", "foreign")
    ),
]
GATEWAY = [
    *(Call("an unknown route", method, path) for method, path in UNKNOWN_ROUTES),
    *(Call("an unknown route without a token", method, path, token=None) for method, path in UNKNOWN_ROUTES[:3]),
    *(
        Call("a preflight", "OPTIONS", path, None, {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}, None)
        for path in sorted({path for _, path in ROUTES})
    ),
    Call("HEAD", "HEAD", COLLECTION),
    Call("a form", "POST", COLLECTION, b"name=One", {"Content-Type": "application/x-www-form-urlencoded"}),
    Call("more than 10 MB", "POST", COLLECTION, b"x" * (10 * 1024 * 1024 + 1), JSON),
    Call("an empty segment", "GET", f"{COLLECTION}//openai.0123456789ab"),
    Call("an encoded slash", "GET", f"{COLLECTION}/openai.0123456789ab%2Fhistory"),
    Call("broken percent encoding", "GET", f"{COLLECTION}/%zz"),
]
CALLS = [
    *SETUP,
    *(Call(each.title, each.method, each.path, each.sent, each.headers) for each in MISTAKES),
    *GOOD,
    *TOKENS,
    *GATEWAY,
]
"""All calls in their order: later ones depend on earlier ones."""

EXPLAINED: Final = {
    "more than 10 MB": "the emulator has no limit; above 10 MB, API Gateway returns 413 itself (quotas: below)",
    "an empty segment": "the emulator collapses //; API Gateway has no route for an empty segment",
    "an encoded slash": "the emulator decodes %2F before it chooses the route; API Gateway afterwards",
}
"""The reason for the difference of each call that the emulator answers in another way, by title.

Quotas: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""
