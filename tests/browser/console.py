"""The console as an administrator uses it: by roles and accessible names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

    from tests.browser.watch import Watch

API: Final = "/api/v1/admin/"
ADMINISTRATOR: Final = "Sign in as administrator"
OTHER_USER: Final = "Sign in as a user who is not an administrator"


class Console:
    """A page of the console and its watch."""

    def __init__(self, page: Page, watch: Watch, url: str) -> None:
        self.page = page
        self.watch = watch
        self.url = url

    def address(self, view: str = "/", **query: str) -> str:
        """Return the URL of a view, such as `/keys`."""
        return f"{self.url}/console/index.html#{view}" + (f"?{urlencode(query)}" if query else "")

    def open(self, view: str = "/", **query: str) -> None:
        """Open a view by its URL."""
        self.page.goto(self.address(view, **query))

    def sign_in(self, view: str = "/", *, role: str = ADMINISTRATOR, **query: str) -> None:
        """Open a view and sign in with the local issuer."""
        self.open(view, **query)
        self.button("Sign in").click()
        self.page.get_by_role("button", name=role).click()
        expect(self.page).to_have_url(re.compile(r"/console/index\.html#"))

    def go(self, view: str, **query: str) -> None:
        """Change the view without loading the page, which would forget the token."""
        self.page.evaluate("(hash) => { location.hash = hash; }", self.address(view, **query).partition("#")[2])

    def wait_until_loaded(self) -> None:
        """Wait until no part of the view loads. A button is busy while its dialog is open."""
        # After the sign-in, the address changes before the view begins to load.
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()
        expect(self.page.locator("[aria-busy=true]:not(button)")).to_have_count(0)

    def wait_until_answered(self) -> None:
        """Wait until the action of a button has ended, or asks in a dialog."""
        answered = self.page.locator("dialog[open], body:not(:has(button[aria-disabled=true]))")
        expect(answered.first).to_be_attached()

    def button(self, name: str | re.Pattern[str], *, exact: bool = True) -> Locator:
        return self.page.get_by_role("button", name=name, exact=exact)

    def link(self, name: str | re.Pattern[str], *, exact: bool = True) -> Locator:
        return self.page.get_by_role("link", name=name, exact=exact)

    def heading(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("heading", level=1, name=name)

    def field(self, label: str | re.Pattern[str], *, exact: bool = True) -> Locator:
        return self.page.get_by_label(label, exact=exact)

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")


class Hands:
    """Counts the clicks and keystrokes of a scenario."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0
        self.keystrokes = 0

    def click(self, target: Locator) -> None:
        target.click()
        self.clicks += 1

    def paste(self, text: str) -> None:
        """Insert a text at the focus, which an administrator does with two keys."""
        self.page.keyboard.insert_text(text)
        self.keystrokes += 1

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.keystrokes += 1

    def tab_to(self, target: Locator, *, at_most: int = 60) -> None:
        """Press Tab until the target has the focus."""
        expect(target).to_be_visible()
        for _ in range(at_most):
            if target.evaluate("(node) => node === document.activeElement"):
                return
            self.press("Tab")
        raise AssertionError(f"{target} is out of reach of the Tab key")


def api_requests(watch: Watch) -> set[tuple[str, str]]:
    """Return the method and path of every call of the API."""
    calls = ((each.method, each.url) for each in watch.requests)
    return {(method, url.partition("?")[0]) for method, url in calls if API in url}


def error_body(code: str, message: str, request_id: str = "made-up-request", **more: Any) -> dict[str, Any]:
    """Return the body of an error response of the API."""
    return {"success": False, "error": {"code": code, "message": message, **more}, "requestId": request_id}


def refuse_once(console: Console, path: str | re.Pattern[str], method: str, **answer: Any) -> list[str]:
    """Answer the first request with an error; return the list of answered requests."""
    answered: list[str] = []

    def handle(route: Route) -> None:
        if route.request.method != method:
            route.fallback()
        elif answered:
            route.continue_()
        else:
            answered.append(route.request.url)
            route.fulfill(**answer)

    console.page.route(path, handle)
    return answered


def fulfill(answer: dict[str, Any] | None, route: Route) -> None:
    """Answer a request, or let it fail."""
    if answer is None:
        route.abort()
    else:
        route.fulfill(**answer)
