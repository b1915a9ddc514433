"""Transactional conditional writes, with retries after conflicts.

botocore adds a ClientRequestToken, which makes its own retries idempotent.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from service_keys.core.names import normalize_name
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import KeyStoreUnavailableError
from service_keys.store.aws_errors import translate_aws_errors
from service_keys.store.consumer_items import primary_key
from service_keys.store.items import NAME_PARTITION, name_reservation, to_attribute_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.models import ChangeContext
    from service_keys.store.consumer_items import Item

_Result = TypeVar("_Result")
_CONFLICT_MAX_ATTEMPTS: Final = 25
_CONFLICT_BACKOFF_SECONDS: Final = 0.05
"""Upper bound of the first backoff; it grows to four times that."""


class WriteConflictError(Exception):
    """Concurrent write to the same item; retry."""


class ConditionFailedError(WriteConflictError):
    """The condition of a write to the key's item failed; read the item again."""


class TransactionWriter:
    """Builds and sends transactions of conditional writes, and retries them after a conflict.

    Args:
        client: A DynamoDB client.
        table_name: The table's name.
        sleep: Waits this many seconds before a retry.
    """

    def __init__(self, client: DynamoDBClient, table_name: str, *, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._name = table_name
        self._sleep = sleep

    def put(self, item: Item, condition: str) -> Item:
        """Build a Put whose failed condition returns the conflicting item."""
        return {"TableName": self._name, "Item": item, "ConditionExpression": condition}

    def if_version(self, key_id: str, version: Item | None) -> Item:
        """Build a write of a key on condition that its version is unchanged; None for a stub item."""
        address = {"TableName": self._name, "Key": primary_key(key_id)}
        if version is None:
            return address | {"ConditionExpression": "attribute_exists(id) AND attribute_not_exists(version)"}
        values = {":read": version}
        return address | {"ConditionExpression": "version = :read", "ExpressionAttributeValues": values}

    def reserve_name(self, key_id: str, name: str) -> Item:
        """Build the Put of a name reservation. Fails if another key has the name."""
        write = self.put(name_reservation(name, key_id), "attribute_not_exists(id) OR #key = :id")
        write["ExpressionAttributeNames"] = {"#key": "key"}
        write["ExpressionAttributeValues"] = {":id": {"S": key_id}}
        return write

    def release_name(self, key_id: str, name: str) -> Item:
        """Build the Delete of a name reservation. Succeeds without one, so that every key can be deleted."""
        return {
            "TableName": self._name,
            "Key": {"service": {"S": NAME_PARTITION}, "id": {"S": normalize_name(name)}},
            "ConditionExpression": "attribute_not_exists(id) OR #key = :id",
            "ExpressionAttributeNames": {"#key": "key"},
            "ExpressionAttributeValues": {":id": {"S": key_id}},
        }

    def write(self, writes: list[Item]) -> list[Item | None]:
        """Execute all of the writes, or none.

        Returns:
            An empty list on success. Otherwise one entry per write: if its condition failed, the conflicting item
            (empty if it does not exist or was not requested), else None.

        Raises:
            WriteConflictError: Another write to one of the items was in progress.
            KeyStoreUnavailableError: DynamoDB throttled the transaction, failed or is unreachable.
        """
        try:
            with translate_aws_errors("DynamoDB", writing=True):
                self._client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
        except self._client.exceptions.TransactionCanceledException as error:
            reasons: list[Item] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
            codes = {reason.get("Code") for reason in reasons} - {"None"}
            if "TransactionConflict" in codes:
                raise WriteConflictError from error
            if codes & {"ThrottlingError", "ProvisionedThroughputExceeded"}:
                raise KeyStoreUnavailableError("DynamoDB is busy. Nothing was changed. Try again shortly.") from error
            if codes != {"ConditionalCheckFailed"}:
                raise
            return [
                reason.get("Item", {}) if reason.get("Code") == "ConditionalCheckFailed" else None for reason in reasons
            ]
        return []

    def retry_on_conflict(self, attempt: Callable[[], _Result]) -> _Result:
        """Retry a write that conflicts with concurrent writes, at most 25 times."""
        for number in range(_CONFLICT_MAX_ATTEMPTS):
            try:
                return attempt()
            except WriteConflictError:
                # Jitter, not security.
                self._sleep(random.uniform(0, _CONFLICT_BACKOFF_SECONDS * min(number + 1, 4)))  # noqa: S311
        raise KeyStoreUnavailableError(
            "Too many changes of this key at the same moment. Nothing was changed. Try again."
        )


class UpdateExpression:
    """Builds the UpdateExpression of an administrator's change. The last call for an attribute wins.

    Args:
        context: The request, for ``updatedAt``, ``updatedBy`` and ``updatedByName``; None to leave them unchanged.
    """

    def __init__(self, context: ChangeContext | None = None) -> None:
        self._sets: Item = {}
        self._copies: dict[str, tuple[str, str | None]] = {}
        self._removes: set[str] = set()
        if context:
            self.put("updatedAt", format_timestamp(context.at_ms))
            self.put("updatedBy", context.principal)
            self.put("updatedByName", context.principal_name)

    def put(self, attribute: str, value: Any) -> None:
        """Set an attribute; None removes it."""
        self._forget(attribute)
        if value is None:
            self._removes.add(attribute)
        else:
            self._sets[attribute] = to_attribute_value(value)

    def copy(self, source: str, target: str, *, default: str | None = None) -> None:
        """Set an attribute to the value that another has before the update, without reading it.

        Args:
            source: The attribute to copy.
            target: The attribute to set.
            default: The attribute or ``:`` value to copy if the source does not exist. Without it, the update fails.
        """
        self._forget(target)
        self._copies[target] = (source, default)

    def _forget(self, attribute: str) -> None:
        """Drop earlier calls for an attribute: DynamoDB refuses an expression that changes it twice."""
        self._sets.pop(attribute, None)
        self._copies.pop(attribute, None)
        self._removes.discard(attribute)

    def _copy_expression(self, target: str) -> str:
        source, default = self._copies[target]
        if default is None:
            return f"#{target} = #{source}"
        return f"#{target} = if_not_exists(#{source}, {default})"

    @property
    def expression(self) -> str:
        """The UpdateExpression; it increments the version."""
        sets = [
            *(f"#{attribute} = :{attribute}" for attribute in self._sets),
            *map(self._copy_expression, self._copies),
            "version = version + :one",
        ]
        removes = [f"#{attribute}" for attribute in sorted(self._removes)]
        # REMOVE first, because moto adds the sizes of new values before it subtracts those of removed ones.
        return (f"REMOVE {', '.join(removes)} " if removes else "") + f"SET {', '.join(sets)}"

    @property
    def names(self) -> dict[str, str]:
        """The ExpressionAttributeNames."""
        sources = (source for source, _ in self._copies.values())
        used = (*self._sets, *self._removes, *self._copies, *sources)
        return {f"#{attribute}": attribute for attribute in used}

    @property
    def values(self) -> Item:
        """The ExpressionAttributeValues."""
        return {f":{attribute}": value for attribute, value in self._sets.items()} | {":one": {"N": "1"}}

    def applied_to(self, item: Item) -> Item:
        """Return the item as DynamoDB updates it."""
        kept = {attribute: value for attribute, value in item.items() if attribute not in self._removes}
        return kept | self._sets | {"version": {"N": str(int(item["version"]["N"]) + 1)}}


# --- failed conditions ------------------------------------------------------------------------------------------------


def only_last_failed(failed: list[Item | None]) -> bool:
    """Return True if only the last write (releasing the old name) failed its condition."""
    return len(failed) > 1 and failed[-1] is not None and not any(item is not None for item in failed[:-1])
