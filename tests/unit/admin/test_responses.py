"""Tests of the exact responses and log lines of the endpoint."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from local.events import rest_event
from service_keys import errors
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import (
    Response,
    created_response,
    current_timestamp,
    deleted_response,
    key_response,
    list_response,
    updated_response,
)
from service_keys.core.list_query import ListQuery
from service_keys.core.models import DeletedKey
from service_keys.store.repository import Page
from tests.unit.core.test_models import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Logged

ORIGIN = "https://admin.example.com"
PATH = "/api/v1/admin/api-keys"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGIN", ORIGIN)


def request(**event: Any) -> Request:
    sent = rest_event("POST", PATH, authorizer={"sub": "ada"}, request_id="request-1") | event
    return Request(sent, at_ms=1)


def answer(respond: Callable[[Request], Response]) -> dict[str, Any]:
    return api_handler(respond)(rest_event("GET", PATH, authorizer={"sub": "ada"}, request_id="request-1"), None)


def failing(error: Exception) -> dict[str, Any]:
    def respond(_: Request) -> Response:
        raise error

    return answer(respond)


def test_a_response_has_the_format_of_api_gateway() -> None:
    """Return status, headers, JSON body and the base64 flag."""
    assert answer(lambda _: Response(200, {"data": "•é"}, {"ETag": '"1"'})) == {
        "statusCode": 200,
        "headers": {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Access-Control-Allow-Origin": ORIGIN,
            "Access-Control-Expose-Headers": "ETag, Location, Idempotency-Replayed, Retry-After, WWW-Authenticate",
            "ETag": '"1"',
        },
        "body": '{"success": true, "data": "•é", "requestId": "request-1"}',
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize(("status", "success"), [(200, True), (201, True), (399, True), (400, False), (503, False)])
def test_success_is_any_status_below_400(status: int, *, success: bool) -> None:
    """Set `success` from the status."""
    assert json.loads(answer(lambda _: Response(status, {}))["body"])["success"] is success


def test_a_decorated_handler_keeps_its_name() -> None:
    """Keep `__name__`."""

    def create(_: Request) -> Response:
        """Create a key."""
        return Response(201, {})

    assert api_handler(create).__name__ == "create"


@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_a_created_key_has_a_location_header(path: str) -> None:
    """Mark a replay with Idempotency-Replayed."""
    made = request()
    made.path = path

    location = f"{PATH}/{KEY.id}"
    headers = {"ETag": '"1"', "Location": location}
    assert created_response(KEY, made) == Response(201, {"data": KEY.to_response()}, headers)
    replayed = headers | {"Idempotency-Replayed": "true"}
    assert created_response(KEY, made, replayed=True) == Response(201, {"data": KEY.to_response()}, replayed)


def test_a_key_response_has_an_etag() -> None:
    """Return the version as `ETag`."""
    assert key_response(replace(KEY, version=7)).headers == {"ETag": '"7"'}
    assert key_response(KEY) == Response(200, {"data": KEY.to_response()}, {"ETag": '"1"'})


@pytest.mark.parametrize("fields", [{"active"}, {"key"}, {"key", "name"}])
def test_an_update_that_affects_consumers_has_effective_by(fields: set[str]) -> None:
    """Return the time 60 s from now, when all consumers have refreshed."""
    before = int(time.time() * 1000)
    response = updated_response(KEY, fields=fields)
    after = time.time() * 1000

    by = datetime.fromisoformat(str(response.body["effectiveBy"])).timestamp() * 1000
    assert before <= round(by) - 60_000 <= after
    assert response.headers == {"ETag": '"1"'}


@pytest.mark.parametrize("fields", [{"name"}, {"description"}, set[str]()])
def test_an_update_without_consumer_effect_has_no_effective_by(fields: set[str]) -> None:
    """Omit `effectiveBy` for name and description."""
    assert updated_response(KEY, fields=fields) == Response(200, {"data": KEY.to_response()}, {"ETag": '"1"'})


def test_a_list_response_has_a_next_cursor() -> None:
    """Return the cursor with the limit."""
    assert list_response(Page((KEY,), "cursor"), ListQuery(limit=3)) == Response(
        200, {"data": [KEY.to_response()], "pagination": {"limit": 3, "nextCursor": "cursor"}}
    )


def test_a_deletion_is_confirmed() -> None:
    """Return the deleted key and the time from which all consumers treat it as absent."""
    before = int(time.time() * 1000)
    response = deleted_response(DeletedKey(KEY.id, "Key", "2026-01-01T00:00:00.000Z"))

    by = datetime.fromisoformat(str(response.body["effectiveBy"])).timestamp() * 1000
    assert before <= round(by) - 60_000 <= time.time() * 1000
    assert response.status == 200
    assert response.headers == {}
    assert response.body == {
        "message": "API key deleted successfully",
        "data": {
            "id": KEY.id,
            "name": "Key",
            "service": KEY.service,
            "deletedAt": "2026-01-01T00:00:00.000Z",
            "recoverableUntil": None,
        },
        "effectiveBy": response.body["effectiveBy"],
    }


def test_current_timestamp_is_the_current_time() -> None:
    """Allow a deviation of 10 s."""
    assert abs(datetime.fromisoformat(current_timestamp()).timestamp() - time.time()) < 10


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [None, {}, {"other": "x"}])
def test_a_path_without_an_id_has_an_empty_key_id(parameters: dict[str, str] | None) -> None:
    """Accept missing path parameters."""
    assert request(pathParameters=parameters).key_id == ""


def test_the_key_id_is_the_unchanged_path_parameter() -> None:
    """Leave validation to the caller."""
    assert request(pathParameters={"id": "x y"}).key_id == "x y"


def test_a_body_with_a_surrogate_is_not_json() -> None:
    """Raise InvalidRequestError."""
    sent = request(headers={"Content-Type": "application/json"}, body='{"name": "\ud800"}')

    with pytest.raises(errors.InvalidRequestError, match="not valid JSON"):
        _ = sent.parse_body()


@pytest.mark.parametrize("headers", [None, {}])
def test_an_event_may_lack_headers(headers: dict[str, str] | None) -> None:
    """Treat all headers as absent."""
    made = request(headers=headers)

    assert made.parse_if_match() is None
    assert made.idempotency_fingerprint({}) is None
    with pytest.raises(errors.UnsupportedMediaTypeError):
        _ = made.parse_body()


def test_a_request_has_its_time_and_path() -> None:
    """Take both from the event."""
    assert (request().context.at_ms, request().path) == (1, PATH)


def test_the_idempotency_fingerprint_is_stable_across_releases() -> None:
    """Compute the HMAC-SHA256 of principal and body."""
    made = request(headers={"Idempotency-Key": "k" * 16})
    canonical = '["ada",{"key":"made-up","name":"\\u00e9"}]'

    digest = hmac.new(b"k" * 16, canonical.encode(), hashlib.sha256).hexdigest()
    assert made.idempotency_fingerprint({"name": "é", "key": "made-up"}) == digest


def test_if_match_may_have_at_most_ten_entity_tags() -> None:
    """Raise InvalidRequestError for 11."""
    ten = ", ".join(f'"{number}"' for number in range(1, 11))

    assert request(headers={"If-Match": ten}).parse_if_match() == frozenset(range(1, 11))
    with pytest.raises(errors.InvalidRequestError, match="Invalid If-Match"):
        _ = request(headers={"If-Match": ten + ', "11"'}).parse_if_match()


# --- errors ---------------------------------------------------------------------------------------------------------


def test_a_client_error_returns_its_message_and_logs_its_code(logged: Logged) -> None:
    """Log at INFO without the message."""
    told = failing(errors.KeyNotFoundError("There is none."))

    assert json.loads(told["body"]) == {
        "success": False,
        "error": {"code": "API_KEY_NOT_FOUND", "message": "There is none."},
        "requestId": "request-1",
    }
    (line,) = logged()
    assert (line["level"], line["message"]) == ("INFO", "Request refused")
    assert (line["code"], line["requestId"]) == ("API_KEY_NOT_FOUND", "request-1")


ROUTE = PATH + "/{id}"
KEY_ID = "spotify.0123456789ab"
REFUSALS = [
    (errors.InvalidRequestError("x"), "VALIDATION_ERROR"),
    (errors.VerificationNotSupportedError("x"), "VERIFICATION_NOT_SUPPORTED"),
    (errors.KeyNotFoundError("x"), "API_KEY_NOT_FOUND"),
    (errors.DuplicateKeyNameError("x"), "DUPLICATE_API_KEY_NAME"),
    (errors.VersionConflictError("x"), "VERSION_CONFLICT"),
    (errors.PayloadTooLargeError("x"), "PAYLOAD_TOO_LARGE"),
    (errors.UnsupportedMediaTypeError("x"), "UNSUPPORTED_MEDIA_TYPE"),
    (errors.KeyStoreUnavailableError("x"), "SERVICE_UNAVAILABLE"),
    (errors.KeyAccessDeniedError("x"), "INTERNAL_SERVER_ERROR"),
    (ZeroDivisionError("x"), "INTERNAL_SERVER_ERROR"),
]


def log_of(logged: Logged, error: Exception, key_id: str, **context: object) -> dict[str, Any]:
    def respond(_: Request) -> Response:
        raise error

    sent = rest_event("PATCH", f"{PATH}/{key_id}", ROUTE, authorizer={"sub": "ada"}, request_id="request-1")
    sent["requestContext"] |= context
    api_handler(respond)(sent, None)
    (line,) = logged()
    return line


@pytest.mark.parametrize(("error", "code"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rejected_request_is_logged_with_its_principal(logged: Logged, error: Exception, code: str) -> None:
    """Log principal, method and route: many rejections for one principal indicate a stolen token."""
    line = log_of(logged, error, KEY_ID, extendedRequestId="S1h2iEXAMPLEjVw=")

    assert {name: line[name] for name in ("code", "principal", "method", "route", "keyId")} == {
        "code": code,
        "principal": "ada",
        "method": "PATCH",
        "route": ROUTE,
        "keyId": KEY_ID,
    }
    assert (line["requestId"], line["extendedRequestId"]) == ("request-1", "S1h2iEXAMPLEjVw=")


@pytest.mark.parametrize(
    "key_id", ["x" * 5000, "sk-made-up-secret", "a" * 41 + ".0123456789ab", "%0A{}", "SPOTIFY.0123456789ab"]
)
def test_an_invalid_key_id_is_not_logged(logged: Logged, key_id: str) -> None:
    """Log a path parameter only if it is a valid id."""
    line = log_of(logged, errors.KeyNotFoundError("x"), key_id)

    assert "keyId" not in line
    assert key_id not in json.dumps(line)
    assert len(json.dumps(line)) < 500


@pytest.mark.parametrize("authorizer", [None, {}, {"sub": ""}, {"sub": 7}])
def test_a_request_without_a_principal_is_logged_by_its_route(
    logged: Logged, authorizer: dict[str, object] | None
) -> None:
    """Log the route, which locates a misconfigured authorizer."""
    line = log_of(logged, errors.AuthenticationRequiredError("x"), KEY_ID, authorizer=authorizer)

    assert "principal" not in line
    assert (line["code"], line["route"]) == ("AUTHENTICATION_REQUIRED", ROUTE)


def test_an_event_without_an_extended_request_id_is_accepted(logged: Logged) -> None:
    """Accept events of other invokers, such as sam local, which send none."""
    line = log_of(logged, errors.KeyNotFoundError("x"), KEY_ID, extendedRequestId=None)
    sent = rest_event("GET", PATH, authorizer={"sub": "ada"})
    del sent["requestContext"]["extendedRequestId"]

    assert "extendedRequestId" not in line
    assert Request(sent, at_ms=1).context.extended_request_id is None
    assert api_handler(lambda _: Response(200, {}))(sent, None)["statusCode"] == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidRequestError("x"), 400, "VALIDATION_ERROR"),
        (errors.VerificationNotSupportedError("x"), 400, "VERIFICATION_NOT_SUPPORTED"),
        (errors.AuthenticationRequiredError("x"), 401, "AUTHENTICATION_REQUIRED"),
        (errors.KeyNotFoundError("x"), 404, "API_KEY_NOT_FOUND"),
        (errors.DuplicateKeyNameError("x"), 409, "DUPLICATE_API_KEY_NAME"),
        (errors.VersionConflictError("x"), 412, "VERSION_CONFLICT"),
        (errors.PayloadTooLargeError("x"), 413, "PAYLOAD_TOO_LARGE"),
        (errors.UnsupportedMediaTypeError("x"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (errors.KeyStoreUnavailableError("x"), 503, "SERVICE_UNAVAILABLE"),
        (errors.KeyAccessDeniedError("x"), 500, "INTERNAL_SERVER_ERROR"),
        (errors.KeyCorruptedError("x"), 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_each_error_has_its_documented_status_and_code(error: Exception, status: int, code: str) -> None:
    """Return the status and the code of openapi.yaml."""
    told = failing(error)

    assert (told["statusCode"], json.loads(told["body"])["error"]["code"]) == (status, code)


def test_validation_errors_list_each_field() -> None:
    """Return the details in order."""
    details = (errors.FieldError("name", "give one"), errors.FieldError("key", "give a key"))

    told = json.loads(failing(errors.InvalidRequestError("Some fields.", details))["body"])["error"]

    assert told["details"] == [
        {"field": "name", "message": "give one"},
        {"field": "key", "message": "give a key"},
    ]


def test_a_transient_error_has_retry_after_and_logs_a_warning(logged: Logged) -> None:
    """Return 503."""
    told = failing(errors.KeyStoreUnavailableError("Busy.", retry_after=7))

    assert (told["statusCode"], told["headers"]["Retry-After"]) == (503, "7")
    (line,) = logged()
    assert (line["level"], line["message"], line["code"]) == ("WARNING", "Busy.", "SERVICE_UNAVAILABLE")
    assert line["requestId"] == "request-1"


def test_an_unexpected_error_hides_its_cause_and_logs_its_place(logged: Logged) -> None:
    """Return a generic 500; log type and stack without the text."""
    told = failing(ZeroDivisionError("with the key"))

    assert json.loads(told["body"])["error"] == {
        "code": "INTERNAL_SERVER_ERROR",
        "message": "Something went wrong on our side. Try again. If the problem persists, report the requestId.",
    }
    assert told["statusCode"] == 500
    (line,) = logged()
    assert (line["level"], line["message"]) == ("ERROR", "Unexpected error")
    assert (line["code"], line["requestId"]) == ("INTERNAL_SERVER_ERROR", "request-1")
    assert line["errorType"] == "builtins.ZeroDivisionError"
    place, function = line["stack"][-1].rsplit(" ", 1)
    assert function == "respond"
    assert place.rsplit(":", 1)[0] == __file__
    assert "with the key" not in json.dumps(line)


def test_a_configuration_error_is_logged_with_its_message(logged: Logged) -> None:
    """Log at ERROR."""
    failing(errors.ConfigurationError("Set it."))

    (line,) = logged()
    assert (line["level"], line["message"]) == ("ERROR", "Set it.")
    assert line["errorType"] == "service_keys.errors.ConfigurationError"
