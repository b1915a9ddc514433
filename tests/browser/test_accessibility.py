"""Every view and dialog: no violation of axe's rules, no scrolling sideways, and a way through by keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.browser.accessibility import elements_wider_than_the_page, violations
from tests.browser.console import OTHER_USER, Console, error_body, refuse_once
from tests.support.example_keys import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.conftest import NewConsole, Samples

LISTING = re.compile(r"/api-keys\?")
SIZES = ((390, 844), (320, 640), (1280, 900), (640, 450))
PHONE, SMALLEST, LAPTOP, ZOOMED = (ViewportSize(width=width, height=height) for width, height in SIZES)


def open_dialog(console: Console, view: str, button: str) -> None:
    console.go(view)
    console.wait_until_loaded()
    console.button(button).first.click()
    expect(console.dialog).to_be_visible()


def scenes(console: Console, samples: Samples) -> Iterator[str]:
    """Go through all views and dialogs of a signed-in administrator; yield the title of each."""
    key, deleted = f"/keys/{samples['OpenAI production']}", "/deleted"
    disabled = f"/keys/{samples['Gemini']}"
    views = {
        "overview": "/",
        "keys": "/keys",
        "keys, none found": "/keys?q=nothing-matches",
        "key": key,
        "key, rejected": f"/keys/{samples['Anthropic']}",
        "key, disabled": disabled,
        "key, unknown": "/keys/intranet.0123456789ab",
        "replace, fields": f"/keys/{samples['Spotify production']}/replace",
        "replace, one value": f"{key}/replace",
        "store": "/store",
        "store, known service in use": "/store?service=spotify",
        "store, unknown service": "/store?service=intranet",
        "deleted": deleted,
        "no such page": "/nothing",
    }
    for title, view in views.items():
        console.go(view)
        console.wait_until_loaded()
        yield title
    console.go("/store?service=intranet")
    for shape in ("Several lines", "Named fields"):
        console.field(shape).check()
        yield f"store, {shape}"
    console.button("Store").click()
    yield "store, errors at fields"
    dialogs = {
        "edit": (key, "Edit"),
        "disable": (key, "Disable"),
        "delete": (key, "Delete"),
        "roll back": (key, "Roll back"),
        "delete permanently": (deleted, "Delete permanently Genius test"),
    }
    for title, (view, button) in dialogs.items():
        open_dialog(console, view, button)
        yield f"dialog: {title}"
        if title == "delete":
            console.dialog.get_by_role("button", name="Delete").click()
            yield "dialog: delete, with an error"
        console.dialog.get_by_role("button", name="Cancel").click()
    console.go(disabled)
    console.button("Enable").click()
    expect(console.page.locator("#notices")).to_contain_text("is enabled")
    console.wait_until_loaded()  # a part that loads again is paler
    yield "notice: enabled"
    console.go(f"{key}/replace")
    console.field("API key").fill(KEYS["openai"])
    console.button("Replace").click()
    yield "dialog: replace"
    console.dialog.get_by_role("button", name="Replace").click()
    expect(console.page.locator("#notices")).to_contain_text("has a new value")
    console.wait_until_loaded()
    yield "notice: replaced"
    yield from failing_scenes(console, samples)


def failing_scenes(console: Console, samples: Samples) -> Iterator[str]:
    console.watch.allow("status of (4|5)")
    refuse_once(console, "**/services", "GET", status=500, body="")
    console.go("/")
    expect(console.button("Try again")).to_be_visible()
    yield "overview, failed"
    refuse_once(console, LISTING, "GET", status=429, json=error_body("RATE_LIMIT_EXCEEDED", "Slow down."))
    console.go("/keys")
    expect(console.button("Try again now")).to_be_visible()
    yield "keys, limited"
    console.button("Try again now").click()
    console.go(f"/keys/{samples['Spotify production']}")
    console.button("Edit").click()
    console.dialog.get_by_label("Name").fill("Spotify renamed")
    refuse_once(console, "**/api-keys/*", "PATCH", status=412, json=error_body("VERSION_CONFLICT", "Changed."))
    console.dialog.get_by_role("button", name="Save").click()
    expect(console.button("Apply my change on top")).to_be_visible()
    yield "dialog: conflict"
    console.button("Discard mine").click()
    expect(console.page.get_by_text("Your change was discarded.")).to_be_visible()
    expect(console.dialog).to_have_count(0)
    refuse_once(console, LISTING, "GET", status=401, json=error_body("AUTHENTICATION_REQUIRED", "Expired."))
    console.go("/keys")
    expect(console.dialog).to_be_visible()
    yield "dialog: sign in again"


@pytest.mark.timeout(180)  # axe inspects 31 scenes in two widths
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_and_dialog_is_accessible(new_console: NewConsole, samples: Samples, scheme: str) -> None:
    """Find no violation of WCAG 2.2 A and AA and of axe's best practices, and no scrolling sideways."""
    console = new_console(color_scheme=scheme)
    console.open()
    console.button("Sign in").wait_for()
    found = {"sign in": problems(console)}
    console.sign_in()
    found |= {title: problems(console) for title in scenes(console, samples)}

    assert len(found) >= 31
    assert {title: each for title, each in found.items() if each} == {}


def problems(console: Console) -> list[str]:
    """Return the problems of a scene on a laptop and a phone, at 320 px and at 200 % zoom of the laptop."""
    page, found = console.page, []
    for size in (PHONE, LAPTOP):
        page.set_viewport_size(size)
        found += [f"{size['width']} px: {each}" for each in violations(page)]
    for size in (SMALLEST, ZOOMED):
        page.set_viewport_size(size)
        found += [f"{size['width']} px: {each}" for each in elements_wider_than_the_page(page)]
    page.set_viewport_size(LAPTOP)
    return found


def test_the_pages_outside_of_the_console_are_accessible(console: Console) -> None:
    """Check the sign-in, the page without access and the page of the API."""
    found = {}
    for scheme in ("light", "dark"):
        console.page.emulate_media(color_scheme=scheme)
        console.watch.allow("status of 403")
        console.open()
        console.button("Sign in").click()
        console.button(OTHER_USER).wait_for()
        found[f"sign-in page, {scheme}"] = violations(console.page)
        console.button(OTHER_USER).click()
        console.heading("No access").wait_for()
        found[f"no access, {scheme}"] = violations(console.page)
        console.page.goto(f"{console.url}/console/api.html")
        console.page.set_viewport_size({"width": 320, "height": 640})
        found[f"API, {scheme}"] = violations(console.page) + elements_wider_than_the_page(console.page)
    assert {title: problems for title, problems in found.items() if problems} == {}


def test_each_view_has_a_title_and_moves_the_focus(console: Console, samples: Samples) -> None:
    """Announce a new view: its title, and the focus on its heading."""
    console.sign_in()
    titles = []
    for view in (
        "/keys",
        "/store",
        "/deleted",
        f"/keys/{samples['Spotify production']}",
        f"/keys/{samples['Spotify production']}/replace",
        "/",
    ):
        console.go(view)
        console.wait_until_loaded()
        heading = console.page.get_by_role("heading", level=1)
        expect(heading).to_be_focused()
        titles.append(console.page.title())
    assert len(set(titles)) == len(titles)
    assert all(title.endswith(" · Service Keys") for title in titles)


def test_a_dialog_keeps_and_returns_the_focus(console: Console, samples: Samples) -> None:
    """Trap Tab in the dialog, close it by Escape, and return to the button."""
    console.sign_in(f"/keys/{samples['Spotify production']}")
    console.button("Edit").focus()
    console.page.keyboard.press("Enter")
    expect(console.dialog.get_by_label("Name")).to_be_focused()
    for _ in range(8):
        console.page.keyboard.press("Tab")
        assert console.page.evaluate("!document.activeElement.closest('main')")
    console.page.keyboard.press("Escape")

    expect(console.dialog).to_have_count(0)
    expect(console.button("Edit")).to_be_focused()


def test_nothing_moves_for_users_who_want_no_motion(console: Console, samples: Samples) -> None:
    """Run no animation and no transition of more than an instant."""
    console.sign_in()
    console.wait_until_loaded()

    durations = console.page.evaluate(
        """() => [...document.querySelectorAll("*")].flatMap((node) => {
          const style = getComputedStyle(node);
          return [style.animationDuration, style.transitionDuration].flatMap((each) => each.split(", "));
        }).filter((each) => parseFloat(each) > 0.01)"""
    )
    assert durations == []
