"""The secret that this API shares with the issuer, fetched from SSM's Parameter Store.

Loaded in this mode alone, for it brings botocore. Nothing here, in an error or in a log, holds the secret's text.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import botocore.parsers
import botocore.session
from botocore.config import Config
from jwt import InvalidKeyError
from jwt.algorithms import HMACAlgorithm

from authorizer.errors import ConfigurationError, KeyRevokedError, KeyUnavailableError, bounded
from authorizer.key_cache import KeyCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MIN_SECRET_BYTES = 32

_logger = logging.getLogger("authorizer")

_suppress_debug_logs: ContextVar[bool] = ContextVar("jwt_secret_on_the_wire", default=False)

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html
# A status of 429 or 5xx counts as passing whatever the code.
_TRANSIENT_ERROR_CODES = frozenset(
    {
        "InternalServerError",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        # Credentials that ran out: the runtime replaces them.
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
    }
)
_CONNECTION_ERRORS = (
    botocore.exceptions.BotoCoreError,
    botocore.parsers.ResponseParserError,
    # What botocore raises where credentials ran out and no new ones come.
    RuntimeError,
)


class _SensitiveCallFilter(logging.Filter):
    """Drops what botocore logs at DEBUG while the secret is fetched: the answer's body is among it."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's signature
        return not _suppress_debug_logs.get()


for _name in ("botocore.endpoint", "botocore.parsers", "botocore.hooks", "botocore.auth"):
    logging.getLogger(_name).addFilter(_SensitiveCallFilter())


class Secret(bytes):
    """Bytes that do not show themselves."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "Secret(…)"

    __str__ = __repr__


class SharedSecret:
    """The secret by which the issuer's tokens are verified. Threads may share it.

    Attributes:
        algorithms: the one that a token may be signed with.
    """

    algorithms = ("HS256",)

    def __init__(
        self,
        parameter: str,
        *,
        ssm: Any = None,
        ttl: float = 300,
        stale_if_error: float = 15 * 60,
        min_refetch_interval: float = 30,
        retry_delay: float = 5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parameter's name; nothing is fetched yet. The times are in seconds.

        Args:
            parameter: name of a SecureString.
            ssm: botocore's client for SSM; without it, one is made.
            ttl: for which a fetched secret serves; so long may tokens of the one before be accepted.
            stale_if_error: for which it serves while SSM is throttled, fails or is out of reach.
            min_refetch_interval: after a fetch within which a wrong signature causes no other one; so long may tokens
                of a new secret be refused.
            retry_delay: after a failed fetch before the next one, where no secret is held.
            clock: seconds since some moment.
        """
        self._parameter = parameter
        self._ssm = ssm or _client()
        self._cache = KeyCache(
            self._fetch,
            ttl=ttl,
            stale_if_error=stale_if_error,
            min_refetch_interval=min_refetch_interval,
            retry_delay=retry_delay,
            clock=clock,
        )

    def __repr__(self) -> str:
        """Show where the secret is, not what it is."""
        return f"SharedSecret({self._parameter!r})"

    def prefetch(self) -> None:
        """Fetch the secret at a cold start, where a mistake is the deployer's and has a chance to be seen.

        An outage is left for the first token.

        Raises:
            ConfigurationError: the parameter is missing, out of reach by permission, no SecureString, or too short.
        """
        try:
            self._cache.get()
        except KeyRevokedError as error:
            raise ConfigurationError(str(error)) from None
        except KeyUnavailableError as error:
            _logger.warning("%s The next token tries again.", error, extra={"reason": "key_unavailable"})

    def keys_for(self, _header: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the secret, regardless of the token's header; then the secret that replaced it, if one did.

        Raises:
            KeyUnavailableError: it could not be fetched, or cannot serve.
        """
        secret = self._cache.get()
        yield secret
        newest = self._cache.refreshed()
        if newest != secret:
            yield newest

    def _fetch(self) -> Secret:
        try:
            with _without_debug_logs():
                answer = self._ssm.get_parameter(Name=self._parameter, WithDecryption=True)
        except botocore.exceptions.ClientError as error:
            raise self._translate_error(error) from None
        except _CONNECTION_ERRORS as error:
            message = f"SSM could not be reached ({type(error).__name__}), so {self._parameter} could not be read."
            raise KeyUnavailableError(message) from None
        parameter = answer.get("Parameter", {})
        del answer
        if "Value" not in parameter:
            message = f"SSM answered without the value of {self._parameter}."
            raise KeyUnavailableError(message)
        if parameter.get("Type") != "SecureString":
            message = f"The SSM parameter {self._parameter} is not a SecureString. Store the secret anew, as one."
            raise KeyRevokedError(message)
        secret = Secret(parameter.pop("Value"), "utf-8")
        if problem := _validation_error(secret):
            message = f"The secret in the SSM parameter {self._parameter} {problem}."
            raise KeyRevokedError(message)
        return secret

    def _translate_error(self, error: botocore.exceptions.ClientError) -> KeyUnavailableError:
        code = error.response.get("Error", {}).get("Code", "")
        shown = bounded(str(code), 64)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if (
            code in _TRANSIENT_ERROR_CODES
            or status == HTTPStatus.TOO_MANY_REQUESTS
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return KeyUnavailableError(f"SSM is busy or failing ({shown}), so {self._parameter} could not be read.")
        return KeyRevokedError(
            f"SSM refused to give {self._parameter} ({shown}). See that the parameter exists in this region, and that "
            "this function may read it: ssm:GetParameter on it, and kms:Decrypt where its key is not aws/ssm "
            "(JwtSecretKmsKeyArn)."
        )


def _client() -> Any:
    # Two attempts and the pause between them end before the authorizer's own time does.
    config = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
    return botocore.session.get_session().create_client("ssm", config=config)


@contextmanager
def _without_debug_logs() -> Iterator[None]:
    token = _suppress_debug_logs.set(True)
    try:
        yield
    finally:
        _suppress_debug_logs.reset(token)


def _validation_error(secret: Secret) -> str | None:
    """Say what makes it unfit, in words that tell nothing else of it."""
    if len(secret) < MIN_SECRET_BYTES:
        return f"is shorter than {MIN_SECRET_BYTES} bytes. Make one with: openssl rand -base64 48"
    if secret.strip() != secret:
        return "begins or ends with white space, perhaps the end of a line. Store it without"
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return "is a key of another kind: a public one would let anybody sign. Store a random secret"
    return None
