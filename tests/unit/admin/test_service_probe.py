"""Tests of the service probe: target of the request, results, and errors without the key."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from local.fake_services import FakeServices
from service_keys.admin import service_probe
from service_keys.admin.bounded_http import Response
from service_keys.admin.services import SERVICES
from service_keys.admin.services.openai import OpenAI
from service_keys.admin.services.spotify import Spotify
from service_keys.core import settings
from service_keys.core.secret_value import SecretValue
from service_keys.errors import ConfigurationError, VerificationNotSupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service_keys.admin.services.definition import ServiceDefinition

SECRET = "sk-made-up-key-0123456789"
ANTHROPIC_SECRET = "sk-ant-made-up-key-0123456789"


@pytest.fixture
def fake_services() -> Iterator[FakeServices]:
    with FakeServices() as fake_services:
        yield fake_services


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests of the probe; each gets an empty response."""
    requests: list[dict[str, Any]] = []

    def request(method: str, url: str, **options: Any) -> Response:
        requests.append({"method": method, "url": url, **options})
        return Response(200, b"")

    monkeypatch.setattr(service_probe, "request", request)
    return requests


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_a_probe_uses_tls_and_the_host_of_the_service(service: ServiceDefinition, sent: list[dict[str, Any]]) -> None:
    """Send the request of the definition with a deadline of 6 s and a limit of 256 KB."""
    keys: dict[str, Any] = {"spotify": {"clientId": "0" * 32, "clientSecret": "f" * 32}, "anthropic": ANTHROPIC_SECRET}
    secret_value = SecretValue(keys.get(service.name, SECRET))
    question = service.build_probe(secret_value)

    service_probe.verify(service, secret_value)

    (request,) = sent
    assert request["url"] == f"https://{question.host}{question.path}"
    assert (request["method"], request["body"]) == (question.method, question.body)
    assert request["headers"] == {"Accept": "application/json", "User-Agent": "service-keys", **question.headers}
    assert (request["deadline"], request["max_bytes"]) == (6, 256 * 1024)


def test_base_url_redirects_a_probe_to_the_fake_service(sent: list[dict[str, Any]]) -> None:
    """Add the service name to the path."""
    service_probe.verify(OpenAI(), SecretValue(SECRET), base_url="http://127.0.0.1:8123")

    assert [request["url"] for request in sent] == ["http://127.0.0.1:8123/openai/v1/models"]


def test_only_a_known_service_is_supported() -> None:
    """Name the known services in the error."""
    assert service_probe.get_service("openai") is SERVICES["openai"]
    with pytest.raises(VerificationNotSupportedError, match=r"keys of 'lastfm'.* for spotify, openai, anthropic\."):
        service_probe.get_service("lastfm")


@pytest.mark.parametrize(
    ("chosen", "result"),
    [
        ("valid", ("valid", "OpenAI listed its models for the key.")),
        ("wrong", ("rejected", "OpenAI refuses the key (401): it is wrong, or was revoked.")),
        (
            "reset",
            ("inconclusive", "api.openai.com could not be reached: the connection failed. Try again later."),
        ),
        ("huge", ("inconclusive", "api.openai.com answered with too much, or with no HTTP. Try again later.")),
    ],
)
def test_verify_returns_the_result_of_the_probe(
    fake_services: FakeServices, chosen: str, result: tuple[str, str]
) -> None:
    """Return valid, rejected or inconclusive."""
    fake_services.chosen["openai"] = chosen

    assert service_probe.verify(OpenAI(), SecretValue(SECRET), base_url=fake_services.url) == result


def test_a_probe_ends_at_its_deadline(fake_services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Return inconclusive for a slow response."""
    monkeypatch.setattr(service_probe, "DEADLINE", 0.3)
    fake_services.chosen["openai"] = "drip"

    result = service_probe.verify(OpenAI(), SecretValue(SECRET), base_url=fake_services.url)

    assert result == ("inconclusive", "api.openai.com did not answer in time. Try again later.")


def test_a_key_in_another_format_is_not_sent(fake_services: FakeServices) -> None:
    """Return inconclusive without a request."""
    result = service_probe.verify(OpenAI(), SecretValue("made-up-key-0123456789"), base_url=fake_services.url)

    assert result == ("inconclusive", "The stored key is not a valid openai key. Replace it.")
    assert fake_services.requests == []


def test_probe_hosts_are_fixed() -> None:
    """Take no part of the host from the key."""
    assert Spotify().build_probe(SecretValue({"clientId": "a", "clientSecret": "b"})).host == "accounts.spotify.com"
    assert OpenAI().build_probe(SecretValue(SECRET)).host == "api.openai.com"


def test_repr_of_a_probe_request_hides_the_key() -> None:
    """Omit the headers."""
    assert SECRET not in repr(OpenAI().build_probe(SecretValue(SECRET)))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(SECRET), "in time"),
        (ssl.SSLCertVerificationError(SECRET), "TLS"),
        (socket.gaierror(SECRET), "DNS"),
        (ConnectionRefusedError(SECRET), "connection failed"),
        (http.client.BadStatusLine(SECRET), "no HTTP"),
        (ValueError(SECRET), "cannot be sent as it is"),
    ],
)
def test_a_probe_error_is_described_by_its_type(error: Exception, words: str) -> None:
    """Repeat no text of the error."""
    told = service_probe._describe_error(error)

    assert words in told
    assert SECRET not in told


def test_a_key_that_is_invalid_in_a_header_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Report that the key is unsendable, without the key, even if format validation lets it through."""
    monkeypatch.setattr(OpenAI, "validate", lambda *_: ())

    result = service_probe.verify(OpenAI(), SecretValue(f"{SECRET}\n"), base_url="http://127.0.0.1:9")

    assert result[0] == "inconclusive"
    assert SECRET not in result[1] + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"data": [1]}', {"data": [1]}),
        (b"[1]", None),
        (b"", None),
        (b"{", None),
        (b'{"\xff": 1}', None),
        (b"[" * 100_000, None),
        (b'{"a": 1' + b"1" * 5000 + b"}", None),
    ],
    ids=["object", "list", "nothing", "cut", "no UTF-8", "too deep", "huge number"],
)
def test_a_probe_response_is_parsed_only_as_a_json_object(body: bytes, read: dict[str, object] | None) -> None:
    """Return None for any other body."""
    assert service_probe._json_object(body) == read


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com", "http://api.example.com:80", "http://127.0.0.1", "http://127.0.0.1:80@evil.example"],
)
def test_fake_services_url_must_be_local(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Raise ConfigurationError for any URL but http://127.0.0.1 with a port."""
    monkeypatch.setenv(settings.FAKE_SERVICES_URL_VARIABLE, url)

    with pytest.raises(ConfigurationError, match="Leave it unset on AWS"):
        settings.fake_services_url()


def test_fake_services_url_is_none_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return None if the variable is unset or empty."""
    monkeypatch.delenv("SERVICE_KEYS_FAKE_SERVICES_URL", raising=False)
    assert settings.fake_services_url() is None
    monkeypatch.setenv("SERVICE_KEYS_FAKE_SERVICES_URL", "")
    assert settings.fake_services_url() is None
    monkeypatch.setenv("SERVICE_KEYS_FAKE_SERVICES_URL", "http://127.0.0.1:8123")
    assert settings.fake_services_url() == "http://127.0.0.1:8123"
