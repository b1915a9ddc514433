"""The console under the stage of an API, and the addresses that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from local.stack import local_stack
from tests.browser.console import API, Console
from tests.support.example_keys import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.fake_services import FakeServices
    from local.stack import LocalStack
    from tests.browser.conftest import NewConsole
    from tests.functional.conftest import HttpAdmin


@pytest.fixture
def staged(fake_services: FakeServices) -> Iterator[LocalStack]:
    """A stack under `/live`, as on AWS without a domain of its own."""
    with local_stack(
        base_path="/live", fake_services_url=fake_services.url, table_name="service-keys-test-live"
    ) as stack:
        yield stack


def test_the_console_works_below_the_path_of_a_stage(staged: LocalStack, new_console: NewConsole) -> None:
    """Sign in, store and verify a key below /live, from the address without a slash at the end."""
    console = new_console(f"{staged.url}/live")
    console.page.goto(staged.console_url)
    expect(console.page).to_have_url(f"{staged.url}/live/console/index.html")
    console.sign_in("/store", service="openai")
    console.field("API key").fill(KEYS["openai"])
    console.button("Store").click()
    console.button("Verify now").click()
    expect(console.page.get_by_text("OpenAI accepts “OpenAI”")).to_be_visible()
    with console.page.context.expect_page() as opened:
        console.link("API").click()
    expect(opened.value).to_have_url(f"{staged.url}/live/console/api.html")

    paths = {urlsplit(each.url).path for each in console.watch.requests}
    issuer = {"/authorize", "/token", "/.well-known/openid-configuration"}
    assert {path for path in paths if not path.startswith(("/live/console", f"/live{API}"))} == issuer


def test_the_console_loads_nothing_from_elsewhere(console: Console, admin: HttpAdmin) -> None:
    """Send requests to the own origin and the issuer only, and none twice for the overview."""
    console.sign_in()
    console.wait_until_loaded()

    assert {each.url.removeprefix(console.url)[0] for each in console.watch.requests} == {"/"}
    # One request of the API until the overview is complete.
    assert [urlsplit(each.url).path for each in console.watch.requests if API in each.url] == [f"{API}services"]


def test_the_keys_are_paged_searched_and_filtered(console: Console, admin: HttpAdmin) -> None:
    """Search in the loaded pages and say so; filter by the API; keep the filters in the address."""
    for number in range(53):
        admin.create(
            f"{'Alpha' if number < 10 else 'Beta'} {number}",
            "made-up-0123456789",
            service="intranet",
            active=number > 0,
        )
    admin.create("OpenAI", KEYS["openai"], service="openai")
    console.sign_in("/keys")
    rows = console.page.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(51)
    search = console.page.get_by_role("searchbox")
    search.press_sequentially("alpha")
    expect(
        console.page.get_by_text("Searched in the 50 loaded keys; load more to search in the others.")
    ).to_be_visible()
    expect(rows).to_have_count(7)
    console.button("Load more").click()
    expect(console.page.get_by_text("Searched in the 54 loaded keys, which are all.")).to_be_visible()
    expect(rows).to_have_count(11)
    search.fill("")
    console.field("State").select_option("Disabled")
    expect(rows).to_have_count(2)
    console.field("State").select_option("Active and disabled")
    console.field("Service").select_option("OpenAI")
    expect(rows).to_have_count(2)
    assert console.page.url == console.address("/keys", service="openai")
    console.field("Verification").select_option("Accepted")
    expect(console.page.get_by_text("No key was found.")).to_be_visible()


def test_times_are_exact_on_demand(new_console: NewConsole, admin: HttpAdmin) -> None:
    """Show the local time with UTC after a click."""
    key = admin.create("Intranet", "made-up-0123456789", service="intranet")
    console = new_console(timezone_id="America/New_York")
    console.sign_in(f"/keys/{key['id']}")
    created = console.page.get_by_role("region", name="Details").get_by_role("button", name="just now").first
    created.click()

    utc = key["createdAt"][:19].replace("T", " ")
    expect(console.page.get_by_role("region", name="Details")).to_contain_text(f"({utc} UTC)")
