"""The readable name of an administrator, for people who read the history of a key. Never decides about access."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from authorizer.admin_rule import resolve
from authorizer.errors import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_LENGTH = 200
_SPACES = "[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_JOINERS = "(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])"


def principal_name(claims: Mapping[str, object], paths: Iterable[tuple[str, ...]]) -> str | None:
    """Return the first claim that is printable text, at most 200 characters of it; None if there is none.

    Other values are skipped: invisible and bidirectional control characters could make one name look like another.
    Typographic spaces become plain ones, and the joiners that scripts and emoji need are allowed.

    Args:
        claims: The claims of a verified token.
        paths: The paths of the claims with names, in order of preference.
    """
    for path in paths:
        try:
            value = resolve(claims, path)
        except LookupError:
            continue
        name = re.sub(_SPACES, " ", value).strip() if isinstance(value, str) else ""
        visible = re.sub(_JOINERS, "", name)
        if visible and visible.isprintable():
            return bounded(name, _MAX_LENGTH)
    return None
