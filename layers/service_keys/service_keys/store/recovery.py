"""Administrators' changes of keys that can be undone or undo another: rollback, delete and restore."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from service_keys.core.models import Change, DeletedKey
from service_keys.core.timestamps import MS_PER_DAY, format_timestamp
from service_keys.errors import KeyCorruptedError, KeyNotFoundError, NoPreviousKeyError, PreconditionRequiredError
from service_keys.store.changes import (
    KeyChanges,
    check_version,
    describe_replacement,
    replace_false_values,
)
from service_keys.store.history import values_of
from service_keys.store.items import (
    DELETED_ENTITY,
    KEY_ENTITY,
    RESPONSE_ATTRIBUTES,
    expires_at,
    is_expired,
    is_recoverable,
    to_key,
)
from service_keys.store.repository import not_found
from service_keys.store.transactions import ConditionFailedError, UpdateExpression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service_keys.core.models import ChangeContext, StoredKey
    from service_keys.store.consumer_items import Item

_DELETION_ATTRIBUTES: Final = ("deletedCiphertext", "deletedAt", "deletedBy", "recoverableUntil", "expiresAt")


@dataclass(frozen=True, slots=True)
class Deletion:
    """The outcome of a deletion.

    Attributes:
        key: The deleted key.
        version: Its version, if it can be restored.
        before: The key before the deletion; None if the item was malformed.
    """

    key: DeletedKey
    version: int | None
    before: StoredKey | None


class KeyRecovery(KeyChanges):
    """The table of keys, with every change of administrators."""

    def rollback(self, key_id: str, context: ChangeContext, *, if_match: frozenset[int] | None) -> StoredKey:
        """Exchange the secret value and the previous one, without reading either.

        Args:
            key_id: The id of the key.
            context: The request.
            if_match: The versions in which the change is allowed. Required, because a repeated exchange undoes itself.

        Returns:
            The changed key.

        Raises:
            KeyNotFoundError: No such key exists.
            KeyCorruptedError: The item is malformed.
            PreconditionRequiredError: ``if_match`` is None.
            VersionConflictError: The key's version is not in ``if_match``.
            NoPreviousKeyError: The key has no previous secret value.
        """
        failed_versions: set[int] = set()

        def attempt() -> StoredKey:
            current = self._existing_key(key_id)
            key = to_key(current, context.at_ms)
            if if_match is None:
                raise PreconditionRequiredError(
                    "Name the version to change, because a repeated rollback would undo itself: get the key, and send "
                    f'its ETag in If-Match, now "{key.version}".'
                )
            check_version(key.version, if_match)
            previous = key.previous_key
            if previous is None or key.version in failed_versions:
                raise NoPreviousKeyError(
                    "This key has no previous secret value: it was not replaced yet, or with keepPrevious false. "
                    "Update the key with the right value."
                )
            update = UpdateExpression(context)
            replace_false_values(update, current, key)
            update.copy("previousCiphertext", "ciphertext")
            # The default repairs a key whose item has lost its ciphertext.
            update.copy("ciphertext", "previousCiphertext", default="#previousCiphertext")
            describe_replacement(update, key, previous.masked_key, context)
            with _noting(key.version, failed_versions):
                return self._write_update(
                    "rollback",
                    context,
                    current,
                    key,
                    update,
                    ("key",),
                    condition="attribute_exists(#previousCiphertext)",
                )

        return self._writer.retry_on_conflict(attempt)

    def delete(
        self,
        key_id: str,
        context: ChangeContext,
        *,
        recoverable_days: int,
        permanent: bool = False,
        if_match: frozenset[int] | None = None,
    ) -> Deletion:
        """Delete a key and release its name; or delete a stub item.

        A malformed key and a stub item cannot be restored, so they are deleted permanently.

        Args:
            key_id: The id of the key.
            context: The request that deletes it.
            recoverable_days: Days for which the key can be restored; 0 for none.
            permanent: Delete the key and its secret values at once, also if it is deleted already.
            if_match: The versions in which the deletion is allowed; None for any.

        Returns:
            The deleted key.

        Raises:
            KeyNotFoundError: No such key exists.
            VersionConflictError: The key's version is not in ``if_match``.
        """
        failed_versions: set[int] = set()

        def attempt() -> Deletion:
            item = self._get_item(key_id, RESPONSE_ATTRIBUTES)
            if ("deletedAt" in item and not permanent) or is_expired(item, context.at_ms):
                not_found()
            version = _version_of(item)
            check_version(version, if_match)
            name = item.get("name", {}).get("S")
            key = _key_if_readable(item, context.at_ms)
            until: str | None = None
            # If a version failed before, the item has no ciphertext that could be restored.
            if key and version and recoverable_days and not permanent and version not in failed_versions:
                until_ms = context.at_ms + recoverable_days * MS_PER_DAY
                until = format_timestamp(until_ms)
                writes = [{"Update": self._deletion(key, item, context, until_ms)}]
            else:
                writes = [{"Delete": self._writer.if_version(key_id, item.get("version"))}]
            if version:
                before = values_of(key) if key else {"name": name} if name else {}
                writes.append(self._history_write("delete", context, key_id, version + 1, (), before, None))
            if name is not None:
                # Also for a deleted key: a restored table may have its reservation.
                writes.append({"Delete": self._writer.release_name(key_id, name)})
            with _noting(version, failed_versions):
                self._write_or_conflict(writes)
            deleted = DeletedKey(key_id, name, format_timestamp(context.at_ms), until)
            return Deletion(deleted, version + 1 if until else None, key)

        return self._writer.retry_on_conflict(attempt)

    def restore(
        self,
        key_id: str,
        context: ChangeContext,
        *,
        name: str | None = None,
        if_match: frozenset[int] | None = None,
    ) -> Change:
        """Restore a deleted key and reserve its name.

        Args:
            key_id: The id of the key.
            context: The request.
            name: The key's new name; None to keep the old one.
            if_match: The versions in which the change is allowed; None for any.

        Returns:
            The deleted key and the restored one.

        Raises:
            KeyNotFoundError: No deleted key with this id can be restored.
            KeyCorruptedError: The item is malformed.
            VersionConflictError: The key's version is not in ``if_match``.
            DuplicateKeyNameError: Another key has the name.
        """
        failed_versions: set[int] = set()

        def attempt() -> Change:
            try:
                item = self._get_item(key_id, RESPONSE_ATTRIBUTES)
            except KeyNotFoundError:
                _not_recoverable()
            if not is_recoverable(item, context.at_ms):
                _not_recoverable()
            key = to_key(item, context.at_ms)
            check_version(key.version, if_match)
            if key.version in failed_versions:
                _not_recoverable()
            update = UpdateExpression(context)
            replace_false_values(update, item, key)
            update.put("entity", KEY_ENTITY)
            update.copy("deletedCiphertext", "ciphertext")
            for attribute in _DELETION_ATTRIBUTES:
                update.put(attribute, None)
            if name is not None:
                update.put("name", name)
            write = self._update_write(key_id, item, update, "attribute_exists(#deletedCiphertext)")
            restored = to_key(update.applied_to(item), context.at_ms)
            fields = () if name is None else ("name",)
            before, after = values_of(key), values_of(restored)
            writes: list[Item] = [
                {"Update": write},
                {"Put": self._writer.reserve_name(key_id, restored.name)},
                self._history_write("restore", context, key_id, restored.version, fields, before, after),
            ]
            advice = 'Restore the key under another name: send it as {"name": "…"}, or rename that key.'
            with _noting(key.version, failed_versions):
                self._write_or_conflict(writes, name_advice=advice)
            return Change(key, restored)

        return self._writer.retry_on_conflict(attempt)

    def _deletion(self, key: StoredKey, item: Item, context: ChangeContext, until_ms: int) -> Item:
        update = UpdateExpression()
        replace_false_values(update, item, key)
        update.put("entity", DELETED_ENTITY)
        update.copy("ciphertext", "deletedCiphertext")
        update.put("ciphertext", None)
        update.put("deletedAt", format_timestamp(context.at_ms))
        update.put("deletedBy", context.principal)
        update.put("recoverableUntil", format_timestamp(until_ms))
        update.put("expiresAt", int(expires_at(until_ms)["N"]))
        return self._update_write(key.id, item, update, "attribute_exists(#ciphertext)")


@contextmanager
def _noting(version: int, failed_versions: set[int]) -> Iterator[None]:
    """Note a version whose write failed its condition: if read again, an attribute of the condition is missing."""
    try:
        yield
    except ConditionFailedError:
        failed_versions.add(version)
        raise


def _version_of(item: Item) -> int:
    """Return the version of a key; 0 for a stub item or a malformed key without one."""
    text = item.get("version", {}).get("N", "")
    return int(text) if text.isdecimal() else 0


def _key_if_readable(item: Item, at_ms: int) -> StoredKey | None:
    try:
        return to_key(item, at_ms)
    except KeyCorruptedError:
        return None


def _not_recoverable() -> NoReturn:
    raise KeyNotFoundError(
        "No deleted key with this id can be restored. List the deleted keys with ?deleted=true to find the right one."
    )
