"""The external services that the admin API knows. To add one: a module beside the others, and a line in `SERVICES`.

A service that is not known here can have a key of any format, and its keys cannot be verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service_keys.admin.services.anthropic import Anthropic
from service_keys.admin.services.openai import OpenAI
from service_keys.admin.services.spotify import Spotify

if TYPE_CHECKING:
    from service_keys.admin.services.definition import ServiceDefinition
    from service_keys.core.secret_value import SecretValue
    from service_keys.errors import FieldError

SERVICES: dict[str, ServiceDefinition] = {service.name: service for service in (Spotify(), OpenAI(), Anthropic())}


def validate(service: str, secret_value: SecretValue) -> tuple[FieldError, ...]:
    """Say what keeps ``secret_value`` from being a key of ``service``; nothing does where the service is not known."""
    known = SERVICES.get(service)
    return known.validate(secret_value) if known else ()
