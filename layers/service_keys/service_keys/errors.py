"""Exceptions of this package.

Administrators and consumers see the messages verbatim: each states the remedy, none contains a secret.
"""

from __future__ import annotations

# Without typing and dataclasses, whose imports would take a quarter of a consumer's first read.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LONGEST_MESSAGE: Final = 600
"""Maximum characters of a message. Keeps log lines and responses short when a message quotes input or AWS."""


class ServiceKeysError(Exception):
    """Base class of every error that `get_api_key` and `ServiceKeys` raise.

    Truncates messages of more than `LONGEST_MESSAGE` characters.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…")


class ConfigurationError(ServiceKeysError):
    """A setting is missing or wrong: the table's name, the AWS region, credentials, profile or endpoint.

    The message names the setting. Waiting does not help.
    """


# --- Store: raised to consumers and admin functions -------------------------------------------------------------------


class KeyNotFoundError(ServiceKeysError):
    """No such key exists, or an argument is not a valid service or name."""


class KeyDisabledError(ServiceKeysError):
    """An administrator disabled the key."""


class KeyAccessDeniedError(ServiceKeysError):
    """IAM or the state of the KMS key denies this function the operation."""


class KeyCorruptedError(ServiceKeysError):
    """The stored item or its ciphertext is malformed."""


class KeyStoreUnavailableError(ServiceKeysError):
    """DynamoDB or KMS throttled, failed or is unreachable, or this function lacks valid AWS credentials.

    For consumers it also covers every AWS error without a type of its own.

    Attributes:
        retry_after: Whole seconds to wait before a retry.
    """

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


# --- The admin API ----------------------------------------------------------------------------------------------------


class AuthenticationRequiredError(ServiceKeysError):
    """The request has no authorizer context."""


class DuplicateKeyNameError(ServiceKeysError):
    """Another key already has this name."""


class VersionConflictError(ServiceKeysError):
    """The key has changed since the version that ``If-Match`` names."""


class PreconditionRequiredError(ServiceKeysError):
    """The request must name the version that it changes in ``If-Match``."""


class NoPreviousKeyError(ServiceKeysError):
    """The key has no previous secret value to return to."""


class VerificationNotSupportedError(ServiceKeysError):
    """The key's service has no probe."""


class PayloadTooLargeError(ServiceKeysError):
    """The request body exceeds the size limit of the API."""


class UnsupportedMediaTypeError(ServiceKeysError):
    """The Content-Type of the request is not JSON."""


class FieldError:
    """A validation error of one request field. Never contains the field's value."""

    __slots__ = ("field", "message")

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldError) and (self.field, self.message) == (other.field, other.message)

    def __hash__(self) -> int:
        return hash((self.field, self.message))

    def __repr__(self) -> str:
        return f"FieldError({self.field!r}, {self.message!r})"


class InvalidRequestError(ServiceKeysError):
    """The request is invalid.

    Attributes:
        details: The errors by field; empty if the error concerns the whole request.
    """

    def __init__(self, message: str, details: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message)
        self.details = details
