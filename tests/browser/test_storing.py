"""From the address of the console to a stored and verified key, with the number of actions and seconds."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.console import ADMINISTRATOR, Console, Hands, error_body, refuse_once
from tests.support.canary import CANARY
from tests.support.example_keys import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functional.conftest import HttpAdmin

    Choose = Callable[[Locator], None]
    Record = Callable[[str, object], None]

SPOTIFY = KEYS["spotify"]
STORED = "“Spotify Web API” is stored"
VERIFIED = "Spotify Web API accepts “Spotify Web API”"
SECRET_FIELDS = "input[type=password], input[data-secret], textarea[data-secret]"
OFF = {"autocomplete": "new-password", "autocapitalize": "off", "spellcheck": "false", "data-1p-ignore": "true"}
OFF |= {"data-lpignore": "true", "data-bwignore": "true", "data-form-type": "other"}


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_key_is_stored_and_verified_from_the_start(
    console: Console, admin: HttpAdmin, by: str, record_property: Record
) -> None:
    """Use the mouse only, besides pasting, or the keyboard only."""
    page, hands = console.page, Hands(console.page)
    began = time.monotonic()
    if by == "mouse":
        choose: Choose = hands.click
        enter: Choose = hands.click
    else:
        choose, enter = enter_by_keyboard(hands), hands.tab_to

    page.goto(console.url)
    choose(console.button("Sign in"))
    choose(console.button(re.compile(ADMINISTRATOR)))
    choose(console.link("Store a key for Spotify Web API"))
    enter(console.field("Client ID"))
    hands.paste(SPOTIFY["clientId"])
    enter(console.field("Client secret"))
    hands.paste(SPOTIFY["clientSecret"])
    choose(console.button("Store"))
    expect(page.get_by_text(STORED)).to_be_visible()
    choose(console.button("Verify now"))
    expect(page.get_by_text(VERIFIED)).to_be_visible()

    (key,) = admin.listing().data
    assert (key["service"], key["verification"]["status"]) == ("spotify", "valid")
    assert (hands.clicks <= 7, hands.keystrokes <= 60) == (True, True)
    counted = f"{hands.clicks} clicks" if by == "mouse" else f"{hands.keystrokes} keystrokes"
    record_property("figure", f"sign in, store and verify a key by {by}: {counted}, {time.monotonic() - began:.1f} s")


def enter_by_keyboard(hands: Hands) -> Callable[[Locator], None]:
    """Return a function that moves to a target and presses Enter."""

    def choose(target: Locator) -> None:
        hands.tab_to(target)
        hands.press("Enter")

    return choose


def test_secrets_leave_the_page_only_to_be_stored(console: Console, admin: HttpAdmin) -> None:
    """Send the key once, empty its fields, and show nothing of it: by back, forward, reload and new views."""
    console.sign_in("/store", service="spotify")
    console.field("Client ID").fill(SPOTIFY["clientId"])
    secret = console.field("Client secret")
    secret.fill(SPOTIFY["clientSecret"])
    for field in console.page.locator(SECRET_FIELDS).all():
        assert {name: field.get_attribute(name) for name in OFF} == OFF
    expect(secret).to_have_attribute("type", "password")
    console.button("Show Client secret").click()
    expect(secret).to_have_attribute("type", "text")
    console.button("Store").click()
    expect(console.page.get_by_text(STORED)).to_be_visible()

    assert console.watch.traces(console.page) == []
    console.page.go_back()
    expect(console.heading("Store a key")).to_be_visible()
    expect(console.field("Client secret")).to_have_value("")
    assert console.watch.traces(console.page) == []
    console.page.go_forward()
    expect(console.heading("Spotify Web API")).to_be_visible()
    assert console.watch.traces(console.page) == []
    assert len(console.watch.sent("POST", "/api-keys$")) == 1
    (key,) = admin.listing().data
    # The page offers to copy code, and nothing else.
    named = [each.get_attribute("aria-label") or each.inner_text() for each in console.page.get_by_role("button").all()]
    assert [name for name in named if re.search("copy|reveal|show", name, re.IGNORECASE)] == [
        "Copy the Python code",
        "Copy the SAM template code",
    ]
    console.page.goto("about:blank")
    console.page.go_back()
    assert console.watch.traces(console.page) == []
    assert CANARY not in str(key)


def test_a_draft_survives_a_sign_in_without_its_secret(console: Console) -> None:
    """Keep all that was typed when the token expires before the key is stored, except for the secret."""
    console.watch.allow("status of 401")
    console.sign_in("/store", service="intranet")
    console.field("Name").fill("Intranet of Ada")
    console.field("Description (optional)").fill("Typed before")
    console.field("Active").uncheck()
    console.field("Secret value").fill(f"made-up-{CANARY}-0123456789")
    refuse_once(console, "**/api-keys", "POST", status=401, json=error_body("AUTHENTICATION_REQUIRED", "Expired."))
    console.button("Store").click()
    expect(console.dialog.get_by_role("heading", name="Sign in again")).to_be_visible()
    console.dialog.get_by_role("button", name="Sign in again").click()
    stored = console.page.evaluate("JSON.stringify({...sessionStorage})")
    assert CANARY not in stored
    console.button(re.compile(ADMINISTRATOR)).click()

    expect(console.field("Name")).to_have_value("Intranet of Ada")
    expect(console.field("Service")).to_have_value("intranet")
    expect(console.field("Description (optional)")).to_have_value("Typed before")
    expect(console.field("Active")).not_to_be_checked()
    expect(console.field("Secret value")).to_have_value("")
    assert console.page.evaluate("sessionStorage.length") == 0
    assert len(console.watch.sent("POST", "/api-keys$")) == 1
