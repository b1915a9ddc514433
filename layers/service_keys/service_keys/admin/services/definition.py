"""Base classes of service definitions, and the default interpretation of HTTP statuses."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

from service_keys.admin.field_names import is_echoable
from service_keys.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_keys.core.models import VerificationStatus
    from service_keys.core.secret_value import SecretValue

    ProbeResult = tuple[VerificationStatus, str]
    """Status and a description. Never quotes the service's response."""


VISIBLE_ASCII: Final = "^[!-~]+$"
"""Pattern of values that an HTTP header can carry as they are."""


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


@dataclass(frozen=True, slots=True)
class KeyField:
    """The format of one field of a key, for validation here and in a form.

    Attributes:
        name: The field's name; None if the key is a single string.
        label: The name that a form shows.
        pattern: A regular expression anchored with ``^`` and ``$``, with one meaning in Python and in JavaScript
            (``new RegExp(pattern, "u")``): no escapes that depend on Unicode, no lookbehind, no named groups.
        hint: The error message for a value that does not match.
        secret: False if a form may show the value while it is typed, as for a client id.
        required: False if the key is valid without the field.
        foreign: Prefixes of other services' keys, which ``pattern`` excludes, each with its error message.
    """

    name: str | None
    label: str
    pattern: str
    hint: str
    secret: bool = True
    required: bool = True
    foreign: tuple[tuple[str, str], ...] = ()

    def problem(self, value: str) -> str | None:
        """Return the error message for a value of this field; None if it is valid."""
        # `re` caches the compiled pattern, so that an import compiles none.
        if re.fullmatch(self.pattern, value, re.ASCII):
            return None
        return next((message for prefix, message in self.foreign if value.startswith(prefix)), self.hint)

    def to_response(self) -> dict[str, str | bool | None]:
        """Return the field as the API shows it."""
        return {
            "name": self.name,
            "label": self.label,
            "pattern": self.pattern,
            "secret": self.secret,
            "required": self.required,
        }


class ServiceDefinition:
    """A known service: its key format. Its keys cannot be verified, unless it is a `VerifiableService`."""

    name: ClassVar[str]
    """The value of a key's ``service``."""
    title: ClassVar[str]
    """The name that forms and messages show."""
    fields: ClassVar[tuple[KeyField, ...]]
    """The fields of a key; one without a name if it is a single string."""
    object_fields: ClassVar[tuple[KeyField, ...]] = ()
    """The fields of the other form of a key that is usually a single string, if it can be an object too."""
    expected: ClassVar[str] = ""
    """The error message for a key with other fields; by default the hint of the single field."""
    verifiable: ClassVar[bool] = False

    def validate(self, secret_value: SecretValue) -> tuple[FieldError, ...]:
        """Return the errors in the key's format; empty if it is valid."""
        value = secret_value.reveal()
        first = self.fields[0]
        if isinstance(value, str):
            problem = first.problem(value) if first.name is None else self.expected
            return (FieldError("key", problem),) if problem else ()
        fields = self.object_fields if first.name is None else self.fields
        return self._validate_object(value, fields) if fields else (FieldError("key", self.expected or first.hint),)

    def _validate_object(self, value: Mapping[str, str], fields: tuple[KeyField, ...]) -> tuple[FieldError, ...]:
        by_name = {field.name: field for field in fields}
        errors = [
            FieldError(f"key.{field.name}", f"missing: {self.expected}")
            for field in fields
            if field.required and field.name not in value
        ]
        for name, text in value.items():
            if name not in by_name:
                # Do not repeat a name that could be a pasted secret.
                errors.append(FieldError(f"key.{name}" if is_echoable(name) else "key", f"unknown: {self.expected}"))
            elif problem := by_name[name].problem(text):
                errors.append(FieldError(f"key.{name}", problem))
        return tuple(dict.fromkeys(errors))


class VerifiableService(ServiceDefinition, ABC):
    """A known service with a probe: a free, harmless request that shows if the service accepts a key."""

    verifiable = True

    @abstractmethod
    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return the request that verifies the key."""

    @abstractmethod
    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Return the verification result for the response to the probe."""


_FOREIGN: Final = {
    "an Anthropic key": ("anthropic", ("sk-ant-",)),
    "an OpenAI key": ("openai", ("sk-proj-", "sk-svcacct-", "sk-admin-")),
    "a Google key": ("gemini or youtube", ("AIzaSy",)),
}
"""Keys with unmistakable prefixes: the service that each belongs to, and the prefixes."""


def foreign_keys(own: str, *others: str) -> tuple[tuple[str, str], ...]:
    """Return `KeyField.foreign` for keys of other services that administrators take for a key of this one.

    Args:
        own: The name of this service in the message.
        others: Keys of `_FOREIGN`.
    """
    return tuple(
        (prefix, f"this is {other}; store it for the service {_FOREIGN[other][0]}, or give the {own} key")
        for other in others
        for prefix in _FOREIGN[other][1]
    )


def visible_ascii_without(foreign: tuple[tuple[str, str], ...], *, prefix: str = "") -> str:
    """Return the pattern of visible ASCII that begins with ``prefix`` and with no prefix of ``foreign``."""
    excluded = "|".join(each.replace(".", "[.]") for each, _ in foreign)
    return f"^(?!{excluded}){prefix}[!-~]+$"


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
