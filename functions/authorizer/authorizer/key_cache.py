"""Cache for verification keys with TTL, stale-if-error and rate-limited refetch."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from authorizer.errors import KeyRevokedError, KeyUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_logger = logging.getLogger("authorizer")


class KeyCache(Generic[T]):
    """Cache of one value. Thread-safe; fetches are single-flight.

    Times are in seconds. Uses the wall clock, because a monotonic clock can stop while an execution environment is
    frozen. A time in the future (the clock was set back) counts as expired.
    """

    def __init__(
        self,
        fetch: Callable[[], T],
        *,
        ttl: float,
        stale_if_error: float,
        min_refetch_interval: float,
        retry_delay: float,
        clock: Callable[[], float],
    ) -> None:
        """Configure the cache. The first `get` causes the first fetch.

        Args:
            fetch: Returns the value; raises ``KeyUnavailableError`` for transient errors, ``KeyRevokedError`` for
                permanent ones, which drop the cached value.
            ttl: The lifetime of a cached value.
            stale_if_error: The maximum age of a value served while fetches fail.
            min_refetch_interval: The minimum time between fetches caused by tokens that the value does not verify, and
                the delay after a failed fetch while a value is cached.
            retry_delay: The delay after a failed fetch while no value is cached.
            clock: Returns the current time in seconds.
        """
        self._fetch = fetch
        self._ttl = ttl
        self._stale_if_error = stale_if_error
        self._min_refetch_interval = min_refetch_interval
        self._retry_delay = retry_delay
        self._clock = clock
        self._lock = threading.Lock()
        self._value: T | None = None
        self._fetched_at = 0.0
        self._last_fetch_failed = False
        self._last_error = KeyUnavailableError("Nothing was fetched yet.")
        self._failed_at = 0.0

    def get(self) -> T:
        """Return the cached value; refetch it if its TTL has passed.

        Raises:
            KeyUnavailableError: The fetch failed and no usable value is cached.
        """
        with self._lock:
            if self._value is None or not self._is_recent(self._ttl, self._fetched_at):
                self._refetch()
            if self._value is None or not self._is_usable():
                raise self._error()
            return self._value

    def refreshed(self) -> T:
        """Return a value at most ``min_refetch_interval`` old; refetch it if necessary.

        For a token that the cached value does not verify: a newer value might verify it.

        Raises:
            KeyUnavailableError: The last fetch failed, so a newer value may exist.
        """
        with self._lock:
            if self._value is None or not self._is_recent(self._min_refetch_interval, self._fetched_at):
                self._refetch()
            if self._value is None or self._last_fetch_failed:
                raise self._error()
            return self._value

    def _refetch(self) -> None:
        """Fetch and set ``_last_fetch_failed``. Do nothing during the delay after a failed fetch."""
        wait = self._min_refetch_interval if self._is_usable() else self._retry_delay
        if self._last_fetch_failed and self._is_recent(wait, self._failed_at):
            return
        try:
            self._value = self._fetch()
        except KeyUnavailableError as error:
            self._last_fetch_failed, self._last_error, self._failed_at = True, _without_traceback(error), self._clock()
            if isinstance(error, KeyRevokedError):
                self._value = None
            elif self._is_usable():
                _logger.warning(
                    "What verifies tokens could not be fetched again. What was fetched %d s ago serves until it is "
                    "%d s old. %s",
                    self._clock() - self._fetched_at,
                    self._stale_if_error,
                    error,
                    extra={"reason": "key_stale"},
                )
        else:
            self._last_fetch_failed, self._fetched_at = False, self._clock()

    def _is_usable(self) -> bool:
        return self._value is not None and self._is_recent(self._stale_if_error, self._fetched_at)

    def _error(self) -> KeyUnavailableError:
        return _without_traceback(self._last_error)

    def _is_recent(self, seconds: float, since: float) -> bool:
        return 0 <= self._clock() - since < seconds


def _without_traceback(error: KeyUnavailableError) -> KeyUnavailableError:
    """Copy the error without its traceback, which would keep the fetch's frames alive."""
    return type(error)(str(error))
