"""The secret shared with the issuer, fetched from the SSM Parameter Store.

Imported only with JWT_SECRET_PARAMETER, because it imports botocore. No error and no log line contains the secret.
Shares no module with the layer: each would add to the cold start, and only here an unknown error drops a cached value.
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
# A status of 429 or 5xx is a transient error with any code.
_TRANSIENT_ERROR_CODES = frozenset(
    {
        "InternalServerError",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        # Expired credentials: the runtime replaces them.
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
    }
)
_CONNECTION_ERRORS = (
    botocore.exceptions.BotoCoreError,
    botocore.parsers.ResponseParserError,
    # Raised by botocore if refreshed credentials are still expired.
    RuntimeError,
)


class _SensitiveCallFilter(logging.Filter):
    """Suppress botocore's DEBUG logs during the fetch: they contain the response body."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's signature
        return not _suppress_debug_logs.get()


for _name in ("botocore.endpoint", "botocore.parsers", "botocore.hooks", "botocore.auth"):
    logging.getLogger(_name).addFilter(_SensitiveCallFilter())


class Secret(bytes):
    """Bytes whose `repr` does not contain them."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return a constant."""
        return "Secret(…)"

    __str__ = __repr__


class SharedSecret:
    """Verification key from an SSM parameter: the secret shared with the issuer. Thread-safe.

    Attributes:
        algorithms: The accepted signature algorithm.
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
        """Configure the cache without fetching. Times are in seconds.

        Args:
            parameter: The name of a SecureString.
            ssm: The botocore SSM client; created if omitted.
            ttl: The lifetime of the cached secret, and thus the time that a replaced secret can remain accepted.
            stale_if_error: The maximum age of a secret served while SSM has a transient error.
            min_refetch_interval: The minimum time between fetches caused by wrong signatures, and thus the time that a
                new secret's tokens can remain rejected.
            retry_delay: The delay after a failed fetch while no secret is cached.
            clock: Returns the current time in seconds.
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
        """Return the parameter's name, without the secret."""
        return f"SharedSecret({self._parameter!r})"

    def prefetch(self) -> None:
        """Fetch the secret at the cold start, so that the deployer sees configuration errors at once.

        Log transient errors only: the next token causes another fetch.

        Raises:
            ConfigurationError: The parameter is missing, inaccessible, not a SecureString, or not a usable secret.
        """
        try:
            self._cache.get()
        except KeyRevokedError as error:
            raise ConfigurationError(str(error)) from None
        except KeyUnavailableError as error:
            _logger.warning("%s The next token tries again.", error, extra={"reason": "key_unavailable"})

    def keys_for(self, _header: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the cached secret, then its replacement if a refetch returns one. The header is ignored.

        Raises:
            KeyUnavailableError: The secret could not be fetched or is unusable.
        """
        secret = self._cache.get()
        yield secret
        newest = self._cache.refreshed()
        if newest != secret:
            yield newest

    def _fetch(self) -> Secret:
        try:
            with _without_debug_logs():
                response = self._ssm.get_parameter(Name=self._parameter, WithDecryption=True)
        except botocore.exceptions.ClientError as error:
            raise self._translate_error(error) from None
        except _CONNECTION_ERRORS as error:
            message = f"SSM could not be reached ({type(error).__name__}), so {self._parameter} could not be read."
            raise KeyUnavailableError(message) from None
        parameter = response.get("Parameter", {})
        del response
        if "Value" not in parameter:
            message = f"SSM responded without the value of {self._parameter}."
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
        reason = bounded(str(code), 64)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if (
            code in _TRANSIENT_ERROR_CODES
            or status == HTTPStatus.TOO_MANY_REQUESTS
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return KeyUnavailableError(f"SSM is busy or failing ({reason}), so {self._parameter} could not be read.")
        return KeyRevokedError(
            f"SSM refused to give {self._parameter} ({reason}). See that the parameter exists in this region, and that "
            "this function may read it: ssm:GetParameter on it, and kms:Decrypt where its key is not aws/ssm "
            "(JwtSecretKmsKeyArn)."
        )


def _client() -> Any:
    # Two attempts including backoff end before the authorizer's own timeout.
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
    """Return the reason why the secret is unusable, or None. The text reveals nothing else about it."""
    if len(secret) < MIN_SECRET_BYTES:
        return f"is shorter than {MIN_SECRET_BYTES} bytes. Make one with: openssl rand -base64 48"
    if secret.strip() != secret:
        return "begins or ends with white space, perhaps the end of a line. Store it without"
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return "is a key of another kind: a public one would let anybody sign. Store a random secret"
    return None
