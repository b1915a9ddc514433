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
        """Interpret the token endpoint's errors, which are those of OAuth 2.0 (RFC 6749, section 5.2).

        - 400 or 401 ``invalid_client`` is the statement that the id or the secret is wrong ("Invalid client", "Invalid
          client secret"): rejected.
        - ``unauthorized_client`` (this client may not use this grant), ``access_denied``, ``server_error`` and the
          others say nothing of the secret: inconclusive. So does a page in HTML, such as the 403 of the service's load
          balancer (https://github.com/kraxarn/spotify-qt/issues/247).
        """
        if reply.status == OK and reply.json is not None and isinstance(reply.json.get("access_token"), str):
            return "valid", "Spotify gave a token for the key."
        error = _member(reply, "error")
        if reply.status in (BAD_REQUEST, UNAUTHORIZED) and error == "invalid_client":
            return "rejected", "Spotify does not know this client, or its secret is another one by now."
        if reply.status in (BAD_REQUEST, UNAUTHORIZED, FORBIDDEN) and error == "unauthorized_client":
            return (
                "inconclusive",
                f"Spotify does not let this client ask for a token ({reply.status}). See its dashboard.",
            )
        return usual(reply, "Spotify")


class OpenAI:
    """OpenAI: an API key, with the organization and project that it acts for where they are needed.

    Sources: https://platform.openai.com/docs/api-reference/authentication,
    https://platform.openai.com/docs/guides/error-codes
    """

    name: ClassVar[str] = "openai"
    _KEY = re.compile(r"sk-[!-~]+")
    _OPTIONS: ClassVar[dict[str, str]] = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}
    _ORGANIZATION: ClassVar[Judgement] = (
        "inconclusive",
        "OpenAI does not accept the key for the organization or project that is stored with it (401).",
    )
    _STATEMENTS: ClassVar[dict[tuple[int, str], Judgement]] = {
        (401, "invalid_api_key"): ("rejected", "OpenAI refuses the key (401): it is wrong, or was revoked."),
        (401, "account_deactivated"): ("rejected", "OpenAI has deactivated the account of the key (401)."),
        (401, "no_organization"): _ORGANIZATION,
        (401, "mismatched_organization"): _ORGANIZATION,
        (403, "unsupported_country_region_territory"): (
            "inconclusive",
            "OpenAI does not serve the region that this function runs in (403).",
        ),
    }

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
        """Interpret ``error.code``; the status alone says too little.

        - 401 ``invalid_api_key`` ("Incorrect API key provided") is the statement that the key is wrong or revoked:
          rejected. So is 401 ``account_deactivated``, which ends all keys of the account
          (https://github.com/songquanpeng/one-api/issues/271).
        - 401 ``no_organization`` (https://github.com/abi/screenshot-to-code/issues/9) and ``mismatched_organization``
          (https://github.com/openai/codex/issues/1000) are about the organization that the request names: inconclusive.
          So is 401 "IP not authorized", which is about this function's address.
        - "Missing scopes: api.model.read" comes with 403 or 401 and without a code: the key is a restricted one, which
          works for its own purpose (https://github.com/bytedance/trae-agent/issues/162): inconclusive, as is every
          other response without a known code, a proxy's page in HTML included.
        - 403 ``unsupported_country_region_territory`` and 429: inconclusive.
        """
        if reply.status == OK and reply.json is not None and isinstance(reply.json.get("data"), list):
            return "valid", "OpenAI listed its models for the key."
        code = _member(reply, "error", "code")
        if isinstance(code, str) and (reply.status, code) in self._STATEMENTS:
            return self._STATEMENTS[reply.status, code]
        if reply.status == TOO_MANY_REQUESTS and "insufficient_quota" in (code, _member(reply, "error", "type")):
            return "inconclusive", "OpenAI: the quota is exhausted (429). See the plan and billing details."
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
        """Interpret ``error.type`` (https://platform.claude.com/docs/en/api/errors).

        - 401 ``authentication_error`` is the statement that the key is malformed, revoked or expired: rejected.
        - 403 ``permission_error`` is about the resource, 403 ``forbidden`` about the region
          (https://github.com/corbt/agent.exe/issues/15), 402 ``billing_error`` and
          400 ``invalid_request_error`` about payment and limits: inconclusive. So are 429, 5xx, and 529, the overload.
        """
        if reply.status == OK and reply.json is not None and isinstance(reply.json.get("data"), list):
            return "valid", "Anthropic listed its models for the key."
        kind = _member(reply, "error", "type")
        if reply.status == UNAUTHORIZED and kind == "authentication_error":
            return "rejected", "Anthropic refuses the key (401): it is wrong, or was revoked."
        if reply.status in (BAD_REQUEST, PAYMENT_REQUIRED) and kind == "billing_error":
            return "inconclusive", f"Anthropic: a problem with billing ({reply.status}). See the billing details."
        return usual(reply, "Anthropic")


PAYMENT_REQUIRED: Final = 402
OK, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, SERVER_ERROR = 200, 400, 401, 403, 429, 500
VISIBLE_ASCII: Final = re.compile(r"[!-~]+")


def usual(reply: Reply, who: str) -> Judgement:
    """Say what a status means without a statement of the service ``who`` on the key.

    Never ``rejected``: a proxy or a firewall answers with such a status, too.
    """
    if reply.status in (UNAUTHORIZED, FORBIDDEN):
        detail = (
            f"{who} refused the check ({reply.status}), but does not say that the key is wrong. The key may be "
            "restricted to other permissions, addresses or organizations."
        )
        return "inconclusive", detail
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
