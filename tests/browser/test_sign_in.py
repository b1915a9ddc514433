"""Sign-in and sign-out with the local issuer, and with a pasted token."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from local.stack import local_stack
from tests.browser.console import ADMINISTRATOR, OTHER_USER, Console, fulfill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import LocalStack
    from tests.browser.conftest import NewConsole
    from tests.functional.conftest import HttpAdmin

SECRET_OF_TOKENS = "made-up-shared-secret-of-32-characters-or-more"
REFUSED = "The sign-in was refused or cancelled"


def address_of(console: Console) -> str:
    """Return the address without the origin."""
    return console.page.url.removeprefix(console.url)


def session_storage(console: Console) -> str:
    stored: str = console.page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    return stored


def test_the_root_leads_to_the_overview_by_sign_in(console: Console) -> None:
    """Start as the greeting of `make run` says, and leave no parameter of the sign-in behind."""
    console.page.goto(console.url)
    expect(console.page).to_have_title("Sign in · Service Keys")
    console.button("Sign in").click()
    console.button(re.compile(ADMINISTRATOR)).click()

    expect(console.heading("Services")).to_be_visible()
    expect(console.page.get_by_text("local-admin@example.com")).to_be_visible()
    expect(console.page).to_have_title("Overview · Service Keys")
    assert address_of(console) == "/console/index.html"
    assert session_storage(console) == "{}"


def test_the_authorization_request_has_pkce_state_and_nonce(console: Console) -> None:
    """Send a new challenge, state and nonce, and no secret of a client."""
    console.sign_in()
    expect(console.heading("Services")).to_be_visible()

    (authorize, *_) = console.watch.sent("GET", "/authorize")
    (exchange,) = console.watch.sent("POST", "/token")
    query = {name: value for name, (value,) in parse_qs(urlsplit(authorize.url).query).items()}
    assert query.keys() == {
        *("response_type", "client_id", "redirect_uri", "scope"),
        *("state", "nonce", "code_challenge", "code_challenge_method"),
    }
    assert query["code_challenge_method"] == "S256"
    assert min(len(query[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    assert parse_qs(exchange.post_data or "").keys() == {
        *("grant_type", "code", "redirect_uri", "client_id", "code_verifier"),
    }


@pytest.mark.parametrize(
    ("view", "heading"),
    [
        ("/keys?service=spotify&active=true", "Keys"),
        ("/store?service=openai", "Store a key"),
        ("/deleted", "Deleted keys"),
    ],
)
def test_a_deep_link_survives_the_sign_in(console: Console, view: str, heading: str) -> None:
    """Return to the view and its filters."""
    console.sign_in(view)

    expect(console.heading(heading)).to_be_visible()
    assert address_of(console) == f"/console/index.html#{view}"


def test_a_user_who_is_no_administrator_can_sign_out(console: Console) -> None:
    """Show one sentence and a way out, on every view."""
    console.watch.allow("status of 403")
    console.sign_in(role=OTHER_USER)

    sentence = "local-user@example.com is not an administrator of Service Keys."
    expect(console.page.get_by_text(sentence)).to_be_visible()
    console.page.get_by_role("main").get_by_role("button", name="Sign out").click()
    expect(console.heading("Sign in")).to_be_visible()


def test_a_cancelled_sign_in_is_explained(console: Console) -> None:
    """Take error=access_denied back to the page, and allow another attempt."""
    console.open()
    console.button("Sign in").click()
    console.button("Cancel").click()

    expect(console.page.get_by_text(REFUSED)).to_be_visible()
    assert address_of(console) == "/console/index.html#/"
    assert session_storage(console) == "{}"
    console.button("Sign in").click()
    console.button(re.compile(ADMINISTRATOR)).click()
    expect(console.heading("Services")).to_be_visible()


def test_an_answer_that_was_not_asked_for_is_refused(console: Console) -> None:
    """Redeem no code whose state is not this tab's (login CSRF), and remove it from the address."""
    for query in ("?code=made-up&state=another", "?code=made-up", "?error=access_denied&state=another", "?state=x"):
        console.page.goto(f"{console.url}/console/index.html{query}")

        expect(console.page.get_by_text("This sign-in was not started in this tab")).to_be_visible()
        assert address_of(console) == "/console/index.html#/"
    assert console.watch.sent("POST", "/token") == []


def test_a_code_is_not_redeemed_twice(console: Console) -> None:
    """Refuse the address of the return from the browser's history."""
    console.sign_in()
    expect(console.heading("Services")).to_be_visible()
    returned = next(each.url for each in console.watch.requests if "code=" in each.url)

    console.page.goto(returned)

    expect(console.page.get_by_text("This sign-in was not started in this tab")).to_be_visible()
    assert len(console.watch.sent("POST", "/token")) == 1


def test_an_id_token_of_another_sign_in_is_refused(console: Console) -> None:
    """Compare the nonce, and keep no token."""

    def with_another_nonce(route: Route) -> None:
        tokens = route.fetch()
        other = console_token(tokens.json()["id_token"], nonce="another")
        route.fulfill(response=tokens, json=tokens.json() | {"id_token": other})

    console.page.route("**/token", with_another_nonce)
    console.sign_in()

    expect(console.page.get_by_text("belongs to another sign-in (nonce)")).to_be_visible()
    assert console.watch.sent("GET", "/api/v1/") == []


def console_token(token: str, **claims: str) -> str:
    """Return a token with other claims and a wrong signature."""
    import jwt

    payload = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(payload | claims, SECRET_OF_TOKENS)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            {"status": 400, "json": {"error": "invalid_grant"}},
            "did not complete the sign-in (invalid_grant, status 400)",
        ),
        ({"status": 500, "body": ""}, "did not complete the sign-in (status 500)"),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, "did not complete the sign-in (status 200)"),
        ({"status": 200, "json": {}}, "no access token"),
        ({"status": 200, "json": {"access_token": "a\r\nb"}}, "no access token"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_failing_token_endpoint_is_explained(console: Console, answer: dict[str, object], shown: str) -> None:
    """State the fault and the remedy; the page stays usable."""
    console.watch.allow("status of [45]00")
    console.page.route(
        "**/token", lambda route: route.fulfill(**{"headers": {"Access-Control-Allow-Origin": "*"}, **answer})
    )
    console.sign_in()

    expect(console.page.get_by_text(shown)).to_be_visible()
    expect(console.button("Sign in")).to_be_enabled()


DOCUMENTS: list[tuple[object, str]] = [
    (
        {"authorization_endpoint": "javascript:planted()", "token_endpoint": "https://x.example"},
        "no usable authorization",
    ),
    ({"authorization_endpoint": "https://x.example"}, "no usable token_endpoint"),
    ({}, "no usable authorization_endpoint"),
    (None, "cannot be reached"),
]


def test_an_unusable_discovery_document_is_explained(console: Console) -> None:
    """Follow http and https only."""
    console.watch.allow("failed: GET .*openid-configuration", "net::ERR_FAILED")
    for document, shown in DOCUMENTS:
        answer = None if document is None else {"json": document}
        console.page.route("**/openid-configuration", partial(fulfill, answer))
        console.open()
        console.page.reload()
        console.button("Sign in").click()
        expect(console.page.get_by_text(shown)).to_be_visible()
        expect(console.button("Sign in")).to_be_enabled()
        console.page.unroute("**/openid-configuration")


def test_an_unusable_configuration_is_explained(console: Console) -> None:
    """Offer to try again."""
    for body in ("", "<html>", "{}", '{"signIn": "other"}'):
        console.page.route("**/config.json", partial(fulfill, {"body": body}))
        console.open()
        console.page.reload()
        expect(console.page.get_by_text("The console's configuration cannot be loaded.")).to_be_visible()
        console.page.unroute("**/config.json")
        console.button("Try again").click()
        expect(console.button("Sign in")).to_be_visible()


def test_signing_out_forgets_the_token(console: Console, admin: HttpAdmin) -> None:
    """Show nothing afterwards, neither by the back button nor by a reload."""
    admin.create("Made-up name", service="intranet")
    console.sign_in("/keys")
    expect(console.link("Made-up name")).to_be_visible()

    console.button("Sign out").click()

    expect(console.heading("Sign in")).to_be_visible()
    assert len(console.watch.sent("GET", "/end-session")) == 1
    console.page.go_back()
    expect(console.heading("Sign in")).to_be_visible()
    expect(console.page.get_by_text("Made-up name")).to_have_count(0)
    console.page.reload()
    expect(console.heading("Sign in")).to_be_visible()


def test_an_expired_token_leads_to_a_new_sign_in(stack: LocalStack, console: Console) -> None:
    """Return to the view after the sign-in."""
    console.watch.allow("status of 401")
    stack.sign_in.seconds = -60
    try:
        console.sign_in("/keys")
        expect(console.dialog.get_by_role("heading", name="Sign in again")).to_be_visible()
    finally:
        stack.sign_in.seconds = 3600
    console.dialog.get_by_role("button", name="Sign in again").click()
    console.button(re.compile(ADMINISTRATOR)).click()

    expect(console.heading("Keys")).to_be_visible()
    expect(console.dialog).to_have_count(0)


@pytest.fixture(scope="module")
def shared_secret_stack() -> Iterator[LocalStack]:
    """A stack with tokens that are signed with a shared secret, and so without a page for the sign-in."""
    overrides = {"JwksUrl": "", "JwtSecretParameter": "/service-keys/jwt-secret"}
    with local_stack(overrides, jwt_secret=SECRET_OF_TOKENS, table_name="service-keys-test-token") as stack:
        yield stack


def test_a_pasted_token_signs_in(shared_secret_stack: LocalStack, new_console: NewConsole) -> None:
    """Accept a token and the whole header, refuse other texts, and ask again when it expires."""
    import jwt

    issuer = shared_secret_stack.issuer
    claims = jwt.decode(issuer.token(sub="ada"), options={"verify_signature": False})
    claims["email"] = "ada@example.com"
    token = jwt.encode(claims, SECRET_OF_TOKENS)
    console = new_console(shared_secret_stack.url)
    console.open()
    console.field("Token").fill("not a token")
    console.button("Sign in").click()
    expect(console.page.get_by_role("alert")).to_contain_text("This is not a token")

    console.field("Token").fill(f"Authorization: Bearer {token}")
    console.button("Sign in").click()

    expect(console.heading("Services")).to_be_visible()
    expect(console.page.get_by_text("ada@example.com")).to_be_visible()
    assert session_storage(console) == "{}"
