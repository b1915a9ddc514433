"""What both peers do behind their routes, with boto3's resource: the same items, and names that stay unique."""

import base64
import json
import os
import secrets
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import boto3
from boto3.dynamodb.conditions import Attr, Key

from benchmarks.peers.models import CreateKey, ShownKey, UpdateKey, Verification

ENDPOINT = os.environ["PEER_ENDPOINT"]
TABLE = os.environ["SERVICE_KEYS_TABLE"]


class NotFound(Exception):
    """There is no such key."""


class Duplicate(Exception):
    """Another key has the name."""


table: Any = boto3.resource("dynamodb").Table(TABLE)
kms: Any = boto3.client("kms") if ENDPOINT in {"create", "update", "verify"} else None


def create(new: CreateKey, principal: str) -> ShownKey:
    """Encrypt the key, write it, and claim its name."""
    key_id = f"{new.service}.{secrets.token_hex(6)}"
    now = _now()
    item = {
        "service": new.service,
        "id": key_id,
        "listed": "key",
        "name": new.name,
        "active": new.active,
        "ciphertext": _encrypt(new.key, new.service, key_id),
        "maskedKey": _masked(new.key),
        "createdAt": now,
        "createdBy": principal,
        "updatedAt": now,
        "updatedBy": principal,
        "keyUpdatedAt": now,
        "version": 1,
    }
    if new.description:
        item["description"] = new.description
    absent = "attribute_not_exists(id)"
    claim = {"service": "#name", "id": new.name.casefold(), "key": key_id}
    _transact(
        {"Put": {"TableName": TABLE, "Item": item, "ConditionExpression": absent}},
        {"Put": {"TableName": TABLE, "Item": claim, "ConditionExpression": absent}},
    )
    return ShownKey.model_validate(item)


def get(key_id: str) -> ShownKey:
    """Read a key."""
    return ShownKey.model_validate(_item(key_id))


def page(limit: int, service: str | None, active: bool | None, cursor: str | None) -> tuple[list[ShownKey], str | None]:  # noqa: FBT001 - a parameter of the query
    """Read a page, newest first."""
    request: dict[str, Any] = {"Limit": limit, "ScanIndexForward": False}
    if service:
        request["KeyConditionExpression"] = Key("service").eq(service)
    else:
        request |= {"IndexName": "newest", "KeyConditionExpression": Key("listed").eq("key")}
    if active is not None:
        request["FilterExpression"] = Attr("active").eq(active)
    if cursor:
        request["ExclusiveStartKey"] = json.loads(base64.urlsafe_b64decode(cursor))
    answer = table.query(**request)
    last = answer.get("LastEvaluatedKey")
    after = base64.urlsafe_b64encode(json.dumps(last).encode()).decode() if last else None
    return [ShownKey.model_validate(item) for item in answer["Items"]], after


def update(key_id: str, changes: UpdateKey, principal: str) -> ShownKey:
    """Change what is named; move the claim where the name changes."""
    service = key_id.partition(".")[0]
    now = _now()
    values: dict[str, Any] = {**changes.model_dump(exclude_none=True), "updatedAt": now, "updatedBy": principal}
    if changes.key is not None:
        del values["key"]
        values |= {"ciphertext": _encrypt(changes.key, service, key_id), "maskedKey": _masked(changes.key)}
        values["keyUpdatedAt"] = now
    request = {
        "Key": {"service": service, "id": key_id},
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in values) + " ADD version :one",
        "ConditionExpression": "attribute_exists(id)",
        "ExpressionAttributeNames": {f"#{name}": name for name in values},
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()} | {":one": 1},
    }
    if changes.name is not None:
        before = _item(key_id)
        claim = {"service": "#name", "id": changes.name.casefold(), "key": key_id}
        old = {"service": "#name", "id": before["name"].casefold()}
        writes = [{"Update": {"TableName": TABLE, **request}}]
        if old["id"] != claim["id"]:
            put = {"TableName": TABLE, "Item": claim, "ConditionExpression": "attribute_not_exists(id)"}
            writes += [{"Put": put}, {"Delete": {"TableName": TABLE, "Key": old}}]
        _transact(*writes)
        return get(key_id)
    try:
        answer = table.update_item(**request, ReturnValues="ALL_NEW")
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        raise NotFound from None
    return ShownKey.model_validate(answer["Attributes"])


def delete(key_id: str) -> None:
    """Delete a key, and free its name."""
    item = _item(key_id)
    name = {"service": "#name", "id": item["name"].casefold()}
    _transact(
        {"Delete": {"TableName": TABLE, "Key": {"service": item["service"], "id": key_id}}},
        {"Delete": {"TableName": TABLE, "Key": name}},
    )


def verify(key_id: str) -> ShownKey:
    """Ask OpenAI whether it takes the key, and note the answer beside the key that it is about."""
    item = _item(key_id)
    context = {"service": item["service"], "id": key_id}
    ciphertext = item["ciphertext"]
    key = json.loads(kms.decrypt(CiphertextBlob=ciphertext.value, EncryptionContext=context)["Plaintext"])
    status, detail = _asked(key)
    verification = Verification(status=status, checkedAt=_now(), detail=detail)
    try:
        answer = table.update_item(
            Key={"service": item["service"], "id": key_id},
            UpdateExpression="SET verification = :verification",
            ConditionExpression="ciphertext = :ciphertext",
            ExpressionAttributeValues={":verification": verification.model_dump(), ":ciphertext": ciphertext},
            ReturnValues="ALL_NEW",
        )
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        raise NotFound from None
    return ShownKey.model_validate(answer["Attributes"])


def _asked(key: str) -> tuple[str, str]:
    url = f"{os.environ['SERVICE_KEYS_PROVIDERS_URL']}/openai/v1/models"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=3) as response:
            json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.UNAUTHORIZED:
            return "rejected", "OpenAI refuses the key."
        return "inconclusive", f"OpenAI answered {error.code}."
    except OSError:
        return "inconclusive", "OpenAI could not be reached."
    return "valid", "OpenAI takes the key."


def _item(key_id: str) -> dict[str, Any]:
    answer = table.get_item(Key={"service": key_id.partition(".")[0], "id": key_id}, ConsistentRead=True)
    if "Item" not in answer:
        raise NotFound
    item: dict[str, Any] = answer["Item"]
    return item


def _transact(*writes: dict[str, Any]) -> None:
    client = table.meta.client
    try:
        client.transact_write_items(TransactItems=list(writes))
    except client.exceptions.TransactionCanceledException:
        raise Duplicate from None


def _encrypt(key: str | dict[str, str], service: str, key_id: str) -> bytes:
    answer = kms.encrypt(
        KeyId=os.environ["SERVICE_KEYS_KMS_KEY"],
        Plaintext=json.dumps(key).encode(),
        EncryptionContext={"service": service, "id": key_id},
    )
    ciphertext: bytes = answer["CiphertextBlob"]
    return ciphertext


def _masked(key: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(key, dict):
        return {name: f"••••{part[-4:]}" for name, part in key.items()}
    return f"••••{key[-4:]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
