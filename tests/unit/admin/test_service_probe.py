"""Asking a service: where the request goes, and what keeps it there."""

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
    """The requests that were to be sent; each gets an empty response."""
    requests: list[dict[str, Any]] = []

    def request(method: str, url: str, **options: Any) -> Response:
        requests.append({"method": method, "url": url, **options})
        return Response(200, b"")

    monkeypatch.setattr(service_probe, "request", request)
    return requests


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_a_service_is_asked_over_tls_at_its_own_host(service: ServiceDefinition, sent: list[dict[str, Any]]) -> None:
    keys: dict[str, Any] = {"spotify": {"clientId": "0" * 32, "clientSecret": "f" * 32}, "anthropic": ANTHROPIC_SECRET}
    secret_value = SecretValue(keys.get(service.name, SECRET))
    question = service.build_probe(secret_value)

    service_probe.verify(service, secret_value)

    (request,) = sent
    assert request["url"] == f"https://{question.host}{question.path}"
    assert (request["method"], request["body"]) == (question.method, question.body)
    assert request["headers"] == {"Accept": "application/json", "User-Agent": "service-keys", **question.headers}
    assert (request["deadline"], request["max_bytes"]) == (6, 256 * 1024)


def test_what_stands_in_for_the_services_is_asked_at_its_address_under_their_names(sent: list[dict[str, Any]]) -> None:
    service_probe.verify(OpenAI(), SecretValue(SECRET), base_url="http://127.0.0.1:8123")

    assert [request["url"] for request in sent] == ["http://127.0.0.1:8123/openai/v1/models"]


def test_only_a_service_that_is_known_can_be_asked() -> None:
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
def test_a_check_tells_what_the_service_made_of_the_key(
    fake_services: FakeServices, chosen: str, result: tuple[str, str]
) -> None:
    fake_services.chosen["openai"] = chosen

    assert service_probe.verify(OpenAI(), SecretValue(SECRET), base_url=fake_services.url) == result


def test_a_check_ends_at_its_deadline(fake_services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_probe, "DEADLINE", 0.3)
    fake_services.chosen["openai"] = "drip"

    result = service_probe.verify(OpenAI(), SecretValue(SECRET), base_url=fake_services.url)

    assert result == ("inconclusive", "api.openai.com did not answer in time. Try again later.")


def test_a_key_of_another_shape_is_not_sent(fake_services: FakeServices) -> None:
    result = service_probe.verify(OpenAI(), SecretValue("made-up-key-0123456789"), base_url=fake_services.url)

    assert result == ("inconclusive", "The stored key has not the shape of a key of openai. Store it again.")
    assert fake_services.requests == []


def test_the_hosts_are_the_services_own() -> None:
    assert Spotify().build_probe(SecretValue({"clientId": "a", "clientSecret": "b"})).host == "accounts.spotify.com"
    assert OpenAI().build_probe(SecretValue(SECRET)).host == "api.openai.com"


def test_a_question_does_not_show_the_key() -> None:
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
def test_what_went_wrong_is_told_by_its_type(error: Exception, words: str) -> None:
    told = service_probe._describe_error(error)

    assert words in told
    assert SECRET not in told


def test_a_key_that_cannot_be_sent_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Say that the key cannot be sent, without the key, if a check of its format should let it through."""
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
def test_a_reply_is_its_status_and_its_json_object(body: bytes, read: dict[str, object] | None) -> None:
    assert service_probe._json_object(body) == read


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com", "http://api.example.com:80", "http://127.0.0.1", "http://127.0.0.1:80@evil.example"],
)
def test_only_this_machine_can_stand_in_for_a_service(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(settings.FAKE_SERVICES_URL_VARIABLE, url)

    with pytest.raises(ConfigurationError, match="Leave it unset on AWS"):
        settings.fake_services_url()


def test_nothing_stands_in_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEYS_FAKE_SERVICES_URL", raising=False)
    assert settings.fake_services_url() is None
    monkeypatch.setenv("SERVICE_KEYS_FAKE_SERVICES_URL", "")
    assert settings.fake_services_url() is None
    monkeypatch.setenv("SERVICE_KEYS_FAKE_SERVICES_URL", "http://127.0.0.1:8123")
    assert settings.fake_services_url() == "http://127.0.0.1:8123"
