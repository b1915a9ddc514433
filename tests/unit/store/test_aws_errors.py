"""Tests of the translation of AWS errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from service_keys.errors import KeyAccessDeniedError, KeyStoreUnavailableError
from service_keys.store.aws_errors import any_failure, translate_aws_errors
from service_keys.store.direct import errors as direct

if TYPE_CHECKING:
    from collections.abc import Callable

    ErrorOf = Callable[..., Exception]

TRANSIENT = [
    "BandwidthLimitExceeded", "DependencyTimeoutException", "IDPCommunicationError", "InternalError", "InternalFailure",
    "InternalServerError", "KMSInternalException", "KeyUnavailableException", "LimitExceededException",
    "PriorRequestNotComplete", "ProvisionedThroughputExceededException", "ReplicatedWriteConflictException",
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "RequestTimeout",
    "RequestTimeoutException", "ResourceInUseException", "ServiceUnavailable", "ServiceUnavailableException",
    "SlowDown", "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException",
    "TransactionInProgressException",
]  # fmt: skip
NOT_AUTHENTICATED = [
    "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException",
    "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidIdentityToken", "InvalidSignatureException",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "RequestExpired", "RequestInTheFuture",
    "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedException",
    "UnrecognizedClientException",
]  # fmt: skip
DENIED = [
    "AccessDenied", "AccessDeniedException", "DisabledException", "ForbiddenException", "InvalidGrantTokenException",
    "InvalidKeyUsageException", "KMSInvalidStateException", "NotAuthorized", "NotFoundException",
    "ResourceNotFoundException", "TableNotFoundException", "UnauthorizedOperation",
]  # fmt: skip
BUSY = r"^KMS is busy or failing \({}\)\. Try again shortly\.$"
REFUSED = r"^KMS refused Query \({}\)\. Check this function's IAM policy"
UNAUTHENTICATED = (
    r"^KMS did not accept the AWS credentials or the signature of Query \({}\)\. Try again shortly\. "
    "If it stays, check this function's credentials and its clock."
)


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Query")


def direct_error(code: str, status: int = 400) -> direct.ResponseError:
    return direct.ResponseError(code, status, "Query")


both_clients = pytest.mark.parametrize("error_of", [client_error, direct_error], ids=["botocore", "direct"])


def type_name(error: BaseException) -> str:
    return type(error).__name__


def translate(error: BaseException, *, writing: bool = False) -> NoReturn:
    """Raise the error in a call of KMS, as admin functions translate it."""
    with translate_aws_errors("KMS", writing=writing):
        raise error
    raise AssertionError


def translate_for_consumers(error: BaseException) -> None:
    """Raise the error in a call of KMS, as consumers translate it."""
    with any_failure("KMS"):
        translate(error)


# --- error responses --------------------------------------------------------------------------------------------------


@both_clients
@pytest.mark.parametrize("code", TRANSIENT)
def test_a_transient_error_code_is_unavailable(error_of: ErrorOf, code: str) -> None:
    """Raise KeyStoreUnavailableError with the service and the code."""
    with pytest.raises(KeyStoreUnavailableError, match=BUSY.format(code)):
        translate(error_of(code))


@both_clients
@pytest.mark.parametrize("code", NOT_AUTHENTICATED)
def test_an_unauthenticated_request_is_unavailable(error_of: ErrorOf, code: str) -> None:
    """Treat credentials or signatures that expired in a freeze as transient: botocore renews them."""
    with pytest.raises(KeyStoreUnavailableError, match=UNAUTHENTICATED.format(code)):
        translate(error_of(code, 403))


@both_clients
@pytest.mark.parametrize("code", DENIED)
def test_a_permanent_error_code_is_access_denied(error_of: ErrorOf, code: str) -> None:
    """Raise KeyAccessDeniedError with the service, the operation and the code."""
    with pytest.raises(KeyAccessDeniedError, match=REFUSED.format(code)):
        translate(error_of(code))


@both_clients
@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_unknown_code_is_classified_by_its_http_status(error_of: ErrorOf, status: int) -> None:
    """Treat 429 and 5xx as transient, also without a code."""
    with pytest.raises(KeyStoreUnavailableError, match=BUSY.format("Unheard")):
        translate(error_of("Unheard", status))
    without_code: Any = {"ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(KeyStoreUnavailableError, match=BUSY.format("")):
        translate(ClientError(without_code, "Decrypt"))


@pytest.mark.parametrize(
    "error",
    [
        *(client_error("ValidationException", status) for status in (400, 403, 428, 430, 499)),
        direct_error("ValidationException"),
        ClientError({}, "Query"),
        ParamValidationError(report="x"),
    ],
    ids=str,
)
def test_an_unclassified_error_is_raised_unchanged(error: Exception) -> None:
    """Let the error through: it is a bug of this package."""
    with pytest.raises((ClientError, BotoCoreError, direct.DirectError)) as caught:
        translate(error)
    assert caught.value is error


ODD_RESPONSES: list[Any] = [
    {},
    {"Error": {}},
    {"Error": {"Code": None}},
    {"Error": {"Code": 5}},
    {"Error": {}, "ResponseMetadata": {}},
    {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": None}},
    {"Error": {"Code": "ValidationException"}, "ResponseMetadata": {"HTTPStatusCode": 400}},
]


@pytest.mark.parametrize("response", ODD_RESPONSES, ids=str)
def test_an_unknown_aws_error_is_unavailable_to_consumers(response: Any) -> None:
    """Translate any error of AWS or botocore in `any_failure`, the last case."""
    with pytest.raises(KeyStoreUnavailableError, match=r"^KMS failed for a reason that is not known here \("):
        translate_for_consumers(ClientError(response, "Decrypt"))


UNKNOWN: list[Exception] = [
    *(ParamValidationError(report="hunter2"), BotoCoreError(), direct.DirectError("hunter2")),
    *(direct.ConditionalCheckFailedException("ConditionalCheckFailedException", 400, "UpdateItem"),),
]


@pytest.mark.parametrize("error", UNKNOWN, ids=repr)
def test_an_unknown_error_of_a_client_is_unavailable_to_consumers(error: Exception) -> None:
    """Put the type of the error into the message, not its text."""
    with pytest.raises(KeyStoreUnavailableError, match=type_name(error)) as raised:
        translate_for_consumers(error)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("error", [client_error("ThrottlingException"), EndpointConnectionError(endpoint_url="x")])
def test_a_failed_write_reports_that_its_outcome_is_unknown(error: Exception) -> None:
    """Advise to check the change before a retry."""
    advice = "Look whether the change took effect, then try again.$"
    with pytest.raises(KeyStoreUnavailableError, match=advice):
        translate(error, writing=True)


# --- errors without a response ----------------------------------------------------------------------------------------

UNREACHABLE: list[Exception] = [
    *(EndpointConnectionError(endpoint_url="x"), ConnectTimeoutError(endpoint_url="x")),
    *(ReadTimeoutError(endpoint_url="x"), ConnectionClosedError(endpoint_url="x"), ProxyConnectionError(proxy_url="x")),
    *(HTTPClientError(error=ValueError("x")), SSLError(endpoint_url="x", error=OSError())),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
    *(ResponseParserError("x"), ConnectionResetError(), TimeoutError(), OSError("x")),
    *(direct.EndpointConnectionError("x"), direct.ConnectTimeoutError("x"), direct.SSLError("x")),
    *(direct.CertificateError("x"), direct.ReadTimeoutError("x"), direct.ConnectionClosedError("x")),
    direct.ChecksumError("x"),
]
WITHOUT_CREDENTIALS: list[Exception] = [
    *(NoCredentialsError(), CredentialRetrievalError(provider="x", error_msg="hunter2")),
    *(MetadataRetrievalError(error_msg="hunter2"), TokenRetrievalError(provider="x", error_msg="hunter2")),
    *(SSOTokenLoadError(error_msg="hunter2"), UnauthorizedSSOTokenError()),
    RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
    direct.NoCredentialsError("hunter2"),
]


@pytest.mark.parametrize("error", UNREACHABLE, ids=type_name)
def test_a_connection_error_is_unavailable_and_named_by_type(error: Exception) -> None:
    """Keep the error as the cause, and its text out of the message."""
    words = rf"^KMS could not be reached \({type_name(error)}\). Try again shortly.$"
    with pytest.raises(KeyStoreUnavailableError, match=words) as caught:
        translate(error)
    assert caught.value.__cause__ is error


def test_an_unreadable_direct_response_is_unavailable() -> None:
    """Distinguish a response that cannot be read from a service that cannot be reached."""
    with pytest.raises(KeyStoreUnavailableError, match=r"^KMS sent a response that cannot be read \(Unreadable"):
        translate(direct.UnreadableResponseError("x"))


@pytest.mark.parametrize("error", WITHOUT_CREDENTIALS, ids=type_name)
def test_missing_credentials_are_unavailable(error: Exception) -> None:
    """Name the credentials in the message, without text from their source."""
    words = rf"^KMS could not be reached. No valid AWS credentials could be obtained \({type_name(error)}\)"
    with pytest.raises(KeyStoreUnavailableError, match=words) as caught:
        translate(error)
    assert "hunter2" not in str(caught.value)


EXPIRED = {"access_key": "made-up", "secret_key": "made-up", "token": "made-up", "expiry_time": "2020-01-01T00:00:00Z"}


def failing_refresh(error: Exception) -> Callable[[], Any]:
    def refresh() -> Any:
        raise error

    return refresh


def sign_with_refreshed(refresh: Callable[[], Any]) -> None:
    """Get expired credentials, which botocore refreshes, in a call of KMS."""
    metadata: Any = EXPIRED
    credentials = RefreshableCredentials.create_from_metadata(metadata, refresh, "made-up")
    with translate_aws_errors("KMS"):
        credentials.get_frozen_credentials()


@pytest.mark.parametrize(
    "refresh",
    [
        pytest.param(lambda: EXPIRED, id="still expired"),
        pytest.param(dict, id="empty"),
        pytest.param(lambda: EXPIRED | {"expiry_time": "hunter2"}, id="malformed time"),
        pytest.param(lambda: EXPIRED | {"expiry_time": None}, id="no time"),
        pytest.param(failing_refresh(FileNotFoundError("hunter2")), id="no file"),
        pytest.param(failing_refresh(json.JSONDecodeError("made up", "hunter2", 0)), id="no JSON"),
        pytest.param(failing_refresh(KeyError("hunter2")), id="no member"),
        pytest.param(failing_refresh(TypeError("hunter2")), id="other type"),
    ],
)
def test_credentials_that_cannot_be_refreshed_are_unavailable(refresh: Callable[[], Any]) -> None:
    """Translate the many error types that botocore raises while it refreshes credentials."""
    with pytest.raises(KeyStoreUnavailableError, match="No valid AWS credentials") as caught:
        sign_with_refreshed(refresh)

    assert "hunter2" not in str(caught.value)
    assert getattr(caught.value.__cause__, "doc", "") == ""


def test_a_recursion_error_during_a_credential_refresh_is_raised() -> None:
    """Raise RecursionError: it is no sign of wrong credentials."""
    with pytest.raises(RecursionError):
        sign_with_refreshed(failing_refresh(RecursionError()))


PROGRAM_ERRORS: list[BaseException] = [
    *(RecursionError(), MemoryError(), KeyboardInterrupt(), NotImplementedError(), TypeError(), ValueError()),
    *(KeyError(), ZeroDivisionError(), RuntimeError("dictionary changed size during iteration")),
]


@pytest.mark.parametrize("error", PROGRAM_ERRORS, ids=type_name)
def test_a_program_error_is_raised_unchanged(error: BaseException) -> None:
    """Raise errors unrelated to AWS and credentials, so that no cached key hides them."""
    with pytest.raises(type(error)) as caught:
        translate_for_consumers(error)
    assert caught.value is error


@pytest.mark.parametrize("error", [RecursionError(), MemoryError()], ids=type_name)
def test_an_error_wrapped_by_the_http_session_is_raised(error: Exception) -> None:
    """Unwrap HTTPClientError, into which botocore's HTTP session turns every error."""
    with pytest.raises(type(error)) as caught:
        translate_for_consumers(HTTPClientError(error=error))
    assert caught.value is error
