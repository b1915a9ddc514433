"""Updating a key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service_keys.store import encryption
from tests.functional.conftest import SECRET, SPOTIFY_KEY, Admin, Store
from tests.support.canary import CANARY
from tests.support.fault_proxy import FaultProxy

NEW_SECRET = f"another-made-up-{CANARY}-9876"


@pytest.fixture(params=["PUT", "PATCH"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"name": "  New name "}, {"name": "New name"}),
        ({"description": "New"}, {"description": "New"}),
        ({"description": None}, {"description": None}),
        ({"active": False}, {"active": False}),
        ({"name": "N2", "description": "D2", "active": False}, {"name": "N2", "description": "D2", "active": False}),
    ],
)
def test_only_the_sent_fields_change(admin: Admin, method: str, changes: dict[str, Any], shown: dict[str, Any]) -> None:
    """Change the sent fields, the version and the change data; keep every other field."""
    before = admin.create(description="Old")

    answer = type(admin)(admin.stack, "bob").update(before["id"], changes, method=method)

    after = answer.data
    assert (answer.status, answer.headers["ETag"]) == (200, '"2"')
    assert after == before | shown | {"version": 2, "updatedAt": after["updatedAt"], "updatedBy": "bob"}
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

    answer = admin.update(key["id"], changes)

    promised = datetime.fromisoformat(answer.body["effectiveBy"])
    # A consumer that refreshed just before the write uses its snapshot for 60 s; the write came after updatedAt.
    assert datetime.fromisoformat(answer.data["updatedAt"]) + timedelta(seconds=60) <= promised
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


def test_an_update_reads_once_and_writes_once(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Encrypt once in addition if the secret value changes."""
    key = admin.create()
    fault_proxy.clear()

    admin.update(key["id"], {"active": False})
    assert fault_proxy.counts() == {"DynamoDB.GetItem": 1, "DynamoDB.TransactWriteItems": 1}

    fault_proxy.clear()
    admin.update(key["id"], {"key": NEW_SECRET})
    assert fault_proxy.counts() == {"KMS.Encrypt": 1, "DynamoDB.GetItem": 1, "DynamoDB.TransactWriteItems": 1}


# --- names ----------------------------------------------------------------------------------------------------------


def test_renaming_a_key_releases_its_former_name(admin: Admin) -> None:
    """Reserve the new name and release the former one."""
    key = admin.create("First")
    admin.update(key["id"], {"name": "Second"})

    assert admin.create("First")["name"] == "First"
    assert admin.send("POST", "/api/v1/admin/api-keys", {"name": "second", "key": SECRET}).status == 409


def test_renaming_to_a_reserved_name_is_a_conflict(admin: Admin, store: Store) -> None:
    """Return 409 and change nothing."""
    admin.create("First")
    second = admin.create("Second")
    before = store.items()

    answer = admin.update(second["id"], {"name": "FIRST", "active": False})

    assert (answer.status, answer.code) == (409, "DUPLICATE_API_KEY_NAME")
    assert store.items() == before


@pytest.mark.parametrize("name", ["First", "FIRST", "Ｆirst"])
def test_a_key_can_change_the_spelling_of_its_name(admin: Admin, name: str) -> None:
    """Keep the reservation if the normalized name stays the same."""
    key = admin.create("First")

    assert admin.update(key["id"], {"name": name}).data["name"] == name
    assert admin.send("POST", "/api/v1/admin/api-keys", {"name": "first", "key": SECRET}).status == 409


def test_two_keys_can_swap_names_through_a_third_name(admin: Admin) -> None:
    """Release each name before the next rename reserves it."""
    one, two = admin.create("One"), admin.create("Two")

    for key, name in ((one, "Three"), (two, "One"), (one, "Two")):
        assert admin.update(key["id"], {"name": name}).status == 200

    assert {key["name"]: key["id"] for key in admin.listing().data} == {"Two": one["id"], "One": two["id"]}


# --- versions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"active": False}, {"name": "N2"}, {"key": NEW_SECRET}])
@pytest.mark.parametrize("if_match", ['"1"', '"7", "1"', "*"])
def test_a_matching_if_match_applies_the_change(admin: Admin, changes: dict[str, Any], if_match: str) -> None:
    """Accept one tag, a list of tags or a star."""
    key = admin.create()

    answer = admin.update(key["id"], changes, If_Match=if_match)

    assert (answer.status, answer.data["version"]) == (200, 2)


@pytest.mark.parametrize("changes", [{"active": False}, {"name": "N2"}, {"key": NEW_SECRET}])
@pytest.mark.parametrize("if_match", ['"1"', '"3"', 'W/"2"', '"other"'])
def test_a_stale_if_match_is_rejected(admin: Admin, store: Store, changes: dict[str, Any], if_match: str) -> None:
    """Return 412 with the current version, and change nothing."""
    key = admin.create()
    admin.update(key["id"], {"description": "meanwhile"})
    before = store.items()

    answer = admin.update(key["id"], changes, If_Match=if_match)

    assert (answer.status, answer.code) == (412, "VERSION_CONFLICT")
    assert "version 2" in answer.body["error"]["message"]
    assert store.items() == before


def test_if_match_for_a_missing_key_returns_404(admin: Admin) -> None:
    """Return 404, not 412."""
    assert admin.update("spotify.0123456789ab", {"active": False}, If_Match='"1"').status == 404


def test_without_if_match_both_changes_are_kept(admin: Admin) -> None:
    """Apply changes of different fields by two administrators."""
    key = admin.create()

    admin.update(key["id"], {"description": "Ada's"})
    after = type(admin)(admin.stack, "bob").update(key["id"], {"active": False}).data

    assert (after["description"], after["active"], after["version"]) == ("Ada's", False, 3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"service": "other"}, "service"),
        ({"version": 1}, "version"),
        ({"maskedKey": "••••6789"}, "maskedKey"),
        ({"name": ""}, "name"),
        ({"active": None}, "active"),
        ({"key": "••••6789"}, "key"),
        ({"key": "short"}, "key"),
    ],
)
def test_an_invalid_change_names_the_field(
    admin: Admin, method: str, store: Store, changes: dict[str, Any], field: str
) -> None:
    """Return 400 with the field, and change nothing."""
    key = admin.create()
    before = store.items()

    answer = admin.update(key["id"], changes, method=method)

    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
    assert [detail["field"] for detail in answer.body["error"]["details"]] == [field]
    assert store.items() == before


def test_an_empty_change_is_rejected(admin: Admin, method: str) -> None:
    """Return 400 with the fields to choose from."""
    answer = admin.update(admin.create()["id"], {}, method=method)

    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")
    assert "at least one" in answer.body["error"]["message"]


def test_a_new_secret_must_match_the_services_format(admin: Admin) -> None:
    """Return 400 for a string as the secret value of a Spotify key."""
    key = admin.create("S1", service="spotify", key=SPOTIFY_KEY)

    assert admin.update(key["id"], {"key": SECRET}).status == 400
    assert admin.update(key["id"], {"key": SPOTIFY_KEY}).status == 200
