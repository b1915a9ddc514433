"""Models of stored keys and of responses, without pydantic, whose import slows down a cold start.

`StoredKey` is the one list of a key's fields: DynamoDB's attributes, responses and openapi.yaml derive from it, and the
tests of template.yaml compare with it. The models of request bodies are in `service_keys.admin.schemas`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from service_keys.core.ids import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

VerificationStatus = Literal["valid", "rejected", "inconclusive"]
ChangeKind = Literal["create", "update", "rollback", "delete", "restore"]


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """The principal, time and request of a change.

    Attributes:
        at_ms: The time of the change, in milliseconds since the Unix epoch.
        principal: The ``sub`` of the administrator's token.
        principal_name: The administrator's readable name, if the token has one.
        request_id: API Gateway's id of the request. The client can set it (header ``x-amzn-RequestId``).
        extended_request_id: API Gateway's extended id, which clients cannot set; None outside of API Gateway.
    """

    at_ms: int
    principal: str
    request_id: str
    extended_request_id: str | None = None
    principal_name: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of the last verification with the external service."""

    status: VerificationStatus
    """`rejected`: the service states that the key is wrong or revoked. `inconclusive`: any other outcome."""
    checked_at: str
    """Time of the verification, UTC."""
    detail: str
    """Description of the result."""

    def to_response(self) -> dict[str, Any]:
        """Return the verification as a response field."""
        return _response_fields(self)


@dataclass(frozen=True, slots=True)
class PreviousKey:
    """The secret value that a rollback would bring back, without the value."""

    masked_key: str | Mapping[str, str]
    """The previous secret value, masked."""
    replaced_at: str
    """Time at which the secret value was replaced, UTC."""
    replaced_by: str
    """The `sub` claim of the token that replaced it."""

    def to_response(self) -> dict[str, Any]:
        """Return the previous key as a response field."""
        return _response_fields(self)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key without its secret value."""

    id: str
    """Assigned by the server. Ids of one service sort by creation time."""
    name: str
    """Descriptive name; unique, ignoring case."""
    description: str | None
    """Purpose of the key."""
    active: bool
    """True if consumers can read the key; false if it is disabled."""
    masked_key: str | Mapping[str, str]
    """`••••`, followed by the last 4 characters of values of at least 24. An object if the key has fields."""
    created_at: str
    """Time of creation, UTC."""
    created_by: str
    """The `sub` claim of the token that created the key."""
    updated_at: str
    """Time of the last change by an administrator, UTC."""
    updated_by: str
    """The `sub` claim of the token that last changed the key."""
    key_updated_at: str
    """Time at which the secret value was created or last replaced, UTC."""
    last_used: str | None = None
    """Time of the last use, UTC, accurate to two minutes; null if no consumer has stored a valid time."""
    version: int = 1
    """Increases by 1 with each administrator change; also the `ETag`."""
    verification: Verification | None = None
    """Null before the first verification, and after `key` is replaced."""
    created_by_name: str | None = None
    """The readable name in the token that created the key."""
    updated_by_name: str | None = None
    """The readable name in the token that last changed the key."""
    previous_key: PreviousKey | None = None
    """The secret value that a rollback would bring back; null if there is none."""
    deleted_at: str | None = None
    """Time of deletion, UTC. Only on deleted keys."""
    deleted_by: str | None = None
    """The `sub` claim of the token that deleted the key. Only on deleted keys."""
    recoverable_until: str | None = None
    """End of the period in which the key can be restored, UTC. Only on deleted keys."""

    @property
    def service(self) -> str:
        """The external service, by which consumers read keys. Never changes. Derived from the id."""
        return service_of(self.id)

    @property
    def available(self) -> bool:
        """True if consumers can read the key: it is neither disabled nor deleted."""
        return self.active and self.deleted_at is None

    @property
    def etag(self) -> str:
        """The strong entity tag of this version (RFC 9110, 8.8.3)."""
        return f'"{self.version}"'

    def to_response(self) -> dict[str, Any]:
        """Return the response for the key."""
        response = {"id": self.id, "service": self.service} | _response_fields(self)
        if self.deleted_at is None:
            for name in DELETION_FIELDS:
                del response[name]
        return response


@dataclass(frozen=True, slots=True)
class Change:
    """A key before and after a change; before its restore, it is deleted."""

    before: StoredKey
    after: StoredKey


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A change of a key. Has no secret value."""

    version: int
    """The version of the key after the change."""
    change: ChangeKind
    fields: tuple[str, ...]
    """The fields that the request named."""
    at: str
    """Time of the change, UTC."""
    by: str
    """The `sub` claim of the administrator's token."""
    by_name: str | None
    """The readable name in the administrator's token."""
    request_id: str
    """The id of the request, as in its response and in the audit log."""
    before: Mapping[str, Any] | None
    """The changed values of `name`, `description`, `active` and `maskedKey` before the change; null for a create."""
    after: Mapping[str, Any] | None
    """The changed values after the change; null for a deletion."""

    def to_response(self) -> dict[str, Any]:
        """Return the entry of the history response."""
        return _response_fields(self)


@dataclass(frozen=True, slots=True)
class StoredCiphertext:
    """The ciphertext of a stored key and its service. ``key_updated_at`` is unique for each ciphertext of a key."""

    service: str
    ciphertext: bytes
    key_updated_at: str


@dataclass(frozen=True, slots=True)
class DeletedKey:
    """A deleted key."""

    id: str
    name: str | None
    """Null if the item held only a usage stamp and no key."""
    deleted_at: str
    """Time of deletion, UTC."""
    recoverable_until: str | None = None
    """End of the period in which the key can be restored, UTC; null if restoring is not possible."""

    def to_response(self) -> dict[str, Any]:
        """Return the response for the deleted key."""
        return {"id": self.id, "service": service_of(self.id)} | _response_fields(self)


def camel_case(name: str) -> str:
    """Return the name in JSON and DynamoDB of a model's field, such as ``createdAt`` for ``created_at``."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


KEY_FIELDS: Final = {camel_case(field.name): field for field in fields(StoredKey)}
"""The fields of a key by their names in JSON and DynamoDB, without the derived `service`."""
DELETION_FIELDS: Final = ("deletedAt", "deletedBy", "recoverableUntil")
"""The fields that only deleted keys have."""
HISTORY_FIELDS: Final = ("name", "description", "active", "maskedKey")
"""The fields whose values the history of changes records."""


def _response_fields(model: Any) -> dict[str, Any]:
    response = {}
    for name, field in _response_names(model.__class__):
        value = getattr(model, field)
        response[name] = value.to_response() if isinstance(value, (Verification, PreviousKey)) else value
    return response


@cache
def _response_names(model: type[Any]) -> tuple[tuple[str, str], ...]:
    """Return the names of a model's fields in JSON and in Python. Cached: a page of 100 keys has 2,000 of them."""
    return tuple((camel_case(field.name), field.name) for field in fields(model))
