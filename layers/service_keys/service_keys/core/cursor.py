"""Cursors of paged responses.

A cursor contains the position of the last item of its page and a checksum of that position and the scope, which detects
altered and truncated cursors and those of another list. The checksum needs no secret: an administrator who forges a
cursor can list everything anyway.
"""

from __future__ import annotations

import base64
import hashlib

_MAX_LENGTH = 128
_CHECKSUM_BYTES = 9


def encode(position: str, *, scope: str) -> str:
    """Return the cursor of the page after a position.

    Args:
        position: The last item of the page, in ASCII.
        scope: The list and its filters.
    """
    return base64.urlsafe_b64encode(position.encode() + _checksum(position, scope)).decode().rstrip("=")


def decode(cursor: str, *, scope: str) -> str | None:
    """Return the position in a cursor; None if the cursor does not belong to the scope."""
    if len(cursor) > _MAX_LENGTH:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position = base64.b64decode(padded, altchars=b"-_", validate=True)[:-_CHECKSUM_BYTES].decode("ascii")
    except ValueError:  # binascii.Error and UnicodeDecodeError are ValueErrors
        return None
    return position if encode(position, scope=scope) == cursor else None


def _checksum(position: str, scope: str) -> bytes:
    return hashlib.sha256(f"{position}\n{scope}".encode()).digest()[:_CHECKSUM_BYTES]
