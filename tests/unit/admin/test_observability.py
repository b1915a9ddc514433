"""Tests of audit lines, metrics, and the bounds of log lines: no request, item or AWS response makes them grow."""

from __future__ import annotations

import json
import logging
import runpy
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from service_keys import errors
from service_keys.admin import observability
from service_keys.admin.audit import audited
from service_keys.admin.observability import ITEMS_MAX, STRING_MAX_LENGTH, bounded, count_metric, logger
from service_keys.admin.responses import Response
from service_keys.core.models import ChangeContext
from service_keys.core.timestamps import format_timestamp
from service_keys.reader import usage
from service_keys.store import aws_errors
from service_keys.store.items import skip_malformed, to_key
from tests.unit.admin.conftest import event, failing, respond
from tests.unit.core.test_models import KEY
from tests.unit.reader.test_usage import key as readable

if TYPE_CHECKING:
    from tests.conftest import Logged

AUDIT = {
    "change": "update",
    "outcome": "done",
    "keyId": "spotify.0123456789ab",
    "fields": ["active", "name"],
    "principal": "ada",
    "requestId": "r-1",
}
MAX_LINE_BYTES = 2048
MEGABYTE = 1_000_000
X = "x" * MEGABYTE


@pytest.fixture(autouse=True)
def _counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability, "metrics_namespace", "ServiceKeys")


def change(error: Exception | None = None, outcome: str | None = None, extended_request_id: str | None = None) -> None:
    context = ChangeContext(0, "ada", "r-1", extended_request_id)
    with audited("update", key_id="spotify.0123456789ab", fields=("name", "active"), context=context) as audit:
        audit.outcome = outcome or audit.outcome
        if error:
            raise error


def metric(dimensions: list[str], name: str) -> list[dict[str, Any]]:
    return [{"Namespace": "ServiceKeys", "Dimensions": [dimensions], "Metrics": [{"Name": name, "Unit": "Count"}]}]


# --- audit lines and metrics ----------------------------------------------------------------------------------------


def test_a_change_is_logged_and_counted(logged: Logged) -> None:
    """Write one audit line in EMF with API Gateway's id, because the sender can choose requestId by a header."""
    change(extended_request_id="S1h2iEXAMPLEjVw=")

    (line,) = logged()
    assert (line["level"], line["message"]) == ("INFO", "API key update: done")
    assert line["audit"] == AUDIT | {"extendedRequestId": "S1h2iEXAMPLEjVw="}
    assert line["_aws"]["CloudWatchMetrics"] == metric(["service", "change"], "Changes")
    assert (line["change"], line["Changes"]) == ("update", 1)
    assert line.keys() == {"level", "message", "timestamp", "service", "audit", "_aws", "change", "Changes"}


def test_a_replayed_change_is_logged_but_not_counted(logged: Logged) -> None:
    """Write the outcome `replayed`."""
    change(outcome="replayed")

    (line,) = logged()
    assert line["audit"] == AUDIT | {"outcome": "replayed"}
    assert "_aws" not in line


@pytest.mark.parametrize("error", [errors.KeyStoreUnavailableError("Busy."), ZeroDivisionError()])
def test_a_change_with_an_unknown_outcome_is_logged_as_unknown(logged: Logged, error: Exception) -> None:
    """Log a transient or unexpected error as `unknown`."""
    with pytest.raises(type(error)):
        change(error)

    (line,) = logged()
    assert line["audit"] == AUDIT | {"outcome": "unknown"}
    assert "_aws" not in line


def test_a_rejected_change_is_not_logged(logged: Logged) -> None:
    """Write no audit line for a client error."""
    with pytest.raises(errors.DuplicateKeyNameError):
        change(errors.DuplicateKeyNameError("Taken."))

    assert logged() == []


def test_a_metric_has_its_timestamp_in_milliseconds() -> None:
    """Use an integer, as EMF requires."""
    before = time.time_ns() // 1_000_000
    extra: Any = count_metric("AccessDenied")

    assert before <= extra["_aws"]["Timestamp"] <= time.time_ns() // 1_000_000
    assert isinstance(extra["_aws"]["Timestamp"], int)
    assert extra["_aws"]["CloudWatchMetrics"] == metric(["service"], "AccessDenied")
    assert extra["AccessDenied"] == 1


def test_the_metrics_namespace_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the variable at import."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "made-up-stack")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/made-up")

    started = runpy.run_path(observability.__file__)

    assert started["count_metric"]("AccessDenied")["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "ServiceKeys/made-up"


# --- bounds ---------------------------------------------------------------------------------------------------------


def assert_short(logged: Logged) -> dict[str, Any]:
    """Return the only log line, which has at most 2 KB."""
    (line,) = logged()
    assert len(json.dumps(line, ensure_ascii=False).encode()) <= MAX_LINE_BYTES
    return line


def client_error(code: str, status: int) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "y" * MEGABYTE}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Query")


def recurse(value: list[Any]) -> int:
    return recurse([value]) + 1


@pytest.mark.parametrize(
    "error",
    [
        *(errors.KeyStoreUnavailableError(X), errors.KeyAccessDeniedError(X), errors.KeyCorruptedError(X)),
        *(errors.KeyNotFoundError(X), errors.InvalidRequestError(X), errors.ConfigurationError(X), ValueError(X)),
        *(UnicodeDecodeError("utf-8", b"\xff" * MEGABYTE, 0, 1, "made up"), client_error(X, 400)),
        type("E" * 5000, (Exception,), {})("made up"),
    ],
    ids=lambda error: type(error).__name__[:20],
)
def test_an_error_is_one_short_log_line(logged: Logged, error: Exception) -> None:
    """Write one line of at most 2 KB for an error with a text of 1 MB, and a response of at most 2 KB."""
    response = respond(failing(error))

    assert_short(logged)
    assert len(response["body"].encode()) <= MAX_LINE_BYTES


def test_a_recursion_error_is_one_short_log_line(logged: Logged) -> None:
    """Keep the outermost and the innermost frames of the stack, 12 in total."""
    respond(lambda _: Response(recurse([]), {}))

    line = assert_short(logged)
    assert (line["errorType"], len(line["stack"])) == ("builtins.RecursionError", 12)
    assert line["stack"][0].endswith(" handler")
    assert line["stack"][-1].endswith(" recurse")


@pytest.mark.parametrize("error", [errors.KeyStoreUnavailableError("x"), errors.KeyNotFoundError("x"), ValueError()])
def test_long_request_ids_are_truncated(logged: Logged, error: Exception) -> None:
    """Truncate a request id that the caller chose."""
    sent = event()
    sent["requestContext"]["requestId"] = X

    respond(failing(error), sent)

    assert_short(logged)


@pytest.mark.parametrize("value", [X, "é" * MEGABYTE])
def test_an_audit_line_is_bounded(logged: Logged, value: str) -> None:
    """Truncate a key id from the path, a request id and a principal; keep the start of each."""
    context = ChangeContext(at_ms=1, principal=value, request_id=value)

    with pytest.raises(ValueError, match="made up"), audited("update", key_id=value, fields=("key",), context=context):
        raise ValueError("made up")

    audit = assert_short(logged)["audit"]
    assert audit["keyId"][:200] == value[:200]
    assert (audit["change"], audit["outcome"], audit["fields"]) == ("update", "unknown", ["key"])


def test_an_audit_line_keeps_the_longest_valid_ids(logged: Logged) -> None:
    """Truncate no value that a stored key or a token can have; the readable name has at most 200 characters."""
    principal, key_id, fields = "p" * 255, f"{'s' * 40}.0123456789ab", ["active", "description", "key", "name"]
    context = ChangeContext(1, principal, "r" * 36, principal_name="é" * 200)

    with audited("update", key_id=key_id, fields=fields, context=context):
        pass

    audit = assert_short(logged)["audit"]
    assert (audit["principal"], audit["keyId"], audit["fields"]) == (principal, key_id, fields)
    assert audit["principalName"] == context.principal_name


@pytest.mark.parametrize("value", [X, {X: X}, [X] * 3, {"a": {"b": X}}, (X[:300],) * 3])
def test_every_field_of_a_log_line_is_bounded(logged: Logged, value: object) -> None:
    """Bound each string of a field, at any depth."""
    logger.info("made up", extra={"field": value})

    assert_short(logged)


def test_a_message_with_arguments_is_truncated(logged: Logged) -> None:
    """Bound a message after its arguments are formatted."""
    logger.info("about %s", X)

    assert assert_short(logged)["message"].startswith("about xxx")


def test_values_within_the_bounds_are_unchanged() -> None:
    """Truncate only beyond the bounds."""
    whole = {"a": "x" * STRING_MAX_LENGTH, "b": list(range(ITEMS_MAX)), "c": None, "d": 1.5, "e": True}

    assert bounded(whole) == whole
    assert bounded("x" * (STRING_MAX_LENGTH + 1)) == "x" * (STRING_MAX_LENGTH - 1) + "…"
    assert bounded(list(range(ITEMS_MAX + 1))) == list(range(ITEMS_MAX))


@pytest.mark.parametrize("length", [0, 599, 600, 601, MEGABYTE])
def test_a_message_has_at_most_600_characters(length: int) -> None:
    """Bound the message of each error of this package, in its base class."""
    text = str(errors.KeyDisabledError("z" * length))

    assert len(text) == min(length, 600)
    assert text.endswith("…") is (length > 600)


@pytest.mark.parametrize("status", [503, 429])
def test_a_long_aws_error_code_is_truncated(status: int) -> None:
    """Bound the message that consumers log, regardless of the AWS error code."""
    with pytest.raises(errors.KeyStoreUnavailableError) as raised, aws_errors.translate_aws_errors("DynamoDB"):
        raise client_error(X, status)

    assert len(str(raised.value)) <= 600


def test_a_failed_usage_stamp_is_one_short_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """Bound the warning of a consumer whose usage stamp fails."""

    class Table:
        def stamp_usage(self, *_: object, **__: object) -> None:
            raise errors.KeyStoreUnavailableError(X)

    usage.stamp_if_due(Table(), readable(used_before=None), at=1_800_000_000)  # type: ignore[arg-type]

    (record,) = caplog.records
    assert len(record.getMessage()) <= MAX_LINE_BYTES


@pytest.mark.parametrize("version", ["9" * 5000, "x" * 300_000])
def test_a_malformed_item_is_one_short_log_line(caplog: pytest.LogCaptureFixture, version: str) -> None:
    """Bound the line about a malformed item."""
    caplog.set_level(logging.ERROR)
    strings = {"id": KEY.id, "name": "Key", "maskedKey": "••••", "createdBy": "ada", "updatedBy": "ada"}
    strings |= dict.fromkeys(("createdAt", "updatedAt", "keyUpdatedAt"), format_timestamp(1))
    item: dict[str, Any] = {name: {"S": value} for name, value in strings.items()}
    item |= {"active": {"BOOL": True}, "version": {"N": version}}
    with pytest.raises(errors.KeyCorruptedError):
        to_key(item, at_ms=1)

    assert list(skip_malformed([item], at_ms=1)) == []

    (record,) = caplog.records
    assert len(record.getMessage()) <= MAX_LINE_BYTES
