"""Pages of the list of keys, for administrators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from service_keys.core.timestamps import format_timestamp
from service_keys.store.aws_errors import translate_aws_errors
from service_keys.store.consumer_items import service_query
from service_keys.store.items import (
    ALL_BY_CREATED_INDEX,
    DELETED_ENTITY,
    KEY_ENTITY,
    RESPONSE_ATTRIBUTES,
    exclusive_start_key,
    skip_malformed,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.list_query import ListQuery
    from service_keys.core.models import StoredKey
    from service_keys.store.consumer_items import Item

_MIN_PAGE_WHEN_FILTERING: Final = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Keys, newest first, and the cursor of the next page, if any."""

    keys: tuple[StoredKey, ...]
    next_cursor: str | None


def read_page(client: DynamoDBClient, table_name: str, query: ListQuery, *, at_ms: int) -> Page:
    """Read a page of keys, newest first. Query repeatedly until a filtered page is full or no key is left.

    Args:
        client: A DynamoDB client.
        table_name: The table's name.
        query: The filters, the page size and the start.
        at_ms: The current time, in milliseconds since the Unix epoch. Later stored times are false.
    """
    request = _request(table_name, query, at_ms)
    found: list[StoredKey] = []
    start = query.start_after and exclusive_start_key(query.start_after, query)
    while len(found) <= query.limit:
        if start:
            request["ExclusiveStartKey"] = start
        with translate_aws_errors("DynamoDB"):
            response = client.query(**request)
        keys = list(skip_malformed(response["Items"], at_ms, deleted=query.deleted))
        found.extend(keys)
        start = response.get("LastEvaluatedKey")
        if not start:
            break
        if query.service is not None or len(keys) < len(response["Items"]):
            # Items that are not keys may fill the partition: read up to DynamoDB's 1 MB per further call.
            request.pop("Limit", None)
    page = tuple(found[: query.limit])
    return Page(page, query.encode_cursor(page[-1].id) if len(found) > len(page) else None)


def _request(table_name: str, query: ListQuery, at_ms: int) -> dict[str, Any]:
    names: dict[str, str]
    values: Item
    if query.service is None:
        names = {"#entity": "entity"}
        values = {":entity": {"S": DELETED_ENTITY if query.deleted else KEY_ENTITY}}
        request: dict[str, Any] = {
            "TableName": table_name,
            "IndexName": ALL_BY_CREATED_INDEX,
            "KeyConditionExpression": "#entity = :entity",
        }
    else:
        request = service_query(table_name, query.service, RESPONSE_ATTRIBUTES)
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
    # One more than the page size, to detect a next page.
    limit = query.limit + 1
    filters = []
    if query.deleted:
        filters.append("#recoverableUntil > :now")
        names["#recoverableUntil"] = "recoverableUntil"
        values[":now"] = {"S": format_timestamp(at_ms)}
    if query.active is not None:
        filters.append("#active = :active")
        names["#active"] = "active"
        values[":active"] = {"BOOL": query.active}
    if query.verification is not None:
        names["#verification"] = "verification"
        if query.verification == "none":
            filters.append("attribute_not_exists(#verification)")
        else:
            filters.append("#verification.#status = :status")
            names["#status"] = "status"
            values[":status"] = {"S": query.verification}
    if filters:
        request["FilterExpression"] = " AND ".join(filters)
        limit = max(limit, _MIN_PAGE_WHEN_FILTERING)
    return request | {
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ScanIndexForward": False,
        "Limit": limit,
    }
