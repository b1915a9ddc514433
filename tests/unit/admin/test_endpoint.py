"""From an API Gateway event to a request, and from a result or an error to a response."""

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
    """Run `handle` as an endpoint; what it returns is the data of the answer."""
    endpoint = api_handler(lambda request: Response(200, {"data": handle(request)}))
    answer = endpoint(sent, None)
    return answer["statusCode"], answer["headers"], json.loads(answer["body"])


def refusal(read: Callable[[Request], object], sent: dict[str, Any]) -> tuple[int, str]:
    status, _, body = answer_of(read, sent)
    assert SECRET not in json.dumps(body)
    return status, body["error"]["code"]


def test_every_answer_has_the_common_headers_and_the_request_id() -> None:
    for handle in (lambda _: "fine", lambda request: request.parse_body()):
        status, headers, body = answer_of(handle, event(body="{"))
        assert headers["Content-Type"] == "application/json"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        assert {"ETag", "Location"} < set(headers["Access-Control-Expose-Headers"].split(", "))
        assert body["requestId"] == "request-1"
        assert body["success"] is (status == 200)


@pytest.mark.parametrize("authorizer", [None, {}, {"sub": ""}, {"sub": None}, {"sub": 7}, {"principalId": "ada"}])
def test_without_the_authorizers_word_nothing_is_done(authorizer: dict[str, Any] | None) -> None:
    calls: list[object] = []
    sent = rest_event("GET", PATH, authorizer=authorizer)

    status, headers, body = answer_of(calls.append, sent)

    assert (status, body["error"]["code"]) == (401, "AUTHENTICATION_REQUIRED")
    assert headers["WWW-Authenticate"] == "Bearer"
    assert not calls


def test_the_change_names_who_and_in_which_request() -> None:
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
def test_what_is_not_json_is_refused(body: str) -> None:
    assert refusal(lambda request: request.parse_body(), event(body=body)) == (400, "VALIDATION_ERROR")


def test_a_field_named_twice_is_refused() -> None:
    body = f'{{"key": "{SECRET}", "key": "other"}}'

    status, _, answer = answer_of(lambda request: request.parse_body(), event(body=body))

    assert (status, answer["error"]["message"]) == (400, "The body names a field twice. Name each field once.")


@pytest.mark.parametrize("size", [16_384, 16_385])
def test_a_body_of_sixteen_kibibytes_is_the_largest(size: int) -> None:
    body = json.dumps("ü" + "x" * (size - 4), ensure_ascii=False)
    assert len(body.encode()) == size

    status, _, _ = answer_of(lambda request: bool(request.parse_body()), event(body=body))

    assert status == (200 if size == 16_384 else 413)


def test_a_large_body_is_refused_before_it_is_read() -> None:
    assert refusal(lambda request: request.parse_body(), event(body="{" + SECRET * 1000)) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*", "json"),
        *("application/jsonp", "application/json-patch+json", "application/merge-patch+json", "text/json"),
        *("application/json, text/plain", "application/json charset=utf-8", "x; application/json"),
    ],
)
def test_another_media_type_is_refused(content_type: str) -> None:
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
def test_json_may_be_declared_in_its_usual_ways(content_type: str) -> None:
    """Parameters of the media type are ignored: JSON is UTF-8 whatever they say."""
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
    ],
)
def test_a_body_is_refused_with_the_reason(body: str, message: str) -> None:
    """Nothing of the body is in the message."""
    assert answer_of(lambda request: request.parse_body(), event(body=body))[2]["error"]["message"] == message


@pytest.mark.parametrize(
    "body", [b'{"name": "Caf\xe9"}', b"\xff\xfe{\x00}\x00", b'{"name": "\xc3("}', b'{"a": "\xed\xa0\x80"}']
)
def test_bytes_that_are_not_utf_8_are_refused(body: bytes) -> None:
    """Latin-1, UTF-16, a cut sequence, an encoded surrogate; as API Gateway passes them, in base64."""
    sent = event(body=base64.b64encode(body).decode()) | {"isBase64Encoded": True}

    status, _, answer = answer_of(lambda request: request.parse_body(), sent)

    assert (status, "UTF-8" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize("body", ["e30", "e30=\n!", "é", "====", "e3"])
def test_a_body_that_is_not_base64_is_refused(body: str) -> None:
    """An event that declares base64 and holds something else is the sender's fault, not a 500."""
    sent = event(body=body) | {"isBase64Encoded": True}

    assert refusal(lambda request: request.parse_body(), sent) == (400, "VALIDATION_ERROR")


def test_a_byte_order_mark_before_the_body_is_ignored() -> None:
    """Windows programs write one (RFC 8259, 8.1)."""
    assert answer_of(lambda request: request.parse_body(), event(body='\ufeff{"a": 1}'))[2]["data"] == {"a": 1}


def test_a_body_in_base64_is_decoded() -> None:
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
def test_if_match_names_versions(header: str | None, versions: list[int] | None) -> None:
    sent = event(If_Match=header) if header else event()

    def read(request: Request) -> list[int] | None:
        expected = request.parse_if_match()
        return None if expected is None else sorted(expected)

    assert answer_of(read, sent)[2]["data"] == versions


@pytest.mark.parametrize("header", ["", "1", '"1', "abc", '"1" "2"', ",", '"1",', ", ".join(['"1"'] * 11)])
def test_a_malformed_if_match_is_told(header: str) -> None:
    assert refusal(lambda request: bool(request.parse_if_match()), event(If_Match=header)) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("header", ["", "x" * 15, "x" * 129, "white space inside it", "ümlaut-ümlaut-ümlaut"])
def test_a_malformed_idempotency_key_is_told(header: str) -> None:
    sent = event(Idempotency_Key=header)

    assert refusal(lambda request: request.idempotency_fingerprint({}), sent) == (400, "VALIDATION_ERROR")


def test_without_idempotency_key_no_retry_is_expected() -> None:
    assert answer_of(lambda request: request.idempotency_fingerprint({}), event())[2]["data"] is None


def test_the_idempotency_of_a_request_hides_it_and_tells_it_from_every_other() -> None:
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
    got, _, body = answer_of(raising(error), event())

    assert (got, body["error"]["code"], body["success"]) == (status, code, False)
    assert body["error"]["message"] == "no" or status == 500


def test_details_are_there_for_validation_alone() -> None:
    details = (errors.FieldError("name", "too long"),)

    assert answer_of(raising(errors.InvalidRequestError("no", details)), event())[2]["error"]["details"] == [
        {"field": "name", "message": "too long"}
    ]
    assert "details" not in answer_of(raising(errors.InvalidRequestError("no")), event())[2]["error"]


def test_a_response_does_not_grow_with_the_faults_of_a_body() -> None:
    """Each fault once, and twenty of them: 16 KB of unknown fields made 400 KB of details."""
    names = [*(f"unknown{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(500)), *(f"_{n}" for n in range(500))]
    body = dict.fromkeys(names, 1) | {"name": 7}

    endpoint = api_handler(lambda request: Response(200, {"data": parse_create(request.parse_body()).name}))
    answer = endpoint(event(body=json.dumps(body)), None)

    details = json.loads(answer["body"])["error"]["details"]
    assert [detail["field"] for detail in details[:2]] == ["name", "key"]
    assert (len(details), len(answer["body"]) < 5000) == (20, True)

    few = endpoint(event(body=json.dumps(dict.fromkeys(names[500:], 1) | {"name": "One", "key": SECRET})), None)
    assert [detail["field"] for detail in json.loads(few["body"])["error"]["details"]] == ["(body)"]


def test_unavailability_says_when_to_try_again() -> None:
    _, headers, _ = answer_of(raising(errors.KeyStoreUnavailableError("no", retry_after=7)), event())

    assert headers["Retry-After"] == "7"


def test_an_unexpected_error_is_logged_by_its_place_and_never_by_its_text(logged: Logged) -> None:
    _, _, body = answer_of(raising(ValueError(f"cannot take {SECRET}")), event(body=SECRET))

    (line,) = logged()
    assert line["level"] == "ERROR"
    assert line["errorType"] == "builtins.ValueError"
    assert line["requestId"] == body["requestId"] == "request-1"
    assert any("test_endpoint.py" in frame and frame.endswith(" handle") for frame in line["stack"])
    assert SECRET not in json.dumps([line, body])
    assert "report the requestId" in body["error"]["message"]


def test_our_own_unexpected_errors_are_logged_with_their_text(logged: Logged) -> None:
    answer_of(raising(errors.KeyAccessDeniedError("KMS refused Encrypt. Check the policy.")), event())

    assert logged()[0]["message"] == "KMS refused Encrypt. Check the policy."


def test_an_expected_refusal_is_logged_at_info_without_what_was_sent(logged: Logged) -> None:
    answer_of(raising(errors.InvalidRequestError("no", (errors.FieldError(SECRET, "no"),))), event(body=SECRET))

    (line,) = logged()
    assert (line["level"], line["code"]) == ("INFO", "VALIDATION_ERROR")
    assert SECRET not in json.dumps(line)


def test_a_list_shows_its_pagination() -> None:
    sent = rest_event("GET", PATH, query={"limit": "7"}, authorizer={"sub": "ada"})
    endpoint = api_handler(lambda request: list_response(Page((), "next"), request.parse_query()))

    body = json.loads(endpoint(sent, None)["body"])

    assert (body["data"], body["pagination"]) == ([], {"limit": 7, "nextCursor": "next"})


def test_nothing_of_botocore_is_logged_at_debug_level() -> None:
    assert not logging.getLogger("botocore").isEnabledFor(logging.DEBUG), "it would log request bodies"
