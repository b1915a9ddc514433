"""What API Gateway's REST API hands to a Lambda function: the proxy event, and the paths that lead to one.

Its fields: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from local.template import PSEUDO_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ACCOUNT_ID = PSEUDO_PARAMETERS["AWS::AccountId"]
API_ID = "local"
STAGE = "live"


def path_parameters(resource: str, path: str) -> dict[str, str] | None:
    """Match a path, percent-encoded, with a resource such as `/keys/{id}`.

    Returns:
        The decoded parameters; None if it does not match. A slash at the end makes no difference, and an encoded one
        does not part segments.
    """
    names, segments = resource.strip("/").split("/"), path.removeprefix("/").removesuffix("/").split("/")
    if len(names) != len(segments):
        return None
    parameters = {}
    for name, segment in zip(names, segments, strict=True):
        if name.startswith("{") and segment:
            parameters[name[1:-1]] = unquote(segment)
        elif name != segment:
            return None
    return parameters


def rest_event(
    method: str,
    path: str,
    resource: str | None = None,
    body: str | bytes | None = None,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    authorizer: Mapping[str, Any] | None = None,
    *,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Build the event of a Lambda proxy integration.

    Args:
        method: GET, POST, …
        path: As the client sent it, percent-encoded, without stage and query.
        resource: The path as the template has it, `/keys/{id}`; without it, `path` has no parameters.
        body: Bytes that are not UTF-8 are replaced, as API Gateway replaces them where no binary type is declared.
        headers: Pairs where one stands more than once; the function sees the last one, and all of them.
        query: Decoded; pairs where one stands more than once.
        authorizer: What the authorizer's context becomes, `principalId` in it; None for a route without one.
        request_id: Made up where none is given.
    """
    resource = resource or path
    now = datetime.now(UTC)
    header_values, query_values = _multiple(_pairs(headers)), _multiple(_pairs(query))
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    context = {
        "accountId": ACCOUNT_ID,
        "apiId": API_ID,
        "domainName": _last(header_values, "host") or "127.0.0.1",
        "extendedRequestId": _extended_request_id(),
        "httpMethod": method,
        "identity": {"sourceIp": "127.0.0.1", "userAgent": _last(header_values, "user-agent")},
        "path": unquote(path),
        "protocol": "HTTP/1.1",
        "requestId": request_id or str(uuid.uuid4()),
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now.timestamp() * 1000),
        # API Gateway makes one up for each resource; it stays the same.
        "resourceId": hashlib.sha256(resource.encode()).hexdigest()[:6],
        "resourcePath": resource,
        "stage": STAGE,
    }
    if authorizer is not None:
        context["authorizer"] = dict(authorizer)
    return {
        "resource": resource,
        "path": unquote(path),
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in header_values.items()} or None,
        "multiValueHeaders": header_values or None,
        "queryStringParameters": {name: values[-1] for name, values in query_values.items()} or None,
        "multiValueQueryStringParameters": query_values or None,
        "pathParameters": path_parameters(resource, path) or None,
        "stageVariables": None,
        "requestContext": context,
        "body": text or None,
        "isBase64Encoded": False,
    }


def _extended_request_id() -> str:
    """Make up an id in API Gateway's form, which the sender of a request cannot choose."""
    return base64.b64encode(uuid.uuid4().bytes[:11]).decode()


def _pairs(values: Mapping[str, str] | Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return values if isinstance(values, (list, tuple)) else dict(values).items()


def _multiple(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _last(headers: Mapping[str, list[str]], name: str) -> str | None:
    return next((values[-1] for header, values in headers.items() if header.lower() == name), None)
