"""What AWS's failures mean, and how long its clients wait."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from service_keys import aws
from service_keys.errors import KeyAccessDenied, KeyStoreUnavailable

UNAVAILABLE = [
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ThrottlingException",
    "ThrottledException",
    "TransactionInProgressException",
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "ServiceUnavailableException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
]
DENIED = [
    "AccessDenied",
    "AccessDeniedException",
    "DisabledException",
    "InvalidSignatureException",
    "KMSInvalidStateException",
    "NotFoundException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
]


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Query")


@pytest.mark.parametrize("code", UNAVAILABLE)
def test_what_waiting_mends_is_unavailable(code: str) -> None:
    words = rf"^DynamoDB is busy or failing \({code}\). Try again shortly.$"
    with pytest.raises(KeyStoreUnavailable, match=words), aws.meaning("DynamoDB"):
        raise client_error(code)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_unknown_code_counts_by_its_status(status: int) -> None:
    with pytest.raises(KeyStoreUnavailable, match="Unheard"), aws.meaning("KMS"):
        raise client_error("Unheard", status)


@pytest.mark.parametrize("code", DENIED)
def test_what_waiting_does_not_mend_is_denied(code: str) -> None:
    words = rf"^KMS refused Query \({code}\). Check this function's IAM policy"
    with pytest.raises(KeyAccessDenied, match=words), aws.meaning("KMS"):
        raise client_error(code)


@pytest.mark.parametrize("status", [400, 403, 428, 430, 499])
def test_what_has_no_meaning_here_is_let_through(status: int) -> None:
    raised = client_error("ValidationException", status)
    with pytest.raises(ClientError) as caught, aws.meaning("DynamoDB"):
        raise raised
    assert caught.value is raised


def test_an_error_without_the_usual_members_is_let_through() -> None:
    with pytest.raises(ClientError), aws.meaning("DynamoDB"):
        raise ClientError({}, "Query")


def test_a_failure_without_a_code_counts_by_its_status() -> None:
    failure: Any = {"ResponseMetadata": {"HTTPStatusCode": 500}}
    with pytest.raises(KeyStoreUnavailable, match=r"^KMS is busy or failing \(\)\."), aws.meaning("KMS"):
        raise ClientError(failure, "Decrypt")


UNREACHABLE: list[Exception] = [
    EndpointConnectionError(endpoint_url="x"),
    ConnectTimeoutError(endpoint_url="x"),
    ReadTimeoutError(endpoint_url="x"),
    SSLError(endpoint_url="x", error=OSError()),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    NoCredentialsError(),
    CredentialRetrievalError(provider="x", error_msg="x"),
    ResponseParserError("x"),
    RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
]


@pytest.mark.parametrize("error", UNREACHABLE, ids=lambda error: type(error).__name__)
def test_what_does_not_arrive_is_unavailable_and_told_by_its_type_alone(error: Exception) -> None:
    words = rf"^DynamoDB could not be reached \({type(error).__name__}\). Try again shortly.$"
    with pytest.raises(KeyStoreUnavailable, match=words) as caught, aws.meaning("DynamoDB"):
        raise error
    assert caught.value.__cause__ is error


def test_our_own_mistakes_are_let_through() -> None:
    with pytest.raises(BotoCoreError), aws.meaning("DynamoDB"):
        raise ParamValidationError(report="x")
    with pytest.raises(ZeroDivisionError), aws.meaning("DynamoDB"):
        raise ZeroDivisionError


@pytest.mark.parametrize("error", [client_error("ThrottlingException"), EndpointConnectionError(endpoint_url="x")])
def test_after_a_write_nobody_knows_whether_it_was_made(error: Exception) -> None:
    advice = "Look whether the change took effect, then try again.$"
    with pytest.raises(KeyStoreUnavailable, match=advice), aws.meaning("DynamoDB", writing=True):
        raise error


@pytest.mark.parametrize(("patience", "connect", "read"), [(aws.ADMIN_PATIENCE, 1, 2), (aws.READER_PATIENCE, 0.5, 1)])
def test_a_client_gives_up_in_time(
    monkeypatch: pytest.MonkeyPatch, patience: aws.Patience, connect: float, read: float
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = aws.client("kms", patience)
    config = client.meta.config
    client.close()

    assert client.meta.service_model.service_name == "kms"
    assert (config.connect_timeout, config.read_timeout) == (connect, read)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}


def test_clients_are_made_without_a_list_of_all_services_and_others_still_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    session = botocore.session.get_session()
    monkeypatch.setattr(botocore.session, "get_session", lambda: session)
    others, listed = session.get_component("data_loader"), []
    monkeypatch.setattr(Loader, "list_available_services", lambda _loader, kind: listed.append(kind))

    for client in aws.clients("dynamodb", "kms"):
        client.close()

    assert listed == []
    others.list_available_services("service-2")
    assert listed == ["service-2"]


def test_a_client_is_an_administrators_unless_it_is_a_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = aws.client("kms")
    client.close()

    assert client.meta.config.read_timeout == aws.ADMIN_PATIENCE.read
