"""Models of stored keys and of responses, without pydantic, whose import slows down a cold start.

The models of request bodies are in `service_keys.admin.schemas`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from service_keys.core.ids import service_of

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    try:  # pydantic, which generates openapi.yaml from the models, needs it before 3.12
        from typing_extensions import TypedDict
    except ImportError:  # the tests of consumers install only botocore
        from typing import TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

VerificationStatus = Literal["valid", "rejected", "inconclusive"]

CLOCK_SKEW_MS: Final = 6 * 60_000
"""Tolerated clock skew of consumers, 6 minutes. AWS rejects requests whose signature time is off by 5 minutes, so a
later usage stamp is false."""

_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{3}Z")


def milliseconds(timestamp: object) -> int | None:
    """Parse a timestamp of `service_keys.core.timestamps.format_timestamp`; return None for any other value."""
    if not isinstance(timestamp, str) or not _TIMESTAMP.fullmatch(timestamp):
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:  # such as February 30
        return None
    return round(moment.timestamp() * 1000)


def is_past(timestamp: object, *, at_ms: int) -> bool:
    """Return True if a value is a timestamp that is not in the future. Compromised functions may write other values.

    Args:
        timestamp: The value.
        at_ms: The current time, in milliseconds since the Unix epoch.
    """
    moment = milliseconds(timestamp)
    return moment is not None and moment <= at_ms + CLOCK_SKEW_MS


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """The principal, time and request of a change.

    Attributes:
        at_ms: The time of the change, in milliseconds since the Unix epoch.
        principal: The ``sub`` of the administrator's token.
        request_id: API Gateway's id of the request. The client can set it (header ``x-amzn-RequestId``).
        extended_request_id: API Gateway's extended id, which clients cannot set; None outside of API Gateway.
    """

    at_ms: int
    principal: str
    request_id: str
    extended_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of the last verification with the external service."""

    status: VerificationStatus
    checked_at: str
    detail: str

    def to_response(self) -> VerificationResponse:
        """Return the verification as a response field."""
        return {"status": self.status, "checkedAt": self.checked_at, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A stored key without its ciphertext. Times are UTC timestamps, see `service_keys.core.timestamps`."""

    id: str
    name: str
    description: str | None
    active: bool
    masked_key: str | Mapping[str, str]
    created_at: str
    created_by: str
    updated_at: str
    updated_by: str
    key_updated_at: str
    last_used: str | None = None
    version: int = 1
    verification: Verification | None = None

    @property
    def service(self) -> str:
        """The service of the key, derived from its id."""
        return service_of(self.id)

    @property
    def etag(self) -> str:
        """The strong entity tag of this version (RFC 9110, 8.8.3)."""
        return f'"{self.version}"'

    def to_response(self) -> ApiKeyResponse:
        """Return the response for the key."""
        return {
            "id": self.id,
            "name": self.name,
            "service": self.service,
            "description": self.description,
            "active": self.active,
            "maskedKey": self.masked_key if isinstance(self.masked_key, str) else dict(self.masked_key),
            "createdAt": self.created_at,
            "createdBy": self.created_by,
            "updatedAt": self.updated_at,
            "updatedBy": self.updated_by,
            "keyUpdatedAt": self.key_updated_at,
            "lastUsed": self.last_used,
            "version": self.version,
            "verification": self.verification.to_response() if self.verification else None,
        }


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """A stored key with the attributes that consumers need.

    Attributes:
        last_used: The first 25 characters of the stored string. Consumers write it, so it may be malformed.
    """

    id: str
    name: str
    active: bool
    ciphertext: bytes
    version: int
    last_used: str | None


@dataclass(frozen=True, slots=True)
class StoredCiphertext:
    """The ciphertext of a stored key and its service. ``key_updated_at`` is unique for each ciphertext of a key."""

    service: str
    ciphertext: bytes
    key_updated_at: str


@dataclass(frozen=True, slots=True)
class DeletedKey:
    """A deleted key, or a deleted stub item, which has no name."""

    id: str
    name: str | None
    deleted_at: str

    def to_response(self) -> DeletedApiKey:
        """Return the response for the deleted key."""
        return {
            "id": self.id,
            "name": self.name,
            "service": service_of(self.id),
            "deletedAt": self.deleted_at,
            "recoverableUntil": None,
        }


@dataclass(frozen=True, slots=True)
class MalformedItem:
    """A malformed item. Ignored unless it would be selected as the newest active key."""

    id: str
    name: str | None
    active: Literal[False] = False


class VerificationResponse(TypedDict):
    """The result of the last verification with the external service."""

    status: VerificationStatus
    """`rejected`: the service states that the key is wrong or revoked. `inconclusive`: any other outcome."""
    checkedAt: str
    """Time of the verification, UTC."""
    detail: str
    """Description of the result."""


class ApiKeyResponse(TypedDict):
    """A key without its secret value."""

    id: str
    """Assigned by the server. Ids of one service sort by creation time."""
    name: str
    """Descriptive name; unique, ignoring case."""
    service: str
    """The external service, by which consumers read keys. Never changes."""
    description: str | None
    """Purpose of the key."""
    active: bool
    """True if consumers can read the key; false if it is disabled."""
    maskedKey: str | dict[str, str]
    """`••••`, followed by the last 4 characters of values of at least 24. An object if the key has fields."""
    createdAt: str
    """Time of creation, UTC."""
    createdBy: str
    """The `sub` claim of the token that created the key."""
    updatedAt: str
    """Time of the last change by an administrator, UTC."""
    updatedBy: str
    """The `sub` claim of the token that last changed the key."""
    keyUpdatedAt: str
    """Time at which the secret value was created or last replaced, UTC."""
    lastUsed: str | None
    """Time of the last use, UTC, accurate to two minutes; null if no consumer has stored a valid time."""
    version: int
    """Increases by 1 with each administrator change; also the `ETag`."""
    verification: VerificationResponse | None
    """Null before the first verification, and after `key` is replaced."""


class DeletedApiKey(TypedDict):
    """A deleted key."""

    id: str
    name: str | None
    """Null if the item held only a usage stamp and no key."""
    service: str
    deletedAt: str
    """Time of deletion, UTC."""
    recoverableUntil: str | None
    """End of the period in which the key can be restored, UTC; null if restoring is not possible."""
