"""From an API Gateway event to a model, and from a result or an error to a response.

The only place where an error becomes an HTTP status. A handler decorated with `endpoint` gets a `Request`, returns a
`Response`, and raises the errors of `service_keys.errors`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import re
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from service_keys import errors, naming, queries, settings
from service_keys.models import Change
from service_keys.observability import counted, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from service_keys.models import DeletedKey, StoredKey
    from service_keys.queries import ListQuery
    from service_keys.table import Page

BODY_MAX_BYTES: Final = 16 * 1024
READERS_ACT_WITHIN_MS: Final = 60_000
"""How long a reader may go on with what it read before: the cache's time to live."""

_EXPOSED = "ETag, Location, Idempotency-Replayed, Retry-After, WWW-Authenticate"
_JSON_MEDIA_TYPE = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)
"""Parameters are ignored: JSON has none (RFC 8259, 11), and clients send `charset=utf8`, `version=1` or a bare `;`."""
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{16,128}")
_ENTITY_TAG = re.compile(r'(?:W/)?"[!\x23-\x7e]*"')
_VERSION_TAG = re.compile(r'"([1-9][0-9]{0,14})"')
_ENTITY_TAGS_MAX = 10
_FRAMES_MAX = 12
DETAILS_MAX = 20
"""So many faults are listed, each once: a body of 2,000 unknown fields would otherwise make a response of 400 KB."""
_BYTE_ORDER_MARK = "\ufeff"
"""Windows programs put one before a file's text; a JSON parser may ignore it (RFC 8259, 8.1)."""

ERRORS: Final[dict[type[errors.ServiceKeysError], tuple[int, str]]] = {
    errors.InvalidRequest: (400, "VALIDATION_ERROR"),
    errors.VerificationNotSupported: (400, "VERIFICATION_NOT_SUPPORTED"),
    errors.AuthenticationRequired: (401, "AUTHENTICATION_REQUIRED"),
    errors.KeyNotFound: (404, "API_KEY_NOT_FOUND"),
    errors.DuplicateKeyName: (409, "DUPLICATE_API_KEY_NAME"),
    errors.VersionConflict: (412, "VERSION_CONFLICT"),
    errors.PayloadTooLarge: (413, "PAYLOAD_TOO_LARGE"),
    errors.UnsupportedMediaType: (415, "UNSUPPORTED_MEDIA_TYPE"),
    errors.KeyStoreUnavailable: (503, "SERVICE_UNAVAILABLE"),
}
"""Errors that a client is told in their own words. Every other error is a 500 whose cause only the log knows."""
INTERNAL: Final = (500, "INTERNAL_SERVER_ERROR")


@dataclass(frozen=True, slots=True)
class Response:
    """What a handler answers; `endpoint` adds what every answer has."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


class Request:
    """What an administrator asks for.

    Raises:
        AuthenticationRequired: The event does not say who the administrator is.
    """

    def __init__(self, event: Mapping[str, Any], *, at_ms: int) -> None:
        context = event["requestContext"]
        self._event = event
        self._headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        self.path: str = context["path"]
        self.change = Change(
            at_ms=at_ms,
            principal=_principal(context),
            request_id=context["requestId"],
            extended_request_id=context.get("extendedRequestId"),
        )

    @property
    def key_id(self) -> str:
        """The id in the path, whatever its form."""
        return str((self._event.get("pathParameters") or {}).get("id", ""))

    @property
    def query(self) -> ListQuery:
        """The query parameters of a list request.

        Raises:
            InvalidRequest: They cannot be taken.
        """
        return queries.parse(self._event.get("multiValueQueryStringParameters") or {})

    @property
    def if_match(self) -> frozenset[int] | None:
        """The versions that ``If-Match`` names (RFC 9110, 13.1.1); None where any will do.

        Raises:
            InvalidRequest: The header is malformed.
        """
        header = self._headers.get("if-match", "*").strip()
        if header == "*":
            return None
        tags = [tag.strip() for tag in header.split(",")]
        if len(tags) > _ENTITY_TAGS_MAX or not all(_ENTITY_TAG.fullmatch(tag) for tag in tags):
            raise errors.InvalidRequest(
                'Invalid If-Match: send the ETag of the key with its quotation marks, as a response had it: "1".'
            )
        return frozenset(int(match[1]) for tag in tags if (match := _VERSION_TAG.fullmatch(tag)))

    @property
    def body(self) -> object:
        """The JSON in the request body.

        Raises:
            PayloadTooLarge: It is larger than `BODY_MAX_BYTES`.
            UnsupportedMediaType: It is not declared as JSON.
            InvalidRequest: It is not JSON, or has a field twice.
        """
        body = self._raw_body()
        if len(body) > BODY_MAX_BYTES:
            raise errors.PayloadTooLarge(f"The body has more than {BODY_MAX_BYTES} bytes. Send a smaller one.")
        if not _JSON_MEDIA_TYPE.fullmatch(self._headers.get("content-type", "").strip()):
            raise errors.UnsupportedMediaType("Send the body as JSON, with Content-Type: application/json.")
        if not body.strip():
            raise errors.InvalidRequest("The body is empty. Send one JSON object.")
        try:
            text = body.decode().removeprefix(_BYTE_ORDER_MARK)
        except UnicodeDecodeError:
            text = None
        if text is None:
            raise errors.InvalidRequest("The body is not valid JSON, because it is not in UTF-8. Encode it as UTF-8.")
        try:
            return _from_json(text)
        except json.JSONDecodeError as error:
            place = f" (line {error.lineno}, column {error.colno})"
        except (ValueError, RecursionError):
            place = ""
        # Raised out here: the error of the JSON parser holds the body, and `from None` only hides it in the chain.
        raise errors.InvalidRequest(f"The body is not valid JSON{place}. Send one JSON object.")

    def _raw_body(self) -> bytes:
        raw = self._event.get("body") or ""
        if not self._event.get("isBase64Encoded"):
            return raw.encode("utf-8", "surrogatepass")
        with suppress(ValueError):
            return base64.b64decode(raw, validate=True)
        raise errors.InvalidRequest("The body cannot be decoded. Send one JSON object in UTF-8.")

    def idempotency(self, body: object) -> str | None:
        """Return what identifies this create request, if its sender may repeat it.

        An HMAC under the Idempotency-Key: whoever reads it learns nothing of the body. The principal is part of it, so
        nobody replays what somebody else created.

        Raises:
            InvalidRequest: The header is malformed.
        """
        header = self._headers.get("idempotency-key")
        if header is None:
            return None
        if not _IDEMPOTENCY_KEY.fullmatch(header):
            raise errors.InvalidRequest("Invalid Idempotency-Key: use 16 to 128 visible ASCII characters.")
        canonical = json.dumps([self.change.principal, body], sort_keys=True, separators=(",", ":"))
        return hmac.new(header.encode(), canonical.encode(), hashlib.sha256).hexdigest()


def created(key: StoredKey, request: Request, *, replayed: bool = False) -> Response:
    """Answer a create request."""
    headers = {"ETag": key.etag, "Location": f"{request.path.rstrip('/')}/{key.id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(201, {"data": key.to_response()}, headers)


def shown(key: StoredKey) -> Response:
    """Answer a get request."""
    return Response(200, {"data": key.to_response()}, {"ETag": key.etag})


def updated(key: StoredKey, *, fields: AbstractSet[str]) -> Response:
    """Answer an update request that named these fields, and that is carried out by now."""
    body: dict[str, object] = {"data": key.to_response()}
    if fields & {"active", "key"}:
        body["effectiveBy"] = naming.timestamp(_now_ms() + READERS_ACT_WITHIN_MS)
    return Response(200, body, {"ETag": key.etag})


def listed(page: Page, query: ListQuery) -> Response:
    """Answer a list request."""
    pagination = {"limit": query.limit, "nextCursor": page.next_cursor}
    return Response(200, {"data": [key.to_response() for key in page.keys], "pagination": pagination})


def deleted(key: DeletedKey) -> Response:
    """Answer a delete request that is carried out by now."""
    effective_by = naming.timestamp(_now_ms() + READERS_ACT_WITHIN_MS)
    body = {"message": "API key deleted successfully", "data": key.to_response(), "effectiveBy": effective_by}
    return Response(200, body)


def now() -> str:
    """Return the time, as answers show it."""
    return naming.timestamp(_now_ms())


def endpoint(handle: Callable[[Request], Response]) -> Callable[[Mapping[str, Any], object], dict[str, Any]]:
    """Make a Lambda handler for an API Gateway REST route of a function from request to response."""
    origin = settings.allowed_origin()
    cors = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED} if origin else {}

    @functools.wraps(handle)
    def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
        request_id = event["requestContext"]["requestId"]
        try:
            response = handle(Request(event, at_ms=_now_ms()))
        except Exception as error:  # noqa: BLE001 - the last place where one becomes an answer; it logs what it hides
            response = _failure(error, _log_fields(event))
        body = {"success": response.status < HTTPStatus.BAD_REQUEST, **response.body}
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **cors,
            **response.headers,
        }
        answer = _to_json(body | {"requestId": request_id})
        return {"statusCode": response.status, "headers": headers, "body": answer, "isBase64Encoded": False}

    return handler


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _log_fields(event: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields by which the log names a request: who sent it, to which route, under which ids.

    No field's length is chosen by the sender: the route is the template's, and a key's id is logged only if it is one.
    """
    context = event["requestContext"]
    fields: dict[str, object] = {
        "requestId": context["requestId"],
        "extendedRequestId": context.get("extendedRequestId"),
        "principal": (context.get("authorizer") or {}).get("sub"),
        "method": context.get("httpMethod"),
        "route": context.get("resourcePath"),
    }
    key_id = (event.get("pathParameters") or {}).get("id", "")
    if naming.is_id(key_id):
        fields["keyId"] = key_id
    return {name: value for name, value in fields.items() if isinstance(value, str) and value}


def _failure(error: Exception, log_fields: Mapping[str, object]) -> Response:
    status, code = next((ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS), INTERNAL)
    message, headers = str(error), {}
    details: tuple[errors.Detail, ...] = ()
    match error:
        case errors.InvalidRequest():
            details = tuple(dict.fromkeys(error.details))[:DETAILS_MAX]
        case errors.AuthenticationRequired():
            headers["WWW-Authenticate"] = "Bearer"
        case errors.KeyStoreUnavailable():
            headers["Retry-After"] = str(error.retry_after)
    extra = {"code": code, **log_fields}
    if (status, code) == INTERNAL:
        count = counted("AccessDenied") if isinstance(error, errors.KeyAccessDenied) else {}
        _log_unexpected(error, {**extra, **count})
        message = "Something went wrong on our side. Try again; if it stays, report the requestId."
    elif isinstance(error, errors.KeyStoreUnavailable):
        logger.warning(message, extra=extra)
    else:
        logger.info("Request refused", extra=extra)
    body: dict[str, object] = {"code": code, "message": message}
    if details:
        body["details"] = [{"field": detail.field, "message": detail.message} for detail in details]
    return Response(status, {"error": body}, headers)


def _log_unexpected(error: Exception, extra: dict[str, object]) -> None:
    """Log where an unexpected error comes from, and its text only where this package wrote it.

    Anybody else's text may hold the input: botocore's parameter validation, for one, repeats the value it refuses.
    """
    known = isinstance(error, errors.ServiceKeysError)
    frames = traceback.extract_tb(error.__traceback__)
    if len(frames) > _FRAMES_MAX:  # a recursion on the request, for one
        frames[_FRAMES_MAX // 2 : -_FRAMES_MAX // 2] = []
    logger.error(
        str(error) if known else "Unexpected error",
        extra=extra
        | {
            "errorType": f"{type(error).__module__}.{type(error).__qualname__}",
            "stack": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        },
    )


def _principal(context: Mapping[str, Any]) -> str:
    principal = (context.get("authorizer") or {}).get("sub")
    if not isinstance(principal, str) or not principal:
        raise errors.AuthenticationRequired("Send a valid, unexpired token as Authorization: Bearer <token>.")
    return principal


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise errors.InvalidRequest("The body names a field twice. Name each field once.")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(name)


_from_json: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant).decode
_to_json: Final = json.JSONEncoder(ensure_ascii=False).encode
