"""Timestamps: UTC, ISO 8601 with milliseconds and ``Z``."""

from __future__ import annotations

import re
import time
from datetime import datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MS_PER_DAY: Final = 24 * 60 * 60 * 1000
CLOCK_SKEW_MS: Final = 6 * 60_000
"""Tolerated clock skew of consumers, 6 minutes. AWS rejects requests whose signature time is off by 5 minutes, so a
later usage stamp is false."""

_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{3}Z")


def now_ms() -> int:
    """Return the current time, in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def format_timestamp(at_ms: int) -> str:
    """Format milliseconds since the Unix epoch as ISO 8601 in UTC, with milliseconds and ``Z``."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z"


def milliseconds(timestamp: object) -> int | None:
    """Parse a timestamp of `format_timestamp`; return None for any other value."""
    if not isinstance(timestamp, str) or not _TIMESTAMP.fullmatch(timestamp):
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:  # such as February 30
        return None
    return round(moment.timestamp() * 1000)


def is_past(timestamp: object, *, at_ms: int) -> bool:
    """Return True if a value is a timestamp that is not in the future. Compromised functions may write other values.

    Args:
        timestamp: The value.
        at_ms: The current time, in milliseconds since the Unix epoch.
    """
    moment = milliseconds(timestamp)
    return moment is not None and moment <= at_ms + CLOCK_SKEW_MS
