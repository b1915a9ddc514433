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

_Outcome = Reply | Exception


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
    question = service.question(material)
    connection, path = _connection(service, question, stand_in)
    outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
    # A daemon: where a name server or a drip of bytes outlives the deadline, nobody waits for it.
    threading.Thread(target=_ask, args=(connection, question, path, outcomes), daemon=True).start()
    try:
        outcome = outcomes.get(timeout=DEADLINE)
    except queue.Empty:
        outcome = TimeoutError()
        _abort(connection)
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


def _ask(
    connection: http.client.HTTPConnection, question: Question, path: str, outcomes: queue.SimpleQueue[_Outcome]
) -> None:
    try:
        headers = {"Accept": "application/json", "User-Agent": "service-keys", **question.headers}
        connection.request(question.method, path, question.body, headers)
        response = connection.getresponse()
        body = response.read(REPLY_MAX_BYTES + 1)
        too_large = len(body) > REPLY_MAX_BYTES
        outcomes.put(http.client.HTTPException() if too_large else Reply(response.status, _json_object(body)))
    except (OSError, http.client.HTTPException) as error:
        outcomes.put(error)
    finally:
        connection.close()


def _abort(connection: http.client.HTTPConnection) -> None:
    """Wake up whoever waits on the connection, if there is one by now."""
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has just ended by itself


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
        case OSError():
            return "could not be reached: the connection failed."
        case _:
            return "answered with too much, or with no HTTP."
