"""Requests of web pages to the servers of the local stack, with the headers that browsers send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.fake_services import FakeServices
from tests.support.raw_http import ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.stack import LocalStack

Headers = dict[str, str | None]

AMZ_JSON = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.ListTables"}
# Forms and scripts may send these across origins without a preflight
# (https://fetch.spec.whatwg.org/#cors-safelisted-method).
SIMPLE = {"Content-Type": "text/plain"}
FOREIGN_HOSTS = [
    *("evil.example.com", "evil.example.com:8000", "127.0.0.1.evil.example.com", "localhost.evil.example.com"),
    *("evil.example.com.localhost:80@evil", "169.254.169.254", "172.17.0.1:5000", "", None),
]
PAGES: list[Headers] = [
    {"Origin": "https://evil.example.com"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


def list_tables(url: str, headers: Mapping[str, str | None]) -> int:
    return ask(url, "POST", "/", {**AMZ_JSON, **headers}, b"{}").status


def cors(headers: Mapping[str, str]) -> list[str]:
    return [name for name in headers if name.startswith("access-control")]


@pytest.fixture
def fake_services() -> Iterator[FakeServices]:
    with FakeServices() as running:
        yield running


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:5000", "[::1]:5000"])
def test_moto_accepts_loopback_hosts(stack: LocalStack, host: str) -> None:
    """Consumers on this machine and containers use these host names."""
    assert list_tables(stack.endpoint_url, {"Host": host}) == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_moto_rejects_foreign_hosts(stack: LocalStack, host: str | None) -> None:
    """Requests under a name that DNS rebinding points to the loopback are 403."""
    assert list_tables(stack.endpoint_url, {"Host": host}) == 403


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_moto_rejects_web_pages(stack: LocalStack, page: Headers) -> None:
    """Requests of pages of any origin are 403, including those that need no preflight."""
    url = stack.endpoint_url
    assert list_tables(url, page) == 403
    assert ask(url, "POST", "/moto-api/reset", {**SIMPLE, **page}).status == 403
    assert ask(url, "GET", "/moto-api/data.json", page).status == 403
    preflight = ask(url, "OPTIONS", "/", {"Access-Control-Request-Method": "POST", **page})
    assert (preflight.status, cors(preflight.headers)) == (403, [])
    assert list_tables(url, {}) == 200


def test_moto_sends_no_cors_headers(stack: LocalStack) -> None:
    """Responses to programs have no CORS headers."""
    response = ask(stack.endpoint_url, "POST", "/", AMZ_JSON, b"{}")

    assert (response.status, cors(response.headers)) == (200, [])


@pytest.mark.parametrize("path", ["/open", "/.well-known/jwks.json", "/things"])
@pytest.mark.parametrize("host", ["evil.example.com", "evil.example.com:8000", None])
def test_api_rejects_foreign_hosts(stack: LocalStack, path: str, host: str | None) -> None:
    """The local API and the issuer's JWKS are 403 under a foreign host name."""
    assert ask(stack.url, "GET", path, {"Host": host, "Authorization": "allow"}).status == 403


def test_api_accepts_web_pages(stack: LocalStack) -> None:
    """As on AWS, pages may send requests; CORS and tokens restrict them."""
    page = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}

    assert ask(stack.url, "GET", "/open", page).status == 200
    assert ask(stack.url, "POST", "/things", page).status == 401


@pytest.mark.parametrize("headers", [{"Host": "evil.example.com"}, {"Host": None}, *PAGES], ids=str)
def test_fake_services_reject_web_pages(fake_services: FakeServices, headers: Headers) -> None:
    """A page cannot choose a fake service's response, nor add to its list of requests."""
    assert ask(fake_services.url, "PUT", "/openai", headers, b"wrong").status == 403
    assert ask(fake_services.url, "GET", "/openai/v1/models", headers).status == 403

    assert (fake_services.chosen["openai"], fake_services.requests) == ("valid", [])
    assert ask(fake_services.url, "PUT", "/openai", {}, b"wrong").status == 200
