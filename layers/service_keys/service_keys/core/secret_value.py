"""The secret value of a key: the only type that holds plaintext."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, NoReturn

MASK: Final = "••••"
_VISIBLE_SUFFIX = 4
_MIN_LENGTH_FOR_SUFFIX = 24
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class SecretValue:
    """The plaintext of a key: a string, or named string fields.

    ``repr``, ``str`` and f-strings return a placeholder; pickling and copying raise TypeError, and ``==`` compares
    identity only.
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
        """Return the plaintext. Call it only to pass the secret value to KMS or to its service."""
        return self._value if isinstance(self._value, str) else dict(self._value)

    def to_json(self) -> bytes:
        """Return the plaintext to encrypt: UTF-8 JSON, fields sorted by name."""
        return _to_json(self._value).encode()

    @classmethod
    def from_json(cls, stored: bytes) -> SecretValue:
        """Parse the output of `to_json`.

        Raises:
            ValueError: It is not JSON of a string or of named strings.
        """
        value = json.loads(stored)
        if isinstance(value, str) or (
            isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        ):
            return cls(value)
        raise ValueError("neither a string nor named string parts")

    def masked(self) -> str | dict[str, str]:
        """Return the mask, followed by the last 4 characters of fields of at least 24."""
        if isinstance(self._value, str):
            return _mask(self._value)
        return {name: _mask(text) for name, text in self._value.items()}


def _mask(text: str) -> str:
    return MASK + (text[-_VISIBLE_SUFFIX:] if len(text) >= _MIN_LENGTH_FOR_SUFFIX else "")
