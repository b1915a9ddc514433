"""What each request is answered, to the byte where a client or an operator reads it."""

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


def test_an_answer_is_what_api_gateway_takes() -> None:
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
    assert json.loads(answer(lambda _: Response(status, {}))["body"])["success"] is success


def test_a_handler_keeps_its_name() -> None:
    def create(_: Request) -> Response:
        """Create a key."""
        return Response(201, {})

    assert api_handler(create).__name__ == "create"


@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_a_created_key_says_where_it_is(path: str) -> None:
    made = request()
    made.path = path

    location = f"{PATH}/{KEY.id}"
    headers = {"ETag": '"1"', "Location": location}
    assert created_response(KEY, made) == Response(201, {"data": KEY.to_response()}, headers)
    replayed = headers | {"Idempotency-Replayed": "true"}
    assert created_response(KEY, made, replayed=True) == Response(201, {"data": KEY.to_response()}, replayed)


def test_a_key_is_shown_with_its_version() -> None:
    assert key_response(replace(KEY, version=7)).headers == {"ETag": '"7"'}
    assert key_response(KEY) == Response(200, {"data": KEY.to_response()}, {"ETag": '"1"'})


@pytest.mark.parametrize("fields", [{"active"}, {"key"}, {"key", "name"}])
def test_an_update_that_readers_act_on_says_by_when_they_have(fields: set[str]) -> None:
    before = int(time.time() * 1000)
    response = updated_response(KEY, fields=fields)
    after = time.time() * 1000

    by = datetime.fromisoformat(str(response.body["effectiveBy"])).timestamp() * 1000
    assert before <= round(by) - 60_000 <= after
    assert response.headers == {"ETag": '"1"'}


@pytest.mark.parametrize("fields", [{"name"}, {"description"}, set[str]()])
def test_an_update_that_readers_need_not_act_on_says_nothing_of_them(fields: set[str]) -> None:
    assert updated_response(KEY, fields=fields) == Response(200, {"data": KEY.to_response()}, {"ETag": '"1"'})


def test_a_page_says_how_to_go_on() -> None:
    assert list_response(Page((KEY,), "cursor"), ListQuery(limit=3)) == Response(
        200, {"data": [KEY.to_response()], "pagination": {"limit": 3, "nextCursor": "cursor"}}
    )


def test_a_deletion_is_confirmed() -> None:
    """Name the key that is gone, and say when the last reader treats it as absent."""
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


def test_now_is_now() -> None:
    assert abs(datetime.fromisoformat(current_timestamp()).timestamp() - time.time()) < 10


# --- what is read of an event ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [None, {}, {"other": "x"}])
def test_without_an_id_in_the_path_there_is_none(parameters: dict[str, str] | None) -> None:
    assert request(pathParameters=parameters).key_id == ""


def test_the_id_is_taken_from_the_path_as_it_is() -> None:
    assert request(pathParameters={"id": "x y"}).key_id == "x y"


def test_a_body_that_is_no_unicode_is_no_json() -> None:
    sent = request(headers={"Content-Type": "application/json"}, body='{"name": "\ud800"}')

    with pytest.raises(errors.InvalidRequestError, match="not valid JSON"):
        _ = sent.parse_body()


@pytest.mark.parametrize("headers", [None, {}])
def test_an_event_may_have_no_headers(headers: dict[str, str] | None) -> None:
    made = request(headers=headers)

    assert made.parse_if_match() is None
    assert made.idempotency_fingerprint({}) is None
    with pytest.raises(errors.UnsupportedMediaTypeError):
        _ = made.parse_body()


def test_the_moment_and_the_path_of_a_request_are_known() -> None:
    assert (request().context.at_ms, request().path) == (1, PATH)


def test_what_identifies_a_request_stays_the_same_from_release_to_release() -> None:
    made = request(headers={"Idempotency-Key": "k" * 16})
    canonical = '["ada",{"key":"made-up","name":"\\u00e9"}]'

    digest = hmac.new(b"k" * 16, canonical.encode(), hashlib.sha256).hexdigest()
    assert made.idempotency_fingerprint({"name": "é", "key": "made-up"}) == digest


def test_ten_entity_tags_are_read_and_no_more() -> None:
    ten = ", ".join(f'"{number}"' for number in range(1, 11))

    assert request(headers={"If-Match": ten}).parse_if_match() == frozenset(range(1, 11))
    with pytest.raises(errors.InvalidRequestError, match="Invalid If-Match"):
        _ = request(headers={"If-Match": ten + ', "11"'}).parse_if_match()


# --- errors ---------------------------------------------------------------------------------------------------------


def test_an_error_is_told_in_its_own_words_and_logged_by_its_code(logged: Logged) -> None:
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
def test_a_refused_request_is_logged_with_its_sender(logged: Logged, error: Exception, code: str) -> None:
    """Who tried what: a series of refused requests under one principal is the sign of a stolen token."""
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
def test_a_log_line_has_no_path_that_the_sender_chose(logged: Logged, key_id: str) -> None:
    """Only what can be an id is logged as one."""
    line = log_of(logged, errors.KeyNotFoundError("x"), key_id)

    assert "keyId" not in line
    assert key_id not in json.dumps(line)
    assert len(json.dumps(line)) < 500


@pytest.mark.parametrize("authorizer", [None, {}, {"sub": ""}, {"sub": 7}])
def test_a_request_without_a_sender_is_logged_without(logged: Logged, authorizer: dict[str, object] | None) -> None:
    """The route is enough to find the fault in a deployment's authorizer."""
    line = log_of(logged, errors.AuthenticationRequiredError("x"), KEY_ID, authorizer=authorizer)

    assert "principal" not in line
    assert (line["code"], line["route"]) == ("AUTHENTICATION_REQUIRED", ROUTE)


def test_an_event_without_an_extended_id_is_served(logged: Logged) -> None:
    """Other invokers, such as sam local, send none."""
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
def test_each_error_has_the_status_and_the_code_of_the_contract(error: Exception, status: int, code: str) -> None:
    told = failing(error)

    assert (told["statusCode"], json.loads(told["body"])["error"]["code"]) == (status, code)


def test_what_is_wrong_is_told_field_by_field() -> None:
    details = (errors.FieldError("name", "give one"), errors.FieldError("key", "give a key"))

    told = json.loads(failing(errors.InvalidRequestError("Some fields.", details))["body"])["error"]

    assert told["details"] == [
        {"field": "name", "message": "give one"},
        {"field": "key", "message": "give a key"},
    ]


def test_an_outage_says_when_to_come_back_and_is_logged_as_a_warning(logged: Logged) -> None:
    told = failing(errors.KeyStoreUnavailableError("Busy.", retry_after=7))

    assert (told["statusCode"], told["headers"]["Retry-After"]) == (503, "7")
    (line,) = logged()
    assert (line["level"], line["message"], line["code"]) == ("WARNING", "Busy.", "SERVICE_UNAVAILABLE")
    assert line["requestId"] == "request-1"


def test_what_is_unexpected_is_told_without_its_cause_and_logged_with_its_place(logged: Logged) -> None:
    told = failing(ZeroDivisionError("with the key"))

    assert json.loads(told["body"])["error"] == {
        "code": "INTERNAL_SERVER_ERROR",
        "message": "Something went wrong on our side. Try again; if it stays, report the requestId.",
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


def test_a_configuration_that_is_wrong_is_logged_in_our_words(logged: Logged) -> None:
    failing(errors.ConfigurationError("Set it."))

    (line,) = logged()
    assert (line["level"], line["message"]) == ("ERROR", "Set it.")
    assert line["errorType"] == "service_keys.errors.ConfigurationError"
