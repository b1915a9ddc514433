"""AWS clients, and what their failures mean.

botocore without boto3: importing boto3 costs a cold start more and would give nothing here. A caller's boto3 clients
are botocore clients and serve as well.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import botocore.exceptions
import botocore.parsers
import botocore.session
from botocore.config import Config

from service_keys.errors import KeyAccessDenied, KeyStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class Patience(NamedTuple):
    """How long a call may take, in seconds. AWS answers within milliseconds in its own region."""

    connect: float
    read: float


ADMIN_PATIENCE: Final = Patience(connect=1, read=2)
"""An administrator waits. Two attempts and the pause between them take at most 7 seconds."""
READER_PATIENCE: Final = Patience(connect=0.5, read=1)
"""A reader is somebody else's function, whose own time is 3 seconds unless its maker gave it more."""
ATTEMPTS: Final = 2

_UNAVAILABLE = frozenset(
    {
        # DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
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
        # KMS: https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
        "DependencyTimeoutException",
        "KMSInternalException",
        "KeyUnavailableException",
        "ServiceUnavailableException",
        # Credentials that ran out: the runtime replaces them, so waiting helps.
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
    }
)
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "DisabledException",
        "InvalidSignatureException",
        "KMSInvalidStateException",
        "NotFoundException",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
    }
)
_UNREACHABLE = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.NoCredentialsError,
    botocore.parsers.ResponseParserError,
    # What botocore raises where credentials ran out and no new ones come.
    RuntimeError,
)


def clients(*services: str, patience: Patience = ADMIN_PATIENCE) -> tuple[Any, ...]:
    """Make botocore clients that give up while a Lambda function still has time to say so.

    From one session, which reads botocore's data once for all of them: a fifth less time than from one each. It is not
    kept, for threads must not share a session (https://github.com/boto/botocore/issues/1246); they may share clients.
    botocore makes their classes when it runs. The environment decides the region, the credentials and, for local runs,
    the endpoint.
    """
    config = Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    session = botocore.session.get_session()
    # To see that each is there, botocore would list all of its four hundred services, twice. A copy, for the loader may
    # be somebody else's as well.
    loader = copy.copy(session.get_component("data_loader"))
    loader.list_available_services = lambda _type_name: list(services)
    session.register_component("data_loader", loader)
    return tuple(session.create_client(service, config=config) for service in services)


def client(service: str, patience: Patience = ADMIN_PATIENCE) -> Any:
    """Make one botocore client; see `clients`."""
    return clients(service, patience=patience)[0]


@contextmanager
def meaning(service: str, *, writing: bool = False) -> Iterator[None]:
    """Turn what AWS calls raise into this package's errors where it has one; let anything else through.

    Args:
        service: What the calls inside talk to, for the messages: ``DynamoDB`` or ``KMS``.
        writing: Whether a call that failed may have taken effect.

    Raises:
        KeyStoreUnavailable: Throttled, failed or out of reach; waiting helps.
        KeyAccessDenied: Refused by IAM or by the state of the table or the KMS key; waiting does not help.
    """
    advice = "Look whether the change took effect, then try again." if writing else "Try again shortly."
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _UNAVAILABLE or status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise KeyStoreUnavailable(f"{service} is busy or failing ({code}). {advice}") from error
        if code in _DENIED:
            raise KeyAccessDenied(
                f"{service} refused {error.operation_name} ({code}). Check this function's IAM policy, "
                "the name of the table, and that the KMS key is enabled."
            ) from error
        raise
    except _UNREACHABLE as error:
        raise KeyStoreUnavailable(f"{service} could not be reached ({type(error).__name__}). {advice}") from error
