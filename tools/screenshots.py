"""Take the screenshots of the web console: two of the overview for the README, or one of each view.

`make screenshots` writes docs/images/overview-light.png and -dark.png, from the sample keys of `DEMO=1 make run`.
`python -m tools.screenshots --all FOLDER` writes every view, on a laptop and on a phone, in both colour schemes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from local.demo import store_sample_keys
from local.fake_services import FakeServices
from local.stack import LocalStack, local_stack
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
SCHEMES: Final = ("light", "dark")
SIZES: Final = {"laptop": (1280, 900), "phone": (390, 844)}
# Ends below the first row of cards, and so stays below 150 KB.
README_SIZE: Final = (1280, 692)
VIEWS: Final = {
    "overview": "/",
    "keys": "/keys",
    "key": "/keys/{openai}",
    "key-rejected": "/keys/{anthropic}",
    "replace": "/keys/{spotify}/replace",
    "store": "/store",
    "store-fields": "/store?service=spotify",
    "store-other": "/store?service=intranet",
    "deleted": "/deleted",
}
DIALOGS: Final = {"edit": "Edit", "disable": "Disable", "delete": "Delete", "roll-back": "Roll back"}
_LOADING: Final = "[aria-busy=true]:not(button)"


def main() -> int:
    """Parse the command line, take the screenshots and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="write every view to this folder")
    folder: Path | None = parser.parse_args().all
    program = chromium.find()
    if program is None:
        sys.stderr.write(f"{chromium.MISSING}\n")
        return 1
    with FakeServices() as fakes, local_stack(fake_services_url=fakes.url) as stack, sync_playwright() as playwright:
        os.environ.update(stack.consumer_environment())
        store_sample_keys(stack, fakes)
        browser = playwright.chromium.launch(executable_path=program, args=chromium.OPTIONS)
        for scheme in SCHEMES:
            if folder is None:
                page = open_console(browser, stack, scheme, README_SIZE)
                save(page, IMAGES / f"overview-{scheme}.png")
            else:
                every_view(browser, stack, scheme, folder)
        browser.close()
    return 0


def open_console(browser: Browser, stack: LocalStack, scheme: str, size: tuple[int, int]) -> Page:
    """Return the overview, signed in."""
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page.goto(stack.console_url)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("button", name="Sign in as administrator").click()
    page.get_by_role("heading", level=1, name="Services").wait_for()
    return page


def every_view(browser: Browser, stack: LocalStack, scheme: str, folder: Path) -> None:
    """Save every view and some dialogs in one colour scheme."""
    for size_name, size in SIZES.items():
        page = open_console(browser, stack, scheme, size)
        ids = {each.partition(".")[0]: each for each in key_ids(page)}
        for name, view in VIEWS.items():
            show(page, view.format(**ids))
            save(page, folder / f"{name}-{size_name}-{scheme}.png", full_page=True)
        for name, button in DIALOGS.items():
            show(page, f"/keys/{ids['openai']}")
            page.get_by_role("button", name=button, exact=True).click()
            page.get_by_role("dialog").wait_for()
            save(page, folder / f"dialog-{name}-{size_name}-{scheme}.png")
            page.keyboard.press("Escape")
        page.goto(f"{stack.console_url}/api.html")
        save(page, folder / f"api-{size_name}-{scheme}.png")
        page.close()


def show(page: Page, view: str) -> None:
    """Change the view without loading the page, which would forget the token."""
    page.evaluate("(hash) => { location.hash = hash; }", view)


def key_ids(page: Page) -> list[str]:
    """Return the ids of the keys that the overview links to."""
    settle(page)
    links = page.locator("a[href^='#/keys/']").all()
    found = (re.search("#/keys/([^/?]+)", link.get_attribute("href") or "") for link in links)
    return [match[1] for match in found if match]


def settle(page: Page) -> None:
    """Wait until no part of the view loads."""
    page.wait_for_load_state("networkidle")
    page.locator(_LOADING).first.wait_for(state="detached")


def save(page: Page, path: Path, *, full_page: bool = False) -> None:
    """Save a screenshot without the focus ring and moving parts."""
    settle(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=full_page, animations="disabled", caret="hide")
    sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} KB\n")


if __name__ == "__main__":
    sys.exit(main())
