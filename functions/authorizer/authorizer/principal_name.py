"""The readable name of an administrator, for people who read the history of a key. Never decides about access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authorizer.admin_rule import resolve
from authorizer.errors import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_LENGTH = 200


def principal_name(claims: Mapping[str, object], paths: Iterable[tuple[str, ...]]) -> str | None:
    """Return the first claim that is printable text, at most 200 characters of it; None if there is none.

    Other values are skipped: invisible and bidirectional control characters could make one name look like another.

    Args:
        claims: The claims of a verified token.
        paths: The paths of the claims with names, in order of preference.
    """
    for path in paths:
        try:
            value = resolve(claims, path)
        except LookupError:
            continue
        name = value.strip() if isinstance(value, str) else ""
        if name and name.isprintable():
            return bounded(name, _MAX_LENGTH)
    return None
