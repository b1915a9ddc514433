"""Cache entries and their lifetimes.

| entry        | lifetime                                                                       |
| ------------ | ------------------------------------------------------------------------------ |
| snapshot     | `SNAPSHOT_TTL_SECONDS`; while AWS fails, `STALE_IF_ERROR_SECONDS` from its start |
| plaintext    | `PLAINTEXT_TTL_SECONDS`, while the snapshot holds its ciphertext; while KMS fails, see `Plaintext` |
| cached error | `NEGATIVE_TTL_SECONDS`                                                         |

Times are seconds since the Unix epoch, from the wall clock: a frozen execution environment must notice elapsed time.
"""

from __future__ import annotations

import math
import threading

from service_keys.core import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from service_keys.api_key import ApiKey
    from service_keys.core.consumer_models import EncryptedKey, MalformedItem
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
"""A service, or a service and a key's name."""


class CachedKey:
    """A cached key and the interval in which it is valid."""

    __slots__ = ("key", "valid_from", "valid_until")

    def __init__(self, valid_from: float, valid_until: float, key: ApiKey) -> None:
        self.valid_from = valid_from
        self.valid_until = valid_until
        self.key = key


class Snapshot:
    """The keys of a service, newest first, and the start time of the refresh that read them."""

    __slots__ = ("keys", "read_at")

    def __init__(self, keys: tuple[EncryptedKey | MalformedItem, ...], read_at: float) -> None:
        self.keys = keys
        self.read_at = read_at


class Plaintext:
    """A decrypted secret value.

    Attributes:
        ciphertext: The ciphertext that was decrypted. A snapshot with another one requires a new decryption.
        secret_value: The result.
        decrypted_at: Time of the call to KMS. The entry is fresh for `PLAINTEXT_TTL_SECONDS` from it.
        confirmed_at: `Snapshot.read_at` of the last snapshot with this ciphertext that was used while the entry was
            fresh. While KMS has a transient error, the entry is served stale for `STALE_IF_ERROR_SECONDS` from it.
    """

    __slots__ = ("ciphertext", "confirmed_at", "decrypted_at", "secret_value")

    def __init__(self, ciphertext: bytes, secret_value: SecretValue, decrypted_at: float, confirmed_at: float) -> None:
        self.ciphertext = ciphertext
        self.secret_value = secret_value
        self.decrypted_at = decrypted_at
        self.confirmed_at = confirmed_at

    def confirmed(self, at: float) -> Plaintext:
        """Return a copy with another `confirmed_at`."""
        return Plaintext(self.ciphertext, self.secret_value, self.decrypted_at, at)


class CachedError:
    """A cached error: type and message, without the exception, whose traceback would keep callers' frames alive."""

    __slots__ = ("cached_at", "error_type", "message")

    def __init__(self, error_type: type[ServiceKeysError], message: str, cached_at: float) -> None:
        self.error_type = error_type
        self.message = message
        self.cached_at = cached_at


class ServiceState:
    """Cache state of one service. The lock makes refreshes single-flight."""

    __slots__ = (
        "cached_errors",
        "cached_keys",
        "failures",
        "last_attempt_at",
        "lock",
        "plaintexts",
        "snapshot",
        "stamped_ids",
        "users",
    )

    def __init__(self) -> None:
        # Reentrant, because a signal handler or a log handler that botocore calls may also read a key.
        self.lock = threading.RLock()
        self.snapshot: Snapshot | None = None
        self.last_attempt_at = -math.inf
        """Start time of the last refresh, successful or not."""
        self.failures = 0
        """Number of consecutive transient errors."""
        self.stamped_ids: set[str] = set()
        """Ids of the keys used since the last refresh."""
        self.plaintexts: dict[str, Plaintext] = {}
        """Plaintexts of active keys, by id."""
        self.cached_keys: set[CacheKey] = set()
        """Cache keys of the entries stored since the last refresh."""
        self.cached_errors: dict[CacheKey, CachedError] = {}
        self.users = 0
        """Number of threads that use this state; guarded by the lock of the `ServiceKeys`."""

    def for_child(self) -> ServiceState:
        """Return a copy with a new lock for a forked child, in which no thread would release the old one."""
        state = ServiceState()
        state.snapshot = self.snapshot
        state.last_attempt_at = self.last_attempt_at
        state.failures = self.failures
        state.stamped_ids = set(self.stamped_ids)
        state.plaintexts = dict(self.plaintexts)
        return state


def backoff_seconds(state: ServiceState) -> float:
    """Return the backoff in seconds after `ServiceState.failures` failed refreshes."""
    return float(min(INITIAL_BACKOFF_SECONDS * 2 ** max(state.failures - 1, 0), MAX_BACKOFF_SECONDS))


def is_recent(seconds: float, since: float, now: float) -> bool:
    """Return True if ``since`` is less than ``seconds`` ago. False if the clock went backwards."""
    return 0 <= now - since < seconds
