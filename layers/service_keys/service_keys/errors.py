"""What can go wrong, as types. Each carries what its reader needs to know next; none carries a secret.

Messages reach administrators and consumers word for word, so each says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST_MESSAGE: Final = 600
"""Characters of a message, so that no log line and no response grows with input or with a response of AWS."""


class ServiceKeysError(Exception):
    """The base class of every error that `get_api_key` and `ServiceKeys` raise.

    A message of more than `LONGEST_MESSAGE` characters is cut.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…")


class ConfigurationError(ServiceKeysError):
    """A setting is missing or wrong: the table's name, the AWS region, credentials, profile or endpoint.

    The message names the setting. Waiting does not help.
    """


# --- The store: raised to readers and to the admin functions alike ---------------------------------------------------


class KeyNotFoundError(ServiceKeysError):
    """There is no such key, or what was given cannot be a service or a name."""


class KeyDisabledError(ServiceKeysError):
    """The key is there, but an administrator has disabled it."""


class KeyAccessDeniedError(ServiceKeysError):
    """IAM, or the state of the KMS key, does not let this function do what it has to."""


class KeyCorruptedError(ServiceKeysError):
    """A stored key cannot be read: not our item, or not our ciphertext."""


class KeyStoreUnavailableError(ServiceKeysError):
    """DynamoDB or KMS throttled, failed or could not be reached, or this function has no valid AWS credentials now.

    Consumers also get it for every error of AWS that has no type of its own here.

    Attributes:
        retry_after: Whole seconds after which trying again makes sense.
    """

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after


# --- The admin API ----------------------------------------------------------------------------------------------------


class AuthenticationRequiredError(ServiceKeysError):
    """The request came without the authorizer's word on who sent it."""


class DuplicateKeyNameError(ServiceKeysError):
    """Another key has this name already."""


class VersionConflictError(ServiceKeysError):
    """The key has changed since the version that ``If-Match`` names."""


class VerificationNotSupportedError(ServiceKeysError):
    """There is no way to ask the key's service whether it takes the key."""


class PayloadTooLargeError(ServiceKeysError):
    """The request body is larger than the API takes."""


class UnsupportedMediaTypeError(ServiceKeysError):
    """The request body is not declared as JSON."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field of a request. Never holds the field's value."""

    field: str
    message: str


class InvalidRequestError(ServiceKeysError):
    """The request cannot be taken as it is.

    Attributes:
        details: What is wrong, field by field; empty where the request as a whole is.
    """

    def __init__(self, message: str, details: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message)
        self.details = details
