"""Classification and translation of the errors of AWS calls."""

from __future__ import annotations

import json
from contextlib import contextmanager

from service_keys.errors import ConfigurationError, KeyAccessDeniedError, KeyStoreUnavailableError
from service_keys.store.error_kinds import kinds_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Final

# Error codes by cause. Sources: DynamoDB's "Error handling", KMS's "Decrypt", STS's
# "AssumeRole", IAM's "Common errors" (docs.aws.amazon.com), and the codes that botocore retries.
_TRANSIENT_ERROR_CODES = frozenset({
    "BandwidthLimitExceeded", "DependencyTimeoutException", "IDPCommunicationError", "InternalError", "InternalFailure",
    "InternalServerError", "KMSInternalException", "KeyUnavailableException", "LimitExceededException",
    "PriorRequestNotComplete", "ProvisionedThroughputExceededException", "ReplicatedWriteConflictException",
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "RequestTimeout",
    "RequestTimeoutException", "ResourceInUseException", "ServiceUnavailable", "ServiceUnavailableException",
    "SlowDown", "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException",
    "TransactionInProgressException",
})  # fmt: skip
# AWS could not authenticate the request. Transient, because the runtime replaces expired credentials, and a request
# that was signed before a freeze is signed again.
_NOT_AUTHENTICATED = frozenset({
    "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException",
    "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidIdentityToken", "InvalidSignatureException",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "RequestExpired", "RequestInTheFuture",
    "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedException",
    "UnrecognizedClientException",
})  # fmt: skip
_ACCESS_ERROR_CODES = frozenset({
    "AccessDenied", "AccessDeniedException", "DisabledException", "ForbiddenException", "InvalidGrantTokenException",
    "InvalidKeyUsageException", "KMSInvalidStateException", "NotAuthorized", "NotFoundException",
    "ResourceNotFoundException", "TableNotFoundException", "UnauthorizedOperation",
})  # fmt: skip
_STILL_EXPIRED = "Credentials were refreshed, but the refreshed credentials are still expired."
"""Message of a plain RuntimeError of botocore; the type also covers RecursionError, so only the text identifies it."""
_TOO_MANY_REQUESTS = 429
_INTERNAL_SERVER_ERROR = 500
CHECK_SETTINGS: Final = (
    "Check the region, the credentials, the profile and the endpoint in the environment (AWS_...) "
    "and in the AWS configuration files."
)


@contextmanager
def translate_setup_errors() -> Iterator[None]:
    """Translate errors of the creation of clients.

    The environment, configuration files and the source of the credentials are their only causes.

    Raises:
        ConfigurationError: A setting in the environment or in a configuration file is missing or wrong.
        KeyStoreUnavailableError: The source of the credentials is unreachable.
    """
    try:
        yield
    except (ConfigurationError, RecursionError, MemoryError):
        raise
    except Exception as error:
        _strip_document(error)
        kinds = kinds_of(error)
        if isinstance(error, (*kinds.connection, *kinds.no_credentials)) or _code(error):
            raise KeyStoreUnavailableError(_no_credentials(_code(error) or type(error).__name__)) from error
        reason = str(error).rstrip(".") if isinstance(error, kinds.self_explanatory) else type(error).__name__
        raise ConfigurationError(f"The AWS clients cannot be created: {reason}. {CHECK_SETTINGS}") from error


@contextmanager
def translate_aws_errors(service: str, *, writing: bool = False) -> Iterator[None]:
    """Translate errors of AWS calls into errors of this package; re-raise errors without a counterpart.

    The block must contain only the call: errors of other code would be taken for errors of AWS.

    Args:
        service: The AWS service for the messages: ``DynamoDB`` or ``KMS``.
        writing: True if a failed call may have taken effect.

    Raises:
        KeyStoreUnavailableError: Throttled, failed, unreachable, or not authenticated; waiting helps.
        KeyAccessDeniedError: Denied by IAM or by the state of the table or the KMS key; waiting does not help.
    """
    advice = "Look whether the change took effect, then try again." if writing else "Try again shortly."
    try:
        yield
    except Exception as error:
        kinds = kinds_of(error)
        # botocore's HTTP session wraps these errors, although AWS did not cause them.
        hidden = vars(error)["kwargs"].get("error") if isinstance(error, kinds.wrappers) else error
        if isinstance(hidden, (RecursionError, MemoryError)):
            raise hidden  # noqa: B904 - the cause, not a consequence
        translated = (
            _of_response(error, service, advice)
            if isinstance(error, kinds.responses)
            else _of_failure(error, service, advice)
        )
        if translated is None:
            raise
        _strip_document(error)
        raise translated from error


def _of_response(error: Any, service: str, advice: str) -> KeyStoreUnavailableError | KeyAccessDeniedError | None:
    """Return the error of this package for an error response, or None."""
    code, status, operation = _code(error), _status(error), error.operation_name
    for_credentials = _passed_through(error, kinds_of(error).reads_credentials)
    if code in _NOT_AUTHENTICATED:
        return KeyStoreUnavailableError(
            f"{service} did not accept the AWS credentials or the signature of {operation} ({code}). {advice} "
            "If it stays, check this function's credentials and its clock."
        )
    if code in _TRANSIENT_ERROR_CODES or status == _TOO_MANY_REQUESTS or status >= _INTERNAL_SERVER_ERROR:
        return KeyStoreUnavailableError(f"{service} is busy or failing ({code}). {advice}")
    if code in _ACCESS_ERROR_CODES and for_credentials:
        return KeyAccessDeniedError(
            f"The source of this function's AWS credentials refused {operation} ({code}). "
            "Check the role, and who may assume it."
        )
    if code in _ACCESS_ERROR_CODES:
        return KeyAccessDeniedError(
            f"{service} refused {operation} ({code}). Check this function's IAM policy, "
            "the name of the table, and that the KMS key is enabled."
        )
    return KeyStoreUnavailableError(_no_credentials(f"{operation}: {code}")) if for_credentials else None


def _of_failure(error: Exception, service: str, advice: str) -> KeyStoreUnavailableError | None:
    """Return the error of this package for a call without a readable response, or None."""
    name, kinds = type(error).__name__, kinds_of(error)
    if (
        isinstance(error, kinds.no_credentials)
        or (type(error) is RuntimeError and str(error) == _STILL_EXPIRED)
        or _passed_through(error, kinds.reads_credentials)
    ):
        return KeyStoreUnavailableError(f"{service} could not be reached. {_no_credentials(name)}")
    # OSError covers errors of sockets and files that a client does not wrap.
    if isinstance(error, (*kinds.connection, OSError)):
        return KeyStoreUnavailableError(f"{service} could not be reached ({name}). {advice}")
    if isinstance(error, kinds.unreadable) or _passed_through(error, kinds.reads_responses):
        return KeyStoreUnavailableError(f"{service} sent a response that cannot be read ({name}). {advice}")
    return None


@contextmanager
def any_failure(service: str) -> Iterator[None]:
    """Translate all other errors of AWS and its clients into `KeyStoreUnavailableError`.

    For consumers, which receive only errors of this package. Admin functions log such errors instead.

    Raises:
        KeyStoreUnavailableError: AWS or its client raised an error that `translate_aws_errors` does not know.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, kinds_of(error).every):
            raise
        raise KeyStoreUnavailableError(
            f"{service} failed for a reason that is not known here ({_code(error) or type(error).__name__}). "
            "Try again shortly. If it stays, report this message."
        ) from error


def member(response: Mapping[str, Any], name: str, service: str) -> Any:
    """Return a mandatory member of an AWS response.

    Raises:
        KeyStoreUnavailableError: The member is missing, as in a proxy's page or a truncated response.
    """
    if name not in response:
        raise KeyStoreUnavailableError(f"{service} responded without {name}. Try again shortly.")
    return response[name]


def _code(error: Exception) -> str:
    """Return an error's code; empty if it has none, as in a proxy's response."""
    found = vars(error)["response"].get("Error") if isinstance(error, kinds_of(error).responses) else None
    code = found.get("Code") if isinstance(found, dict) else None
    return str(code) if code else ""


def _status(error: Any) -> int:
    metadata = error.response.get("ResponseMetadata")
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    return status if isinstance(status, int) else 0


def _passed_through(error: BaseException, modules: frozenset[str]) -> bool:
    """Return True if the error's traceback passes through one of these modules."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_globals.get("__name__") in modules:
            return True
        step = step.tb_next
    return False


def _strip_document(error: Exception) -> None:
    """Remove the output of a credential process from a JSON error, because it may contain credentials."""
    if isinstance(error, json.JSONDecodeError):
        error.doc = ""


def _no_credentials(reason: str) -> str:
    return (
        f"No valid AWS credentials could be obtained ({reason}). Try again shortly. If the problem persists, check "
        "their source: the role, the profile, the token file or the credential process."
    )
