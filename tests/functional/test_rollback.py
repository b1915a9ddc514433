"""Returning to the previous secret value of a key."""

from datetime import datetime
from typing import Any

import pytest

from service_keys.core.timestamps import format_timestamp
from service_keys.store import encryption
from tests.functional.conftest import COLLECTION, SECRET, Admin, ConsumerOf, Store, admin_fixture, change_at
from tests.functional.test_update import NEW_SECRET
from tests.support.fault_proxy import Fault, FaultProxy

admin = admin_fixture(Admin)
WRITE = "DynamoDB.TransactWriteItems"
UNKNOWN = "x.000000000000"
VERIFIED = {"status": {"S": "valid"}, "checkedAt": {"S": "2026-01-01T00:00:00.000Z"}, "detail": {"S": "fine"}}


def replaced(admin: Admin, **fields: Any) -> dict[str, Any]:
    """Create a key and replace its secret value; return version 2."""
    key = admin.create("Key", service="x", **fields)
    changed: dict[str, Any] = admin.update(key["id"], {"key": NEW_SECRET}).data
    return changed


def secrets_of(store: Store, key_id: str) -> list[str]:
    """Decrypt the secret value and the previous one."""
    item = store.item(key_id)
    stored = (item[name]["B"] for name in ("ciphertext", "previousCiphertext") if name in item)
    return [str(encryption.decrypt(store.kms, each, key_id=key_id).reveal()) for each in stored]


def test_a_rollback_exchanges_the_secret_values(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    """Change only the description of both values, clear the verification, and call KMS never."""
    before = replaced(admin)
    store.change(before["id"], verification={"M": VERIFIED}, lastUsed={"S": "2026-01-01T00:00:00.000Z"})
    assert before["previousKey"]["replacedAt"] == before["keyUpdatedAt"]
    fault_proxy.clear()

    response = type(admin)(admin.stack, "bob").rollback(before["id"], If_Match='"2"')

    assert fault_proxy.counts() == {"DynamoDB.GetItem": 1, WRITE: 1}
    after, at = response.data, response.data["keyUpdatedAt"]
    assert (response.status, response.headers["ETag"]) == (200, '"3"')
    assert after == before | {
        "version": 3,
        "maskedKey": before["previousKey"]["maskedKey"],
        "previousKey": {"maskedKey": before["maskedKey"], "replacedAt": at, "replacedBy": "bob"},
        "keyUpdatedAt": at,
        "updatedAt": after["updatedAt"],
        "updatedBy": "bob",
        "verification": None,
        "lastUsed": "2026-01-01T00:00:00.000Z",
    }
    assert before["keyUpdatedAt"] < at
    assert admin.get(before["id"]).data == after
    assert secrets_of(store, before["id"]) == [SECRET, NEW_SECRET]


def test_a_second_rollback_returns_to_the_second_value(admin: Admin, store: Store) -> None:
    """Exchange again in the next version only, so that a repeated request undoes nothing."""
    key_id = replaced(admin)["id"]

    responses = [admin.rollback(key_id, If_Match=if_match) for if_match in ('"2"', '"2"', '"3"', '"2", "4"')]

    assert [response.status for response in responses] == [200, 412, 200, 200]
    assert secrets_of(store, key_id) == [SECRET, NEW_SECRET]


def test_a_rollback_with_a_lost_response_is_applied_once(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    """Return the result if a retry of botocore gets it, or else 503; then 412 to the same request."""
    key_id = replaced(admin)["id"]
    with fault_proxy.failing(Fault(WRITE, reset=True, after=True, times=1)):
        assert admin.rollback(key_id, If_Match='"2"').data["version"] == 3
    with fault_proxy.failing(Fault(WRITE, reset=True, after=True)):
        assert admin.rollback(key_id, If_Match='"3"').status == 503
    assert admin.rollback(key_id, If_Match='"3"').code == "VERSION_CONFLICT"

    assert admin.get(key_id).data["version"] == 4
    assert secrets_of(store, key_id) == [NEW_SECRET, SECRET]


ORDER = [
    ("unknown", "2", 400, "VALIDATION_ERROR"),
    ("unknown", None, 404, "API_KEY_NOT_FOUND"),
    ("malformed id", None, 404, "API_KEY_NOT_FOUND"),
    ("deleted", None, 404, "API_KEY_NOT_FOUND"),
    ("deleted", '"3"', 404, "API_KEY_NOT_FOUND"),
    ("stub", None, 404, "API_KEY_NOT_FOUND"),
    ("new", None, 428, "PRECONDITION_REQUIRED"),
    ("new", "*", 428, "PRECONDITION_REQUIRED"),
    ("replaced", None, 428, "PRECONDITION_REQUIRED"),
    ("replaced", " * ", 428, "PRECONDITION_REQUIRED"),
    ("new", '"2"', 412, "VERSION_CONFLICT"),
    ("replaced", '"1"', 412, "VERSION_CONFLICT"),
    ("replaced", 'W/"2"', 412, "VERSION_CONFLICT"),
    ("new", '"1"', 409, "NO_PREVIOUS_KEY"),
    ("replaced", '"2"', 200, None),
]


@pytest.mark.parametrize(("state", "if_match", "status", "code"), ORDER)
def test_a_rollback_checks_in_order(
    admin: Admin, store: Store, state: str, if_match: str | None, status: int, code: str | None
) -> None:
    """Check the request, the key, the precondition, the version, then the previous value; change nothing before."""
    ids = {"unknown": UNKNOWN, "malformed id": "x.y", "stub": UNKNOWN}
    key_id = ids.get(state) or (admin.create()["id"] if state == "new" else replaced(admin)["id"])
    if state == "stub":
        store.put({"service": {"S": "x"}, "id": {"S": UNKNOWN}, "lastUsed": {"S": "zzz"}})
    if state == "deleted":
        admin.delete(key_id)
    before = store.items()

    response = admin.rollback(key_id, **({} if if_match is None else {"If_Match": if_match}))

    assert response.status == status
    assert code is None or (response.code, store.items()) == (code, before)
    if status == 428:
        assert f'"{admin.get(key_id).data["version"]}"' in response.body["error"]["message"]


@pytest.mark.parametrize(("offset", "later"), [(-3_600_000, 1), (0, 1), (1, 1), (5, 5)])
def test_a_rollback_always_increases_key_updated_at(admin: Admin, store: Store, offset: int, later: int) -> None:
    """Set the time of the change or, if the clock went back, a millisecond after the last change."""
    key = replaced(admin)
    at_ms = round(datetime.fromisoformat(key["keyUpdatedAt"]).timestamp() * 1000)

    store.recovery().rollback(key["id"], change_at(at_ms + offset), if_match=frozenset({2}))

    changed = admin.get(key["id"]).data
    assert changed["keyUpdatedAt"] == changed["previousKey"]["replacedAt"] == format_timestamp(at_ms + later)
    assert changed["updatedAt"] == format_timestamp(at_ms + offset)


# --- keepPrevious -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"keepPrevious": False}, {"keepPrevious": False, "key": f"{NEW_SECRET}x"}])
def test_keep_previous_false_removes_the_previous_value(admin: Admin, store: Store, changes: dict[str, Any]) -> None:
    """Leave neither replaced value in the table, and nothing to roll back to."""
    key = replaced(admin)
    stored = store.item(key["id"])

    after = admin.update(key["id"], changes).data

    removed = {stored["previousCiphertext"]["B"]} | ({stored["ciphertext"]["B"]} if "key" in changes else set())
    assert not [item for item in store.items() for value in item.values() if value.get("B") in removed]
    assert after["previousKey"] is None
    assert admin.rollback(key["id"], If_Match='"3"').code == "NO_PREVIOUS_KEY"
    assert admin.update(key["id"], changes).data["previousKey"] is None, "also without one to remove"
    assert secrets_of(store, key["id"]) == [changes.get("key", NEW_SECRET)]
    kept = admin.update(key["id"], {"key": SECRET, "keepPrevious": True}).data["previousKey"]
    assert kept["maskedKey"] == after["maskedKey"]
    assert admin.update(key["id"], {"name": "Other", "description": "New", "active": False}).data["previousKey"] == kept


INVALID = [{"keepPrevious": True}, *({"keepPrevious": value, "key": NEW_SECRET} for value in (None, "false", 0))]


@pytest.mark.parametrize("changes", INVALID, ids=str)
def test_an_invalid_keep_previous_is_rejected(admin: Admin, store: Store, changes: dict[str, Any]) -> None:
    """Name the field, and change nothing."""
    key = replaced(admin)
    before = store.items()

    response = admin.update(key["id"], changes)

    assert [detail["field"] for detail in response.body["error"]["details"]] == ["keepPrevious"]
    assert (response.status, store.items()) == (400, before)


# --- damaged items, and KMS -------------------------------------------------------------------------------------------


DAMAGED: list[tuple[dict[str, Any], int]] = [
    ({"previousCiphertext": None}, 409),
    ({"previousKey": None}, 409),
    ({"previousKey": {"S": "zzz"}}, 409),
    ({"previousKey": {"M": {"maskedKey": {"S": "••••"}}}}, 409),
    ({"ciphertext": None}, 200),
    ({"keyUpdatedAt": {"S": "zzz"}, "verification": {"S": "zzz"}, "lastUsed": {"S": "zzz"}}, 200),
    ({"maskedKey": None}, 500),
]


@pytest.mark.parametrize(("damage", "status"), DAMAGED, ids=str)
def test_a_damaged_item_is_rolled_back_if_it_can_be(
    admin: Admin, store: Store, consumer_of: ConsumerOf, damage: dict[str, Any], status: int
) -> None:
    """Return 409 without a usable previous value; repair an item that has lost its current one."""
    key_id = replaced(admin)["id"]
    store.change(key_id, **damage)
    before = store.items()

    response = admin.rollback(key_id, If_Match='"2"')

    assert response.status == status
    if status == 200:
        assert consumer_of().get("x").value == SECRET
        assert response.data["keyUpdatedAt"] == response.data["previousKey"]["replacedAt"]
    else:
        assert store.items() == before


def test_a_value_from_before_a_kms_rotation_comes_back(admin: Admin, store: Store, consumer_of: ConsumerOf) -> None:
    """Move the first ciphertext unchanged, so that KMS finds the key material of that time."""
    key = admin.create("Key", service="x")
    first = store.item(key["id"])["ciphertext"]
    store.kms.rotate_key_on_demand(KeyId=store.kms_key)
    admin.update(key["id"], {"key": NEW_SECRET})
    store.kms.rotate_key_on_demand(KeyId=store.kms_key)

    admin.rollback(key["id"], If_Match='"2"')

    assert store.item(key["id"])["ciphertext"] == first
    assert consumer_of().get("x").value == SECRET


@pytest.mark.parametrize("body", ['{"version": 1}', "[]", "null", "{", "7"])
def test_a_rollback_with_fields_is_rejected(admin: Admin, body: str) -> None:
    """Return 400 and change nothing: the fields could be meant to choose a secret value."""
    key = admin.create("Key", service="x")
    admin.update(key["id"], {"key": SECRET + "x"})
    path, headers = f"{COLLECTION}/{key['id']}/rollback", {"If-Match": '"2"', "Content-Type": "application/json"}

    assert admin.call("POST", path, body=body, headers=headers).code == "VALIDATION_ERROR"
    assert admin.call("POST", path, body="{}", headers=headers).status == 200


@pytest.mark.parametrize(
    ("method", "action"), [("PATCH", ""), ("PUT", ""), ("POST", "/rollback"), ("POST", "/restore")]
)
def test_a_change_with_a_query_parameter_is_rejected(admin: Admin, method: str, action: str) -> None:
    """Return 400 and name the parameter, which could be meant as a field, such as `keepPrevious`."""
    path = f"{COLLECTION}/{admin.create()['id']}{action}"
    headers = {"If-Match": '"1"', "Content-Type": "application/json"}

    response = admin.call(method, path, body="{}", headers=headers, query={"keepPrevious": "false"})

    advice = "this request has no query parameters; leave it out, or send it as a field of the body"
    assert (response.status, response.body["error"]["details"]) == (400, [{"field": "keepPrevious", "message": advice}])
