"""What can go wrong in the authorizer, by who has to act: the deployer, the client, or the operator."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a token was refused. It is a metric's dimension, so nothing of a token's own is ever one."""

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
"""Characters of an error's message, so that no log line grows with the response of an issuer or of SSM."""


def bounded(text: str, characters: int) -> str:
    """Return the text, cut to so many characters if it is longer."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


class ConfigurationError(Exception):
    """What the deployer gave is missing or wrong; the message names it and says what is expected."""

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message, LONGEST_MESSAGE))


class TokenRefusedError(Exception):
    """The client's token is not a valid one.

    Attributes:
        reason: for the log and the metric. Never shown to the client, who could learn from it how far a forged token
            got.
        claim: name of the claim at fault, for the log. One of a fixed list or of the configuration, never a name that
            only the token has.
        hint: a fixed sentence about the configuration, for the log.
    """

    def __init__(self, reason: Reason, *, claim: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.claim = claim
        self.hint = hint


class KeyUnavailableError(Exception):
    """What verifies tokens could not be fetched, so that nothing can be said about the token.

    The message says what was tried and what to look at.
    """

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message, LONGEST_MESSAGE))


class KeyRevokedError(KeyUnavailableError):
    """What verifies tokens was taken away or spoilt by somebody, not by an outage: what is held must not serve on."""


class UnauthorizedError(Exception):
    """What the handler raises: API Gateway answers 401 to exactly this message, and AUTHORIZER_FAILURE to any other."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")
