"""The read and the write of a consumer: the keys of a service, and the usage stamp."""

from __future__ import annotations

from service_keys.store.aws_errors import member, translate_aws_errors
from service_keys.store.consumer_items import (
    READER_ATTRIBUTES,
    STAMP_LENGTH,
    is_key_item,
    primary_key,
    service_query,
    to_encrypted_key,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.consumer_models import EncryptedKey, MalformedItem


class ConsumerRepository:
    """The calls of a consumer to the table of keys.

    Args:
        client: A DynamoDB client.
        table_name: The table's name.
    """

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def list_for_service(self, service: str) -> tuple[EncryptedKey | MalformedItem, ...]:
        """Read all keys of a service, newest first (strongly consistent)."""
        request = service_query(self._table_name, service, READER_ATTRIBUTES)
        found: list[EncryptedKey | MalformedItem] = []
        while True:
            with translate_aws_errors("DynamoDB"):
                response = self._client.query(**request)
            found.extend(
                to_encrypted_key(item, service) for item in member(response, "Items", "DynamoDB") if is_key_item(item)
            )
            if "LastEvaluatedKey" not in response:
                return tuple(found)
            request["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    def stamp_usage(self, key_id: str, *, used_at: str, if_older_than: str, false_stamp: str | None = None) -> None:
        """Write the usage stamp of a key, unless the stored stamp is newer than ``if_older_than``.

        The condition keeps `lastUsed` monotonic, never recreates a deleted item, and lets one of several concurrent
        writers succeed.

        Args:
            key_id: The id of the key.
            used_at: Timestamp of the use, in the form of `service_keys.core.timestamps.format_timestamp`.
            if_older_than: Timestamp before ``used_at``, in the same form.
            false_stamp: `EncryptedKey.last_used` if malformed or in the future. Replaced only if still stored, so that
                a delayed write does not replace a later stamp.
        """
        values = {":usedAt": {"S": used_at}, ":since": {"S": if_older_than}, ":string": {"S": "S"}}
        due = "attribute_not_exists(lastUsed) OR NOT attribute_type(lastUsed, :string) OR lastUsed <= :since"
        if false_stamp is not None:
            values[":false"] = {"S": false_stamp}
            # A longer string is the truncated start of a value, which matches no timestamp.
            is_false = "begins_with(lastUsed, :false)" if len(false_stamp) > STAMP_LENGTH else "lastUsed = :false"
            due = f"{due} OR {is_false}"
        try:
            with translate_aws_errors("DynamoDB"):
                self._client.update_item(
                    TableName=self._table_name,
                    Key=primary_key(key_id),
                    UpdateExpression="SET lastUsed = :usedAt",
                    ConditionExpression=f"attribute_exists(id) AND ({due})",
                    ExpressionAttributeValues=values,
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
