"""Administrators' changes of keys in DynamoDB: create and update. `recovery` has rollback, delete and restore.

Each change is one transaction (see `transactions`), on condition that the item's version is unchanged: the key's item,
its name reservation if the name changes hands, and the entry of its history. Secret values move inside the item, by
update expressions that DynamoDB evaluates against the old item; only a new secret value passes through a function.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from service_keys.core.models import KEY_FIELDS, Change, PreviousKey
from service_keys.core.names import normalize_name
from service_keys.core.timestamps import format_timestamp, milliseconds
from service_keys.errors import (
    DuplicateKeyNameError,
    KeyStoreUnavailableError,
    VersionConflictError,
)
from service_keys.store.history import new_entry, to_history_item, values_of
from service_keys.store.items import IDEMPOTENCY_PARTITION, name_reservation, reference_item, to_item, to_key
from service_keys.store.repository import KeyRepository
from service_keys.store.transactions import ConditionFailedError, UpdateExpression, only_last_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from service_keys.core.models import ChangeContext, ChangeKind, StoredKey
    from service_keys.store.consumer_items import Item

IDEMPOTENCY_TTL_SECONDS: Final = 24 * 60 * 60
_ITEM_MUST_NOT_EXIST: Final = "attribute_not_exists(id)"
_NAME_ADVICE: Final = "Choose another name, or update that key."
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


class KeyChanges(KeyRepository):
    """The table of keys, with the changes of administrators.

    Args:
        client: A DynamoDB client.
        name: The table's name.
        history_days: Days for which an entry of the history is kept.
        sleep: Waits this many seconds before a retry after a conflict.
        clock: Seconds since the Unix epoch. Later stored times are false.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        name: str,
        *,
        history_days: int,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, name, sleep=sleep, clock=clock)
        self._history_days = history_days

    def create(
        self,
        key: StoredKey,
        ciphertext: bytes,
        context: ChangeContext,
        *,
        fields: Iterable[str],
        idempotency: str | None = None,
    ) -> CreateResult:
        """Write a new key and reserve its name.

        Args:
            key: The key.
            ciphertext: Its encrypted secret value.
            context: The request that creates it.
            fields: The fields that the request named.
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
            self._history_write("create", context, key.id, key.version, fields, None, values_of(key)),
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
            if idempotency and failed[-1]:
                return CreateResult(failed[-1]["key"]["S"], replayed=True)
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
    ) -> Change:
        """Change fields of a key.

        Args:
            key_id: The id of the key.
            context: The request that changes it.
            fields: The validated request: the new values by response field, and ``keepPrevious``. Absent fields stay
                unchanged.
            secret: The new secret value; clears the verification. The old one becomes the previous one unless
                ``keepPrevious`` is False, which removes the previous secret value.
            if_match: The versions in which the change is allowed; None for any.

        Returns:
            The key before and after the change.

        Raises:
            KeyNotFoundError: No such key exists.
            KeyCorruptedError: The item is malformed.
            VersionConflictError: The key's version is not in ``if_match``.
            DuplicateKeyNameError: Another key has the new name.
        """

        def attempt() -> Change:
            current = self._existing_key(key_id)
            key = to_key(current, context.at_ms)
            check_version(key.version, if_match)
            update = UpdateExpression(context)
            replace_false_values(update, current, key)
            for name in fields.keys() & KEY_FIELDS.keys():
                update.put(name, fields[name])
            if secret:
                _replace_secret(update, key, secret, context)
            if fields.get("keepPrevious") is False:
                update.put("previousCiphertext", None)
                update.put("previousKey", None)
            return Change(key, self._write_update("update", context, current, key, update, fields))

        return self._writer.retry_on_conflict(attempt)

    def _update_write(self, key_id: str, item: Item, update: UpdateExpression, condition: str | None = None) -> Item:
        write: Item = self._writer.if_version(key_id, item["version"])
        if condition:
            write["ConditionExpression"] += f" AND {condition}"
        write["UpdateExpression"] = update.expression
        write["ExpressionAttributeNames"] = update.names
        write["ExpressionAttributeValues"] |= update.values
        return write

    def _write_update(
        self,
        change: ChangeKind,
        context: ChangeContext,
        item: Item,
        key: StoredKey,
        update: UpdateExpression,
        fields: Iterable[str],
        *,
        condition: str | None = None,
    ) -> StoredKey:
        """Write the update of an existing key, its history entry and its new name; return the changed key.

        Raises:
            DuplicateKeyNameError: Another key has the new name.
            ConditionFailedError: The key has another version, or the condition failed.
        """
        changed = to_key(update.applied_to(item), context.at_ms)
        writes: list[Item] = [
            {"Update": self._update_write(key.id, item, update, condition)},
            self._history_write(change, context, key.id, changed.version, fields, values_of(key), values_of(changed)),
        ]
        if normalize_name(changed.name) != normalize_name(key.name):
            writes += [
                {"Put": self._writer.reserve_name(key.id, changed.name)},
                {"Delete": self._writer.release_name(key.id, key.name)},
            ]
        self._write_or_conflict(writes)
        return changed

    def _write_or_conflict(self, writes: list[Item], *, name_advice: str = _NAME_ADVICE) -> None:
        """Write all; without the last write if only that one, which releases a name, failed its condition.

        Args:
            writes: The writes; the first one is that of the key's item.
            name_advice: How to proceed if another key has the name.

        Raises:
            DuplicateKeyNameError: Another key has the name.
            ConditionFailedError: The condition of the key's item failed.
        """
        failed = self._writer.write(writes)
        if only_last_failed(failed):
            failed = self._writer.write(writes[:-1])
        if not failed:
            return
        if failed[0] is None:
            _duplicate_name(name_advice)
        raise ConditionFailedError

    def _history_write(
        self,
        change: ChangeKind,
        context: ChangeContext,
        key_id: str,
        version: int,
        fields: Iterable[str],
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> Item:
        entry = new_entry(change, context, version=version, fields=fields, before=before, after=after)
        item = to_history_item(key_id, entry, at_ms=context.at_ms, days=self._history_days)
        return {"Put": {"TableName": self._name, "Item": item}}


def replace_false_values(update: UpdateExpression, item: Item, key: StoredKey) -> None:
    """Replace values that only a compromised function can have written.

    A false value can be large enough to leave no room for the change in the item.
    """
    if item.get("keyUpdatedAt") != {"S": key.key_updated_at}:
        update.put("keyUpdatedAt", key.key_updated_at)
    if "lastUsed" in item and key.last_used is None:
        update.put("lastUsed", None)
    if "verification" in item and key.verification is None:
        update.put("verification", None)


def _replace_secret(update: UpdateExpression, key: StoredKey, secret: EncryptedSecret, context: ChangeContext) -> None:
    update.put("ciphertext", secret.ciphertext)
    # The default repairs a key whose item has lost its ciphertext.
    update.copy("ciphertext", "previousCiphertext", default=":ciphertext")
    describe_replacement(update, key, secret.masked_key, context)


def describe_replacement(
    update: UpdateExpression, key: StoredKey, masked_key: str | Mapping[str, str], context: ChangeContext
) -> None:
    """Set the attributes that describe the secret value and the previous one, after a replacement now."""
    replaced_at = _next_moment(key.key_updated_at, context.at_ms)
    update.put("maskedKey", masked_key)
    update.put("keyUpdatedAt", replaced_at)
    update.put("verification", None)
    update.put("previousKey", PreviousKey(key.masked_key, replaced_at, context.principal).to_response())


def _next_moment(before: str, at_ms: int) -> str:
    """Return a `keyUpdatedAt` later than ``before``, even if the clock went backwards."""
    before_ms = milliseconds(before)
    if before_ms is None or before_ms >= _LAST_MS:
        return format_timestamp(at_ms)
    return format_timestamp(max(at_ms, before_ms + 1))


def check_version(version: int, if_match: frozenset[int] | None) -> None:
    """Raise VersionConflictError if the request names other versions."""
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


def _duplicate_name(advice: str = _NAME_ADVICE) -> NoReturn:
    raise DuplicateKeyNameError(f"An API key with this name already exists. {advice}")
