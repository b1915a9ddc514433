"""AWS clients, and what their failures mean.

botocore without boto3: importing boto3 costs a cold start more and would give nothing here. A caller's boto3 clients
are botocore clients and serve as well.
"""

from __future__ import annotations

import json
import os
import traceback
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import botocore.exceptions
import botocore.parsers
import botocore.session
from botocore.config import Config

from service_keys.errors import ConfigurationError, KeyAccessDeniedError, KeyStoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Timeouts(NamedTuple):
    """How long a call may take, in seconds. AWS answers within milliseconds in its own region."""

    connect: float
    read: float


ADMIN_TIMEOUTS: Final = Timeouts(connect=1, read=2)
"""An administrator waits. Two attempts and the pause between them take at most 7 seconds."""
CONSUMER_TIMEOUTS: Final = Timeouts(connect=0.5, read=1)
"""A reader is somebody else's function, whose own time is 3 seconds unless its maker gave it more."""
MAX_ATTEMPTS: Final = 2

# Error codes by what they say about the caller. Sources: DynamoDB's "Error handling", KMS's "Decrypt", STS's
# "AssumeRole", IAM's "Common errors" (docs.aws.amazon.com), and the codes that botocore retries.
_TRANSIENT_ERROR_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "DependencyTimeoutException",
        "IDPCommunicationError",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceInUseException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_NOT_AUTHENTICATED = frozenset(
    # AWS does not know who sent the request. That says nothing about the sender's permissions: credentials that ran out
    # are replaced by the runtime, and a request that was signed before a freeze is signed anew.
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedException",
        "UnrecognizedClientException",
    }
)
_ACCESS_ERROR_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "DisabledException",
        "ForbiddenException",
        "InvalidGrantTokenException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "NotAuthorized",
        "NotFoundException",
        "ResourceNotFoundException",
        "TableNotFoundException",
        "UnauthorizedOperation",
    }
)
_CONNECTION_ERRORS = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ChecksumError,
    botocore.parsers.ResponseParserError,
)
_NO_CREDENTIALS = (
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.MetadataRetrievalError,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.SSOError,
    botocore.exceptions.TokenRetrievalError,
)
_STILL_EXPIRED = "Credentials were refreshed, but the refreshed credentials are still expired."
"""botocore raises it as a plain RuntimeError, the base class of RecursionError: the text alone tells it apart."""
_READS_CREDENTIALS = frozenset({"botocore.credentials", "botocore.tokens", "botocore.auth", "botocore.crt.auth"})
_READS_RESPONSES = frozenset({"botocore.parsers"})
_SELF_EXPLANATORY = (
    botocore.exceptions.ConfigNotFound,
    botocore.exceptions.ConfigParseError,
    botocore.exceptions.InvalidConfigError,
    botocore.exceptions.NoRegionError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
)
"""Errors whose text names what is missing, and holds no value of a setting that may be secret."""
_CHECK_SETTINGS = (
    "Check the region, the credentials, the profile and the endpoint in the environment (AWS_...) "
    "and in the AWS configuration files."
)


def clients(*services: str, timeouts: Timeouts = ADMIN_TIMEOUTS) -> tuple[Any, ...]:
    """Make botocore clients that give up while a Lambda function still has time to say so.

    From one session, which reads botocore's data once for all of them: a fifth less time than from one each. It is not
    kept, for threads must not share a session (https://github.com/boto/botocore/issues/1246); they may share clients.
    botocore makes their classes when it runs. The environment decides the region, the credentials and, for local runs,
    the endpoint.

    Raises:
        ConfigurationError: The environment or a configuration file lacks something, or holds something wrong.
        KeyStoreUnavailableError: The source of the credentials is out of reach.
    """
    config = Config(
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
        retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
    )
    try:
        session = _session()
        return tuple(session.create_client(service, config=config) for service in services)
    except (ConfigurationError, RecursionError, MemoryError):
        raise
    except Exception as error:
        # Nothing but the environment, files and the source of the credentials has a say here.
        _strip_document(error)
        if isinstance(error, (*_CONNECTION_ERRORS, *_NO_CREDENTIALS)) or _code(error):
            raise KeyStoreUnavailableError(_no_credentials(_code(error) or type(error).__name__)) from error
        reason = str(error).rstrip(".") if isinstance(error, _SELF_EXPLANATORY) else type(error).__name__
        raise ConfigurationError(f"The AWS clients cannot be created: {reason}. {_CHECK_SETTINGS}") from error


def _session() -> botocore.session.Session:
    session = botocore.session.get_session()
    # The variable of all other AWS SDKs, which botocore does not read.
    if not session.get_config_variable("region") and os.environ.get("AWS_REGION"):
        session.set_config_variable("region", os.environ["AWS_REGION"])
    # An empty one would be noticed at the first call.
    if not session.get_config_variable("region"):
        raise ConfigurationError("No AWS region is set. Set AWS_REGION or AWS_DEFAULT_REGION.")
    # A client without credentials never looks for them again.
    if session.get_credentials() is None:
        raise ConfigurationError(f"No AWS credentials were found. {_CHECK_SETTINGS}")
    return session


def client(service: str, timeouts: Timeouts = ADMIN_TIMEOUTS) -> Any:
    """Make one botocore client; see `clients`."""
    return clients(service, timeouts=timeouts)[0]


@contextmanager
def translate_aws_errors(service: str, *, writing: bool = False) -> Iterator[None]:
    """Turn what AWS calls raise into this package's errors where it has one; let anything else through.

    Nothing but the call itself may be inside: an error of this package's code is not AWS's.

    Args:
        service: What the calls inside talk to, for the messages: ``DynamoDB`` or ``KMS``.
        writing: Whether a call that failed may have taken effect.

    Raises:
        KeyStoreUnavailableError: Throttled, failed, out of reach, or not authenticated; waiting helps.
        KeyAccessDeniedError: Refused by IAM or by the state of the table or the KMS key; waiting does not help.
    """
    advice = "Look whether the change took effect, then try again." if writing else "Try again shortly."
    try:
        yield
    except Exception as error:
        # botocore's HTTP session hides these, which say nothing about AWS.
        hidden = error.kwargs.get("error") if isinstance(error, botocore.exceptions.HTTPClientError) else error
        if isinstance(hidden, (RecursionError, MemoryError)):
            raise hidden  # noqa: B904 - the cause, not a consequence
        translated = (
            _of_response(error, service, advice)
            if isinstance(error, botocore.exceptions.ClientError)
            else _of_failure(error, service, advice)
        )
        if translated is None:
            raise
        _strip_document(error)
        raise translated from error


def _of_response(
    error: botocore.exceptions.ClientError, service: str, advice: str
) -> KeyStoreUnavailableError | KeyAccessDeniedError | None:
    """Return the error of this package for an error response, if there is one."""
    code, status, operation = _code(error), _status(error), error.operation_name
    for_credentials = _passed_through(error, _READS_CREDENTIALS)
    if code in _NOT_AUTHENTICATED:
        return KeyStoreUnavailableError(
            f"{service} did not accept the AWS credentials or the signature of {operation} ({code}). {advice} "
            "If it stays, check this function's credentials and its clock."
        )
    if (
        code in _TRANSIENT_ERROR_CODES
        or status == HTTPStatus.TOO_MANY_REQUESTS
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
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
    """Return the error of this package for a call without a readable response, if there is one."""
    name = type(error).__name__
    if (
        isinstance(error, _NO_CREDENTIALS)
        or (type(error) is RuntimeError and str(error) == _STILL_EXPIRED)
        or _passed_through(error, _READS_CREDENTIALS)
    ):
        return KeyStoreUnavailableError(f"{service} could not be reached. {_no_credentials(name)}")
    # OSError: sockets and files, where botocore does not wrap it.
    if isinstance(error, (*_CONNECTION_ERRORS, OSError)):
        return KeyStoreUnavailableError(f"{service} could not be reached ({name}). {advice}")
    if _passed_through(error, _READS_RESPONSES):
        return KeyStoreUnavailableError(f"{service} sent a response that cannot be read ({name}). {advice}")
    return None


@contextmanager
def any_failure(service: str) -> Iterator[None]:
    """Turn what `meaning` lets through of AWS's and botocore's errors into `KeyStoreUnavailableError`: the last case.

    For consumers, who see errors of this package only. An admin function lets them through to its log.

    Raises:
        KeyStoreUnavailableError: AWS or botocore raised an error that no list here has.
    """
    try:
        yield
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        raise KeyStoreUnavailableError(
            f"{service} failed for a reason that is not known here ({_code(error) or type(error).__name__}). "
            "Try again shortly. If it stays, report this message."
        ) from error


def member(answer: Mapping[str, Any], name: str, service: str) -> Any:
    """Return a member that AWS's answers always have.

    Raises:
        KeyStoreUnavailableError: This one lacks it, so it is not AWS's: a proxy's page, or a part of an answer.
    """
    if name not in answer:
        raise KeyStoreUnavailableError(f"{service} answered without {name}. Try again shortly.")
    return answer[name]


def _code(error: Exception) -> str:
    """Return an error's code; empty if it has none. A proxy's response need not have the form of AWS's."""
    found = error.response.get("Error") if isinstance(error, botocore.exceptions.ClientError) else None
    code = found.get("Code") if isinstance(found, dict) else None
    return str(code) if code else ""


def _status(error: botocore.exceptions.ClientError) -> int:
    metadata = error.response.get("ResponseMetadata")
    status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    return status if isinstance(status, int) else 0


def _passed_through(error: BaseException, modules: frozenset[str]) -> bool:
    """Tell whether code of these modules was running when the error was raised."""
    return any(frame.f_globals.get("__name__") in modules for frame, _ in traceback.walk_tb(error.__traceback__))


def _strip_document(error: Exception) -> None:
    """Remove the output of a credential process from the error of the JSON parser: it may hold credentials."""
    if isinstance(error, json.JSONDecodeError):
        error.doc = ""


def _no_credentials(reason: str) -> str:
    return (
        f"No valid AWS credentials could be obtained ({reason}). Try again shortly; if it stays, check their source: "
        "the role, the profile, the token file or the credential process."
    )
