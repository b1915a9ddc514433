"""Failing, slow and hostile responses: the page states the fault, loses no input and sends no request twice."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.console import API, Console, error_body, fulfill, refuse_once

SERVICES = f"**{API}services"
HTML = "<html><script>planted()</script><img src=x onerror=planted()></html>"
NOT_OURS = "The answer is not one of the API."
READY = "Store a key of another service"
ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "HTML with 200": ({"content_type": "text/html", "body": HTML}, NOT_OURS),
    "nothing with 200": ({"body": ""}, NOT_OURS),
    "204": ({"status": 204, "body": ""}, NOT_OURS),
    "cut JSON": ({"body": '{"success": true, "data": ['}, NOT_OURS),
    "null": ({"body": "null"}, NOT_OURS),
    "an array": ({"body": "[]"}, NOT_OURS),
    "no data": ({"json": {"success": True, "requestId": "x"}}, NOT_OURS),
    "data of another shape": ({"json": {"success": True, "data": {}, "requestId": "x"}}, NOT_OURS),
    "11 MB": ({"body": '{"success": true, "data": ["' + "x" * 11_000_000 + '"]}'}, "The answer is too large"),
    "500 without a body": ({"status": 500, "body": ""}, "The API failed (status 500)"),
    "502 as HTML": ({"status": 502, "content_type": "text/html", "body": HTML}, "The API failed (status 502)"),
    "503 without Retry-After": (
        {"status": 503, "json": error_body("SERVICE_UNAVAILABLE", "Come later.")},
        "Come later.",
    ),
    "504 as JSON": ({"status": 504, "json": {"message": "Endpoint request timed out"}}, "The API failed (status 504)"),
    "500 with a message": ({"status": 500, "json": error_body("X", "Try again later.")}, "Try again later."),
    "418": ({"status": 418, "json": error_body("TEAPOT", HTML)}, HTML),
    "an error of another shape": ({"status": 400, "json": {"error": {"message": 7}}}, "The API failed (status 400)"),
    "a redirect": ({"status": 302, "headers": {"Location": "https://x.example"}}, "The API cannot be reached"),
}
ODD_SERVICES: list[Any] = [
    None,
    7,
    "text",
    [],
    {},
    {"service": 7},
    {"service": "x"},
    {"service": "y", "keys": 7, "status": {}},
]
ODD_SERVICES += [{"service": "z", "title": ["t"], "keys": None, "serving": [], "status": "operational", "fields": None}]
ODD_SERVICES += [
    {"service": "s", "status": "operational", "keys": {}, "serving": {"verification": 7, "lastUsed": "soon"}}
]


def test_hostile_responses_leave_the_page_usable(console: Console) -> None:
    """Explain each in one message, with a way to try again."""
    console.watch.allow("status of [45]", "failed: GET .*services", "net::ERR_FAILED")
    alert = console.page.get_by_role("main").get_by_role("alert")
    console.sign_in("/deleted")
    expect(console.heading("Deleted keys")).to_be_visible()
    for title, (answer, shown) in ANSWERS.items():
        console.page.route(SERVICES, partial(fulfill, answer))
        console.link("Overview").click()
        expect(alert, title).to_contain_text(shown)
        expect(console.page.locator("[aria-busy=true]"), title).to_have_count(0)
        console.page.unroute(SERVICES)
        alert.get_by_role("button", name="Try again").click()
        expect(console.link(READY), title).to_be_visible()
        expect(alert, title).to_have_count(0)
        console.go("/deleted")
        expect(console.heading("Deleted keys")).to_be_visible()


def test_data_of_unexpected_types_leaves_the_page_usable(console: Console) -> None:
    """Show the rest, or an error: no view stays empty or loading."""
    body = {"success": True, "data": ODD_SERVICES, "requestId": "x"}
    console.page.route(SERVICES, lambda route: route.fulfill(json=body))
    console.sign_in()

    main = console.page.get_by_role("main")
    expect(console.link(READY).or_(main.get_by_role("alert"))).to_be_visible()
    expect(main.locator("[aria-busy=true]")).to_have_count(0)
    console.page.unroute(SERVICES)
    console.link("Keys").click()
    console.link("Overview").click()
    expect(console.link(READY)).to_be_visible()


@pytest.mark.parametrize(("status", "code"), [(429, "RATE_LIMIT_EXCEEDED"), (503, "SERVICE_UNAVAILABLE")])
@pytest.mark.parametrize("retry", ["after the wait", "at once"])
def test_a_limit_is_waited_for(console: Console, status: int, code: str, retry: str) -> None:
    """Wait as Retry-After says, visibly; the user may try at once."""
    console.watch.allow(f"status of {status}")
    console.page.clock.install()
    answer = {"status": status, "headers": {"Retry-After": "7"}, "json": error_body(code, "Too many requests.")}
    refuse_once(console, SERVICES, "GET", **answer)
    console.sign_in()
    waiting = console.page.get_by_role("main").get_by_text("Trying again in 7 s")
    expect(waiting).to_be_visible()
    assert len(console.watch.sent("GET", "/services")) == 1

    if retry == "at once":
        console.button("Try again now").click()
    else:
        console.page.clock.run_for(7500)

    expect(console.link(READY)).to_be_visible()
    assert len(console.watch.sent("GET", "/services")) == 2


def test_a_wait_can_be_cancelled(console: Console) -> None:
    """Show the error with a way to try again."""
    console.watch.allow("status of 429")
    refuse_once(console, SERVICES, "GET", status=429, json=error_body("RATE_LIMIT_EXCEEDED", "Too many requests."))
    console.sign_in()

    console.button("Cancel").click()

    expect(console.page.get_by_role("alert")).to_contain_text("Too many requests.")
    console.button("Try again").click()
    expect(console.link(READY)).to_be_visible()


def test_the_page_goes_on_once_it_is_online(console: Console) -> None:
    """Say that there is no connection, and send the request when there is one."""
    console.watch.allow("ERR_INTERNET_DISCONNECTED")
    console.sign_in()
    expect(console.link(READY)).to_be_visible()
    console.page.context.set_offline(True)
    console.link("Keys").click()
    expect(console.page.get_by_text("You are offline.")).to_be_visible()

    console.page.context.set_offline(False)

    expect(console.page.get_by_text("You are offline.")).to_have_count(0)
    expect(console.page.get_by_role("main").get_by_role("alert")).to_have_count(0)


def test_a_slow_response_has_a_loading_state(console: Console) -> None:
    """Say that the services load, for screen readers too; leaving the view drops the response."""
    held: list[Route] = []
    console.page.route(SERVICES, lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    console.sign_in()
    expect(console.page.get_by_text("Loading the services …")).to_be_visible()
    expect(console.page.locator("[aria-busy=true]")).to_have_count(1)

    console.link("Deleted").click()
    expect(console.heading("Deleted keys")).to_be_visible()
    for route in held:
        route.fulfill(json={"success": True, "data": [], "requestId": "x"})

    expect(console.heading("Deleted keys")).to_be_visible()
    expect(console.link(READY)).to_have_count(0)
