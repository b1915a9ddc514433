"""AWS clients, and what their failures mean.

botocore without boto3: importing boto3 costs a cold start more and would give nothing here. A caller's boto3 clients
are botocore clients and serve as well.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import botocore.exceptions
import botocore.session
from botocore.config import Config

from service_keys.errors import KeyAccessDenied, KeyStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT: Final = 1
"""Seconds; AWS endpoints answer a connection from the same region within milliseconds."""
READ_TIMEOUT: Final = 2
"""Seconds. With two attempts and the pause between them, one call takes at most 7."""
ATTEMPTS: Final = 2

_UNAVAILABLE = frozenset(
    {
        # DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
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
        "UnrecognizedClientException",
    }
)
_HTTP_SERVER_ERROR = 500


def client(service: str) -> Any:  # botocore makes its clients' classes when it runs
    """Make a botocore client whose timeouts fit a Lambda function.

    The environment decides the region, the credentials and, for local runs, the endpoint.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return botocore.session.get_session().create_client(service, config=config)


@contextmanager
def meaning(service: str) -> Iterator[None]:
    """Turn what AWS calls raise into this package's errors where it has one; let anything else through.

    Args:
        service: What the calls inside talk to, for the messages: ``DynamoDB`` or ``KMS``.

    Raises:
        KeyStoreUnavailable: Throttled, failed or out of reach; waiting helps.
        KeyAccessDenied: Refused by IAM or by the state of the KMS key; waiting does not help.
    """
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _UNAVAILABLE or status >= _HTTP_SERVER_ERROR:
            raise KeyStoreUnavailable(f"{service} is busy or failing ({code}). Try again shortly.") from error
        if code in _DENIED:
            raise KeyAccessDenied(
                f"{service} refused {error.operation_name} ({code}). Check this function's IAM policy and the KMS key."
            ) from error
        raise
    except (botocore.exceptions.HTTPClientError, botocore.exceptions.NoCredentialsError) as error:
        raise KeyStoreUnavailable(
            f"{service} could not be reached ({type(error).__name__}). Try again shortly."
        ) from error
