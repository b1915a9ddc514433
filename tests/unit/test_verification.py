"""Asking a service: where the request goes, and what keeps it there."""

import http.client
import socket
import ssl

import pytest

from service_keys import settings, verification
from service_keys.errors import ConfigurationError
from service_keys.material import KeyMaterial
from service_keys.services import KNOWN_SERVICES, KnownService, OpenAI, Question, Spotify

SECRET = "sk-made-up-key-0123456789"


@pytest.mark.parametrize("service", KNOWN_SERVICES.values(), ids=lambda service: service.name)
def test_a_service_is_asked_over_tls_at_its_own_host(service: KnownService) -> None:
    keys = {"spotify": {"clientId": "0" * 32, "clientSecret": "f" * 32}}
    question = service.question(KeyMaterial(keys.get(service.name, SECRET)))

    connection, path = verification._connection(service, question, None)

    assert isinstance(connection, http.client.HTTPSConnection)
    assert connection.host == question.host
    assert connection._context.verify_mode == ssl.CERT_REQUIRED  # type: ignore[attr-defined]
    assert connection._context.check_hostname is True  # type: ignore[attr-defined]
    assert path == question.path


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
    ],
)
def test_what_went_wrong_is_told_by_its_type(error: Exception, words: str) -> None:
    told = verification._words(error)

    assert words in told
    assert SECRET not in told


def test_a_name_that_is_not_found_is_told() -> None:
    question = Question("GET", "no-such-host.invalid", "/", {})

    attempt = verification._Attempt(http.client.HTTPSConnection(question.host, timeout=3), "/", question)

    assert isinstance(attempt.outcome(10), socket.gaierror)


def test_a_header_that_cannot_be_sent_ends_without_a_word_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    question = Question("GET", "127.0.0.1", "/", {"Authorization": f"Bearer {SECRET}\n"})
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.getsockname()[1], timeout=3)

        outcome = verification._Attempt(connection, "/", question).outcome(10)

    assert isinstance(outcome, ValueError)
    assert SECRET not in verification._words(outcome) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com", "http://api.example.com:80", "http://127.0.0.1", "http://127.0.0.1:80@evil.example"],
)
def test_only_this_machine_can_stand_in_for_a_service(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(settings.PROVIDERS_URL, url)

    with pytest.raises(ConfigurationError, match="Leave it unset on AWS"):
        settings.providers_url()


def test_nothing_stands_in_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("", None):
        monkeypatch.setenv(settings.PROVIDERS_URL, url or "")
        assert settings.providers_url() is None
    monkeypatch.setenv(settings.PROVIDERS_URL, "http://127.0.0.1:8123")
    assert settings.providers_url() == "http://127.0.0.1:8123"
