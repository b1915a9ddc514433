"""Clients of DynamoDB and KMS with the methods, arguments, results and error types of botocore's that a consumer uses.

Differences from botocore: see docs/decisions/30-a-direct-client.md.
"""

from __future__ import annotations

import binascii
import json
import os
import random
import sys
import time
import zlib

from service_keys.store.direct import errors, sigv4
from service_keys.store.direct.connection import ConnectionPool
from service_keys.store.direct.errors import (
    ChecksumError,
    DirectError,
    NoCredentialsError,
    ResponseError,
    TransportError,
    UnreadableResponseError,
)
from service_keys.store.timeouts import MAX_ATTEMPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from service_keys.store.direct.endpoints import Endpoint
    from service_keys.store.direct.http_response import Response
    from service_keys.store.timeouts import Timeouts

RETRYABLE_CODES: Final = frozenset({
    "BandwidthLimitExceeded", "EC2ThrottledException", "LimitExceededException", "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException", "ReplicatedWriteConflictException", "RequestLimitExceeded",
    "RequestThrottled", "RequestThrottledException", "RequestTimeout", "RequestTimeoutException", "SlowDown",
    "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException",
    "TransactionInProgressException",
})  # fmt: skip
"""Error codes that botocore's retry mode "standard" retries, with those of DynamoDB's model."""
RETRYABLE_STATUSES: Final = frozenset({500, 502, 503, 504})
SKEW_CODES: Final = frozenset({
    "InvalidSignatureException", "RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
})  # fmt: skip
"""Error codes of a request that was signed with a wrong time, among other causes."""
_MIN_SKEW_SECONDS: Final = 4 * 60
"""Smaller differences cause none of these errors: AWS accepts 5 minutes."""
DYNAMODB_MAX_BYTES: Final = 8 * 1024 * 1024
"""A page of a Query holds 1 MB, each byte of which may take 6 characters of JSON, besides names and punctuation."""
KMS_MAX_BYTES: Final = 64 * 1024
"""A plaintext has at most 4096 bytes."""
_OK: Final = 200
_VISIBLE: Final = frozenset(chr(code) for code in range(0x21, 0x7F))


class DirectClient:
    """The calls of one service. Thread-safe; a forked child must call `close` before its first call.

    Args:
        service: The name for signatures.
        endpoint: The server.
        region: The region, for signatures.
        timeouts: Of each attempt.
        clock: Returns seconds since the Unix epoch.
        monotonic: Returns a monotonic time in seconds.
        sleep: Waits between two attempts.
        jitter: Returns a random number from 0 to 1.
    """

    exceptions = errors
    """The module with the classes of error responses, as botocore's attribute of this name."""
    _target = ""
    _content_type = ""
    _max_bytes = 0

    def __init__(
        self,
        service: str,
        endpoint: Endpoint,
        region: str,
        timeouts: Timeouts,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._service = service
        self._endpoint = endpoint
        self._region = region
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._clock_offset = 0.0
        self._user_agent = _user_agent()
        self._pool = ConnectionPool(endpoint, timeouts, wall_clock=clock, clock=monotonic)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._endpoint!r}>"

    def close(self) -> None:
        """Close the idle connections. The client remains usable."""
        self._pool.close()

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request, and once more after a transient error; return the parsed response.

        Raises:
            DirectError: AWS returned an error, or no readable response.
        """
        body = json.dumps(parameters).encode()
        attempt, is_corrected = 1, False
        while True:
            try:
                return self._attempt(operation, body)
            except DirectError as error:
                if not is_corrected and self._correct_clock(error):
                    is_corrected = True
                    continue
                if attempt >= MAX_ATTEMPTS or not _is_retryable(error):
                    raise
            # As botocore's mode "standard".
            self._sleep(self._jitter() * 2 ** (attempt - 1))
            attempt += 1

    def _attempt(self, operation: str, body: bytes) -> dict[str, Any]:
        response = self._pool.exchange(self._request(operation, body), self._max_bytes)
        checksum = response.headers.get("x-amz-crc32")
        # Over the bytes as sent.
        if checksum is not None and checksum != str(zlib.crc32(response.body)):
            raise ChecksumError("the body differs from its CRC32")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnreadableResponseError("compressed")
        parsed = _parse(response.body)
        if response.status != _OK:
            raise _error(response, parsed, operation)
        if parsed is None:
            raise UnreadableResponseError("no JSON object")
        return parsed

    def _request(self, operation: str, body: bytes) -> bytes:
        signed = sigv4.sign(
            "POST",
            self._endpoint.authority,
            "/",
            {"Content-Type": self._content_type, "X-Amz-Target": f"{self._target}.{operation}"},
            body,
            credentials=_credentials(),
            region=self._region,
            service=self._service,
            at=self._clock() + self._clock_offset,
        )
        headers = {
            **signed,
            "user-agent": self._user_agent,
            "accept-encoding": "identity",
            "content-length": str(len(body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST / HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body

    def _correct_clock(self, error: DirectError) -> bool:
        """Adopt the server's time if the signature had another one; return True if it had."""
        if not isinstance(error, ResponseError) or error.code not in SKEW_CODES:
            return False
        # Imported here, because almost no process needs it.
        from email.utils import parsedate_to_datetime

        try:
            server_time = parsedate_to_datetime(error.server_time).timestamp()
        except ValueError:
            return False
        offset = server_time - self._clock()
        if abs(offset - self._clock_offset) < _MIN_SKEW_SECONDS:
            return False
        self._clock_offset = offset
        return True


class DirectDynamoDB(DirectClient):
    """Query and UpdateItem."""

    _target = "DynamoDB_20120810"
    _content_type = "application/x-amz-json-1.0"
    _max_bytes = DYNAMODB_MAX_BYTES

    def query(self, **parameters: Any) -> dict[str, Any]:
        """Return ``Items`` and, if there are more, ``LastEvaluatedKey``."""
        response = self._call("Query", _with_base64(parameters))
        try:
            if "Items" in response:
                response["Items"] = [_decoded(item) for item in response["Items"]]
            if "LastEvaluatedKey" in response:
                response["LastEvaluatedKey"] = _decoded(response["LastEvaluatedKey"])
        except (AttributeError, TypeError, ValueError) as error:
            raise UnreadableResponseError("malformed items") from error
        return response

    def update_item(self, **parameters: Any) -> dict[str, Any]:
        """Update an item; return the response without converted attributes."""
        return self._call("UpdateItem", _with_base64(parameters))


class DirectKMS(DirectClient):
    """Decrypt."""

    _target = "TrentService"
    _content_type = "application/x-amz-json-1.1"
    _max_bytes = KMS_MAX_BYTES

    def decrypt(self, **parameters: Any) -> dict[str, Any]:
        """Return the ``Plaintext``."""
        response = self._call("Decrypt", _with_base64(parameters))
        if "Plaintext" in response:
            plaintext = _from_base64(response["Plaintext"])
            if plaintext is None:
                # Without the response, which the error would keep alive in its traceback.
                del response
                raise UnreadableResponseError("malformed plaintext")
            response["Plaintext"] = plaintext
        return response


def _is_retryable(error: DirectError) -> bool:
    if isinstance(error, ResponseError):
        return error.code in RETRYABLE_CODES or error.status in RETRYABLE_STATUSES
    return isinstance(error, TransportError)


def _parse(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object, or None. The parser's error would hold the body."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _error(response: Response, parsed: dict[str, Any] | None, operation: str) -> ResponseError:
    """Return the error of a response. Codes come as ``namespace#Code``, ``Code:uri``, or in a header."""
    code = (parsed or {}).get("__type") or (parsed or {}).get("code") or response.headers.get("x-amzn-errortype")
    name = code.partition(":")[0].rpartition("#")[2] if isinstance(code, str) else ""
    # A page of a load balancer has no code. The name stands in messages.
    name = name if name.isascii() and name.isalnum() and len(name) <= 100 else str(response.status)  # noqa: PLR2004
    kind = getattr(errors, name, ResponseError)
    if not (isinstance(kind, type) and issubclass(kind, ResponseError)):
        kind = ResponseError
    return kind(name, response.status, operation, response.headers.get("date", ""))


def _credentials() -> sigv4.Credentials:
    """Return the access key in the environment, where Lambda replaces it.

    Raises:
        NoCredentialsError: It is missing, or has characters that keys do not have. They could break a header, and an
            error of their encoding would hold the key.
    """
    access_key = os.environ.get("AWS_ACCESS_KEY_ID", "")
    secret_key = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    token = os.environ.get("AWS_SESSION_TOKEN", "")
    if not access_key or not secret_key or not _VISIBLE.issuperset(access_key + secret_key + token):
        raise NoCredentialsError("no usable AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN")
    return sigv4.Credentials(access_key, secret_key, token or None)


def _user_agent() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    app = os.environ.get("AWS_SDK_UA_APP_ID", "")
    known = f" app/{app}" if app and len(app) <= 50 and _VISIBLE.issuperset(app) else ""  # noqa: PLR2004 - AWS's limit
    return f"service-keys lang/python#{version}{known}"


def _with_base64(value: Any) -> Any:
    """Encode bytes, as AWS's JSON protocol does."""
    if isinstance(value, (bytes, bytearray)):
        return binascii.b2a_base64(value, newline=False).decode()
    if isinstance(value, dict):
        return {name: _with_base64(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_base64(member) for member in value]
    return value


def _from_base64(text: Any) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def _decoded(item: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: _decoded_value(value) for name, value in item.items()}


def _decoded_value(value: dict[str, Any]) -> dict[str, Any]:
    """Decode the bytes of an attribute.

    Raises:
        ValueError: They are not base64.
    """
    ((kind, content),) = value.items()
    if kind == "B":
        content = binascii.a2b_base64(content)
    elif kind == "BS":
        content = [binascii.a2b_base64(each) for each in content]
    elif kind == "L":
        content = [_decoded_value(each) for each in content]
    elif kind == "M":
        content = _decoded(content)
    return {kind: content}
