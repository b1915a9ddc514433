"""Tests of the table of keys: stored attributes, limits, and the requests sent to DynamoDB.

moto runs in this process, which is fast and involves no other component. `tests/functional` tests the rest through the
handlers.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from local.stack import parameters
from local.template import Template
from service_keys.core.consumer_models import EncryptedKey, MalformedItem
from service_keys.core.ids import new_id
from service_keys.core.list_query import ListQuery
from service_keys.core.models import DELETION_FIELDS, ChangeContext, StoredCiphertext, StoredKey, Verification
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import DuplicateKeyNameError, KeyCorruptedError, VersionConflictError
from service_keys.store.changes import CreateResult, EncryptedSecret
from service_keys.store.consumer_repository import ConsumerRepository
from service_keys.store.recovery import KeyRecovery
from tests.unit.core.test_models import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = 1_800_000_000_123
DAY = 24 * 60 * 60
CIPHERTEXT = b"made-up ciphertext"
ADA = ChangeContext(at_ms=AT, principal="ada", request_id="r-1")
BOB = ChangeContext(at_ms=AT + 5000, principal="bob", request_id="r-2")
NEW_SECRET = EncryptedSecret(b"new", "••••")
RESULT = Verification(status="valid", checked_at=format_timestamp(AT + 100), detail="It works.")
Requests = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def dynamodb(clients: tuple[Any, Any]) -> Iterator[Any]:
    """A DynamoDB with only the empty table of the template."""
    template = Template.load(parameters("http://127.0.0.1:1"))
    logical_id = template.single_resource("AWS::DynamoDB::Table")
    with mock_aws():
        clients[0].create_table(**template.with_references({logical_id: "table"}).table().create)
        yield clients[0]


@pytest.fixture
def repository(dynamodb: Any) -> KeyRecovery:
    return KeyRecovery(dynamodb, "table", history_days=400, sleep=lambda _: None, clock=lambda: AT / 1000 + 3600)


@pytest.fixture
def requests(dynamodb: Any) -> Iterator[Requests]:
    """The calls sent to DynamoDB: operation and request."""
    calls: Requests = []

    def record(model: Any, params: dict[str, Any], **_: Any) -> None:
        calls.append((model.name, json.loads(params["body"])))

    dynamodb.meta.events.register_first("before-call.dynamodb", record, "requests")
    yield calls
    dynamodb.meta.events.unregister("before-call.dynamodb", unique_id="requests")


def a_key(number: int = 0, *, service: str = "one", **fields: Any) -> StoredKey:
    at = format_timestamp(AT + number)
    times = {"created_at": at, "updated_at": at, "updated_by": "ada", "key_updated_at": at}
    key_id = new_id(service, at_ms=AT + number, random_bits=7)
    return replace(KEY, **{"id": key_id, "name": f"Key {number}", **times, **fields})


def stored(repository: KeyRecovery, *keys: StoredKey) -> None:
    for key in keys:
        assert not repository.create(key, CIPHERTEXT, ADA, fields=()).replayed


@pytest.fixture
def consumer(dynamodb: Any) -> ConsumerRepository:
    return ConsumerRepository(dynamodb, "table")


@pytest.fixture
def key(repository: KeyRecovery) -> StoredKey:
    """A stored key."""
    stored(repository, a_key())
    return a_key()


def items(dynamodb: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all items of the table by partition and sort key."""
    return {(item["service"]["S"], item["id"]["S"]): item for item in dynamodb.scan(TableName="table")["Items"]}


def change_item(dynamodb: Any, key: StoredKey, attributes: dict[str, Any]) -> None:
    """Overwrite attributes of a key's item, or remove those that are None, as a manual edit or a bug would."""
    item = items(dynamodb)[key.service, key.id] | attributes
    dynamodb.put_item(TableName="table", Item={name: value for name, value in item.items() if value is not None})


# --- create ---------------------------------------------------------------------------------------------------------


def test_create_stores_the_key_its_name_reservation_and_history(dynamodb: Any, repository: KeyRecovery) -> None:
    """Write exactly three items: the key, the reservation of its normalized name, and the first entry."""
    key = a_key(name="  Prod  Ü ")
    stored(repository, key)

    at = {"S": "2027-01-15T08:00:00.123Z"}
    assert items(dynamodb) == {
        ("one", key.id): {
            "service": {"S": "one"},
            "id": {"S": key.id},
            "entity": {"S": "key"},
            "name": {"S": "  Prod  Ü "},
            "description": {"S": "What it is for"},
            "active": {"BOOL": True},
            "ciphertext": {"B": CIPHERTEXT},
            "maskedKey": {"S": "••••abcd"},
            "createdAt": at,
            "createdBy": {"S": "ada"},
            "updatedAt": at,
            "updatedBy": {"S": "ada"},
            "keyUpdatedAt": at,
            "version": {"N": "1"},
        },
        ("#name", "prod ü"): {"service": {"S": "#name"}, "id": {"S": "prod ü"}, "key": {"S": key.id}},
        ("#history", f"{key.id}#0000000001"): {
            "service": {"S": "#history"},
            "id": {"S": f"{key.id}#0000000001"},
            "change": {"S": "create"},
            "fields": {"L": []},
            "at": at,
            "by": {"S": "ada"},
            "requestId": {"S": "r-1"},
            "after": {
                "M": {
                    "name": {"S": "  Prod  Ü "},
                    "description": {"S": "What it is for"},
                    "active": {"BOOL": True},
                    "maskedKey": {"S": "••••abcd"},
                }
            },
            "expiresAt": {"N": str(AT // 1000 + 1 + 400 * DAY)},
        },
    }


@pytest.mark.parametrize(
    "fields", [{}, {"description": None}, {"active": False}, {"masked_key": {"a": "••••", "b": "••••wxyz"}}]
)
def test_a_created_key_is_read_unchanged(repository: KeyRecovery, fields: dict[str, Any]) -> None:
    """Return the key and its ciphertext as they were written."""
    key = a_key(**fields)
    stored(repository, key)

    assert repository.get(key.id) == key
    assert repository.get_ciphertext(key.id) == StoredCiphertext("one", CIPHERTEXT, key.key_updated_at)


def test_a_repeated_create_within_a_day_returns_the_first_key(dynamodb: Any, repository: KeyRecovery) -> None:
    """Replay the first key while the idempotency record lives (24 h); create a new key after that."""
    key = a_key()
    assert not repository.create(key, CIPHERTEXT, ADA, fields=(), idempotency="digest").replayed
    record = {"service": {"S": "#idempotency"}, "id": {"S": "digest"}, "key": {"S": key.id}}
    assert items(dynamodb)["#idempotency", "digest"] == record | {"expiresAt": {"N": str(AT // 1000 + DAY)}}
    before = items(dynamodb)

    later = replace(ADA, at_ms=AT + DAY * 1000)
    replayed = repository.create(a_key(1, name="Key 0"), CIPHERTEXT, later, fields=(), idempotency="digest")
    assert replayed == CreateResult(key.id, replayed=True)
    assert items(dynamodb) == before

    after = replace(ADA, at_ms=AT + (DAY + 1) * 1000)
    assert not repository.create(a_key(2), CIPHERTEXT, after, fields=(), idempotency="digest").replayed
    assert items(dynamodb)["#idempotency", "digest"]["key"]["S"] == a_key(2).id


# --- update ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (format_timestamp(AT), BOB.at_ms),
        (format_timestamp(BOB.at_ms - 1), BOB.at_ms),
        (format_timestamp(BOB.at_ms), BOB.at_ms + 1),
        (format_timestamp(BOB.at_ms + 86_400_000), BOB.at_ms + 86_400_001),
        # A compromised VerifyApiKey can write keyUpdatedAt.
        *(("zzz", BOB.at_ms), ("", BOB.at_ms), ("9999-12-31T23:59:59.999Z", BOB.at_ms)),
    ],
)
def test_each_secret_value_has_a_unique_key_updated_at(
    dynamodb: Any, repository: KeyRecovery, key: StoredKey, before: str, after: int
) -> None:
    """Set a later time in the same millisecond too, and after a clock was set back; replace an unusable time by now."""
    change_item(dynamodb, key, {"keyUpdatedAt": {"S": before}})

    updated = repository.update(key.id, BOB, {}, secret=NEW_SECRET).after

    assert updated.key_updated_at == format_timestamp(after)
    assert repository.get_ciphertext(key.id).key_updated_at == format_timestamp(after)


def test_a_verification_in_the_millisecond_of_a_change_is_rejected(repository: KeyRecovery, key: StoredKey) -> None:
    """Store no result for a replaced secret value, even if both have the same millisecond."""
    checked = repository.get_ciphertext(key.id).key_updated_at
    repository.update(key.id, replace(BOB, at_ms=AT), {}, secret=NEW_SECRET)

    with pytest.raises(VersionConflictError, match="Check it again"):
        repository.set_verification(key.id, RESULT, expected_key_updated_at=checked)

    assert repository.get(key.id).verification is None


def test_several_attributes_are_removed_in_one_update(repository: KeyRecovery, key: StoredKey) -> None:
    """Remove the description and the verification together."""
    repository.set_verification(key.id, RESULT, expected_key_updated_at=key.key_updated_at)

    updated = repository.update(key.id, BOB, {"description": None}, secret=NEW_SECRET).after

    assert (updated.description, updated.verification) == (None, None)
    assert repository.get(key.id) == updated


# --- verification and usage stamp -----------------------------------------------------------------------------------


def test_a_verification_is_stored_unless_a_later_one_exists(repository: KeyRecovery, key: StoredKey) -> None:
    """Overwrite a result of the same millisecond, but not a later one."""
    same_moment = replace(RESULT, status="rejected", detail="It does not.")
    earlier = replace(RESULT, checked_at=format_timestamp(AT + 99))
    for result, kept in ((RESULT, RESULT), (same_moment, same_moment), (earlier, same_moment)):
        repository.set_verification(key.id, result, expected_key_updated_at=key.key_updated_at)
        assert repository.get(key.id) == replace(key, verification=kept)


def test_last_used_never_decreases(repository: KeyRecovery, consumer: ConsumerRepository, key: StoredKey) -> None:
    """Write `lastUsed` only if the stored value is older than `if_older_than`."""
    for used_at, since, left in [(1000, 500, 1000), (2000, 1000, 2000), (3000, 1999, 2000), (1500, 900, 2000)]:
        at, older_than = format_timestamp(AT + used_at), format_timestamp(AT + since)
        consumer.stamp_usage(key.id, used_at=at, if_older_than=older_than)
        assert repository.get(key.id) == replace(key, last_used=format_timestamp(AT + left))


# --- lists and malformed items --------------------------------------------------------------------------------------


def pages(repository: KeyRecovery, query: ListQuery) -> list[list[str]]:
    found = []
    while True:
        page = repository.list_page(query)
        found.append([key.id for key in page.keys])
        if page.next_cursor is None:
            return found
        query = replace(query, start_after=query.decode_cursor(page.next_cursor))
        assert query.start_after == found[-1][-1]


@pytest.mark.parametrize("active", [[0, 1, 109], [0, 108, 109], [0, 109]])
def test_a_filtered_page_is_filled_from_several_query_pages(
    dynamodb: Any, repository: KeyRecovery, active: list[int]
) -> None:
    """Query further until a page has `limit` matches or no items remain."""
    keys = [a_key(number, active=number in active) for number in range(110)]
    stored(repository, keys[0])
    item = items(dynamodb)["one", keys[0].id]
    for key in keys[1:]:
        own = {"id": {"S": key.id}, "createdAt": {"S": key.created_at}, "active": {"BOOL": key.active}}
        dynamodb.put_item(TableName="table", Item=item | own)
    newest_first = [keys[number].id for number in reversed(active)]

    for service in (None, "one"):
        found = pages(repository, ListQuery(active=True, service=service, limit=2))
        assert found == [page for page in (newest_first[:2], newest_first[2:]) if page]


def test_the_query_limit_follows_the_page_size(repository: KeyRecovery, requests: Requests) -> None:
    """Read one item more than the page, or at least 100 items with a filter."""
    for query in (ListQuery(limit=7), ListQuery(limit=7, active=True), ListQuery(limit=100, active=True)):
        repository.list_page(query)

    assert [(name, request["Limit"]) for name, request in requests] == [("Query", 8), ("Query", 100), ("Query", 101)]
    assert {request["IndexName"] for _, request in requests} == {"all-by-created"}


@pytest.mark.parametrize(
    ("change", "reason"), [({"maskedKey": None}, "'maskedKey'"), ({"version": {"N": "1.5"}}, "invalid literal")]
)
def test_a_malformed_key_is_omitted_from_lists_and_logged(
    dynamodb: Any, repository: KeyRecovery, caplog: pytest.LogCaptureFixture, change: dict[str, Any], reason: str
) -> None:
    """Log its id; reading or updating it raises KeyCorruptedError."""
    oldest, malformed, newest = (a_key(number) for number in range(3))
    stored(repository, oldest, malformed, newest)
    change_item(dynamodb, malformed, change)

    with caplog.at_level(logging.ERROR):
        assert pages(repository, ListQuery()) == [[newest.id, oldest.id]]

    assert [message for message in caplog.messages if malformed.id in message and "left out" in message]
    damaged = rf"The item of {malformed.id} is damaged \({reason}.*\)\. Delete"
    with pytest.raises(KeyCorruptedError, match=damaged):
        repository.get(malformed.id)
    with pytest.raises(KeyCorruptedError, match=damaged):
        repository.update(malformed.id, BOB, {"active": True})


@pytest.mark.parametrize(
    ("change", "service", "name"),
    [
        ({"name": None}, "one", None),
        *(({lost: None}, "one", "Key 0") for lost in ("active", "ciphertext", "version")),
        ({"version": {"N": "1.5"}}, "one", "Key 0"),
        # Never serve a key whose id belongs to another service.
        ({"service": {"S": "two"}}, "two", "Key 0"),
    ],
)
def test_consumers_get_a_malformed_item_for_a_damaged_key(
    dynamodb: Any,
    repository: KeyRecovery,
    consumer: ConsumerRepository,
    key: StoredKey,
    change: dict[str, Any],
    service: str,
    name: str | None,
) -> None:
    """Return `MalformedItem` with the name, if it has one."""
    change_item(dynamodb, key, change)

    assert consumer.list_for_service(service) == (MalformedItem(key.id, name),)


def test_consumers_get_the_keys_of_one_service_newest_first(
    repository: KeyRecovery, consumer: ConsumerRepository
) -> None:
    """Include disabled keys and `lastUsed`."""
    stored(repository, a_key(0, active=False), a_key(1), a_key(2, service="two"))
    consumer.stamp_usage(a_key(1).id, used_at=format_timestamp(AT), if_older_than=format_timestamp(AT))

    assert consumer.list_for_service("one") == (
        EncryptedKey(
            a_key(1).id, "Key 1", active=True, ciphertext=CIPHERTEXT, version=1, last_used=format_timestamp(AT)
        ),
        EncryptedKey(a_key(0).id, "Key 0", active=False, ciphertext=CIPHERTEXT, version=1, last_used=None),
    )


# --- requests that moto accepts but IAM and other engines may reject -----------------------------------------------


def attributes(request: dict[str, Any]) -> set[str]:
    """Return the attributes in the projection of a request."""
    return {request["ExpressionAttributeNames"][name.strip()] for name in request["ProjectionExpression"].split(",")}


def test_reads_are_strongly_consistent_and_projected(
    repository: KeyRecovery, consumer: ConsumerRepository, key: StoredKey, requests: Requests
) -> None:
    """Request only the attributes that each read needs."""
    requests.clear()

    repository.get(key.id)
    repository.get_ciphertext(key.id)
    repository.list_page(ListQuery(service="one"))
    consumer.list_for_service("one")

    response, read = (
        {*key.to_response(), *DELETION_FIELDS},
        {"id", "name", "active", "ciphertext", "version", "lastUsed", "deletedAt"},
    )
    projections = [response, {"ciphertext", "keyUpdatedAt"}, response, read]
    assert [attributes(request) for _, request in requests] == projections
    assert all(request["ConsistentRead"] is True for _, request in requests)
    assert [request.get("Select") for _, request in requests] == [None, None, *["SPECIFIC_ATTRIBUTES"] * 2]


def test_a_cursor_becomes_the_exclusive_start_key(repository: KeyRecovery, requests: Requests) -> None:
    """Include the index attributes for a list over all services."""
    primary = {"service": {"S": "one"}, "id": {"S": a_key().id}}
    indexed = primary | {"entity": {"S": "key"}, "createdAt": {"S": format_timestamp(AT)}}

    repository.list_page(ListQuery(start_after=a_key().id))
    repository.list_page(ListQuery(start_after=a_key().id, service="one"))

    assert [request["ExclusiveStartKey"] for _, request in requests] == [indexed, primary]


def test_a_rejected_create_is_one_call_returning_the_old_item(
    repository: KeyRecovery, key: StoredKey, requests: Requests
) -> None:
    """Request the conflicting idempotency record in the same call."""
    requests.clear()

    with pytest.raises(DuplicateKeyNameError):
        repository.create(a_key(1, name=key.name), CIPHERTEXT, ADA, fields=(), idempotency="digest")

    ((operation, request),) = requests
    assert operation == "TransactWriteItems"
    puts = [write["Put"] for write in request["TransactItems"]]
    assert [put.get("ReturnValuesOnConditionCheckFailure") for put in puts] == [None, None, None, "ALL_OLD"]
    assert {put["TableName"] for put in puts} == {"table"}
