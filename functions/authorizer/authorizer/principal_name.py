"""The readable name of an administrator, for people who read the history of a key. Never decides about access."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_LENGTH = 200


def principal_name(claims: Mapping[str, object], name_claims: Iterable[str]) -> str | None:
    """Return the first of the claims that the token has as printable text, at most 200 characters; or None."""
    for claim in name_claims:
        value = claims.get(claim)
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value.strip()[:_MAX_LENGTH]
    return None
