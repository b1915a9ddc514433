"""Updating a key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service_keys.store import encryption
from tests.functional.conftest import COLLECTION, SECRET, Admin, Store
from tests.support.canary import CANARY
from tests.support.fault_proxy import FaultProxy

NEW_SECRET = f"another-made-up-{CANARY}-9876"


@pytest.fixture(params=["PUT", "PATCH"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


CHANGES = [
    {"name": "  New name "},
    {"description": "New"},
    {"description": None},
    {"active": False},
    {"name": "N2", "description": "D2", "active": False},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_only_the_sent_fields_change(admin: Admin, method: str, changes: dict[str, Any]) -> None:
    """Change the sent fields, the version and the change data; keep every other field."""
    before = admin.create(description="Old")
    expected = before | changes
    expected["name"] = expected["name"].strip()

    response = type(admin)(admin.stack, "bob").update(before["id"], changes, method=method)

    after = response.data
    assert (response.status, response.headers["ETag"]) == (200, '"2"')
    assert after == expected | {"version": 2, "updatedAt": after["updatedAt"], "updatedBy": "bob"}
    assert after["updatedAt"] >= before["updatedAt"]
    assert admin.get(before["id"]).data == after
    assert admin.listing().data == [after]


def test_a_new_secret_replaces_every_field_of_the_old_one(admin: Admin, method: str, store: Store) -> None:
    """Keep no field of the former secret value."""
    before = admin.create(key={"one": SECRET, "two": SECRET})

    after = admin.update(before["id"], {"key": {"three": NEW_SECRET}}, method=method).data

    assert after["maskedKey"] == {"three": "••••9876"}
    assert after["keyUpdatedAt"] == after["updatedAt"]
    ciphertext = store.item(before["id"])["ciphertext"]["B"]
    assert encryption.decrypt(store.kms, ciphertext, key_id=before["id"]).reveal() == {"three": NEW_SECRET}


def test_a_new_secret_clears_the_verification(admin: Admin, store: Store) -> None:
    key = admin.create()
    verification = {"status": {"S": "valid"}, "checkedAt": {"S": "2026-01-01T00:00:00.000Z"}, "detail": {"S": "fine"}}
    store.put(store.item(key["id"]) | {"verification": {"M": verification}})
    shown = {"status": "valid", "checkedAt": "2026-01-01T00:00:00.000Z", "detail": "fine"}
    assert admin.get(key["id"]).data["verification"] == shown

    assert admin.update(key["id"], {"active": True}).data["verification"] == shown
    assert admin.update(key["id"], {"key": NEW_SECRET}).data["verification"] is None


@pytest.mark.parametrize("changes", [{"active": False}, {"active": True}, {"key": NEW_SECRET}])
def test_a_change_visible_to_consumers_has_effective_by(admin: Admin, changes: dict[str, Any]) -> None:
    """Return the time at which every consumer's snapshot is newer than the change."""
    key = admin.create()

    response = admin.update(key["id"], changes)

    promised = datetime.fromisoformat(response.body["effectiveBy"])
    # A consumer that refreshed just before the write uses its snapshot for 60 s; the write came after updatedAt.
    assert datetime.fromisoformat(response.data["updatedAt"]) + timedelta(seconds=60) <= promised
    assert promised <= datetime.now(UTC) + timedelta(seconds=60)


def test_a_change_invisible_to_consumers_has_no_effective_by(admin: Admin) -> None:
    """Omit `effectiveBy` if only name and description change."""
    key = admin.create()

    assert "effectiveBy" not in admin.update(key["id"], {"name": "N2", "description": "D2"}).body


def test_an_update_keeps_last_used(admin: Admin, store: Store) -> None:
    """Return the usage stamp unchanged after each kind of change."""
    key = admin.create()
    store.put(store.item(key["id"]) | {"lastUsed": {"S": "2026-01-01T00:00:00.000Z"}})

    for changes in ({"active": False}, {"name": "N2"}, {"key": NEW_SECRET}):
        assert admin.update(key["id"], changes).data["lastUsed"] == "2026-01-01T00:00:00.000Z"


def test_an_update_of_other_fields_encrypts_nothing(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Read once and write once; test_faults.py counts the calls of an update with a new secret value."""
    key = admin.create()
    fault_proxy.clear()

    admin.update(key["id"], {"description": "Changed", "active": True})

    assert fault_proxy.counts() == {"DynamoDB.GetItem": 1, "DynamoDB.TransactWriteItems": 1}


# --- names ----------------------------------------------------------------------------------------------------------


def test_renaming_a_key_releases_its_former_name(admin: Admin) -> None:
    """Reserve the new name and release the former one."""
    key = admin.create("First")
    admin.update(key["id"], {"name": "Second"})

    assert admin.create("First")["name"] == "First"
    assert admin.send("POST", COLLECTION, {"name": "second", "key": SECRET}).status == 409


@pytest.mark.parametrize("name", ["First", "FIRST", "Ｆirst"])
def test_a_key_can_change_the_spelling_of_its_name(admin: Admin, name: str) -> None:
    """Keep the reservation if the normalized name stays the same."""
    key = admin.create("First")

    assert admin.update(key["id"], {"name": name}).data["name"] == name
    assert admin.send("POST", COLLECTION, {"name": "first", "key": SECRET}).status == 409


def test_two_keys_can_swap_names_through_a_third_name(admin: Admin) -> None:
    """Release each name before the next rename reserves it."""
    one, two = admin.create("One"), admin.create("Two")

    for key, name in ((one, "Three"), (two, "One"), (one, "Two")):
        assert admin.update(key["id"], {"name": name}).status == 200

    assert {key["name"]: key["id"] for key in admin.listing().data} == {"Two": one["id"], "One": two["id"]}


# --- versions -------------------------------------------------------------------------------------------------------


IF_MATCH = [('"2"', 200), ('"7", "2"', 200), ("*", 200), ('"1"', 412), ('"3"', 412), ('W/"2"', 412), ('"other"', 412)]


@pytest.mark.parametrize("changes", [{"active": False}, {"name": "N2"}, {"key": NEW_SECRET}])
@pytest.mark.parametrize(("if_match", "status"), IF_MATCH)
def test_an_update_honors_if_match(
    admin: Admin, store: Store, changes: dict[str, Any], if_match: str, status: int
) -> None:
    """Accept the current tag, a list with it or a star; return 412 for another version, and change nothing."""
    key = admin.create()
    admin.update(key["id"], {"description": "Before"})
    before = store.items()

    response = admin.update(key["id"], changes, If_Match=if_match)

    assert response.status == status
    if status == 200:
        assert response.data["version"] == 3
    else:
        assert response.code == "VERSION_CONFLICT"
        assert "version 2" in response.body["error"]["message"]
        assert store.items() == before


def test_without_if_match_both_changes_are_kept(admin: Admin) -> None:
    """Apply changes of different fields by two administrators."""
    key = admin.create()

    admin.update(key["id"], {"description": "Ada's"})
    after = type(admin)(admin.stack, "bob").update(key["id"], {"active": False}).data

    assert (after["description"], after["active"], after["version"]) == ("Ada's", False, 3)
