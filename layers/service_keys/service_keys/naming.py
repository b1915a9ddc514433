"""Names and ids: how a key is called, told apart and found.

An id is ``<service>.<12 characters>``: lower-case Crockford base32 of 41 bits of milliseconds since 2020-01-01 UTC and
19 random bits. Ids of one service therefore sort by age, and an id alone says which item to read.
"""

from __future__ import annotations

import re
import time
import unicodedata
from datetime import UTC, datetime

from service_keys.errors import KeyNotFound

SERVICE_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
SERVICE_MAX_LENGTH = 40
FOLDED_NAME_MAX_BYTES = 1024
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
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PYTHONS_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_DIGITS = 12
RANDOM_BITS = 19
_EPOCH_MS = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000)
_SERVICE = re.compile(SERVICE_PATTERN)
_ID = re.compile(rf"(?P<service>[a-z0-9]+(?:-[a-z0-9]+)*)\.(?P<digits>[{_ALPHABET}]{{{_DIGITS}}})")
ID_PATTERN = f"^{SERVICE_PATTERN[1:-1]}\\.[{_ALPHABET}]{{{_DIGITS}}}$"


def new_id(service: str, *, at_ms: int, random_bits: int) -> str:
    """Make the id of a new key.

    Args:
        service: The key's service.
        at_ms: Now, in milliseconds since the Unix epoch.
        random_bits: 19 random bits.
    """
    number = (at_ms - _EPOCH_MS) << RANDOM_BITS | random_bits
    digits = (_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_DIGITS)))
    return f"{service}.{''.join(digits)}"


def is_service(service: str) -> bool:
    """Tell whether a key can belong to a service of this name."""
    return len(service) <= SERVICE_MAX_LENGTH and _SERVICE.fullmatch(service) is not None


def is_id(key_id: str) -> bool:
    """Return whether a key can have this id."""
    match = _ID.fullmatch(key_id)
    return match is not None and len(match["service"]) <= SERVICE_MAX_LENGTH


def service_of(key_id: str) -> str:
    """Return the service that an id carries.

    Raises:
        KeyNotFound: No key can have this id.
    """
    if not is_id(key_id):
        raise KeyNotFound("There is no API key with this id. List the keys to find the right one.")
    return key_id.partition(".")[0]


def created_ms(key_id: str) -> int:
    """Return when an id was made, in milliseconds since the Unix epoch."""
    number = int(key_id[-_DIGITS:].translate(_PYTHONS_DIGITS), base=32)
    return (number >> RANDOM_BITS) + _EPOCH_MS


def timestamp(at_ms: int) -> str:
    """Write milliseconds since the Unix epoch as ISO 8601 in UTC, with milliseconds and ``Z``."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z"


def fold(name: str) -> str:
    """Return the form in which two names that a person would take for one are equal.

    Compatibility forms, case, characters that are not drawn and runs of white space do not tell names apart. Close to
    Unicode's toNFKC_Casefold (The Unicode Standard, 3.13); repeated, for each step can undo another, until nothing
    changes.
    """
    if name.isascii():
        # The same, in one step: nothing below does more to it.
        return " ".join(name.lower().split())
    folded, before = name, None
    while folded != before:
        before = folded
        folded = unicodedata.normalize("NFD", IGNORABLE.sub("", folded)).casefold()
        folded = " ".join(unicodedata.normalize("NFKC", folded).split())
    return folded


def slug(name: str) -> str:
    """Return the service that a key of this name belongs to by default; empty if its name has no Latin letter."""
    ascii_only = unicodedata.normalize("NFKD", name.lower().translate(_TRANSLITERATIONS))
    ascii_only = ascii_only.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:SERVICE_MAX_LENGTH].rstrip("-")
