"""Rules for field names in error messages: which unknown names are safe to echo, and which valid name to suggest.

The name of a body field, a key's field or a query parameter can be a secret that an administrator pasted in the wrong
place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_LENGTH: Final = 40
_SHORT: Final = 16
_SHORT_NAME: Final = re.compile("[a-z]+(?:[A-Z][a-z]+)*")
"""A camelCase name without digits. No service issues keys of at most 16 such characters."""
_NAME: Final = re.compile("[A-Za-z][A-Za-z0-9_-]*")
_WORD: Final = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NUMBER_MAX_LENGTH: Final = 2
_RESEMBLING: Final = re.compile("[A-Za-z][A-Za-z0-9_ -]{0,19}")
_SIMILARITY: Final = 0.75
_WORDS: Final = frozenset(
    """
    access account api app application auth authority aws azure base basic bot bearer bucket cert certificate client
    code connection consumer cookie customer data database db dd dsn domain email endpoint env environment expires field
    google grant host hook http https id installation instance issuer key kid license login mail merchant method name
    namespace number oauth org organization owner part partner pass passphrase passwd password path pem phone pin
    platform port prefix private project provider pub public publishable realm refresh region role scope scopes secret
    sender server service session shared sid sign signing site slack space store string sub subscription tag team
    tenant test thumbprint token type universe uri url user username value vault verification version webhook
    workspace x 509 zone
    """.split()  # noqa: SIM905 - easier to read than ninety quoted words
)
"""Words in the field names of credentials, such as `auth_provider_x509_cert_url`."""


def is_echoable(name: str) -> bool:
    """Return True if the name cannot be a secret: it is short and without digits, or consists of known words."""
    if len(name) <= _SHORT and _SHORT_NAME.fullmatch(name):
        return True
    if len(name) > _MAX_LENGTH or not _NAME.fullmatch(name):
        return False
    return all(
        word.lower() in _WORDS or (word.isdigit() and len(word) <= _NUMBER_MAX_LENGTH) for word in _WORD.findall(name)
    )


def resembled(name: str, valid: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the valid name that an unknown name resembles, or None.

    Args:
        name: The unknown name. Case, spaces, underscores and hyphens are ignored.
        valid: The valid names, each with its names in comparable APIs.
    """
    if not _RESEMBLING.fullmatch(name):
        return None
    import difflib  # 80 KB of source that valid requests do not need

    plain = _plain(name)
    for each, others in valid.items():
        if plain in {_plain(word) for word in (each, *others)}:
            return each
    close = difflib.get_close_matches(plain, valid, n=1, cutoff=_SIMILARITY)
    return close[0] if close else None


def _plain(name: str) -> str:
    return re.sub("[_ -]", "", name).lower()
