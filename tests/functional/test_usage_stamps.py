"""False usage stamps of a compromised consumer: never returned, harmless, and replaced by the next true stamp.

A consumer's policy permits any value of ``lastUsed`` in every item of its service, and in ids without an item.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from service_keys import ServiceKeys
from service_keys.core.consumer_models import EncryptedKey
from service_keys.core.ids import new_id
from service_keys.core.timestamps import CLOCK_SKEW_MS, format_timestamp
from service_keys.store.consumer_repository import ConsumerRepository
from tests.conftest import Logged
from tests.functional.conftest import SECRET, Admin, ConsumerOf, Store, admin_fixture
from tests.support.fault_proxy import FaultProxy

admin = admin_fixture(Admin)
NOW = datetime.now(UTC).timestamp()
NOW_MS = int(NOW * 1000)
TRUE_STAMP = format_timestamp(NOW_MS)
LARGE = "9" * 380_000
LAMBDA_RESPONSE_MAX_BYTES = 6 * 1024 * 1024
FALSE_STAMPS: dict[str, dict[str, Any]] = {
    "year 9999": {"S": "9999-12-31T23:59:59.999Z"},
    "tomorrow": {"S": format_timestamp(NOW_MS + 86_400_000)},
    "beyond the clock skew": {"S": format_timestamp(NOW_MS + CLOCK_SKEW_MS + 3_600_000)},
    "empty": {"S": ""},
    "letters": {"S": "zzz"},
    "capital letter": {"S": "A"},
    "digit": {"S": "2"},
    "date": {"S": TRUE_STAMP[:10]},
    "future date": {"S": "9999"},
    "no such month": {"S": "2026-13-01T00:00:00.000Z"},
    "no such day": {"S": "2026-02-30T00:00:00.000Z"},
    "hour 24": {"S": "2026-02-03T24:00:00.000Z"},
    "year 0": {"S": "0000-01-01T00:00:00.000Z"},
    "space for T": {"S": TRUE_STAMP.replace("T", " ")},
    "lower case": {"S": TRUE_STAMP.lower()},
    "letter in the milliseconds": {"S": TRUE_STAMP[:-2] + "xZ"},
    "offset for Z": {"S": TRUE_STAMP[:-1] + "+00:00"},
    "no milliseconds": {"S": TRUE_STAMP[:-5] + "Z"},
    "microseconds": {"S": TRUE_STAMP[:-1] + "000Z"},
    "text after it": {"S": TRUE_STAMP + " and more"},
    "newline after it": {"S": TRUE_STAMP + "\n"},
    "text after a past one": {"S": "2026-01-01T00:00:00.000Z and more"},
    "other digits": {"S": TRUE_STAMP.translate({ord("2"): "\u0662"})},
    "markup": {"S": "<script>alert(1)</script>"},
    "380 KB": {"S": LARGE},
    "380 KB after it": {"S": TRUE_STAMP + LARGE},
    "number": {"N": "2026"},
    "negative number": {"N": "-1"},
    "true": {"BOOL": True},
    "null": {"NULL": True},
    "binary": {"B": TRUE_STAMP.encode()},
    "list": {"L": [{"S": TRUE_STAMP}]},
    "map": {"M": {"S": {"S": TRUE_STAMP}}},
    "string set": {"SS": [TRUE_STAMP]},
    "number set": {"NS": ["1"]},
    "binary set": {"BS": [b"1"]},
}


@pytest.fixture
def keys(consumer_of: ConsumerOf) -> ServiceKeys:
    """A consumer with a fixed clock."""
    return consumer_of(clock=lambda: NOW)


def set_last_used(store: Store, key_id: str, value: dict[str, Any]) -> None:
    """Write a usage stamp with the call that a consumer's policy permits."""
    store.dynamodb.update_item(
        TableName=store.table,
        Key={"service": {"S": key_id.partition(".")[0]}, "id": {"S": key_id}},
        UpdateExpression="SET lastUsed = :value",
        ExpressionAttributeValues={":value": value},
    )


def stubs(service: str, number: int, value: str = TRUE_STAMP) -> Iterator[dict[str, Any]]:
    """Yield stub items whose ids sort before and after those of keys."""
    for index in range(number):
        at_ms = NOW_MS + (index - number // 2) * 1000
        key_id = new_id(service, at_ms=at_ms, random_bits=1)
        yield {"service": {"S": service}, "id": {"S": key_id}, "lastUsed": {"S": value}}


@pytest.mark.parametrize("value", FALSE_STAMPS.values(), ids=FALSE_STAMPS)
def test_a_false_stamp_is_replaced_by_the_next_true_one(
    admin: Admin, store: Store, keys: ServiceKeys, value: dict[str, Any]
) -> None:
    """Return null for the false stamp, and the time of the next read afterwards."""
    key = admin.create(service="one")
    set_last_used(store, key["id"], value)
    assert admin.get(key["id"]).data == key
    assert admin.listing().data == [key]
    assert admin.listing(service="one").data == [key]

    assert keys.get("one").value == SECRET

    assert store.item(key["id"])["lastUsed"] == {"S": TRUE_STAMP}
    assert admin.get(key["id"]).data == key | {"lastUsed": TRUE_STAMP}


@pytest.mark.parametrize("value", FALSE_STAMPS.values(), ids=FALSE_STAMPS)
def test_an_update_removes_a_false_stamp(admin: Admin, store: Store, value: dict[str, Any]) -> None:
    """Apply the change, and return null for the last use."""
    key = admin.create(service="one")
    set_last_used(store, key["id"], value)

    updated = admin.update(key["id"], {"active": False})

    assert (updated.status, updated.data["lastUsed"]) == (200, None)
    assert "lastUsed" not in store.item(key["id"])


@pytest.mark.parametrize("ahead_ms", [0, 1000, CLOCK_SKEW_MS - 60_000])
def test_a_stamp_within_the_clock_skew_stays(
    admin: Admin, store: Store, keys: ServiceKeys, fault_proxy: FaultProxy, ahead_ms: int
) -> None:
    """Keep a stamp that a consumer with a fast clock may have written."""
    key = admin.create(service="one")
    ahead = format_timestamp(NOW_MS + ahead_ms)
    set_last_used(store, key["id"], {"S": ahead})
    fault_proxy.clear()

    keys.get("one")

    assert "DynamoDB.UpdateItem" not in fault_proxy.counts()
    assert admin.get(key["id"]).data["lastUsed"] == ahead


@pytest.mark.slow
@pytest.mark.parametrize("value", FALSE_STAMPS.values(), ids=FALSE_STAMPS)
def test_a_delayed_stamp_does_not_move_a_later_one_back(admin: Admin, store: Store, value: dict[str, Any]) -> None:
    """Replace only the false stamp that was read: another consumer may have replaced it during the delay."""
    key = admin.create(service="one")
    set_last_used(store, key["id"], value)
    table = ConsumerRepository(store.dynamodb, store.table)
    (read,) = table.list_for_service("one")
    assert isinstance(read, EncryptedKey)
    later = format_timestamp(NOW_MS + 3_600_000)
    set_last_used(store, key["id"], {"S": later})

    earlier = format_timestamp(NOW_MS - 60_000)
    table.stamp_usage(key["id"], used_at=TRUE_STAMP, if_older_than=earlier, false_stamp=read.last_used)

    assert store.item(key["id"])["lastUsed"] == {"S": later}


def test_a_false_stamp_does_not_recreate_a_deleted_key(admin: Admin, store: Store) -> None:
    """Write nothing for a key that was deleted after it was read."""
    key = admin.create(service="one")
    set_last_used(store, key["id"], {"S": "zzz"})
    table = ConsumerRepository(store.dynamodb, store.table)
    admin.delete(key["id"])

    table.stamp_usage(key["id"], used_at=TRUE_STAMP, if_older_than=TRUE_STAMP, false_stamp="zzz")

    assert store.current_items() == []


# --- large values and stub items --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("query", [{}, {"service": "one"}, {"active": "true"}, {"service": "one", "active": "true"}])
def test_large_stamps_do_not_enlarge_a_list(
    admin: Admin, store: Store, fault_proxy: FaultProxy, query: dict[str, str]
) -> None:
    """Return a small response, with one call for each megabyte that DynamoDB reads."""
    key = admin.create("Key 0", service="one")
    template = store.item(key["id"])
    for number in range(1, 18):
        key_id = new_id("one", at_ms=NOW_MS + number, random_bits=1)
        created = {"S": format_timestamp(NOW_MS + number)}
        store.put(template | {"id": {"S": key_id}, "createdAt": created, "lastUsed": {"S": LARGE}})
    set_last_used(store, key["id"], {"S": LARGE})
    fault_proxy.clear()

    response = admin.listing(**query, limit="100")

    assert len(response.data) == 18
    assert len(response.text) < 18 * 1000 < LAMBDA_RESPONSE_MAX_BYTES
    assert fault_proxy.counts()["DynamoDB.Query"] <= 18 * 380 // 1000 + 3


def test_a_key_with_a_large_stamp_can_be_changed(admin: Admin, store: Store) -> None:
    """Change, disable and replace a key whose item has the maximum size."""
    key = admin.create(service="one")
    # Leaves 5 KB of the maximum item size of 400 KiB; the changes need more.
    set_last_used(store, key["id"], {"S": "9" * 403_900})

    fields = {f"field{number}": SECRET * 10 for number in range(10)}
    response = admin.update(key["id"], {"description": "é" * 500, "active": False, "key": fields})

    assert (response.status, response.data["active"], response.data["lastUsed"]) == (200, False, None)


UNVERIFIED = {"verification": "none"}


def test_250_stubs_add_one_query_to_a_list(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    """List the keys among stub items, and no others."""
    store.put_all(list(stubs("one", 250)))
    keys = [admin.create(f"Key {number}", service="one") for number in range(3)][::-1]

    for query, expected in (({}, keys), ({"active": "true"}, keys), ({"active": "false"}, []), (UNVERIFIED, keys)):
        fault_proxy.clear()
        assert admin.listing(service="one", **query).data == expected
        assert fault_proxy.counts() == {"DynamoDB.Query": 2}
        fault_proxy.clear()
        assert admin.listing(**query).data == expected
        assert fault_proxy.counts() == {"DynamoDB.Query": 1}


def test_pages_among_stubs_contain_each_key_once(admin: Admin, store: Store) -> None:
    """Continue from page to page without losing or repeating a key."""
    store.put_all(list(stubs("one", 100)))
    ids = [admin.create(f"Key {number}", service="one")["id"] for number in range(5)][::-1]

    pages = [[key["id"] for key in page] for page in admin.pages(service="one", limit="2")]

    assert pages == [ids[:2], ids[2:4], ids[4:]]


def test_stubs_add_no_call_to_a_read(admin: Admin, store: Store, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """Find the key with one Query."""
    store.put_all(list(stubs("one", 250)))
    key = admin.create(service="one")
    fault_proxy.clear()

    assert keys.get("one").id == key["id"]
    assert fault_proxy.counts() == {"DynamoDB.Query": 1, "KMS.Decrypt": 1, "DynamoDB.UpdateItem": 1}


@pytest.mark.parametrize("name", ["year 9999", "letters", "380 KB", "number", "map", "string set"])
def test_a_stub_can_be_deleted(admin: Admin, store: Store, logged: Logged, name: str) -> None:
    """Return 200 once, with a null name, and 404 for every operation that needs a key."""
    (stub,) = stubs("one", 1)
    key_id = stub["id"]["S"]
    store.put(stub | {"lastUsed": FALSE_STAMPS[name]})
    for response in (admin.get(key_id), admin.update(key_id, {"active": True}), admin.verify(key_id)):
        assert response.code == "API_KEY_NOT_FOUND"

    response = admin.delete(key_id)

    assert response.status == 200
    deleted = {"id": key_id, "name": None, "service": "one", "recoverableUntil": None}
    assert response.data == deleted | {"deletedAt": response.data["deletedAt"]}
    assert store.current_items() == []
    audits = [line["audit"] for line in logged() if "audit" in line]
    assert [audit["outcome"] for audit in audits if audit["change"] == "delete"] == ["done"]
    assert admin.delete(key_id).code == "API_KEY_NOT_FOUND"


def test_a_stub_matches_no_version(admin: Admin, store: Store) -> None:
    """Return 412 for a delete that expects a version, and advise to send none."""
    (stub,) = stubs("one", 1)
    store.put(stub)

    refused = admin.delete(stub["id"]["S"], If_Match='"1"')

    assert (refused.status, refused.code) == (412, "VERSION_CONFLICT")
    assert refused.body["error"]["message"] == (
        "If-Match does not match: the item with this id has no version, because it is not a whole key. To delete it, "
        "send the request again without If-Match."
    )
    assert store.current_items() == [stub]
    assert admin.delete(stub["id"]["S"], If_Match="*").status == 200


def test_a_bare_item_can_be_deleted(admin: Admin, store: Store) -> None:
    """Delete an item that has only its primary key, because its usage stamp was removed."""
    (stub,) = stubs("one", 1)
    del stub["lastUsed"]
    store.put(stub)

    assert admin.delete(stub["id"]["S"]).data["name"] is None
    assert store.current_items() == []


# --- verification results, which a compromised VerifyApiKey can write -------------------------------------------------


def result(status: str = "valid", checked_at: Any = TRUE_STAMP, detail: str = "x") -> dict[str, Any]:
    """Return the stored form of a verification result; ``checked_at`` is a text, or an attribute value."""
    moment = {"S": checked_at} if isinstance(checked_at, str) else checked_at
    return {"M": {"status": {"S": status}, "checkedAt": moment, "detail": {"S": detail}}}


FALSE_RESULTS: dict[str, dict[str, Any]] = {
    "year 9999": result(checked_at="9999-12-31T23:59:59.999Z"),
    "malformed moment": result(checked_at="zzz"),
    "number as moment": result(checked_at={"N": "9"}),
    "no moment": {"M": {"status": {"S": "valid"}, "detail": {"S": "x"}}},
    "unknown status": result(status="great"),
    "large detail": result(detail=LARGE),
    "empty": {"M": {}},
    "string": {"S": "valid"},
    "list": {"L": []},
}


@pytest.mark.parametrize("name", FALSE_RESULTS)
def test_a_false_result_is_replaced_by_the_next_one(admin: Admin, store: Store, name: str) -> None:
    """Return null for the false result, and store the next one."""
    key = admin.create(key=f"sk-{SECRET}", service="openai")
    store.put(store.item(key["id"]) | {"verification": FALSE_RESULTS[name]})
    assert admin.get(key["id"]).data == key
    assert admin.listing().data == [key]

    assert admin.verify(key["id"]).data["verification"]["status"] == "valid"

    assert admin.get(key["id"]).data["verification"]["detail"] != "x"


@pytest.mark.parametrize("name", ["letters", "empty", "number", "map", "null", "380 KB"])
def test_a_false_key_updated_at_does_not_block_changes(admin: Admin, store: Store, name: str) -> None:
    """Return, list and disable the key, with `createdAt` in place of the false `keyUpdatedAt`."""
    key = admin.create(key=f"sk-{SECRET}", service="openai")
    store.put(store.item(key["id"]) | {"keyUpdatedAt": FALSE_STAMPS[name]})
    assert admin.get(key["id"]).data == key | {"keyUpdatedAt": key["createdAt"]}
    assert len(admin.listing().data) == 1

    updated = admin.update(key["id"], {"active": False})

    assert updated.data["keyUpdatedAt"] == key["createdAt"]
    assert store.item(key["id"])["keyUpdatedAt"] == {"S": key["createdAt"]}
    assert admin.verify(key["id"]).data["verification"]["status"] == "valid"
