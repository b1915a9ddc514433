"""The items of keys as consumers read them, and the primary key and projection of every read.

Apart from `items`, whose models would slow down a consumer's first read.
"""

from __future__ import annotations

import functools

from service_keys.core.consumer_models import EncryptedKey, MalformedItem
from service_keys.core.ids import service_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    Item = dict[str, Any]
    """Attributes in DynamoDB's notation, such as ``{"id": {"S": "spotify.…"}}``."""

READER_ATTRIBUTES: Final = ("id", "name", "active", "ciphertext", "version", "lastUsed", "deletedAt")
"""The attributes that consumers need."""
STAMP_LENGTH: Final = len("2026-01-01T00:00:00.000Z")


def is_key_item(item: Item) -> bool:
    """Return False for deleted keys, and for stub items with only `lastUsed`, written without the reader."""
    return ("name" in item or "version" in item) and "deletedAt" not in item


def to_encrypted_key(item: Item, service: str) -> EncryptedKey | MalformedItem:
    """Convert an item for a consumer of ``service``. Never raises: a malformed item must not hide the others."""
    key_id, name = item["id"]["S"], item.get("name", {}).get("S")
    if not key_id.startswith(f"{service}."):
        # The id belongs to another service: the item was copied into this partition. Do not serve it.
        return MalformedItem(key_id, name)
    try:
        return EncryptedKey(
            id=key_id,
            name=item["name"]["S"],
            active=item["active"]["BOOL"],
            ciphertext=item["ciphertext"]["B"],
            version=int(item["version"]["N"]),
            # Truncate: the start identifies a timestamp, and a false value can be as large as an item.
            last_used=item.get("lastUsed", {}).get("S", "")[: STAMP_LENGTH + 1] or None,
        )
    except (KeyError, ValueError):
        return MalformedItem(key_id, name)


def primary_key(key_id: str) -> Item:
    """Return the primary key of a key's item.

    Raises:
        KeyNotFoundError: The id is malformed.
    """
    return {"service": {"S": service_of(key_id)}, "id": {"S": key_id}}


@functools.cache
def projection_of(attributes: tuple[str, ...]) -> tuple[str, Mapping[str, str]]:
    """Return a ProjectionExpression and its ExpressionAttributeNames (many attributes are reserved words)."""
    return ", ".join(f"#{name}" for name in attributes), {f"#{name}": name for name in attributes}


def service_query(table_name: str, service: str, attributes: tuple[str, ...]) -> dict[str, Any]:
    """Return a strongly consistent Query of a service's items, newest first."""
    projection, names = projection_of(attributes)
    return {
        "TableName": table_name,
        "KeyConditionExpression": "#service = :service",
        "ProjectionExpression": projection,
        "ExpressionAttributeNames": {**names, "#service": "service"},
        "ExpressionAttributeValues": {":service": {"S": service}},
        "Select": "SPECIFIC_ATTRIBUTES",
        "ConsistentRead": True,
        "ScanIndexForward": False,
    }
