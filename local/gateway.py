"""Emulate the features of API Gateway's REST API that the template uses: routes, authorizer, gateway responses, CORS.

The configuration is the OpenAPI document that SAM generates from the template. Differences from AWS: paths exclude the
stage, as under a custom domain, unless it is given as the base path; there are no throttling, caching, timeouts or
header size limits; of the headers that API Gateway adds, responses have `x-amzn-RequestId`, `x-amz-apigw-id` and
`x-amzn-ErrorType`, and requests have none.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from local.events import API_ID, new_extended_request_id, path_parameters, rest_event
from local.intrinsics import TemplateError
from local.template import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from local.functions import LoadedFunction
    from local.template import Authorizer, Route, Template

MAX_BODY = 10 * 1024 * 1024
"""Maximum bytes of a request body; a fixed quota of API Gateway."""

_log = logging.getLogger(__name__)

# Default status and message of each gateway response type, and its `x-amzn-ErrorType`, which APIs cannot change:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
_GATEWAY_RESPONSES = {
    "ACCESS_DENIED": (403, "User is not authorized to access this resource", "AccessDeniedException"),
    "AUTHORIZER_CONFIGURATION_ERROR": (500, "Internal server error", "AuthorizerConfigurationException"),
    # Malformed requests, such as an invalid percent-encoding, have no type of their own.
    "DEFAULT_4XX": (400, "Bad Request", "BadRequestException"),
    # Neither have functions that fail or return an invalid proxy response.
    "DEFAULT_5XX": (502, "Internal server error", "InternalServerErrorException"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long", "RequestEntityTooLargeException"),
    "UNAUTHORIZED": (401, "Unauthorized", "UnauthorizedException"),
}
# API Gateway remaps these headers in a function's response:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_REMAPPED = re.compile(
    "authorization|connection|content-length|date|host|server|user-agent|www-authenticate", re.IGNORECASE
)
_PROXY_RESPONSE = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
# A client may choose the request id (a token of RFC 9110 of this length), but not the extended request id.
_CHOSEN_REQUEST_ID = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_BROKEN_ENCODING = re.compile(r"%(?![0-9A-Fa-f]{2})")
_VARIABLE = re.compile(r"\$context(?:\.[A-Za-z]+)+")


@dataclass(frozen=True)
class Request:
    """A client's request: path and query percent-encoded, headers in original order and spelling."""

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the last value of a header; names are case-insensitive."""
        return next((value for header, value in reversed(self.headers) if header.lower() == name.lower()), None)


@dataclass(frozen=True)
class Response:
    """The response to a client."""

    status: int
    body: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)


class _GatewayResponseError(Exception):
    """API Gateway responds itself, with the gateway response of this type."""

    def __init__(self, response_type: str, detail: str = "") -> None:
        super().__init__(response_type)
        self.response_type = response_type
        self.detail = detail


class Gateway:
    """Emulates API Gateway by calling functions. Thread-safe.

    Args:
        template: The template with the API.
        functions: The loaded functions by logical id.
        base_path: The start of every path, such as `/live` for the stage; empty as under a custom domain.

    Raises:
        TemplateError: The API uses a feature that is not emulated.
    """

    def __init__(self, template: Template, functions: Mapping[str, LoadedFunction], *, base_path: str = "") -> None:
        # Literal segments take precedence over parameters, and those over greedy ones.
        self._routes = sorted(template.routes(), key=lambda route: ("+}" in route.path, route.path.count("{")))
        self._base_path = base_path
        self._variables = template.stage_variables()
        self._functions = functions
        self._stage = template.stage()
        self._responses: Mapping[str, Any] = template.api().get("x-amazon-apigateway-gateway-responses", {})

    def handle(self, request: Request) -> Response:
        """Return the response to a request. Errors become error responses."""
        if self._base_path:
            if not f"{request.path}/".startswith(f"{self._base_path}/"):
                # Before the API is known, so without its gateway responses.
                return Response(403, '{"message":"Forbidden"}', [("Content-Type", "application/json")])
            request = replace(request, path=request.path.removeprefix(self._base_path) or "/")
        chosen = request.header("x-amzn-RequestId") or ""
        request_id = chosen if _CHOSEN_REQUEST_ID.fullmatch(chosen) else str(uuid.uuid4())
        extended_request_id = new_extended_request_id()
        try:
            response = self._respond(request, request_id, extended_request_id)
        except _GatewayResponseError as error:
            response = self._gateway_response(error, request_id, extended_request_id)
        ids = [("x-amzn-RequestId", request_id), ("x-amz-apigw-id", extended_request_id)]
        return Response(response.status, response.body, [*response.headers, *ids])

    def _respond(self, request: Request, request_id: str, extended_request_id: str) -> Response:
        if _BROKEN_ENCODING.search(f"{request.path}?{request.query}"):
            raise _GatewayResponseError("DEFAULT_4XX")
        if len(request.body) > MAX_BODY:
            raise _GatewayResponseError("REQUEST_TOO_LARGE")
        route = self._route(request)
        context = self._authorize(request, route.authorizer) if route.authorizer else None
        if route.function is None:
            return _mock_response(route.operation["x-amazon-apigateway-integration"])
        query = parse_qsl(request.query, keep_blank_values=True)
        sent = (request.method, request.path, route.path, request.body, request.headers, query)
        event = rest_event(*sent, context, request_id=request_id)
        event["requestContext"]["extendedRequestId"] = extended_request_id
        # With the stage, or the base path of a custom domain; the event's other path is without it.
        event["requestContext"]["path"] = self._base_path + request.path
        event["stageVariables"] = self._variables or None
        try:
            return _proxy_response(self._functions[route.function].invoke(event))
        except Exception as exc:
            _log.exception("%s failed, which on AWS is a 502", route.function)
            raise _GatewayResponseError("DEFAULT_5XX") from exc

    def _route(self, request: Request) -> Route:
        for route in self._routes:
            if route.method == request.method and path_parameters(route.path, request.path) is not None:
                return route
        raise _GatewayResponseError("MISSING_AUTHENTICATION_TOKEN")

    def _authorize(self, request: Request, authorizer: Authorizer) -> dict[str, str]:
        """Return the authorizer's context for the function."""
        token = request.header(authorizer.header)
        if not token or not re.fullmatch(authorizer.validation or ".*", token):
            raise _GatewayResponseError("UNAUTHORIZED")
        arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{API_ID}/{self._stage}/{request.method}{request.path}"
        event = {"type": "TOKEN", "methodArn": arn, "authorizationToken": token}
        try:
            result = self._functions[authorizer.function].invoke(event)
        except Exception as exc:
            # API Gateway returns 401 for exactly this message.
            if str(exc) == "Unauthorized":
                raise _GatewayResponseError("UNAUTHORIZED") from exc
            _log.exception("%s failed, which on AWS is a 500", authorizer.function)
            raise _GatewayResponseError("AUTHORIZER_CONFIGURATION_ERROR") from exc
        try:
            effects = _policy_effects(result["policyDocument"]["Statement"], arn)
            context = _authorizer_context(result)
        except (AttributeError, KeyError, TypeError) as exc:
            _log.exception("%s did not return a policy, which on AWS is a 500", authorizer.function)
            raise _GatewayResponseError("AUTHORIZER_CONFIGURATION_ERROR") from exc
        if effects != {"Allow"}:
            raise _GatewayResponseError("ACCESS_DENIED", " with an explicit deny" if "Deny" in effects else "")
        return context

    def _gateway_response(self, error: _GatewayResponseError, request_id: str, extended_request_id: str) -> Response:
        default_status, default_message, error_type = _GATEWAY_RESPONSES[error.response_type]
        fallback = f"DEFAULT_{default_status // 100}XX"
        response = self._responses.get(error.response_type) or self._responses.get(fallback, {})
        message = default_message + error.detail
        variables = {
            "$context.requestId": request_id,
            "$context.extendedRequestId": extended_request_id,
            "$context.error.responseType": error.response_type,
            "$context.error.message": message,
            "$context.error.messageString": json.dumps(message),
        }
        templates = response.get("responseTemplates", {"application/json": '{"message":$context.error.messageString}'})
        content_type, template = next(iter(templates.items()))
        body = _VARIABLE.sub(lambda match: variables.get(match[0], ""), template)
        headers = [("Content-Type", content_type), ("x-amzn-ErrorType", error_type)]
        headers += _static_headers(response, "gatewayresponse.header.")
        return Response(int(response.get("statusCode", default_status)), body, headers)


def _static_headers(response: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, str]]:
    """Yield the static headers of a gateway response. Their values are in single quotes."""
    for parameter, value in response.get("responseParameters", {}).items():
        if not parameter.startswith(prefix) or not re.fullmatch("'.*'", value):
            raise TemplateError(f"A local run knows headers with fixed values only, not {parameter}: {value}")
        yield parameter.removeprefix(prefix), value[1:-1]


def _mock_response(integration: Mapping[str, Any]) -> Response:
    response = integration["responses"]["default"]
    content_type, body = next(iter(response.get("responseTemplates", {"application/json": ""}).items()))
    headers = [("Content-Type", content_type), *_static_headers(response, "method.response.header.")]
    return Response(int(response["statusCode"]), body, headers)


def _proxy_response(result: Any) -> Response:
    """Convert a function's result to a response.

    Raises:
        ValueError: The result is not a valid proxy response.
    """
    if not isinstance(result, dict) or "statusCode" not in result or result.keys() - _PROXY_RESPONSE:
        raise ValueError(f"a proxy integration returns an object of {', '.join(sorted(_PROXY_RESPONSE))}")
    body = result.get("body")
    if not isinstance(body, str | None):
        raise ValueError("the body of a response must be a string")  # noqa: TRY004 - one error type for all defects
    multiple = {name: list(values) for name, values in (result.get("multiValueHeaders") or {}).items()}
    single = {name: [value] for name, value in (result.get("headers") or {}).items()}
    headers = [
        (f"x-amzn-Remapped-{name}" if _REMAPPED.fullmatch(name) else name, _text(value))
        for name, values in {**single, **multiple}.items()
        for value in values
    ]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.insert(0, ("Content-Type", "application/json"))
    return Response(int(result["statusCode"]), body or "", headers)


def _authorizer_context(result: Mapping[str, Any]) -> dict[str, str]:
    context = result.get("context") or {}
    if any(not isinstance(value, str | int | float) for value in context.values()):
        raise TypeError("an authorizer's context holds strings, numbers and booleans only")
    if not isinstance(result["principalId"], str):
        raise TypeError("an authorizer's principalId is a string")
    return {**{name: _text(value) for name, value in context.items()}, "principalId": result["principalId"]}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _policy_effects(statements: Any, arn: str) -> set[str]:
    """Return the effects of the policy statements that apply to invoking `arn`."""
    return {
        statement["Effect"]
        for statement in _as_list(statements)
        if any(_matches(action.lower(), "execute-api:invoke") for action in _as_list(statement["Action"]))
        and any(_matches(resource, arn) for resource in _as_list(statement["Resource"]))
    }


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _matches(pattern: str, value: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL) is not None
