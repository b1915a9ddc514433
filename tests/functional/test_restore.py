"""Restoring keys from a restored table while consumers use the other one."""

import runpy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.client import BaseClient

from local.aws import CREDENTIALS
from local.stack import LocalStack
from service_keys import ServiceKeys
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, Store, admin_fixture
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import ROOT

SCRIPT = ROOT / "docs" / "examples" / "restore_keys.py"
RESTORED_AT = 1_900_000_000
Calls = list[tuple[str, dict[str, Any]]]
Restore = Callable[..., Calls]


admin = admin_fixture(Admin)


@pytest.fixture
def restored(store: Store, stack: LocalStack) -> Iterator[Store]:
    """A second table, to which `back_up` copies the items of the first one."""
    name = f"{store.table}-restored"
    store.dynamodb.create_table(**{**stack.template.table().create, "TableName": name})
    yield Store(store.dynamodb, store.kms, name, store.kms_key)
    store.dynamodb.delete_table(TableName=name)


@pytest.fixture
def restore(monkeypatch: pytest.MonkeyPatch, fault_proxy: FaultProxy, store: Store, restored: Store) -> Restore:
    """Run the script with options; return its calls to DynamoDB, in order."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", fault_proxy.upstreams["DynamoDB"])
    main = runpy.run_path(str(SCRIPT))["main"]

    def restore(*options: str) -> Calls:
        calls: Calls = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", sparing(calls))
            main([restored.table, store.table, *options], clock=lambda: RESTORED_AT)
        return calls

    return restore


def sparing(calls: Calls) -> Callable[..., Any]:
    """Return a client method that reads pages of two items and leaves one change of each batch unprocessed."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def sparing(self: BaseClient, operation: str, request: dict[str, Any]) -> Any:
        calls.append((operation, request))
        if operation == "Scan":
            return call(self, operation, request | {"Limit": 2})
        ((table, changes),) = request["RequestItems"].items()
        kept = max(1, len(changes) - 1)
        response = call(self, operation, {"RequestItems": {table: changes[:kept]}})
        return response | {"UnprocessedItems": {table: changes[kept:]} if changes[kept:] else {}}

    return sparing


def back_up(store: Store, restored: Store) -> None:
    for item in store.items():
        restored.put(item)


def sorted_items(store: Store) -> list[Any]:
    return sorted(store.items(), key=lambda item: (item["service"]["S"], item["id"]["S"]))


def but_for_versions(store: Store) -> list[Any]:
    return [item | {"version": None} if "version" in item else item for item in sorted_items(store)]


def test_a_restore_brings_every_item_back(
    admin: Admin, store: Store, restored: Store, restore: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Write and delete items until the table equals the backup, apart from versions."""
    kept, renamed, deleted = (admin.create(f"Key {number}", SPOTIFY_KEY, service="spotify") for number in range(3))
    once: dict[str, Any] = {"body": {"name": "Once", "key": SECRET}, "Idempotency_Key": "made-up-request-0"}
    created = admin.send("POST", COLLECTION, **once).data
    back_up(store, restored)
    admin.update(renamed["id"], {"name": "Another name"})
    admin.delete(deleted["id"])
    admin.delete(created["id"])
    later = admin.send("POST", COLLECTION, {"name": "Later", "key": SECRET}, Idempotency_Key="made-up-request-1").data
    for record in store.partition("#idempotency").values():
        if record["key"]["S"] == created["id"]:  # time to live deletes it
            store.dynamodb.delete_item(TableName=store.table, Key={name: record[name] for name in ("service", "id")})

    calls = restore("--write")

    assert but_for_versions(store) == but_for_versions(restored)
    assert {key["id"] for key in admin.listing().data} == {kept["id"], renamed["id"], deleted["id"], created["id"]}
    assert admin.get(later["id"]).status == 404
    assert admin.send("POST", COLLECTION, **once).data == created, "what was asked for once is not made twice"
    keys = ServiceKeys(store.table, dynamodb_client=store.dynamodb, kms_client=store.kms)
    assert keys.get("spotify", name="Key 1")["clientId"] == SPOTIFY_KEY["clientId"]
    # Written: two keys with their reservations, an idempotency record, and the renamed key with its reservation.
    # Deleted: Later with its reservation and idempotency record, and the other reservation of the renamed key.
    assert capsys.readouterr().out.endswith("\n7 written, 4 deleted.\n")
    batches = [request["RequestItems"][store.table] for operation, request in calls if operation == "BatchWriteItem"]
    kinds = [kind for batch in batches for change in batch for kind in change]
    assert kinds == sorted(kinds, reverse=True), "nothing is deleted before everything is there"
    assert {request["ConsistentRead"] for operation, request in calls if operation == "Scan"} == {True}


def test_without_write_the_changes_are_only_listed(
    admin: Admin, store: Store, restored: Store, restore: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Write nothing, and print each change that --write would apply."""
    admin.create("Kept")
    key = admin.create("Wanted")
    back_up(store, restored)
    admin.delete(key["id"])
    later = admin.create("Later")
    before = sorted_items(store)

    calls = restore()

    assert sorted_items(store) == before
    assert {operation for operation, _ in calls} == {"Scan"}
    assert capsys.readouterr().out.splitlines() == [
        "write #name wanted",
        f"write {key['service']} {key['id']}",
        "delete #name later",
        f"delete {later['service']} {later['id']}",
        "2 to write, 2 to delete. Nothing was changed; --write does it.",
    ]


def test_one_key_is_restored_with_its_name(admin: Admin, store: Store, restored: Store, restore: Restore) -> None:
    """Restore the key and its name reservation; leave every other key as it is."""
    wanted, other = admin.create("Wanted", service="one"), admin.create("Other", service="one")
    back_up(store, restored)
    admin.update(wanted["id"], {"name": "Renamed", "key": "another-made-up-secret-9876"})
    admin.update(other["id"], {"active": False})
    later = admin.create("Later", service="one")

    restore("--write", "--key", wanted["id"])

    assert admin.get(wanted["id"]).data == wanted | {"version": 3}
    assert admin.get(other["id"]).data["active"] is False
    assert admin.get(later["id"]).data == later
    assert set(store.partition("#name")) == {"wanted", "other", "later"}


def test_a_key_is_restored_under_its_unchanged_name(
    admin: Admin, store: Store, restored: Store, restore: Restore
) -> None:
    """Restore a key that still has its name reservation."""
    key = admin.create()
    back_up(store, restored)
    admin.update(key["id"], {"active": False})

    restore("--write", "--key", key["id"])

    assert admin.get(key["id"]).data == key | {"version": 3}
    assert but_for_versions(store) == but_for_versions(restored)


def test_a_name_reserved_for_another_key_stays_reserved(
    admin: Admin, store: Store, restored: Store, restore: Restore
) -> None:
    """Exit with an error if another key has the name, or if the backup lacks the key."""
    first = admin.create("Wanted", service="one")
    back_up(store, restored)
    admin.delete(first["id"])
    admin.create("Wanted", service="one")
    before = sorted_items(store)

    with pytest.raises(SystemExit, match="Another key has the name 'wanted' by now"):
        restore("--write", "--key", first["id"])
    with pytest.raises(SystemExit, match="has no key"):
        restore("--write", "--key", "one.000000000000")

    assert sorted_items(store) == before


def test_no_former_etag_matches_a_restored_key(admin: Admin, store: Store, restored: Store, restore: Restore) -> None:
    """Reject a change that expects any former version, of an existing key and of a deleted one."""
    changed, deleted, same = (admin.create(f"Key {number}", service="one") for number in range(3))
    admin.update(changed["id"], {"description": "Backed up"})
    back_up(store, restored)
    etags = {}
    for key in (changed, deleted):
        etags[key["id"]] = [admin.get(key["id"]).headers["ETag"]]
        for number in range(3):
            etags[key["id"]].append(admin.update(key["id"], {"description": f"{number}"}).headers["ETag"])
    admin.delete(deleted["id"])

    for _ in range(2):
        restore("--write")
        assert admin.get(same["id"]).data == same, "an unchanged key keeps its version"
        for key_id, before in etags.items():
            for etag in before:
                assert admin.update(key_id, {"description": "Late"}, If_Match=etag).code == "VERSION_CONFLICT"
            now = admin.get(key_id)
            before.append(now.headers["ETag"])
            assert admin.update(key_id, {"description": "In time"}, If_Match=now.headers["ETag"]).status == 200
    assert admin.get(deleted["id"]).data["version"] >= RESTORED_AT


def test_a_restored_key_keeps_its_usage_stamp(admin: Admin, store: Store, restored: Store, restore: Restore) -> None:
    """Keep the later usage stamp, and write no item only because of a stamp."""
    changed, same = (admin.create(f"Key {number}", service="one") for number in range(2))
    for key in (changed, same):
        store.put(store.item(key["id"]) | {"lastUsed": {"S": "2026-01-01T00:00:00.000Z"}})
    back_up(store, restored)
    admin.update(changed["id"], {"active": False})
    for key in (changed, same):
        store.put(store.item(key["id"]) | {"lastUsed": {"S": "2026-01-02T00:00:00.000Z"}})

    restore("--write")

    for key, version in ((changed, 3), (same, 1)):
        expected = key | {"lastUsed": "2026-01-02T00:00:00.000Z", "version": version}
        assert admin.get(key["id"]).data == expected


def test_a_restored_key_replaces_a_stub_item(admin: Admin, store: Store, restored: Store, restore: Restore) -> None:
    """Restore a deleted key although a consumer wrote a stamp to its id after the deletion."""
    key = admin.create("Key", service="one")
    back_up(store, restored)
    admin.delete(key["id"])
    store.put({"service": {"S": "one"}, "id": {"S": key["id"]}, "lastUsed": {"S": "zzz"}})

    restore("--write", "--key", key["id"])

    assert admin.get(key["id"]).data == key | {"version": RESTORED_AT}
