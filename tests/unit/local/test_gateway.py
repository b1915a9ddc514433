"""HTTP requests to the API of the small project in conftest.py."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.raw_http import ask

if TYPE_CHECKING:
    import requests

    from local.stack import LocalStack

ALLOW = {"Authorization": "allow"}


def _event(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    event: dict[str, Any] = response.json()
    return event


def test_a_function_gets_the_event_of_a_rest_api(stack: LocalStack, client: requests.Session) -> None:
    response = client.get(
        f"{stack.url}/things/a%2Fb%20c?x=1&x=2&empty=", headers={**ALLOW, "X-Client": "curl", "User-Agent": "test"}
    )

    event = _event(response)
    assert event["resource"] == "/things/{id}"
    assert event["path"] == "/things/a%2Fb%20c"
    assert event["pathParameters"] == {"id": "a%2Fb%20c"}
    assert event["queryStringParameters"] == {"x": "2", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"], "empty": [""]}
    assert event["headers"]["X-Client"] == "curl"
    assert (event["body"], event["isBase64Encoded"], event["stageVariables"]) == (None, False, None)
    context = event["requestContext"]
    assert context["path"] == event["path"]
    assert context["requestId"] == response.headers["x-amzn-RequestId"]
    assert context["extendedRequestId"] == response.headers["x-amz-apigw-id"]
    assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "test"}
    assert (context["httpMethod"], context["resourcePath"], context["stage"]) == ("GET", "/things/{id}", "live")


def test_authorizer_context_is_passed_as_strings(stack: LocalStack, client: requests.Session) -> None:
    """Booleans and numbers of the authorizer's context reach the function as strings."""
    event = _event(client.post(f"{stack.url}/things", headers=ALLOW))

    assert event["requestContext"]["authorizer"] == {"principalId": "ada", "admin": "true", "level": "3"}
    assert event["queryStringParameters"] is None
    assert event["pathParameters"] is None


def test_body_is_decoded_as_utf8(stack: LocalStack, client: requests.Session) -> None:
    """Invalid UTF-8 bytes become replacement characters."""
    event = _event(client.post(f"{stack.url}/things", headers=ALLOW, data=b"caf\xc3\xa9 \xff"))

    assert event["body"] == "café �"


def test_chunked_body(stack: LocalStack, client: requests.Session) -> None:
    """A body with chunked transfer encoding is joined."""
    event = _event(client.post(f"{stack.url}/things", headers=ALLOW, data=iter([b"one ", b"two"])))

    assert event["body"] == "one two"


def test_headers_keep_their_spelling_and_all_their_values(stack: LocalStack) -> None:
    address = urlsplit(stack.url)
    request = f"GET /open HTTP/1.1\r\nHost: {address.netloc}\r\nx-tAg: one\r\nx-tAg: two\r\nConnection: close\r\n\r\n"

    with socket.create_connection((address.hostname, address.port)) as connection, connection.makefile("rb") as reply:
        connection.sendall(request.encode())
        event = json.loads(reply.read().partition(b"\r\n\r\n")[2])

    assert event["headers"]["x-tAg"] == "two"
    assert event["multiValueHeaders"]["x-tAg"] == ["one", "two"]


def test_a_route_without_an_authorizer_needs_no_token(stack: LocalStack, client: requests.Session) -> None:
    event = _event(client.get(f"{stack.url}/open"))

    assert "authorizer" not in event["requestContext"]


def test_static_path_precedes_path_parameter(stack: LocalStack, client: requests.Session) -> None:
    """`/things/mine` matches before `/things/{id}`, with or without a trailing slash."""
    assert _event(client.get(f"{stack.url}/things/mine", headers=ALLOW))["resource"] == "/things/mine"
    assert _event(client.get(f"{stack.url}/things/mine/", headers=ALLOW))["resource"] == "/things/mine"


def test_a_response_has_the_functions_headers(stack: LocalStack, client: requests.Session) -> None:
    response = client.get(f"{stack.url}/open")

    assert response.headers["X-One"] == "1"
    assert response.headers["X-Two"] == "a, b"
    assert response.headers["Content-Type"] == "application/json"


def test_headers_that_belong_to_api_gateway_are_renamed(stack: LocalStack, client: requests.Session) -> None:
    answer = {"statusCode": 401, "headers": {"WWW-Authenticate": "Bearer"}, "body": None}

    response = client.get(f"{stack.url}/open", params={"answer": json.dumps(answer)})

    assert response.status_code == 401
    assert response.headers["x-amzn-Remapped-WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize(("method", "path"), [("GET", "/elsewhere"), ("PUT", "/things"), ("HEAD", "/open")])
def test_unknown_route_returns_404_without_token(
    stack: LocalStack, client: requests.Session, method: str, path: str
) -> None:
    """Unknown paths and methods are 404 before authorization."""
    response = client.request(method, f"{stack.url}{path}")

    assert response.status_code == 404
    assert method == "HEAD" or response.json() == {"code": "where"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "unauthorized"}])
def test_missing_or_rejected_token_returns_401(
    stack: LocalStack, client: requests.Session, headers: dict[str, str]
) -> None:
    """A missing or empty header and an Unauthorized exception have the same response."""
    response = client.post(f"{stack.url}/things", headers=headers)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json() == {"code": "who", "id": response.headers["x-amzn-RequestId"]}


@pytest.mark.parametrize(
    ("token", "reason"),
    [("deny", " with an explicit deny"), ("both", " with an explicit deny"), ("elsewhere", "")],
)
def test_policy_without_allow_returns_403(stack: LocalStack, client: requests.Session, token: str, reason: str) -> None:
    """A policy must allow the called method and must not deny it."""
    response = client.post(f"{stack.url}/things", headers={"Authorization": token})

    assert response.status_code == 403
    message = f"User is not authorized to access this resource{reason}"
    assert response.json() == {"type": "ACCESS_DENIED", "message": message}


def test_a_policy_may_allow_by_wildcard(stack: LocalStack, client: requests.Session) -> None:
    assert client.post(f"{stack.url}/things", headers={"Authorization": "allow-all"}).status_code == 200


@pytest.mark.parametrize("token", ["crash", "nonsense", "nested"])
def test_failing_authorizer_returns_500(stack: LocalStack, client: requests.Session, token: str) -> None:
    """An authorizer that raises or returns an invalid policy is a configuration error."""
    response = client.post(f"{stack.url}/things", headers={"Authorization": token})

    assert response.status_code == 500
    assert response.json() == {"type": "AUTHORIZER_CONFIGURATION_ERROR"}
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "answer",
    [
        "error",
        '"text"',
        '{"body": "no status"}',
        '{"statusCode": "x"}',
        '{"statusCode": 200, "body": {}}',
        '{"statusCode": 200, "status": 200}',
        '{"statusCode": 200, "headers": ["a"]}',
    ],
)
def test_failing_function_returns_502(stack: LocalStack, client: requests.Session, answer: str) -> None:
    """An exception or an invalid response is 502, without details."""
    response = client.get(f"{stack.url}/open", params={"answer": answer})

    assert response.status_code == 502
    assert response.json() == {"type": "DEFAULT_5XX"}


def test_body_over_ten_megabytes_returns_413(stack: LocalStack, client: requests.Session) -> None:
    """API Gateway limits a request body to 10 MB."""
    response = client.post(f"{stack.url}/things", headers=ALLOW, data=b"x" * (10 * 1024 * 1024 + 1))

    assert response.status_code == 413
    assert response.json()["type"] == "REQUEST_TOO_LARGE"


@pytest.mark.parametrize("path", ["/things/%", "/things/%2", "/things/%zz", "/things/1?x=%", "/things/1?x=%G0"])
def test_invalid_percent_encoding_returns_400(stack: LocalStack, path: str) -> None:
    """API Gateway rejects the request before routing and authorization."""
    answer = ask(stack.url, "GET", path)

    assert (answer.status, json.loads(answer.body)) == (400, {"type": "DEFAULT_4XX", "message": "Bad Request"})
    assert answer.headers["x-amzn-errortype"] == "BadRequestException"


@pytest.mark.parametrize(
    ("method", "path", "headers", "error_type"),
    [
        ("GET", "/elsewhere", {}, "MissingAuthenticationTokenException"),
        ("POST", "/things", {}, "UnauthorizedException"),
        ("POST", "/things", {"Authorization": "unauthorized"}, "UnauthorizedException"),
        ("POST", "/things", {"Authorization": "deny"}, "AccessDeniedException"),
        ("POST", "/things", {"Authorization": "crash"}, "AuthorizerConfigurationException"),
        ("GET", "/open?answer=error", {}, "InternalServerErrorException"),
        ("GET", "/open", {}, None),
        ("OPTIONS", "/things", {}, None),
    ],
)
def test_gateway_responses_name_the_type_of_the_error(
    stack: LocalStack, client: requests.Session, method: str, path: str, headers: dict[str, str], error_type: str | None
) -> None:
    """The header has API Gateway's name for the error, even if the API changes status and body."""
    response = client.request(method, stack.url + path, headers=headers)

    assert response.headers.get("x-amzn-ErrorType") == error_type
    assert response.headers["x-amzn-RequestId"]
    assert len(response.headers["x-amz-apigw-id"]) == 16


@pytest.mark.parametrize("path", ["/open", "/elsewhere"])
def test_a_client_may_choose_the_request_id(stack: LocalStack, client: requests.Session, path: str) -> None:
    """As on AWS, a client can set the request id; only the extended id is trustworthy."""
    headers = {"x-AMZN-requestid": "chosen-by-the-client", "x-amz-apigw-id": "chosen-by-the-client"}

    response = client.get(stack.url + path, headers=headers)

    assert response.headers["x-amzn-RequestId"] == "chosen-by-the-client"
    assert response.headers["x-amz-apigw-id"] != "chosen-by-the-client"
    if path == "/open":
        context = response.json()["requestContext"]
        assert context["requestId"] == "chosen-by-the-client"
        assert context["extendedRequestId"] == response.headers["x-amz-apigw-id"]


@pytest.mark.parametrize("chosen", ["", "two words", '"quoted"', "x" * 129])
def test_invalid_request_id_is_replaced(stack: LocalStack, client: requests.Session, chosen: str) -> None:
    """API Gateway accepts tokens of up to 128 characters."""
    response = client.get(f"{stack.url}/open", headers={"x-amzn-RequestId": chosen})

    assert response.headers["x-amzn-RequestId"] not in {"", chosen}


def test_response_over_six_megabytes_returns_502(stack: LocalStack, client: requests.Session) -> None:
    """Lambda limits a response to 6 MB."""
    response = client.post(f"{stack.url}/things", headers=ALLOW, data=b"x" * (6 * 1024 * 1024))

    assert (response.status_code, response.json()) == (502, {"type": "DEFAULT_5XX"})


def test_a_preflight_needs_no_token(stack: LocalStack, client: requests.Session) -> None:
    response = client.options(f"{stack.url}/things/1")

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert response.headers["Access-Control-Allow-Methods"] == "GET,POST"


def test_jwks_needs_no_token(stack: LocalStack, client: requests.Session) -> None:
    """The issuer's JWKS is public."""
    assert client.get(f"{stack.url}/.well-known/jwks.json").json() == stack.issuer.jwks()
