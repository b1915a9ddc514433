"""Deleting keys, restoring them, and deleting them permanently."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from local.aws import sandboxed_environment
from local.functions import load_functions
from service_keys import ServiceKeys
from service_keys.core.list_query import ListQuery
from service_keys.errors import KeyNotFoundError
from tests.functional.conftest import (
    COLLECTION,
    SECRET,
    Admin,
    ApiResponse,
    ConsumerOf,
    HttpAdmin,
    Store,
    admin_fixture,
    change_at,
)
from tests.functional.test_reader import Clock
from tests.functional.test_rollback import VERIFIED, replaced
from tests.functional.test_update import NEW_SECRET
from tests.support.fault_proxy import FaultProxy

admin = admin_fixture(Admin)
http = admin_fixture(HttpAdmin)
DAY_MS = 86_400_000
UNKNOWN = "x.000000000000"
STUB = {"service": {"S": "x"}, "id": {"S": UNKNOWN}, "lastUsed": {"S": "zzz"}}


def value_of(keys: ServiceKeys, name: str | None = None) -> str | None:
    """Return the secret value of service x that a consumer gets, or None if it has no key."""
    try:
        return keys.get("x", name=name).value
    except KeyNotFoundError:
        return None


def deleted(admin: Admin, name: str = "Key", **fields: Any) -> dict[str, Any]:
    """Create and delete a key; return it as it was."""
    key = admin.create(name, service="x", **fields)
    assert admin.delete(key["id"]).status == 200
    return key


def expired(admin: Admin, store: Store, name: str = "Key") -> dict[str, Any]:
    """Create a key, and delete it 8 days ago; time to live has not deleted its item yet."""
    key = admin.create(name, service="x")
    store.recovery().delete(key["id"], change_at(time.time() * 1000 - 8 * DAY_MS), recoverable_days=7)
    # Not in the past, because DynamoDB Local deletes expired items within seconds.
    store.put(store.item(key["id"]) | {"expiresAt": {"N": str(int(time.time()) + 3600)}})
    return key


def ciphertexts(store: Store) -> set[bytes]:
    return {value["B"] for item in store.items() for value in item.values() if "B" in value}


# --- consumers --------------------------------------------------------------------------------------------------------


def test_a_running_consumer_keeps_to_each_effective_by(http: Admin, consumer_of: ConsumerOf) -> None:
    """Serve the value from before each change until `effectiveBy` at the latest, and the one after it from then on."""
    clock = Clock()
    keys = consumer_of(clock=clock)
    key_id = http.create("Key", service="x")["id"]
    steps: list[tuple[Callable[[], ApiResponse], str | None]] = [
        (lambda: http.update(key_id, {"key": NEW_SECRET}), NEW_SECRET),
        (lambda: http.rollback(key_id, If_Match='"2"'), SECRET),
        (lambda: http.delete(key_id), None),
        (lambda: http.restore(key_id), SECRET),
        (lambda: http.rollback(key_id, If_Match='"5"'), NEW_SECRET),
        (lambda: http.delete(key_id), None),
        (lambda: http.restore(key_id, {"name": "Other"}), NEW_SECRET),
        (lambda: http.delete_permanently(key_id), None),
    ]
    for change, value in steps:
        clock.now = time.time()
        before = value_of(keys)  # the latest refresh that does not see the change
        response = change()
        assert response.status == 200
        assert before is None or value_of(keys) == before
        clock.now = datetime.fromisoformat(response.body["effectiveBy"]).timestamp()
        assert value_of(keys) == value
    assert http.restore(key_id).status == http.rollback(key_id, If_Match='"9"').status == 404


def test_consumers_fall_back_to_the_key_before_a_deleted_one(admin: Admin, consumer_of: ConsumerOf) -> None:
    """Serve the newest key that is not deleted, and no deleted key by its name."""
    admin.create("Old", service="x", key=NEW_SECRET)
    new = deleted(admin, "New")

    assert value_of(consumer_of()) == value_of(consumer_of(), "Old") == NEW_SECRET
    assert value_of(consumer_of(), "New") is None

    admin.restore(new["id"])

    assert value_of(consumer_of()) == value_of(consumer_of(), "New") == SECRET


# --- a deleted key ----------------------------------------------------------------------------------------------------


def test_a_delete_returns_the_end_of_the_recovery(admin: Admin, store: Store) -> None:
    """Return the time until which the key can be restored; keep the ciphertext under another attribute."""
    key = replaced(admin)
    before = store.item(key["id"])

    response = type(admin)(admin.stack, "bob").delete(key["id"])

    data = response.data
    at, until = (datetime.fromisoformat(data[name]) for name in ("deletedAt", "recoverableUntil"))
    times = {name: data[name] for name in ("deletedAt", "recoverableUntil")}
    assert data == {name: key[name] for name in ("id", "name", "service")} | times
    assert (until - at, response.headers["ETag"]) == (timedelta(days=7), '"3"')
    item = store.item(key["id"])
    assert item.pop("deletedCiphertext") == before.pop("ciphertext")
    assert 0 <= int(item.pop("expiresAt")["N"]) - until.timestamp() < 1
    texts = {name: {"S": text} for name, text in (times | {"deletedBy": "bob", "entity": "deleted"}).items()}
    assert item == before | texts | {"version": {"N": "3"}}
    assert store.partition("#name") == {}


OPERATIONS: list[Callable[[Admin, str], ApiResponse]] = [
    lambda admin, key_id: admin.get(key_id),
    lambda admin, key_id: admin.update(key_id, {"active": False}),
    lambda admin, key_id: admin.update(key_id, {"key": NEW_SECRET}, If_Match='"2"'),
    lambda admin, key_id: admin.verify(key_id),
    lambda admin, key_id: admin.rollback(key_id, If_Match='"2"'),
    lambda admin, key_id: admin.delete(key_id),
    lambda admin, key_id: admin.delete(key_id, If_Match='"2"'),
]
GONE: list[Callable[[Admin, str], ApiResponse]] = [
    lambda admin, key_id: admin.restore(key_id),
    lambda admin, key_id: admin.restore(key_id, {"name": "Other"}),
    lambda admin, key_id: admin.delete_permanently(key_id),
]


@pytest.mark.parametrize("state", ["deleted", "expired"])
def test_a_deleted_key_is_not_found(admin: Admin, store: Store, state: str) -> None:
    """Return 404 and change nothing, also before 412; past the recovery period, for restore too."""
    key_id = (deleted(admin) if state == "deleted" else expired(admin, store))["id"]
    before = store.items()

    for operation in (*OPERATIONS, *(GONE if state == "expired" else ())):
        assert operation(admin, key_id).code == "API_KEY_NOT_FOUND"

    assert store.items() == before
    assert admin.history(key_id).status == 200
    assert admin.create("Key", service="x")["id"] != key_id, "the name is free"


FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["Rejected", "Disabled", "Other", "Key"]),
    ({"active": "false"}, ["Disabled"]),
    ({"active": "true", "service": "x"}, ["Rejected", "Key"]),
    ({"service": "y"}, ["Other"]),
    ({"service": "z"}, []),
    ({"verification": "rejected"}, ["Rejected"]),
    ({"verification": "none", "service": "x", "active": "true"}, ["Key"]),
]


def test_deleted_keys_are_listed_only_on_demand(admin: Admin, store: Store) -> None:
    """Combine with every other filter and with pages, and omit keys past the recovery period."""
    live = admin.create("Live", service="x")
    expired(admin, store, "Expired")
    ids = [
        admin.create(name, service="y" if name == "Other" else "x", active=name != "Disabled")["id"]
        for name in ("Key", "Other", "Disabled", "Rejected")
    ]
    store.change(ids[-1], verification={"M": VERIFIED | {"status": {"S": "rejected"}}})
    deletions = {key_id: admin.delete(key_id).data for key_id in ids}

    assert admin.listing().data == admin.listing(service="x").data == admin.listing(deleted="false").data == [live]
    for filters, names in FILTERS:
        for limit in ("1", "2", "100"):
            found = [key for page in admin.pages(deleted="true", limit=limit, **filters) for key in page]
            assert [key["name"] for key in found] == names, filters
    for key in admin.listing(deleted="true").data:
        deletion = deletions[key["id"]]
        assert {name: key[name] for name in deletion} == deletion
        assert (key["deletedBy"], key["version"]) == ("ada", 2)
    cursor = admin.listing(deleted="true", limit="1").body["pagination"]["nextCursor"]
    for filters in ({}, {"deleted": "false"}, {"deleted": "true", "service": "x"}):
        assert admin.listing(cursor=cursor, **filters).status == 400


def test_a_key_leaves_the_deleted_ones_when_its_time_is_over(admin: Admin, store: Store) -> None:
    """List and restore the key until `recoverableUntil`, and from then on not."""
    key_id = deleted(admin)["id"]
    until = datetime.fromisoformat(store.item(key_id)["recoverableUntil"]["S"]).timestamp() * 1000

    for early_ms, listed in ((1, 1), (0, 0)):
        keys = store.recovery(clock=lambda early_ms=early_ms: (until - early_ms) / 1000)
        for service in (None, "x"):
            assert len(keys.list_page(ListQuery(deleted=True, service=service)).keys) == listed
    with pytest.raises(KeyNotFoundError):
        store.recovery().restore(key_id, change_at(until))
    assert store.recovery().restore(key_id, change_at(until - 1)).after.id == key_id


# --- restore ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [True, False])
def test_a_restored_key_is_as_it_was(admin: Admin, store: Store, fault_proxy: FaultProxy, *, active: bool) -> None:
    """Compare every field and attribute; only the version and the last change differ."""
    key_id = replaced(admin, active=active, description="For the player")["id"]
    store.change(key_id, verification={"M": VERIFIED}, lastUsed={"S": "2026-01-01T00:00:00.000Z"})
    key, item = admin.get(key_id).data, store.item(key_id)
    assert None not in (key["previousKey"], key["verification"], key["lastUsed"])
    admin.delete(key_id)
    fault_proxy.clear()

    response = type(admin)(admin.stack, "bob").restore(key_id)

    read = {"DynamoDB.Query": 1} if active else {}  # the key that consumers get now, for a warning
    assert fault_proxy.counts() == {"DynamoDB.GetItem": 1, "DynamoDB.TransactWriteItems": 1} | read
    last_change = {"updatedAt": response.data["updatedAt"], "updatedBy": "bob"}
    assert response.data["updatedAt"] >= key["updatedAt"]
    assert (response.status, response.headers["ETag"]) == (200, '"4"')
    assert response.data == admin.get(key_id).data == key | {"version": 4} | last_change
    assert admin.listing().data == [response.data]
    attributes = {name: {"S": value} for name, value in last_change.items()}
    assert store.item(key_id) == item | {"version": {"N": "4"}} | attributes
    assert admin.rollback(key_id, If_Match='"4"').data["maskedKey"] == key["previousKey"]["maskedKey"]
    assert admin.send("POST", COLLECTION, {"name": "kEY", "key": SECRET}).status == 409, "the name is reserved again"


def test_a_taken_name_is_restored_under_another_one(admin: Admin, store: Store) -> None:
    """Return 409 and change nothing; then restore under a free name, which is reserved."""
    first = deleted(admin, "First")
    admin.create("FIRST", service="y")
    before = store.items()

    for body in (None, {}, {"name": "first"}):
        response = admin.restore(first["id"], body)
        assert response.code == "DUPLICATE_API_KEY_NAME"
        assert response.body["error"]["message"].startswith("An API key with this name already exists.")
    assert store.items() == before
    restored = admin.restore(first["id"], {"name": "  Second "}).data

    assert restored == first | {"name": "Second", "version": 3, "updatedAt": restored["updatedAt"]}
    assert store.partition("#name")["second"]["key"] == {"S": first["id"]}


REQUESTS: list[tuple[str | None, dict[str, str], int]] = [
    (None, {}, 200),
    ("", {"Content-Type": "text/plain"}, 200),
    (" \n", {}, 200),
    ("{}", {"Content-Type": "application/json"}, 200),
    ('{"name": "Other"}', {"Content-Type": "application/json", "If-Match": '"2"'}, 200),
    (None, {"If-Match": "*"}, 200),
    (None, {"If-Match": '"1", "2"'}, 200),
    (None, {"If-Match": '"1"'}, 412),
    (None, {"If-Match": 'W/"2"'}, 412),
    (None, {"If-Match": "2"}, 400),
    ("{}", {}, 415),
    ("{}", {"Content-Type": "text/plain"}, 415),
    *((body, {"Content-Type": "application/json"}, 400) for body in ("null", "[]", "{", '{"name": null}')),
    *((body, {"Content-Type": "application/json"}, 400) for body in ('{"name": "x"}', '{"key": "x"}', '{"a": 1}')),
    ("{" + " " * 16_384 + "}", {"Content-Type": "application/json"}, 413),
]


@pytest.mark.parametrize(("body", "headers", "status"), REQUESTS)
def test_a_restore_checks_its_request(
    admin: Admin, store: Store, body: str | None, headers: dict[str, str], status: int
) -> None:
    """Need neither a body nor a Content-Type; accept the field `name` only, and honor If-Match."""
    key_id = deleted(admin)["id"]
    before = store.items()

    response = admin.call("POST", f"{COLLECTION}/{key_id}/restore", body=body, headers=headers)

    assert response.status == status, response.text
    assert status == 200 or store.items() == before
    if body and '"a"' in body:
        assert response.body["error"]["details"][0]["message"].endswith("Valid fields: name")


@pytest.mark.parametrize("state", ["live", "restored", "permanently deleted", "unknown", "malformed id", "stub"])
def test_a_key_that_is_not_deleted_cannot_be_restored(admin: Admin, store: Store, state: str) -> None:
    """Return 404 and change nothing, also before 412."""
    key_id = {"unknown": UNKNOWN, "malformed id": "x.y", "stub": UNKNOWN}.get(state) or admin.create()["id"]
    if state == "stub":
        store.put(STUB)
    if state == "restored":
        assert [admin.delete(key_id).status, admin.restore(key_id).status] == [200, 200]
    if state == "permanently deleted":
        admin.delete_permanently(key_id)
    before = store.items()

    for body, if_match in ((None, "*"), ({"name": "Other"}, '"7"')):
        assert admin.restore(key_id, body, If_Match=if_match).code == "API_KEY_NOT_FOUND"
    assert store.items() == before


# --- permanent deletion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["live", "deleted", "retention of zero days"])
def test_a_permanent_deletion_leaves_no_ciphertext(admin: Admin, store: Store, state: str) -> None:
    """Delete the secret value and the previous one with the key's item; free the name, and keep the history."""
    key_id = replaced(admin)["id"]
    assert len(ciphertexts(store)) == 2
    if state == "retention of zero days":
        template = admin.stack.template.with_parameters({"DeletedKeyRetentionDays": "0"})
        with load_functions([template.functions()["DeleteApiKey"]], sandboxed_environment({})) as functions:
            response = Admin(replace(admin.stack, functions={**admin.stack.functions, **functions})).delete(key_id)
    else:
        assert state == "live" or admin.delete(key_id).status == 200
        response = admin.delete_permanently(key_id)

    assert (response.status, response.data["recoverableUntil"], "ETag" in response.headers) == (200, None, False)
    assert {item["service"]["S"] for item in store.items()} == {"#history"}
    assert ciphertexts(store) == set()
    for operation in (*OPERATIONS, *GONE):
        assert operation(admin, key_id).code == "API_KEY_NOT_FOUND"
    assert admin.history(key_id).data[0]["change"] == "delete"
    assert admin.listing(deleted="true").data == []


DAMAGED: list[dict[str, Any]] = [
    {"maskedKey": None},
    {"ciphertext": None},
    {"name": None},
    {"version": {"S": "x"}},
    STUB,
]


@pytest.mark.parametrize("damage", DAMAGED, ids=str)
@pytest.mark.parametrize("query", [{}, {"permanent": "true"}], ids=["", "permanent"])
def test_a_malformed_item_is_deleted_permanently(
    admin: Admin, store: Store, damage: dict[str, Any], query: dict[str, str]
) -> None:
    """Delete the item, also one with only a usage stamp; without a whole key there is nothing to restore."""
    key_id = UNKNOWN if damage is STUB else admin.create("Key", service="x")["id"]
    store.put(STUB) if damage is STUB else store.change(key_id, **damage)

    response = admin.call("DELETE", f"{COLLECTION}/{key_id}", query=query)

    assert (response.status, response.data["recoverableUntil"]) == (200, None)
    assert store.partition("x") == {}
    assert admin.restore(key_id).status == 404
    assert damage is not STUB or store.items() == []


@pytest.mark.parametrize("value", ["yes", "True", "1", ""])
def test_permanent_is_true_or_false(admin: Admin, value: str) -> None:
    """Return 400 and keep the key for another value."""
    path = f"{COLLECTION}/{admin.create()['id']}"

    assert admin.call("DELETE", path, query={"permanent": value}).status == 400
    assert admin.call("DELETE", path, query={"force": "true"}).status == 400
    assert admin.call("DELETE", path, query={"permanent": "false"}).data["recoverableUntil"] is not None


# --- idempotency, and half of a restored table ------------------------------------------------------------------------


@pytest.mark.parametrize("permanent", [False, True])
def test_a_repeated_create_recreates_no_deleted_key(admin: Admin, store: Store, *, permanent: bool) -> None:
    """Replay the response for a deleted key, and write nothing."""
    create = {"name": "Key", "service": "x", "key": SECRET}
    first = admin.send("POST", COLLECTION, create, Idempotency_Key="k" * 16)
    key_id = first.data["id"]
    assert (admin.delete_permanently(key_id) if permanent else admin.delete(key_id)).status == 200
    before = store.items()

    again = admin.send("POST", COLLECTION, create, Idempotency_Key="k" * 16)

    assert (again.status, again.data, again.headers["Idempotency-Replayed"]) == (201, first.data, "true")
    assert store.items() == before
    assert admin.restore(key_id).status == (404 if permanent else 200)


HALF: dict[str, tuple[dict[str, Any], int]] = {
    "whole": ({}, 200),
    "own reservation": ({"#name": "own"}, 200),
    "foreign reservation": ({"#name": "other"}, 409),
    "no ciphertext": ({"deletedCiphertext": None}, 404),
    "also a ciphertext": ({"ciphertext": {"B": b"stale"}}, 200),
    "no end": ({"recoverableUntil": None}, 404),
    "no TTL": ({"expiresAt": None, "deletedBy": None}, 200),
    "in the list of keys": ({"entity": {"S": "key"}}, 200),
}


@pytest.mark.parametrize("half", HALF)
def test_half_a_deleted_key_is_restored_or_refused(
    admin: Admin, store: Store, consumer_of: ConsumerOf, half: str
) -> None:
    """Serve the key or return an error; delete it permanently in each case, and leave no reservation of its own."""
    damage, status = HALF[half]
    key_id = deleted(admin)["id"]
    if "#name" in damage:
        owner = key_id if damage["#name"] == "own" else UNKNOWN
        store.put({"service": {"S": "#name"}, "id": {"S": "key"}, "key": {"S": owner}})
    else:
        store.change(key_id, **damage)

    assert admin.restore(key_id).status == status
    assert value_of(consumer_of()) == (SECRET if status == 200 else None)
    assert admin.create("Other", service="y")

    if status == 200:
        admin.delete(key_id)
    assert admin.delete_permanently(key_id).status == 200
    assert store.partition("x") == {}
    assert key_id not in json.dumps([item["key"] for item in store.partition("#name").values()])


def test_half_a_key_is_deleted_and_restored(admin: Admin, store: Store) -> None:
    """Delete a key without its reservation and with history entries of later versions; reserve its name again."""
    key = admin.create("Key", service="x")
    for number in range(3):
        admin.update(key["id"], {"description": str(number)})
    store.change(key["id"], version={"N": "1"}, description=None)
    store.dynamodb.delete_item(TableName=store.table, Key={"service": {"S": "#name"}, "id": {"S": "key"}})

    assert [admin.delete(key["id"]).status, admin.restore(key["id"]).status] == [200, 200]

    assert set(store.partition("#name")) == {"key"}
    assert admin.get(key["id"]).data["version"] == 3
    changes = [(entry["version"], entry["change"]) for entry in admin.history(key["id"]).data]
    assert changes == [(4, "update"), (3, "restore"), (2, "delete"), (1, "create")]


def test_a_key_with_a_large_false_stamp_can_be_deleted_and_restored(admin: Admin, store: Store) -> None:
    """Replace a value that a compromised consumer made so large that the item has no room for the deletion."""
    key = admin.create("Key", service="x")
    item = store.item(key["id"])
    for length in range(409_600, 400_000, -50):
        with suppress(store.dynamodb.exceptions.ClientError):
            store.put(item | {"lastUsed": {"S": "x" * length}})
            break

    assert admin.delete(key["id"]).status == 200
    assert admin.restore(key["id"]).data["lastUsed"] is None
