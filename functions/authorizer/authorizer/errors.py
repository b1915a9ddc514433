"""Exceptions of the authorizer, one for each party that must act: deployer, client and operator."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reason for a 401 or 403. It is a metric dimension, so the values are fixed and never copied from a token."""

    BAD_CLAIM = "bad_claim"
    BAD_SIGNATURE = "bad_signature"
    CRITICAL_EXTENSION = "critical_extension"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    MISSING_CLAIM = "missing_claim"
    NOT_ADMINISTRATOR = "not_administrator"
    NOT_YET_VALID = "not_yet_valid"
    TOO_LONG = "too_long"
    UNKNOWN_KEY = "unknown_key"
    UNUSABLE_KEY = "unusable_key"
    WRONG_ALGORITHM = "wrong_algorithm"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_TYPE = "wrong_type"


LONGEST_MESSAGE = 600
"""Maximum characters of an error message: limits log lines that quote a response of the issuer or SSM."""


def bounded(text: str, characters: int) -> str:
    """Return the text, truncated to at most this many characters."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


class ConfigurationError(Exception):
    """Missing or invalid setting. The message names the setting and the expected value."""

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message, LONGEST_MESSAGE))


class TokenRefusedError(Exception):
    """Invalid token.

    Attributes:
        reason: The reason, for the log and the metric. Not sent to the client: it would help to forge tokens.
        claim: The invalid claim, for the log. A name from a fixed list or the configuration, never from the token.
        hint: A fixed sentence about the configuration, for the log.
    """

    def __init__(self, reason: Reason, *, claim: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.claim = claim
        self.hint = hint


class KeyUnavailableError(Exception):
    """The verification key could not be fetched, so the token's validity is unknown.

    The message names the failed operation and the remedy.
    """

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message, LONGEST_MESSAGE))


class KeyRevokedError(KeyUnavailableError):
    """The verification key was removed or invalidated: a permanent error. The cached key must be dropped."""


class UnauthorizedError(Exception):
    """Raised by the handler: API Gateway maps exactly this message to 401, any other to AUTHORIZER_FAILURE."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")
