"""Tests of the usage stamp: its interval, and the warning if it fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import PartialCredentialsError

from service_keys.core.models import EncryptedKey
from service_keys.core.timestamps import format_timestamp
from service_keys.reader import usage
from service_keys.store.repository import KeyRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY_ID = "one.0123456789ab"
NOW = 1_800_000_000.25
Answer = tuple[Any, dict[str, Any]]


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    client = botocore.session.get_session().create_client(
        "dynamodb", region_name="eu-west-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
    )
    yield client
    client.close()


@pytest.fixture
def stamps(dynamodb: Any) -> Iterator[list[Any]]:
    """The UpdateItem calls; each of them succeeds."""
    calls: list[Any] = []

    def answer(**call: Any) -> Answer:
        calls.append(call)
        return SimpleNamespace(status_code=200), {}

    dynamodb.meta.events.register_last("before-call.dynamodb.UpdateItem", answer, "stamps")
    yield calls
    dynamodb.meta.events.unregister("before-call.dynamodb.UpdateItem", unique_id="stamps")


def key(*, used_before: float | None) -> EncryptedKey:
    last_used = None if used_before is None else format_timestamp(round((NOW - used_before) * 1000))
    return EncryptedKey(id=KEY_ID, name="Key", active=True, ciphertext=b"", version=1, last_used=last_used)


@pytest.mark.parametrize(
    ("drawn", "used_before", "stamped"),
    [
        (0.0, None, True),
        (0.0, 60, True),
        (0.0, 59.99, False),
        (0.5, 52.5, True),
        (0.5, 52.4, False),
        (1.0, 45, True),
        (1.0, 44.99, False),
        (1.0, -300, False),
    ],
)
def test_a_usage_stamp_is_due_after_45_to_60_seconds(
    dynamodb: Any,
    stamps: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    drawn: float,
    used_before: float | None,
    *,
    stamped: bool,
) -> None:
    """Jitter the interval, and do not stamp a key with a later `lastUsed`."""
    monkeypatch.setattr("random.random", lambda: drawn)

    usage.stamp_if_due(KeyRepository(dynamodb, "table"), key(used_before=used_before), at=NOW)

    assert len(stamps) == stamped


def refused(code: str) -> Answer:
    parsed = {"Error": {"Code": code, "Message": "with the key"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return SimpleNamespace(status_code=400), parsed


def misconfigured() -> Answer:
    raise PartialCredentialsError(provider="with the key", cred_var="x")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda: refused("AccessDeniedException"), "DynamoDB refused UpdateItem (AccessDeniedException). Check this"),
        (lambda: refused("ThrottlingException"), "DynamoDB is busy or failing (ThrottlingException). Try again"),
        (lambda: refused("ValidationException"), "ClientError"),
        (misconfigured, "PartialCredentialsError"),
    ],
)
def test_a_failed_usage_stamp_is_logged_without_error_details(
    dynamodb: Any, caplog: pytest.LogCaptureFixture, answer: Callable[[], Answer], told: str
) -> None:
    """Log the translated error or its type, never its text."""
    dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", lambda **_: answer(), "fails")
    try:
        usage.stamp_if_due(KeyRepository(dynamodb, "table"), key(used_before=None), at=NOW)
    finally:
        dynamodb.meta.events.unregister("before-call.dynamodb.UpdateItem", unique_id="fails")

    (line,) = caplog.messages
    assert line.startswith(f"The usage stamp of {KEY_ID} could not be written: {told}")
    assert "with the key" not in line
