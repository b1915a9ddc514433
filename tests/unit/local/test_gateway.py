"""HTTP requests to the API of the small project in conftest.py."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.raw_http import ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stack import LocalStack

ALLOW = {"Authorization": "allow"}


def event_of(stack: LocalStack, method: str, path: str, headers: Mapping[str, str | None], body: bytes = b"") -> Any:
    """Return the event that the function got, which it returns."""
    response = ask(stack.url, method, path, headers, body)
    assert response.status == 200, response.body
    return json.loads(response.body)


def test_a_function_gets_the_event_of_a_rest_api(stack: LocalStack) -> None:
    """Path and query keep their encoding and repetitions; the ids are those of the response."""
    headers = {**ALLOW, "X-Client": "curl", "User-Agent": "test"}
    response = ask(stack.url, "GET", "/things/a%2Fb%20c?x=1&x=2&empty=", headers)

    event = json.loads(response.body)
    assert (event["resource"], event["path"]) == ("/things/{id}", "/things/a%2Fb%20c")
    assert event["pathParameters"] == {"id": "a%2Fb%20c"}
    assert event["queryStringParameters"] == {"x": "2", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"], "empty": [""]}
    assert event["headers"]["X-Client"] == "curl"
    assert (event["body"], event["isBase64Encoded"], event["stageVariables"]) == (None, False, None)
    context = event["requestContext"]
    assert context["path"] == event["path"]
    assert context["requestId"] == response.headers["x-amzn-requestid"]
    assert context["extendedRequestId"] == response.headers["x-amz-apigw-id"]
    assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "test"}
    assert (context["httpMethod"], context["resourcePath"], context["stage"]) == ("GET", "/things/{id}", "live")


def test_authorizer_context_is_passed_as_strings(stack: LocalStack) -> None:
    """Booleans and numbers of the authorizer's context reach the function as strings."""
    event = event_of(stack, "POST", "/things", ALLOW)

    assert event["requestContext"]["authorizer"] == {"principalId": "ada", "admin": "true", "level": "3"}
    assert (event["queryStringParameters"], event["pathParameters"]) == (None, None)


@pytest.mark.parametrize(
    ("headers", "sent", "body"),
    [
        ({}, b"caf\xc3\xa9 \xff", "café �"),
        ({"Content-Length": None, "Transfer-Encoding": "chunked"}, b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n", "one two"),
    ],
)
def test_body_is_decoded(stack: LocalStack, headers: dict[str, str | None], sent: bytes, body: str) -> None:
    """Invalid UTF-8 bytes become replacement characters, and chunks are joined."""
    assert event_of(stack, "POST", "/things", {**ALLOW, **headers}, sent)["body"] == body


def test_headers_keep_their_spelling_and_all_their_values(stack: LocalStack) -> None:
    """The last value is in `headers`, all of them are in `multiValueHeaders`."""
    address = urlsplit(stack.url)
    request = f"GET /open HTTP/1.1\r\nHost: {address.netloc}\r\nx-tAg: one\r\nx-tAg: two\r\nConnection: close\r\n\r\n"

    with socket.create_connection((address.hostname, address.port)) as connection, connection.makefile("rb") as reply:
        connection.sendall(request.encode())
        event = json.loads(reply.read().partition(b"\r\n\r\n")[2])

    assert event["headers"]["x-tAg"] == "two"
    assert event["multiValueHeaders"]["x-tAg"] == ["one", "two"]


@pytest.mark.parametrize(
    ("method", "path", "authorization", "resource"),
    [
        ("GET", "/open", None, "/open"),
        ("POST", "/things", "allow-all", "/things"),
        ("GET", "/things/mine", "allow", "/things/mine"),
        ("GET", "/things/mine/", "allow", "/things/mine"),
    ],
)
def test_allowed_request_reaches_its_route(
    stack: LocalStack, method: str, path: str, authorization: str | None, resource: str
) -> None:
    """A route may be open, a policy may have wildcards, and literal segments precede parameters."""
    event = event_of(stack, method, path, {"Authorization": authorization})

    assert event["resource"] == resource
    assert ("authorizer" in event["requestContext"]) == (authorization is not None)


def test_a_response_has_the_functions_headers(stack: LocalStack) -> None:
    """Values are strings, and JSON is the default media type."""
    headers = requests.get(f"{stack.url}/open", timeout=30).headers

    assert (headers["X-One"], headers["X-Two"], headers["Content-Type"]) == ("1", "a, b", "application/json")
    assert "x-amzn-ErrorType" not in headers


def test_headers_that_belong_to_api_gateway_are_renamed(stack: LocalStack) -> None:
    """A function cannot set WWW-Authenticate."""
    result = {"statusCode": 401, "headers": {"WWW-Authenticate": "Bearer"}, "body": None}

    response = requests.get(f"{stack.url}/open", params={"answer": json.dumps(result)}, timeout=30)

    assert (response.status_code, response.headers["x-amzn-Remapped-WWW-Authenticate"]) == (401, "Bearer")
    assert "WWW-Authenticate" not in response.headers


INVALID_RESULTS = (
    *('"text"', '{"body":"no_status"}', '{"statusCode":"x"}', '{"statusCode":200,"body":{}}'),
    *('{"statusCode":200,"status":200}', '{"statusCode":200,"headers":["a"]}'),
)
INVALID_ENCODINGS = ("/things/%", "/things/%2", "/things/%zz", "/things/1?x=%", "/things/1?x=%G0")
MISSING = (404, "MissingAuthenticationTokenException", {"code": "where"})
UNAUTHORIZED = (401, "UnauthorizedException", {"code": "who", "id": "ID"})
DENIED = "User is not authorized to access this resource"
IMPLICITLY_DENIED = (403, "AccessDeniedException", {"type": "ACCESS_DENIED", "message": DENIED})
EXPLICITLY_DENIED = (*IMPLICITLY_DENIED[:2], {"type": "ACCESS_DENIED", "message": f"{DENIED} with an explicit deny"})
MISCONFIGURED = (500, "AuthorizerConfigurationException", {"type": "AUTHORIZER_CONFIGURATION_ERROR"})
FAILED = (502, "InternalServerErrorException", {"type": "DEFAULT_5XX"})
INVALID = (400, "BadRequestException", {"type": "DEFAULT_4XX", "message": "Bad Request"})


@pytest.mark.parametrize(
    ("method", "path", "authorization", "expected"),
    [
        ("GET", "/elsewhere", None, MISSING),
        ("PUT", "/things", None, MISSING),
        ("HEAD", "/open", None, MISSING),
        ("POST", "/things", None, UNAUTHORIZED),
        ("POST", "/things", "", UNAUTHORIZED),
        ("POST", "/things", "unauthorized", UNAUTHORIZED),
        ("POST", "/things", "deny", EXPLICITLY_DENIED),
        ("POST", "/things", "both", EXPLICITLY_DENIED),
        ("POST", "/things", "elsewhere", IMPLICITLY_DENIED),
        ("POST", "/things", "crash", MISCONFIGURED),
        ("POST", "/things", "nonsense", MISCONFIGURED),
        ("POST", "/things", "nested", MISCONFIGURED),
        ("GET", "/open?answer=error", None, FAILED),
        *(("GET", f"/open?answer={result}", None, FAILED) for result in INVALID_RESULTS),
        *(("GET", path, None, INVALID) for path in INVALID_ENCODINGS),
    ],
)
def test_gateway_response(
    stack: LocalStack, method: str, path: str, authorization: str | None, expected: tuple[int, str, dict[str, str]]
) -> None:
    """An error has the template's response for its type, and API Gateway's name in a header, without details."""
    response = ask(stack.url, method, path, {"Authorization": authorization})

    status, error_type, body = expected
    headers = response.headers
    assert (response.status, headers["x-amzn-errortype"]) == (status, error_type)
    shown = response.body.decode().replace(headers["x-amzn-requestid"], "ID")
    assert shown == "" if method == "HEAD" else json.loads(shown) == body
    assert len(headers["x-amz-apigw-id"]) == 16
    assert headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert headers.get("cache-control") == ("no-store" if status >= 500 else None)


@pytest.mark.parametrize(
    ("megabytes", "excess", "status", "kind"),
    [(10, 1, 413, "REQUEST_TOO_LARGE"), (6, 0, 502, "DEFAULT_5XX")],
)
def test_size_limits(stack: LocalStack, megabytes: int, excess: int, status: int, kind: str) -> None:
    """API Gateway limits a request's body to 10 MB, and Lambda a response to 6 MB."""
    response = ask(stack.url, "POST", "/things", ALLOW, b"x" * (megabytes * 1024 * 1024 + excess))

    assert (response.status, json.loads(response.body)["type"]) == (status, kind)


@pytest.mark.parametrize("path", ["/open", "/elsewhere"])
def test_a_client_may_choose_the_request_id(stack: LocalStack, path: str) -> None:
    """As on AWS, a client can set the request id; only the extended id is trustworthy."""
    chosen = "chosen-by-the-client"

    response = ask(stack.url, "GET", path, {"x-AMZN-requestid": chosen, "x-amz-apigw-id": chosen})

    extended = response.headers["x-amz-apigw-id"]
    assert (response.headers["x-amzn-requestid"], extended != chosen) == (chosen, True)
    if path == "/open":
        context = json.loads(response.body)["requestContext"]
        assert (context["requestId"], context["extendedRequestId"]) == (chosen, extended)


@pytest.mark.parametrize("chosen", ["", "two words", '"quoted"', "x" * 129])
def test_invalid_request_id_is_replaced(stack: LocalStack, chosen: str) -> None:
    """API Gateway accepts tokens of up to 128 characters."""
    response = ask(stack.url, "GET", "/open", {"x-amzn-RequestId": chosen})

    assert response.headers["x-amzn-requestid"] not in {"", chosen}


def test_a_preflight_needs_no_token(stack: LocalStack) -> None:
    """API Gateway responds itself, with the CORS headers of the template."""
    response = ask(stack.url, "OPTIONS", "/things/1")

    assert (response.status, "x-amzn-errortype" in response.headers) == (200, False)
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert response.headers["access-control-allow-methods"] == "GET,POST"


def test_jwks_needs_no_token(stack: LocalStack) -> None:
    """The issuer's JWKS is public."""
    assert json.loads(ask(stack.url, "GET", "/.well-known/jwks.json").body) == stack.issuer.jwks()
