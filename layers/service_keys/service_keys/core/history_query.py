"""Position of a history request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service_keys.core import cursor
from service_keys.core.list_query import LIMIT_DEFAULT

_VERSION = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """The key and the position of a page of its history, newest change first.

    Attributes:
        key_id: The id of the key.
        limit: Maximum number of entries on a page.
        start_after: Version of the last entry of the previous page.
    """

    key_id: str
    limit: int = LIMIT_DEFAULT
    start_after: int | None = None

    def encode_cursor(self, last_version: int) -> str:
        """Return the cursor of the page after the entry of this version."""
        return cursor.encode(str(last_version), scope=f"history of {self.key_id}")

    def decode_cursor(self, text: str) -> int | None:
        """Return the version in a cursor; None if the cursor is not from this key's history."""
        version = cursor.decode(text, scope=f"history of {self.key_id}") or ""
        # The checksum needs no secret, so the position may be any text.
        return int(version) if _VERSION.fullmatch(version) else None
