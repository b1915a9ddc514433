"""The web console over HTTP, with the stage in the path as on AWS, and the sign-in that it uses."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
import requests

from local.gateway import Gateway, Request
from local.stack import LocalStack, local_stack
from tests.functional.conftest import COLLECTION
from tests.support.raw_http import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

VERIFIER = "made-up-verifier-of-at-least-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def live() -> Iterator[LocalStack]:
    """A stack whose paths begin with the stage."""
    with local_stack(base_path="/live") as stack:
        yield stack


class References(HTMLParser):
    """The relative URLs of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - inherited
        values = [value for name, value in attrs if name in {"href", "src"} and value]
        self.found |= {value.partition("#")[0] for value in values} - {""}


def get(url: str, **headers: str) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(url, headers=sent, timeout=30, allow_redirects=False)


def test_the_root_leads_to_the_page_below_the_stage(live: LocalStack) -> None:
    """Each URL on the way has the stage, with and without a slash at the end."""
    assert get(f"{live.url}/").headers["Location"] == "/live/console"
    assert live.console_url == f"{live.url}/live/console"
    for url in (live.console_url, f"{live.console_url}/"):
        redirect = get(url)
        assert (redirect.status_code, redirect.headers["Location"]) == (302, "/live/console/index.html")
    page = requests.get(live.url, timeout=30)
    assert (page.status_code, page.url) == (200, f"{live.console_url}/index.html")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("page", ["index.html", "api.html"])
def test_every_file_of_a_page_is_found_below_the_stage(live: LocalStack, page: str) -> None:
    """The pages refer to their files by relative URLs, which lead to no other host."""
    url = f"{live.console_url}/{page}"
    references = References(get(url).text).found

    assert "style.css" in references
    for reference in references:
        target = urljoin(url, reference)
        assert target.startswith(f"{live.console_url}/")
        assert get(target).status_code == 200, reference


def test_files_need_no_token_and_the_api_does(live: LocalStack) -> None:
    """The same stage serves both; outside it there is nothing."""
    api = f"{live.url}/live{COLLECTION}"

    assert get(f"{live.console_url}/index.html").status_code == 200
    assert get(api).status_code == 401
    assert get(api, Authorization=f"Bearer {live.issuer.token()}").status_code == 200
    outside = get(live.url + COLLECTION, Authorization=f"Bearer {live.issuer.token()}")
    assert (outside.status_code, outside.json()) == (403, {"message": "Forbidden"})
    assert get(f"{live.url}/lives/console").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        *("/../app.py", "/%2e%2e/app.py", "/js/../../app.py", "/..%2fapp.py", "//index.html", "/js//main.js"),
        *("/INDEX.HTML", "/index.html/more", "/js", "/js/", "/%00", "/index.html%00", "/app.py", "/index%2ehtml%2f"),
    ],
)
def test_no_path_leads_out_of_the_files(live: LocalStack, path: str) -> None:
    """The console's 404 has its security headers, and its text alone."""
    response = ask(live.url, path=f"/live/console{path}")

    assert (response.status, response.body) == (404, b"There is no such file. The console is at index.html.\n")
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_unchanged_files_are_not_sent_again(live: LocalStack) -> None:
    """A browser revalidates with the ETag."""
    url = f"{live.console_url}/style.css"
    first = get(url)

    again = get(url, If_None_Match=first.headers["ETag"])

    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert first.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/console", "/console/index.html"])
def test_only_get_reaches_the_console(stack: LocalStack, method: str, path: str) -> None:
    """API Gateway answers all other methods, before any function."""
    response = requests.request(method, stack.url + path, timeout=30)

    assert (response.status_code, response.json()["error"]["code"]) == (404, "ROUTE_NOT_FOUND")


def test_without_the_console_its_paths_are_unknown(stack: LocalStack) -> None:
    """The API stays as it is."""
    gateway = Gateway(stack.template.with_parameters({"Console": "false"}), stack.functions)

    for path in ("/console", "/console/index.html", "/console/config.json"):
        assert gateway.handle(Request("GET", path)).status == 404
    assert gateway.handle(Request("GET", COLLECTION)).status == 401


@pytest.mark.parametrize(
    ("user", "status", "code"), [("admin", 200, None), ("other", 403, "FORBIDDEN")], ids=["administrator", "user"]
)
def test_sign_in_as_the_page_does(live: LocalStack, user: str, status: int, code: str | None) -> None:
    """From the configuration through discovery, code and PKCE to a call of the API; only administrators get data."""
    config = get(f"{live.console_url}/config.json").json()
    assert config == {
        "issuer": live.url,
        "clientId": "local-console",
        "scopes": "openid",
        "tokenOrigin": live.url,
        "signIn": "oidc",
    }
    metadata = get(f"{config['issuer']}/.well-known/openid-configuration").json()
    assert metadata["issuer"] == config["issuer"]
    redirect_uri = f"{live.console_url}/index.html"
    asked = {
        "response_type": "code",
        "client_id": config["clientId"],
        "redirect_uri": redirect_uri,
        "scope": config["scopes"],
        "state": "made-up-state",
        "nonce": "made-up-nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }

    chosen = requests.post(
        metadata["authorization_endpoint"],
        params=asked,
        data={"user": user},
        timeout=30,
        allow_redirects=False,
    )
    answer = dict(parse_qsl(urlsplit(chosen.headers["Location"]).query))
    sent = {
        "grant_type": "authorization_code",
        "client_id": config["clientId"],
        "redirect_uri": redirect_uri,
        "code": answer["code"],
        "code_verifier": VERIFIER,
    }
    tokens = requests.post(metadata["token_endpoint"], data=sent, timeout=30).json()

    api = f"{live.url}/live/api/v1/admin/services"
    response = get(api, Authorization=f"Bearer {tokens['access_token']}")
    assert (response.status_code, response.json().get("error", {}).get("code")) == (status, code)
    # The ID token is for the page alone.
    assert get(api, Authorization=f"Bearer {tokens['id_token']}").status_code == 401
    assert get(redirect_uri + "?" + urlsplit(chosen.headers["Location"]).query).status_code == 200


def test_page_refers_to_the_api_and_not_to_other_hosts(live: LocalStack) -> None:
    """No file of the console names a host of a content network."""
    page = get(f"{live.console_url}/index.html").text

    assert "://" not in json.dumps(sorted(References(page).found))
