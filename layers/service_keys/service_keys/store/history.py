"""The history of a key: one item for each change, in the partition ``#history``, without a secret value.

An entry is written in the transaction of its change. Its Put is unconditional: if a part of the table is restored from
a backup, an entry of a later version may exist already, and it must not block the key's next change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from service_keys.core.ids import service_of
from service_keys.core.models import HISTORY_FIELDS, HistoryEntry
from service_keys.core.timestamps import MS_PER_DAY, format_timestamp
from service_keys.store.aws_errors import translate_aws_errors
from service_keys.store.consumer_items import projection_of
from service_keys.store.items import HISTORY_PARTITION, expires_at, from_attribute_value, to_attribute_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.history_query import HistoryQuery
    from service_keys.core.models import ChangeContext, ChangeKind, StoredKey
    from service_keys.store.consumer_items import Item

_VERSION_DIGITS: Final = 10
_ATTRIBUTES: Final = ("id", "change", "fields", "at", "by", "byName", "requestId", "before", "after", "expiresAt")


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Changes of a key, newest first, and the cursor of the next page, if any."""

    entries: tuple[HistoryEntry, ...]
    next_cursor: str | None


def new_entry(
    change: ChangeKind,
    context: ChangeContext,
    *,
    version: int,
    fields: Iterable[str],
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> HistoryEntry:
    """Return the entry of a change.

    Args:
        change: The kind of change.
        context: The request.
        version: The key's version after the change.
        fields: The fields that the request named.
        before: The values of the key before the change, see `values_of`; None for a create.
        after: The values after the change; None for a deletion. Equal values are left out of both.
    """
    if before is not None and after is not None:
        changed = [name for name in after if before.get(name) != after[name]]
        before, after = ({name: values[name] for name in changed} for values in (before, after))
    return HistoryEntry(
        version=version,
        change=change,
        fields=tuple(sorted(fields)),
        at=format_timestamp(context.at_ms),
        by=context.principal,
        by_name=context.principal_name,
        request_id=context.request_id,
        before=before,
        after=after,
    )


def values_of(key: StoredKey) -> dict[str, Any]:
    """Return the values of a key that the history records."""
    response = key.to_response()
    return {name: response[name] for name in HISTORY_FIELDS}


def to_history_item(key_id: str, entry: HistoryEntry, *, at_ms: int, days: int) -> Item:
    """Return the item of an entry, which DynamoDB's TTL deletes after this number of days."""
    values = entry.to_response()
    del values["version"]
    item = {name: to_attribute_value(value) for name, value in values.items() if value is not None}
    return item | {
        "service": {"S": HISTORY_PARTITION},
        "id": {"S": _sort_key(key_id, entry.version)},
        "expiresAt": expires_at(at_ms + days * MS_PER_DAY),
    }


def read_history(client: DynamoDBClient, table_name: str, query: HistoryQuery, *, at_ms: int) -> HistoryPage:
    """Read a page of the changes of a key, newest first.

    Args:
        client: A DynamoDB client.
        table_name: The table's name.
        query: The key, the page size and the start.
        at_ms: The current time, in milliseconds since the Unix epoch. Expired entries are left out.

    Raises:
        KeyNotFoundError: The id is malformed.
    """
    service_of(query.key_id)
    last = _sort_key(query.key_id, query.start_after - 1 if query.start_after else 10**_VERSION_DIGITS - 1)
    projection, names = projection_of(_ATTRIBUTES)
    request: dict[str, Any] = {
        "TableName": table_name,
        "KeyConditionExpression": "#service = :partition AND #id BETWEEN :first AND :last",
        "ProjectionExpression": projection,
        "ExpressionAttributeNames": {**names, "#service": "service"},
        "Select": "SPECIFIC_ATTRIBUTES",
        "ExpressionAttributeValues": {
            ":partition": {"S": HISTORY_PARTITION},
            ":first": {"S": _sort_key(query.key_id, 0)},
            ":last": {"S": last},
        },
        "ConsistentRead": True,
        "ScanIndexForward": False,
        "Limit": query.limit + 1,  # one more than the page size, to detect a next page
    }
    found: list[HistoryEntry] = []
    while len(found) <= query.limit:
        with translate_aws_errors("DynamoDB"):
            response = client.query(**request)
        found.extend(_to_entry(item) for item in response["Items"] if int(item["expiresAt"]["N"]) * 1000 > at_ms)
        if "LastEvaluatedKey" not in response:
            break
        request["ExclusiveStartKey"] = response["LastEvaluatedKey"]
    page = tuple(found[: query.limit])
    return HistoryPage(page, query.encode_cursor(page[-1].version) if len(found) > len(page) else None)


def _sort_key(key_id: str, version: int) -> str:
    return f"{key_id}#{version:0{_VERSION_DIGITS}}"


def _to_entry(item: Item) -> HistoryEntry:
    values = {name: from_attribute_value(value) for name, value in item.items()}
    return HistoryEntry(
        version=int(values["id"].rpartition("#")[2]),
        change=values["change"],
        fields=tuple(values["fields"]),
        at=values["at"],
        by=values["by"],
        by_name=values.get("byName"),
        request_id=values["requestId"],
        before=values.get("before"),
        after=values.get("after"),
    )
