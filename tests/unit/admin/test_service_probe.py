"""Tests of the service probe: target of the request, results, and errors without the key."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from service_keys import __version__
from service_keys.admin import service_probe
from service_keys.admin.bounded_http import Response
from service_keys.admin.services import VERIFIABLE_SERVICES
from service_keys.admin.services.openai import OpenAI
from service_keys.core import settings
from service_keys.core.secret_value import SecretValue
from service_keys.errors import ConfigurationError, VerificationNotSupportedError
from tests.support.example_keys import KEYS

if TYPE_CHECKING:
    from service_keys.admin.services.definition import VerifiableService

SECRET = "sk-made-up-key-0123456789"


class Service:
    """Replaces the HTTP request: records each request, and returns a response or raises an error."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.result: Response | Exception = Response(200, b"")

    def __call__(self, method: str, url: str, **options: Any) -> Response:
        self.requests.append({"method": method, "url": url, **options})
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    monkeypatch.setattr(service_probe, "request", service)
    return service


@pytest.mark.parametrize("definition", VERIFIABLE_SERVICES.values(), ids=lambda definition: definition.name)
def test_a_probe_uses_tls_and_the_host_of_the_service(definition: VerifiableService, service: Service) -> None:
    """Send the request of the definition with a deadline of 6 s and a limit of 256 KB."""
    secret_value = SecretValue(KEYS[definition.name])
    probe = definition.build_probe(secret_value)

    service_probe.verify(definition, secret_value)

    assert service.requests == [
        {
            "method": probe.method,
            "url": f"https://{probe.host}{probe.path}",
            "headers": {"Accept": "application/json", "User-Agent": f"service-keys/{__version__}", **probe.headers},
            "body": probe.body,
            "deadline": 6,
            "max_bytes": 256 * 1024,
        }
    ]


def test_base_url_redirects_a_probe_to_the_fake_service(service: Service) -> None:
    """Add the service name to the path."""
    service_probe.verify(OpenAI(), SecretValue(SECRET), base_url="http://127.0.0.1:8123")

    assert [request["url"] for request in service.requests] == ["http://127.0.0.1:8123/openai/v1/models"]


def test_only_a_known_service_is_supported() -> None:
    """Name the reason and the verifiable services in the error."""
    assert service_probe.get_service("openai") is VERIFIABLE_SERVICES["openai"]
    verifiable = re.escape(f"It can be done for {', '.join(VERIFIABLE_SERVICES)}.")
    for service, reason in {"unheard-of": "keys of 'unheard-of'", "deezer": "^Deezer has no free"}.items():
        with pytest.raises(VerificationNotSupportedError, match=f"{reason}.*{verifiable}$"):
            service_probe.get_service(service)


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, {"data": []}, ("valid", "OpenAI listed its models for the key.")),
        (
            *(401, {"error": {"code": "invalid_api_key"}}),
            ("rejected", "OpenAI refuses the key (401): it is wrong, or was revoked."),
        ),
    ],
)
def test_verify_returns_the_result_of_the_probe(service: Service, status: int, body: object, result: object) -> None:
    """Return the interpretation of the service's definition."""
    service.result = Response(status, json.dumps(body).encode())

    assert service_probe.verify(OpenAI(), SecretValue(SECRET)) == result


@pytest.mark.parametrize(
    ("error", "description"),
    [
        (TimeoutError(SECRET), "did not respond in time. Try again later."),
        (ssl.SSLCertVerificationError(SECRET), "could not be reached: no secure connection (TLS). Try again later."),
        (socket.gaierror(SECRET), "could not be reached: its name was not found (DNS). Try again later."),
        (ConnectionResetError(SECRET), "could not be reached: the connection failed. Try again later."),
        (http.client.BadStatusLine(SECRET), "sent too large a response, or no HTTP. Try again later."),
        (ValueError(SECRET), "could not be asked: the key cannot be sent as it is. Store it again."),
    ],
)
def test_a_probe_error_is_described_by_its_type(service: Service, error: Exception, description: str) -> None:
    """Return inconclusive, and repeat no text of the error."""
    service.result = error

    result = service_probe.verify(OpenAI(), SecretValue(SECRET))

    assert result == ("inconclusive", f"api.openai.com {description}")


def test_a_key_in_another_format_is_not_sent(service: Service) -> None:
    """Return inconclusive without a request."""
    result = service_probe.verify(OpenAI(), SecretValue("made-up-key-0123456789"))

    assert result == ("inconclusive", "The stored key is not a valid openai key. Replace it.")
    assert service.requests == []


def test_a_key_that_is_invalid_in_a_header_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Report that the key is unsendable, without the key, even if format validation lets it through."""
    monkeypatch.setattr(OpenAI, "validate", lambda *_: ())

    status, detail = service_probe.verify(OpenAI(), SecretValue(f"{SECRET}\n"), base_url="http://127.0.0.1:9")

    assert status == "inconclusive"
    assert SECRET not in detail + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "body",
    [b"[1]", b"", b"{", b'{"\xff": 1}', b"[" * 100_000, b'{"a": 1' + b"1" * 5000 + b"}"],
    ids=["list", "nothing", "cut", "no UTF-8", "too deep", "huge number"],
)
def test_a_probe_response_is_parsed_only_as_a_json_object(body: bytes) -> None:
    """Return None for any other body."""
    assert service_probe._json_object(body) is None
    assert service_probe._json_object(b'{"data": [1]}') == {"data": [1]}


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com", "http://api.example.com:80", "http://127.0.0.1", "http://127.0.0.1:80@evil.example"],
)
def test_fake_services_url_must_be_local(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Raise ConfigurationError for any URL but http://127.0.0.1 with a port."""
    monkeypatch.setenv(settings.FAKE_SERVICES_URL_VARIABLE, url)

    with pytest.raises(ConfigurationError, match="Leave it unset on AWS"):
        settings.fake_services_url()


@pytest.mark.parametrize(("value", "url"), [("", None), ("http://127.0.0.1:8123", "http://127.0.0.1:8123")])
def test_fake_services_url_is_none_by_default(monkeypatch: pytest.MonkeyPatch, value: str, url: str | None) -> None:
    """Return None if the variable is unset or empty."""
    monkeypatch.delenv("SERVICE_KEYS_FAKE_SERVICES_URL", raising=False)
    assert settings.fake_services_url() is None

    monkeypatch.setenv("SERVICE_KEYS_FAKE_SERVICES_URL", value)
    assert settings.fake_services_url() == url
