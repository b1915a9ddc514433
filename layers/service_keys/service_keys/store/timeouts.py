"""Timeouts and the number of attempts of every call of AWS. Apart from the clients, because both kinds use them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Timeouts(tuple[float, float]):
    """Timeouts of a call, in seconds. AWS responds within milliseconds in the same region."""

    __slots__ = ()

    def __new__(cls, connect: float, read: float) -> Timeouts:  # noqa: PYI034 - typing.Self is not imported here
        return super().__new__(cls, (connect, read))

    @property
    def connect(self) -> float:
        """Seconds to connect."""
        return self[0]

    @property
    def read(self) -> float:
        """Seconds to wait for the response."""
        return self[1]


ADMIN_TIMEOUTS: Final = Timeouts(connect=1, read=2)
"""For the admin API. Two attempts including backoff take at most 7 s."""
CONSUMER_TIMEOUTS: Final = Timeouts(connect=0.5, read=1)
"""For consumers and VerifyApiKey. Two attempts including backoff take at most 4 s, and a cold read makes up to three
calls: a consumer needs more than Lambda's default timeout of 3 s (docs/consumers.md, "Attach")."""
MAX_ATTEMPTS: Final = 2
