"""Administrators' reads of keys in DynamoDB, and the result of a verification.

Four kinds of items share the table, each with its own partitions:

| partition (``service``) | sort key (``id``)            | item                                                        |
| ----------------------- | ---------------------------- | ----------------------------------------------------------- |
| the service             | the key's id                 | a key                                                       |
| ``#name``               | the normalized name          | the name reservation of the key in ``key``                  |
| ``#idempotency``        | HMAC of a create request     | the idempotency record of the key in ``key``, for 24 h      |
| ``#history``            | the key's id and the version | a change of the key, see `history`                          |

The other changes are in `changes` and `recovery`. The result of a verification is a single conditional update, which is
safe to repeat.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

from service_keys.core.ids import service_of
from service_keys.core.models import StoredCiphertext
from service_keys.core.timestamps import CLOCK_SKEW_MS, format_timestamp
from service_keys.errors import (
    KeyCorruptedError,
    KeyNotFoundError,
    VersionConflictError,
)
from service_keys.store.aws_errors import translate_aws_errors
from service_keys.store.consumer_items import is_key_item, primary_key, projection_of
from service_keys.store.history import read_history
from service_keys.store.items import RESPONSE_ATTRIBUTES, to_key
from service_keys.store.key_list import read_page
from service_keys.store.serving import find_serving_change, read_overview
from service_keys.store.transactions import TransactionWriter, WriteConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.history_query import HistoryQuery
    from service_keys.core.list_query import ListQuery
    from service_keys.core.models import StoredKey, Verification
    from service_keys.store.consumer_items import Item
    from service_keys.store.history import HistoryPage
    from service_keys.store.key_list import Page
    from service_keys.store.serving import Overview, ServingChange


class KeyRepository:
    """The table of keys: the reads of administrators, and the result of a verification.

    Args:
        client: A DynamoDB client.
        name: The table's name.
        sleep: Waits this many seconds before a retry after a conflict.
        clock: Seconds since the Unix epoch. Later stored times are false.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        name: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._name = name
        self._writer = TransactionWriter(client, name, sleep=sleep)
        self._clock = clock

    def get(self, key_id: str) -> StoredKey:
        """Read a key (strongly consistent).

        Raises:
            KeyNotFoundError: No such key exists.
            KeyCorruptedError: The item is malformed.
        """
        return to_key(self._existing_key(key_id), self._now_ms())

    def get_ciphertext(self, key_id: str) -> StoredCiphertext:
        """Read a key's ciphertext.

        Raises:
            KeyNotFoundError: No such key exists.
            KeyCorruptedError: The item lacks `ciphertext` or `keyUpdatedAt`.
        """
        item = self._get_item(key_id, ("ciphertext", "keyUpdatedAt"))
        try:
            return StoredCiphertext(service_of(key_id), item["ciphertext"]["B"], item["keyUpdatedAt"]["S"])
        except KeyError as error:
            self._existing_key(key_id)  # raises KeyNotFoundError if the key was deleted
            raise KeyCorruptedError(f"The item of {key_id} is damaged. Delete the key and store it again.") from error

    def list_page(self, query: ListQuery) -> Page:
        """Read a page of keys, newest first."""
        return read_page(self._client, self._name, query, at_ms=self._now_ms())

    def history_page(self, query: HistoryQuery) -> HistoryPage:
        """Read a page of a key's changes, newest first (strongly consistent).

        Raises:
            KeyNotFoundError: The key has no entries.
        """
        page = read_history(self._client, self._name, query, at_ms=self._now_ms())
        if not page.entries and query.start_after is None:
            raise KeyNotFoundError(
                "No changes of a key with this id are recorded. List the keys to find the right one."
            )
        return page

    def overview(self, known: Sequence[str]) -> Overview:
        """Summarize these services and all others with keys, in a bounded number of calls."""
        return read_overview(self._client, self._name, known, at_ms=self._now_ms())

    def serving_change(self, before: StoredKey | None, after: StoredKey | None) -> ServingChange | None:
        """Compare the key that consumers got before a written change with the one that they get now.

        Args:
            before: The changed key before the change; None if it is new.
            after: The changed key after the change; None if it was deleted.

        Returns:
            Both keys; None if the change cannot have affected the choice.
        """
        return find_serving_change(self._client, self._name, before, after)

    def _get_item(self, key_id: str, attributes: tuple[str, ...]) -> Item:
        projection, names = projection_of(attributes)
        with translate_aws_errors("DynamoDB"):
            response = self._client.get_item(
                TableName=self._name,
                Key=primary_key(key_id),
                ProjectionExpression=projection,
                ExpressionAttributeNames=names,
                ConsistentRead=True,
            )
        if "Item" not in response:
            not_found()
        return response["Item"]

    def _existing_key(self, key_id: str) -> Item:
        """Read the attributes of a key that a response needs.

        Raises:
            KeyNotFoundError: No such key exists.
        """
        item = self._get_item(key_id, RESPONSE_ATTRIBUTES)
        if not is_key_item(item):
            not_found()
        return item

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def set_verification(self, key_id: str, verification: Verification, *, expected_key_updated_at: str) -> None:
        """Store the result of a verification. Keeps the version, and the result of a later verification.

        Args:
            key_id: The id of the key.
            verification: The result.
            expected_key_updated_at: `StoredCiphertext.key_updated_at` of the verified secret value.

        Raises:
            KeyNotFoundError: The key was deleted during the verification.
            VersionConflictError: The secret value was replaced during the verification.
        """
        result: Item = {
            "status": {"S": verification.status},
            "checkedAt": {"S": verification.checked_at},
            "detail": {"S": verification.detail},
        }

        # Replace malformed and future times: this method did not write them.
        another = (
            "attribute_not_exists(verification) OR NOT attribute_type(verification.checkedAt, :string) "
            "OR verification.checkedAt <= :checkedAt OR verification.checkedAt > :future"
        )

        def attempt() -> None:
            try:
                with translate_aws_errors("DynamoDB", writing=True):
                    self._client.update_item(
                        TableName=self._name,
                        Key=primary_key(key_id),
                        UpdateExpression="SET verification = :result",
                        # Not on the ciphertext: IAM cannot allow evaluating an attribute without allowing to write it.
                        ConditionExpression=f"keyUpdatedAt = :of AND ({another})",
                        ExpressionAttributeValues={
                            ":result": {"M": result},
                            ":of": {"S": expected_key_updated_at},
                            ":checkedAt": result["checkedAt"],
                            ":future": {"S": format_timestamp(self._now_ms() + CLOCK_SKEW_MS)},
                            ":string": {"S": "S"},
                        },
                    )
            except self._client.exceptions.ConditionalCheckFailedException:
                # Read the key again: ReturnValues would return the whole item, including the ciphertext.
                if self.get(key_id).key_updated_at != expected_key_updated_at:
                    raise VersionConflictError("The key was replaced while it was checked. Check it again.") from None
            except self._client.exceptions.TransactionConflictException as error:
                raise WriteConflictError from error

        self._writer.retry_on_conflict(attempt)


def not_found() -> NoReturn:
    """Raise the error for an id without a key."""
    raise KeyNotFoundError("There is no API key with this id. List the keys to find the right one.")
