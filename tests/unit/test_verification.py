"""Asking a service: where the request goes, and what keeps it there."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from local.providers import FakeProviders
from service_keys import settings, verification
from service_keys.errors import ConfigurationError, VerificationNotSupported
from service_keys.material import KeyMaterial
from service_keys.services import KNOWN_SERVICES, KnownService, OpenAI, Question, Reply, Spotify

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "sk-made-up-key-0123456789"
BODY = b"grant_type=made_up"
QUESTION = Question("POST", "127.0.0.1", "/token", {"Authorization": f"Bearer {SECRET}"}, BODY)
LARGEST = 256 * 1024


@pytest.fixture
def providers() -> Iterator[FakeProviders]:
    with FakeProviders() as providers:
        yield providers


@contextmanager
def asked(
    kind: type[http.client.HTTPConnection] = http.client.HTTPConnection,
) -> Iterator[tuple[verification._Attempt, socket.socket, bytes]]:
    """An attempt, and the other end of its connection, where the request has arrived."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        attempt = verification._Attempt(kind("127.0.0.1", listener.getsockname()[1], timeout=30), "/token", QUESTION)
        service, _ = listener.accept()
        with service:
            service.settimeout(10)
            request = b""
            while not request.endswith(BODY):
                request += service.recv(65536)
            yield attempt, service, request


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def reset(service: socket.socket) -> None:
    # No linger: the other end sees a reset, not an end.
    service.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    service.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "service-keys-verification"]


@pytest.mark.parametrize("service", KNOWN_SERVICES.values(), ids=lambda service: service.name)
def test_a_service_is_asked_over_tls_at_its_own_host(service: KnownService) -> None:
    keys = {"spotify": {"clientId": "0" * 32, "clientSecret": "f" * 32}}
    question = service.question(KeyMaterial(keys.get(service.name, SECRET)))

    connection, path = verification._connection(service, question, None)

    assert isinstance(connection, http.client.HTTPSConnection)
    assert connection.host == question.host
    assert connection.timeout == 3
    assert connection._context.verify_mode == ssl.CERT_REQUIRED  # type: ignore[attr-defined]
    assert connection._context.check_hostname is True  # type: ignore[attr-defined]
    assert path == question.path


def test_what_stands_in_for_the_services_is_asked_at_its_address_under_their_names() -> None:
    question = OpenAI().question(KeyMaterial(SECRET))

    connection, path = verification._connection(OpenAI(), question, "http://127.0.0.1:8123")

    assert type(connection) is http.client.HTTPConnection
    assert (connection.host, connection.port, connection.timeout) == ("127.0.0.1", 8123, 3)
    assert path == "/openai/v1/models"


def test_a_service_has_three_seconds_for_each_part_of_its_answer_and_six_for_everything() -> None:
    assert (verification.SOCKET_TIMEOUT, verification.DEADLINE) == (3, 6)


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


# --- one attempt ----------------------------------------------------------------------------------------------------


def test_a_request_names_itself_asks_for_json_and_carries_the_question() -> None:
    with asked() as (attempt, service, request):
        service.sendall(answer(b"{}"))
        attempt.outcome(10)

    lines = request.decode().split("\r\n")
    assert lines[0] == "POST /token HTTP/1.1"
    expected = {"Accept: application/json", "User-Agent: service-keys", f"Authorization: Bearer {SECRET}"}
    assert expected <= set(lines)
    assert lines[-2:] == ["", BODY.decode()]


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"data": [1]}', {"data": [1]}),
        (b"[1]", None),
        (b"", None),
        (b"{", None),
        (b'{"\xff": 1}', None),
        (b"[" * 100_000, None),
    ],
    ids=["object", "list", "nothing", "cut", "no UTF-8", "too deep"],
)
def test_a_reply_is_its_status_and_its_json_object(body: bytes, read: dict[str, object] | None) -> None:
    with asked() as (attempt, service, _):
        service.sendall(answer(body, "418 I'm a teapot"))
        outcome = attempt.outcome(10)

    assert outcome == Reply(418, read)


def test_a_reply_of_256_kib_is_read_and_none_with_a_byte_more() -> None:
    body = json.dumps({"data": ""}).encode().ljust(LARGEST)
    outcomes = []
    for sent in (body, body + b" "):
        with asked() as (attempt, service, _):
            service.sendall(answer(sent))
            outcomes.append(attempt.outcome(10))

    assert outcomes[0] == Reply(200, {"data": ""})
    assert type(outcomes[1]) is http.client.HTTPException


def test_of_a_reply_without_end_no_more_is_read_than_shows_that_it_is_too_large() -> None:
    with asked() as (attempt, service, _):
        service.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (LARGEST + 1))
        outcome = attempt.outcome(3)

    assert type(outcome) is http.client.HTTPException


def test_an_answer_that_is_no_http_is_no_reply() -> None:
    with asked() as (attempt, service, _):
        service.sendall(b"220 smtp.example.com\r\n")

        assert isinstance(attempt.outcome(10), http.client.BadStatusLine)


def test_a_connection_that_ends_gives_no_reply() -> None:
    with asked() as (attempt, service, _):
        reset(service)

        assert isinstance(attempt.outcome(10), ConnectionResetError)


def test_once_it_is_answered_the_connection_is_closed() -> None:
    with asked() as (attempt, service, _):
        service.sendall(answer(b"{}"))

        assert attempt.outcome(10) == Reply(200, {})
        assert service.recv(1) == b"", "the other end is closed"


def test_while_it_waits_it_keeps_no_process_alive() -> None:
    before = threads()
    with asked() as (attempt, service, _):
        (waiting,) = set(threads()) - set(before)
        service.sendall(answer(b"{}"))
        attempt.outcome(10)

    assert waiting.daemon


def test_after_the_deadline_nothing_of_it_is_left() -> None:
    before = threads()
    with asked() as (attempt, service, _):
        service.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n ")

        assert isinstance(attempt.outcome(0.2), TimeoutError)

        for thread in set(threads()) - set(before):
            thread.join(5)
            assert not thread.is_alive()


RELEASED = threading.Event()


class Late(http.client.HTTPConnection):
    """Waits for a name server that does not answer for long."""

    def connect(self) -> None:
        RELEASED.wait(30)
        super().connect()


def test_where_the_connection_comes_after_the_deadline_the_key_is_not_sent() -> None:
    RELEASED.clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        attempt = verification._Attempt(Late("127.0.0.1", listener.getsockname()[1], timeout=10), "/", QUESTION)

        assert isinstance(attempt.outcome(0.1), TimeoutError)

        RELEASED.set()
        service, _ = listener.accept()
        with service:
            service.settimeout(10)
            assert service.recv(65536) == b""
        assert isinstance(attempt.outcome(10), TimeoutError)


class Held(http.client.HTTPConnection):
    """Looks for the answer later."""

    def getresponse(self) -> http.client.HTTPResponse:
        RELEASED.wait(30)
        return super().getresponse()


def test_a_connection_that_ends_by_itself_can_be_cut_all_the_same() -> None:
    RELEASED.clear()
    with asked(Held) as (attempt, service, _):
        reset(service)

        assert isinstance(attempt.outcome(0.1), TimeoutError)
    RELEASED.set()
    assert isinstance(attempt.outcome(10), OSError)


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
