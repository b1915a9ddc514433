"""The history of a key's changes."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from service_keys.core import cursor as cursors
from service_keys.core.history_query import HistoryQuery
from service_keys.errors import KeyNotFoundError
from tests.functional.conftest import Admin, ApiResponse, Store, admin_fixture, change_at
from tests.functional.test_rollback import replaced
from tests.functional.test_update import NEW_SECRET

admin = admin_fixture(Admin)
DAY_MS = 86_400_000
UNKNOWN = "x.000000000000"
ON, OFF = {"active": True}, {"active": False}


def versions(pages: Any) -> list[int]:
    return [entry["version"] for page in pages for entry in page]


def test_each_change_has_its_entry(admin: Admin) -> None:
    """Record the kind, the named fields, the administrator, the request, and the changed values as masks."""
    bob = type(admin)(admin.stack, "bob")
    key = admin.create("Key", service="x", description="Old")
    changes = [
        bob.update(key["id"], {"name": "New", "description": None}),
        bob.update(key["id"], {"active": False, "key": NEW_SECRET, "keepPrevious": True}),
        bob.update(key["id"], {"description": None}),
        bob.rollback(key["id"], If_Match='"4"'),
        bob.delete(key["id"]),
        bob.restore(key["id"], {"name": "Back"}),
        bob.delete_permanently(key["id"]),
    ]
    first, second = {"maskedKey": "••••6789"}, {"maskedKey": "••••9876"}
    last = {"description": None, "active": False} | first
    expected = [
        ("create", ["description", "key", "name", "service"], None, {"name": "Key", "description": "Old"} | first | ON),
        (
            "update",
            ["description", "name"],
            {"name": "Key", "description": "Old"},
            {"name": "New", "description": None},
        ),
        ("update", ["active", "keepPrevious", "key"], ON | first, OFF | second),
        ("update", ["description"], {}, {}),
        ("rollback", ["key"], second, first),
        ("delete", [], {"name": "New"} | last, None),
        ("restore", ["name"], {"name": "New"}, {"name": "Back"}),
        ("delete", [], {"name": "Back"} | last, None),
    ]

    response = admin.history(key["id"])

    entries = response.data[::-1]
    found = [tuple(entry[name] for name in ("change", "fields", "before", "after")) for entry in entries]
    assert found == expected
    times = [change.data.get("deletedAt") or change.data["updatedAt"] for change in changes]
    assert [entry["at"] for entry in entries] == [key["createdAt"], *times]
    assert [entry["by"] for entry in entries] == ["ada", *["bob"] * 7]
    assert [entry["requestId"] for entry in entries[1:]] == [change.body["requestId"] for change in changes]
    assert versions([entries]) == list(range(1, 9))
    assert response.body["pagination"] == {"limit": 20, "nextCursor": None}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_200_changes_are_paged_newest_first(admin: Admin) -> None:
    """Return each change exactly once, also of a key that is deleted before the last page."""
    key_id = admin.create("Key", service="x")["id"]
    other = admin.create("Key 2", service="x")["id"]
    for number in range(199):
        assert admin.update(key_id, {"description": str(number)}).status == 200

    for limit in ("1", "7", "99", "100"):
        assert versions(admin.pages(key_id, limit=limit)) == list(range(200, 0, -1))
    pages = admin.pages(key_id, limit="50")
    found = versions([next(pages)])
    for change in ({"active": False}, None):
        assert (admin.update(key_id, change) if change else admin.delete(key_id)).status == 200
        found += versions([next(pages)])
    admin.delete_permanently(key_id)
    assert found + versions(pages) == list(range(200, 0, -1)), "later changes are not part of it"
    assert versions(admin.pages(key_id, limit="100"))[:4] == [203, 202, 201, 200]
    assert versions(admin.pages(other)) == [1]


def test_a_rejected_change_has_no_entry(admin: Admin, store: Store) -> None:
    """Write entries only for changes; a verification and a repeated create are none."""
    key_id = replaced(admin)["id"]
    admin.create("Other")

    for rejected in (
        admin.update(key_id, {"name": "other"}),
        admin.update(key_id, {"active": False}, If_Match='"1"'),
        admin.rollback(key_id, If_Match='"1"'),
        admin.restore(key_id),
        admin.delete(key_id, If_Match='"1"'),
        admin.verify(key_id),
    ):
        assert rejected.status >= 400

    assert versions(admin.pages(key_id)) == [2, 1]
    assert len(store.partition("#history")) == 3


def next_cursor(response: ApiResponse) -> str:
    return str(response.body["pagination"]["nextCursor"])


CURSORS: dict[str, Callable[[Admin, str, str], str]] = {
    "another key's": lambda admin, _, other: next_cursor(admin.history(other, limit="1")),
    "the list's": lambda admin, *_: next_cursor(admin.listing(limit="1")),
    "truncated": lambda admin, key_id, _: next_cursor(admin.history(key_id, limit="1"))[:-1],
    "extended": lambda admin, key_id, _: next_cursor(admin.history(key_id, limit="1")) + "A",
    "altered": lambda admin, key_id, _: "A" + next_cursor(admin.history(key_id, limit="1"))[1:],
    "empty": lambda *_: "",
    "not base64": lambda *_: "ä!",
}
FORGED = ["", "x", "-5", "0", "1_0", " 1", "9" * 60]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_of_another_list_is_rejected(admin: Admin, cursor: str) -> None:
    """Return 400 and name the parameter."""
    key_id, other = replaced(admin)["id"], admin.create("Other", service="x")["id"]
    admin.update(other, {"active": False})

    response = admin.history(key_id, limit="1", cursor=CURSORS[cursor](admin, key_id, other))

    assert (response.status, response.code) == (400, "VALIDATION_ERROR")
    assert [detail["field"] for detail in response.body["error"]["details"]] == ["cursor"]


@pytest.mark.parametrize("position", FORGED)
def test_a_cursor_of_no_version_is_rejected(admin: Admin, position: str) -> None:
    """Return 400 for a valid checksum of another text."""
    key_id = replaced(admin)["id"]

    cursor = cursors.encode(position, scope=f"history of {key_id}")

    assert admin.history(key_id, cursor=cursor).status == 400


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "101"}, {"active": "true"}, {"deleted": "true"}], ids=str)
def test_an_invalid_query_of_a_history_is_rejected(admin: Admin, query: dict[str, str]) -> None:
    """Return 400 before 404."""
    assert admin.history(UNKNOWN, **query).status == 400


def test_expired_entries_are_omitted(admin: Admin, store: Store) -> None:
    """Return the entries of 400 days, and 404 if there are none, also before time to live deletes them."""
    key_id = admin.create("Key", service="x")["id"]
    now = time.time() * 1000
    for days in (401, 399):
        store.recovery().update(key_id, change_at(now - days * DAY_MS), {"description": str(days)})

    assert versions(admin.pages(key_id, limit="1")) == [3, 1], "the entry in between is the oldest"
    assert len(store.partition("#history")) == 3
    later = store.recovery(clock=lambda: now / 1000 + 400 * 86_400 + 60)
    with pytest.raises(KeyNotFoundError):
        later.history_page(HistoryQuery(key_id))


@pytest.mark.parametrize("key_id", [UNKNOWN, "x.y", "#name", "x.000000000000#0000000001"])
def test_a_key_without_entries_is_not_found(admin: Admin, store: Store, key_id: str) -> None:
    """Return 404, also for a stub item and for a part of the sort key."""
    store.put({"service": {"S": "x"}, "id": {"S": UNKNOWN}, "lastUsed": {"S": "zzz"}})
    admin.create("Key", service="x")

    assert admin.history(key_id).code == "API_KEY_NOT_FOUND"
