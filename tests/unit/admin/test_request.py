"""Tests of requests: from an event to principal, key id, body, versions and idempotency fingerprint."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from local.events import rest_event
from service_keys import errors
from service_keys.admin.request import Request
from service_keys.admin.responses import Response
from service_keys.core.models import ChangeContext
from tests.unit.admin.conftest import COLLECTION, SECRET, event, respond

if TYPE_CHECKING:
    from tests.conftest import Logged

NOT_UTF_8 = "The body is not valid JSON, because it is not in UTF-8. Encode it as UTF-8."
TWICE = "The body names a field twice. Name each field once."


def request(**members: Any) -> Request:
    return Request(event(**members), at_ms=1)


def parsed(body: str, **members: Any) -> Any:
    """Return the JSON body as parsed by an endpoint."""
    return json.loads(respond(lambda it: Response(200, {"data": it.parse_body()}), event(body=body, **members))["body"])


def refusal(body: str, **members: Any) -> tuple[str, str]:
    """Return code and message of the response to an invalid body; neither contains a secret."""
    error = parsed(body, **members)["error"]
    assert SECRET not in repr(error)
    return error["code"], error["message"]


def test_a_request_has_the_principal_time_ids_and_path_of_its_event() -> None:
    """Take all from the event."""
    sent = event(pathParameters={"id": "x y"})
    sent["requestContext"]["extendedRequestId"] = "S1h2iEXAMPLEjVw="
    made = Request(sent, at_ms=1)

    assert made.context == ChangeContext(1, "ada", "request-1", extended_request_id="S1h2iEXAMPLEjVw=")
    assert (made.path, made.key_id) == (COLLECTION, "x y")


@pytest.mark.parametrize(("given", "name"), [("Ada é", "Ada é"), ("", None), (None, None), (7, None), (..., None)])
def test_the_principal_name_comes_from_the_authorizer(given: object, name: str | None) -> None:
    """Take only text: the context of another authorizer may hold other values."""
    sent = event()
    sent["requestContext"]["authorizer"] |= {} if given is ... else {"name": given}

    assert Request(sent, at_ms=1).context.principal_name == name


@pytest.mark.parametrize("parameters", [None, {}, {"other": "x"}])
def test_a_path_without_an_id_has_an_empty_key_id(parameters: dict[str, str] | None) -> None:
    """Accept missing path parameters."""
    assert request(pathParameters=parameters).key_id == ""


@pytest.mark.parametrize("authorizer", [None, {}, {"sub": ""}, {"sub": None}, {"sub": 7}, {"principalId": "ada"}])
def test_a_request_without_authorizer_context_is_unauthenticated(
    logged: Logged, authorizer: dict[str, Any] | None
) -> None:
    """Return 401 without a call of the handler; log the route, which locates a misconfigured authorizer."""
    calls: list[Request] = []
    route = COLLECTION + "/{id}"

    response = respond(calls.append, rest_event("GET", f"{COLLECTION}/x", route, authorizer=authorizer))  # type: ignore[arg-type]

    code = json.loads(response["body"])["error"]["code"]
    assert (response["statusCode"], code, calls) == (401, "AUTHENTICATION_REQUIRED", [])
    assert response["headers"]["WWW-Authenticate"] == "Bearer"
    (line,) = logged()
    assert (line["code"], line["route"]) == ("AUTHENTICATION_REQUIRED", route)
    assert "principal" not in line


# --- the body -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "place"),
    [
        *(("{", " (line 1, column 2)"), ("\ufeff{", " (line 1, column 2)"), ("{'name': 'x'}", " (line 1, column 2)")),
        *((SECRET, " (line 1, column 1)"), (f'{{"key": "{SECRET}"', " (line 1, column 36)")),
        *((f'{{"key": "{SECRET}\n"}}', " (line 1, column 35)"), ('{"a": 1} {"b": 2}', " (line 1, column 10)")),
        *(('{\n"a": }', " (line 2, column 6)"), ('{"a": "\0"}', " (line 1, column 8)")),
        *(('{"name": NaN}', ""), ('{"limit": Infinity}', ""), ("[" * 16_000, ""), ("9" * 10_000, "")),
    ],
)
def test_a_body_that_is_not_json_is_rejected(body: str, place: str) -> None:
    """Return the position of the error, and no text of the body."""
    assert refusal(body) == ("VALIDATION_ERROR", f"The body is not valid JSON{place}. Send one JSON object.")


@pytest.mark.parametrize("body", ["", "   ", " \n"])
def test_an_empty_body_is_rejected(body: str) -> None:
    """Return a message of its own."""
    assert refusal(body) == ("VALIDATION_ERROR", "The body is empty. Send one JSON object.")


@pytest.mark.parametrize(
    "body", [f'{{"key": "{SECRET}", "key": "other"}}', f'{{"key": {{"a": "{SECRET}", "a": "x"}}}}']
)
def test_a_duplicate_field_is_rejected(body: str) -> None:
    """Return 400 without the secret value."""
    assert refusal(body) == ("VALIDATION_ERROR", TWICE)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_body_in_utf_16_is_rejected(encoding: str) -> None:
    """Recognize it although API Gateway has replaced its invalid bytes."""
    assert refusal('{"a": 1}'.encode(encoding).decode(errors="replace")) == ("VALIDATION_ERROR", NOT_UTF_8)
    assert refusal('{"a": 1}'.encode("utf-16-le").decode("latin-1")) == ("VALIDATION_ERROR", NOT_UTF_8)


def test_a_body_with_a_surrogate_is_rejected() -> None:
    """Reject text that UTF-8 cannot encode."""
    assert refusal('{"name": "Caf\udce9"}') == refusal('{"name": "\ud800"}') == ("VALIDATION_ERROR", NOT_UTF_8)


@pytest.mark.parametrize(
    "body", [b'{"name": "Caf\xe9"}', b"\xff\xfe{\x00}\x00", b'{"name": "\xc3("}', b'{"a": "\xed\xa0\x80"}']
)
def test_a_body_that_is_not_utf_8_is_rejected(body: bytes) -> None:
    """Reject Latin-1, UTF-16, a cut sequence and an encoded surrogate, passed in base64 by API Gateway."""
    assert refusal(base64.b64encode(body).decode(), isBase64Encoded=True) == ("VALIDATION_ERROR", NOT_UTF_8)


@pytest.mark.parametrize("body", ["e30", "e30=\n!", "é", "====", "e3"])
def test_a_body_that_is_not_base64_is_rejected(body: str) -> None:
    """Return 400, not 500, for an event that declares base64 and contains other text."""
    assert refusal(body, isBase64Encoded=True)[0] == "VALIDATION_ERROR"


def test_a_byte_order_mark_and_base64_are_decoded() -> None:
    """Accept the mark that Windows programs write (RFC 8259, 8.1), and a body that API Gateway encoded."""
    assert parsed('\ufeff{"a": 1}')["data"] == {"a": 1}
    assert parsed(base64.b64encode('{"a": "ü"}'.encode()).decode(), isBase64Encoded=True)["data"] == {"a": "ü"}


def test_a_body_may_have_at_most_16_kib() -> None:
    """Count bytes of UTF-8, and reject a larger body before it is parsed."""
    largest = json.dumps("ü" + "x" * 16_380, ensure_ascii=False)
    assert len(largest.encode()) == 16_384

    assert parsed(largest)["success"] is True
    assert refusal(largest + " ")[0] == "PAYLOAD_TOO_LARGE"
    assert refusal("{" + SECRET * 1000)[0] == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*", "json"),
        *("application/jsonp", "application/json-patch+json", "application/merge-patch+json", "text/json"),
        *("application/json, text/plain", "application/json charset=utf-8", "x; application/json"),
    ],
)
def test_another_media_type_is_rejected(content_type: str) -> None:
    """Return UNSUPPORTED_MEDIA_TYPE, also without the header."""
    headers = {"content-type": content_type} if content_type else None

    assert refusal("{}", headers=headers)[0] == "UNSUPPORTED_MEDIA_TYPE"


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
    assert parsed('{"a": 1}', headers={"CONTENT-TYPE": content_type})["data"] == {"a": 1}


# --- If-Match and Idempotency-Key -----------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [None, {}])
def test_an_event_may_lack_headers(headers: dict[str, str] | None) -> None:
    """Treat all headers as absent."""
    made = request(headers=headers)

    assert (made.parse_if_match(), made.idempotency_fingerprint({})) == (None, None)
    with pytest.raises(errors.UnsupportedMediaTypeError):
        made.parse_body()


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        *(("*", None), ('"1"', {1}), (' "12" , "7"', {7, 12}), ('W/"1"', set()), ('"abc"', set()), ('"01"', set())),
        *(('"0"', set()), (f'"{"9" * 40}"', set())),
        (", ".join(f'"{number}"' for number in range(1, 11)), set(range(1, 11))),
    ],
)
def test_if_match_is_parsed_into_versions(header: str, versions: set[int] | None) -> None:
    """Ignore entity tags that no version can have."""
    assert request(headers={"If-Match": header}).parse_if_match() == versions


@pytest.mark.parametrize("header", ["", "1", '"1', "abc", '"1" "2"', ",", '"1",', ", ".join(['"1"'] * 11)])
def test_a_malformed_if_match_is_rejected(header: str) -> None:
    """Reject also more than 10 entity tags."""
    with pytest.raises(errors.InvalidRequestError, match="Invalid If-Match"):
        request(headers={"If-Match": header}).parse_if_match()


@pytest.mark.parametrize("header", ["", "x" * 15, "x" * 129, "white space inside it", "ümlaut-ümlaut-ümlaut"])
def test_a_malformed_idempotency_key_is_rejected(header: str) -> None:
    """Require 16 to 128 visible ASCII characters."""
    with pytest.raises(errors.InvalidRequestError, match="Invalid Idempotency-Key"):
        request(headers={"Idempotency-Key": header}).idempotency_fingerprint({})


@pytest.mark.parametrize("key", ["k" * 16, "l" * 128])
def test_the_idempotency_fingerprint_is_stable_across_releases(key: str) -> None:
    """Compute the HMAC-SHA256 of principal and body, regardless of the order of fields."""
    canonical = '["ada",{"key":"made-up","name":"\\u00e9"}]'

    digest = hmac.new(key.encode(), canonical.encode(), hashlib.sha256).hexdigest()
    made = request(headers={"Idempotency-Key": key})
    assert made.idempotency_fingerprint({"name": "é", "key": "made-up"}) == digest
    assert made.idempotency_fingerprint({"key": "made-up", "name": "é"}) == digest
