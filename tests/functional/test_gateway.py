"""Behaviour that needs HTTP: tokens, routes, CORS and the errors that API Gateway creates itself."""

import pytest
import requests

from local.stack import LocalStack
from service_keys import __version__
from tests.functional.conftest import COLLECTION, SECRET, HttpAdmin, Store

ORIGIN = "http://localhost:3000"
KEY = f"{COLLECTION}/spotify.0123456789ab"
SERVICES = "/api/v1/admin/services"
ROUTES = [
    *(("POST", COLLECTION), ("GET", COLLECTION), ("GET", SERVICES)),
    *(("GET", KEY), ("PUT", KEY), ("PATCH", KEY), ("DELETE", KEY), ("POST", f"{KEY}/verify")),
    *(("POST", f"{KEY}/rollback"), ("POST", f"{KEY}/restore"), ("GET", f"{KEY}/history")),
]
UNKNOWN_ROUTES = [
    *(
        ("POST", "/"),
        ("POST", "/console"),
        ("GET", "/consoles"),
        ("GET", "/api/v1/admin"),
        ("GET", f"{COLLECTION}/a/b"),
        ("GET", "/api/v2/admin/api-keys"),
    ),
    *(("PUT", COLLECTION), ("DELETE", COLLECTION), ("POST", KEY), ("GET", f"{KEY}/verify")),
    *(("GET", f"{KEY}/rollback"), ("PUT", f"{KEY}/restore"), ("POST", f"{KEY}/history")),
    *(("POST", SERVICES), ("GET", f"{SERVICES}/spotify")),
]


def request(stack: LocalStack, method: str, path: str, authorization: str | None) -> requests.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return requests.request(method, stack.url + path, headers=headers, timeout=30)


def assert_error(response: requests.Response, status: int, code: str) -> None:
    body = response.json()
    error = {"code": code, "message": body["error"]["message"]}
    assert (response.status_code, body) == (status, {"success": False, "error": error, "requestId": body["requestId"]})
    assert body["requestId"]
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Service-Keys-Version"] == __version__
    assert "X-Service-Keys-Version" in response.headers["Access-Control-Expose-Headers"].split(", ")
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


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

    response = request(stack, method, path, tokens[authorization]() if authorization in tokens else authorization)

    assert_error(response, 401, "AUTHENTICATION_REQUIRED")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert store.items() == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_rejects_tokens_without_the_admin_claim(stack: LocalStack, method: str, path: str) -> None:
    """Return 403 for a valid token of an ordinary user."""
    token = stack.issuer.token(sub="eve", role="listener")

    assert_error(request(stack, method, path, f"Bearer {token}"), 403, "FORBIDDEN")


def test_changes_record_the_readable_name(stack: LocalStack, http: HttpAdmin, store: Store) -> None:
    """Store the name in the token of each change, or null; a later change without a name removes the last one."""
    names = [stack.issuer.token(sub="bob"), stack.issuer.token(sub="eve", email=7, name="Eve é")]
    key = http.create()
    assert (key["createdBy"], key["createdByName"], key["updatedByName"]) == ("ada", None, None)

    http.token = names[0]
    after = http.update(key["id"], {"active": False, "key": SECRET}).data
    assert (after["updatedBy"], after["updatedByName"]) == ("bob", "bob@example.com")
    http.token = names[1]
    after = http.rollback(key["id"], If_Match='"2"').data
    assert (after["updatedBy"], after["updatedByName"], after["createdByName"]) == ("eve", "Eve é", None)
    assert http.delete(key["id"]).status == 200
    http.token = HttpAdmin(stack).token
    assert http.restore(key["id"]).data["updatedByName"] is None

    entries = http.history(key["id"]).data
    assert [(entry["by"], entry["byName"]) for entry in reversed(entries)] == [
        *(("ada", None), ("bob", "bob@example.com"), ("eve", "Eve é"), ("eve", "Eve é"), ("ada", None)),
    ]


@pytest.mark.parametrize(("method", "path"), UNKNOWN_ROUTES)
def test_an_unknown_route_returns_404(stack: LocalStack, method: str, path: str) -> None:
    """Return ROUTE_NOT_FOUND for an unknown path or method."""
    assert_error(request(stack, method, path, f"Bearer {stack.issuer.token()}"), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("path", [COLLECTION, KEY])
def test_preflight_needs_no_token(stack: LocalStack, path: str) -> None:
    """Return the allowed origin, methods and headers without an Authorization header."""
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}

    response = requests.options(stack.url + path, headers=headers, timeout=30)

    assert response.ok
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(response.headers["Access-Control-Allow-Methods"].split(","))
    allowed = {header.lower() for header in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed == {"authorization", "content-type", "idempotency-key", "if-match"}


def test_function_responses_have_cors_headers(http: HttpAdmin) -> None:
    """Return the allowed origin and the exposed headers with success and with errors."""
    responses = [http.send("POST", COLLECTION, {"name": "One", "key": SECRET}), http.get("nothing")]

    for response in responses:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert exposed == {
            *("ETag", "Location", "Idempotency-Replayed", "Retry-After", "WWW-Authenticate", "X-Service-Keys-Version")
        }
        assert response.headers["X-Service-Keys-Version"] == __version__


@pytest.mark.parametrize("authorization", ["bearer", "BEARER"])
def test_the_authorization_scheme_is_case_insensitive(http: HttpAdmin, authorization: str) -> None:
    """Accept `bearer` and `BEARER`."""
    assert http.call("GET", COLLECTION, headers={"Authorization": f"{authorization} {http.token}"}).status == 200


def test_header_names_are_case_insensitive(http: HttpAdmin) -> None:
    """Honor headers sent in upper case."""
    path = f"{COLLECTION}/{http.create()['id']}"
    headers = {"CONTENT-TYPE": "application/json", "IF-MATCH": '"7"'}

    response = http.call("PATCH", path, body=b'{"active": false}', headers=headers)

    assert response.code == "VERSION_CONFLICT"


# --- bad input ------------------------------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}


INVALID_JSON = [
    *(
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[" * 10_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"name": 1e999, "key": 1e999}',
    ),
    *(b'{"key": {"a": ' + b'{"b": ' * 1_000 + b"1" + b"}" * 1_002, b'{"name": "x", "name": "y"}'),
    b'{"name": "\\ud800\\ud800", "key": "\\ud800aaaaaaaaa"}',
    b'{"name": "NUL\\u0000", "key": "aaaaaaaa\\u0000aaaaaaaa"}',
    b'{"name": "Two", "key": "lost \xc3( lost"}',
]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
INVALID = [
    *((body, JSON, 400, "VALIDATION_ERROR") for body in INVALID_JSON),
    (b"{}", JSON | {"If-Match": "nonsense"}, 400, "VALIDATION_ERROR"),
    (b'"' + b"x" * 16_384 + b'"', JSON, 413, "PAYLOAD_TOO_LARGE"),
    (b"x" * 11_000_000, JSON, 413, "PAYLOAD_TOO_LARGE"),
    (b"{}", {"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    (b"name=x", FORM, 415, "UNSUPPORTED_MEDIA_TYPE"),
    (b"<key/>", {"Content-Type": "application/xml"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    (b"{}", {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(("body", "headers", "status", "code"), INVALID)
def test_an_invalid_body_is_rejected(
    http: HttpAdmin, store: Store, method: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """Return the status and code of the error, and change nothing."""
    key = http.create("One")
    before = store.items()

    response = http.call(
        method, COLLECTION if method == "POST" else f"{COLLECTION}/{key['id']}", body=body, headers=headers
    )

    assert (response.status, response.code) == (status, code)
    assert response.body["error"]["message"]
    assert store.items() == before


def test_a_response_of_get_is_no_valid_update(http: HttpAdmin, store: Store) -> None:
    """Return 400 with the read-only fields."""
    key = http.create()
    before = store.items()

    response = http.update(key["id"], http.get(key["id"]).data, method="PUT")

    assert response.status == 400
    fields = {detail["field"] for detail in response.body["error"]["details"]}
    assert {"id", "maskedKey", "version", "service"} <= fields
    assert store.items() == before


@pytest.mark.parametrize("query", ["active=true&active=false", "%00=1", "limit=%F0%9F%94%91", "=", "cursor="])
def test_an_invalid_query_string_is_rejected(http: HttpAdmin, query: str) -> None:
    """Return 400 for repeated, empty and unknown parameters."""
    response = http.call("GET", f"{COLLECTION}?{query}")

    assert (response.status, response.code) == (400, "VALIDATION_ERROR")
