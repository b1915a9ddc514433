"""Ids of keys and names of services.

An id is ``<service>.<12 characters>``: lower-case Crockford base32 of 41 bits of milliseconds since 2020-01-01 UTC and
19 random bits. Ids of one service therefore sort by creation time, and an id alone locates its item.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from service_keys.errors import KeyNotFoundError

SERVICE_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
SERVICE_MAX_LENGTH = 40
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CROCKFORD_TO_INT_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_ID_LENGTH = 12
RANDOM_BITS = 19
_EPOCH_MS = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000)
_SERVICE = re.compile(SERVICE_PATTERN)
_ID = re.compile(rf"(?P<service>[a-z0-9]+(?:-[a-z0-9]+)*)\.(?P<digits>[{_ALPHABET}]{{{_ID_LENGTH}}})")
ID_PATTERN = f"^{SERVICE_PATTERN[1:-1]}\\.[{_ALPHABET}]{{{_ID_LENGTH}}}$"


def new_id(service: str, *, at_ms: int, random_bits: int) -> str:
    """Create the id of a new key.

    Args:
        service: The key's service.
        at_ms: The current time, in milliseconds since the Unix epoch.
        random_bits: 19 random bits.
    """
    number = (at_ms - _EPOCH_MS) << RANDOM_BITS | random_bits
    digits = (_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_ID_LENGTH)))
    return f"{service}.{''.join(digits)}"


def is_valid_service(service: str) -> bool:
    """Return True if the name is a valid service."""
    return len(service) <= SERVICE_MAX_LENGTH and _SERVICE.fullmatch(service) is not None


def is_id(key_id: str) -> bool:
    """Return True if the string has the form of an id."""
    match = _ID.fullmatch(key_id)
    return match is not None and len(match["service"]) <= SERVICE_MAX_LENGTH


def service_of(key_id: str) -> str:
    """Return the service in an id.

    Raises:
        KeyNotFoundError: The id is malformed.
    """
    if not is_id(key_id):
        raise KeyNotFoundError("There is no API key with this id. List the keys to find the right one.")
    return key_id.partition(".")[0]


def timestamp_ms_of(key_id: str) -> int:
    """Return the creation time in an id, in milliseconds since the Unix epoch."""
    number = int(key_id[-_ID_LENGTH:].translate(_CROCKFORD_TO_INT_DIGITS), base=32)
    return (number >> RANDOM_BITS) + _EPOCH_MS
