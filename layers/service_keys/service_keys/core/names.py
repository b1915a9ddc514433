"""Names of keys: normalization for uniqueness checks, and the default service."""

from __future__ import annotations

import re

from service_keys.core.ids import SERVICE_MAX_LENGTH

NORMALIZED_NAME_MAX_BYTES = 1024
"""DynamoDB's limit on a sort key, in which the normalized name is stored."""

IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point (Unicode's DerivedCoreProperties.txt)."""
_TRANSLITERATIONS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "™": "", "℠": ""}
)
"""Letters without a Unicode decomposition, and marks whose decomposition ("TM") is not part of a name."""


def normalize_name(name: str) -> str:
    """Normalize a name for uniqueness checks, close to toNFKC_Casefold (The Unicode Standard, 3.13).

    Ignores compatibility forms, case, invisible characters and repeated white space. Repeats the steps until the
    result is stable, because one step can undo another.
    """
    if name.isascii():
        # Fast path with the same result.
        return " ".join(name.lower().split())
    # Imported late: few names need it.
    import unicodedata

    normalized, before = name, None
    while normalized != before:
        before = normalized
        normalized = unicodedata.normalize("NFD", IGNORABLE.sub("", normalized)).casefold()
        normalized = " ".join(unicodedata.normalize("NFKC", normalized).split())
    return normalized


def slug(name: str) -> str:
    """Derive the default service from a key name; empty if the name has no Latin letter or digit."""
    import unicodedata

    ascii_only = unicodedata.normalize("NFKD", name.lower().translate(_TRANSLITERATIONS))
    ascii_only = ascii_only.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:SERVICE_MAX_LENGTH].rstrip("-")
