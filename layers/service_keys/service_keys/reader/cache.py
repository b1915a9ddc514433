"""The cache's entries and their lifetimes.

| entry        | lifetime                                                                       |
| ------------ | ------------------------------------------------------------------------------ |
| snapshot     | `SNAPSHOT_TTL_SECONDS`; while AWS fails, `STALE_IF_ERROR_SECONDS` from its start |
| plaintext    | `PLAINTEXT_TTL_SECONDS`, while the snapshot holds its ciphertext               |
| cached error | `NEGATIVE_TTL_SECONDS`                                                         |

Times are seconds since the Unix epoch, from the wall clock: a frozen execution environment must notice elapsed time.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from service_keys.core import settings

if TYPE_CHECKING:
    from service_keys.api_key import ApiKey
    from service_keys.core.models import EncryptedKey, MalformedItem
    from service_keys.core.secret_value import SecretValue
    from service_keys.errors import ServiceKeysError

SNAPSHOT_TTL_SECONDS: Final = settings.CONSUMER_CACHE_TTL_SECONDS
PLAINTEXT_TTL_SECONDS: Final = 60 * 60
STALE_IF_ERROR_SECONDS: Final = 15 * 60
MIN_REFRESH_INTERVAL_SECONDS: Final = 5
"""Minimum interval between refreshes that callers force."""
NEGATIVE_TTL_SECONDS: Final = 5
"""Lifetime of a cached error."""
INITIAL_BACKOFF_SECONDS: Final = 5
"""Backoff after the first failed refresh; it doubles with every further failure."""
MAX_BACKOFF_SECONDS: Final = 30
"""Upper bound of the exponential backoff."""
CacheKey = str | tuple[str, str]
"""What a caller asks for: a service, or a service and a name. Times below are seconds since the Unix epoch."""


class CachedKey(NamedTuple):
    """A key, and when it is served without another thought."""

    valid_from: float
    valid_until: float
    key: ApiKey


class Snapshot(NamedTuple):
    """A service's keys as the table had them, newest first, and when that look began."""

    keys: tuple[EncryptedKey | MalformedItem, ...]
    read_at: float


class Plaintext(NamedTuple):
    """What a ciphertext decrypted to, when, and when that ciphertext was last seen in the table."""

    ciphertext: bytes
    secret_value: SecretValue
    decrypted_at: float
    confirmed_at: float


class CachedError(NamedTuple):
    """Why there is no key, and when that was found. Not the exception: its traceback would keep callers' frames."""

    error_type: type[ServiceKeysError]
    message: str
    cached_at: float


@dataclass(slots=True)
class ServiceState:
    """What is known of one service's keys. The one thread that looks holds the lock; the others wait for it."""

    # Reentrant: a signal handler, or a log handler that botocore calls, may read a key too.
    lock: threading.RLock = field(default_factory=threading.RLock)
    snapshot: Snapshot | None = None
    last_attempt_at: float = -math.inf
    """When the last look began, whatever came of it."""
    failures: int = 0
    """How many times AWS has been out of reach in a row."""
    stamped_ids: set[str] = field(default_factory=set)
    """Ids of the keys that were used since the last look."""
    plaintexts: dict[str, Plaintext] = field(default_factory=dict)
    """By id, of active keys alone."""
    cached_keys: set[CacheKey] = field(default_factory=set)
    """What was answered since the last look."""
    cached_errors: dict[CacheKey, CachedError] = field(default_factory=dict)
    users: int = 0
    """How many threads are at work on this service; guarded by the lock of the `ServiceKeys`."""

    def for_child(self) -> ServiceState:
        """Return a copy for a forked child: with a lock of its own, for the parent's threads are not there."""
        return ServiceState(
            snapshot=self.snapshot,
            last_attempt_at=self.last_attempt_at,
            failures=self.failures,
            stamped_ids=set(self.stamped_ids),
            plaintexts=dict(self.plaintexts),
        )


def backoff_seconds(state: ServiceState) -> float:
    """Return how many seconds pass before the next try, after so many that failed in a row."""
    return float(min(INITIAL_BACKOFF_SECONDS * 2 ** max(state.failures - 1, 0), MAX_BACKOFF_SECONDS))


def is_recent(seconds: float, since: float, now: float) -> bool:
    """Tell whether so much time has not passed yet; it has where the clock was set back."""
    return 0 <= now - since < seconds
