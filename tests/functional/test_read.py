"""Getting and listing keys."""

import pytest

from tests.functional.conftest import COLLECTION, SPOTIFY_KEY, Admin, Store
from tests.support.fault_proxy import FaultProxy

UNKNOWN = "spotify.0123456789ab"


def test_a_key_is_returned_with_its_etag(admin: Admin) -> None:
    """Return the key as it was created."""
    created = admin.create()

    response = admin.get(created["id"])

    assert (response.status, response.data) == (200, created)
    assert response.headers["ETag"] == '"1"'
    assert response.body.keys() == {"success", "data", "requestId"}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "key_id",
    [UNKNOWN, "x", "spotify", "SPOTIFY.0123456789AB", "%20", "%23name.x", "spotify.%00", "%F0%9F%94%91", "a" * 500],
)
def test_an_unknown_id_returns_404(admin: Admin, store: Store, method: str, key_id: str) -> None:
    """Return API_KEY_NOT_FOUND for unknown and malformed ids."""
    response = admin.send(method, f"{COLLECTION}/{key_id}", {"active": False} if method == "PATCH" else None)

    assert (response.status, response.code) == (404, "API_KEY_NOT_FOUND")
    assert store.items() == []


def test_a_get_takes_one_read_without_the_ciphertext(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Send one consistent GetItem that does not project the ciphertext."""
    key = admin.create()
    fault_proxy.clear()

    admin.get(key["id"])

    (call,) = fault_proxy.calls
    assert call.operation == "DynamoDB.GetItem"
    assert call.request["ConsistentRead"] is True
    assert "ciphertext" not in call.request["ExpressionAttributeNames"].values()


def test_an_empty_table_returns_an_empty_list(admin: Admin) -> None:
    """Return no keys and no cursor."""
    response = admin.listing()

    assert (response.status, response.data) == (200, [])
    assert response.body["pagination"] == {"limit": 20, "nextCursor": None}
    assert response.body.keys() == {"success", "data", "pagination", "requestId"}


def test_a_list_is_sorted_newest_first(admin: Admin) -> None:
    """Return each key as it was created."""
    keys = [admin.create(f"Key {number}", service=f"service-{number}") for number in range(4)]

    assert admin.listing().data == keys[::-1]


def test_pages_contain_every_key_once(admin: Admin) -> None:
    """Return seven keys in pages of three."""
    keys = [admin.create(f"Key {number}", service="one" if number % 2 else "two") for number in range(7)]

    pages = list(admin.pages(limit="3"))

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [key["id"] for page in pages for key in page] == [key["id"] for key in reversed(keys)]


def test_a_full_last_page_has_no_cursor(admin: Admin) -> None:
    """Return two full pages, and no empty third one."""
    for number in range(4):
        admin.create(f"Key {number}")

    assert [len(page) for page in admin.pages(limit="2")] == [2, 2]


def test_filtered_pages_are_full(admin: Admin) -> None:
    """Fill each page with matching keys, for one filter and for two."""
    for number in range(12):
        admin.create(f"Key {number}", service="one" if number % 3 else "two", active=number % 2 == 0)

    def names(**query: str) -> list[list[str]]:
        return [[key["name"] for key in page] for page in admin.pages(**query)]

    assert names(service="two") == [["Key 9", "Key 6", "Key 3", "Key 0"]]
    assert names(active="true", limit="4") == [["Key 10", "Key 8", "Key 6", "Key 4"], ["Key 2", "Key 0"]]
    assert names(active="false", service="two", limit="1") == [["Key 9"], ["Key 3"]]
    assert names(service="three") == [[]]


def test_a_filter_searches_beyond_one_query(admin: Admin, store: Store) -> None:
    """Find the only match behind 250 other keys."""
    oldest = admin.create("Oldest", active=False)
    template = store.item(oldest["id"])
    for number in range(250):
        changes = {"id": {"S": oldest["id"][:-6] + f"z{number:05}"}, "active": {"BOOL": True}}
        store.put(template | changes | {"createdAt": {"S": f"2090-01-01T00:00:00.{number:03}Z"}})

    for query in ({"active": "false"}, {"active": "false", "service": oldest["service"]}):
        response = admin.listing(**query)
        assert [key["name"] for key in response.data] == ["Oldest"]
        assert response.body["pagination"]["nextCursor"] is None


@pytest.mark.parametrize("query", [{}, {"service": "one"}])
def test_a_cursor_outlives_its_key(admin: Admin, query: dict[str, str]) -> None:
    """Continue after the last key of a page although it was deleted."""
    keys = [admin.create(f"Key {number}", service="one") for number in range(4)]
    first = admin.listing(limit="2", **query)
    admin.delete(keys[2]["id"])

    rest = admin.listing(limit="2", **query, cursor=first.body["pagination"]["nextCursor"])

    assert [key["id"] for key in (*first.data, *rest.data)] == [key["id"] for key in reversed(keys)]


@pytest.mark.parametrize("query", [{}, {"service": "spotify"}])
def test_a_page_takes_one_query(admin: Admin, fault_proxy: FaultProxy, query: dict[str, str]) -> None:
    """Query one item more than the page contains, without the ciphertext."""
    for number in range(6):
        admin.create(f"Key {number}", service="spotify", key=SPOTIFY_KEY)
    fault_proxy.clear()

    admin.listing(limit="2", **query)

    (call,) = fault_proxy.calls
    assert call.operation == "DynamoDB.Query"
    assert call.request["Limit"] == 3
    assert call.request.get("IndexName") == (None if query else "all-by-created")
    assert "ciphertext" not in call.request["ExpressionAttributeNames"].values()


def test_a_cursor_with_other_filters_is_rejected(admin: Admin) -> None:
    """Return 400 unless the filters are those of the page with the cursor."""
    for number in range(2):
        admin.create(f"Key {number}", service="one")
    cursor = admin.listing(limit="1", service="one").body["pagination"]["nextCursor"]

    assert admin.listing(cursor=cursor).status == 400
    assert admin.listing(cursor=cursor, service="two").status == 400
    assert admin.listing(cursor=cursor, service="one").status == 200


def malformed(admin: Admin, store: Store, lost: str) -> str:
    """Create a key, remove an attribute of its item, and return its id."""
    key_id: str = admin.create("Damaged")["id"]
    item = store.item(key_id)
    del item[lost]
    store.put(item)
    return key_id


def test_a_malformed_key_is_an_internal_error(admin: Admin, store: Store) -> None:
    """Return 500 for the key, and list the others."""
    key_id = malformed(admin, store, "maskedKey")
    whole = admin.create("Whole")

    response = admin.get(key_id)

    assert (response.status, response.code) == (500, "INTERNAL_SERVER_ERROR")
    assert admin.listing().data == [whole], "it does not hide the others"


@pytest.mark.parametrize("lost", ["maskedKey", "name", "version", "createdBy"])
def test_a_malformed_key_can_be_deleted(admin: Admin, store: Store, lost: str) -> None:
    """Delete a key without an attribute for good; its reservation stays only without the name."""
    response = admin.delete(malformed(admin, store, lost))

    assert (response.status, response.data["recoverableUntil"]) == (200, None)
    left = {item["service"]["S"] for item in store.items()} - {"#history"}
    assert left == ({"#name"} if lost == "name" else set())
