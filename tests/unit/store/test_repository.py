"""Tests of `KeyRepository`: stored attributes after each change, and the requests sent to DynamoDB.

moto runs in this process, which is fast and involves no other component.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from moto import mock_aws

from local.stack import parameters
from local.template import REGION, Template
from service_keys.core.ids import new_id
from service_keys.core.list_query import ListQuery
from service_keys.core.models import (
    ChangeContext,
    EncryptedKey,
    MalformedItem,
    StoredCiphertext,
    StoredKey,
    Verification,
)
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import (
    DuplicateKeyNameError,
    KeyCorruptedError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    VersionConflictError,
)
from service_keys.store.repository import CreateResult, EncryptedSecret, KeyRepository, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = 1_800_000_000_123
DAY = 24 * 60 * 60
CIPHERTEXT = b"made-up ciphertext"
ADA = ChangeContext(at_ms=AT, principal="ada", request_id="r-1")
BOB = ChangeContext(at_ms=AT + 5000, principal="bob", request_id="r-2")
RESULT = Verification(status="valid", checked_at=format_timestamp(AT + 100), detail="It works.")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        made: Any = botocore.session.get_session().create_client(
            "dynamodb", region_name=REGION, aws_access_key_id="made-up", aws_secret_access_key="made-up"
        )
        yield made
        made.close()


@pytest.fixture
def dynamodb(client: Any) -> Iterator[Any]:
    """A DynamoDB with only the empty table of the template."""
    template = Template.load(parameters("http://127.0.0.1:1"))
    logical_id = template.single_resource("AWS::DynamoDB::Table")
    create = template.with_references({logical_id: "table"}).table().create
    client.create_table(**create | {"DeletionProtectionEnabled": False})
    yield client
    client.delete_table(TableName="table")


@pytest.fixture
def repository(dynamodb: Any) -> KeyRepository:
    return KeyRepository(dynamodb, "table", sleep=lambda _: None, clock=lambda: AT / 1000 + 3600)


@pytest.fixture
def requests(dynamodb: Any) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The calls sent to DynamoDB: operation and request."""
    made: list[tuple[str, dict[str, Any]]] = []

    def note(model: Any, params: dict[str, Any], **_: Any) -> None:
        made.append((model.name, json.loads(params["body"])))

    dynamodb.meta.events.register_first("before-call.dynamodb", note, "requests")
    yield made
    dynamodb.meta.events.unregister("before-call.dynamodb", unique_id="requests")


def a_key(number: int = 0, *, service: str = "one", name: str | None = None, **fields: Any) -> StoredKey:
    key_id = new_id(service, at_ms=AT + number, random_bits=7)
    at = format_timestamp(AT + number)
    key = StoredKey(
        id=key_id,
        name=name or f"Key {number}",
        description="What it is for",
        active=True,
        masked_key="••••abcd",
        created_at=at,
        created_by="ada",
        updated_at=at,
        updated_by="ada",
        key_updated_at=at,
    )
    return replace(key, **fields)


def stored(repository: KeyRepository, *keys: StoredKey) -> None:
    for key in keys:
        assert not repository.create(key, CIPHERTEXT, ADA).replayed


def items(dynamodb: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all items of the table by partition and sort key."""
    return {(item["service"]["S"], item["id"]["S"]): item for item in dynamodb.scan(TableName="table")["Items"]}


def change_item(dynamodb: Any, key: StoredKey, *, without: str | None = None, **attributes: Any) -> None:
    """Overwrite attributes of a key's item, as a manual edit or a bug would."""
    item = items(dynamodb)[key.service, key.id] | attributes
    kept = {name: value for name, value in item.items() if name != without}
    dynamodb.put_item(TableName="table", Item=kept)


# --- create ---------------------------------------------------------------------------------------------------------


def test_create_stores_the_key_and_its_name_reservation(dynamodb: Any, repository: KeyRepository) -> None:
    """Write exactly two items: the key and the reservation of its normalized name."""
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
    }


@pytest.mark.parametrize(
    "fields", [{}, {"description": None}, {"active": False}, {"masked_key": {"a": "••••", "b": "••••wxyz"}}]
)
def test_a_created_key_is_read_unchanged(repository: KeyRepository, fields: dict[str, Any]) -> None:
    """Return the key and its ciphertext as they were written."""
    key = a_key(**fields)
    stored(repository, key)

    assert repository.get(key.id) == key
    assert repository.get_ciphertext(key.id) == StoredCiphertext("one", CIPHERTEXT, key.key_updated_at)


def test_a_name_is_unique_regardless_of_case(dynamodb: Any, repository: KeyRepository) -> None:
    """Reject a name that differs only in case, also in another service, and write nothing."""
    stored(repository, a_key(name="Prod"))
    before = items(dynamodb)

    with pytest.raises(DuplicateKeyNameError, match="Choose another name"):
        repository.create(a_key(1, service="two", name="PROD"), CIPHERTEXT, ADA)

    assert items(dynamodb) == before


def test_a_reused_id_raises_key_store_unavailable(dynamodb: Any, repository: KeyRepository) -> None:
    """Ask for a retry, which draws a new id."""
    stored(repository, a_key())

    with pytest.raises(KeyStoreUnavailableError, match="Try again"):
        repository.create(a_key(name="Another"), CIPHERTEXT, ADA)

    assert len(items(dynamodb)) == 2


def test_a_repeated_create_within_a_day_returns_the_first_key(dynamodb: Any, repository: KeyRepository) -> None:
    """Replay the first key while the idempotency record lives (24 h); create a new key after that."""
    key = a_key()
    assert not repository.create(key, CIPHERTEXT, ADA, idempotency="digest").replayed
    memory = {"service": {"S": "#idempotency"}, "id": {"S": "digest"}, "key": {"S": key.id}}
    assert items(dynamodb)["#idempotency", "digest"] == memory | {"expiresAt": {"N": str(AT // 1000 + DAY)}}
    before = items(dynamodb)

    later = replace(ADA, at_ms=AT + DAY * 1000)
    assert repository.create(a_key(1, name="Key 0"), CIPHERTEXT, later, idempotency="digest") == CreateResult(
        key.id, replayed=True
    )
    assert items(dynamodb) == before

    after = replace(ADA, at_ms=AT + (DAY + 1) * 1000)
    assert not repository.create(a_key(2), CIPHERTEXT, after, idempotency="digest").replayed
    assert items(dynamodb)["#idempotency", "digest"]["key"]["S"] == a_key(2).id


def test_another_idempotency_digest_is_not_a_replay(repository: KeyRepository) -> None:
    """Reject the duplicate name instead of replaying the first key."""
    assert not repository.create(a_key(), CIPHERTEXT, ADA, idempotency="digest").replayed

    with pytest.raises(DuplicateKeyNameError):
        repository.create(a_key(1, name="Key 0"), CIPHERTEXT, ADA, idempotency="another digest")


# --- update ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"name": "Other"}, {"name": "KEY 0"}, {"description": "New"}, {"description": None}, {"active": False}]
)
def test_an_update_changes_only_the_given_fields(repository: KeyRepository, fields: dict[str, Any]) -> None:
    """Leave other fields and the ciphertext as they were; increment the version."""
    key = a_key()
    stored(repository, key)

    updated = repository.update(key.id, BOB, fields)

    assert updated == replace(key, **fields, updated_at=format_timestamp(BOB.at_ms), updated_by="bob", version=2)
    assert repository.get(key.id) == updated
    assert repository.get_ciphertext(key.id).ciphertext == CIPHERTEXT


def test_a_new_secret_value_replaces_mask_and_verification(repository: KeyRepository) -> None:
    """Replace ciphertext and mask, and remove the verification of the old secret value."""
    key = a_key()
    stored(repository, key)
    repository.set_verification(key.id, RESULT, expected_key_updated_at=key.key_updated_at)

    updated = repository.update(key.id, BOB, {}, secret=EncryptedSecret(b"new", {"a": "••••"}))

    at = format_timestamp(BOB.at_ms)
    expected = replace(
        key, masked_key={"a": "••••"}, key_updated_at=at, updated_at=at, updated_by="bob", version=2, verification=None
    )
    assert updated == expected
    assert repository.get(key.id) == expected
    assert repository.get_ciphertext(key.id).ciphertext == b"new"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (AT, BOB.at_ms),
        (BOB.at_ms - 1, BOB.at_ms),
        (BOB.at_ms, BOB.at_ms + 1),
        (BOB.at_ms + 86_400_000, BOB.at_ms + 86_400_001),
    ],
)
def test_each_secret_value_has_a_unique_key_updated_at(
    dynamodb: Any, repository: KeyRepository, before: int, after: int
) -> None:
    """Set keyUpdatedAt later than before, also in the same millisecond and with a clock that was set back."""
    key = a_key()
    stored(repository, key)
    change_item(dynamodb, key, keyUpdatedAt={"S": format_timestamp(before)})

    updated = repository.update(key.id, BOB, {}, secret=EncryptedSecret(b"new", "••••"))

    assert updated.key_updated_at == format_timestamp(after)
    assert repository.get_ciphertext(key.id).key_updated_at == format_timestamp(after)


@pytest.mark.parametrize("before", ["zzz", "", "9999-12-31T23:59:59.999Z"])
def test_an_unusable_key_updated_at_is_replaced_by_now(dynamodb: Any, repository: KeyRepository, before: str) -> None:
    """Replace the secret value all the same: a compromised VerifyApiKey can write keyUpdatedAt."""
    key = a_key()
    stored(repository, key)
    change_item(dynamodb, key, keyUpdatedAt={"S": before})

    assert repository.update(
        key.id, BOB, {}, secret=EncryptedSecret(b"new", "••••")
    ).key_updated_at == format_timestamp(BOB.at_ms)


def test_other_changes_keep_key_updated_at(repository: KeyRepository) -> None:
    """Change keyUpdatedAt with the secret value only."""
    key = a_key()
    stored(repository, key)

    assert repository.update(key.id, BOB, {"name": "New", "active": False}).key_updated_at == key.key_updated_at


def test_a_verification_in_the_millisecond_of_a_change_is_rejected(repository: KeyRepository) -> None:
    """Store no result for a replaced secret value, even if both have the same millisecond."""
    key = a_key()
    stored(repository, key)
    checked = repository.get_ciphertext(key.id).key_updated_at
    repository.update(key.id, replace(BOB, at_ms=AT), {}, secret=EncryptedSecret(b"new", "••••"))

    with pytest.raises(VersionConflictError, match="Check it again"):
        repository.set_verification(key.id, RESULT, expected_key_updated_at=checked)

    assert repository.get(key.id).verification is None


def test_several_attributes_are_removed_in_one_update(repository: KeyRepository) -> None:
    """Remove the description and the verification together."""
    key = a_key()
    stored(repository, key)
    repository.set_verification(key.id, RESULT, expected_key_updated_at=key.key_updated_at)

    updated = repository.update(key.id, BOB, {"description": None}, secret=EncryptedSecret(b"new", "••••"))

    assert (updated.description, updated.verification) == (None, None)
    assert repository.get(key.id) == updated


def test_a_rename_reserves_the_new_name_and_frees_the_old(dynamodb: Any, repository: KeyRepository) -> None:
    """Keep the name reservations of other keys, and reject their names."""
    key, other = a_key(), a_key(1)
    stored(repository, key, other)

    repository.update(key.id, BOB, {"name": "New"})

    claims = {sort: item["key"]["S"] for (partition, sort), item in items(dynamodb).items() if partition == "#name"}
    assert claims == {"new": key.id, "key 1": other.id}
    with pytest.raises(DuplicateKeyNameError):
        repository.update(key.id, BOB, {"name": "Key 1"})
    assert repository.get(key.id).name == "New"


def test_a_name_reservation_of_another_key_is_kept(dynamodb: Any, repository: KeyRepository) -> None:
    """Update and delete a key without touching a reservation that refers to another key."""
    key = a_key()
    stored(repository, key)
    claim = {"service": {"S": "#name"}, "id": {"S": "key 0"}, "key": {"S": "one.zzzzzzzzzzzz"}}
    dynamodb.put_item(TableName="table", Item=claim)

    assert repository.update(key.id, BOB, {"name": "New"}).name == "New"
    assert items(dynamodb)["#name", "key 0"] == claim
    assert items(dynamodb)["#name", "new"]["key"]["S"] == key.id

    dynamodb.put_item(TableName="table", Item=claim | {"id": {"S": "new"}})
    repository.delete(key.id, BOB)
    assert set(items(dynamodb)) == {("#name", "key 0"), ("#name", "new")}


@pytest.mark.parametrize("if_match", [frozenset({1}), frozenset({1, 5}), None])
def test_a_matching_if_match_version_is_updated(repository: KeyRepository, if_match: frozenset[int] | None) -> None:
    """Accept one of several versions, or no If-Match."""
    stored(repository, a_key())

    assert repository.update(a_key().id, BOB, {"active": False}, if_match=if_match).version == 2


@pytest.mark.parametrize("if_match", [frozenset({2}), frozenset[int]()])
def test_a_version_mismatch_raises_and_changes_nothing(
    dynamodb: Any, repository: KeyRepository, if_match: frozenset[int]
) -> None:
    """Raise VersionConflictError with the current version on update and delete."""
    stored(repository, a_key())
    before = items(dynamodb)

    with pytest.raises(VersionConflictError, match="in version 1 now"):
        repository.update(a_key().id, BOB, {"active": False}, if_match=if_match)
    with pytest.raises(VersionConflictError, match="in version 1 now"):
        repository.delete(a_key().id, BOB, if_match=if_match)

    assert items(dynamodb) == before


def test_a_missing_key_is_never_created(dynamodb: Any, repository: KeyRepository) -> None:
    """Raise KeyNotFoundError for each operation; the usage stamp is a no-op."""
    key_id = a_key().id
    for act in (
        lambda: repository.get(key_id),
        lambda: repository.get_ciphertext(key_id),
        lambda: repository.update(key_id, BOB, {"active": False}),
        lambda: repository.delete(key_id, BOB),
        lambda: repository.set_verification(key_id, RESULT, expected_key_updated_at=a_key().key_updated_at),
    ):
        with pytest.raises(KeyNotFoundError, match="List the keys"):
            act()
    repository.stamp_usage(key_id, used_at=format_timestamp(AT), if_older_than=format_timestamp(AT))

    assert items(dynamodb) == {}


# --- delete ---------------------------------------------------------------------------------------------------------


def test_delete_removes_the_key_and_its_name_reservation(dynamodb: Any, repository: KeyRepository) -> None:
    """Leave the items of other keys."""
    stored(repository, a_key(), a_key(1))

    repository.delete(a_key().id, BOB, if_match=frozenset({1}))

    assert set(items(dynamodb)) == {("one", a_key(1).id), ("#name", "key 1")}


@pytest.mark.parametrize("lost", ["version", "name", "ciphertext", "active"])
def test_a_malformed_key_can_be_deleted(dynamodb: Any, repository: KeyRepository, lost: str) -> None:
    """Delete an item that lacks a required attribute."""
    key = a_key()
    stored(repository, key)
    change_item(dynamodb, key, without=lost)

    repository.delete(key.id, BOB)

    assert ("one", key.id) not in items(dynamodb)


def test_a_key_without_a_version_matches_no_if_match(dynamodb: Any, repository: KeyRepository) -> None:
    """Raise VersionConflictError and keep the item."""
    key = a_key()
    stored(repository, key)
    change_item(dynamodb, key, without="version")

    with pytest.raises(VersionConflictError):
        repository.delete(key.id, BOB, if_match=frozenset({1}))

    assert ("one", key.id) in items(dynamodb)


# --- verification and usage stamp -----------------------------------------------------------------------------------


def test_a_verification_is_stored_unless_a_later_one_exists(repository: KeyRepository) -> None:
    """Overwrite a result of the same millisecond, but not a later one."""
    key = a_key()
    stored(repository, key)
    repository.set_verification(key.id, RESULT, expected_key_updated_at=key.key_updated_at)
    assert repository.get(key.id) == replace(key, verification=RESULT)

    same_moment = replace(RESULT, status="rejected", detail="It does not.")
    repository.set_verification(key.id, same_moment, expected_key_updated_at=key.key_updated_at)
    assert repository.get(key.id).verification == same_moment

    earlier = replace(RESULT, checked_at=format_timestamp(AT + 99))
    repository.set_verification(key.id, earlier, expected_key_updated_at=key.key_updated_at)
    assert repository.get(key.id).verification == same_moment


def test_a_verification_of_a_replaced_secret_value_is_rejected(repository: KeyRepository) -> None:
    """Raise VersionConflictError if keyUpdatedAt differs."""
    key = a_key()
    stored(repository, key)

    with pytest.raises(VersionConflictError, match="Check it again"):
        repository.set_verification(key.id, RESULT, expected_key_updated_at=format_timestamp(AT - 1))

    assert repository.get(key.id).verification is None


def test_last_used_never_decreases(repository: KeyRepository) -> None:
    """Write `lastUsed` only if the stored value is older than `if_older_than`."""
    key = a_key()
    stored(repository, key)
    for used_at, since, left in [(1000, 500, 1000), (2000, 1000, 2000), (3000, 1999, 2000), (1500, 900, 2000)]:
        repository.stamp_usage(
            key.id, used_at=format_timestamp(AT + used_at), if_older_than=format_timestamp(AT + since)
        )
        assert repository.get(key.id) == replace(key, last_used=format_timestamp(AT + left))


# --- lists ----------------------------------------------------------------------------------------------------------


def pages(repository: KeyRepository, query: ListQuery) -> list[list[str]]:
    found = []
    while True:
        page = repository.list_page(query)
        found.append([key.id for key in page.keys])
        if page.next_cursor is None:
            return found
        query = replace(query, start_after=query.decode_cursor(page.next_cursor))
        assert query.start_after == found[-1][-1]


@pytest.mark.parametrize("service", [None, "one"])
def test_pages_hold_all_keys_newest_first(repository: KeyRepository, service: str | None) -> None:
    """Return each key once, and no cursor after the last page."""
    keys = [a_key(number) for number in range(5)]
    stored(repository, *keys)
    newest_first = [key.id for key in reversed(keys)]

    assert pages(repository, ListQuery(service=service, limit=2)) == [
        newest_first[:2],
        newest_first[2:4],
        newest_first[4:],
    ]
    assert pages(repository, ListQuery(service=service, limit=5)) == [newest_first]
    assert repository.list_page(ListQuery(service=service, limit=5)) == Page(tuple(reversed(keys)), None)


def test_keys_are_listed_by_service_and_across_services(repository: KeyRepository) -> None:
    """List one service, an unknown service, and all services newest first."""
    stored(repository, a_key(0), a_key(1, service="two"), a_key(2))

    assert pages(repository, ListQuery(service="two")) == [[a_key(1, service="two").id]]
    assert pages(repository, ListQuery(service="three")) == [[]]
    assert pages(repository, ListQuery(limit=1)) == [[a_key(2).id], [a_key(1, service="two").id], [a_key(0).id]]


@pytest.mark.parametrize("service", [None, "one"])
def test_filters_exclude_other_keys(repository: KeyRepository, service: str | None) -> None:
    """Filter by state, by verification status, and by both."""
    keys = [a_key(number, active=number % 2 == 0) for number in range(4)]
    stored(repository, *keys)
    repository.set_verification(keys[0].id, RESULT, expected_key_updated_at=keys[0].key_updated_at)
    repository.set_verification(
        keys[1].id, replace(RESULT, status="rejected"), expected_key_updated_at=keys[1].key_updated_at
    )

    def listed(**filters: Any) -> list[int]:
        (page,) = pages(repository, ListQuery(service=service, **filters))
        return [[key.id for key in keys].index(key_id) for key_id in page]

    assert listed(active=True) == [2, 0]
    assert listed(active=False) == [3, 1]
    assert listed(verification="valid") == [0]
    assert listed(verification="rejected") == [1]
    assert listed(verification="inconclusive") == []
    assert listed(verification="none") == [3, 2]
    assert listed(verification="none", active=True) == [2]


@pytest.mark.parametrize("active", [[0, 1, 109], [0, 108, 109], [0, 109]])
def test_a_filtered_page_is_filled_from_several_query_pages(
    dynamodb: Any, repository: KeyRepository, active: list[int]
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


def test_the_query_limit_follows_the_page_size(
    repository: KeyRepository, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    """Read one item more than the page, or at least 100 items with a filter."""
    stored(repository, a_key())
    requests.clear()

    repository.list_page(ListQuery(limit=7))
    repository.list_page(ListQuery(limit=7, active=True))
    repository.list_page(ListQuery(limit=100, active=True))

    assert [(operation, request["Limit"]) for operation, request in requests] == [
        ("Query", 8),
        ("Query", 100),
        ("Query", 101),
    ]
    assert {request["IndexName"] for _, request in requests} == {"all-by-created"}


def test_a_malformed_key_is_omitted_from_lists_and_logged(
    dynamodb: Any, repository: KeyRepository, caplog: pytest.LogCaptureFixture
) -> None:
    """Log its id; reading or updating it raises KeyCorruptedError."""
    keys = [a_key(number) for number in range(3)]
    stored(repository, *keys)
    change_item(dynamodb, keys[1], without="maskedKey")

    with caplog.at_level(logging.ERROR):
        (page,) = pages(repository, ListQuery())

    assert page == [keys[2].id, keys[0].id]
    assert [message for message in caplog.messages if keys[1].id in message and "left out" in message]
    damaged = f"{keys[1].id} is damaged .'maskedKey'.. Delete"
    with pytest.raises(KeyCorruptedError, match=damaged):
        repository.get(keys[1].id)
    with pytest.raises(KeyCorruptedError, match=damaged):
        repository.update(keys[1].id, BOB, {"active": True})


# --- consumer reads -------------------------------------------------------------------------------------------------


def test_consumers_get_the_keys_of_one_service_newest_first(repository: KeyRepository) -> None:
    """Include disabled keys and `lastUsed`."""
    stored(repository, a_key(0, active=False), a_key(1), a_key(2, service="two"))
    repository.stamp_usage(a_key(1).id, used_at=format_timestamp(AT), if_older_than=format_timestamp(AT))

    assert repository.list_for_service("one") == (
        EncryptedKey(
            a_key(1).id, "Key 1", active=True, ciphertext=CIPHERTEXT, version=1, last_used=format_timestamp(AT)
        ),
        EncryptedKey(a_key(0).id, "Key 0", active=False, ciphertext=CIPHERTEXT, version=1, last_used=None),
    )


@pytest.mark.parametrize("lost", ["name", "active", "ciphertext", "version"])
def test_consumers_get_a_malformed_item_for_a_lost_attribute(
    dynamodb: Any, repository: KeyRepository, lost: str
) -> None:
    """Return `MalformedItem` with the name, if there is one."""
    key = a_key()
    stored(repository, key)
    change_item(dynamodb, key, without=lost)

    assert repository.list_for_service("one") == (MalformedItem(key.id, None if lost == "name" else "Key 0"),)


def test_a_version_that_is_not_an_integer_is_malformed(dynamodb: Any, repository: KeyRepository) -> None:
    """Return `MalformedItem` to consumers and raise KeyCorruptedError in `get`."""
    key = a_key()
    stored(repository, key)
    change_item(dynamodb, key, version={"N": "1.5"})

    assert repository.list_for_service("one") == (MalformedItem(key.id, "Key 0"),)
    with pytest.raises(KeyCorruptedError, match=f"The item of {key.id} is damaged"):
        repository.get(key.id)


def test_an_item_copied_from_another_service_is_malformed(dynamodb: Any, repository: KeyRepository) -> None:
    """Never serve a key whose id belongs to another service."""
    key = a_key(service="two")
    stored(repository, key)
    change_item(dynamodb, key, service={"S": "one"})

    assert repository.list_for_service("one") == (MalformedItem(key.id, "Key 0"),)


def test_a_stub_item_is_not_a_key(dynamodb: Any, repository: KeyRepository) -> None:
    """Omit an item with only `lastUsed` from reads and lists."""
    key_id = a_key().id
    stub = {"service": {"S": "one"}, "id": {"S": key_id}, "lastUsed": {"S": format_timestamp(AT)}}
    dynamodb.put_item(TableName="table", Item=stub)

    assert repository.list_for_service("one") == ()
    assert pages(repository, ListQuery(service="one")) == [[]]
    with pytest.raises(KeyNotFoundError):
        repository.get(key_id)
    with pytest.raises(KeyNotFoundError):
        repository.update(key_id, BOB, {"active": True})
    with pytest.raises(KeyCorruptedError, match="store it again"):
        repository.get_ciphertext(key_id)


def test_a_thousand_stub_items_cost_a_list_one_more_query(
    dynamodb: Any, repository: KeyRepository, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    """Query a whole megabyte after the first page; consumers need no further Query."""
    key = a_key(500)
    stored(repository, key)
    ids = [new_id("one", at_ms=AT + number, random_bits=1) for number in range(1000)]
    stubs = [{"service": {"S": "one"}, "id": {"S": key_id}, "lastUsed": {"S": format_timestamp(AT)}} for key_id in ids]
    for start in range(0, 1000, 25):
        writes = [{"PutRequest": {"Item": stub}} for stub in stubs[start : start + 25]]
        dynamodb.batch_write_item(RequestItems={"table": writes})

    for active in (None, True):
        requests.clear()
        assert repository.list_page(ListQuery(service="one", active=active)) == Page((key,), None)
        assert [operation for operation, _ in requests] == ["Query", "Query"]
        requests.clear()
        assert repository.list_page(ListQuery(active=active)) == Page((key,), None)
        assert [operation for operation, _ in requests] == ["Query"]
    requests.clear()
    assert [read.id for read in repository.list_for_service("one")] == [key.id]
    assert [operation for operation, _ in requests] == ["Query"]


# --- requests that moto accepts but IAM and other engines may reject -----------------------------------------------

SHOWN = {
    *("service", "id", "name", "description", "active", "maskedKey", "createdAt", "createdBy", "updatedAt"),
    *("updatedBy", "keyUpdatedAt", "lastUsed", "version", "verification"),
}


def attributes(request: dict[str, Any]) -> set[str]:
    """Return the attributes in the projection of a request."""
    return {request["ExpressionAttributeNames"][name.strip()] for name in request["ProjectionExpression"].split(",")}


def test_reads_are_strongly_consistent_and_projected(
    repository: KeyRepository, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    """Request only the attributes that each read needs."""
    stored(repository, a_key())
    requests.clear()

    repository.get(a_key().id)
    repository.get_ciphertext(a_key().id)
    repository.list_page(ListQuery(service="one"))
    repository.list_for_service("one")

    read = {"id", "name", "active", "ciphertext", "version", "lastUsed"}
    assert [attributes(request) for _, request in requests] == [SHOWN, {"ciphertext", "keyUpdatedAt"}, SHOWN, read]
    assert all(request["ConsistentRead"] is True for _, request in requests)
    assert [request.get("Select") for _, request in requests] == [None, None, *["SPECIFIC_ATTRIBUTES"] * 2]


def test_a_cursor_becomes_the_exclusive_start_key(
    repository: KeyRepository, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    """Include the index attributes for a list over all services."""
    primary = {"service": {"S": "one"}, "id": {"S": a_key().id}}

    repository.list_page(ListQuery(start_after=a_key().id))
    repository.list_page(ListQuery(start_after=a_key().id, service="one"))

    assert [request["ExclusiveStartKey"] for _, request in requests] == [
        primary | {"entity": {"S": "key"}, "createdAt": {"S": format_timestamp(AT)}},
        primary,
    ]


def test_a_rejected_create_is_one_call_returning_the_old_item(
    repository: KeyRepository, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    """Request the conflicting idempotency record in the same call."""
    stored(repository, a_key())
    requests.clear()

    with pytest.raises(DuplicateKeyNameError):
        repository.create(a_key(1, name="Key 0"), CIPHERTEXT, ADA, idempotency="digest")

    ((operation, request),) = requests
    assert operation == "TransactWriteItems"
    puts = [write["Put"] for write in request["TransactItems"]]
    assert [put.get("ReturnValuesOnConditionCheckFailure") for put in puts] == [None, None, "ALL_OLD"]
    assert {put["TableName"] for put in puts} == {"table"}
