"""Models of keys as consumers read them. Apart from `models`, whose classes would slow down their first read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """A stored key with the attributes that consumers need.

    Attributes:
        last_used: The first 25 characters of the stored string. Consumers write it, so it may be malformed.
    """

    id: str
    name: str
    active: bool
    ciphertext: bytes
    version: int
    last_used: str | None


@dataclass(frozen=True, slots=True)
class MalformedItem:
    """A malformed item. Ignored unless it would be selected as the newest active key."""

    id: str
    name: str | None
    active: Literal[False] = False
