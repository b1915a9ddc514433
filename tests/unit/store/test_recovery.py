"""Tests of rollback, delete and restore with a stubbed client: conflicts that moto cannot produce, and the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from service_keys.core.models import ChangeContext, DeletedKey, StoredKey
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import DuplicateKeyNameError, KeyNotFoundError, NoPreviousKeyError
from service_keys.store.recovery import KeyRecovery
from tests.unit.core.test_models import KEY
from tests.unit.store.test_transactions import ITEM, cancel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT = 1_800_000_000_123
DAY = 86_400_000
CONTEXT = ChangeContext(AT, "ada", "r-1", principal_name="Ada")
PREVIOUS = {"maskedKey": {"S": "••••"}, "replacedAt": {"S": format_timestamp(0)}, "replacedBy": {"S": "bob"}}
REPLACED = ITEM | {"previousKey": {"M": PREVIOUS}}
DELETED = ITEM | {"deletedAt": {"S": format_timestamp(AT)}, "recoverableUntil": {"S": format_timestamp(AT + 1)}}
STALE = "ConditionalCheckFailed"
BUSY = "TransactionConflict"


class Calls:
    """The table with a stubbed client, and the writes of the transactions that were sent."""

    def __init__(self, client: Any, stub: Stubber) -> None:
        self.keys = KeyRecovery(client, "table", history_days=400, sleep=lambda _: None)
        self.stub = stub
        self.sent: list[list[dict[str, Any]]] = []

    def answer(self, item: dict[str, Any], *reasons: str) -> None:
        """Return the item to the next read, and cancel the next transaction for the reasons if there are any."""
        self.stub.add_response("get_item", {"Item": item})
        if reasons:
            cancel(self.stub, *reasons)
        else:
            self.stub.add_response("transact_write_items", {})

    def rollback(self) -> StoredKey:
        return self.keys.rollback(KEY.id, CONTEXT, if_match=frozenset({1, 2}))

    def delete(self, days: int = 7) -> tuple[DeletedKey, int | None]:
        deletion = self.keys.delete(KEY.id, CONTEXT, recoverable_days=days)
        return deletion.key, deletion.version

    def restore(self) -> StoredKey:
        return self.keys.restore(KEY.id, CONTEXT).after


@pytest.fixture
def calls(clients: tuple[Any, Any]) -> Iterator[Calls]:
    events = clients[0].meta.events
    with Stubber(clients[0]) as stub:
        calls = Calls(clients[0], stub)
        events.register(
            "before-parameter-build.dynamodb.TransactWriteItems",
            lambda params, **_: calls.sent.append(params["TransactItems"]),
            "sent",
        )
        yield calls
        events.unregister("before-parameter-build.dynamodb.TransactWriteItems", unique_id="sent")
        stub.assert_no_pending_responses()


UNDO: list[tuple[Callable[[Calls], Any], dict[str, Any]]] = [
    (Calls.rollback, REPLACED),
    (Calls.delete, ITEM),
    (Calls.restore, DELETED),
]
each = pytest.mark.parametrize(("change", "item"), UNDO, ids=["rollback", "delete", "restore"])


@each
def test_a_conflict_with_a_usage_stamp_changes_no_outcome(
    calls: Calls, change: Callable[[Calls], Any], item: dict[str, Any]
) -> None:
    """Repeat the same writes: a usage stamp keeps the version, so the same version says nothing about the item."""
    for _ in range(3):
        calls.answer(item, BUSY)
    calls.answer(item)

    change(calls)

    assert calls.sent == [calls.sent[0]] * 4


@each
def test_a_later_version_is_changed_after_a_failed_condition(
    calls: Calls, change: Callable[[Calls], Any], item: dict[str, Any]
) -> None:
    """Read again after a concurrent change, and condition the write on the version that was read."""
    calls.answer(item, STALE, "None")
    calls.answer(item | {"version": {"N": "2"}})

    change(calls)

    values = [writes[0]["Update"]["ExpressionAttributeValues"][":read"] for writes in calls.sent]
    assert values == [{"N": "1"}, {"N": "2"}]
    assert [writes[-1 if change is Calls.restore else 1]["Put"]["Item"]["id"]["S"] for writes in calls.sent] == [
        f"{KEY.id}#0000000002",
        f"{KEY.id}#0000000003",
    ]


@pytest.mark.parametrize(
    ("change", "item", "error"),
    [(Calls.rollback, REPLACED, NoPreviousKeyError), (Calls.restore, DELETED, KeyNotFoundError)],
)
def test_a_missing_ciphertext_ends_the_retries(
    calls: Calls, change: Callable[[Calls], Any], item: dict[str, Any], error: type[Exception]
) -> None:
    """If the condition fails twice in one version, the attribute that it requires is missing."""
    calls.answer(item, BUSY)
    calls.answer(item, STALE, "None", "None")
    calls.stub.add_response("get_item", {"Item": item})

    with pytest.raises(error):
        change(calls)


def test_a_key_without_ciphertext_is_deleted_permanently(calls: Calls) -> None:
    """Delete the item on condition of its version, if it has nothing to restore."""
    calls.answer(ITEM, STALE, "None", "None")
    calls.answer(ITEM)

    deleted, version = calls.delete()

    assert (deleted.recoverable_until, version) == (None, None)
    assert calls.sent[1][0]["Delete"]["ConditionExpression"] == "version = :read"


def test_a_restore_reports_a_taken_name_only_for_a_current_version(calls: Calls) -> None:
    """Read the key again if its version changed too: it may be restored under another name by then."""
    calls.answer(DELETED, STALE, STALE, "None")
    calls.answer(DELETED | {"version": {"N": "2"}}, "None", STALE, "None")

    with pytest.raises(DuplicateKeyNameError, match=r'send it as \{"name": "…"\}'):
        calls.restore()


@pytest.mark.parametrize("days", [1, 7, 30])
def test_time_to_live_begins_after_the_last_restore(calls: Calls, days: int) -> None:
    """Round the seconds of time to live up: DynamoDB must delete no key that can be restored."""
    calls.answer(ITEM)

    deleted, version = calls.delete(days=days)

    values = calls.sent[0][0]["Update"]["ExpressionAttributeValues"]
    until = AT + days * DAY
    assert (deleted.recoverable_until, version) == (format_timestamp(until), 2)
    assert values[":recoverableUntil"] == {"S": format_timestamp(until)}
    assert values[":expiresAt"] == {"N": str(until // 1000 + 1)}
