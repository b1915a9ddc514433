"""The key of a service that consumers get, without its ciphertext: for the services overview and for warnings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from service_keys.core.consumer_models import MalformedItem
from service_keys.core.ids import is_valid_service
from service_keys.errors import KeyCorruptedError
from service_keys.store.aws_errors import translate_aws_errors
from service_keys.store.consumer_items import is_key_item, projection_of, service_query, to_encrypted_key
from service_keys.store.items import (
    ALL_BY_CREATED_INDEX,
    KEY_ENTITY,
    RESPONSE_ATTRIBUTES,
    log_malformed,
    to_attribute_value,
    to_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.models import StoredKey
    from service_keys.store.consumer_items import Item

SERVING_ATTRIBUTES: Final = ("id", "name", "active", "version", "deletedAt")
"""The attributes that decide which key consumers get, except for the ciphertext."""
COUNTED_ATTRIBUTES: Final = ("service", "active")
MAX_INDEX_CALLS: Final = 10
"""Pages of the index that an overview reads: 10 MB, of about 10,000 keys."""
MAX_SERVICE_CALLS: Final = 60
"""Queries of single services in an overview; usually one for each service."""
_FIRST_PAGE: Final = 25


@dataclass(frozen=True, slots=True)
class ServedKey:
    """A key that consumers get."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ServingChange:
    """The key that consumers got before a change and the one that they get now; None if there is none."""

    before: ServedKey | None
    now: ServedKey | None


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """The keys of a service, without the deleted ones.

    Attributes:
        service: The service.
        active: The number of active keys.
        total: The number of keys.
        serving: The key that a new consumer gets; None if there is none.
    """

    service: str
    active: int
    total: int
    serving: StoredKey | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The summaries of services. ``complete`` is False if some are missing or their counts are too low."""

    services: tuple[ServiceSummary, ...]
    complete: bool


class _Selection:
    """The choice of `get_api_key` among items, newest first: the newest active key, unless a malformed item precedes.

    Attributes:
        item: The item of the key that consumers get, if any.
        decided: False if an older item could still be the one.
    """

    def __init__(self, service: str, items: Iterable[Item] = ()) -> None:
        self._service = service
        self.item: Item | None = None
        self.decided = False
        self.add(items)

    def add(self, items: Iterable[Item]) -> None:
        for item in items:
            if self.decided:
                return
            if not is_key_item(item):
                continue
            # The functions of administrators cannot read ciphertexts. Every key that they write has one.
            key = to_encrypted_key(item | {"ciphertext": {"B": b""}}, self._service)
            if isinstance(key, MalformedItem):
                self.decided = True
            elif key.active:
                self.item, self.decided = item, True


def find_serving_change(
    client: DynamoDBClient, table_name: str, before: StoredKey | None, after: StoredKey | None
) -> ServingChange | None:
    """Compare the key that consumers got before a written change with the one that they get now, by one Query.

    Args:
        client: A DynamoDB client.
        table_name: The table's name.
        before: The changed key before the change; None if it is new.
        after: The changed key after the change; None if it was deleted.

    Returns:
        Both keys; None if the change cannot have affected the choice, or if it is among keys beyond 1 MB.
    """
    was_available, is_available = before is not None and before.available, after is not None and after.available
    key = after or before
    if key is None or was_available == is_available:
        return None
    with translate_aws_errors("DynamoDB"):
        response = client.query(**service_query(table_name, key.service, SERVING_ATTRIBUTES))
    others = [item for item in response["Items"] if item["id"]["S"] != key.id]
    former = _newest_first([*others, _item_of(before)]) if before and was_available else others
    now, then = _Selection(key.service, response["Items"]), _Selection(key.service, former)
    if response.get("LastEvaluatedKey") and not (now.decided and then.decided):
        return None
    return ServingChange(_served(then.item), _served(now.item))


def _item_of(key: StoredKey) -> Item:
    """Return the attributes of a key that decide which key consumers get."""
    attributes = {"id": key.id, "name": key.name, "active": key.active, "version": key.version}
    return {name: to_attribute_value(value) for name, value in attributes.items()}


def _newest_first(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: str(item["id"]["S"]), reverse=True)


def _served(item: Item | None) -> ServedKey | None:
    return ServedKey(item["id"]["S"], item["name"]["S"]) if item else None


def read_overview(client: DynamoDBClient, table_name: str, known: Sequence[str], *, at_ms: int) -> Overview:
    """Summarize the known services and those with keys, in a bounded number of calls.

    The index finds the services and counts their keys; it may trail a change by a moment. A strongly consistent Query
    of each service finds the key that consumers get, and counts the keys of a service that has only a few.

    Args:
        client: A DynamoDB client.
        table_name: The table's name.
        known: Services to summarize first, also without keys.
        at_ms: The current time, in milliseconds since the Unix epoch.
    """
    counts, complete = _count_keys(client, table_name)
    services = [*known, *sorted(counts.keys() - set(known))]
    reader = _ServiceReader(client, table_name, at_ms)
    found = [reader.summarize(service, *counts.get(service, (0, 0))) for service in services]
    summaries = tuple(summary for summary in found if summary)
    return Overview(summaries, complete and len(summaries) == len(services))


def _count_keys(client: DynamoDBClient, table_name: str) -> tuple[dict[str, tuple[int, int]], bool]:
    """Count the active keys and all keys of each service; return False too if there are more pages than allowed."""
    projection, names = projection_of(COUNTED_ATTRIBUTES)
    request: dict[str, Any] = {
        "TableName": table_name,
        "IndexName": ALL_BY_CREATED_INDEX,
        "KeyConditionExpression": "#entity = :entity",
        "ProjectionExpression": projection,
        "ExpressionAttributeNames": {**names, "#entity": "entity"},
        "ExpressionAttributeValues": {":entity": {"S": KEY_ENTITY}},
        "Select": "SPECIFIC_ATTRIBUTES",
    }
    active: Counter[str] = Counter()
    total: Counter[str] = Counter()
    complete = False
    for _ in range(MAX_INDEX_CALLS):
        with translate_aws_errors("DynamoDB"):
            response = client.query(**request)
        for item in response["Items"]:
            total[item["service"]["S"]] += 1
            active[item["service"]["S"]] += item.get("active") == {"BOOL": True}
        if "LastEvaluatedKey" not in response:
            complete = True
            break
        request["ExclusiveStartKey"] = response["LastEvaluatedKey"]
    return {service: (active[service], total[service]) for service in total if is_valid_service(service)}, complete


class _ServiceReader:
    """Reads the partitions of services, with `MAX_SERVICE_CALLS` calls at most."""

    def __init__(self, client: DynamoDBClient, table_name: str, at_ms: int) -> None:
        self._client = client
        self._table_name = table_name
        self._at_ms = at_ms
        self._calls_left = MAX_SERVICE_CALLS

    def summarize(self, service: str, active: int, total: int) -> ServiceSummary | None:
        """Summarize a service; return None if its key cannot be read or the calls do not suffice.

        Args:
            service: The service.
            active: The number of active keys in the index.
            total: The number of keys in the index.
        """
        request = service_query(self._table_name, service, RESPONSE_ATTRIBUTES)
        # A service has few keys, and the newest active one is usually among the first.
        request["Limit"] = _FIRST_PAGE
        selection = _Selection(service)
        while self._calls_left:
            self._calls_left -= 1
            with translate_aws_errors("DynamoDB"):
                response = self._client.query(**request)
            selection.add(response["Items"])
            last = "LastEvaluatedKey" not in response
            if last and "ExclusiveStartKey" not in request:
                keys = [item for item in response["Items"] if is_key_item(item)]
                active, total = sum(item.get("active") == {"BOOL": True} for item in keys), len(keys)
            if last or selection.decided:
                return self._summary(service, active, total, selection.item)
            request["ExclusiveStartKey"] = response["LastEvaluatedKey"]
            request.pop("Limit", None)
        return None

    def _summary(self, service: str, active: int, total: int, item: Item | None) -> ServiceSummary | None:
        try:
            return ServiceSummary(service, active, total, to_key(item, self._at_ms) if item else None)
        except KeyCorruptedError as error:
            log_malformed(error)
            return None
