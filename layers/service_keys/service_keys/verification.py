"""Asks an external service whether it takes a key.

The host is fixed in `service_keys.services`, the connection is TLS, redirects are not followed, and what is read is
bounded in size and, whatever the other side does, in time.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from service_keys.errors import VerificationNotSupported
from service_keys.services import KNOWN_SERVICES, KnownService, Question, Reply

if TYPE_CHECKING:
    from service_keys.material import KeyMaterial
    from service_keys.models import VerificationStatus

SOCKET_TIMEOUT: Final = 3.0
"""Seconds to connect, and between two parts of an answer."""
DEADLINE: Final = 6.0
"""Seconds for everything, the look-up of the host's name included."""
REPLY_MAX_BYTES: Final = 256 * 1024


def known_service(service: str) -> KnownService:
    """Return the service to ask about its keys.

    Raises:
        VerificationNotSupported: It is not known here.
    """
    if service not in KNOWN_SERVICES:
        raise VerificationNotSupported(
            f"There is no way to check keys of {service!r}. It can be done for {', '.join(KNOWN_SERVICES)}."
        )
    return KNOWN_SERVICES[service]


def verify(
    service: KnownService, material: KeyMaterial, *, stand_in: str | None = None
) -> tuple[VerificationStatus, str]:
    """Return whether the service takes the key, and that in words.

    Args:
        service: The key's service.
        material: The key.
        stand_in: URL of what is asked instead of the service, in a local run or a test.
    """
    if service.problems(material):
        # Stored before the service was known here: it must not be sent anywhere in a shape that nobody checked.
        return "inconclusive", f"The stored key has not the shape of a key of {service.name}. Store it again."
    question = service.question(material)
    connection, path = _connection(service, question, stand_in)
    attempt = _Attempt(connection, path, question)
    outcome = attempt.outcome(DEADLINE)
    if isinstance(outcome, Reply):
        return service.judgement(outcome)
    return "inconclusive", f"{question.host} {_words(outcome)} Try again later."


def _connection(
    service: KnownService, question: Question, stand_in: str | None
) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection to the service, or to what stands for it, and the path there."""
    if stand_in is None:
        return http.client.HTTPSConnection(question.host, timeout=SOCKET_TIMEOUT), question.path
    address = urlsplit(stand_in)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=SOCKET_TIMEOUT)
    return connection, f"/{service.name}{question.path}"


class _Attempt:
    """One request, in a thread of its own: neither a name server nor a drip of bytes minds a socket's timeout."""

    def __init__(self, connection: http.client.HTTPConnection, path: str, question: Question) -> None:
        self._connection = connection
        self._path = path
        self._question = question
        self._socket: socket.socket | None = None
        self._given_up = False
        self._outcomes: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()
        # A daemon: what does not end when its connection is cut, such as the look-up of a name, is left behind.
        threading.Thread(target=self._ask, name="service-keys-verification", daemon=True).start()

    def outcome(self, deadline: float) -> Reply | Exception:
        """Wait for the reply, or for what came instead; cut the connection after so many seconds."""
        try:
            return self._outcomes.get(timeout=deadline)
        except queue.Empty:
            self._given_up = True
            if self._socket is not None:
                with suppress(OSError):  # it may have ended by itself just now
                    self._socket.shutdown(socket.SHUT_RDWR)
            return TimeoutError()

    def _ask(self) -> None:
        headers = {"Accept": "application/json", "User-Agent": "service-keys", **self._question.headers}
        try:
            self._connection.connect()
            # Kept, for the connection lets go of it once the answer begins.
            self._socket = self._connection.sock
            if self._given_up:  # before there was anything to cut
                raise TimeoutError
            self._connection.request(self._question.method, self._path, self._question.body, headers)
            with self._connection.getresponse() as response:
                body = response.read(REPLY_MAX_BYTES + 1)
            too_large = len(body) > REPLY_MAX_BYTES
            self._outcomes.put(http.client.HTTPException() if too_large else Reply(response.status, _json_object(body)))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._outcomes.put(error)
        finally:
            self._connection.close()


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        loaded = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _words(error: Exception) -> str:
    """Say what went wrong by the type alone: the text of such an error can hold what was sent or received."""
    match error:
        case TimeoutError():
            return "did not answer in time."
        case ssl.SSLError():
            return "could not be reached: no secure connection (TLS)."
        case socket.gaierror():
            return "could not be reached: its name was not found (DNS)."
        case ValueError():
            return "could not be asked: the key cannot be sent as it is."
        case OSError():
            return "could not be reached: the connection failed."
        case _:
            return "answered with too much, or with no HTTP."
