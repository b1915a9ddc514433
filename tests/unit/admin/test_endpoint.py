"""Tests of the endpoint: result or error to response and log line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.events import rest_event
from service_keys import __version__, errors
from service_keys.admin.request import Request
from service_keys.admin.responses import Response
from service_keys.admin.schemas import parse_create
from tests.unit.admin.conftest import COLLECTION, ORIGIN, SECRET, event, failing, new, respond

if TYPE_CHECKING:
    from tests.conftest import Logged

ROUTE = COLLECTION + "/{id}"
KEY_ID = "spotify.0123456789ab"
INTERNAL_ERROR = {
    "code": "INTERNAL_SERVER_ERROR",
    "message": "Something went wrong on our side. Try again. If the problem persists, report the requestId.",
}
HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": ORIGIN,
    "X-Service-Keys-Version": __version__,
    "Access-Control-Expose-Headers": (
        "ETag, Location, Idempotency-Replayed, Retry-After, WWW-Authenticate, X-Service-Keys-Version"
    ),
}
ERRORS = [
    (errors.InvalidRequestError, 400, "VALIDATION_ERROR"),
    (errors.VerificationNotSupportedError, 400, "VERIFICATION_NOT_SUPPORTED"),
    (errors.AuthenticationRequiredError, 401, "AUTHENTICATION_REQUIRED"),
    (errors.KeyNotFoundError, 404, "API_KEY_NOT_FOUND"),
    (errors.DuplicateKeyNameError, 409, "DUPLICATE_API_KEY_NAME"),
    (errors.VersionConflictError, 412, "VERSION_CONFLICT"),
    (errors.PayloadTooLargeError, 413, "PAYLOAD_TOO_LARGE"),
    (errors.UnsupportedMediaTypeError, 415, "UNSUPPORTED_MEDIA_TYPE"),
    (errors.KeyStoreUnavailableError, 503, "SERVICE_UNAVAILABLE"),
    (errors.KeyAccessDeniedError, 500, "INTERNAL_SERVER_ERROR"),
    (errors.KeyCorruptedError, 500, "INTERNAL_SERVER_ERROR"),
    (RuntimeError, 500, "INTERNAL_SERVER_ERROR"),
]


def test_a_response_has_the_format_of_api_gateway() -> None:
    """Return status, headers, JSON body and the base64 flag."""
    assert respond(lambda _: Response(200, {"data": "•é"}, {"ETag": '"1"'})) == {
        "statusCode": 200,
        "headers": HEADERS | {"ETag": '"1"'},
        "body": '{"success": true, "data": "•é", "requestId": "request-1"}',
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize(("status", "success"), [(200, True), (201, True), (399, True), (400, False), (503, False)])
def test_success_is_any_status_below_400(status: int, *, success: bool) -> None:
    """Set `success` from the status."""
    assert json.loads(respond(lambda _: Response(status, {}))["body"])["success"] is success


@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_each_error_has_its_documented_status_and_code(error: type[Exception], status: int, code: str) -> None:
    """Return the message of the error, except with status 500."""
    response = respond(failing(error("no")))

    expected = INTERNAL_ERROR if status == 500 else {"code": code, "message": "no"}
    assert response["statusCode"] == status
    assert json.loads(response["body"]) == {"success": False, "error": expected, "requestId": "request-1"}


def test_error_details_are_bounded() -> None:
    """Return each error once and at most 20: unknown fields of 16 KB produced 400 KB of details."""
    names = [*(f"unknown{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(500)), *(f"_{n}" for n in range(500))]

    def create(request: Request) -> Response:
        return Response(200, {"data": parse_create(request.parse_body()).name})

    response = respond(create, event(body=json.dumps(dict.fromkeys(names, 1) | {"name": 7})))
    fields = [detail["field"] for detail in json.loads(response["body"])["error"]["details"]]
    assert fields[:2] == ["name", "key"]
    assert (len(fields), len(response["body"]) < 5000) == (20, True)

    response = respond(create, event(body=json.dumps(new(**dict.fromkeys(names[500:], 1)))))
    assert [detail["field"] for detail in json.loads(response["body"])["error"]["details"]] == ["(body)"]


# --- log lines ------------------------------------------------------------------------------------------------------


def log_line(logged: Logged, error: Exception, key_id: str = KEY_ID, **context: object) -> dict[str, Any]:
    """Return the log line of a failed update."""
    sent = rest_event("PATCH", f"{COLLECTION}/{key_id}", ROUTE, authorizer={"sub": "ada"}, request_id="request-1")
    sent["requestContext"] |= context
    respond(failing(error), sent)
    (line,) = logged()
    return line


@pytest.mark.parametrize(("error", "code"), [(error, code) for error, _, code in ERRORS])
def test_a_rejected_request_is_logged_with_its_principal(logged: Logged, error: type[Exception], code: str) -> None:
    """Log principal, method and route: many rejections for one principal indicate a stolen token."""
    line = log_line(logged, error("x"), extendedRequestId="S1h2iEXAMPLEjVw=")

    names = ("code", "principal", "method", "route", "keyId", "requestId", "extendedRequestId")
    expected = (code, "ada", "PATCH", ROUTE, KEY_ID, "request-1", "S1h2iEXAMPLEjVw=")
    assert tuple(line[name] for name in names) == expected


@pytest.mark.parametrize(
    "key_id", ["x" * 5000, "sk-made-up-secret", "a" * 41 + ".0123456789ab", "%0A{}", "SPOTIFY.0123456789ab"]
)
def test_an_invalid_key_id_is_not_logged(logged: Logged, key_id: str) -> None:
    """Log a path parameter only if it is a valid id."""
    line = log_line(logged, errors.KeyNotFoundError("x"), key_id)

    assert "keyId" not in line
    assert key_id not in json.dumps(line)
    assert len(json.dumps(line)) < 500


def test_an_event_without_an_extended_request_id_is_accepted(logged: Logged) -> None:
    """Accept events of other invokers, such as sam local, which send none."""
    assert "extendedRequestId" not in log_line(logged, errors.KeyNotFoundError("x"), extendedRequestId=None)
    sent = event()
    del sent["requestContext"]["extendedRequestId"]

    assert Request(sent, at_ms=1).context.extended_request_id is None
    assert respond(lambda _: Response(200, {}), sent)["statusCode"] == 200


def test_a_client_error_returns_its_details_and_logs_its_code(logged: Logged) -> None:
    """Return common headers and the details in order; log at INFO without the message and the request."""
    details = (errors.FieldError("name", "give one"), errors.FieldError(SECRET, "give a key"))

    response = respond(failing(errors.InvalidRequestError("Some fields.", details)), event(body=SECRET))

    assert response["headers"] == HEADERS
    assert json.loads(response["body"])["error"] == {
        "code": "VALIDATION_ERROR",
        "message": "Some fields.",
        "details": [{"field": "name", "message": "give one"}, {"field": SECRET, "message": "give a key"}],
    }
    (line,) = logged()
    assert (line["level"], line["message"], line["code"]) == ("INFO", "Request refused", "VALIDATION_ERROR")
    assert SECRET not in json.dumps(line)


def test_a_transient_error_has_retry_after_and_logs_a_warning(logged: Logged) -> None:
    """Return 503."""
    response = respond(failing(errors.KeyStoreUnavailableError("Busy.", retry_after=7)))

    assert (response["statusCode"], response["headers"]["Retry-After"]) == (503, "7")
    (line,) = logged()
    assert (line["level"], line["message"], line["code"]) == ("WARNING", "Busy.", "SERVICE_UNAVAILABLE")


def test_an_unexpected_error_hides_its_cause_and_logs_its_place(logged: Logged) -> None:
    """Return a generic 500; log type and stack without the text."""
    response = respond(lambda _: Response(int(SECRET), {}), event(body=SECRET))

    assert (response["statusCode"], json.loads(response["body"])["error"]) == (500, INTERNAL_ERROR)
    (line,) = logged()
    assert (line["level"], line["message"], line["code"]) == ("ERROR", "Unexpected error", "INTERNAL_SERVER_ERROR")
    assert (line["errorType"], line["requestId"]) == ("builtins.ValueError", "request-1")
    place, function = line["stack"][-1].rsplit(" ", 1)
    assert (place.rsplit(":", 1)[0], function) == (__file__, "<lambda>")
    assert SECRET not in json.dumps([line, response])


@pytest.mark.parametrize("error", [errors.ConfigurationError("Set it."), errors.KeyAccessDeniedError("Check it.")])
def test_an_unexpected_package_error_is_logged_with_its_text(logged: Logged, error: Exception) -> None:
    """Log the message at ERROR: it contains no secret value."""
    respond(failing(error))

    (line,) = logged()
    assert (line["level"], line["message"]) == ("ERROR", str(error))
    assert line["errorType"] == f"service_keys.errors.{type(error).__name__}"
