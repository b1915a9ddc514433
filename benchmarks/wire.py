"""What answers AWS calls in a measured process: canned answers at the place where botocore would open a connection.

All of the client's own work, before and after, is done as ever, for every candidate alike. Loaded into fresh processes
whose time is measured, so it imports nothing that they might not have.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

KEY_ID = "openai.0r5dc7v8k3mn"
NAME = "OpenAI production"
SECRET = "sk-made-up-0123456789abcdef"
STORED = {
    "service": {"S": "openai"},
    "id": {"S": KEY_ID},
    "listed": {"S": "key"},
    "name": {"S": NAME},
    "description": {"S": "For the assistant"},
    "active": {"BOOL": True},
    "maskedKey": {"S": "••••cdef"},
    "createdAt": {"S": "2026-01-02T03:04:05.678Z"},
    "createdBy": {"S": "admin-1"},
    "updatedAt": {"S": "2026-01-02T03:04:05.678Z"},
    "updatedBy": {"S": "admin-1"},
    "keyUpdatedAt": {"S": "2026-01-02T03:04:05.678Z"},
    "version": {"N": "1"},
}
_BASE64 = "c2stbWFkZS11cC0wMTIzNDU2Nzg5YWJjZGVm" * 6
_PLAINTEXT = "InNrLW1hZGUtdXAtMDEyMzQ1Njc4OWFiY2RlZiI="  # SECRET, as JSON
_PAGE = 20


def answers() -> dict[str, Any]:
    """Return what each operation is answered: a page of twenty keys, the key, a ciphertext, a plaintext."""
    # By a reader whose clock is ahead: for the next minutes no stamp is due, so that a read writes none.
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 300))
    whole = {**STORED, "ciphertext": {"B": _BASE64}, "lastUsed": {"S": stamp}}
    return {
        "GetItem": {"Item": whole},
        "Query": {"Items": [STORED] * _PAGE, "Count": _PAGE, "ScannedCount": _PAGE},
        "Query of a reader": {"Items": [whole], "Count": 1, "ScannedCount": 1},
        "TransactWriteItems": {},
        "PutItem": {},
        "DeleteItem": {},
        "UpdateItem": {"Attributes": whole},
        "Encrypt": {"CiphertextBlob": _BASE64, "KeyId": "made-up"},
        "Decrypt": {"Plaintext": _PLAINTEXT, "KeyId": "made-up"},
    }


class Wire:
    """Stands for the network.

    Attributes:
        requests: What was sent since it was last emptied: the service, the operation, and the body.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self._bodies = {name: json.dumps(answer).encode() for name, answer in answers().items()}

    def install(self) -> None:
        """Answer whatever this process sends from now on; botocore must be imported already."""
        from botocore.awsrequest import AWSResponse, HeadersDict

        def send(_session: object, request: Any) -> Any:
            target = request.headers["X-Amz-Target"]
            target = target.decode() if isinstance(target, bytes) else target
            service, operation = target.split(".")
            body = json.loads(request.body)
            self.requests.append(("kms" if service == "TrentService" else "dynamodb", operation, body))
            headers: Any = HeadersDict({"x-amzn-RequestId": "made-up"})
            reads = operation == "Query" and "ciphertext" in body.get("ExpressionAttributeNames", {}).values()
            response: Any = AWSResponse(request.url, 200, headers, None)
            response._content = self._bodies["Query of a reader" if reads else operation]  # noqa: SLF001 - no other way
            return response

        sys.modules["botocore.httpsession"].URLLib3Session.send = send


def arguments(body: Any, name: str = "") -> Any:
    """Turn the body of a request back into the arguments of the client's method: bytes travel in base64."""
    import base64

    if isinstance(body, dict):
        return {key: arguments(value, key) for key, value in body.items()}
    if isinstance(body, list):
        return [arguments(value) for value in body]
    if name in {"B", "Plaintext", "CiphertextBlob"}:
        return base64.b64decode(body)
    return body
