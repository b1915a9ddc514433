"""The known services. To add one, follow "Add a service" in CONTRIBUTING.md, which lists every place to change.

Keys of unknown services can have any format. Only keys of a `VerifiableService` can be verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service_keys.admin.services.anthropic import Anthropic
from service_keys.admin.services.deezer import Deezer
from service_keys.admin.services.definition import VerifiableService
from service_keys.admin.services.gemini import Gemini
from service_keys.admin.services.genius import Genius
from service_keys.admin.services.lastfm import LastFm
from service_keys.admin.services.mistral import Mistral
from service_keys.admin.services.openai import OpenAI
from service_keys.admin.services.spotify import Spotify
from service_keys.admin.services.youtube import YouTube

if TYPE_CHECKING:
    from service_keys.admin.services.definition import ServiceDefinition
    from service_keys.core.secret_value import SecretValue
    from service_keys.errors import FieldError

SERVICES: Final[dict[str, ServiceDefinition]] = {
    service.name: service
    for service in (
        Spotify(),
        OpenAI(),
        Anthropic(),
        Gemini(),
        Mistral(),
        LastFm(),
        Genius(),
        YouTube(),
        Deezer(),
    )
}
"""Each known service by its name, in the order of lists."""
VERIFIABLE_SERVICES: Final = {
    name: service for name, service in SERVICES.items() if isinstance(service, VerifiableService)
}


def validate(service: str, secret_value: SecretValue) -> tuple[FieldError, ...]:
    """Return the format errors of a key of ``service``; empty if the key is valid or the service is not known."""
    known = SERVICES.get(service)
    return known.validate(secret_value) if known else ()
