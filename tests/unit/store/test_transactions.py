"""What of the table cannot be shown in time with a real one: conflicts, and what DynamoDB does when it is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from service_keys.core.list_query import ListQuery
from service_keys.core.models import ChangeContext, StoredKey, Verification
from service_keys.errors import DuplicateKeyNameError, KeyStoreUnavailableError
from service_keys.store.repository import KeyRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY_ID = "spotify.0123456789ab"
TEXTS = ("name", "maskedKey", "createdAt", "createdBy", "updatedAt", "updatedBy", "keyUpdatedAt")
ITEM = {"id": {"S": KEY_ID}, "active": {"BOOL": True}, "version": {"N": "1"}} | {name: {"S": "x"} for name in TEXTS}
KEY = StoredKey(
    id=KEY_ID,
    name="x",
    description=None,
    active=True,
    masked_key="••••",
    created_at="x",
    created_by="x",
    updated_at="x",
    updated_by="x",
    key_updated_at="x",
)
CHANGE = ChangeContext(at_ms=0, principal="ada", request_id="r")
RESULT = Verification("valid", "2026-01-01T00:00:00.000Z", "It works.")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    made: Any = botocore.session.get_session().create_client(
        "dynamodb", region_name="eu-west-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
    )
    yield made
    made.close()


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stub:
        yield stub


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def repository(client: Any, pauses: list[float]) -> KeyRepository:
    return KeyRepository(client, "table", sleep=pauses.append)


def cancel(stub: Stubber, *codes: str) -> None:
    """Let the next transaction be cancelled for these reasons."""
    reasons = [{"Code": code} for code in codes]
    stub.add_client_error(
        "transact_write_items", "TransactionCanceledException", modeled_fields={"CancellationReasons": reasons}
    )


def test_a_conflict_that_does_not_end_is_given_up_after_growing_pauses(
    stub: Stubber, repository: KeyRepository, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
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
        repository.update(KEY_ID, CHANGE, {"active": False})

    stub.assert_no_pending_responses()
    assert longest == pytest.approx([0.05, 0.1, 0.15, *[0.2] * 22])
    assert pauses == list(range(1, 26))


@pytest.mark.parametrize("reason", ["TransactionConflict", "ConditionalCheckFailed"])
def test_after_a_change_by_somebody_else_the_key_is_read_anew(
    stub: Stubber, repository: KeyRepository, pauses: list[float], reason: str
) -> None:
    stub.add_response("get_item", {"Item": ITEM})
    cancel(stub, reason)
    stub.add_response("get_item", {"Item": ITEM | {"version": {"N": "7"}}})
    stub.add_response("transact_write_items", {})

    assert repository.update(KEY_ID, CHANGE, {"active": False}).version == 8
    assert len(pauses) == 1


def test_the_result_of_a_check_waits_for_another_change(
    stub: Stubber, repository: KeyRepository, pauses: list[float]
) -> None:
    stub.add_client_error("update_item", "TransactionConflictException")
    stub.add_response("update_item", {})

    repository.set_verification(KEY_ID, RESULT, expected_ciphertext="x")

    stub.assert_no_pending_responses()
    assert len(pauses) == 1


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_was_throttled_changed_nothing(stub: Stubber, repository: KeyRepository, code: str) -> None:
    stub.add_response("get_item", {"Item": ITEM})
    cancel(stub, "None", code)

    with pytest.raises(KeyStoreUnavailableError, match=r"DynamoDB is busy\. Nothing was changed"):
        repository.delete(KEY_ID, CHANGE)


@pytest.mark.parametrize(
    "codes", [(), ("ValidationError",), ("ConditionalCheckFailed", "ItemCollectionSizeLimitExceeded")]
)
def test_a_transaction_that_was_cancelled_for_an_unknown_reason_is_told_as_it_is(
    stub: Stubber, repository: KeyRepository, codes: tuple[str, ...]
) -> None:
    stub.add_response("get_item", {"Item": ITEM})
    if codes:
        cancel(stub, *codes)
    else:
        stub.add_client_error("transact_write_items", "TransactionCanceledException")

    with pytest.raises(ClientError, match="TransactionCanceledException"):
        repository.delete(KEY_ID, CHANGE)


def test_a_name_that_is_taken_is_told_at_once_even_where_the_old_claim_is_lost(
    stub: Stubber, repository: KeyRepository
) -> None:
    stub.add_response("get_item", {"Item": ITEM})
    cancel(stub, "None", "ConditionalCheckFailed", "ConditionalCheckFailed")

    with pytest.raises(DuplicateKeyNameError):
        repository.update(KEY_ID, CHANGE, {"name": "New"})


def test_readers_see_the_keys_of_all_of_dynamodbs_pages(stub: Stubber, repository: KeyRepository) -> None:
    item = ITEM | {"ciphertext": {"B": b"ciphertext"}}
    older = item | {"id": {"S": "spotify.0123456789aa"}}
    place = {"service": {"S": "spotify"}, "id": {"S": KEY_ID}}
    stub.add_response("query", {"Items": [item], "LastEvaluatedKey": place})
    stub.add_response("query", {"Items": [older]})

    assert [key.id for key in repository.list_for_service("spotify")] == [KEY_ID, "spotify.0123456789aa"]


CALLS: dict[str, list[Callable[[KeyRepository], object]]] = {
    "get_item": [
        lambda repository: repository.get(KEY_ID),
        lambda repository: repository.get_ciphertext(KEY_ID),
        lambda repository: repository.delete(KEY_ID, CHANGE),
    ],
    "query": [
        lambda repository: repository.list_page(ListQuery()),
        lambda repository: repository.list_for_service("spotify"),
    ],
    "transact_write_items": [lambda repository: repository.create(KEY, b"ciphertext", CHANGE)],
    "update_item": [lambda repository: repository.set_verification(KEY_ID, RESULT, expected_ciphertext="x")],
}


@pytest.mark.parametrize(("operation", "act"), [(name, act) for name, acts in CALLS.items() for act in acts])
def test_a_busy_dynamodb_is_told_by_its_name_and_whether_a_write_may_have_been_made(
    stub: Stubber, repository: KeyRepository, operation: str, act: Callable[[KeyRepository], object]
) -> None:
    advice = "Try again" if operation in {"get_item", "query"} else "Look whether the change took effect"
    stub.add_client_error(operation, "ThrottlingException")

    with pytest.raises(
        KeyStoreUnavailableError, match=rf"^DynamoDB is busy or failing \(ThrottlingException\)\. {advice}"
    ):
        act(repository)


def test_a_stamp_that_fails_is_told_as_dynamodbs(stub: Stubber, repository: KeyRepository) -> None:
    stub.add_client_error("update_item", "ThrottlingException")

    with pytest.raises(KeyStoreUnavailableError, match="DynamoDB is busy"):
        repository.stamp_usage(KEY_ID, used_at="x", if_older_than="x")
