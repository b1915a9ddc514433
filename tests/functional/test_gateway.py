"""Behaviour that needs HTTP: tokens, routes, CORS and the errors that API Gateway creates itself."""

import json
from typing import Any

import pytest
import requests

from local.stack import LocalStack
from tests.functional.conftest import COLLECTION, SECRET, ApiResponse, HttpAdmin, Store

ORIGIN = "http://localhost:3000"


@pytest.fixture
def http(stack: LocalStack, store: Store) -> HttpAdmin:
    return HttpAdmin(stack)


def call(http: HttpAdmin, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> ApiResponse:
    return HttpAdmin.call(http, method, path, body=body, headers=headers)


ROUTES = [
    ("POST", COLLECTION),
    ("GET", COLLECTION),
    ("GET", f"{COLLECTION}/spotify.0123456789ab"),
    ("PUT", f"{COLLECTION}/spotify.0123456789ab"),
    ("PATCH", f"{COLLECTION}/spotify.0123456789ab"),
    ("DELETE", f"{COLLECTION}/spotify.0123456789ab"),
    ("POST", f"{COLLECTION}/spotify.0123456789ab/verify"),
]


def assert_error(answer: requests.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    body = answer.json()
    assert body.keys() == {"success", "error", "requestId"}
    assert body["success"] is False
    assert body["error"].keys() == {"code", "message"}
    assert body["error"]["code"] == code
    assert body["requestId"]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YWRhOmE=", "expired", "foreign"]
)
def test_every_route_rejects_invalid_tokens(
    stack: LocalStack, store: Store, method: str, path: str, authorization: str | None
) -> None:
    """Return 401 and change nothing."""
    tokens = {
        "expired": lambda: f"Bearer {stack.issuer.token(hours=-1)}",
        "foreign": lambda: f"Bearer {type(stack.issuer).generate().token()}",
    }
    value = tokens[authorization]() if authorization in tokens else authorization
    headers = {} if value is None else {"Authorization": value}

    answer = requests.request(method, stack.url + path, headers=headers, timeout=30)

    assert_error(answer, 401, "AUTHENTICATION_REQUIRED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert store.items() == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_rejects_tokens_without_the_admin_claim(stack: LocalStack, method: str, path: str) -> None:
    """Return 403 for a valid token of an ordinary user."""
    token = stack.issuer.token(sub="eve", role="listener")

    answer = requests.request(method, stack.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    assert_error(answer, 403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/v1/admin"),
        ("GET", "/api/v1/admin/api-keys/a/b"),
        ("GET", f"{COLLECTION}/spotify.0123456789ab/verify"),
        ("GET", "/api/v2/admin/api-keys"),
        ("PUT", COLLECTION),
        ("DELETE", COLLECTION),
        ("POST", f"{COLLECTION}/spotify.0123456789ab"),
    ],
)
def test_an_unknown_route_returns_404(http: HttpAdmin, method: str, path: str) -> None:
    """Return ROUTE_NOT_FOUND for an unknown path or method."""
    headers = {"Authorization": f"Bearer {http.token}"}

    assert_error(requests.request(method, http.stack.url + path, headers=headers, timeout=30), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("path", [COLLECTION, f"{COLLECTION}/spotify.0123456789ab"])
def test_preflight_needs_no_token(stack: LocalStack, path: str) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}

    answer = requests.options(stack.url + path, headers=headers, timeout=30)

    assert answer.ok
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(","))
    allowed = {header.lower() for header in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed == {"authorization", "content-type", "idempotency-key", "if-match"}


def test_function_responses_have_cors_headers(http: HttpAdmin) -> None:
    """Return the allowed origin and the exposed headers with success and with errors."""
    answers = [http.send("POST", COLLECTION, {"name": "One", "key": SECRET}), http.get("nothing")]

    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert exposed == {"ETag", "Location", "Idempotency-Replayed", "Retry-After", "WWW-Authenticate"}


@pytest.mark.parametrize("authorization", ["bearer", "BEARER"])
def test_the_authorization_scheme_is_case_insensitive(http: HttpAdmin, authorization: str) -> None:
    """Accept `bearer` and `BEARER`."""
    assert call(http, "GET", COLLECTION, {"Authorization": f"{authorization} {http.token}"}).status == 200


def test_header_names_are_case_insensitive(http: HttpAdmin) -> None:
    """Honor headers sent in upper case."""
    key = http.create()
    headers = {"CONTENT-TYPE": "application/json", "IF-MATCH": '"7"'}

    answer = call(http, "PATCH", f"{COLLECTION}/{key['id']}", headers, b'{"active": false}')

    assert answer.code == "VERSION_CONFLICT"


# --- bad input ------------------------------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", JSON, 400, "VALIDATION_ERROR"),
        (b"{", JSON, 400, "VALIDATION_ERROR"),
        (b"\xff\xfe{}", JSON, 400, "VALIDATION_ERROR"),
        (b"[" * 10_000, JSON, 400, "VALIDATION_ERROR"),
        (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, JSON, 400, "VALIDATION_ERROR"),
        (b'{"key": {"a": ' + b'{"b": ' * 1_000 + b"1" + b"}" * 1_002, JSON, 400, "VALIDATION_ERROR"),
        (b'{"name": 1e999, "key": 1e999}', JSON, 400, "VALIDATION_ERROR"),
        (b'{"name": "x", "name": "y"}', JSON, 400, "VALIDATION_ERROR"),
        (b'{"name": "\\ud800\\ud800", "key": "\\ud800aaaaaaaaa"}', JSON, 400, "VALIDATION_ERROR"),
        (b'{"name": "NUL\\u0000", "key": "aaaaaaaa\\u0000aaaaaaaa"}', JSON, 400, "VALIDATION_ERROR"),
        (b'{"name": "Two", "key": "lost \xc3( lost"}', JSON, 400, "VALIDATION_ERROR"),
        (b'"' + b"x" * 16_384 + b'"', JSON, 413, "PAYLOAD_TOO_LARGE"),
        (b"x" * 11_000_000, JSON, 413, "PAYLOAD_TOO_LARGE"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"<key/>", {"Content-Type": "application/xml"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"{}", {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"{}", {"Content-Type": "application/json", "If-Match": "nonsense"}, 400, "VALIDATION_ERROR"),
    ],
)
def test_an_invalid_body_is_rejected(
    http: HttpAdmin, store: Store, method: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """Return the status and code of the error, and change nothing."""
    key = http.create("One")
    before = store.items()
    path = COLLECTION if method == "POST" else f"{COLLECTION}/{key['id']}"

    answer = call(http, method, path, headers, body)

    assert (answer.status, answer.code) == (status, code)
    assert answer.body["error"]["message"]
    assert store.items() == before


def test_a_response_of_get_is_no_valid_update(http: HttpAdmin, store: Store) -> None:
    """Return 400 with the read-only fields."""
    key = http.create()
    before = store.items()

    answer = http.update(key["id"], http.get(key["id"]).data, method="PUT")

    assert answer.status == 400
    fields = {detail["field"] for detail in answer.body["error"]["details"]}
    assert {"id", "maskedKey", "version", "service"} <= fields
    assert store.items() == before


@pytest.mark.parametrize(
    "query", ["limit=5&limit=6", "active=true&active=false", "%00=1", "limit=%F0%9F%94%91", "=", "cursor="]
)
def test_an_invalid_query_string_is_rejected(http: HttpAdmin, query: str) -> None:
    """Return 400 for repeated, empty and unknown parameters."""
    answer = call(http, "GET", f"{COLLECTION}?{query}", {})

    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")


def test_a_long_parameter_name_is_not_echoed(http: HttpAdmin) -> None:
    """Name the field "(query)" if the parameter's name is too long for one."""
    answer: Any = json.loads(call(http, "GET", f"{COLLECTION}?{'x' * 3000}=1", {}).text)

    assert answer["error"]["details"][0]["field"] == "(query)"
