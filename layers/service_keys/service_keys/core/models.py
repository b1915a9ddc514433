"""What is stored, and what a response shows. Light on purpose: the functions that take no body load no pydantic.

The third kind of model, what an administrator may send, is in `service_keys.admin.schemas`.
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
    try:  # openapi.yaml is made from the models, and pydantic reads no other before 3.12
        from typing_extensions import TypedDict
    except ImportError:  # a consumer's own tests need nothing but botocore
        from typing import TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

VerificationStatus = Literal["valid", "rejected", "inconclusive"]

CLOCK_SKEW_MS: Final = 6 * 60_000
"""The most by which the clock of another function is taken to be ahead: AWS refuses a request whose signature is 5
minutes off, so that no stamp of a true clock is later."""

_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{3}Z")


def milliseconds(timestamp: object) -> int | None:
    """Read a moment as `service_keys.core.timestamps.format_timestamp` writes it; None for every other value."""
    if not isinstance(timestamp, str) or not _TIMESTAMP.fullmatch(timestamp):
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:  # such as February 30
        return None
    return round(moment.timestamp() * 1000)


def is_past(timestamp: object, *, at_ms: int) -> bool:
    """Return whether a value is a moment, and not in the future. Functions that may be compromised write such values.

    Args:
        timestamp: The value.
        at_ms: Now, in milliseconds since the Unix epoch.
    """
    moment = milliseconds(timestamp)
    return moment is not None and moment <= at_ms + CLOCK_SKEW_MS


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """Who changes something, when, and in which request.

    Attributes:
        at_ms: When, in milliseconds since the Unix epoch.
        principal: The ``sub`` of the administrator's token.
        request_id: API Gateway's id of the request. Its sender can choose it (header ``x-amzn-RequestId``).
        extended_request_id: API Gateway's other id, which no sender can choose; None outside of API Gateway.
    """

    at_ms: int
    principal: str
    request_id: str
    extended_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the external service took the key, when it was last asked."""

    status: VerificationStatus
    checked_at: str
    detail: str

    def to_response(self) -> VerificationResponse:
        """Return what a response shows of it."""
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
        """The service that the key is for, which its id carries."""
        return service_of(self.id)

    @property
    def etag(self) -> str:
        """The strong entity tag of this version (RFC 9110, 8.8.3)."""
        return f'"{self.version}"'

    def to_response(self) -> ApiKeyResponse:
        """Return what a response shows of it."""
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
    """A stored key, with the attributes that a reader needs.

    Attributes:
        last_used: The start of the stored string, at most 25 characters, which may be malformed: a consumer wrote it.
    """

    id: str
    name: str
    active: bool
    ciphertext: bytes
    version: int
    last_used: str | None


@dataclass(frozen=True, slots=True)
class StoredCiphertext:
    """The ciphertext of a stored key, and whose it is. No other secret of the key has the same ``key_updated_at``."""

    service: str
    ciphertext: bytes
    key_updated_at: str


@dataclass(frozen=True, slots=True)
class DeletedKey:
    """A key that was just deleted, or an item with only a usage stamp, which has no name."""

    id: str
    name: str | None
    deleted_at: str

    def to_response(self) -> DeletedApiKey:
        """Return the fields that a response shows."""
        return {
            "id": self.id,
            "name": self.name,
            "service": service_of(self.id),
            "deletedAt": self.deleted_at,
            "recoverableUntil": None,
        }


@dataclass(frozen=True, slots=True)
class MalformedItem:
    """What a reader sees of an item that lacks something. It is in nobody's way unless it is the one to be read."""

    id: str
    name: str | None
    active: Literal[False] = False


class VerificationResponse(TypedDict):
    """The result of the last check with the external service."""

    status: VerificationStatus
    """`rejected`: the service states that the key is wrong or revoked. `inconclusive`: any other outcome."""
    checkedAt: str
    """When the service was asked, UTC."""
    detail: str
    """What came of it, in words."""


class ApiKeyResponse(TypedDict):
    """A key as every response shows it: everything but the key."""

    id: str
    """Made by the server. Ids of one service sort by age."""
    name: str
    """Descriptive and unique, whatever its case."""
    service: str
    """What readers look up. Never changes."""
    description: str | None
    """What the key is for."""
    active: bool
    """Whether readers get this key."""
    maskedKey: str | dict[str, str]
    """`••••` and the last 4 characters of each field of at least 24. An object if the key has fields."""
    createdAt: str
    """UTC."""
    createdBy: str
    """The `sub` of the token that created it."""
    updatedAt: str
    """When an administrator last changed anything about it, UTC."""
    updatedBy: str
    """The `sub` of the token that last changed it."""
    keyUpdatedAt: str
    """When the key itself was last replaced, UTC."""
    lastUsed: str | None
    """When a function last read the key, UTC, to within two minutes; null if none has reported a true moment."""
    version: int
    """Grows by 1 with every change that an administrator makes; also the `ETag`."""
    verification: VerificationResponse | None
    """Null until the key is checked with its service, and again when `key` is replaced."""


class DeletedApiKey(TypedDict):
    """A key that was deleted."""

    id: str
    name: str | None
    """Null if the item was no key, but only the usage stamp of one."""
    service: str
    deletedAt: str
    """UTC."""
    recoverableUntil: str | None
    """Until when the key can be restored, UTC; null if it cannot be."""
