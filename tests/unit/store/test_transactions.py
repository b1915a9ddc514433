"""Tests of transaction conflicts and throttling with a stubbed client; moto cannot produce them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from service_keys.core.list_query import ListQuery
from service_keys.core.models import ChangeContext, Verification
from service_keys.errors import DuplicateKeyNameError, KeyStoreUnavailableError
from service_keys.store.consumer_repository import ConsumerRepository
from service_keys.store.recovery import KeyRecovery
from tests.unit.core.test_models import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXTS = ("name", "maskedKey", "createdAt", "createdBy", "updatedAt", "updatedBy", "keyUpdatedAt")
ITEM = {"id": {"S": KEY.id}, "active": {"BOOL": True}, "version": {"N": "1"}} | {name: {"S": "x"} for name in TEXTS}
CHANGE = ChangeContext(at_ms=0, principal="ada", request_id="r")
RESULT = Verification("valid", "2026-01-01T00:00:00.000Z", "It works.")


@pytest.fixture
def stub(clients: tuple[Any, Any]) -> Iterator[Stubber]:
    with Stubber(clients[0]) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def repository(clients: tuple[Any, Any], pauses: list[float]) -> KeyRecovery:
    return KeyRecovery(clients[0], "table", history_days=400, sleep=pauses.append)


def cancel(stub: Stubber, *codes: str) -> None:
    """Cancel the next transaction for these reasons."""
    reasons = [{"Code": code} for code in codes]
    stub.add_client_error(
        "transact_write_items", "TransactionCanceledException", modeled_fields={"CancellationReasons": reasons}
    )


def test_a_lasting_conflict_fails_after_25_attempts_with_backoff(
    stub: Stubber, repository: KeyRecovery, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grow the maximum delay from 0.05 s to 0.2 s, then raise KeyStoreUnavailableError."""
    longest: list[float] = []

    def uniform(least: float, most: float) -> float:
        assert least == 0
        longest.append(most)
        return len(longest)

    monkeypatch.setattr("random.uniform", uniform)
    for _ in range(25):
        stub.add_response("get_item", {"Item": ITEM})
        cancel(stub, "None", "TransactionConflict")

    with pytest.raises(KeyStoreUnavailableError, match="Nothing was changed"):
        repository.update(KEY.id, CHANGE, {"active": False})

    assert longest == pytest.approx([0.05, 0.1, 0.15, *[0.2] * 22])
    assert pauses == list(range(1, 26))


@pytest.mark.parametrize("reason", ["TransactionConflict", "ConditionalCheckFailed"])
def test_the_key_is_read_again_after_a_concurrent_change(
    stub: Stubber, repository: KeyRecovery, pauses: list[float], reason: str
) -> None:
    """Retry with the new version after one delay."""
    stub.add_response("get_item", {"Item": ITEM})
    cancel(stub, reason)
    stub.add_response("get_item", {"Item": ITEM | {"version": {"N": "7"}}})
    stub.add_response("transact_write_items", {})

    assert repository.update(KEY.id, CHANGE, {"active": False}).after.version == 8
    assert len(pauses) == 1


def test_set_verification_retries_after_a_transaction_conflict(
    stub: Stubber, repository: KeyRecovery, pauses: list[float]
) -> None:
    """Retry the conditional write after one delay."""
    stub.add_client_error("update_item", "TransactionConflictException")
    stub.add_response("update_item", {})

    repository.set_verification(KEY.id, RESULT, expected_key_updated_at="x")

    assert len(pauses) == 1


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_transaction_reports_that_nothing_changed(
    stub: Stubber, repository: KeyRecovery, code: str
) -> None:
    """Raise KeyStoreUnavailableError."""
    stub.add_response("get_item", {"Item": ITEM})
    cancel(stub, "None", code)

    with pytest.raises(KeyStoreUnavailableError, match=r"DynamoDB is busy\. Nothing was changed"):
        repository.delete(KEY.id, CHANGE, recoverable_days=7)


@pytest.mark.parametrize(
    "codes", [(), ("ValidationError",), ("ConditionalCheckFailed", "ItemCollectionSizeLimitExceeded")]
)
def test_an_unknown_cancellation_reason_is_raised_unchanged(
    stub: Stubber, repository: KeyRecovery, codes: tuple[str, ...]
) -> None:
    """Let the ClientError through for missing or unexpected reasons."""
    stub.add_response("get_item", {"Item": ITEM})
    if codes:
        cancel(stub, *codes)
    else:
        stub.add_client_error("transact_write_items", "TransactionCanceledException")

    with pytest.raises(ClientError, match="TransactionCanceledException"):
        repository.delete(KEY.id, CHANGE, recoverable_days=7)


def test_a_taken_name_is_reported_without_a_retry(stub: Stubber, repository: KeyRecovery) -> None:
    """Raise DuplicateKeyNameError even if the old name reservation is missing."""
    stub.add_response("get_item", {"Item": ITEM})
    cancel(stub, "None", "ConditionalCheckFailed", "ConditionalCheckFailed")

    with pytest.raises(DuplicateKeyNameError):
        repository.update(KEY.id, CHANGE, {"name": "New"})


def consumer(repository: KeyRecovery) -> ConsumerRepository:
    """Return the repository of a consumer with the same client."""
    return ConsumerRepository(repository._client, "table")


BUSY = r"^DynamoDB is busy or failing \(ThrottlingException\)\. "
CHECK_FIRST = "Look whether the change took effect"


@pytest.mark.parametrize(
    ("operation", "advice", "act"),
    [
        ("get_item", "Try again", lambda repository: repository.get(KEY.id)),
        ("get_item", "Try again", lambda repository: repository.get_ciphertext(KEY.id)),
        ("get_item", "Try again", lambda repository: repository.delete(KEY.id, CHANGE, recoverable_days=7)),
        ("query", "Try again", lambda repository: repository.list_page(ListQuery())),
        ("query", "Try again", lambda repository: consumer(repository).list_for_service("spotify")),
        (
            "update_item",
            "Try again",
            lambda repository: consumer(repository).stamp_usage(KEY.id, used_at="x", if_older_than="x"),
        ),
        (
            "update_item",
            CHECK_FIRST,
            lambda repository: repository.set_verification(KEY.id, RESULT, expected_key_updated_at="x"),
        ),
        (
            "transact_write_items",
            CHECK_FIRST,
            lambda repository: repository.create(KEY, b"ciphertext", CHANGE, fields=()),
        ),
    ],
)
def test_throttling_names_dynamodb_and_the_outcome_of_the_write(
    stub: Stubber, repository: KeyRecovery, operation: str, advice: str, act: Callable[[KeyRecovery], object]
) -> None:
    """Advise a retry after a read, and a lookup first after a write whose outcome is unknown."""
    stub.add_client_error(operation, "ThrottlingException")

    with pytest.raises(KeyStoreUnavailableError, match=BUSY + advice):
        act(repository)
