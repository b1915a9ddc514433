"""Tests of the usage stamp: its interval, and the warning if it fails."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, PartialCredentialsError

from service_keys.core.consumer_models import EncryptedKey
from service_keys.core.timestamps import format_timestamp
from service_keys.reader import usage
from service_keys.store.consumer_repository import ConsumerRepository

KEY_ID = "one.0123456789ab"
NOW = 1_800_000_000.25


def key(*, used_before: float | None) -> EncryptedKey:
    last_used = None if used_before is None else format_timestamp(round((NOW - used_before) * 1000))
    return EncryptedKey(id=KEY_ID, name="Key", active=True, ciphertext=b"", version=1, last_used=last_used)


@pytest.mark.parametrize(
    ("drawn", "used_before", "updates"),
    [(0, None, 1), (0, 60, 1), (0, 59.99, 0), (0.5, 52.5, 1), (0.5, 52.4, 0), (1, 45, 1), (1, 44.99, 0), (1, -300, 0)],
)
def test_a_usage_stamp_is_due_after_45_to_60_seconds(
    clients: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, drawn: float, used_before: float | None, updates: int
) -> None:
    """Jitter the interval, and do not stamp a key with a later `lastUsed`."""
    monkeypatch.setattr("random.random", lambda: drawn)
    requests: list[Any] = []
    monkeypatch.setattr(clients[0], "update_item", lambda **request: requests.append(request))

    usage.stamp_if_due(ConsumerRepository(clients[0], "table"), key(used_before=used_before), at=NOW)
    assert len(requests) == updates


UNKNOWN = "DynamoDB failed for a reason that is not known here ({})"


def refused(code: str) -> ClientError:
    failure: Any = {"Error": {"Code": code, "Message": "with the key"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(failure, "UpdateItem")


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (refused("AccessDeniedException"), "DynamoDB refused UpdateItem (AccessDeniedException). Check this"),
        (refused("ThrottlingException"), "DynamoDB is busy or failing (ThrottlingException). Try again"),
        (refused("TransactionConflictException"), UNKNOWN.format("TransactionConflictException")),
        (refused("ValidationException"), UNKNOWN.format("ValidationException")),
        (PartialCredentialsError(provider="with the key", cred_var="x"), UNKNOWN.format("PartialCredentialsError")),
    ],
)
def test_a_failed_usage_stamp_is_logged_without_error_details(
    clients: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, caplog: Any, error: Exception, logged: str
) -> None:
    """Log the translated error with its code or type, never its text."""

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(clients[0], "update_item", fail)
    usage.stamp_if_due(ConsumerRepository(clients[0], "table"), key(used_before=None), at=NOW)

    (line,) = caplog.messages
    assert line.startswith(f"The usage stamp of {KEY_ID} could not be written: {logged}")
    assert "with the key" not in line
