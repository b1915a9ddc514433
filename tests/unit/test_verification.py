"""Asking a service: where the request goes, and what keeps it there."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from local.providers import FakeProviders
from service_keys import settings, verification
from service_keys.bounded_http import Response
from service_keys.errors import ConfigurationError, VerificationNotSupported
from service_keys.material import KeyMaterial
from service_keys.services import KNOWN_SERVICES, KnownService, OpenAI, Spotify

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "sk-made-up-key-0123456789"
ANTHROPIC_SECRET = "sk-ant-made-up-key-0123456789"


@pytest.fixture
def providers() -> Iterator[FakeProviders]:
    with FakeProviders() as providers:
        yield providers


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests that were to be sent; each gets an empty response."""
    requests: list[dict[str, Any]] = []

    def request(method: str, url: str, **options: Any) -> Response:
        requests.append({"method": method, "url": url, **options})
        return Response(200, b"")

    monkeypatch.setattr(verification, "request", request)
    return requests


@pytest.mark.parametrize("service", KNOWN_SERVICES.values(), ids=lambda service: service.name)
def test_a_service_is_asked_over_tls_at_its_own_host(service: KnownService, sent: list[dict[str, Any]]) -> None:
    keys: dict[str, Any] = {"spotify": {"clientId": "0" * 32, "clientSecret": "f" * 32}, "anthropic": ANTHROPIC_SECRET}
    material = KeyMaterial(keys.get(service.name, SECRET))
    question = service.question(material)

    verification.verify(service, material)

    (request,) = sent
    assert request["url"] == f"https://{question.host}{question.path}"
    assert (request["method"], request["body"]) == (question.method, question.body)
    assert request["headers"] == {"Accept": "application/json", "User-Agent": "service-keys", **question.headers}
    assert (request["deadline"], request["max_bytes"]) == (6, 256 * 1024)


def test_what_stands_in_for_the_services_is_asked_at_its_address_under_their_names(sent: list[dict[str, Any]]) -> None:
    verification.verify(OpenAI(), KeyMaterial(SECRET), stand_in="http://127.0.0.1:8123")

    assert [request["url"] for request in sent] == ["http://127.0.0.1:8123/openai/v1/models"]


def test_only_a_service_that_is_known_can_be_asked() -> None:
    assert verification.known_service("openai") is KNOWN_SERVICES["openai"]
    with pytest.raises(VerificationNotSupported, match=r"keys of 'lastfm'.* for spotify, openai, anthropic\."):
        verification.known_service("lastfm")


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
    providers: FakeProviders, chosen: str, result: tuple[str, str]
) -> None:
    providers.chosen["openai"] = chosen

    assert verification.verify(OpenAI(), KeyMaterial(SECRET), stand_in=providers.url) == result


def test_a_check_ends_at_its_deadline(providers: FakeProviders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "DEADLINE", 0.3)
    providers.chosen["openai"] = "drip"

    result = verification.verify(OpenAI(), KeyMaterial(SECRET), stand_in=providers.url)

    assert result == ("inconclusive", "api.openai.com did not answer in time. Try again later.")


def test_a_key_of_another_shape_is_not_sent(providers: FakeProviders) -> None:
    result = verification.verify(OpenAI(), KeyMaterial("made-up-key-0123456789"), stand_in=providers.url)

    assert result == ("inconclusive", "The stored key has not the shape of a key of openai. Store it again.")
    assert providers.requests == []


def test_the_hosts_are_the_services_own() -> None:
    assert Spotify().question(KeyMaterial({"clientId": "a", "clientSecret": "b"})).host == "accounts.spotify.com"
    assert OpenAI().question(KeyMaterial(SECRET)).host == "api.openai.com"


def test_a_question_does_not_show_the_key() -> None:
    assert SECRET not in repr(OpenAI().question(KeyMaterial(SECRET)))


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
    told = verification._words(error)

    assert words in told
    assert SECRET not in told


def test_a_key_that_cannot_be_sent_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Say that the key cannot be sent, without the key, if a check of its format should let it through."""
    monkeypatch.setattr(OpenAI, "problems", lambda *_: ())

    result = verification.verify(OpenAI(), KeyMaterial(f"{SECRET}\n"), stand_in="http://127.0.0.1:9")

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
    assert verification._json_object(body) == read


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com", "http://api.example.com:80", "http://127.0.0.1", "http://127.0.0.1:80@evil.example"],
)
def test_only_this_machine_can_stand_in_for_a_service(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(settings.PROVIDERS_URL, url)

    with pytest.raises(ConfigurationError, match="Leave it unset on AWS"):
        settings.providers_url()


def test_nothing_stands_in_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEYS_PROVIDERS_URL", raising=False)
    assert settings.providers_url() is None
    monkeypatch.setenv("SERVICE_KEYS_PROVIDERS_URL", "")
    assert settings.providers_url() is None
    monkeypatch.setenv("SERVICE_KEYS_PROVIDERS_URL", "http://127.0.0.1:8123")
    assert settings.providers_url() == "http://127.0.0.1:8123"
