"""Changes that meet other changes, errors and lost responses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.console import Console, error_body, refuse_once
from tests.functional.conftest import SECRET
from tests.support.example_keys import KEYS

if TYPE_CHECKING:
    from tests.functional.conftest import HttpAdmin

KEY = "**/api-keys/*"
KEYS_PATH = "**/api-keys"
NAME = "Intranet"
CONFLICT = "Another administrator changed this key"


@pytest.fixture
def key(admin: HttpAdmin) -> dict[str, Any]:
    return admin.create(NAME, SECRET, service="intranet", description="As stored")


def edit(console: Console, key: dict[str, Any], name: str) -> None:
    """Open the key's page and rename it in the dialog."""
    console.sign_in(f"/keys/{key['id']}")
    console.button("Edit").click()
    console.dialog.get_by_label("Name").fill(name)


def test_a_change_can_be_made_on_top_of_another_one(console: Console, admin: HttpAdmin, key: dict[str, Any]) -> None:
    """Show who changed which field, then apply the change to the new version; both survive."""
    console.watch.allow("status of 412")
    edit(console, key, "Intranet of Ada")
    admin.update(key["id"], {"description": "By Grace"})
    console.dialog.get_by_role("button", name="Save").click()

    conflict = console.page.get_by_role("dialog", name=CONFLICT)
    expect(conflict).to_contain_text("grace changed it")
    expect(conflict).to_contain_text("Description: you saw As stored, it is By Grace now")
    expect(conflict).to_contain_text("Name: Intranet of Ada")
    conflict.get_by_role("button", name="Apply my change on top").click()

    expect(console.heading("Intranet of Ada")).to_be_visible()
    stored = admin.get(key["id"]).data
    assert (stored["name"], stored["description"], stored["version"]) == ("Intranet of Ada", "By Grace", 3)
    sent = [each.headers["if-match"] for each in console.watch.sent("PATCH", "/api-keys/")]
    assert sent == ['"1"', '"2"']


def test_a_change_can_be_discarded_after_another_one(console: Console, admin: HttpAdmin, key: dict[str, Any]) -> None:
    """Show the key as it is now."""
    console.watch.allow("status of 412")
    edit(console, key, "Intranet of Ada")
    admin.update(key["id"], {"name": "Intranet of Grace"})
    console.dialog.get_by_role("button", name="Save").click()
    console.page.get_by_role("dialog", name=CONFLICT).get_by_role("button", name="Discard mine").click()

    expect(console.page.get_by_text("Your change was discarded.")).to_be_visible()
    expect(console.heading("Intranet of Grace")).to_be_visible()
    assert admin.get(key["id"]).data["version"] == 2


def test_every_change_sends_the_version(console: Console, admin: HttpAdmin, key: dict[str, Any]) -> None:
    """Refuse each change of a key that another administrator changed: replace, disable, delete, roll back."""
    console.watch.allow("status of 412")
    admin.update(key["id"], {"key": SECRET + "-2"})
    console.sign_in(f"/keys/{key['id']}")
    for action in ("Disable", "Roll back", "Delete"):
        expect(console.page.get_by_text(f"Version {admin.get(key['id']).data['version']} ·")).to_be_visible()
        console.button(action).click()
        confirmation = console.dialog.get_by_label("Type the name of the key to confirm")
        expect(console.dialog).to_be_visible()
        if confirmation.count():
            confirmation.fill(NAME)
        admin.update(key["id"], {"description": f"Before {action}"})
        console.dialog.get_by_role("button", name=action, exact=True).click()
        conflict = console.page.get_by_role("dialog", name=CONFLICT)
        conflict.get_by_role("button", name="Discard mine").click()
        expect(console.dialog).to_have_count(0)
        expect(console.page.get_by_text("Your change was discarded.")).to_be_visible()
        console.go("/keys")
        console.go(f"/keys/{key['id']}")

    console.link("Replace").click()
    value = console.field("Secret value")
    value.fill(SECRET + "-3")
    admin.update(key["id"], {"description": "Before the replacement"})
    console.button("Replace").click()
    console.dialog.get_by_role("button", name="Replace").click()
    conflict = console.page.get_by_role("dialog", name=CONFLICT)
    conflict.get_by_role("button", name="Apply my change on top").click()
    expect(console.page.get_by_text(f"“{NAME}” has a new value")).to_be_visible()
    changed = [
        each for each in console.watch.requests if each.method in ("PUT", "PATCH", "DELETE") or "rollback" in each.url
    ]
    assert len(changed) == 5
    assert all(re.fullmatch(r'"\d+"', each.headers["if-match"]) for each in changed)


def fill_in(console: Console, *, name: str = NAME) -> None:
    """Fill in the form for a new key."""
    console.sign_in("/store", service="intranet")
    console.field("Name").fill(name)
    console.field("Secret value").fill(SECRET)


def test_a_retry_after_a_lost_response_stores_one_key(console: Console, admin: HttpAdmin) -> None:
    """Send the same Idempotency-Key again, with everything that was typed, the secret included."""
    console.watch.allow("failed: POST", "net::ERR_FAILED")
    lost: list[str] = []

    def lose_once(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.headers["idempotency-key"])
        route.fetch()
        route.abort()

    fill_in(console)
    console.page.route(KEYS_PATH, lose_once)
    console.button("Store").click()
    expect(console.page.get_by_text("The API cannot be reached.")).to_be_visible()
    console.button("Store").click()

    # The console sees a serving key by now: its own.
    confirm = console.dialog.get_by_role("button", name="Store the new key")
    done = console.page.get_by_text(f"“{NAME}” is stored")
    expect(confirm.or_(done)).to_be_visible()
    if confirm.is_visible():
        confirm.click()
    expect(done).to_be_visible()
    first, second = console.watch.sent("POST", "/api-keys$")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert len(admin.listing().data) == 1


def test_another_key_gets_another_idempotency_key(console: Console, admin: HttpAdmin) -> None:
    """Choose a new one after a change of the form."""
    console.watch.allow("status of 500")
    fill_in(console)
    refuse_once(console, KEYS_PATH, "POST", status=500, body="")
    console.button("Store").click()
    expect(console.page.get_by_text("Check first whether the change was made")).to_be_visible()
    console.field("Name").fill("Intranet 2")
    console.button("Store").click()
    expect(console.page.get_by_text("“Intranet 2” is stored")).to_be_visible()

    first, second = console.watch.sent("POST", "/api-keys$")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_a_double_click_sends_one_request(console: Console, admin: HttpAdmin) -> None:
    """Ignore the second click, in a form, in a dialog and on a button."""
    admin.create("OpenAI", KEYS["openai"], service="openai")
    fill_in(console)
    console.button("Store").dblclick()
    expect(console.page.get_by_text(f"“{NAME}” is stored")).to_be_visible()
    console.button("Disable").click()
    console.dialog.get_by_role("button", name="Disable").dblclick()
    expect(console.page.get_by_text("is disabled", exact=False).first).to_be_visible()
    console.go("/")
    console.button("Verify the key of OpenAI").dblclick()
    expect(console.page.get_by_text("OpenAI accepts “OpenAI”")).to_be_visible()

    sent = [
        f"{each.method} {each.url.rpartition('/')[2]}"
        for each in console.watch.requests
        if each.method not in ("GET", "OPTIONS")
    ]
    assert [each.partition(" ")[0] for each in sent if "token" not in each and "authorize" not in each] == [
        "POST",
        "PATCH",
        "POST",
    ]


def test_two_changes_at_once_open_one_dialog(console: Console, key: dict[str, Any]) -> None:
    """Drop the second question if the first one is on the page when it is ready."""
    console.sign_in(f"/keys/{key['id']}")
    held: list[Route] = []
    console.page.route("**/api-keys?*active=true*", lambda route: held.append(route))  # noqa: PLW0108 - not the built-in method
    console.button("Disable").click()
    console.button("Delete").click()
    while len(held) < 2:
        console.page.wait_for_timeout(10)
    for each in held:
        each.continue_()

    expect(console.dialog).to_be_visible()
    expect(console.page.locator("button[aria-disabled=true]")).to_have_count(1)
    expect(console.page.get_by_role("dialog")).to_have_count(1)


@pytest.mark.parametrize(
    ("status", "body", "label", "shown"),
    [
        (
            409,
            error_body("DUPLICATE_API_KEY_NAME", "An API key with this name already exists."),
            "Name",
            "already exists",
        ),
        (
            400,
            error_body("VALIDATION_ERROR", "Correct it.", details=[{"field": "key", "message": "Not this one"}]),
            "Secret value",
            "Not this one.",
        ),
        (
            400,
            error_body("VALIDATION_ERROR", "Correct it.", details=[{"field": "service", "message": "not this one"}]),
            "Service",
            "Not this one.",
        ),
    ],
    ids=["name", "key", "service"],
)
def test_an_error_stands_at_its_field(
    console: Console, status: int, body: dict[str, Any], label: str, shown: str
) -> None:
    """Show the API's message at the field, move the focus there, name the request, and keep all input."""
    console.watch.allow(f"status of {status}")
    fill_in(console)
    refuse_once(console, KEYS_PATH, "POST", status=status, json=body)
    console.button("Store").click()

    field = console.field(label)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile(shown))
    expect(console.page.get_by_role("alert").filter(has_text="made-up-request")).to_be_visible()
    expect(console.field("Secret value")).to_have_value(SECRET)
    expect(console.field("Name")).to_have_value(NAME)
    console.link("Cancel").click()


def test_a_limit_in_a_dialog_is_waited_for_there(console: Console, admin: HttpAdmin, key: dict[str, Any]) -> None:
    """Count down in the dialog, and make the change once."""
    console.watch.allow("status of 429")
    edit(console, key, "Renamed")
    answer = error_body("RATE_LIMIT_EXCEEDED", "Too many requests.")
    refuse_once(console, KEY, "PATCH", status=429, headers={"Retry-After": "60"}, json=answer)
    console.dialog.get_by_role("button", name="Save").click()
    expect(console.dialog).to_contain_text("Trying again in 60 s")
    console.dialog.get_by_role("button", name="Try again now").click()

    expect(console.heading("Renamed")).to_be_visible()
    assert admin.get(key["id"]).data["version"] == 2


def test_a_deleted_name_that_is_taken_restores_under_another(
    console: Console, admin: HttpAdmin, key: dict[str, Any]
) -> None:
    """Ask for another name after the 409."""
    console.watch.allow("status of 409")
    admin.delete(key["id"])
    admin.create(NAME, SECRET, service="intranet")
    console.sign_in("/deleted")
    console.button(f"Restore {NAME}").click()
    console.dialog.get_by_label("New name").fill("Intranet again")
    console.dialog.get_by_role("button", name="Restore").click()

    expect(console.heading("Intranet again")).to_be_visible()
    assert admin.get(key["id"]).data["name"] == "Intranet again"


def test_a_key_of_a_known_service_shows_the_change_for_consumers(console: Console, admin: HttpAdmin) -> None:
    """Ask before a newer key takes over, count down afterwards, and offer to disable it again."""
    admin.create("OpenAI one", KEYS["openai"], service="openai")
    console.sign_in("/store", service="openai")
    expect(console.page.get_by_text("Consumers of OpenAI get “OpenAI one” now")).to_be_visible()
    console.field("Name").fill("OpenAI two")
    console.field("API key").fill(KEYS["openai"] + "-2")
    console.button("Store").click()
    expect(console.dialog).to_contain_text("They get “OpenAI one”")
    console.dialog.get_by_role("button", name="Store the new key").click()

    notice = console.page.locator("#notices")
    expect(notice).to_contain_text("“OpenAI two” is stored")
    expect(notice).to_contain_text(re.compile(r"All consumers act on this by .* \(in (60|5\d) s\)"))
    expect(notice.locator("[data-warning=SERVING_CHANGED]")).to_be_visible()
    notice.get_by_role("button", name="Disable the new key").click()
    console.dialog.get_by_role("button", name="Disable").click()
    expect(console.page.get_by_text("“OpenAI two” is disabled")).to_be_visible()


def test_a_leaked_key_is_replaced_without_a_way_back(console: Console, admin: HttpAdmin, key: dict[str, Any]) -> None:
    """Keep no previous value, and list the further steps."""
    console.sign_in(f"/keys/{key['id']}/replace")
    console.field("Secret value").fill(SECRET + "-new")
    console.field("This key leaked").check()
    expect(console.page.get_by_text("Further steps after a leak")).to_be_visible()
    console.button("Replace").click()
    expect(console.dialog).to_contain_text("rollback is not possible")
    console.dialog.get_by_role("button", name="Replace").click()

    expect(console.page.locator("#notices")).to_contain_text("Revoke the leaked value")
    assert admin.get(key["id"]).data["previousKey"] is None
