"""The decorator of every route handler, `api_handler`: HTTP status, headers, body and log line of each result or error.

The only module that maps errors to HTTP statuses. A decorated handler gets a `Request`, returns a `Response`, and
raises the errors of `service_keys.errors`.
"""

from __future__ import annotations

import functools
import json
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from service_keys import __version__, errors
from service_keys.admin.observability import count_metric, logger
from service_keys.admin.request import Request
from service_keys.admin.responses import Response
from service_keys.core import settings
from service_keys.core.ids import is_id
from service_keys.core.timestamps import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION_HEADER: Final = "X-Service-Keys-Version"
_EXPOSED_HEADERS: Final = f"ETag, Location, Idempotency-Replayed, Retry-After, WWW-Authenticate, {VERSION_HEADER}"
_FRAMES_MAX = 12
DETAILS_MAX = 20
"""Maximum number of error details: a body of 2,000 unknown fields would otherwise cause a response of 400 KB."""
STATUS_BY_ERROR: Final[dict[type[errors.ServiceKeysError], tuple[int, str]]] = {
    errors.InvalidRequestError: (400, "VALIDATION_ERROR"),
    errors.VerificationNotSupportedError: (400, "VERIFICATION_NOT_SUPPORTED"),
    errors.AuthenticationRequiredError: (401, "AUTHENTICATION_REQUIRED"),
    errors.KeyNotFoundError: (404, "API_KEY_NOT_FOUND"),
    errors.DuplicateKeyNameError: (409, "DUPLICATE_API_KEY_NAME"),
    errors.NoPreviousKeyError: (409, "NO_PREVIOUS_KEY"),
    errors.VersionConflictError: (412, "VERSION_CONFLICT"),
    errors.PreconditionRequiredError: (428, "PRECONDITION_REQUIRED"),
    errors.PayloadTooLargeError: (413, "PAYLOAD_TOO_LARGE"),
    errors.UnsupportedMediaTypeError: (415, "UNSUPPORTED_MEDIA_TYPE"),
    errors.KeyStoreUnavailableError: (503, "SERVICE_UNAVAILABLE"),
}
"""Errors whose message is returned to the client. All others become a generic 500 and are logged."""
INTERNAL_ERROR: Final = (500, "INTERNAL_SERVER_ERROR")


def api_handler(handle: Callable[[Request], Response]) -> Callable[[Mapping[str, Any], object], dict[str, Any]]:
    """Convert a function from `Request` to `Response` into a Lambda handler for an API Gateway REST route."""
    origin = settings.allowed_origin()
    cors = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED_HEADERS} if origin else {}

    @functools.wraps(handle)
    def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
        request_id = event["requestContext"]["requestId"]
        try:
            response = handle(Request(event, at_ms=now_ms()))
        except Exception as error:  # noqa: BLE001 - top-level handler: converts and logs any exception
            response = _error_response(error, _log_fields(event))
        body = {"success": response.status < HTTPStatus.BAD_REQUEST, **response.body}
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            VERSION_HEADER: __version__,
            **cors,
            **response.headers,
        }
        text = _to_json(body | {"requestId": request_id})
        return {"statusCode": response.status, "headers": headers, "body": text, "isBase64Encoded": False}

    return handler


def _log_fields(event: Mapping[str, Any]) -> dict[str, object]:
    """Return the log fields of a request: principal, route and ids.

    The sender controls no field's length: the route comes from the template, and a malformed key id is omitted.
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
    if is_id(key_id):
        fields["keyId"] = key_id
    return {name: value for name, value in fields.items() if isinstance(value, str) and value}


def _error_response(error: Exception, log_fields: Mapping[str, object]) -> Response:
    status, code = next(
        (STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR), INTERNAL_ERROR
    )
    message, headers = str(error), {}
    details: tuple[errors.FieldError, ...] = ()
    match error:
        case errors.InvalidRequestError():
            details = tuple(dict.fromkeys(error.details))[:DETAILS_MAX]
        case errors.AuthenticationRequiredError():
            headers["WWW-Authenticate"] = "Bearer"
        case errors.KeyStoreUnavailableError():
            headers["Retry-After"] = str(error.retry_after)
    extra = {"code": code, **log_fields}
    if (status, code) == INTERNAL_ERROR:
        count = count_metric("AccessDenied") if isinstance(error, errors.KeyAccessDeniedError) else {}
        _log_unexpected_error(error, {**extra, **count})
        message = "Something went wrong on our side. Try again. If the problem persists, report the requestId."
    elif isinstance(error, errors.KeyStoreUnavailableError):
        logger.warning(message, extra=extra)
    else:
        logger.info("Request refused", extra=extra)
    body: dict[str, object] = {"code": code, "message": message}
    if details:
        body["details"] = [{"field": detail.field, "message": detail.message} for detail in details]
    return Response(status, {"error": body}, headers)


def _log_unexpected_error(error: Exception, extra: dict[str, object]) -> None:
    """Log the type and stack of an unexpected error; log its message only for errors of this package.

    Messages of other packages can contain the input: botocore's parameter validation quotes the invalid value.
    """
    known = isinstance(error, errors.ServiceKeysError)
    frames = traceback.extract_tb(error.__traceback__)
    if len(frames) > _FRAMES_MAX:  # for example, a recursion on nested input
        frames[_FRAMES_MAX // 2 : -_FRAMES_MAX // 2] = []
    logger.error(
        str(error) if known else "Unexpected error",
        extra=extra
        | {
            "errorType": f"{type(error).__module__}.{type(error).__qualname__}",
            "stack": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        },
    )


_to_json: Final = json.JSONEncoder(ensure_ascii=False).encode
