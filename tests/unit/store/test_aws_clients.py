"""Tests of the translation of AWS errors and of the clients' timeouts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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

from local.aws import CREDENTIALS
from service_keys.errors import KeyAccessDeniedError, KeyStoreUnavailableError
from service_keys.store import aws_clients

if TYPE_CHECKING:
    from collections.abc import Callable

UNAVAILABLE = [
    "BandwidthLimitExceeded",
    "DependencyTimeoutException",
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
]
NOT_AUTHENTICATED = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
]
DENIED = [
    "AccessDenied",
    "AccessDeniedException",
    "DisabledException",
    "InvalidGrantTokenException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotAuthorized",
    "NotFoundException",
    "ResourceNotFoundException",
    "TableNotFoundException",
]


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Query")


@pytest.mark.parametrize("code", UNAVAILABLE)
def test_a_transient_error_code_is_unavailable(code: str) -> None:
    """Raise KeyStoreUnavailableError with the service and the code."""
    words = rf"^DynamoDB is busy or failing \({code}\). Try again shortly.$"
    with pytest.raises(KeyStoreUnavailableError, match=words), aws_clients.translate_aws_errors("DynamoDB"):
        raise client_error(code)


@pytest.mark.parametrize("code", NOT_AUTHENTICATED)
def test_an_unauthenticated_request_is_unavailable(code: str) -> None:
    """Treat credentials or signatures that expired in a freeze as transient: botocore renews them."""
    words = rf"^KMS did not accept the AWS credentials or the signature of Query \({code}\)\. Try again shortly\."
    with pytest.raises(KeyStoreUnavailableError, match=words), aws_clients.translate_aws_errors("KMS"):
        raise client_error(code, 403)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_unknown_code_is_classified_by_its_http_status(status: int) -> None:
    """Treat 429 and 5xx as transient."""
    with pytest.raises(KeyStoreUnavailableError, match="Unheard"), aws_clients.translate_aws_errors("KMS"):
        raise client_error("Unheard", status)


@pytest.mark.parametrize("code", DENIED)
def test_a_permanent_error_code_is_access_denied(code: str) -> None:
    """Raise KeyAccessDeniedError with the service, the operation and the code."""
    words = rf"^KMS refused Query \({code}\). Check this function's IAM policy"
    with pytest.raises(KeyAccessDeniedError, match=words), aws_clients.translate_aws_errors("KMS"):
        raise client_error(code)


@pytest.mark.parametrize("status", [400, 403, 428, 430, 499])
def test_an_unclassified_client_error_is_raised_unchanged(status: int) -> None:
    """Let a ValidationException with a 4xx status through."""
    raised = client_error("ValidationException", status)
    with pytest.raises(ClientError) as caught, aws_clients.translate_aws_errors("DynamoDB"):
        raise raised
    assert caught.value is raised


def test_an_error_without_code_and_status_is_raised_unchanged() -> None:
    """Let an empty response through."""
    with pytest.raises(ClientError), aws_clients.translate_aws_errors("DynamoDB"):
        raise ClientError({}, "Query")


def test_an_error_without_a_code_is_classified_by_its_status() -> None:
    """Treat 500 as transient."""
    failure: Any = {"ResponseMetadata": {"HTTPStatusCode": 500}}
    with (
        pytest.raises(KeyStoreUnavailableError, match=r"^KMS is busy or failing \(\)\."),
        aws_clients.translate_aws_errors("KMS"),
    ):
        raise ClientError(failure, "Decrypt")


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
    with (
        pytest.raises(KeyStoreUnavailableError, match=r"^KMS failed for a reason that is not known here \("),
        aws_clients.any_failure("KMS"),
        aws_clients.translate_aws_errors("KMS"),
    ):
        raise ClientError(response, "Decrypt")


@pytest.mark.parametrize("error", [ParamValidationError(report="hunter2"), BotoCoreError()], ids=repr)
def test_an_unknown_botocore_error_is_unavailable_to_consumers(error: BotoCoreError) -> None:
    """Put the type of the error into the message, not its text."""
    words = type(error).__name__
    with (
        pytest.raises(KeyStoreUnavailableError, match=words) as raised,
        aws_clients.any_failure("KMS"),
        aws_clients.translate_aws_errors("KMS"),
    ):
        raise error

    assert "hunter2" not in str(raised.value)


UNREACHABLE: list[Exception] = [
    EndpointConnectionError(endpoint_url="x"),
    ConnectTimeoutError(endpoint_url="x"),
    ReadTimeoutError(endpoint_url="x"),
    ConnectionClosedError(endpoint_url="x"),
    ProxyConnectionError(proxy_url="x"),
    HTTPClientError(error=ValueError("x")),
    SSLError(endpoint_url="x", error=OSError()),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
    ResponseParserError("x"),
    ConnectionResetError(),
    TimeoutError(),
    OSError("x"),
]
WITHOUT_CREDENTIALS: list[Exception] = [
    NoCredentialsError(),
    CredentialRetrievalError(provider="x", error_msg="hunter2"),
    MetadataRetrievalError(error_msg="hunter2"),
    TokenRetrievalError(provider="x", error_msg="hunter2"),
    SSOTokenLoadError(error_msg="hunter2"),
    UnauthorizedSSOTokenError(),
    RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
]


@pytest.mark.parametrize("error", UNREACHABLE, ids=lambda error: type(error).__name__)
def test_a_connection_error_is_unavailable_and_named_by_type(error: Exception) -> None:
    """Keep the error as the cause, and its text out of the message."""
    words = rf"^DynamoDB could not be reached \({type(error).__name__}\). Try again shortly.$"
    with pytest.raises(KeyStoreUnavailableError, match=words) as caught, aws_clients.translate_aws_errors("DynamoDB"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", WITHOUT_CREDENTIALS, ids=lambda error: type(error).__name__)
def test_missing_credentials_are_unavailable(error: Exception) -> None:
    """Name the credentials in the message, without text from their source."""
    words = rf"^DynamoDB could not be reached. No valid AWS credentials could be obtained \({type(error).__name__}\)"
    with pytest.raises(KeyStoreUnavailableError, match=words) as caught, aws_clients.translate_aws_errors("DynamoDB"):
        raise error

    assert "hunter2" not in str(caught.value)


def refreshable(metadata: Any, refresh: Callable[[], Any]) -> RefreshableCredentials:
    return RefreshableCredentials.create_from_metadata(metadata, refresh, "made-up")


EXPIRED = {"access_key": "made-up", "secret_key": "made-up", "token": "made-up", "expiry_time": "2020-01-01T00:00:00Z"}


def failing_refresh(error: Exception) -> Callable[[], Any]:
    def refresh() -> Any:
        raise error

    return refresh


@pytest.mark.parametrize(
    "refresh",
    [
        lambda: EXPIRED,
        dict,
        lambda: EXPIRED | {"expiry_time": "hunter2"},
        lambda: EXPIRED | {"expiry_time": None},
        failing_refresh(FileNotFoundError("hunter2")),
        failing_refresh(json.JSONDecodeError("made up", "hunter2", 0)),
        failing_refresh(KeyError("hunter2")),
        failing_refresh(TypeError("hunter2")),
    ],
    ids=["still expired", "empty", "malformed time", "no time", "no file", "no JSON", "no member", "other type"],
)
def test_credentials_that_cannot_be_refreshed_are_unavailable(refresh: Callable[[], Any]) -> None:
    """Translate the many error types that botocore raises while it refreshes credentials."""
    credentials = refreshable(EXPIRED, refresh)

    with (
        pytest.raises(KeyStoreUnavailableError, match="No valid AWS credentials") as caught,
        aws_clients.translate_aws_errors("DynamoDB"),
    ):
        credentials.get_frozen_credentials()

    assert "hunter2" not in str(caught.value)
    assert getattr(caught.value.__cause__, "doc", "") == ""


def test_a_recursion_error_during_a_credential_refresh_is_raised() -> None:
    """Raise RecursionError: it is no sign of wrong credentials."""
    credentials = refreshable(EXPIRED, failing_refresh(RecursionError()))

    with pytest.raises(RecursionError), aws_clients.translate_aws_errors("DynamoDB"):
        credentials.get_frozen_credentials()


NOT_OF_AWS: list[BaseException] = [
    RecursionError(),
    MemoryError(),
    KeyboardInterrupt(),
    NotImplementedError(),
    RuntimeError("dictionary changed size during iteration"),
    TypeError(),
    ValueError(),
    KeyError(),
    ZeroDivisionError(),
]


@pytest.mark.parametrize("error", NOT_OF_AWS, ids=lambda error: type(error).__name__)
def test_a_program_error_is_raised_unchanged(error: BaseException) -> None:
    """Raise errors unrelated to AWS and credentials, so that no cached key hides them."""
    with (
        pytest.raises(type(error)) as caught,
        aws_clients.any_failure("DynamoDB"),
        aws_clients.translate_aws_errors("DynamoDB"),
    ):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", [RecursionError(), MemoryError()], ids=lambda error: type(error).__name__)
def test_an_error_wrapped_by_the_http_session_is_raised(error: Exception) -> None:
    """Unwrap HTTPClientError, into which botocore's HTTP session turns every error."""
    with (
        pytest.raises(type(error)) as caught,
        aws_clients.any_failure("DynamoDB"),
        aws_clients.translate_aws_errors("DynamoDB"),
    ):
        raise HTTPClientError(error=error)
    assert caught.value is error


def test_a_parameter_validation_error_is_raised_unchanged() -> None:
    """Let ParamValidationError through: it is a bug of this package."""
    with pytest.raises(BotoCoreError), aws_clients.translate_aws_errors("DynamoDB"):
        raise ParamValidationError(report="x")


@pytest.mark.parametrize("error", [client_error("ThrottlingException"), EndpointConnectionError(endpoint_url="x")])
def test_a_failed_write_reports_that_its_outcome_is_unknown(error: Exception) -> None:
    """Advise to check the change before a retry."""
    advice = "Look whether the change took effect, then try again.$"
    with (
        pytest.raises(KeyStoreUnavailableError, match=advice),
        aws_clients.translate_aws_errors("DynamoDB", writing=True),
    ):
        raise error


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("patience", "connect", "read"), [(aws_clients.ADMIN_TIMEOUTS, 1, 2), (aws_clients.CONSUMER_TIMEOUTS, 0.5, 1)]
)
def test_a_client_has_the_given_timeouts_and_two_attempts(
    environment: None, patience: aws_clients.Timeouts, connect: float, read: float
) -> None:
    """Configure connect and read timeouts in seconds, and standard retries."""
    client = aws_clients.client("kms", patience)
    config = client.meta.config
    client.close()

    assert client.meta.service_model.service_name == "kms"
    assert (config.connect_timeout, config.read_timeout) == (connect, read)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}


def test_a_client_has_admin_timeouts_by_default(environment: None) -> None:
    """Use ADMIN_TIMEOUTS unless others are given."""
    client = aws_clients.client("kms")
    client.close()

    assert client.meta.config.read_timeout == aws_clients.ADMIN_TIMEOUTS.read
