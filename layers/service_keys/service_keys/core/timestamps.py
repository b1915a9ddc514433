"""Timestamps: UTC, ISO 8601 with milliseconds and ``Z``."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the current time, in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def format_timestamp(at_ms: int) -> str:
    """Format milliseconds since the Unix epoch as ISO 8601 in UTC, with milliseconds and ``Z``."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z"
