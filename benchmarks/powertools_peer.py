"""Peer: the same endpoints in the style of AWS's examples, with Powertools' resolver and boto3's resource.

A working handler for the product's table. Like one of our functions, each process serves one route, PEER_ENDPOINT. It
omits features that would only add time: idempotent creates, filters, cursor checksums, `If-Match`, formats of known
services and most of the audit trail.
"""
# ruff: noqa: N815 - model fields have the names of the JSON fields
# mypy: disable-error-code="untyped-decorator"

import base64
import json
import os
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from boto3.dynamodb.conditions import Key as KeyCondition
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ENDPOINT = os.environ["PEER_ENDPOINT"]
TABLE = os.environ["SERVICE_KEYS_TABLE"]
KEYS_PATH = "/api/v1/admin/api-keys"

logger, metrics, tracer = Logger(), Metrics(), Tracer()
app = APIGatewayRestResolver(enable_validation=True)
table: Any = boto3.resource("dynamodb").Table(TABLE)
kms: Any = boto3.client("kms") if ENDPOINT in {"create", "update"} else None

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=100)]
Service = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
Description = Annotated[str, StringConstraints(max_length=500)]
Secret = Annotated[str, StringConstraints(min_length=8, max_length=4000)] | dict[str, str]


class UpdateKey(BaseModel):
    """Body of an update request."""

    model_config = ConfigDict(extra="forbid")
    name: Name | None = None
    description: Description | None = None
    active: bool | None = None
    key: Secret | None = None


class CreateKey(UpdateKey):
    """Body of a create request."""

    name: Name
    service: Service
    active: bool = True
    key: Secret


class Key(BaseModel):
    """A masked key."""

    id: str
    name: str
    service: str
    description: str | None = None
    active: bool
    maskedKey: str | dict[str, str]
    createdAt: str
    createdBy: str
    updatedAt: str
    updatedBy: str
    keyUpdatedAt: str
    lastUsed: str | None = None
    version: int
    verification: dict[str, str] | None = None


class Pagination(BaseModel):
    """Cursor of the next page."""

    limit: int
    nextCursor: str | None


class Success(BaseModel):
    """Response to a delete request, and base of all other responses."""

    success: bool = True
    message: str | None = None
    requestId: str


class KeyResponse(Success):
    """Response with one key."""

    data: Key


class ListResponse(Success):
    """Response with a page of keys."""

    data: list[Key]
    pagination: Pagination


def _create(new: CreateKey) -> Response[KeyResponse]:
    """Encrypt the secret value, write the key and reserve its name."""
    key_id = f"{new.service}.{secrets.token_hex(6)}"
    change = dict.fromkeys(("createdAt", "updatedAt", "keyUpdatedAt"), _now())
    change |= dict.fromkeys(("createdBy", "updatedBy"), _principal())
    item = {
        **new.model_dump(exclude={"key"}, exclude_none=True),
        **_encrypt(new.key, key_id),
        **change,
        "id": key_id,
        "entity": "key",
        "version": 1,
    }
    _transact({"Put": _put(item)}, {"Put": _put(_reservation(new.name, key_id))})
    _log_change("create", key_id)
    location = {"Location": f"{KEYS_PATH}/{key_id}"}
    return Response(201, content_types.APPLICATION_JSON, _response(item), headers=location)


def _list(
    limit: Annotated[int, Field(ge=1, le=100), Query()] = 20,
    cursor: Annotated[str | None, Query()] = None,
) -> ListResponse:
    """Read a page, newest first."""
    request = {"IndexName": "all-by-created", "KeyConditionExpression": KeyCondition("entity").eq("key")}
    request |= {"Limit": limit, "ScanIndexForward": False}
    if cursor:
        request["ExclusiveStartKey"] = json.loads(base64.urlsafe_b64decode(cursor))
    page = table.query(**request)
    last = page.get("LastEvaluatedKey")
    after = base64.urlsafe_b64encode(json.dumps(last).encode()).decode() if last else None
    keys = [Key.model_validate(item) for item in page["Items"]]
    return ListResponse(data=keys, pagination=Pagination(limit=limit, nextCursor=after), requestId=_request_id())


def _get(key_id: str) -> KeyResponse:
    """Read a key."""
    return _response(_read(key_id))


def _update(key_id: str, changes: UpdateKey) -> KeyResponse:
    """Update the given fields and move the name reservation."""
    values: dict[str, Any] = changes.model_dump(exclude={"key"}, exclude_none=True)
    values |= {"updatedAt": _now(), "updatedBy": _principal()}
    if changes.key is not None:
        values |= {**_encrypt(changes.key, key_id), "keyUpdatedAt": values["updatedAt"]}
    request = {
        "Key": _primary_key(key_id),
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in values) + " ADD version :one",
        "ConditionExpression": "attribute_exists(id)",
        "ExpressionAttributeNames": {f"#{name}": name for name in values},
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()} | {":one": 1},
    }
    if changes.name is None:
        try:
            item = table.update_item(**request, ReturnValues="ALL_NEW")["Attributes"]
        except table.meta.client.exceptions.ConditionalCheckFailedException:
            raise NotFoundError("There is no API key with this id.") from None
    else:
        before, after = _reservation(_read(key_id)["name"], key_id), _reservation(changes.name, key_id)
        moves = [{"Put": _put(after)}, {"Delete": _delete_request(before)}] if before != after else []
        _transact({"Update": {"TableName": TABLE, **request}}, *moves)
        item = _read(key_id)
    _log_change("update", key_id)
    return _response(item)


def _delete(key_id: str) -> Success:
    """Delete a key and its name reservation."""
    item = _read(key_id)
    reservation = _reservation(item["name"], key_id)
    _transact({"Delete": _delete_request(item)}, {"Delete": _delete_request(reservation)})
    _log_change("delete", key_id)
    return Success(message="API key deleted successfully", requestId=_request_id())


def _read(key_id: str) -> dict[str, Any]:
    item: dict[str, Any] | None = table.get_item(Key=_primary_key(key_id), ConsistentRead=True).get("Item")
    if item is None:
        raise NotFoundError("There is no API key with this id.")
    return item


def _primary_key(key_id: str) -> dict[str, str]:
    return {"service": key_id.partition(".")[0], "id": key_id}


def _response(item: dict[str, Any]) -> KeyResponse:
    return KeyResponse(data=Key.model_validate(item), requestId=_request_id())


def _request_id() -> str:
    return str(app.current_event.request_context.request_id)


def _principal() -> str:
    return str(app.current_event.request_context.authorizer["sub"])


def _reservation(name: str, key_id: str) -> dict[str, Any]:
    return {"service": "#name", "id": name.casefold(), "key": key_id}


def _put(item: dict[str, Any]) -> dict[str, Any]:
    return {"TableName": TABLE, "Item": item, "ConditionExpression": "attribute_not_exists(id)"}


def _delete_request(item: dict[str, Any]) -> dict[str, Any]:
    return {"TableName": TABLE, "Key": {"service": item["service"], "id": item["id"]}}


def _transact(*writes: dict[str, Any]) -> None:
    client = table.meta.client
    try:
        client.transact_write_items(TransactItems=list(writes))
    except client.exceptions.TransactionCanceledException:
        raise ServiceError(409, "Another key has this name.") from None


def _encrypt(key: str | dict[str, str], key_id: str) -> dict[str, Any]:
    request = {"KeyId": os.environ["SERVICE_KEYS_KMS_KEY"], "EncryptionContext": _primary_key(key_id)}
    encrypted = kms.encrypt(**request, Plaintext=json.dumps(key).encode())
    masked = f"••••{key[-4:]}" if isinstance(key, str) else {name: f"••••{field[-4:]}" for name, field in key.items()}
    return {"ciphertext": encrypted["CiphertextBlob"], "maskedKey": masked}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _log_change(change: str, key_id: str) -> None:
    logger.info("API key changed", extra={"change": change, "keyId": key_id})
    metrics.add_dimension("change", change)
    metrics.add_metric("Changes", MetricUnit.Count, 1)


method, path, function = {
    "create": ("POST", KEYS_PATH, _create),
    "list": ("GET", KEYS_PATH, _list),
    "get": ("GET", f"{KEYS_PATH}/<key_id>", _get),
    "update": ("PATCH", f"{KEYS_PATH}/<key_id>", _update),
    "delete": ("DELETE", f"{KEYS_PATH}/<key_id>", _delete),
}[ENDPOINT]
app.route(path, method=method)(tracer.capture_method(capture_response=False)(function))  # type: ignore[type-var]


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle an event."""
    return app.resolve(event, context)


if method != "GET":
    handler = metrics.log_metrics(handler)
