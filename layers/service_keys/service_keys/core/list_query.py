"""Filters and position of a list request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service_keys.core import cursor
from service_keys.core.ids import service_of
from service_keys.errors import KeyNotFoundError

LIMIT_DEFAULT: Final = 20


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The filters and position of a list, newest key first.

    Attributes:
        active: Only active keys if True, only disabled keys if False.
        service: Only keys of this service.
        verification: Only keys whose last verification had this status; ``none`` for keys without one.
        limit: Maximum number of keys on a page.
        deleted: The deleted keys that can be restored, instead of the others.
        start_after: Id of the last key of the previous page.
    """

    active: bool | None = None
    service: str | None = None
    verification: str | None = None
    deleted: bool = False
    limit: int = LIMIT_DEFAULT
    start_after: str | None = None

    def encode_cursor(self, last_id: str) -> str:
        """Return the cursor of the page after the key with this id."""
        return cursor.encode(last_id, scope=self._scope())

    def decode_cursor(self, text: str) -> str | None:
        """Return the key id in a cursor; None if the cursor is not from this list."""
        key_id = cursor.decode(text, scope=self._scope())
        try:
            service = service_of(key_id or "")
        except KeyNotFoundError:
            return None
        return key_id if self.service in {None, service} else None

    def _scope(self) -> str:
        deleted = "\ndeleted" if self.deleted else ""
        return f"{self.active}\n{self.service or ''}\n{self.verification or ''}{deleted}"
