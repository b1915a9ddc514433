"""Errors of the direct client. `service_keys.store.aws_errors` translates them.

Named as their counterparts in botocore, because messages and logs contain the name. None holds text of a response:
KMS's and DynamoDB's messages can quote a request with its session token.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DirectError(Exception):
    """Base class of the errors of the direct client."""


class ResponseError(DirectError):
    """An error response of AWS, with the attributes of botocore's ClientError.

    Attributes:
        response: ``{"Error": {"Code"}, "ResponseMetadata": {"HTTPStatusCode"}}``.
        operation_name: The operation, such as ``Query``.
        server_time: The response's Date header.
    """

    def __init__(self, code: str, status: int, operation_name: str, server_time: str = "") -> None:
        super().__init__(f"An error occurred ({code}) when calling the {operation_name} operation")
        self.code = code
        self.status = status
        self.response: dict[str, Any] = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        self.operation_name = operation_name
        self.server_time = server_time


class ConditionalCheckFailedException(ResponseError):  # noqa: N818 - the name of AWS
    """The condition of an UpdateItem is false."""


class InvalidCiphertextException(ResponseError):  # noqa: N818 - the name of AWS
    """KMS cannot decrypt the ciphertext with this encryption context."""


class IncorrectKeyException(ResponseError):  # noqa: N818 - the name of AWS
    """The ciphertext belongs to another KMS key."""


class TransportError(DirectError):
    """A request without a complete response."""


class EndpointConnectionError(TransportError):
    """No address of the host accepts a connection, or the host has none."""


class ConnectTimeoutError(TransportError):
    """The connection or the TLS handshake took too long."""


class SSLError(TransportError):
    """The TLS handshake failed."""


class CertificateError(SSLError):
    """The server's certificate is not trusted, or belongs to another host.

    Attributes:
        chain: The certificates that the server sent, in DER; empty if they are not known.
    """

    def __init__(self, message: str, chain: list[bytes] | None = None) -> None:
        super().__init__(message)
        self.chain = chain or []


class ReadTimeoutError(TransportError):
    """The complete response did not arrive in time."""


class ConnectionClosedError(TransportError):
    """The connection ended before the complete response."""


class ChecksumError(TransportError):
    """The response's body differs from its checksum."""


class UnreadableResponseError(DirectError):
    """The response is not HTTP, not JSON, compressed or too large."""


class NoCredentialsError(DirectError):
    """The environment contains no usable access key."""
