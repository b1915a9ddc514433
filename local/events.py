"""Build the Lambda proxy events of API Gateway's REST API, and match paths with resources.

Fields: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import MultiDict

from local.template import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

API_ID = "local"
STAGE = "live"


def path_parameters(resource: str, path: str) -> dict[str, str] | None:
    """Match a percent-encoded path with a resource such as `/keys/{id}`.

    Returns:
        The parameters, still percent-encoded, as REST APIs pass them; None without a match. A trailing slash is
        ignored, and an encoded slash does not separate segments. A greedy parameter, such as `{proxy+}`, gets all
        remaining segments.
    """
    names, segments = resource.strip("/").split("/"), path.removeprefix("/").removesuffix("/").split("/")
    if names[-1].endswith("+}") and len(segments) >= len(names):
        names[-1] = names[-1].replace("+}", "}")
        segments[len(names) - 1 :] = ["/".join(segments[len(names) - 1 :])]
    if len(names) != len(segments):
        return None
    parameters = {}
    for name, segment in zip(names, segments, strict=True):
        if name.startswith("{") and segment:
            parameters[name[1:-1]] = segment
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
        path: The client's path, percent-encoded, without stage and query.
        resource: The path in the template, such as `/keys/{id}`. Default: `path`, without parameters.
        body: The body. Invalid UTF-8 is replaced, as API Gateway does for APIs without binary types.
        headers: A mapping, or pairs for repeated headers. The function gets the last value and the list of all.
        query: Decoded parameters: a mapping, or pairs for repeated ones.
        authorizer: The authorizer's context with `principalId`; None for a route without an authorizer.
        request_id: The request id, which a client may choose on AWS. Default: a random id.
    """
    resource = resource or path
    now = datetime.now(UTC)
    header_values, query_values = MultiDict(headers), MultiDict(query)
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    context = {
        "accountId": ACCOUNT_ID,
        "apiId": API_ID,
        "domainName": _last(header_values, "host") or "127.0.0.1",
        "extendedRequestId": new_extended_request_id(),
        "httpMethod": method,
        "identity": {"sourceIp": "127.0.0.1", "userAgent": _last(header_values, "user-agent")},
        "path": path,
        "protocol": "HTTP/1.1",
        "requestId": request_id or str(uuid.uuid4()),
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now.timestamp() * 1000),
        # API Gateway assigns each resource a stable id.
        "resourceId": hashlib.sha256(resource.encode()).hexdigest()[:6],
        "resourcePath": resource,
        "stage": STAGE,
        **({} if authorizer is None else {"authorizer": dict(authorizer)}),
    }
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in header_values.lists()} or None,
        "multiValueHeaders": header_values.to_dict(flat=False) or None,
        "queryStringParameters": {name: values[-1] for name, values in query_values.lists()} or None,
        "multiValueQueryStringParameters": query_values.to_dict(flat=False) or None,
        "pathParameters": path_parameters(resource, path) or None,
        "stageVariables": None,
        "requestContext": context,
        "body": text or None,
        "isBase64Encoded": False,
    }


def new_extended_request_id() -> str:
    """Return a random extended request id in API Gateway's format: 15 base64 characters and `=`."""
    return secrets.token_urlsafe(12)[:15] + "="


def _last(headers: MultiDict[str, str], name: str) -> str | None:
    return next((values[-1] for header, values in headers.lists() if header.lower() == name), None)
