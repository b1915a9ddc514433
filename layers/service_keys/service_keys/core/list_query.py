"""Filters, position and cursor of a list request.

A cursor contains the id of the last key of its page and a checksum of that id and the filters, which detects altered
and truncated cursors and those of another list. The checksum needs no secret: an administrator who forges a cursor can
list all keys anyway.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from service_keys.core.ids import service_of
from service_keys.errors import KeyNotFoundError

LIMIT_DEFAULT: Final = 20
_CURSOR_MAX_LENGTH = 128
_CHECKSUM_BYTES = 9


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The filters and position of a list, newest key first.

    Attributes:
        active: Only active keys if True, only disabled keys if False.
        service: Only keys of this service.
        verification: Only keys whose last verification had this status; ``none`` for keys without one.
        limit: Maximum number of keys on a page.
        start_after: Id of the last key of the previous page.
    """

    active: bool | None = None
    service: str | None = None
    verification: str | None = None
    limit: int = LIMIT_DEFAULT
    start_after: str | None = None

    def encode_cursor(self, last_id: str) -> str:
        """Return the cursor of the page after the key with this id."""
        return base64.urlsafe_b64encode(last_id.encode() + self._checksum(last_id)).decode().rstrip("=")

    def _checksum(self, key_id: str) -> bytes:
        whole = f"{key_id}\n{self.active}\n{self.service or ''}\n{self.verification or ''}"
        return hashlib.sha256(whole.encode()).digest()[:_CHECKSUM_BYTES]

    def decode_cursor(self, cursor: str) -> str | None:
        """Return the key id in a cursor; None if the cursor is not from this list."""
        if len(cursor) > _CURSOR_MAX_LENGTH:
            return None
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            decoded = base64.b64decode(padded, altchars=b"-_", validate=True)
            key_id = decoded[:-_CHECKSUM_BYTES].decode("ascii")
            service = service_of(key_id)
        except (ValueError, KeyNotFoundError):  # binascii.Error and UnicodeDecodeError are ValueErrors
            return None
        ours = self.encode_cursor(key_id) == cursor and self.service in {None, service}
        return key_id if ours else None
