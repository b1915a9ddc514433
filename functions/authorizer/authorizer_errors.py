"""What can go wrong in the authorizer, by who has to act: the deployer, the client, or the operator."""


class ConfigurationError(Exception):
    """An environment variable is missing or wrong; the message names it and says what is expected."""


class TokenRefusedError(Exception):
    """The client's token is not a valid one.

    Attributes:
        reason: machine-readable, for the log, for example ``expired``. Never shown to the client, who could learn from
            it how far a forged token got.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeySetUnavailableError(Exception):
    """The issuer's key set could not be fetched, so that nothing can be said about the token."""


class UnauthorizedError(Exception):
    """What the handler raises: API Gateway answers 401 to exactly this message, and AUTHORIZER_FAILURE to any other."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")
