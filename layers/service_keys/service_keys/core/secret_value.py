"""A service's key itself: the one type that holds a plaintext secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK: Final = "••••"
_VISIBLE_SUFFIX = 4
_MIN_LENGTH_FOR_SUFFIX = 24
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class SecretValue:
    """The plaintext of a key: a string, or named string parts.

    It shows itself to nobody: ``repr``, ``str`` and f-strings give a placeholder, and it neither compares nor pickles.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Mapping[str, str]) -> None:
        self._value = value if isinstance(value, str) else dict(value)

    def __repr__(self) -> str:
        return "SecretValue(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("key material is not to be pickled or copied")

    def __getstate__(self) -> NoReturn:
        raise TypeError("key material is not to be pickled or copied")

    def reveal(self) -> str | dict[str, str]:
        """Return the plaintext. Call it only to hand the key to KMS or to the service it belongs to."""
        return self._value if isinstance(self._value, str) else dict(self._value)

    def to_json(self) -> bytes:
        """Return the form that is encrypted: UTF-8 JSON, parts in order of their names."""
        return _to_json(self._value).encode()

    @classmethod
    def from_json(cls, stored: bytes) -> SecretValue:
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        value = json.loads(stored)
        if isinstance(value, str) or (
            isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        ):
            return cls(value)
        raise ValueError("neither a string nor named string parts")

    def masked(self) -> str | dict[str, str]:
        """Return what may be shown: the last 4 characters of each field of at least 24, after the mask."""
        if isinstance(self._value, str):
            return _mask(self._value)
        return {name: _mask(text) for name, text in self._value.items()}


def _mask(text: str) -> str:
    return MASK + (text[-_VISIBLE_SUFFIX:] if len(text) >= _MIN_LENGTH_FOR_SUFFIX else "")
