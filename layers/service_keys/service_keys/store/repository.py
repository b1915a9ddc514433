"""Administrators' reads and changes of keys in DynamoDB.

Three kinds of items share the table, each with its own partitions:

| partition (``service``) | sort key (``id``)            | item                                                        |
| ----------------------- | ---------------------------- | ----------------------------------------------------------- |
| the service             | the key's id                 | a key                                                       |
| ``#name``               | the normalized name          | the name reservation of the key in ``key``                  |
| ``#idempotency``        | HMAC of a create request     | the idempotency record of the key in ``key``, for 24 h      |

Every administrator change is a transaction (see `transactions`) on condition that the item's version is unchanged. The
result of a verification is a single conditional update, which is safe to repeat.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from service_keys.core.ids import service_of
from service_keys.core.models import CLOCK_SKEW_MS, KEY_FIELDS, DeletedKey, StoredCiphertext, milliseconds
from service_keys.core.names import normalize_name
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import (
    DuplicateKeyNameError,
    KeyCorruptedError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    VersionConflictError,
)
from service_keys.store.aws_errors import translate_aws_errors
from service_keys.store.items import (
    IDEMPOTENCY_PARTITION,
    RESPONSE_ATTRIBUTES,
    is_key_item,
    name_reservation,
    primary_key,
    projection_of,
    reference_item,
    to_item,
    to_key,
)
from service_keys.store.key_list import read_page
from service_keys.store.transactions import TransactionWriter, UpdateExpression, WriteConflictError, only_last_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.list_query import ListQuery
    from service_keys.core.models import ChangeContext, StoredKey, Verification
    from service_keys.store.items import Item
    from service_keys.store.key_list import Page

IDEMPOTENCY_TTL_SECONDS: Final = 24 * 60 * 60
_ITEM_MUST_NOT_EXIST: Final = "attribute_not_exists(id)"
_DELETED: Final = ("id", "name", "version")
"""The attributes that deleting needs. Malformed items and stub items can be deleted too."""
_LAST_MS: Final = 253_402_300_799_999
"""The largest timestamp, 9999-12-31T23:59:59.999Z."""


@dataclass(frozen=True, slots=True)
class CreateResult:
    """The outcome of a create request.

    Attributes:
        key_id: The id of the new key or, for a repeated request, of the key that the first request created.
        replayed: True if the request was repeated; then nothing was written.
    """

    key_id: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class EncryptedSecret:
    """A new secret value of a key, encrypted and masked."""

    ciphertext: bytes
    masked_key: str | Mapping[str, str]


class KeyRepository:
    """The table of keys.

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

    # --- reads -------------------------------------------------------------------------------------------------------

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
            raise KeyCorruptedError(f"The item of {key_id} is damaged. Delete the key and store it again.") from error

    def list_page(self, query: ListQuery) -> Page:
        """Read a page of keys, newest first."""
        return read_page(self._client, self._name, query, at_ms=self._now_ms())

    def _get_item(self, key_id: str, attributes: tuple[str, ...]) -> Item:
        projection, names = projection_of(attributes)
        with translate_aws_errors("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._name,
                Key=primary_key(key_id),
                ProjectionExpression=projection,
                ExpressionAttributeNames=names,
                ConsistentRead=True,
            )
        if "Item" not in answer:
            _not_found()
        return answer["Item"]

    def _existing_key(self, key_id: str) -> Item:
        """Read the attributes of a key that a response needs.

        Raises:
            KeyNotFoundError: No such key exists.
        """
        item = self._get_item(key_id, RESPONSE_ATTRIBUTES)
        if not is_key_item(item):
            _not_found()
        return item

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    # --- writes ------------------------------------------------------------------------------------------------------

    def create(
        self, key: StoredKey, ciphertext: bytes, context: ChangeContext, *, idempotency: str | None = None
    ) -> CreateResult:
        """Write a new key and reserve its name, in one transaction.

        Args:
            key: The key.
            ciphertext: Its encrypted secret value.
            context: The request that creates it.
            idempotency: Id of the idempotency record, if the client may repeat the request.

        Returns:
            The new key's id; for a repeated request, the id of the key that the first request created.

        Raises:
            DuplicateKeyNameError: Another key has the name.
            KeyStoreUnavailableError: The key may have been written; a retry with the same ``idempotency`` is safe.
        """
        writes: list[Item] = [
            {"Put": self._writer.put(to_item(key, ciphertext), _ITEM_MUST_NOT_EXIST)},
            {"Put": self._writer.put(name_reservation(key.name, key.id), _ITEM_MUST_NOT_EXIST)},
        ]
        if idempotency:
            now = context.at_ms // 1000
            idempotency_record = reference_item(IDEMPOTENCY_PARTITION, idempotency, key.id)
            idempotency_record["expiresAt"] = {"N": str(now + IDEMPOTENCY_TTL_SECONDS)}
            put = self._writer.put(idempotency_record, f"{_ITEM_MUST_NOT_EXIST} OR expiresAt < :now")
            put["ExpressionAttributeValues"] = {":now": {"N": str(now)}}
            # Only here: with ReturnValues on key items, the role could read ciphertexts.
            put["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            writes.append({"Put": put})

        def attempt() -> CreateResult:
            failed = self._writer.write(writes)
            if not failed:
                return CreateResult(key.id, replayed=False)
            if idempotency and failed[2]:
                return CreateResult(failed[2]["key"]["S"], replayed=True)
            if failed[1] is not None:
                _duplicate_name()
            raise KeyStoreUnavailableError("Two keys were made at the same moment. Nothing was changed. Try again.")

        return self._writer.retry_on_conflict(attempt)

    def update(
        self,
        key_id: str,
        context: ChangeContext,
        fields: Mapping[str, Any],
        *,
        secret: EncryptedSecret | None = None,
        if_match: frozenset[int] | None = None,
    ) -> StoredKey:
        """Change fields of a key.

        Args:
            key_id: The id of the key.
            context: The request that changes it.
            fields: The new values by response field, without read-only fields; ``key`` is ignored, see ``secret``.
            secret: The new secret value; clears the verification.
            if_match: The versions in which the change is allowed; None for any.

        Returns:
            The changed key.

        Raises:
            KeyNotFoundError: No such key exists.
            KeyCorruptedError: The item is malformed.
            VersionConflictError: The key's version is not in ``if_match``.
            DuplicateKeyNameError: Another key has the new name.
        """
        changes = {name: value for name, value in fields.items() if name in KEY_FIELDS}
        if secret:
            changes |= {"ciphertext": secret.ciphertext, "maskedKey": secret.masked_key, "verification": None}
        return self._writer.retry_on_conflict(lambda: self._update(key_id, context, changes, if_match))

    def _update(
        self, key_id: str, change: ChangeContext, changes: Mapping[str, Any], if_match: frozenset[int] | None
    ) -> StoredKey:
        current = self._existing_key(key_id)
        key = to_key(current, change.at_ms)
        _check_version(key.version, if_match)
        update = UpdateExpression(change)
        for attribute, value in changes.items():
            update.put(attribute, value)
        if "ciphertext" in changes:
            update.put("keyUpdatedAt", _next_moment(key.key_updated_at, change.at_ms))
        elif current.get("keyUpdatedAt") != {"S": key.key_updated_at}:
            update.put("keyUpdatedAt", key.key_updated_at)
        # A false value can be large enough to leave no room for the change in the item.
        if "lastUsed" in current and key.last_used is None:
            update.put("lastUsed", None)
        if "verification" in current and key.verification is None:
            update.put("verification", None)
        name = changes.get("name")
        write: Item = self._writer.if_version(key_id, current["version"])
        write["UpdateExpression"] = update.expression
        write["ExpressionAttributeNames"] = update.names
        write["ExpressionAttributeValues"] |= update.values
        writes: list[Item] = [{"Update": write}]
        if name is not None and normalize_name(name) != normalize_name(key.name):
            writes += [
                {"Put": self._writer.put(name_reservation(name, key_id), _ITEM_MUST_NOT_EXIST)},
                {"Delete": self._writer.release_name(key_id, key.name)},
            ]
        failed = self._writer.write(writes)
        if only_last_failed(failed):
            failed = self._writer.write(writes[:-1])
        if not failed:
            return to_key(update.applied_to(current), change.at_ms)
        if failed[0] is None:
            _duplicate_name()
        raise WriteConflictError

    def delete(self, key_id: str, change: ChangeContext, *, if_match: frozenset[int] | None = None) -> DeletedKey:
        """Delete a key and release its name, in one transaction; or delete a stub item.

        Args:
            key_id: The id of the key.
            change: The request that deletes it.
            if_match: The versions in which the deletion is allowed; None for any.

        Raises:
            KeyNotFoundError: No such key exists.
            VersionConflictError: The key's version is not in ``if_match``.
        """

        def attempt() -> DeletedKey:
            item = self._get_item(key_id, _DELETED)
            version, name = item.get("version"), item.get("name", {}).get("S")
            _check_version(int(version.get("N", 0)) if version else 0, if_match)
            writes: list[Item] = [{"Delete": self._writer.if_version(key_id, version)}]
            if name is not None:
                writes.append({"Delete": self._writer.release_name(key_id, name)})
            failed = self._writer.write(writes)
            if only_last_failed(failed):
                failed = self._writer.write(writes[:-1])
            if failed:
                raise WriteConflictError
            return DeletedKey(key_id, name, format_timestamp(change.at_ms))

        return self._writer.retry_on_conflict(attempt)

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


def _next_moment(before: str, at_ms: int) -> str:
    """Return a `keyUpdatedAt` later than ``before``, even if the clock went backwards."""
    before_ms = milliseconds(before)
    if before_ms is None or before_ms >= _LAST_MS:
        return format_timestamp(at_ms)
    return format_timestamp(max(at_ms, before_ms + 1))


def _check_version(version: int, if_match: frozenset[int] | None) -> None:
    if if_match is not None and version not in if_match:
        _version_conflict(version)


def _version_conflict(version: int) -> NoReturn:
    if not version:
        raise VersionConflictError(
            "If-Match does not match: the item with this id has no version, because it is not a whole key. To delete "
            "it, send the request again without If-Match."
        )
    raise VersionConflictError(
        f"If-Match does not match: the key is in version {version} now. Get the key again, check your change against "
        f'it, and send its ETag: "{version}". A weak tag such as W/"{version}" never matches.'
    )


def _duplicate_name() -> NoReturn:
    raise DuplicateKeyNameError("An API key with this name already exists. Choose another name, or update that key.")


def _not_found() -> NoReturn:
    raise KeyNotFoundError("There is no API key with this id. List the keys to find the right one.")
