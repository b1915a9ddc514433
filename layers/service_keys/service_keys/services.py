"""The external services that are known by name: what their keys look like, and how to ask whether one works.

A service that is not known here can have a key of any shape, and cannot be asked. To add one, write one class, register
it below, and give it a reader policy in template.yaml.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from service_keys.errors import Detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_keys.material import KeyMaterial
    from service_keys.models import VerificationStatus

    Judgement = tuple[VerificationStatus, str]
    """What came of it, and that in our own words: nothing of an answer is ever repeated."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request that tells whether a key works, and changes nothing. Its headers hold the key, so none are shown."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service answered: the status, and the JSON object where the body is one."""

    status: int
    json: Mapping[str, Any] | None = field(repr=False)


class KnownService(Protocol):
    """What there is to know about one external service."""

    name: ClassVar[str]
    """As in a key's ``service``."""

    def problems(self, material: KeyMaterial) -> tuple[Detail, ...]:
        """Say what keeps this from being a key of the service; empty where nothing does."""
        ...

    def question(self, material: KeyMaterial) -> Question:
        """Return the request that tells whether the key works."""
        ...

    def judgement(self, reply: Reply) -> Judgement:
        """Say what the answer to `question` means."""
        ...


class Spotify:
    """Spotify Web API: the credentials of an application.

    Sources: https://developer.spotify.com/documentation/web-api/concepts/apps,
    https://developer.spotify.com/documentation/web-api/tutorials/client-credentials-flow
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

    def question(self, material: KeyMaterial) -> Question:
        """Ask for a token, which a client may do as often as it likes."""
        parts: Any = material.reveal()
        basic = base64.b64encode(f"{parts['clientId']}:{parts['clientSecret']}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        return Question("POST", "accounts.spotify.com", "/api/token", headers, b"grant_type=client_credentials")

    def judgement(self, reply: Reply) -> Judgement:
        """Spotify answers 400 ``invalid_client`` to a wrong id or secret."""
        if reply.status == OK and reply.json is not None and "access_token" in reply.json:
            return "valid", "Spotify gave a token for the key."
        if reply.status == BAD_REQUEST and (reply.json or {}).get("error") == "invalid_client":
            return "rejected", "Spotify does not know this client, or its secret is another one by now."
        return usual(reply, "Spotify")


class OpenAI:
    """OpenAI: an API key, with the organization and project that it acts for where they are needed.

    Sources: https://platform.openai.com/docs/api-reference/authentication,
    https://platform.openai.com/docs/guides/error-codes
    """

    name: ClassVar[str] = "openai"
    _KEY = re.compile(r"sk-[!-~]+")
    _OPTIONS: ClassVar[dict[str, str]] = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}

    def problems(self, material: KeyMaterial) -> tuple[Detail, ...]:
        """Expect a string that begins ``sk-``, or an object with it as ``apiKey`` and no more than the options."""
        value = material.reveal()
        if isinstance(value, str):
            field_name, parts = "key", {"apiKey": value}
        elif "apiKey" in value and value.keys() - {"apiKey"} <= self._OPTIONS.keys():
            field_name, parts = "key.apiKey", value
        else:
            expected = "an OpenAI key is a string, or an object with apiKey and optionally organization and project"
            return (Detail("key", expected),)
        found = []
        if parts["apiKey"].startswith("sk-ant-"):
            words = "this is an Anthropic key; store it for the service anthropic, or give the OpenAI key"
            found.append(Detail(field_name, words))
        elif not self._KEY.fullmatch(parts["apiKey"]):
            words = "an OpenAI key begins with sk- and has no white space; copy it from the dashboard"
            found.append(Detail(field_name, words))
        found += [
            Detail(f"key.{option}", "use visible ASCII characters, as in the id that the dashboard shows")
            for option in parts.keys() & self._OPTIONS.keys()
            if not VISIBLE_ASCII.fullmatch(parts[option])
        ]
        return tuple(found)

    def question(self, material: KeyMaterial) -> Question:
        """List the models, which costs nothing."""
        value = material.reveal()
        parts = {"apiKey": value} if isinstance(value, str) else value
        headers = {"Authorization": f"Bearer {parts['apiKey']}"}
        headers |= {header: parts[option] for option, header in self._OPTIONS.items() if option in parts}
        return Question("GET", "api.openai.com", "/v1/models", headers)

    def judgement(self, reply: Reply) -> Judgement:
        """A 403 is about the key, but for the country that the request comes from."""
        if reply.status == OK and reply.json is not None and "data" in reply.json:
            return "valid", "OpenAI listed its models for the key."
        code = _member(reply, "error", "code")
        if reply.status == TOO_MANY_REQUESTS and code == "insufficient_quota":
            return "inconclusive", "OpenAI: the quota is exhausted (429). See the plan and billing details."
        if reply.status == FORBIDDEN and code == "unsupported_country_region_territory":
            return "inconclusive", "OpenAI does not serve the region that this function runs in (403)."
        return usual(reply, "OpenAI")


class Anthropic:
    """Anthropic: an API key of a workspace.

    Sources: https://docs.anthropic.com/en/api/overview, https://docs.anthropic.com/en/api/models-list,
    https://docs.anthropic.com/en/api/errors
    """

    name: ClassVar[str] = "anthropic"
    _KEY = re.compile(r"sk-ant-[!-~]+")

    def problems(self, material: KeyMaterial) -> tuple[Detail, ...]:
        """Expect a string that begins ``sk-ant-``."""
        value = material.reveal()
        if isinstance(value, str) and self._KEY.fullmatch(value):
            return ()
        words = "an Anthropic key is a string that begins with sk-ant- and has no white space; copy it from the console"
        return (Detail("key", words),)

    def question(self, material: KeyMaterial) -> Question:
        """List the models, which costs nothing."""
        headers = {"x-api-key": str(material.reveal()), "anthropic-version": "2023-06-01"}
        return Question("GET", "api.anthropic.com", "/v1/models", headers)

    def judgement(self, reply: Reply) -> Judgement:
        """Say what the usual statuses mean: Anthropic adds none of its own but 529, which is its overload."""
        if reply.status == OK and reply.json is not None and "data" in reply.json:
            return "valid", "Anthropic listed its models for the key."
        return usual(reply, "Anthropic")


OK, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, SERVER_ERROR = 200, 400, 401, 403, 429, 500
VISIBLE_ASCII: Final = re.compile(r"[!-~]+")


def usual(reply: Reply, who: str) -> Judgement:
    """Say what an answer means that has no meaning of its own at the service ``who``."""
    if reply.status == UNAUTHORIZED:
        return "rejected", f"{who} refuses the key (401): it is wrong, or was revoked."
    if reply.status == FORBIDDEN:
        return "rejected", f"{who} refuses the key (403): it lacks a permission."
    if reply.status == TOO_MANY_REQUESTS:
        return "inconclusive", f"{who} limits the rate of requests (429). Try again later."
    if reply.status >= SERVER_ERROR:
        return "inconclusive", f"{who} is failing ({reply.status}). Try again later."
    if reply.status == OK:
        return "inconclusive", f"{who} answered, but not with what it documents (200)."
    return "inconclusive", f"{who} answered in a way that says nothing of the key ({reply.status})."


def _member(reply: Reply, *path: str) -> object:
    found: object = reply.json
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


KNOWN_SERVICES: dict[str, KnownService] = {service.name: service for service in (Spotify(), OpenAI(), Anthropic())}


def problems(service: str, material: KeyMaterial) -> tuple[Detail, ...]:
    """Say what keeps ``material`` from being a key of ``service``; nothing does where the service is not known."""
    known = KNOWN_SERVICES.get(service)
    return known.problems(material) if known else ()
