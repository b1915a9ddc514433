"""The external services that are known by name: what their keys look like.

A service that is not known here can have a key of any shape. To add one, write one class and register it below.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Protocol

from service_keys.errors import Detail

if TYPE_CHECKING:
    from service_keys.material import KeyMaterial


class KnownService(Protocol):
    """What there is to know about one external service."""

    name: ClassVar[str]
    """As in a key's ``service``."""

    def problems(self, material: KeyMaterial) -> tuple[Detail, ...]:
        """Say what keeps this from being a key of the service; empty where nothing does."""
        ...


class Spotify:
    """Spotify Web API: the credentials of an application.

    Source: https://developer.spotify.com/documentation/web-api/concepts/apps
    """

    name: ClassVar[str] = "spotify"
    _CREDENTIAL = re.compile(r"[0-9a-fA-F]{32}")

    def problems(self, material: KeyMaterial) -> tuple[Detail, ...]:
        """Expect exactly ``clientId`` and ``clientSecret``, 32 hexadecimal characters each."""
        parts = material.reveal()
        if isinstance(parts, str) or parts.keys() != {"clientId", "clientSecret"}:
            expected = (
                "a Spotify key is an object with exactly clientId and clientSecret, 32 hexadecimal characters each"
            )
            return (Detail("key", expected),)
        return tuple(
            Detail(f"key.{part}", f"a Spotify {part} is exactly 32 hexadecimal characters; copy it from the dashboard")
            for part, value in parts.items()
            if not self._CREDENTIAL.fullmatch(value)
        )


class OpenAI:
    """OpenAI: an API key, with the organization and project that it acts for where they are needed.

    Source: https://platform.openai.com/docs/api-reference/authentication
    """

    name: ClassVar[str] = "openai"
    _KEY = re.compile(r"sk-[!-~]+")
    _OPTIONAL = frozenset({"organization", "project"})

    def problems(self, material: KeyMaterial) -> tuple[Detail, ...]:
        """Expect a string that begins ``sk-``, or an object with it as ``apiKey`` and no more than the options."""
        value = material.reveal()
        if isinstance(value, str):
            field, api_key = "key", value
        elif "apiKey" in value and value.keys() - {"apiKey"} <= self._OPTIONAL:
            field, api_key = "key.apiKey", value["apiKey"]
        else:
            expected = "an OpenAI key is a string, or an object with apiKey and optionally organization and project"
            return (Detail("key", expected),)
        if self._KEY.fullmatch(api_key):
            return ()
        return (Detail(field, "an OpenAI key begins with sk- and has no white space; copy it from the dashboard"),)


KNOWN_SERVICES: dict[str, KnownService] = {service.name: service for service in (Spotify(), OpenAI())}


def problems(service: str, material: KeyMaterial) -> tuple[Detail, ...]:
    """Say what keeps ``material`` from being a key of ``service``; nothing does where the service is not known."""
    known = KNOWN_SERVICES.get(service)
    return known.problems(material) if known else ()
