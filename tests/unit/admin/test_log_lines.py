"""Tests of the bounds of log lines and error messages: no request, item or AWS response makes them grow."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local.events import rest_event
from service_keys import errors
from service_keys.admin.audit import audited
from service_keys.admin.endpoint import api_handler
from service_keys.admin.observability import ITEMS_MAX, STRING_MAX_LENGTH, bounded, logger
from service_keys.admin.responses import Response
from service_keys.core.models import ChangeContext
from service_keys.core.timestamps import format_timestamp
from service_keys.reader import usage
from service_keys.store import aws_errors
from service_keys.store.items import skip_malformed, to_key
from tests.unit.core.test_models import KEY
from tests.unit.reader.test_usage import key as readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from service_keys.admin.request import Request
    from tests.conftest import Logged

LONGEST_LINE = 2048
HUGE = 1_000_000
X = "x" * HUGE


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGIN", "https://admin.example.com")


def longest(logged: Logged) -> int:
    return max(len(json.dumps(line, ensure_ascii=False).encode()) for line in logged())


def client_error(code: str, status: int) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "y" * HUGE},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "Query")


def recurse(value: list[Any]) -> int:
    return recurse([value]) + 1


def raising(error: Exception) -> Callable[[Request], Response]:
    def respond(_: Request) -> Response:
        raise error

    return respond


def called(respond: Callable[[Request], Response], **options: Any) -> dict[str, Any]:
    sent = {"authorizer": {"sub": "ada"}, "request_id": "request-1"} | options
    return api_handler(respond)(rest_event("GET", "/api/v1/admin/api-keys", **sent), None)


ERRORS = [
    errors.KeyStoreUnavailableError(X),
    errors.KeyAccessDeniedError(X),
    errors.KeyCorruptedError(X),
    errors.KeyNotFoundError(X),
    errors.InvalidRequestError(X),
    errors.ConfigurationError(X),
    ValueError(X),
    UnicodeDecodeError("utf-8", b"\xff" * HUGE, 0, 1, "made up"),
    client_error(X, 400),
    type("E" * 5000, (Exception,), {})("made up"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__[:20])
def test_an_error_is_one_short_log_line(logged: Logged, error: Exception) -> None:
    """Write one line of at most 2 KB for an error with a text of 1 MB, and a response of at most 2 KB."""
    answer = called(raising(error))

    assert len(logged()) == 1
    assert longest(logged) <= LONGEST_LINE
    assert len(answer["body"].encode()) <= LONGEST_LINE


def test_a_recursion_error_is_one_short_log_line(logged: Logged) -> None:
    """Keep the outermost and the innermost frames of the stack, 12 in total."""
    called(lambda _: Response(recurse([]), {}))

    (line,) = logged()
    assert line["errorType"] == "builtins.RecursionError"
    assert len(line["stack"]) == 12
    assert "endpoint" in line["stack"][0] or "handler" in line["stack"][0]
    assert line["stack"][-1].endswith(" recurse")
    assert longest(logged) <= LONGEST_LINE


@pytest.mark.parametrize(
    "error", [errors.KeyStoreUnavailableError("made up"), errors.KeyNotFoundError("made up"), ValueError()]
)
def test_long_request_ids_are_truncated(logged: Logged, error: Exception) -> None:
    """Truncate a request id that the caller chose."""
    called(raising(error), request_id=X)

    assert longest(logged) <= LONGEST_LINE


@pytest.mark.parametrize("value", [X, "é" * HUGE])
def test_an_audit_line_is_bounded(logged: Logged, value: str) -> None:
    """Truncate a key id from the path, a request id and a principal; keep the start of each."""
    change = ChangeContext(at_ms=1, principal=value, request_id=value)

    with pytest.raises(ValueError, match="made up"), audited("update", key_id=value, fields=("key",), context=change):
        raise ValueError("made up")

    (line,) = logged()
    assert line["audit"]["keyId"][:200] == value[:200]
    assert (line["audit"]["change"], line["audit"]["outcome"], line["audit"]["fields"]) == (
        "update",
        "unknown",
        ["key"],
    )
    assert longest(logged) <= LONGEST_LINE


def test_an_audit_line_keeps_the_longest_valid_ids(logged: Logged) -> None:
    """Truncate no value that a stored key or a token can have."""
    principal, key_id, fields = "p" * 255, f"{'s' * 40}.0123456789ab", ["active", "description", "key", "name"]

    with audited("update", key_id=key_id, fields=fields, context=ChangeContext(1, principal, "r" * 36)):
        pass

    audit = logged()[0]["audit"]
    assert (audit["principal"], audit["keyId"], audit["fields"]) == (principal, key_id, fields)


@pytest.mark.parametrize(
    "extra",
    [
        {"made": X},
        {"made": {X: X}},
        {"made": [X] * 3},
        {"made": {"made": {"made": X}}},
        {"made": tuple(X[:300] for _ in range(3))},
    ],
)
def test_every_field_of_a_log_line_is_bounded(logged: Logged, extra: dict[str, Any]) -> None:
    """Bound each string of a field, at any depth."""
    logger.info("made up", extra=extra)

    assert longest(logged) <= LONGEST_LINE


def test_a_message_with_arguments_is_truncated(logged: Logged) -> None:
    """Bound a message after its arguments are formatted."""
    logger.info("about %s", X)

    assert logged()[0]["message"].startswith("about xxx")
    assert longest(logged) <= LONGEST_LINE


def test_values_within_the_bounds_are_unchanged() -> None:
    """Truncate only beyond the bounds."""
    whole = {"a": "x" * STRING_MAX_LENGTH, "b": list(range(ITEMS_MAX)), "c": None, "d": 1.5, "e": True}

    assert bounded(whole) == whole
    cut = bounded("x" * (STRING_MAX_LENGTH + 1))
    assert cut == "x" * (STRING_MAX_LENGTH - 1) + "…"
    assert bounded(list(range(ITEMS_MAX + 1))) == list(range(ITEMS_MAX))


@pytest.mark.parametrize("length", [0, 599, 600, 601, HUGE])
def test_a_message_has_at_most_600_characters(length: int) -> None:
    """Bound the message of each error of this package, in its base class."""
    text = str(errors.KeyDisabledError("z" * length))

    assert len(text) == min(length, 600)
    assert text.endswith("…") is (length > 600)


@pytest.mark.parametrize(("code", "status"), [(X, 503), (X, 429)])
def test_a_long_aws_error_code_is_truncated(code: str, status: int) -> None:
    """Bound the message that consumers log, regardless of the AWS error code."""
    with pytest.raises(errors.KeyStoreUnavailableError) as raised, aws_errors.translate_aws_errors("DynamoDB"):
        raise client_error(code, status)

    assert len(str(raised.value)) <= 600


def test_a_failed_usage_stamp_is_one_short_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """Bound the warning of a consumer whose usage stamp fails."""

    class Table:
        def stamp_usage(self, *_: object, **__: object) -> None:
            raise errors.KeyStoreUnavailableError(X)

    usage.stamp_if_due(Table(), readable(used_before=None), at=1_800_000_000)  # type: ignore[arg-type]

    (record,) = caplog.records
    assert len(record.getMessage()) <= LONGEST_LINE


@pytest.mark.parametrize("version", ["9" * 5000, "x" * 300_000])
def test_a_malformed_item_is_one_short_log_line(caplog: pytest.LogCaptureFixture, version: str) -> None:
    """Bound the line about a malformed item."""
    caplog.set_level(logging.ERROR)
    item: dict[str, Any] = {
        "id": {"S": KEY.id},
        "name": {"S": "Key"},
        "active": {"BOOL": True},
        "maskedKey": {"S": "••••"},
        **{name: {"S": format_timestamp(1)} for name in ("createdAt", "updatedAt", "keyUpdatedAt")},
        **{name: {"S": "ada"} for name in ("createdBy", "updatedBy")},
        "version": {"N": version},
    }
    with pytest.raises(errors.KeyCorruptedError):
        to_key(item, at_ms=1)

    assert list(skip_malformed([item], at_ms=1)) == []

    (record,) = caplog.records
    assert len(record.getMessage()) <= LONGEST_LINE
