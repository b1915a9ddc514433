"""Concurrent changes of one key: rollback, delete and restore among others.

A conflict of transactions makes the order of two changes certain: the first one is read, the other one is made before
its second attempt. `make test-integration` runs the threads against another DynamoDB.
"""

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from service_keys.core.timestamps import now_ms
from service_keys.errors import (
    DuplicateKeyNameError,
    KeyNotFoundError,
    ServiceKeysError,
    VersionConflictError,
)
from service_keys.store import encryption
from service_keys.store.recovery import KeyRecovery
from tests.functional.conftest import COLLECTION, SECRET, Admin, ApiResponse, ClientsOf, Store, admin_fixture, change_at
from tests.functional.test_failures import cancelled
from tests.functional.test_races import at_once, statuses
from tests.functional.test_rollback import replaced
from tests.functional.test_update import NEW_SECRET
from tests.support.fault_proxy import Fault, FaultProxy

pytestmark = pytest.mark.slow
admin = admin_fixture(Admin)


def assert_consistent(admin: Admin, store: Store) -> None:
    """Compare the keys with the reservations of names and with the history."""
    items = store.items()
    keys = {item["id"]["S"]: item for item in items if not item["service"]["S"].startswith("#")}
    live = {key_id: item for key_id, item in keys.items() if "deletedAt" not in item}
    names = {name: item["key"]["S"] for name, item in store.partition("#name").items()}
    assert names == {item["name"]["S"].lower(): key_id for key_id, item in live.items()}
    for key_id, item in keys.items():
        kept, absent = ("ciphertext", "deletedCiphertext") if key_id in live else ("deletedCiphertext", "ciphertext")
        assert absent not in item
        assert encryption.decrypt(store.kms, item[kept]["B"], key_id=key_id).reveal()
        assert item["entity"]["S"] == ("key" if key_id in live else "deleted")
        assert ("previousKey" in item) == ("previousCiphertext" in item)
    for key_id in {entry.partition("#")[0] for entry in store.partition("#history")}:
        entries = [entry for page in admin.pages(key_id, limit="100") for entry in page]
        assert [entry["version"] for entry in entries] == list(range(len(entries), 0, -1))
        last = keys.get(key_id)
        assert (entries[0]["change"] == "delete") == (key_id not in live)
        assert last is None or int(last["version"]["N"]) == len(entries)


# --- two changes in a certain order -----------------------------------------------------------------------------------

FIRST: dict[str, Callable[[KeyRecovery, str], object]] = {
    "RollbackApiKey": lambda keys, key_id: keys.rollback(key_id, change_at(now_ms()), if_match=frozenset({2})),
    "DeleteApiKey": lambda keys, key_id: keys.delete(key_id, change_at(now_ms()), recoverable_days=7),
    "RestoreApiKey": lambda keys, key_id: keys.restore(key_id, change_at(now_ms())),
}
"""The change of each function."""
OTHERS: dict[str, Callable[[Admin, str], ApiResponse]] = {
    "replace": lambda admin, key_id: admin.update(key_id, {"key": NEW_SECRET + "x"}),
    "drop previous": lambda admin, key_id: admin.update(key_id, {"keepPrevious": False}),
    "rename": lambda admin, key_id: admin.update(key_id, {"name": "Renamed"}),
    "rollback": lambda admin, key_id: admin.rollback(key_id, If_Match='"2"'),
    "delete": lambda admin, key_id: admin.delete(key_id),
    "permanent": lambda admin, key_id: admin.delete_permanently(key_id),
    "restore": lambda admin, key_id: admin.restore(key_id),
    "take the name": lambda admin, _: admin.send("POST", COLLECTION, {"name": "KEY", "service": "y", "key": SECRET}),
    "nothing": lambda admin, _: admin.listing(),
}
ORDERS: list[tuple[str, str, type[ServiceKeysError] | None]] = [
    *(("RollbackApiKey", other, VersionConflictError) for other in ("replace", "drop previous", "rename", "rollback")),
    *(("RollbackApiKey", other, KeyNotFoundError) for other in ("delete", "permanent")),
    ("RollbackApiKey", "nothing", None),
    *(("DeleteApiKey", other, KeyNotFoundError) for other in ("delete", "permanent")),
    *(("DeleteApiKey", other, None) for other in ("replace", "drop previous", "rename", "rollback", "nothing")),
    *(("RestoreApiKey", other, KeyNotFoundError) for other in ("restore", "permanent")),
    ("RestoreApiKey", "take the name", DuplicateKeyNameError),
    ("RestoreApiKey", "nothing", None),
]


@pytest.mark.parametrize(("function", "other", "error"), ORDERS)
def test_a_change_sees_the_one_that_came_in_between(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, function: str, other: str, error: Any
) -> None:
    """Read again after a conflict: apply the change to the new version, or reject it; lose nothing."""
    key_id = replaced(admin)["id"]
    if function == "RestoreApiKey":
        admin.delete(key_id)
    between: list[ApiResponse] = []
    client, _ = clients_of(function)
    keys = KeyRecovery(
        client, store.table, history_days=1, sleep=lambda _: between.append(OTHERS[other](admin, key_id))
    )
    changes_nothing = other in {"nothing", "take the name"}
    conflict = "TransactionConflict" if changes_nothing else "ConditionalCheckFailed"

    with fault_proxy.failing(cancelled(conflict, times=1)), pytest.raises(error) if error else nullcontext():
        FIRST[function](keys, key_id)

    assert [response.status // 100 for response in between] == [2]
    assert_consistent(admin, store)
    if function == "DeleteApiKey" and not error:
        assert admin.restore(key_id).status == 200, "the deleted key can be restored"


@pytest.mark.parametrize("change", ["rollback", "delete", "permanent", "restore"])
def test_an_undo_with_a_lost_response_is_applied_once(
    admin: Admin, store: Store, fault_proxy: FaultProxy, change: str
) -> None:
    """Return the result of the first attempt to the retry of botocore."""
    key_id = replaced(admin)["id"]
    if change == "restore":
        admin.delete(key_id)
    versions = len(store.partition("#history"))

    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", reset=True, after=True, times=1)):
        assert OTHERS[change](admin, key_id).status == 200

    assert len(store.partition("#history")) == versions + 1
    assert_consistent(admin, store)


# --- twelve administrators --------------------------------------------------------------------------------------------


SAME: list[tuple[bool, Callable[[Admin, str, int], ApiResponse], dict[int, int]]] = [
    (False, lambda admin, key_id, _: admin.rollback(key_id, If_Match='"2"'), {200: 1, 412: 11}),
    (False, lambda admin, key_id, _: admin.delete(key_id), {200: 1, 404: 11}),
    (True, lambda admin, key_id, _: admin.restore(key_id), {200: 1, 404: 11}),
    (True, lambda admin, key_id, number: admin.restore(key_id, {"name": f"Key {number}"}), {200: 1, 404: 11}),
    (True, lambda admin, key_id, _: admin.delete_permanently(key_id), {200: 1, 404: 11}),
]


@pytest.mark.parametrize(("delete", "change", "expected"), SAME)
def test_one_of_twelve_equal_changes_is_applied(
    admin: Admin,
    store: Store,
    *,
    delete: bool,
    change: Callable[..., ApiResponse],
    expected: dict[int, int],
) -> None:
    """Reject the others, which come too late."""
    key_id = replaced(admin)["id"]
    if delete:
        admin.delete(key_id)

    assert statuses(at_once(lambda number: change(admin, key_id, number))) == expected

    assert_consistent(admin, store)


@pytest.mark.slow
def test_one_of_twelve_keys_is_restored_under_one_name(admin: Admin, store: Store) -> None:
    """Return 409 for the other deleted keys, and for a new one; each stays recoverable."""
    ids = []
    for _ in range(11):
        ids.append(admin.create("Key", service="x")["id"])
        admin.delete(ids[-1])

    def call(number: int) -> ApiResponse:
        if number < len(ids):
            return admin.restore(ids[number])
        return admin.send("POST", COLLECTION, {"name": "key", "service": "x", "key": SECRET})

    responses = at_once(call)

    assert sorted(response.status for response in responses)[1:] == [409] * 11
    assert_consistent(admin, store)
    for number, key_id in enumerate(ids):
        if responses[number].status == 409:
            assert admin.restore(key_id, {"name": f"Key {number}"}).status == 200
    assert_consistent(admin, store)


def test_a_delete_and_a_restore_at_once_lose_no_key(admin: Admin, store: Store) -> None:
    """End with the key live or deleted; both responses agree with it."""
    key_id = replaced(admin)["id"]

    responses = at_once(lambda number: admin.delete(key_id) if number % 2 else admin.restore(key_id))

    assert set(statuses(responses)) <= {200, 404}
    done = [response.status for response in responses].count(200)
    assert admin.get(key_id).status == (404 if done % 2 else 200)
    assert_consistent(admin, store)
    assert done % 2 == 0 or admin.restore(key_id).status == 200


MIX: list[Callable[[Admin, str, int], ApiResponse]] = [
    lambda admin, key_id, n: admin.update(key_id, {"key": f"{NEW_SECRET}{n}"}),
    lambda admin, key_id, n: admin.update(key_id, {"name": f"Name {n}"}),
    lambda admin, key_id, n: admin.update(key_id, {"active": bool(n % 2), "keepPrevious": False}),
    lambda admin, key_id, _: admin.rollback(key_id, If_Match=admin.get(key_id).headers.get("ETag", '"1"')),
    lambda admin, key_id, _: admin.delete(key_id),
    lambda admin, key_id, _: admin.restore(key_id),
    lambda admin, key_id, n: admin.restore(key_id, {"name": f"Restored {n}"}),
    lambda admin, _, n: admin.send("POST", COLLECTION, {"name": f"Name {n % 4}", "service": "x", "key": SECRET}),
]


@pytest.mark.slow
@pytest.mark.parametrize("permanent", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_twelve_administrators_change_one_key_at_once(
    admin: Admin, store: Store, seed: int, *, permanent: bool
) -> None:
    """Lose no key, bring no permanently deleted one back, reserve no name without a key, and skip no version."""
    key_id = replaced(admin)["id"]
    # Seeded, to repeat a failure; not for security.
    choices = [random.Random(seed * 100 + number).choices(MIX, k=5) for number in range(12)]

    def call(number: int) -> ApiResponse:
        responses = [change(admin, key_id, number * 10 + place) for place, change in enumerate(choices[number])]
        if permanent and number == 6:
            responses.append(admin.delete_permanently(key_id))
        assert {response.status for response in responses} <= {200, 201, 404, 409, 412}
        return responses[-1]

    last = at_once(call)[6]

    assert_consistent(admin, store)
    if permanent:
        assert last.status == 200
        assert key_id not in store.partition("x")
        assert [admin.restore(key_id).status, admin.get(key_id).status] == [404, 404]
    else:
        assert [admin.get(key_id).status, admin.restore(key_id, {"name": "Last"}).status] in ([200, 404], [404, 200])
