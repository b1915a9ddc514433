"""The stack of `make run` with its table emptied, and a browser whose every problem fails the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from local.demo import store_sample_keys
from tests.browser import chromium
from tests.browser.console import Console
from tests.browser.watch import Watch, leaks
from tests.functional.conftest import (
    HttpAdmin,
    Store,
    clients,
    enforce_iam_policies,
    fake_services,
    fault_proxy,
    inspect_errors_for_leaks,
    retry_at_once,
    stack,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from local.fake_services import FakeServices
    from local.stack import LocalStack

    NewConsole = Callable[..., Console]
    Samples = dict[str, str]

__all__ = [
    "clients",
    "enforce_iam_policies",
    "fake_services",
    "fault_proxy",
    "inspect_errors_for_leaks",
    "retry_at_once",
    "stack",
    "store",
]
TIMEOUT_MS = 15_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without a profile; each test gets a context of its own."""
    program = chromium.find()
    if program is None:
        pytest.skip(chromium.MISSING)
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=chromium.OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def new_console(browser: Browser, stack: LocalStack, tmp_path: Path) -> Iterator[NewConsole]:
    """Open a console in a new browser context; fail at the end if a page had a problem or leaked a secret."""
    opened: list[tuple[Console, Path]] = []

    def new_console(url: str | None = None, **options: Any) -> Console:
        recording = tmp_path / f"{len(opened)}.har"
        settings: dict[str, Any] = {
            "viewport": {"width": 1280, "height": 900},
            "reduced_motion": "reduce",
            "locale": "en-GB",
        }
        context = browser.new_context(**{**settings, "record_har_path": recording, **options})
        context.set_default_timeout(TIMEOUT_MS)
        console = Console(context.new_page(), Watch(context), url or stack.url)
        opened.append((console, recording))
        return console

    yield new_console
    problems: list[str] = []
    for console, recording in opened:
        problems += console.watch.problems()
        problems += ["planted markup was executed"] * len(console.watch.executions)
        for page in console.page.context.pages:
            problems += [f"a secret in {trace}" for trace in console.watch.traces(page)]
        console.page.context.close()
        problems += [f"a secret in {leak}" for leak in leaks(recording)]
    assert problems == []


@pytest.fixture
def console(new_console: NewConsole, store: Store) -> Console:
    """A console with an empty table; not signed in."""
    return new_console()


@pytest.fixture
def admin(stack: LocalStack, store: Store) -> HttpAdmin:
    """Another administrator, who uses the API."""
    return HttpAdmin(stack, sub="grace")


@pytest.fixture
def samples(
    stack: LocalStack, admin: HttpAdmin, fake_services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> Samples:
    """The sample keys of `DEMO=1 make run`: ids by name."""
    for name, value in stack.consumer_environment().items():
        monkeypatch.setenv(name, value)
    store_sample_keys(stack, fake_services)
    return {key["name"]: key["id"] for key in [*admin.listing().data, *admin.listing(deleted="true").data]}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(str(value))
