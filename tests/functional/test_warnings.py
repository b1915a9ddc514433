"""Warnings of changes: each one, its absence without a reason, and a change whose warnings cannot be read."""

from collections.abc import Callable
from typing import Any

import pytest

from service_keys.admin.services import SERVICES
from service_keys.admin.unknown_service import similar_service
from service_keys.core.timestamps import now_ms
from service_keys.errors import ServiceKeysError
from tests.conftest import Logged
from tests.functional.conftest import COLLECTION, SECRET, Admin, ApiResponse, ConsumerOf, Store, admin_fixture
from tests.functional.test_faults import prepare
from tests.support.fault_proxy import Fault, FaultProxy

admin = admin_fixture(Admin)
KEY = f"sk-{SECRET}"


def create(admin: Admin, name: str = "Newer", service: str = "openai", **fields: Any) -> ApiResponse:
    return admin.send("POST", COLLECTION, {"name": name, "service": service, "key": KEY} | fields)


def pair(key: dict[str, Any], **changed: str) -> dict[str, Any]:
    """Return a key as a warning names it."""
    return {"id": key["id"], "name": key["name"]} | changed


def warnings_of(response: ApiResponse) -> dict[str, dict[str, Any]]:
    """Return the warnings of a change by code, without their messages; a list without entries must be absent."""
    assert response.status in {200, 201}, response.text
    assert response.body.get("warnings") != []
    found = {warning.pop("code"): warning for warning in response.body.get("warnings", [])}
    assert all(len(warning.pop("message")) > 40 for warning in found.values())
    return found


# --- SERVING_CHANGED and SERVICE_WITHOUT_ACTIVE_KEY -----------------------------------------------------------------

Act = Callable[[Admin, dict[str, Any], dict[str, Any]], ApiResponse]
CHANGES: dict[str, tuple[Act, str, str]] = {
    "disable the newest": (lambda admin, _, newer: admin.update(newer["id"], {"active": False}), "newer", "older"),
    "delete the newest": (lambda admin, _, newer: admin.delete(newer["id"]), "newer", "older"),
    "delete it permanently": (lambda admin, _, newer: admin.delete_permanently(newer["id"]), "newer", "older"),
    "disable an older one": (lambda admin, older, _: admin.update(older["id"], {"active": False}), "newer", "newer"),
    "delete an older one": (lambda admin, older, _: admin.delete(older["id"]), "newer", "newer"),
    "rename the newest": (lambda admin, _, newer: admin.update(newer["id"], {"name": "NEWER"}), "newer", "newer"),
    "replace its key": (lambda admin, _, newer: admin.update(newer["id"], {"key": f"{KEY}2"}), "newer", "newer"),
    "activate an active one": (lambda admin, _, newer: admin.update(newer["id"], {"active": True}), "newer", "newer"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_served_key_is_named(admin: Admin, store: Store, consumer_of: ConsumerOf, change: str) -> None:
    """Name the key before and now if they differ, and serve the latter; else there is no warning."""
    act, before, now = CHANGES[change]
    keys = {name: admin.create(name, KEY, service="openai") for name in ("older", "newer")}
    assert consumer_of().get("openai").id == keys[before]["id"]

    found = warnings_of(act(admin, keys["older"], keys["newer"]))

    expected = {"before": pair(keys[before]), "now": pair(keys[now])}
    assert found == ({} if before == now else {"SERVING_CHANGED": expected})
    assert consumer_of().get("openai").id == keys[now]["id"]


@pytest.mark.parametrize("active", [True, False])
def test_a_newer_key_of_a_used_service(admin: Admin, store: Store, consumer_of: ConsumerOf, *, active: bool) -> None:
    """Storing an active key redirects consumers; a disabled one does not."""
    older = admin.create("older", KEY, service="openai")

    response = create(admin, active=active)

    expected = {"SERVING_CHANGED": {"before": pair(older), "now": pair(response.data)}}
    assert warnings_of(response) == (expected if active else {})
    assert consumer_of().get("openai").id == (response.data if active else older)["id"]


def test_the_first_key_of_a_service_is_no_change(admin: Admin, store: Store) -> None:
    """Nothing was served before, so there is no warning; nor for another service."""
    assert warnings_of(create(admin, "one", "openai")) == {}
    assert warnings_of(create(admin, "two", "anthropic", key=f"sk-ant-{SECRET}")) == {}


@pytest.mark.parametrize("other", [None, "disabled", "deleted"])
@pytest.mark.parametrize("change", ["disable", "delete", "delete permanently"])
def test_the_last_active_key_of_a_service(
    admin: Admin, store: Store, consumer_of: ConsumerOf, change: str, other: str | None
) -> None:
    """Warn that consumers get an error, whether or not there are keys that they cannot get."""
    if other:
        admin.create("other", KEY, service="openai", active=other != "disabled")
    key = admin.create("only", KEY, service="openai")
    if other == "deleted":
        (unused,) = (each for each in admin.listing().data if each["name"] == "other")
        admin.delete(unused["id"])
    acts: dict[str, Callable[[], ApiResponse]] = {
        "disable": lambda: admin.update(key["id"], {"active": False}),
        "delete": lambda: admin.delete(key["id"]),
        "delete permanently": lambda: admin.delete_permanently(key["id"]),
    }

    assert warnings_of(acts[change]()) == {"SERVICE_WITHOUT_ACTIVE_KEY": {"before": pair(key)}}
    with pytest.raises(ServiceKeysError):
        consumer_of().get("openai")


@pytest.mark.parametrize("change", ["delete", "delete permanently", "disable"])
def test_a_key_that_was_not_served_has_no_warning(admin: Admin, store: Store, change: str) -> None:
    """Changing a disabled key of a service without an active one affects no consumer."""
    key_id = admin.create("only", KEY, service="openai", active=False)["id"]
    acts: dict[str, Callable[[], ApiResponse]] = {
        "disable": lambda: admin.update(key_id, {"active": False}),
        "delete": lambda: admin.delete(key_id),
        "delete permanently": lambda: admin.delete_permanently(key_id),
    }

    assert warnings_of(acts[change]()) == {}


def test_a_deleted_key_is_deleted_permanently_without_warning(admin: Admin, store: Store) -> None:
    """The consumers have lost it before."""
    key_id = admin.create("only", KEY, service="openai")["id"]
    admin.delete(key_id)

    assert warnings_of(admin.delete_permanently(key_id)) == {}


@pytest.mark.parametrize("active", [True, False])
def test_restoring_the_newest_key_redirects_consumers(admin: Admin, store: Store, *, active: bool) -> None:
    """Warn if the restored key is active and newer than the served one."""
    older, newer = (admin.create(name, KEY, service="openai") for name in ("older", "newer"))
    admin.update(newer["id"], {"active": active})
    admin.delete(newer["id"])

    found = warnings_of(admin.restore(newer["id"]))

    assert found == ({"SERVING_CHANGED": {"before": pair(older), "now": pair(newer)}} if active else {})


def test_a_rollback_has_no_warning(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    """The served key stays the same one, so the function does not query."""
    key_id = prepare(admin, "roll back")
    fault_proxy.clear()

    assert warnings_of(admin.rollback(key_id, If_Match='"2"')) == {}
    assert "DynamoDB.Query" not in [call.operation for call in fault_proxy.calls]


def test_warnings_are_for_one_service(admin: Admin, store: Store) -> None:
    """Services whose names begin alike do not affect each other."""
    for service in ("openai-2", "open", "openai2"):
        admin.create(service, KEY, service=service)

    assert warnings_of(create(admin)) == {}


# --- UNKNOWN_SERVICE ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "similar"),
    [
        ({"name": "Spotify second", "service": None}, "spotify"),
        ({"service": "spotfy"}, "spotify"),
        ({"service": "open-ai"}, "openai"),
        ({"service": "anthropic-batch"}, "anthropic"),
        ({"service": "our-opnai"}, "openai"),
        ({"service": "stripe"}, None),
        ({"service": "open-weather"}, None),
        ({"service": "x"}, None),
    ],
)
def test_an_unknown_service_is_named(admin: Admin, store: Store, fields: dict[str, Any], similar: str | None) -> None:
    """Warn once at creation, with the known service that it resembles; every further key of it warns too."""
    body = {name: value for name, value in ({"name": "n1", "key": SECRET} | fields).items() if value}

    response = admin.send("POST", COLLECTION, body)

    assert warnings_of(response) == {"UNKNOWN_SERVICE": {"similar": similar}}
    assert warnings_of(admin.update(response.data["id"], {"description": "Changed"})) == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_known_service_resembles_itself_only(service: str) -> None:
    """A misspelling of each service leads to it, and no other known service."""
    assert similar_service(service[:-2] + service[-1]) == service
    assert similar_service(f"{service}-test-2") == service
    assert similar_service(f"my-{service}") == service


# --- NAME_CHANGED ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "changed"), [("Other", True), ("  newer ", False), ("NEWER", False), ("Néwer", True)])
def test_a_new_name_affects_reads_by_name(admin: Admin, store: Store, name: str, *, changed: bool) -> None:
    """Warn if the normalized name differs, with both names."""
    key = create(admin).data

    found = warnings_of(admin.update(key["id"], {"name": name}))

    assert found == ({"NAME_CHANGED": {"before": pair(key), "now": pair(key, name=name)}} if changed else {})


def test_restoring_under_another_name_changes_it(admin: Admin, store: Store) -> None:
    """Warn of the new name beside the other effect."""
    older = admin.create("older", KEY, service="openai")
    newer = admin.create("newer", KEY, service="openai")
    admin.delete(newer["id"])

    found = warnings_of(admin.restore(newer["id"], {"name": "Third"}))

    now = pair(newer, name="Third")
    assert found == {
        "NAME_CHANGED": {"before": pair(newer), "now": now},
        "SERVING_CHANGED": {"before": pair(older), "now": now},
    }


# --- no warnings ----------------------------------------------------------------------------------------------------


def test_a_replayed_create_has_no_warnings(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    """Return the same data without warnings and without their Query."""
    admin.create("older", KEY, service="openai")
    body = {"name": "Newer", "service": "openai", "key": KEY}
    first = admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16)
    assert first.body["warnings"]
    fault_proxy.clear()

    again = admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16)

    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    assert "warnings" not in again.body
    assert "DynamoDB.Query" not in [call.operation for call in fault_proxy.calls]


def test_a_failed_query_leaves_a_change_without_that_warning(
    admin: Admin, store: Store, fault_proxy: FaultProxy, logged: Logged
) -> None:
    """Return success, keep the warnings that need no Query, and log the failure."""
    admin.create("older", KEY, service="own")

    with fault_proxy.failing(Fault("DynamoDB.Query", status=500)):
        response = create(admin, service="own")

    assert warnings_of(response).keys() == {"UNKNOWN_SERVICE"}
    (line,) = (line for line in logged() if "effect of a change" in line["message"])
    assert (line["level"], line["errorType"]) == ("WARNING", "KeyStoreUnavailableError")
    assert line["requestId"] == response.body["requestId"]


def test_a_late_change_skips_the_query(
    admin: Admin, store: Store, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Respond before the function's timeout, if the change itself took long."""
    admin.create("older", KEY, service="openai")
    later = now_ms() + 60_000
    monkeypatch.setattr("service_keys.admin.warnings.now_ms", lambda: later)
    fault_proxy.clear()

    assert warnings_of(create(admin)) == {}
    assert "DynamoDB.Query" not in [call.operation for call in fault_proxy.calls]
