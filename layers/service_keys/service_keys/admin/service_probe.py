"""Verification of a key by a probe of its external service.

The service definition fixes the host. The connection uses TLS, redirects are not followed, and the probe has a deadline
and a maximum response size (`service_keys.admin.bounded_http`).
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import TYPE_CHECKING, Final

from service_keys import __version__
from service_keys.admin.bounded_http import request
from service_keys.admin.services import SERVICES, VERIFIABLE_SERVICES
from service_keys.admin.services.definition import ProbeRequest, ProbeResponse, VerifiableService
from service_keys.errors import VerificationNotSupportedError

if TYPE_CHECKING:
    from service_keys.core.models import VerificationStatus
    from service_keys.core.secret_value import SecretValue

DEADLINE: Final = 6.0
"""Seconds for the whole probe, including the DNS lookup."""
RESPONSE_MAX_BYTES: Final = 256 * 1024


def get_service(service: str) -> VerifiableService:
    """Return the definition of a service with a probe.

    Raises:
        VerificationNotSupportedError: The service is not known, or has no probe.
    """
    if service in VERIFIABLE_SERVICES:
        return VERIFIABLE_SERVICES[service]
    if service in SERVICES:
        reason = f"{SERVICES[service].title} has no free and harmless call that shows if it accepts a key"
    else:
        reason = f"There is no way to check keys of {service!r}"
    raise VerificationNotSupportedError(f"{reason}. It can be done for {', '.join(VERIFIABLE_SERVICES)}.")


def verify(
    service: VerifiableService, secret_value: SecretValue, *, base_url: str | None = None
) -> tuple[VerificationStatus, str]:
    """Probe the service with the key, and return the verification status and a description.

    Args:
        service: The key's service.
        secret_value: The secret value.
        base_url: The URL of the fake services, in local runs and tests.
    """
    if service.validate(secret_value):
        # Never send a malformed key: it was stored before the service had a definition.
        return "inconclusive", f"The stored key is not a valid {service.name} key. Replace it."
    probe = service.build_probe(secret_value)
    try:
        response = _send_probe(service, probe, base_url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return "inconclusive", f"{probe.host} {_describe_error(error)}"
    return service.interpret(response)


def _send_probe(service: VerifiableService, probe: ProbeRequest, base_url: str | None) -> ProbeResponse:
    base = f"https://{probe.host}" if base_url is None else f"{base_url}/{service.name}"
    headers = {"Accept": "application/json", "User-Agent": f"service-keys/{__version__}", **probe.headers}
    response = request(
        probe.method,
        base + probe.path,
        headers=headers,
        body=probe.body,
        deadline=DEADLINE,
        max_bytes=RESPONSE_MAX_BYTES,
    )
    return ProbeResponse(response.status, _json_object(response.body))


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        loaded = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _describe_error(error: Exception) -> str:
    """Describe an error by its type only: its message can contain parts of the request or response."""
    match error:
        case TimeoutError():
            return "did not respond in time. Try again later."
        case ssl.SSLError():
            return "could not be reached: no secure connection (TLS). Try again later."
        case socket.gaierror():
            return "could not be reached: its name was not found (DNS). Try again later."
        case ValueError():
            return "could not be asked: the key cannot be sent as it is. Store it again."
        case OSError():
            return "could not be reached: the connection failed. Try again later."
        case _:
            return "sent too large a response, or no HTTP. Try again later."
