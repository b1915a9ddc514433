"""Asks an external service whether it takes a key.

The host is fixed in `service_keys.services`, the connection is TLS, redirects are not followed, and the response is
bounded in size and, with everything before it, in time (`service_keys.bounded_http`).
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import TYPE_CHECKING, Final

from service_keys.bounded_http import request
from service_keys.errors import VerificationNotSupported
from service_keys.services import KNOWN_SERVICES, KnownService, Question, Reply

if TYPE_CHECKING:
    from service_keys.material import KeyMaterial
    from service_keys.models import VerificationStatus

DEADLINE: Final = 6.0
"""Seconds for everything, the DNS lookup included."""
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
    try:
        reply = _ask(service, question, stand_in)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return "inconclusive", f"{question.host} {_words(error)}"
    return service.judgement(reply)


def _ask(service: KnownService, question: Question, stand_in: str | None) -> Reply:
    base = f"https://{question.host}" if stand_in is None else f"{stand_in}/{service.name}"
    headers = {"Accept": "application/json", "User-Agent": "service-keys", **question.headers}
    response = request(
        question.method,
        base + question.path,
        headers=headers,
        body=question.body,
        deadline=DEADLINE,
        max_bytes=REPLY_MAX_BYTES,
    )
    return Reply(response.status, _json_object(response.body))


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
            return "did not answer in time. Try again later."
        case ssl.SSLError():
            return "could not be reached: no secure connection (TLS). Try again later."
        case socket.gaierror():
            return "could not be reached: its name was not found (DNS). Try again later."
        case ValueError():
            return "could not be asked: the key cannot be sent as it is. Store it again."
        case OSError():
            return "could not be reached: the connection failed. Try again later."
        case _:
            return "answered with too much, or with no HTTP. Try again later."
