"""Keys come back from a restored table, while readers go on."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import CREDENTIALS
from service_keys import ServiceKeys
from tests.functional.conftest import SPOTIFY_KEY, Admin, Store
from tests.processes import ROOT
from tests.wire import Wire

SCRIPT = ROOT / "docs" / "examples" / "restore_keys.py"
RESTORED = "restored"


@pytest.fixture
def admin(stack: Any, store: Store) -> Admin:
    return Admin(stack)


@pytest.fixture
def restored(store: Store, stack: Any) -> Iterator[Store]:
    """A second table, to which `copy` brings what the first one holds."""
    table = stack.template.table()
    name = f"{store.table}-{RESTORED}"
    store.dynamodb.create_table(**{**table.create, "TableName": name})
    yield Store(store.dynamodb, store.kms, name, store.kms_key)
    store.dynamodb.delete_table(TableName=name)


@pytest.fixture
def restore(monkeypatch: pytest.MonkeyPatch, wire: Wire, store: Store, restored: Store) -> Any:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.upstreams["DynamoDB"])
    spec = importlib.util.spec_from_file_location("restore_keys", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *options: module.main([restored.table, store.table, *options])


def back_up(store: Store, restored: Store) -> None:
    for item in store.items():
        restored.put(item)


def sorted_items(store: Store) -> list[Any]:
    return sorted(store.items(), key=lambda item: (item["service"]["S"], item["id"]["S"]))


def test_everything_is_as_it_was(admin: Admin, store: Store, restored: Store, restore: Any) -> None:
    kept, renamed, deleted = (admin.create(f"Key {number}", SPOTIFY_KEY, service="spotify") for number in range(3))
    back_up(store, restored)
    admin.update(renamed["id"], {"name": "Another name"})
    admin.delete(deleted["id"])
    later = admin.create("Later", service="other")

    restore("--write")

    assert sorted_items(store) == sorted_items(restored)
    assert {key["id"] for key in admin.listing().data} == {kept["id"], renamed["id"], deleted["id"]}
    assert admin.get(later["id"]).status == 404
    keys = ServiceKeys(store.table, dynamodb_client=store.dynamodb, kms_client=store.kms)
    assert keys.get("spotify", name="Key 1")["clientId"] == SPOTIFY_KEY["clientId"]


def test_without_being_told_to_it_writes_nothing(
    admin: Admin, store: Store, restored: Store, restore: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    key = admin.create()
    back_up(store, restored)
    admin.delete(key["id"])
    before = store.items()

    restore()

    assert store.items() == before
    assert f"write spotify-production {key['id']}" in capsys.readouterr().out


def test_one_key_comes_back_with_its_name_and_nothing_else_moves(
    admin: Admin, store: Store, restored: Store, restore: Any
) -> None:
    wanted, other = admin.create("Wanted", service="one"), admin.create("Other", service="one")
    back_up(store, restored)
    admin.update(wanted["id"], {"name": "Renamed", "key": "another-made-up-secret-9876"})
    admin.update(other["id"], {"active": False})

    restore("--write", "--key", wanted["id"])

    assert admin.get(wanted["id"]).data == wanted
    assert admin.get(other["id"]).data["active"] is False
    claims = {item["id"]["S"] for item in store.items() if item["service"]["S"] == "#name"}
    assert claims == {"wanted", "other"}


def test_a_name_that_is_another_keys_by_now_is_not_taken_away(
    admin: Admin, store: Store, restored: Store, restore: Any
) -> None:
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
