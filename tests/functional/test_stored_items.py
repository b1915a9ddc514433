"""Upgrades: this version reads, shows and changes the items that each released version stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.conftest import COLLECTION, Admin, Store, admin_fixture
from tests.support import stored_items
from tests.support.fixed_kms import FixedKms
from tests.support.fixtures import load
from tests.support.stored_items import IDEMPOTENCY_KEY, RETRIED, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.stack import LocalStack
    from tests.functional.conftest import ConsumerOf
    from tests.support.fault_proxy import FaultProxy

Fixture = dict[str, Any]
admin = admin_fixture(Admin)


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch, fault_proxy: FaultProxy) -> Iterator[None]:
    """A KMS that decrypts ciphertexts of the fixtures, in place of moto's."""
    with FixedKms() as kms:
        monkeypatch.setitem(fault_proxy.upstreams, "KMS", kms.url)
        yield


@pytest.fixture
def clock(stack: LocalStack) -> Iterator[Clock]:
    clock = Clock()
    with stored_items.running_at(stack, clock):
        yield clock


@pytest.fixture(params=stored_items.FIXTURES.paths(), ids=lambda path: path.stem)
def stored(request: pytest.FixtureRequest, store: Store, clock: Clock, kms: None) -> Fixture:
    """The table of a released version, at the time of its last change."""
    path: Path = request.param
    fixture = load(path)
    stored_items.put(fixture, store)
    clock.now_ms = fixture["at"]
    return fixture


def includes(actual: Any, recorded: Any) -> bool:
    """Return True if a response has every value of a recorded one; a later version may add fields."""
    if isinstance(recorded, dict):
        return isinstance(actual, dict) and all(
            name in actual and includes(actual[name], value) for name, value in recorded.items()
        )
    if isinstance(recorded, list):
        return len(actual) == len(recorded) and all(map(includes, actual, recorded))
    return bool(actual == recorded)


def test_consumers_read_the_keys(stored: Fixture, consumer_of: ConsumerOf, clock: Clock) -> None:
    """Each stored value is decrypted, by both clients; disabled and deleted keys are refused as before."""
    read = consumer_of(clock=clock.seconds)

    for key_id, secret in stored["secrets"].items():
        key = stored["keys"].get(key_id)
        if key and key["active"]:
            found = read.get(key["service"], name=key["name"])
            assert (found.id, found.name) == (key_id, key["name"])
            assert (dict(found) if isinstance(secret, dict) else found.value) == secret
    for service in stored["services"]:
        if service["serving"]:
            assert read.get(service["service"]).id == service["serving"]["id"]


def test_responses_are_as_in_that_version(stored: Fixture, admin: Admin) -> None:
    """Get, list, history and services return the values that the version itself returned; fields may be added."""
    recorded = {name: stored[name] for name in ("keys", "list", "deletedList", "histories", "cursors")}
    shown = stored_items.responses(admin, [*stored["secrets"], stored["permanentlyDeleted"]], stored["deleted"])

    for name, value in recorded.items():
        assert includes(shown[name], value), name
    services = {each["service"]: each for each in shown["services"]}
    for service in stored["services"]:
        # A later version may know the service and describe the fields of its keys.
        kept = {name: value for name, value in service.items() if name in {"service", "keys", "serving", "status"}}
        assert includes(services[service["service"]], kept)


def test_cursors_stay_valid(stored: Fixture, admin: Admin) -> None:
    """A page that begins before an upgrade continues after it."""
    cursors, listed = stored["cursors"], stored["list"]

    rest = admin.listing(limit="100", cursor=cursors["list"]).data
    assert [key["id"] for key in rest] == [key["id"] for key in listed[2:]]
    of_service = admin.listing(limit="100", service="spotify", cursor=cursors["service"]).data
    assert [key["id"] for key in of_service] == [key["id"] for key in listed if key["service"] == "spotify"][1:]
    entries = admin.history(stored["deleted"], limit="100", cursor=cursors["history"]).data
    assert includes(entries, stored["histories"][stored["deleted"]][1:])


def test_a_retried_create_is_replayed(stored: Fixture, admin: Admin, store: Store) -> None:
    """The record of the request outlives the upgrade: a retry returns the key and creates nothing."""
    before = store.items()

    replayed = admin.send("POST", COLLECTION, RETRIED, Idempotency_Key=IDEMPOTENCY_KEY)

    assert (replayed.status, replayed.headers["Idempotency-Replayed"]) == (201, "true")
    (key_id,) = (key["id"] for key in stored["list"] if key["name"] == RETRIED["name"])
    assert replayed.data["id"] == key_id
    assert len(store.items()) == len(before)


def test_stored_keys_can_be_changed(stored: Fixture, admin: Admin, consumer_of: ConsumerOf, clock: Clock) -> None:
    """Every change works with the ETag of before the upgrade, and its history continues."""
    clock.tick()
    by_name = {key["name"]: key for key in stored["list"]}
    rolled_back, disabled = by_name["OpenAI batch"], by_name["Genius"]

    back = admin.rollback(rolled_back["id"], If_Match=f'"{rolled_back["version"]}"')
    assert back.data["maskedKey"] == rolled_back["previousKey"]["maskedKey"]
    restored = admin.restore(stored["deleted"])
    assert (restored.status, restored.data["name"]) == (200, "Deleted")
    read = consumer_of(clock=clock.seconds)
    assert read.get("openai").value == stored["secrets"][stored["deleted"]]
    assert read.get("openai", name="OpenAI batch").value != stored["secrets"][rolled_back["id"]]
    etag = {"If_Match": f'"{disabled["version"]}"'}
    enabled = admin.update(disabled["id"], {"active": True, "name": "Genius again"}, **etag)
    assert (enabled.status, enabled.data["version"]) == (200, disabled["version"] + 1)
    assert read.get("genius").value == stored["secrets"][disabled["id"]]
    assert [entry["version"] for entry in admin.history(disabled["id"]).data] == list(
        range(disabled["version"] + 1, 0, -1)
    )
    replaced = admin.update(by_name["Größe, Apple Music"]["id"], {"key": "a-made-up-replacement"})
    assert replaced.data["previousKey"] is not None
    for key in stored["list"]:
        assert admin.delete(key["id"]).status == 200
    assert len(admin.listing(deleted="true").data) == len(stored["list"])


def test_stored_names_stay_taken(stored: Fixture, admin: Admin) -> None:
    """A reservation of that version is found under each spelling of the name; that of a deleted key is free."""
    spellings = (
        *("Spotify test", "spotify  TEST", "Größe, Apple Music", "GRÖSSE, apple music"),
        *("Gro\u0308ße, Apple Music", "\uff27röße, Apple Music"),
    )
    for name in spellings:
        refused = admin.send("POST", COLLECTION, {"name": name, "key": "a-made-up-key", "service": "unknown"})
        assert refused.code == "DUPLICATE_API_KEY_NAME"
    assert admin.create("deleted", key="a-made-up-key")


def test_stored_keys_can_be_verified(stored: Fixture, admin: Admin) -> None:
    """The probe of a known service gets the stored value."""
    for key in stored["list"]:
        if key["service"] in {"spotify", "openai", "genius"}:
            assert admin.verify(key["id"]).data["verification"]["status"] == "valid"


def test_fixtures_of_items_are_unchanged() -> None:
    """A fixture was made by the code of its version; a change of it would hide a lost compatibility."""
    assert stored_items.FIXTURES.changed() == []
    assert stored_items.FIXTURES.paths()[0].name == "1.0.0.json"


def test_the_newest_fixture_has_every_attribute(
    admin: Admin, store: Store, clock: Clock, kms: None, consumer_of: ConsumerOf
) -> None:
    """A new attribute needs a fixture of the next version, with which later versions are tested."""
    played = stored_items.play(admin, store, clock, lambda: consumer_of(clock=clock.seconds))

    covered = stored_items.shapes(load(stored_items.FIXTURES.paths()[-1])["items"])
    missing = stored_items.shapes(played["items"]) - covered
    assert not missing, f"Run .venv/bin/python -m tools.store_fixture with the number of the next version: {missing}"
