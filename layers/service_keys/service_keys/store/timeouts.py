"""Timeouts and the number of attempts of every call of AWS. Apart from the clients, because both kinds use them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Timeouts:
    """Timeouts of a call, in seconds. AWS responds within milliseconds in the same region."""

    __slots__ = ("connect", "read")

    def __init__(self, connect: float, read: float) -> None:
        self.connect = connect
        self.read = read


ADMIN_TIMEOUTS: Final = Timeouts(connect=1, read=2)
"""For the admin API. Two attempts including backoff take at most 7 s."""
CONSUMER_TIMEOUTS: Final = Timeouts(connect=0.5, read=1)
"""For consumers and VerifyApiKey. Two attempts including backoff take at most 4 s, and a cold read makes up to three
calls: a consumer needs more than Lambda's default timeout of 3 s (docs/consumers.md, "Attach")."""
MAX_ATTEMPTS: Final = 2
