"""Admin request, parsed from an API Gateway event: principal, path, headers and JSON body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from service_keys import errors
from service_keys.admin.pagination import parse_history_query, parse_list_query, parse_permanent, reject_parameters
from service_keys.core.models import ChangeContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_keys.core.history_query import HistoryQuery
    from service_keys.core.list_query import ListQuery

BODY_MAX_BYTES: Final = 16 * 1024
_JSON_MEDIA_TYPE = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)
"""Ignores parameters: JSON has none (RFC 8259, 11), and clients send `charset=utf8`, `version=1` or a bare `;`."""
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{16,128}")
_ENTITY_TAG = re.compile(r'(?:W/)?"[!\x23-\x7e]*"')
_VERSION_TAG = re.compile(r'"([1-9][0-9]{0,14})"')
_ENTITY_TAGS_MAX = 10
_BYTE_ORDER_MARK = "\ufeff"
"""Windows programs write one at the start of a file. JSON parsers can ignore it (RFC 8259, 8.1)."""
_SIGNS_OF_UTF_16 = frozenset("\0\ufffd")
"""One of the first two characters of a UTF-16 body: half of an ASCII character, or a replaced byte order mark."""


class Request:
    """A request of an administrator.

    Raises:
        AuthenticationRequiredError: The event has no authorizer context with the principal.
    """

    def __init__(self, event: Mapping[str, Any], *, at_ms: int) -> None:
        context = event["requestContext"]
        self._event = event
        self._headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        self.path: str = context["path"]
        self.context = ChangeContext(
            at_ms=at_ms,
            principal=_principal_of(context),
            request_id=context["requestId"],
            extended_request_id=context.get("extendedRequestId"),
            principal_name=_name_of(context),
        )

    @property
    def key_id(self) -> str:
        """The id in the path, not validated."""
        return str((self._event.get("pathParameters") or {}).get("id", ""))

    def parse_query(self) -> ListQuery:
        """Parse the query parameters of a list request.

        Raises:
            InvalidRequestError: A parameter is unknown or invalid.
        """
        return parse_list_query(self._parameters)

    def parse_history_query(self) -> HistoryQuery:
        """Parse the query parameters of a history request.

        Raises:
            InvalidRequestError: A parameter is unknown or invalid.
        """
        return parse_history_query(self._parameters, key_id=self.key_id)

    def parse_permanent(self) -> bool:
        """Parse the query parameter ``permanent`` of a delete request.

        Raises:
            InvalidRequestError: A parameter is unknown or invalid.
        """
        return parse_permanent(self._parameters)

    def reject_parameters(self) -> None:
        """Reject a change with query parameters, which it does not have.

        Raises:
            InvalidRequestError: The request has a query parameter.
        """
        reject_parameters(self._parameters)

    @property
    def _parameters(self) -> Mapping[str, Any]:
        return self._event.get("multiValueQueryStringParameters") or {}

    def parse_if_match(self) -> frozenset[int] | None:
        """Return the versions in ``If-Match`` (RFC 9110, 13.1.1), or None if any version matches.

        Raises:
            InvalidRequestError: The header is malformed.
        """
        header = self._headers.get("if-match", "*").strip()
        if header == "*":
            return None
        tags = [tag.strip() for tag in header.split(",")]
        if len(tags) > _ENTITY_TAGS_MAX or not all(_ENTITY_TAG.fullmatch(tag) for tag in tags):
            raise errors.InvalidRequestError(
                'Invalid If-Match: send the ETag of the key with its quotation marks, as a response had it: "1".'
            )
        return frozenset(int(match[1]) for tag in tags if (match := _VERSION_TAG.fullmatch(tag)))

    def parse_optional_body(self) -> object:
        """Parse the JSON body; return an empty object if there is none.

        Raises: as `parse_body`.
        """
        return self.parse_body() if self._raw_body().strip() else {}

    def reject_fields(self) -> None:
        """Reject a body with fields for a change that has none.

        Raises:
            InvalidRequestError: The body is not empty and not an empty object.
        """
        if self.parse_optional_body() != {}:
            raise errors.InvalidRequestError("This request has no fields. Send it without a body.")

    def parse_body(self) -> object:
        """Parse the JSON body.

        Raises:
            PayloadTooLargeError: The body is larger than `BODY_MAX_BYTES`.
            UnsupportedMediaTypeError: The Content-Type is not JSON.
            InvalidRequestError: The body is not JSON, or has a duplicate field.
        """
        body = self._raw_body()
        if len(body) > BODY_MAX_BYTES:
            raise errors.PayloadTooLargeError(f"The body has more than {BODY_MAX_BYTES} bytes. Send a smaller one.")
        if not _JSON_MEDIA_TYPE.fullmatch(self._headers.get("content-type", "").strip()):
            raise errors.UnsupportedMediaTypeError("Send the body as JSON, with Content-Type: application/json.")
        if not body.strip():
            raise errors.InvalidRequestError("The body is empty. Send one JSON object.")
        try:
            text = body.decode().removeprefix(_BYTE_ORDER_MARK)
        except UnicodeDecodeError:
            text = None
        if text is None or not _SIGNS_OF_UTF_16.isdisjoint(text[:2]):
            raise errors.InvalidRequestError(
                "The body is not valid JSON, because it is not in UTF-8. Encode it as UTF-8."
            )
        try:
            return _from_json(text)
        except json.JSONDecodeError as error:
            place = f" (line {error.lineno}, column {error.colno})"
        except (ValueError, RecursionError):
            place = ""
        # Raise outside the except block: JSONDecodeError.doc holds the body and would stay reachable as __context__.
        raise errors.InvalidRequestError(f"The body is not valid JSON{place}. Send one JSON object.")

    def _raw_body(self) -> bytes:
        raw = self._event.get("body") or ""
        if not self._event.get("isBase64Encoded"):
            return raw.encode("utf-8", "surrogatepass")
        with suppress(ValueError):
            return base64.b64decode(raw, validate=True)
        raise errors.InvalidRequestError("The body cannot be decoded. Send one JSON object in UTF-8.")

    def idempotency_fingerprint(self, body: object) -> str | None:
        """Return the fingerprint of a create request, or None without an Idempotency-Key.

        The fingerprint is an HMAC with the Idempotency-Key as its key, so it does not reveal the body. It covers the
        principal, so that no other principal can replay the request.

        Raises:
            InvalidRequestError: The header is malformed.
        """
        header = self._headers.get("idempotency-key")
        if header is None:
            return None
        if not _IDEMPOTENCY_KEY.fullmatch(header):
            raise errors.InvalidRequestError("Invalid Idempotency-Key: use 16 to 128 visible ASCII characters.")
        canonical = json.dumps([self.context.principal, body], sort_keys=True, separators=(",", ":"))
        return hmac.new(header.encode(), canonical.encode(), hashlib.sha256).hexdigest()


def _principal_of(context: Mapping[str, Any]) -> str:
    principal = (context.get("authorizer") or {}).get("sub")
    if not isinstance(principal, str) or not principal:
        raise errors.AuthenticationRequiredError("Send a valid, unexpired token as Authorization: Bearer <token>.")
    return principal


def _name_of(context: Mapping[str, Any]) -> str | None:
    name = (context.get("authorizer") or {}).get("name")
    return name if isinstance(name, str) and name else None


def _reject_duplicate_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise errors.InvalidRequestError("The body names a field twice. Name each field once.")
    return fields


def _reject_nan_and_infinity(name: str) -> None:
    raise ValueError(name)


_from_json: Final = json.JSONDecoder(
    object_pairs_hook=_reject_duplicate_fields, parse_constant=_reject_nan_and_infinity
).decode
