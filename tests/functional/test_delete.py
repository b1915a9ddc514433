"""Deleting a key."""

from datetime import datetime, timedelta

import pytest

from tests.functional.conftest import COLLECTION, Admin, Store


def partitions(store: Store) -> list[str]:
    """Return the partition of each item, without the history."""
    return sorted({item["service"]["S"] for item in store.items()} - {"#history"})


def test_deleting_a_key_releases_its_name(admin: Admin, store: Store) -> None:
    """Return 404 for the key at once, and let a new key have its name."""
    key = admin.create("First", service="one")

    response = admin.delete(key["id"])

    assert response.status == 200
    assert response.headers["ETag"] == '"2"'
    assert response.data.keys() == {"id", "name", "service", "deletedAt", "recoverableUntil"}
    assert (response.data["id"], response.data["name"], response.data["service"]) == (key["id"], "First", "one")
    ends, deleted_at = (datetime.fromisoformat(response.data[name]) for name in ("recoverableUntil", "deletedAt"))
    assert ends - deleted_at == timedelta(days=7)
    assert response.body["message"] == "API key deleted successfully"
    at, by = (datetime.fromisoformat(text) for text in (response.data["deletedAt"], response.body["effectiveBy"]))
    assert timedelta(seconds=59) < by - at < timedelta(seconds=90)
    assert partitions(store) == ["one"]
    assert admin.get(key["id"]).code == "API_KEY_NOT_FOUND"
    assert admin.delete(key["id"]).code == "API_KEY_NOT_FOUND"
    assert admin.listing().data == []
    assert admin.create("First")["id"] != key["id"]


def test_a_permanent_delete_leaves_only_the_history(admin: Admin, store: Store) -> None:
    """Delete the key together with the reservation of its new name."""
    key = admin.create("First")
    admin.update(key["id"], {"name": "Second"})

    response = admin.call("DELETE", f"{COLLECTION}/{key['id']}", query={"permanent": "true"})

    assert (response.data["recoverableUntil"], response.headers.get("ETag")) == (None, None)
    assert partitions(store) == []


@pytest.mark.parametrize(("if_match", "status"), [('"2"', 200), ("*", 200), ('"1"', 412), ('W/"2"', 412), ("2", 400)])
def test_a_delete_honors_if_match(admin: Admin, if_match: str, status: int) -> None:
    """Return 412 for another version, 400 for an invalid header."""
    key = admin.create()
    admin.update(key["id"], {"active": False})

    assert admin.delete(key["id"], If_Match=if_match).status == status
    assert admin.get(key["id"]).status == (404 if status == 200 else 200)


def test_deleting_one_key_leaves_the_others(admin: Admin) -> None:
    one, two = admin.create("One"), admin.create("Two")

    admin.delete(one["id"])

    assert admin.listing().data == [two]


def test_a_key_without_name_reservation_can_be_deleted(admin: Admin, store: Store) -> None:
    """Delete a key whose name reservation is missing."""
    key = admin.create("First")
    store.dynamodb.delete_item(TableName=store.table, Key={"service": {"S": "#name"}, "id": {"S": "first"}})

    assert admin.delete(key["id"]).status == 200
    assert partitions(store) == [key["service"]]


@pytest.mark.slow
def test_a_key_with_a_foreign_name_reservation_can_be_changed(admin: Admin, store: Store) -> None:
    """Delete or rename a key whose name is reserved for another key, and keep that reservation."""
    one, two = admin.create("One"), admin.create("Two")
    for name in ("one", "two"):
        store.put({"service": {"S": "#name"}, "id": {"S": name}, "key": {"S": "other.0123456789ab"}})

    assert admin.delete(one["id"]).status == 200
    assert admin.update(two["id"], {"name": "Three"}).data["name"] == "Three"
    assert admin.update(two["id"], {"name": "One"}).code == "DUPLICATE_API_KEY_NAME"
    left = {item["id"]["S"] for item in store.items() if item["service"]["S"] != "#history"}
    assert left == {"one", "two", "three", one["id"], two["id"]}


def test_the_body_of_a_delete_is_ignored(admin: Admin) -> None:
    """Return 200 for a DELETE with a body."""
    key = admin.create()

    assert admin.send("DELETE", f"{COLLECTION}/{key['id']}", {"any": "thing"}).status == 200


@pytest.mark.parametrize("version", [{"N": "1.5"}, {"N": "-1"}, {"S": "2"}, {"NULL": True}])
def test_a_key_with_a_malformed_version_can_be_deleted(admin: Admin, store: Store, version: dict[str, object]) -> None:
    """Delete the key for good, with its name reservation."""
    key = admin.create("First")
    store.put(store.item(key["id"]) | {"version": version})

    assert admin.delete(key["id"]).data["recoverableUntil"] is None
    assert partitions(store) == []
