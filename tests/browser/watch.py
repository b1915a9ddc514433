"""Record the problems of a page and the traces of secrets in its browser.

A page has a problem if it logs a warning or an error, raises an error, violates its content security policy, runs
planted markup, or if one of its requests fails. A test allows the problems that it causes on purpose.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tests.support.canary import contains_canary

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

PLANTED: Final = "planted"
"""The function that planted markup calls."""
_LISTENERS: Final = """
document.addEventListener("securitypolicyviolation", (event) => {
  window.reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile} ${event.sample}`);
});
"""
_STATE: Final = """() => ({
  markup: document.documentElement.outerHTML,
  values: [...document.querySelectorAll("input, textarea, select")].map((field) => field.value),
  local: JSON.stringify({...localStorage}),
  session: JSON.stringify({...sessionStorage}),
  history: JSON.stringify(history.state),
  window: JSON.stringify(Object.getOwnPropertyNames(window).filter((name) => !(name in Window.prototype))),
  title: document.title,
  address: location.href,
  cookies: document.cookie,
  name: window.name,
})"""


class Watch:
    """Watches all pages of a browser context. Access tokens are secrets too, except in the header of a request.

    Attributes:
        requests: Every request, in the order of its start.
        executions: Calls of planted markup.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._problems: list[str] = []
        self._allowed: list[re.Pattern[str]] = []
        self._tokens: set[str] = set()
        self.requests: list[Request] = []
        self.executions: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", lambda raised: self._problems.append(f"error: {raised.error}"))
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failure)
        context.expose_function("reportViolation", lambda text: self._problems.append(f"violation: {text}"))
        context.expose_function(PLANTED, lambda *_: self.executions.append(PLANTED))
        context.add_init_script(_LISTENERS)

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token:
            self._tokens.add(token)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("warning", "error", "assert"):
            self._problems.append(f"console: {message.text} ({message.location.get('url', '')})")
        if self._is_secret(message.text):
            self._problems.append(f"a secret in the console's {message.type}")

    def _on_failure(self, request: Request) -> None:
        # A page that is left aborts its requests.
        if request.failure != "net::ERR_ABORTED":
            self._problems.append(f"failed: {request.method} {request.url} {request.failure}")

    def allow(self, *patterns: str) -> None:
        """Allow problems that contain a pattern, before and after this call."""
        self._allowed += map(re.compile, patterns)

    def problems(self) -> list[str]:
        """Return the problems that the test did not allow."""
        return [each for each in self._problems if not any(allowed.search(each) for allowed in self._allowed)]

    def sent(self, method: str, path: str) -> list[Request]:
        """Return the requests with a method to paths that match a regular expression."""
        matching = re.compile(path)
        return [each for each in self.requests if each.method == method and matching.search(each.url)]

    def traces(self, page: Page) -> list[str]:
        """Return the places in a page and its history that contain a secret."""
        # The browser's own pages, such as about:blank and error pages, have no storage.
        frames = [frame for frame in page.frames if frame.url.startswith("http")]
        places = [(f"{name} of {frame.url}", text) for frame in frames for name, text in _state(frame)]
        session = self._context.new_cdp_session(page)
        entries = session.send("Page.getNavigationHistory")["entries"]
        session.detach()
        places.append(("the navigation history", json.dumps(entries)))
        return [place for place, text in places if self._is_secret(text)]

    def _is_secret(self, text: str) -> bool:
        return contains_canary(text) or any(token in text for token in self._tokens)


def _state(frame: Any) -> list[tuple[str, str]]:
    state = frame.evaluate(_STATE)
    return [(name, text if isinstance(text, str) else json.dumps(text)) for name, text in state.items()]


def leaks(recording: Path) -> list[str]:
    """Return the places of a network log (HAR) that contain a secret, except for bodies that store it."""
    found = []
    for entry in json.loads(recording.read_text())["log"]["entries"]:
        request, response = entry["request"], entry["response"]
        called = f"{request['method']} {request['url']}"
        stores = re.search(r"^(POST|PUT|PATCH) [^?]*/api/v1/admin/api-keys(/[^/?]+)?$", called)
        body = request.pop("postData", {})
        if contains_canary(json.dumps(body)) and not stores:
            found.append(f"the body of {called}")
        if contains_canary(json.dumps(request, ensure_ascii=False)):
            found.append(f"the head of {called}")
        if contains_canary(json.dumps(response, ensure_ascii=False)):
            found.append(f"the response to {called}")
    return found
