"""Markup in every field that an administrator or a token can set is shown as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.console import API, Console, error_body
from tests.functional.conftest import HttpAdmin

if TYPE_CHECKING:
    from local.stack import LocalStack

PLANTED = '<img src=x onerror="planted()"><svg onload=planted()>'
SCRIPT = "<script>planted()</script>"
QUOTED = "\"'><b onclick=planted()>x</b>{{planted()}}${planted()}javascript:planted()"
LINK = "javascript:planted()"
KEY: dict[str, Any] = {
    "id": "intranet.0123456789ab",
    "name": PLANTED,
    "service": "intranet",
    "description": SCRIPT,
    "active": True,
    "maskedKey": {PLANTED: SCRIPT, LINK: QUOTED},
    "createdAt": "2026-01-01T00:00:00.000Z",
    "createdBy": SCRIPT,
    "createdByName": PLANTED,
    "updatedAt": "2026-01-02T00:00:00.000Z",
    "updatedBy": SCRIPT,
    "updatedByName": QUOTED,
    "keyUpdatedAt": PLANTED,
    "lastUsed": SCRIPT,
    "version": 1,
    "verification": {"status": PLANTED, "checkedAt": PLANTED, "detail": SCRIPT},
    "previousKey": {"maskedKey": PLANTED, "replacedAt": SCRIPT, "replacedBy": QUOTED},
}
DELETED = KEY | {"deletedAt": PLANTED, "deletedBy": SCRIPT, "recoverableUntil": QUOTED}
FIELDS = [{"name": PLANTED, "label": SCRIPT, "pattern": "^(planted()", "secret": True, "required": True}]
SERVICE = {
    "service": LINK,
    "title": PLANTED,
    "known": True,
    "verifiable": True,
    "fields": FIELDS,
    "keys": {"active": SCRIPT, "total": PLANTED},
    "serving": KEY | {"id": LINK},
    "status": PLANTED,
}
ENTRY = {
    "version": PLANTED,
    "change": SCRIPT,
    "fields": [PLANTED],
    "at": PLANTED,
    "by": SCRIPT,
    "byName": PLANTED,
    "requestId": QUOTED,
    "before": {"name": PLANTED, "maskedKey": {PLANTED: SCRIPT}},
    "after": {"name": QUOTED, "description": SCRIPT},
}
WARNING = {"code": PLANTED, "message": SCRIPT, "similar": LINK, "before": {"id": LINK, "name": PLANTED}}


def assert_text_only(console: Console) -> None:
    """Assert that no planted markup became an element, an attribute with code, or an address."""
    elements = console.page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((node) =>
          ["IMG[src=x]", "main script", "main b[onclick]"].some((each) => node.matches(each)) ||
          [...node.attributes].some(({name}) => name.startsWith("on")) ||
          (node.href?.protocol ?? String(node.href ?? "")).startsWith?.("javascript:")
        ).map((node) => node.outerHTML)"""
    )
    assert elements == []
    assert console.watch.executions == []


def test_markup_that_the_api_stores_is_shown_as_text(console: Console, stack: LocalStack, admin: HttpAdmin) -> None:
    """Plant it in the name, the description, the names of fields and the readable name of the administrator."""
    planter = HttpAdmin(stack, sub=PLANTED)
    planter.token = stack.issuer.token(sub=PLANTED, email=f"{SCRIPT}@example.com")
    fields = {"onerror": "made-up-0123456789012345", "x": "made-up-0123456789012345"}
    key = planter.create(PLANTED, fields, service="intranet", description=SCRIPT)
    planter.update(key["id"], {"description": QUOTED, "key": "made-up-0123456789012345"})
    deleted = planter.create(SCRIPT, "made-up-0123456789012345", service="onerror")
    planter.delete(deleted["id"])

    console.sign_in("/deleted")
    for view in (
        "/deleted",
        "/",
        "/keys?q=" + "%3Cimg%3E",
        "/keys?service=intranet",
        f"/keys/{key['id']}/replace",
        f"/keys/{key['id']}",
    ):
        console.go(view)
        console.wait_until_loaded()
        assert_text_only(console)
    expect(console.heading(PLANTED)).to_be_visible()
    expect(console.page.get_by_text(SCRIPT).first).to_be_visible()
    for action in ("Edit", "Disable", "Delete", "Roll back"):
        console.button(action).click()
        expect(console.dialog).to_be_visible()
        assert_text_only(console)
        console.dialog.get_by_role("button", name="Cancel").click()
    console.button("Edit").click()
    console.dialog.get_by_label("Name").fill(f"{PLANTED} 2")
    console.dialog.get_by_role("button", name="Save").click()
    expect(console.heading(f"{PLANTED} 2")).to_be_visible()
    assert_text_only(console)


@pytest.mark.parametrize(
    "view", ["/", "/keys", "/deleted", f"/keys/{KEY['id']}", f"/keys/{KEY['id']}/replace", "/store"]
)
def test_markup_in_a_response_is_shown_as_text(console: Console, view: str) -> None:
    """Plant it in every field of the API's responses, also where the API allows no such text."""

    def answer(route: Route) -> None:
        path = route.request.url.partition("?")[0].rpartition(API)[2]
        pagination = {"limit": 20, "nextCursor": None}
        if path == "services":
            body: dict[str, Any] = {
                "data": [SERVICE, SERVICE | {"service": "intranet", "fields": []}],
                "incomplete": True,
            }
        elif path.endswith("/history"):
            body = {"data": [ENTRY, ENTRY | {"change": "update"}], "pagination": pagination}
        elif path == "api-keys":
            body = {"data": [DELETED if "deleted" in route.request.url else KEY], "pagination": pagination}
        elif route.request.method == "GET":
            body = {"data": KEY}
        else:
            body = {"data": KEY, "warnings": [WARNING], "effectiveBy": SCRIPT}
        route.fulfill(json={"success": True, "requestId": PLANTED, **body})

    console.page.route(f"**{API}**", answer)
    console.sign_in(view)
    console.wait_until_loaded()
    assert_text_only(console)
    toolbar = console.page.get_by_role("group", name="Actions").get_by_role("button")
    for button in [each.inner_text() for each in toolbar.all()]:
        toolbar.get_by_text(button, exact=True).click()
        console.wait_until_loaded()
        console.wait_until_answered()
        assert_text_only(console)
        if console.dialog.count():
            console.dialog.get_by_role("button", name="Cancel").click()
    console.page.unroute(f"**{API}**")
    error = error_body(PLANTED, SCRIPT, PLANTED, details=[{"field": QUOTED, "message": PLANTED}])
    console.watch.allow("status of 40[04]")
    console.page.route(f"**{API}**", lambda route: route.fulfill(status=400, json=error))
    console.go("/deleted" if view == "/" else "/")
    expect(console.page.get_by_role("alert").filter(has_text=SCRIPT).first).to_be_visible()
    assert_text_only(console)


@pytest.mark.parametrize(
    "hash_",
    [
        f"/keys/{PLANTED}",
        f"/store?service={PLANTED}",
        f"/keys?service={QUOTED}&q={PLANTED}",
        f"/{SCRIPT}",
        "/keys/%E0%A4%A",
    ],
)
def test_markup_in_the_address_is_shown_as_text(console: Console, hash_: str) -> None:
    """Open such addresses before and after the sign-in."""
    console.watch.allow("status of 40[04]")
    console.sign_in(hash_)
    console.wait_until_loaded()

    assert_text_only(console)
    expect(console.page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize("parameter", ["error_description", "error"])
def test_markup_in_the_answer_of_an_issuer_is_text(console: Console, parameter: str) -> None:
    """Show the error of a refused sign-in as text."""

    def refuse(route: Route) -> None:
        state = route.request.url.partition("state=")[2].partition("&")[0]
        query = f"?error=x&{parameter}={PLANTED}&state={state}"
        route.fulfill(status=303, headers={"Location": f"{console.url}/console/index.html{query}"})

    console.page.route("**/authorize?*", refuse)
    console.open()
    console.button("Sign in").click()

    expect(console.page.get_by_text("The sign-in was refused or cancelled")).to_be_visible()
    assert_text_only(console)
