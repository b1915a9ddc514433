"""Canned responses of AWS, returned in place of botocore's HTTP connection.

Every candidate still does all of the client's other work. Measured processes load this module, so it imports only
modules that Lambda's runtime has already loaded.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

KEY_ID = "openai.0r5dc7v8k3mn"
NAME = "OpenAI production"
SECRET = "sk-made-up-0123456789abcdef"
_STORED = {
    "service": {"S": "openai"},
    "id": {"S": KEY_ID},
    "entity": {"S": "key"},
    "name": {"S": NAME},
    "description": {"S": "For the assistant"},
    "active": {"BOOL": True},
    "maskedKey": {"S": "••••cdef"},
    **{name: {"S": "2026-01-02T03:04:05.678Z"} for name in ("createdAt", "updatedAt", "keyUpdatedAt")},
    **{name: {"S": "admin-1"} for name in ("createdBy", "updatedBy")},
    "version": {"N": "1"},
}
_CIPHERTEXT = "c2stbWFkZS11cC0wMTIzNDU2Nzg5YWJjZGVm" * 6
# Five minutes in the future, within the accepted clock skew, so that reads write no usage stamp.
_STAMP = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 300))
_ITEM = {**_STORED, "ciphertext": {"B": _CIPHERTEXT}, "lastUsed": {"S": _STAMP}}
_CONSUMER_QUERY = "Query of a consumer"
RESPONSES: dict[str, dict[str, Any]] = {
    "GetItem": {"Item": _ITEM},
    "Query": {"Items": [_STORED] * 20, "Count": 20, "ScannedCount": 20},
    _CONSUMER_QUERY: {"Items": [_ITEM], "Count": 1, "ScannedCount": 1},
    "TransactWriteItems": {},
    "UpdateItem": {"Attributes": _ITEM},
    "Encrypt": {"CiphertextBlob": _CIPHERTEXT, "KeyId": "made-up"},
    "Decrypt": {"Plaintext": "InNrLW1hZGUtdXAtMDEyMzQ1Njc4OWFiY2RlZiI=", "KeyId": "made-up"},  # SECRET, as JSON
}


def install() -> list[tuple[str, str, Any]]:
    """Replace the responses to all AWS calls of this process; requires that botocore is imported.

    Returns:
        The list that collects each call's service, operation and request body.
    """
    from botocore.awsrequest import AWSResponse, HeadersDict

    calls: list[tuple[str, str, Any]] = []
    bodies = {name: json.dumps(response).encode() for name, response in RESPONSES.items()}

    def send(_session: object, request: Any) -> Any:
        target = request.headers["X-Amz-Target"]
        service, operation = (target.decode() if isinstance(target, bytes) else target).split(".")
        body = json.loads(request.body)
        calls.append(("kms" if service == "TrentService" else "dynamodb", operation, body))
        if operation == "Query" and "ciphertext" in body.get("ExpressionAttributeNames", {}).values():
            operation = _CONSUMER_QUERY
        headers: Any = HeadersDict({"x-amzn-RequestId": "made-up"})
        response: Any = AWSResponse(request.url, 200, headers, None)
        response._content = bodies[operation]  # noqa: SLF001 - botocore has no other way to set it
        return response

    sys.modules["botocore.httpsession"].URLLib3Session.send = send
    return calls


def to_arguments(body: Any, name: str = "") -> Any:
    """Convert a request body to arguments of the client's method; decode bytes from base64."""
    import base64

    if isinstance(body, dict):
        return {key: to_arguments(value, key) for key, value in body.items()}
    if isinstance(body, list):
        return [to_arguments(value) for value in body]
    return base64.b64decode(body) if name in {"B", "Plaintext", "CiphertextBlob"} else body
