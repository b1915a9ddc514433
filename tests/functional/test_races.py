"""Twelve concurrent requests of administrators."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.functional.conftest import COLLECTION, SECRET, Admin, ApiResponse, Store


def at_once(call: Callable[[int], ApiResponse]) -> list[ApiResponse]:
    """Make twelve calls in threads that start together."""
    barrier = Barrier(12)

    def wait_and_call(number: int) -> ApiResponse:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(12) as pool:
        return list(pool.map(wait_and_call, range(12)))


def statuses(responses: list[ApiResponse]) -> dict[int, int]:
    return dict(Counter(response.status for response in responses))


def test_one_of_twelve_creates_of_one_name_succeeds(admin: Admin, store: Store) -> None:
    """Return 409 for the others."""
    names = ["Spotify", "SPOTIFY", " spotify ", "Ｓpotify"]

    responses = at_once(lambda n: admin.send("POST", COLLECTION, {"name": names[n % 4], "service": "x", "key": SECRET}))

    assert statuses(responses) == {201: 1, 409: 11}
    assert len(store.current_items()) == 2


def test_twelve_retries_create_one_key(admin: Admin, store: Store) -> None:
    """Return 201 with the same id for each."""
    body = {"name": "Spotify", "service": "x", "key": SECRET}

    responses = at_once(lambda _: admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16))

    assert statuses(responses) == {201: 12}
    assert len({response.data["id"] for response in responses}) == 1
    assert len(store.current_items()) == 3


def test_one_of_twelve_updates_of_one_version_succeeds(admin: Admin) -> None:
    """Return 412 for the others."""
    key = admin.create()

    responses = at_once(lambda n: admin.update(key["id"], {"description": str(n)}, If_Match='"1"'))

    assert statuses(responses) == {200: 1, 412: 11}
    assert admin.get(key["id"]).data["version"] == 2


def test_twelve_updates_without_if_match_all_succeed(admin: Admin) -> None:
    """Return a different version for each."""
    key = admin.create()

    responses = at_once(lambda n: admin.update(key["id"], {"description": str(n)}))

    assert statuses(responses) == {200: 12}
    assert sorted(response.data["version"] for response in responses) == list(range(2, 14))
    assert admin.get(key["id"]).data["version"] == 13


def test_twelve_renames_of_one_key_leave_one_reservation(admin: Admin, store: Store) -> None:
    """Return 200 for each, and release every name but the last."""
    key = admin.create()

    responses = at_once(lambda n: admin.update(key["id"], {"name": f"Name {n}"}))

    assert statuses(responses) == {200: 12}
    last = admin.get(key["id"]).data
    assert last["version"] == 13
    assert len(store.current_items()) == 2
    assert store.current_items()[0]["id"]["S"] in {last["name"].lower(), last["id"]}


def test_one_of_twelve_renames_to_one_name_succeeds(admin: Admin) -> None:
    """Return 409 for the others."""
    keys = [admin.create(f"Key {number}") for number in range(12)]

    responses = at_once(lambda n: admin.update(keys[n]["id"], {"name": "The one"}))

    assert statuses(responses) == {200: 1, 409: 11}
    assert [key["name"] for key in admin.listing().data].count("The one") == 1


def test_one_of_twelve_deletes_succeeds(admin: Admin, store: Store) -> None:
    """Return 404 for the others."""
    key = admin.create()

    responses = at_once(lambda _: admin.delete(key["id"]))

    assert statuses(responses) == {200: 1, 404: 11}
    assert store.current_items() == []


def test_a_delete_among_updates_leaves_no_item(admin: Admin, store: Store) -> None:
    """Delete the key and its name reservation in any order of the requests."""
    key = admin.create()

    def call(number: int) -> ApiResponse:
        if number == 5:
            return admin.delete(key["id"])
        return admin.update(key["id"], {"name": f"Name {number}"} if number % 2 else {"active": False})

    responses = at_once(call)

    assert responses[5].status == 200
    assert set(statuses(responses)) <= {200, 404}
    assert store.current_items() == []
