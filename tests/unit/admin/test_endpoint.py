"""Tests of the endpoint: event to request, and result or error to response."""

import base64
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from local.events import rest_event
from service_keys import errors
from service_keys.admin.endpoint import api_handler
from service_keys.admin.request import Request
from service_keys.admin.responses import Response, list_response
from service_keys.admin.schemas import parse_create
from service_keys.store.repository import Page
from tests.conftest import Logged

ORIGIN = "https://admin.example.com"
SECRET = "made-up-secret-0123456789"
PATH = "/api/v1/admin/api-keys"

Handler = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGIN", ORIGIN)


def event(
    method: str = "POST", *, body: str | None = None, sub: object = "ada", path: str = PATH, **headers: str
) -> dict[str, Any]:
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return rest_event(method, path, body=body, headers=sent, authorizer={"sub": sub}, request_id="request-1")


def answer_of(handle: Callable[[Request], Any], sent: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Run `handle` as an endpoint that returns its result as `data`."""
    endpoint = api_handler(lambda request: Response(200, {"data": handle(request)}))
    answer = endpoint(sent, None)
    return answer["statusCode"], answer["headers"], json.loads(answer["body"])


def refusal(read: Callable[[Request], object], sent: dict[str, Any]) -> tuple[int, str]:
    status, _, body = answer_of(read, sent)
    assert SECRET not in json.dumps(body)
    return status, body["error"]["code"]


def test_responses_have_common_headers_and_the_request_id() -> None:
    """Include them in successful responses and in errors."""
    for handle in (lambda _: "fine", lambda request: request.parse_body()):
        status, headers, body = answer_of(handle, event(body="{"))
        assert headers["Content-Type"] == "application/json"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        assert {"ETag", "Location"} < set(headers["Access-Control-Expose-Headers"].split(", "))
        assert body["requestId"] == "request-1"
        assert body["success"] is (status == 200)


@pytest.mark.parametrize("authorizer", [None, {}, {"sub": ""}, {"sub": None}, {"sub": 7}, {"principalId": "ada"}])
def test_a_request_without_authorizer_context_is_unauthenticated(authorizer: dict[str, Any] | None) -> None:
    """Return 401 and do not call the handler."""
    calls: list[object] = []
    sent = rest_event("GET", PATH, authorizer=authorizer)

    status, headers, body = answer_of(calls.append, sent)

    assert (status, body["error"]["code"]) == (401, "AUTHENTICATION_REQUIRED")
    assert headers["WWW-Authenticate"] == "Bearer"
    assert not calls


def test_the_change_context_holds_principal_and_request_id() -> None:
    """Take both from the event."""
    _, _, body = answer_of(lambda request: [request.context.principal, request.context.request_id], event())

    assert body["data"] == ["ada", "request-1"]


# --- the body -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "",
        "   ",
        "{",
        f'{{"key": "{SECRET}"',
        f"{SECRET}",
        f'{{"key": "{SECRET}\n"}}',
        "{'name': 'x'}",
        '{"name": NaN}',
        '{"limit": Infinity}',
        '{"a": 1} {"b": 2}',
        "[" * 16_000,
        '{"a":' * 3_000,
        "9" * 10_000,
        "\ufeff{",
        '{"a": 1}'.encode("utf-16-le").decode("latin-1"),
    ],
)
def test_a_body_that_is_not_json_is_rejected(body: str) -> None:
    """Return 400 without the body's text."""
    assert refusal(lambda request: request.parse_body(), event(body=body)) == (400, "VALIDATION_ERROR")


def test_a_duplicate_field_is_rejected() -> None:
    """Return 400 without the secret value."""
    body = f'{{"key": "{SECRET}", "key": "other"}}'

    status, _, answer = answer_of(lambda request: request.parse_body(), event(body=body))

    assert (status, answer["error"]["message"]) == (400, "The body names a field twice. Name each field once.")


@pytest.mark.parametrize("size", [16_384, 16_385])
def test_a_body_may_have_at_most_16_kib(size: int) -> None:
    """Return 413 for 16,385 bytes of UTF-8."""
    body = json.dumps("ü" + "x" * (size - 4), ensure_ascii=False)
    assert len(body.encode()) == size

    status, _, _ = answer_of(lambda request: bool(request.parse_body()), event(body=body))

    assert status == (200 if size == 16_384 else 413)


def test_a_large_body_is_rejected_before_it_is_parsed() -> None:
    """Return 413 rather than 400 for a large body that is not JSON."""
    assert refusal(lambda request: request.parse_body(), event(body="{" + SECRET * 1000)) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*", "json"),
        *("application/jsonp", "application/json-patch+json", "application/merge-patch+json", "text/json"),
        *("application/json, text/plain", "application/json charset=utf-8", "x; application/json"),
    ],
)
def test_another_media_type_is_rejected(content_type: str) -> None:
    """Return 415."""
    sent = event(body="{}") | {"headers": {"content-type": content_type} if content_type else None}

    assert refusal(lambda request: request.parse_body(), sent) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "Application/JSON", " application/json ", "application/json;", "application/json ;"),
        *("application/json;charset=UTF-8", 'application/json; charset="utf-8"', "application/json;charset=utf8"),
        *("application/json; version=1", "application/json; charset=utf-8; version=1", 'application/json; a="b;c"'),
        *("application/json; charset=latin1", "application/json; odata.metadata=none", "application/json;;"),
    ],
)
def test_common_json_media_types_are_accepted(content_type: str) -> None:
    """Ignore parameters of the media type, because JSON is always UTF-8."""
    sent = event(body='{"a": 1}') | {"headers": {"CONTENT-TYPE": content_type}}

    assert answer_of(lambda request: request.parse_body(), sent)[2]["data"] == {"a": 1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "The body is empty. Send one JSON object."),
        (" \n", "The body is empty. Send one JSON object."),
        ("{", "The body is not valid JSON (line 1, column 2). Send one JSON object."),
        ('{\n"a": }', "The body is not valid JSON (line 2, column 6). Send one JSON object."),
        ('{"a": NaN}', "The body is not valid JSON. Send one JSON object."),
        ("[" * 16_000, "The body is not valid JSON. Send one JSON object."),
        ('{"name": "Caf\udce9"}', "The body is not valid JSON, because it is not in UTF-8. Encode it as UTF-8."),
        *(
            (
                '{"a": 1}'.encode(encoding).decode(errors="replace"),
                "The body is not valid JSON, because it is not in UTF-8. Encode it as UTF-8.",
            )
            for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
        ),
        ('{"a": "\0"}', "The body is not valid JSON (line 1, column 8). Send one JSON object."),
    ],
)
def test_an_invalid_body_is_rejected_with_the_reason(body: str, message: str) -> None:
    """Return the position of the error, and no text of the body."""
    assert answer_of(lambda request: request.parse_body(), event(body=body))[2]["error"]["message"] == message


@pytest.mark.parametrize(
    "body", [b'{"name": "Caf\xe9"}', b"\xff\xfe{\x00}\x00", b'{"name": "\xc3("}', b'{"a": "\xed\xa0\x80"}']
)
def test_a_body_that_is_not_utf_8_is_rejected(body: bytes) -> None:
    """Reject Latin-1, UTF-16, a cut sequence and an encoded surrogate, passed in base64 by API Gateway."""
    sent = event(body=base64.b64encode(body).decode()) | {"isBase64Encoded": True}

    status, _, answer = answer_of(lambda request: request.parse_body(), sent)

    assert (status, "UTF-8" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize("body", ["e30", "e30=\n!", "é", "====", "e3"])
def test_a_body_that_is_not_base64_is_rejected(body: str) -> None:
    """Return 400, not 500, for an event that declares base64 and contains other text."""
    sent = event(body=body) | {"isBase64Encoded": True}

    assert refusal(lambda request: request.parse_body(), sent) == (400, "VALIDATION_ERROR")


def test_a_byte_order_mark_before_the_body_is_ignored() -> None:
    """Accept the mark that Windows programs write (RFC 8259, 8.1)."""
    assert answer_of(lambda request: request.parse_body(), event(body='\ufeff{"a": 1}'))[2]["data"] == {"a": 1}


def test_a_base64_body_is_decoded() -> None:
    """Decode a body that API Gateway marks as base64."""
    sent = event(body=base64.b64encode('{"a": "ü"}'.encode()).decode()) | {"isBase64Encoded": True}

    assert answer_of(lambda request: request.parse_body(), sent)[2]["data"] == {"a": "ü"}


# --- If-Match and Idempotency-Key -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ("*", None),
        ('"1"', [1]),
        (' "12" , "7"', [7, 12]),
        ('W/"1"', []),
        ('"abc"', []),
        ('"01"', []),
        ('"0"', []),
        (f'"{"9" * 40}"', []),
    ],
)
def test_if_match_is_parsed_into_versions(header: str | None, versions: list[int] | None) -> None:
    """Ignore entity tags that no version can have."""
    sent = event(If_Match=header) if header else event()

    def read(request: Request) -> list[int] | None:
        expected = request.parse_if_match()
        return None if expected is None else sorted(expected)

    assert answer_of(read, sent)[2]["data"] == versions


@pytest.mark.parametrize("header", ["", "1", '"1', "abc", '"1" "2"', ",", '"1",', ", ".join(['"1"'] * 11)])
def test_a_malformed_if_match_is_rejected(header: str) -> None:
    """Return 400, also for more than 10 entity tags."""
    assert refusal(lambda request: bool(request.parse_if_match()), event(If_Match=header)) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("header", ["", "x" * 15, "x" * 129, "white space inside it", "ümlaut-ümlaut-ümlaut"])
def test_a_malformed_idempotency_key_is_rejected(header: str) -> None:
    """Return 400."""
    sent = event(Idempotency_Key=header)

    assert refusal(lambda request: request.idempotency_fingerprint({}), sent) == (400, "VALIDATION_ERROR")


def test_no_idempotency_key_means_no_fingerprint() -> None:
    """Return None."""
    assert answer_of(lambda request: request.idempotency_fingerprint({}), event())[2]["data"] is None


def test_the_idempotency_fingerprint_is_an_unambiguous_hash() -> None:
    """Depend on principal, key and body, not on the order of fields; reveal none of them."""

    def digest(body: dict[str, str], key: str = "k" * 16, sub: str = "ada") -> str:
        sent = event(Idempotency_Key=key, sub=sub)
        return str(answer_of(lambda request: request.idempotency_fingerprint(body), sent)[2]["data"])

    first = digest({"key": SECRET, "name": "x"})

    assert first == digest({"name": "x", "key": SECRET}), "the order of fields makes no difference"
    others = {digest({"name": "x"}), digest({"key": SECRET, "name": "x"}, "l" * 16)}
    others |= {digest({"key": SECRET, "name": "x"}, sub="bob")}
    assert len(others | {first}) == 4
    assert len(first) == 64


# --- errors ---------------------------------------------------------------------------------------------------------


def raising(error: Exception) -> Callable[[Request], object]:
    def handle(_: Request) -> object:
        raise error

    return handle


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidRequestError("no"), 400, "VALIDATION_ERROR"),
        (errors.KeyNotFoundError("no"), 404, "API_KEY_NOT_FOUND"),
        (errors.DuplicateKeyNameError("no"), 409, "DUPLICATE_API_KEY_NAME"),
        (errors.VersionConflictError("no"), 412, "VERSION_CONFLICT"),
        (errors.PayloadTooLargeError("no"), 413, "PAYLOAD_TOO_LARGE"),
        (errors.UnsupportedMediaTypeError("no"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (errors.KeyStoreUnavailableError("no"), 503, "SERVICE_UNAVAILABLE"),
        (errors.KeyAccessDeniedError("no"), 500, "INTERNAL_SERVER_ERROR"),
        (errors.KeyCorruptedError("no"), 500, "INTERNAL_SERVER_ERROR"),
        (RuntimeError("no"), 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_each_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    """Return the message of the error, except with status 500."""
    got, _, body = answer_of(raising(error), event())

    assert (got, body["error"]["code"], body["success"]) == (status, code, False)
    assert body["error"]["message"] == "no" or status == 500


def test_only_validation_errors_have_details() -> None:
    """Omit `details` if there are none."""
    details = (errors.FieldError("name", "too long"),)

    assert answer_of(raising(errors.InvalidRequestError("no", details)), event())[2]["error"]["details"] == [
        {"field": "name", "message": "too long"}
    ]
    assert "details" not in answer_of(raising(errors.InvalidRequestError("no")), event())[2]["error"]


def test_error_details_are_bounded() -> None:
    """Return each error once and at most 20: unknown fields of 16 KB produced 400 KB of details."""
    names = [*(f"unknown{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(500)), *(f"_{n}" for n in range(500))]
    body = dict.fromkeys(names, 1) | {"name": 7}

    endpoint = api_handler(lambda request: Response(200, {"data": parse_create(request.parse_body()).name}))
    answer = endpoint(event(body=json.dumps(body)), None)

    details = json.loads(answer["body"])["error"]["details"]
    assert [detail["field"] for detail in details[:2]] == ["name", "key"]
    assert (len(details), len(answer["body"]) < 5000) == (20, True)

    few = endpoint(event(body=json.dumps(dict.fromkeys(names[500:], 1) | {"name": "One", "key": SECRET})), None)
    assert [detail["field"] for detail in json.loads(few["body"])["error"]["details"]] == ["(body)"]


def test_unavailability_has_a_retry_after_header() -> None:
    """Return the seconds of the error."""
    _, headers, _ = answer_of(raising(errors.KeyStoreUnavailableError("no", retry_after=7)), event())

    assert headers["Retry-After"] == "7"


def test_an_unexpected_error_is_logged_by_place_without_its_text(logged: Logged) -> None:
    """Log type and stack, and return a generic message."""
    _, _, body = answer_of(raising(ValueError(f"cannot take {SECRET}")), event(body=SECRET))

    (line,) = logged()
    assert line["level"] == "ERROR"
    assert line["errorType"] == "builtins.ValueError"
    assert line["requestId"] == body["requestId"] == "request-1"
    assert any("test_endpoint.py" in frame and frame.endswith(" handle") for frame in line["stack"])
    assert SECRET not in json.dumps([line, body])
    assert "report the requestId" in body["error"]["message"]


def test_an_unexpected_package_error_is_logged_with_its_text(logged: Logged) -> None:
    """Log the message, which contains no secret value."""
    answer_of(raising(errors.KeyAccessDeniedError("KMS refused Encrypt. Check the policy.")), event())

    assert logged()[0]["message"] == "KMS refused Encrypt. Check the policy."


def test_a_client_error_is_logged_at_info_without_the_request(logged: Logged) -> None:
    """Log the code only."""
    answer_of(raising(errors.InvalidRequestError("no", (errors.FieldError(SECRET, "no"),))), event(body=SECRET))

    (line,) = logged()
    assert (line["level"], line["code"]) == ("INFO", "VALIDATION_ERROR")
    assert SECRET not in json.dumps(line)


def test_a_list_response_has_its_pagination() -> None:
    """Return the limit and the next cursor."""
    sent = rest_event("GET", PATH, query={"limit": "7"}, authorizer={"sub": "ada"})
    endpoint = api_handler(lambda request: list_response(Page((), "next"), request.parse_query()))

    body = json.loads(endpoint(sent, None)["body"])

    assert (body["data"], body["pagination"]) == ([], {"limit": 7, "nextCursor": "next"})


def test_botocore_does_not_log_at_debug_level() -> None:
    """Disable DEBUG, at which botocore logs request bodies."""
    assert not logging.getLogger("botocore").isEnabledFor(logging.DEBUG), "it would log request bodies"
