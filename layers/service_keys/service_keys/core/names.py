"""Names of keys: normalization for uniqueness checks, and the default service."""

from __future__ import annotations

import re
import unicodedata

from service_keys.core.ids import SERVICE_MAX_LENGTH

NORMALIZED_NAME_MAX_BYTES = 1024
"""DynamoDB's limit on a sort key, which a folded name is."""

IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point (Unicode's DerivedCoreProperties.txt)."""
_TRANSLITERATIONS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "™": "", "℠": ""}
)
"""Letters that Unicode does not decompose, and marks whose decomposition ("TM") is not part of a name."""


def normalize_name(name: str) -> str:
    """Return the form in which two names that a person would take for one are equal.

    Compatibility forms, case, characters that are not drawn and runs of white space do not tell names apart. Close to
    Unicode's toNFKC_Casefold (The Unicode Standard, 3.13); repeated, for each step can undo another, until nothing
    changes.
    """
    if name.isascii():
        # The same, in one step: nothing below does more to it.
        return " ".join(name.lower().split())
    normalized, before = name, None
    while normalized != before:
        before = normalized
        normalized = unicodedata.normalize("NFD", IGNORABLE.sub("", normalized)).casefold()
        normalized = " ".join(unicodedata.normalize("NFKC", normalized).split())
    return normalized


def slug(name: str) -> str:
    """Return the service that a key of this name belongs to by default; empty if its name has no Latin letter."""
    ascii_only = unicodedata.normalize("NFKD", name.lower().translate(_TRANSLITERATIONS))
    ascii_only = ascii_only.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:SERVICE_MAX_LENGTH].rstrip("-")
