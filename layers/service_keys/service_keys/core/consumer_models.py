"""Models of keys as consumers read them. Apart from `models`, whose classes would slow down their first read.

Not dataclasses, whose import and generated methods cost more than the TLS handshake of a first read.
"""

from __future__ import annotations


class _Value:
    """Equal to another value of its type with the same attributes."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))


class EncryptedKey(_Value):
    """A stored key with the attributes that consumers need.

    Attributes:
        last_used: The first 25 characters of the stored string. Consumers write it, so it may be malformed.
    """

    __slots__ = ("active", "ciphertext", "id", "last_used", "name", "version")

    def __init__(
        self,
        id: str,  # noqa: A002 - the attribute's name
        name: str,
        *,
        active: bool,
        ciphertext: bytes,
        version: int,
        last_used: str | None,
    ) -> None:
        self.id = id
        self.name = name
        self.active = active
        self.ciphertext = ciphertext
        self.version = version
        self.last_used = last_used


class MalformedItem(_Value):
    """A malformed item. Ignored unless it would be selected as the newest active key."""

    __slots__ = ("id", "name")
    active = False

    def __init__(self, id: str, name: str | None) -> None:  # noqa: A002 - the attribute's name
        self.id = id
        self.name = name
