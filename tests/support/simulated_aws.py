"""A fake of AWS below botocore's clients that simulates a day of thousands of reads in a moment."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, Final

from botocore.exceptions import EndpointConnectionError

from service_keys.core.ids import new_id
from tests.support.canary import CANARY

Item = dict[str, Any]
SERVICES: Final = ("one", "two")
START: Final = 1_800_000_000.0


class Aws:
    """A table and a KMS key, which an administrator changes, with injected errors."""

    def __init__(self) -> None:
        self.now = START
        self.items: dict[str, dict[str, Item]] = {service: {} for service in SERVICES}
        self.state: dict[str, Any] = {"Query": "up", "Decrypt": "up", "UpdateItem": "up"}
        """State by operation: "up", a kind of failure, an error code, or the type of an exception to raise."""
        self.calls: list[tuple[str, dict[str, Any], Any]] = []
        """Operation, request, and the response or the kind of failure."""
        self._ids = 0

    def answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        """Respond in place of the call that botocore is about to send."""
        operation, request = model.name, json.loads(params["body"])
        state = self.state[operation]
        if isinstance(state, type):
            raise state
        if state != "up":
            self.calls.append((operation, request, state))
            if state == "unreachable":
                raise EndpointConnectionError(endpoint_url="https://aws.invalid")
            return _error({"throttled": "ThrottlingException", "denied": "AccessDeniedException"}.get(state, state))
        response: Any = getattr(self, f"_{operation.lower()}")(request)
        self.calls.append((operation, request, response))
        if isinstance(response, str):
            return _error(response)
        return SimpleNamespace(status_code=200), response

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        assert request["ConsistentRead"] is True
        items = self.items.get(request["ExpressionAttributeValues"][":service"]["S"], {})
        # A copy, because a later change of an administrator must not alter the response.
        return {"Items": [dict(items[key_id]) for key_id in sorted(items, reverse=True)]}

    def _decrypt(self, request: dict[str, Any]) -> dict[str, Any] | str:
        sealed = json.loads(base64.b64decode(request["CiphertextBlob"]))
        if sealed["context"] != request["EncryptionContext"]:
            return "InvalidCiphertextException"
        return {"Plaintext": json.dumps(sealed["value"]).encode()}

    def _updateitem(self, request: dict[str, Any]) -> dict[str, Any] | str:
        values = request["ExpressionAttributeValues"]
        item = self.items[request["Key"]["service"]["S"]].get(request["Key"]["id"]["S"])
        if item is None or (
            "lastUsed" in item
            and item["lastUsed"]["S"] > values[":since"]["S"]
            and item["lastUsed"] != values.get(":false")
        ):
            return "ConditionalCheckFailedException"
        item["lastUsed"] = values[":usedAt"]
        return {}

    def create(self, service: str, name: str) -> None:
        self._ids += 1
        key_id = new_id(service, at_ms=int(START * 1000) + self._ids, random_bits=0)
        item = {"id": {"S": key_id}, "name": {"S": name}, "active": {"BOOL": True}, "version": {"N": "1"}}
        self.items[service][key_id] = item
        self.replace_key(item)

    def replace_key(self, item: Item) -> None:
        self._ids += 1
        key_id = item["id"]["S"]
        context = {"service": key_id.partition(".")[0], "id": key_id}
        item["ciphertext"] = {"B": json.dumps({"context": context, "value": f"made-up-{CANARY}-{self._ids}"}).encode()}
        item["version"] = {"N": str(int(item["version"]["N"]) + 1)}


def _error(code: str) -> tuple[Any, dict[str, Any]]:
    parsed = {"Error": {"Code": code, "Message": "made to fail"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return SimpleNamespace(status_code=400), parsed
