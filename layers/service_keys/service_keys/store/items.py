"""DynamoDB items: attributes, projections, and conversion from and to models."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from service_keys.core.ids import timestamp_ms_of
from service_keys.core.models import KEY_FIELDS, PreviousKey, StoredKey, Verification, VerificationStatus
from service_keys.core.names import normalize_name
from service_keys.core.timestamps import format_timestamp, is_past, milliseconds
from service_keys.errors import KeyCorruptedError
from service_keys.store.consumer_items import is_key_item, primary_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service_keys.core.list_query import ListQuery
    from service_keys.store.consumer_items import Item

_logger = logging.getLogger(__name__)

ALL_BY_CREATED_INDEX: Final = "all-by-created"
NAME_PARTITION: Final = "#name"
IDEMPOTENCY_PARTITION: Final = "#idempotency"
HISTORY_PARTITION: Final = "#history"
KEY_ENTITY: Final = "key"
"""The value of the attribute ``entity``, the index's partition key, of keys that are not deleted."""
DELETED_ENTITY: Final = "deleted"
"""The value of the attribute ``entity`` of deleted keys."""
RESPONSE_ATTRIBUTES: Final = ("service", *KEY_FIELDS)
"""The attributes of a response. Without the ciphertext, which the functions that read these may not access."""
_WRITTEN_BY_OTHERS: Final = ("keyUpdatedAt", "lastUsed", "verification", "previousKey")
"""The fields that are checked one by one: consumers or VerifyApiKey can write them, or they are nested."""
_DETAIL_MAX_LENGTH: Final = 1000


# --- items ------------------------------------------------------------------------------------------------------------


def to_item(key: StoredKey, ciphertext: bytes) -> Item:
    """Return the item of a new key."""
    attributes: dict[str, Any] = {"service": key.service, "entity": KEY_ENTITY, "ciphertext": ciphertext}
    attributes |= {name: getattr(key, field.name) for name, field in KEY_FIELDS.items()}
    return {name: to_attribute_value(value) for name, value in attributes.items() if value is not None}


def to_key(item: Item, at_ms: int) -> StoredKey:
    """Convert an item to a key.

    Args:
        item: The item.
        at_ms: The current time, in milliseconds since the Unix epoch.

    Raises:
        KeyCorruptedError: The item is malformed.
    """
    try:
        values = {
            field.name: _to_field(item, name, field.type)
            for name, field in KEY_FIELDS.items()
            if name not in _WRITTEN_BY_OTHERS
        }
        # A false value, written by a compromised consumer or VerifyApiKey, must not make the key unreadable.
        last_used, key_updated_at = (item.get(name, {}).get("S") for name in ("lastUsed", "keyUpdatedAt"))
        values["last_used"] = last_used if is_past(last_used, at_ms=at_ms) else None
        values["key_updated_at"] = values["created_at"] if milliseconds(key_updated_at) is None else key_updated_at
        values["previous_key"] = _to_previous_key(item.get("previousKey", {}).get("M", {}))
        values["verification"] = _to_verification(item.get("verification", {}).get("M", {}), at_ms)
        return StoredKey(**values)
    except (KeyError, ValueError) as error:
        where = item.get("id", {}).get("S", "a key")
        raise KeyCorruptedError(
            f"The item of {where} is damaged ({error}). Delete the key and store it again."
        ) from error


def _to_field(item: Item, name: str, annotation: object) -> Any:
    """Convert an attribute to the type in a field's annotation. An optional field of a wrong type counts as absent.

    Raises:
        KeyError: A required attribute is missing or has a wrong type.
    """
    match annotation:
        case "bool":
            return item[name]["BOOL"]
        case "int":
            return int(item[name]["N"])
        case "str":
            return item[name]["S"]
        case "str | Mapping[str, str]":
            return _from_attribute_value(item[name])
        case _:
            return item.get(name, {}).get("S")


def _to_verification(attributes: Item, at_ms: int) -> Verification | None:
    """Convert a stored verification; return None if `KeyRepository.set_verification` cannot have written it."""
    status, checked_at, detail = (attributes.get(name, {}).get("S") for name in ("status", "checkedAt", "detail"))
    if status not in get_args(VerificationStatus) or not is_past(checked_at, at_ms=at_ms):
        return None
    if not isinstance(detail, str) or len(detail) > _DETAIL_MAX_LENGTH:
        return None
    return Verification(status=status, checked_at=checked_at, detail=detail)


def _to_previous_key(attributes: Item) -> PreviousKey | None:
    try:
        return PreviousKey(
            masked_key=_from_attribute_value(attributes["maskedKey"]),
            replaced_at=attributes["replacedAt"]["S"],
            replaced_by=attributes["replacedBy"]["S"],
        )
    except KeyError:
        return None


def is_recoverable(item: Item, at_ms: int) -> bool:
    """Return True for a deleted key that can be restored at this time, in milliseconds since the Unix epoch."""
    until = milliseconds(item.get("recoverableUntil", {}).get("S"))
    return "deletedAt" in item and until is not None and until > at_ms


def is_expired(item: Item, at_ms: int) -> bool:
    """Return True for a deleted key past the end of its recovery, which TTL has not removed yet."""
    until = milliseconds(item.get("recoverableUntil", {}).get("S"))
    return "deletedAt" in item and until is not None and until <= at_ms


def skip_malformed(items: list[Item], at_ms: int, *, deleted: bool = False) -> Iterator[StoredKey]:
    """Convert items to keys; log and skip malformed items, so that one does not hide the others.

    Args:
        items: The items. Others than those of keys are skipped.
        at_ms: The current time, in milliseconds since the Unix epoch.
        deleted: Convert the recoverable deleted keys instead of the others.
    """
    for item in items:
        try:
            if is_recoverable(item, at_ms) if deleted else is_key_item(item):
                yield to_key(item, at_ms)
        except KeyCorruptedError as error:
            log_malformed(error)


def log_malformed(error: KeyCorruptedError) -> None:
    """Log that a list leaves out a malformed key."""
    _logger.error("%s It is left out of the list.", error)


def name_reservation(name: str, key_id: str) -> Item:
    """Return the item that reserves a name for a key."""
    return reference_item(NAME_PARTITION, normalize_name(name), key_id)


def expires_at(at_ms: int) -> Item:
    """Return the attribute ``expiresAt`` for a time in milliseconds; DynamoDB's TTL deletes the item soon after it."""
    return {"N": str(-(-at_ms // 1000))}


def reference_item(partition: str, name: str, key_id: str) -> Item:
    """Return an item of the partition that refers to a key."""
    return {"service": {"S": partition}, "id": {"S": name}, "key": {"S": key_id}}


def exclusive_start_key(key_id: str, query: ListQuery) -> Item:
    """Return the ExclusiveStartKey after this key: the primary key and, for the index, also the index's key.

    Derived from the id, which contains the creation time, so it also works after the key was deleted.
    """
    if query.service is not None:
        return primary_key(key_id)
    created_at = format_timestamp(timestamp_ms_of(key_id))
    entity = DELETED_ENTITY if query.deleted else KEY_ENTITY
    return primary_key(key_id) | {"entity": {"S": entity}, "createdAt": {"S": created_at}}


def to_attribute_value(value: Any) -> Item:
    """Convert a string, binary, number, boolean, null, map or list to DynamoDB's notation."""
    if isinstance(value, Mapping):
        return {"M": {name: to_attribute_value(member) for name, member in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"L": [to_attribute_value(member) for member in value]}
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
    return {"B" if isinstance(value, bytes) else "S": value}


def from_attribute_value(attribute: Item) -> Any:
    """Convert a value from DynamoDB's notation: a string, number, boolean, null, map or list."""
    ((kind, value),) = attribute.items()
    match kind:
        case "M":
            return {name: from_attribute_value(member) for name, member in value.items()}
        case "L":
            return [from_attribute_value(member) for member in value]
        case "N":
            return int(value)
        case "NULL":
            return None
    return value


def _from_attribute_value(masked: Item) -> str | dict[str, str]:
    """Convert a masked key from DynamoDB's notation."""
    return masked["S"] if "S" in masked else {name: text["S"] for name, text in masked["M"].items()}
