"""Interface of a service definition, and the default interpretation of HTTP statuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_keys.core.models import VerificationStatus
    from service_keys.core.secret_value import SecretValue
    from service_keys.errors import FieldError

    ProbeResult = tuple[VerificationStatus, str]
    """Status and a description. Never quotes the service's response."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Read-only request that verifies a key. Its `repr` omits headers and body, which can contain the key."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """Response to a probe: the status, and the body if it is a JSON object."""

    status: int
    json: Mapping[str, Any] | None = field(repr=False)


class ServiceDefinition(Protocol):
    """The key format and the probe of a known service."""

    name: ClassVar[str]
    """The value of a key's ``service``."""

    def validate(self, secret_value: SecretValue) -> tuple[FieldError, ...]:
        """Return the errors in the key's format; empty if it is valid."""
        ...

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return the request that verifies the key."""
        ...

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Return the verification result for the response to the probe."""
        ...


VISIBLE_ASCII: Final = re.compile(r"[!-~]+")


def interpret_by_status(response: ProbeResponse, title: str) -> ProbeResult:
    """Interpret the status of a response whose body makes no known statement about the key.

    The result is never ``rejected``, because a proxy or a firewall can return the same status.

    Args:
        response: The response.
        title: The service's name in the description.
    """
    if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        detail = (
            f"{title} refused the check ({response.status}), but does not say that the key is wrong. The key may be "
            "restricted to other permissions, addresses or organizations."
        )
        return "inconclusive", detail
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return "inconclusive", f"{title} limits the rate of requests (429). Try again later."
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "inconclusive", f"{title} is failing ({response.status}). Try again later."
    if response.status == HTTPStatus.OK:
        return "inconclusive", f"{title} answered, but not with what it documents (200)."
    return "inconclusive", f"{title} answered in a way that says nothing of the key ({response.status})."


def nested(response: ProbeResponse, *path: str) -> object:
    """Return a nested member of the JSON object, or None."""
    found: object = response.json
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
