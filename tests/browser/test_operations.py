"""Every operation of the API is reached from the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from playwright.sync_api import expect

from local.events import path_parameters
from service_keys import __version__
from tests.browser.console import Console, api_requests
from tests.support.example_keys import KEYS
from tools.generate_openapi import DOCUMENT

if TYPE_CHECKING:
    from tests.functional.conftest import HttpAdmin

METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> set[tuple[str, str]]:
    paths = yaml.safe_load(DOCUMENT.read_text())["paths"]
    return {(method.upper(), path) for path, item in paths.items() for method in METHODS & item.keys()}


def test_every_operation_is_reached_from_the_console(console: Console, admin: HttpAdmin) -> None:
    """Store, verify, replace, roll back, edit, disable, enable, delete, restore and delete permanently."""
    page = console.page
    said = page.locator("#notices")
    console.sign_in()
    console.link("Store a key for OpenAI").click()
    console.field("API key").fill(KEYS["openai"])
    console.button("Store").click()
    expect(said).to_contain_text("“OpenAI” is stored")
    console.button("Verify now").click()
    expect(said).to_contain_text("OpenAI accepts “OpenAI”")

    console.link("Replace").click()
    console.field("API key").fill(KEYS["openai"] + "-new")
    console.button("Replace").click()
    expect(console.dialog).to_contain_text("Consumers that use this key get the new value within 60 seconds.")
    console.dialog.get_by_role("button", name="Replace").click()
    expect(said).to_contain_text("“OpenAI” has a new value")
    said.get_by_role("button", name="Roll back").click()
    console.dialog.get_by_role("button", name="Roll back").click()
    expect(said).to_contain_text("“OpenAI” has its previous value")

    console.button("Edit").click()
    console.dialog.get_by_label("Name").fill("OpenAI production")
    console.dialog.get_by_role("button", name="Save").click()
    expect(console.heading("OpenAI production")).to_be_visible()
    console.button("Disable").click()
    expect(console.dialog).to_contain_text("It is the only active key of openai")
    console.dialog.get_by_role("button", name="Disable").click()
    expect(said).to_contain_text("is disabled")
    said.get_by_role("button", name="Enable again").click()
    expect(said).to_contain_text("is enabled")

    console.button("Delete").click()
    delete = console.dialog.get_by_role("button", name="Delete")
    delete.click()
    expect(console.dialog).to_contain_text("Give a value.")
    console.dialog.get_by_label("Type the name of the key to confirm").fill("OpenAI production")
    delete.click()
    expect(console.heading("Deleted keys")).to_be_visible()
    expect(said).to_contain_text("“OpenAI production” is deleted")
    console.button("Restore OpenAI production").click()
    expect(said).to_contain_text("“OpenAI production” is restored")
    console.button("Delete").click()
    console.dialog.get_by_label("Type the name of the key to confirm").fill("OpenAI production")
    delete.click()
    console.button("Delete permanently OpenAI production").click()
    console.dialog.get_by_label("Type the name of the key to confirm").fill("OpenAI production")
    console.dialog.get_by_role("button", name="Delete permanently").click()
    expect(said).to_contain_text("is deleted permanently")

    called = api_requests(console.watch)
    reached = {
        (method, path)
        for method, path in operations()
        if any(
            method == other and path_parameters(path, url.removeprefix(console.url)) is not None
            for other, url in called
        )
    }
    assert operations() - reached == set()
    assert admin.listing().data == []


def test_the_footer_shows_the_version_of_the_api(console: Console) -> None:
    """Read it from each response; keep it if a proxy answers without it."""
    version = console.page.get_by_role("contentinfo").locator("#version")
    console.watch.allow("status of 502")
    headers: dict[str, str] = {}
    console.open()
    expect(console.button("Sign in")).to_be_visible()
    expect(version).to_be_empty()

    console.sign_in()
    expect(version).to_have_text(f"Version {__version__}")
    console.page.route("**/api/v1/admin/api-keys?*", lambda route: route.fulfill(status=502, headers=headers))
    for sent, shown in (("9.9.9", "9.9.9"), (None, "9.9.9"), ("<b>1</b>", "<b>1</b>")):
        headers = {} if sent is None else {"X-Service-Keys-Version": sent}
        console.go("/keys")
        expect(console.page.get_by_role("alert")).to_contain_text("The API failed (status 502)")
        expect(version).to_have_text(f"Version {shown}")
        console.go("/")
        expect(console.heading("Services")).to_be_visible()
