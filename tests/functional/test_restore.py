"""Restoring keys from a restored table while consumers use the other one."""

import runpy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.client import BaseClient

from local.aws import CREDENTIALS
from local.stack import LocalStack
from service_keys import ServiceKeys
from tests.functional.conftest import (
    COLLECTION,
    SECRET,
    SPOTIFY_KEY,
    Admin,
    ApiResponse,
    ConsumerOf,
    Store,
    admin_fixture,
)
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import ROOT

SCRIPT = ROOT / "docs" / "examples" / "restore_keys.py"
RESTORED_AT = 1_900_000_000
LATER, NOW = "2030-03-17T17:46:40.001Z", "2030-03-17T17:46:40.000Z"
"""One millisecond after `RESTORED_AT`, and that time."""
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

    def restore(*options: str, at: int = RESTORED_AT) -> Calls:
        calls: Calls = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", sparing(calls))
            main([restored.table, store.table, *options], clock=lambda: at)
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
    """Return the items apart from the history, with versions left out."""
    items = (item for item in sorted_items(store) if item["service"]["S"] != "#history")
    return [item | {"version": None} if "version" in item else item for item in items]


def lose(store: Store, *items: dict[str, Any]) -> None:
    for item in items:
        store.dynamodb.delete_item(TableName=store.table, Key={name: item[name] for name in ("service", "id")})


def lose_key(store: Store, key_id: str) -> None:
    """Lose all items of a key, with its history."""
    lose(store, *(item for item in store.items() if key_id in f"{item['id']} {item.get('key')}"))


def put_deadline(store: Store, key_id: str, until: str) -> None:
    store.put(store.item(key_id) | {"recoverableUntil": {"S": until}})


def purge(admin: Admin, key_id: str) -> ApiResponse:
    return admin.call("DELETE", f"{COLLECTION}/{key_id}", query={"permanent": "true"})


def version_of(store: Store, key_id: str) -> int:
    return max([0, *(int(item["version"]["N"]) for item in store.items() if item["id"]["S"] == key_id)])


def test_a_restore_brings_every_item_back(
    admin: Admin, store: Store, restored: Store, restore: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Write and delete items until the table equals the backup, apart from versions and the history."""
    kept, renamed, lost = (admin.create(f"Key {number}", SPOTIFY_KEY, service="spotify") for number in range(3))
    once: dict[str, Any] = {"body": {"name": "Once", "key": SECRET}, "Idempotency_Key": "made-up-request-0"}
    created = admin.send("POST", COLLECTION, **once).data
    back_up(store, restored)
    admin.update(renamed["id"], {"name": "Another name"})
    lose_key(store, lost["id"])
    lose_key(store, created["id"])
    later = admin.send("POST", COLLECTION, {"name": "Later", "key": SECRET}, Idempotency_Key="made-up-request-1").data
    history = store.partition("#history")

    calls = restore("--write")

    assert but_for_versions(store) == but_for_versions(restored)
    assert store.partition("#history") == restored.partition("#history") | history
    assert {key["id"] for key in admin.listing().data} == {kept["id"], renamed["id"], lost["id"], created["id"]}
    assert admin.get(later["id"]).status == 404
    repeated = admin.send("POST", COLLECTION, **once)
    assert repeated.headers["Idempotency-Replayed"] == "true", "what was asked for once is not made twice"
    keys = ServiceKeys(store.table, dynamodb_client=store.dynamodb, kms_client=store.kms)
    assert keys.get("spotify", name="Key 1")["clientId"] == SPOTIFY_KEY["clientId"]
    # Written: two keys with their reservations and histories, an idempotency record, and the renamed key with its
    # reservation. Deleted: Later with its reservation and idempotency record, and the renamed key's other reservation.
    assert capsys.readouterr().out.endswith("\n9 written, 4 deleted, 0 skipped.\n")
    batches = [request["RequestItems"][store.table] for operation, request in calls if operation == "BatchWriteItem"]
    kinds = [kind for batch in batches for change in batch for kind in change]
    assert kinds == sorted(kinds, reverse=True), "nothing is deleted before everything is there"
    assert {request["ConsistentRead"] for operation, request in calls if operation == "Scan"} == {True}


def test_without_write_the_changes_are_only_listed(
    admin: Admin, store: Store, restored: Store, restore: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Write nothing, and print each change that --write would apply."""
    admin.create("Kept")
    key, unwanted = admin.create("Wanted"), admin.create("Unwanted")
    back_up(store, restored)
    lose_key(store, key["id"])
    admin.delete(unwanted["id"])
    later = admin.create("Later")
    before = sorted_items(store)

    calls = restore()

    assert sorted_items(store) == before
    assert {operation for operation, _ in calls} == {"Scan"}
    assert capsys.readouterr().out.splitlines() == [
        f"write #history {key['id']}#0000000001",
        "write #name wanted",
        f"write {key['service']} {key['id']}",
        "delete #name later",
        f"delete {later['service']} {later['id']}",
        f"skip {unwanted['service']} {unwanted['id']}: deleted by an administrator after the backup; --key restores it",
        "3 to write, 2 to delete, 1 skipped. Nothing was changed; --write does it.",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])
def test_half_a_table_is_completed(
    admin: Admin, store: Store, restored: Store, restore: Restore, consumer_of: ConsumerOf, half: int
) -> None:
    """Bring back keys, previous secrets and history, without purged keys, and reserve exactly the names of keys."""
    keys = [admin.create(f"Key {number}", f"first-{SECRET}", service="one") for number in range(8)]
    for key in keys[:6]:
        admin.update(key["id"], {"key": f"second-{SECRET}"})
    admin.rollback(keys[0]["id"], If_Match='"2"')
    admin.delete(keys[1]["id"])
    put_deadline(store, keys[1]["id"], LATER)
    back_up(store, restored)
    assert admin.update(keys[2]["id"], {"key": f"third-{SECRET}", "keepPrevious": False}).status == 200
    purged, deleted = keys[3]["id"], keys[4]["id"]
    assert purge(admin, purged).status == 200
    assert admin.delete(deleted).status == 200
    admin.create("Key 3", service="two")
    etags = {key["id"]: version_of(store, key["id"]) for key in keys}
    lose(
        store, *[item for item in sorted_items(store) if deleted not in str(item) and purged not in str(item)][half::2]
    )
    history = store.partition("#history")

    restore("--write")

    was, is_now = restored.partition("one"), store.partition("one")
    assert set(is_now) == set(was) - {purged}
    for key_id in set(is_now) - {deleted}:
        secrets = ("ciphertext", "previousCiphertext", "deletedCiphertext", "deletedAt", "entity", "previousKey")
        assert [is_now[key_id].get(name) for name in secrets] == [was[key_id].get(name) for name in secrets]
        assert version_of(store, key_id) >= etags[key_id]
    assert store.partition("#history") == restored.partition("#history") | history
    names = {name: item["key"]["S"] for name, item in store.partition("#name").items()}
    assert names == {key["name"].lower(): key["id"] for key in admin.listing(service="one").data}
    for key in admin.listing(service="one").data:
        assert admin.update(key["id"], {"description": "Changed"}).status == 200
    assert history.items() <= store.partition("#history").items(), "no entry is overwritten"
    assert consumer_of().get("one", name="Key 0").value == f"first-{SECRET}"
    assert admin.rollback(keys[2]["id"], If_Match=admin.get(keys[2]["id"]).headers["ETag"]).status == 200
    assert admin.restore(deleted).status == admin.restore(keys[1]["id"]).status == 200
    consumer = consumer_of()
    assert consumer.get("one", name="Key 2").value == f"first-{SECRET}"
    assert consumer.get("one", name="Key 1").value == f"second-{SECRET}"


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ("delete", "deleted"),
        ("purge", "absent"),
        ("delete purge", "absent"),
        ("delete lose", "absent"),
        ("delete restore", "active"),
        ("delete restore lose", "active"),
        ("delete restore delete", "deleted"),
        ("lose", "active"),
        ("update copy", "active"),
    ],
)
def test_a_restore_respects_later_deletions(
    admin: Admin,
    store: Store,
    restored: Store,
    restore: Restore,
    capsys: pytest.CaptureFixture[str],
    changes: str,
    after: str,
) -> None:
    """Restore no key that administrators deleted after the backup, unless the operator names it."""
    key = admin.create("Key", service="one")
    back_up(store, restored)
    for change in changes.split():
        match change:
            case "delete":
                admin.delete(key["id"])
            case "purge":
                purge(admin, key["id"])
            case "restore":
                admin.restore(key["id"])
            case "update":
                admin.update(key["id"], {"description": "Later"})
            case "copy":
                store.put(restored.item(key["id"]))
            case "lose":
                lose(store, *store.partition("one").values(), *store.partition("#name").values())
    history = store.partition("#history")

    def state() -> str:
        item = store.partition("one").get(key["id"])
        assert set(store.partition("#name")) == ({"key"} if item and "deletedAt" not in item else set())
        assert store.partition("#history") == history
        return "absent" if item is None else "deleted" if "deletedAt" in item else "active"

    restore("--write", at=1)
    assert state() == after
    restore("--write", "--key", key["id"], at=1)
    assert state() == "active"
    assert version_of(store, key["id"]) > len(history), "the next change overwrites no entry"
    capsys.readouterr()
    restore("--write", at=1)
    assert state() == "active"
    assert capsys.readouterr().out == "0 written, 0 deleted, 0 skipped.\n", "a key that was brought back stays"


@pytest.mark.parametrize(("until", "options"), [(NOW, ()), (NOW, ("--key",)), (LATER, ()), (LATER, ("--key",))])
def test_a_key_deleted_before_the_backup_stays_deleted(
    admin: Admin, store: Store, restored: Store, restore: Restore, until: str, options: tuple[str, ...]
) -> None:
    """Restore it as a deleted key, without a name, while its recovery period lasts; afterwards not at all."""
    key = admin.create("Key", service="one")
    admin.delete(key["id"])
    put_deadline(store, key["id"], until)
    back_up(store, restored)
    lose(store, store.item(key["id"]))
    arguments = ("--write", *options, *([key["id"]] if options else []))

    if until == NOW and options:
        with pytest.raises(SystemExit, match="the period for restoring it is over"):
            restore(*arguments)
    else:
        restore(*arguments)

    assert set(store.partition("one")) == ({key["id"]} if until == LATER else set())
    assert store.partition("#name") == {}
    assert admin.get(key["id"]).status == 404
    assert admin.restore(key["id"]).status == (200 if until == LATER else 404)


def test_a_key_that_stays_keeps_its_name(
    admin: Admin, store: Store, restored: Store, restore: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Leave a key as it is if the backup would give it the name of a key that stays."""
    first = admin.create("Wanted", service="one")
    admin.delete(first["id"])
    second = admin.create("Wanted", service="one")
    back_up(store, restored)
    put_deadline(restored, first["id"], NOW)
    admin.update(second["id"], {"name": "Renamed"})
    admin.restore(first["id"])
    before = sorted_items(store)

    restore("--write")

    assert sorted_items(store) == before
    assert f"skip one {second['id']}: another key has its name\n" in capsys.readouterr().out


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
    """Reject a change that expects any former version, of an existing key and of a lost one."""
    changed, lost, same = (admin.create(f"Key {number}", service="one") for number in range(3))
    admin.update(changed["id"], {"description": "Backed up"})
    back_up(store, restored)
    etags = {}
    for key in (changed, lost):
        etags[key["id"]] = [admin.get(key["id"]).headers["ETag"]]
        for number in range(3):
            etags[key["id"]].append(admin.update(key["id"], {"description": f"{number}"}).headers["ETag"])
    lose_key(store, lost["id"])

    for _ in range(2):
        restore("--write")
        assert admin.get(same["id"]).data == same, "an unchanged key keeps its version"
        for key_id, before in etags.items():
            for etag in before:
                assert admin.update(key_id, {"description": "Late"}, If_Match=etag).code == "VERSION_CONFLICT"
            now = admin.get(key_id)
            before.append(now.headers["ETag"])
            assert admin.update(key_id, {"description": "In time"}, If_Match=now.headers["ETag"]).status == 200
    assert admin.get(lost["id"]).data["version"] >= RESTORED_AT


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


@pytest.mark.parametrize("attribute", ["lastUsed", "version"])
def test_a_restored_key_replaces_a_stub_item(
    admin: Admin, store: Store, restored: Store, restore: Restore, attribute: str
) -> None:
    """Restore a deleted key although a compromised role wrote an attribute to its id after the deletion."""
    key = admin.create("Key", service="one")
    back_up(store, restored)
    admin.delete(key["id"])
    store.put({"service": {"S": "one"}, "id": {"S": key["id"]}, attribute: {"S": "zzz"}})

    restore("--write", "--key", key["id"])

    assert admin.get(key["id"]).data == key | {"version": RESTORED_AT}
