"""The services overview: the key that consumers get, status, counts and bounds."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from local.stack import LocalStack
from service_keys.admin.services import SERVICES
from service_keys.errors import ServiceKeysError
from service_keys.store import serving
from tests.functional.conftest import (
    COLLECTION,
    SECRET,
    SPOTIFY_KEY,
    Admin,
    ApiResponse,
    ConsumerOf,
    HttpAdmin,
    Store,
    admin_fixture,
)
from tests.support.fault_proxy import FaultProxy

admin = admin_fixture(Admin)
OPENAI_KEY = f"sk-{SECRET}"


@pytest.fixture
def http(stack: LocalStack, store: Store) -> HttpAdmin:
    return HttpAdmin(stack)


def entry(admin: Admin, service: str) -> dict[str, Any]:
    """Return the entry of a service; fail if there is not exactly one."""
    response = admin.services()
    assert response.status == 200, response.text
    (found,) = (each for each in response.data if each["service"] == service)
    return dict(found)


# --- entries ----------------------------------------------------------------------------------------------------------

STATES: dict[str, Callable[[Admin], object]] = {
    "operational": lambda admin: admin.verify(admin.create(key=SPOTIFY_KEY, service="spotify")["id"]),
    "rejected": lambda admin: admin.verify(admin.create(key=SPOTIFY_KEY, service="spotify")["id"]),
    "unverified": lambda admin: admin.create(key=SPOTIFY_KEY, service="spotify"),
    "disabled": lambda admin: admin.create(key=SPOTIFY_KEY, service="spotify", active=False),
    "not_configured": lambda _: None,
}


@pytest.mark.parametrize("status", STATES)
def test_a_service_has_each_of_five_states(http: HttpAdmin, status: str, stack: LocalStack, fake_services: Any) -> None:
    """Report the state over HTTP, with the key that consumers get."""
    fake_services.chosen["spotify"] = "wrong" if status == "rejected" else "valid"

    STATES[status](http)

    found = entry(http, "spotify")
    keys = http.listing(service="spotify").data
    assert found["status"] == status
    assert found["serving"] == (keys[0] if status in {"operational", "rejected", "unverified"} else None)
    assert found["keys"] == {"active": 0 if status == "disabled" else len(keys), "total": len(keys)}


@pytest.mark.parametrize("chosen", ["too many requests", "html"])
def test_an_inconclusive_verification_is_unverified(admin: Admin, fake_services: Any, chosen: str) -> None:
    """Report neither operational nor rejected, if the service did not say."""
    fake_services.chosen["spotify"] = chosen
    admin.verify(admin.create(key=SPOTIFY_KEY, service="spotify")["id"])

    assert entry(admin, "spotify")["status"] == "unverified"


def test_known_services_come_first_with_their_format(admin: Admin) -> None:
    """List the known services in their order, then the others by name, without a format."""
    for name in ("Zebra", "Apple"):
        admin.create(name)

    response = admin.services()

    assert [each["service"] for each in response.data] == [*SERVICES, "apple", "zebra"]
    assert "incomplete" not in response.body
    for each in response.data[: len(SERVICES)]:
        known = SERVICES[each["service"]]
        assert (each["title"], each["known"], each["verifiable"]) == (known.title, True, known.verifiable)
        assert each["fields"] == [field.to_response() for field in known.fields] != []
    apple = response.data[-2]
    assert (apple["title"], apple["known"], apple["verifiable"], apple["fields"]) == ("apple", False, False, [])


def test_deleted_keys_do_not_count(admin: Admin) -> None:
    """A service whose only key was deleted is not configured, and an unknown one disappears."""
    for service in ("openai", "own"):
        key = admin.create(service, OPENAI_KEY, service=service)
        assert admin.delete(key["id"]).status == 200

    assert entry(admin, "openai")["keys"] == {"active": 0, "total": 0}
    assert entry(admin, "openai")["status"] == "not_configured"
    assert [each["service"] for each in admin.services().data] == [*SERVICES]


def test_an_unused_parameter_is_refused(admin: Admin) -> None:
    """Name the parameter that the route does not have."""
    assert admin.call("GET", "/api/v1/admin/services", query={"service": "openai"}).code == "VALIDATION_ERROR"


# --- the key that consumers get ---------------------------------------------------------------------------------------


def serving_id(admin: Admin, service: str = "openai") -> str | None:
    found = entry(admin, service)["serving"]
    return found and str(found["id"])


def consumer_id(consumer_of: ConsumerOf, service: str = "openai") -> str | None:
    """Return the id of the key that a new consumer gets."""
    try:
        return consumer_of().get(service).id
    except ServiceKeysError:
        return None


DAMAGE: dict[str, dict[str, Any]] = {
    "no name": {"name": None},
    "no version": {"version": None},
    "active as text": {"active": {"S": "true"}},
    "stub": dict.fromkeys(("name", "version", "active", "ciphertext")),
    "deleted": {"deletedAt": {"S": "x"}},
    "disabled": {"active": {"BOOL": False}},
    "wrong last use": {"lastUsed": {"S": "x" * 1000}},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_serving_agrees_with_a_consumer_on_a_damaged_item(
    admin: Admin, store: Store, consumer_of: ConsumerOf, damage: str
) -> None:
    """Choose as the reader does: a damaged newest item serves no key, others are skipped."""
    admin.create("Older", OPENAI_KEY, service="openai")
    newest = admin.create("Newest", OPENAI_KEY, service="openai")["id"]
    store.change(newest, **DAMAGE[damage])

    assert serving_id(admin) == consumer_id(consumer_of)


def test_a_copied_item_of_another_service_is_not_served(admin: Admin, store: Store, consumer_of: ConsumerOf) -> None:
    """A copy in another partition serves no key, as for consumers."""
    admin.create("Older", OPENAI_KEY, service="openai")
    copied = store.item(admin.create("Own", OPENAI_KEY, service="own")["id"])
    store.put(copied | {"service": {"S": "openai"}, "id": {"S": f"zz{copied['id']['S']}"}})

    assert serving_id(admin) is consumer_id(consumer_of) is None


def test_a_key_that_cannot_be_shown_leaves_its_service_out(admin: Admin, store: Store) -> None:
    """Report the list as incomplete, and the other services."""
    store.change(admin.create("One", OPENAI_KEY, service="openai")["id"], maskedKey=None)

    response = admin.services()

    assert response.body["incomplete"] is True
    assert [each["service"] for each in response.data] == [name for name in SERVICES if name != "openai"]


ACTIONS: tuple[tuple[str, int], ...] = (
    *(("create", 3), ("create disabled", 1), ("toggle", 4), ("rename", 1), ("replace", 1), ("roll back", 1)),
    *(("delete", 3), ("delete permanently", 1), ("restore", 3)),
)


class Sequence:
    """Random actions of administrators on two services."""

    def __init__(self, admin: Admin, seed: int) -> None:
        self.admin, self.random = admin, random.Random(seed)
        self.ids: dict[str, list[str]] = {"openai": [], "own": []}
        self.deleted: set[str] = set()
        self.count = 0

    def step(self) -> tuple[str, str, ApiResponse]:
        """Send a random request; return the action, the service and the response."""
        action = self.random.choices([name for name, _ in ACTIONS], [weight for _, weight in ACTIONS])[0]
        service = self.random.choice(["openai", "own"])
        self.count += 1
        if action.startswith("create") or not self.ids[service]:
            body = {"name": f"Key {self.count}", "service": service, "key": OPENAI_KEY}
            response = self.admin.send("POST", COLLECTION, body | {"active": action != "create disabled"})
            self.ids[service].append(response.data["id"])
            return "create", service, response
        key_id = self.random.choice(self.ids[service])
        return action, service, self.change(action, key_id)

    def change(self, action: str, key_id: str) -> ApiResponse:
        current = self.admin.get(key_id)
        changes: dict[str, dict[str, Any]] = {
            "toggle": {"active": current.status == 200 and not current.data["active"]},
            "rename": {"name": f"Name {self.count}"},
            "replace": {"key": f"{OPENAI_KEY}{self.count}"},
        }
        others: dict[str, Callable[[str], ApiResponse]] = {
            "roll back": lambda key_id: self.admin.rollback(key_id, If_Match=current.headers.get("ETag", '"1"')),
            "delete": self.admin.delete,
            "delete permanently": self.admin.delete_permanently,
            "restore": self.admin.restore,
        }
        return others[action](key_id) if action in others else self.admin.update(key_id, changes[action])


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(1, 101, 5))])
def test_after_each_action_a_consumer_gets_the_serving_key(
    admin: Admin, store: Store, consumer_of: ConsumerOf, first: int
) -> None:
    """Compare the overview, the warnings and a new consumer after each of seven random actions."""
    seen = set()
    for seed in range(first, first + 5) if first else (0,):
        store.empty()
        sequence = Sequence(admin, seed)
        served: dict[str, str | None] = {"openai": None, "own": None}
        for _ in range(7):
            action, service, response = sequence.step()
            now = consumer_id(consumer_of, service)
            shown = {each["service"]: each["serving"] for each in admin.services().data}.get(service)
            assert (shown and shown["id"]) == now, (seed, action)
            warned = {each["code"]: each for each in response.body.get("warnings", [])}
            expected = served[service] is not None and now != served[service]
            code = "SERVING_CHANGED" if now else "SERVICE_WITHOUT_ACTIVE_KEY"
            assert {each for each in warned if each.startswith("SERV")} == ({code} if expected else set())
            if expected:
                assert warned[code]["before"]["id"] == served[service]
                assert warned[code].get("now", {}).get("id") == now
            served[service] = now
            seen |= {(action, code) for code in warned}
    assert ("create", "UNKNOWN_SERVICE") in seen


# --- bounds -----------------------------------------------------------------------------------------------------------


def copies(store: Store, key_id: str, count: int, first: str = "zz", **attributes: dict[str, Any]) -> None:
    """Write ``count`` copies of a key's item with other ids: newer than it with ``zz`` first, older with ``00``."""
    item = store.item(key_id) | attributes
    prefix = key_id.partition(".")[0]
    store.put_all([item | {"id": {"S": f"{prefix}.{first}{number:010}"}} for number in range(count)])


def test_a_service_with_many_disabled_keys_is_read_in_pages(
    admin: Admin, store: Store, consumer_of: ConsumerOf, fault_proxy: FaultProxy
) -> None:
    """Find the active key behind 40 newer disabled ones, in one call more."""
    key_id = admin.create("Active", OPENAI_KEY, service="openai")["id"]
    copies(store, key_id, 40, active={"BOOL": False})
    fault_proxy.clear()

    found = entry(admin, "openai")

    assert found["serving"]["id"] == consumer_id(consumer_of) == key_id
    assert found["keys"] == {"active": 1, "total": 41}
    calls = [call for call in fault_proxy.calls if call.caller == "ListServices"]
    assert len(calls) == 1 + len(SERVICES) + 1


def test_a_service_is_read_until_its_serving_key(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    """Read one page of a service whose newest key is active, and count its 30 keys in the index."""
    key_id = admin.create("Newest", OPENAI_KEY, service="openai")["id"]
    copies(store, key_id, 29, "00")
    fault_proxy.clear()

    found = entry(admin, "openai")

    assert (found["serving"]["id"], found["keys"]) == (key_id, {"active": 30, "total": 30})
    assert len(fault_proxy.calls) == 1 + len(SERVICES)


def test_the_keys_of_a_small_service_are_counted_consistently(admin: Admin, store: Store) -> None:
    """Count the service's own items, because the index may trail."""
    store.change(admin.create("One", OPENAI_KEY, service="openai")["id"], entity=None)

    assert entry(admin, "openai")["keys"] == {"active": 1, "total": 1}


def test_a_warning_is_left_out_if_older_keys_decide_it(admin: Admin, store: Store) -> None:
    """Warn of nothing if the key that consumers get now is behind more than 1 MB of disabled keys."""
    key_id = admin.create("Newest", OPENAI_KEY, service="openai")["id"]
    copies(store, key_id, 1, "00")
    copies(store, key_id, 12, "01", description={"S": "x" * 100_000}, active={"BOOL": False})

    response = admin.update(key_id, {"active": False})

    assert (response.status, response.body.get("warnings")) == (200, None)


def test_the_calls_are_bounded_and_the_rest_is_reported(
    admin: Admin, store: Store, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave out the services for which the calls do not suffice."""
    monkeypatch.setattr(serving, "MAX_SERVICE_CALLS", len(SERVICES) + 1)
    for name in ("Apple", "Banana", "Cherry"):
        admin.create(name)
    fault_proxy.clear()

    response = admin.services()

    assert [each["service"] for each in response.data] == [*SERVICES, "apple"]
    assert response.body["incomplete"] is True
    assert len(fault_proxy.calls) == 1 + len(SERVICES) + 1


def test_an_index_of_many_pages_is_read_in_part(
    admin: Admin, store: Store, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Report the list as incomplete after the last page that is read; the serving key is right all the same."""
    monkeypatch.setattr(serving, "MAX_INDEX_CALLS", 2)
    key_id = admin.create("Large", OPENAI_KEY, service="openai", description="d" * 500)["id"]
    # moto and DynamoDB end a page at 1 MB.
    large = {"S": "x" * 100_000}
    copies(store, key_id, 40, description=large, active={"BOOL": False})
    fault_proxy.clear()

    response = admin.services()

    assert response.body["incomplete"] is True
    index = [call for call in fault_proxy.calls if "IndexName" in call.request]
    assert len(index) == 2
    (openai,) = (each for each in response.data if each["service"] == "openai")
    assert openai["serving"]["id"] == key_id


def test_the_serving_key_is_read_consistently_without_ciphertext(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Each Query names its attributes; those of services are strongly consistent, in warnings too."""
    key = admin.create(key=OPENAI_KEY, service="openai")
    fault_proxy.clear()
    assert admin.services().status == admin.update(key["id"], {"active": False}).status == 200

    queries = [call.request for call in fault_proxy.calls if call.operation == "DynamoDB.Query"]
    assert len(queries) == 1 + len(SERVICES) + 1
    for query in queries:
        assert query.get("ConsistentRead") == (None if "IndexName" in query else True)
        assert query["Select"] == "SPECIFIC_ATTRIBUTES"
        assert not [name for name in query["ExpressionAttributeNames"].values() if "ciphertext" in name.lower()]
