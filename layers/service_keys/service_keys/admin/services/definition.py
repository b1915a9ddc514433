"""The interface of a known service, and the interpretation of standard HTTP statuses."""

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
    """What came of it, and that in our own words: nothing of an answer is ever repeated."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """A request that tells whether a key works, and changes nothing. Its headers hold the key, so none are shown."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """What a service answered: the status, and the JSON object where the body is one."""

    status: int
    json: Mapping[str, Any] | None = field(repr=False)


class ServiceDefinition(Protocol):
    """What there is to know about one external service."""

    name: ClassVar[str]
    """As in a key's ``service``."""

    def validate(self, secret_value: SecretValue) -> tuple[FieldError, ...]:
        """Say what keeps this from being a key of the service; empty where nothing does."""
        ...

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return the request that tells whether the key works."""
        ...

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Say what the answer to `question` means."""
        ...


VISIBLE_ASCII: Final = re.compile(r"[!-~]+")


def interpret_by_status(response: ProbeResponse, title: str) -> ProbeResult:
    """Say what a status means without a statement of the service ``title`` on the key.

    Never ``rejected``: a proxy or a firewall answers with such a status, too.
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
