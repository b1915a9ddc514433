"""Holds what verifies tokens, fetched seldom, and bridges outages of where it comes from."""

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
    """One value, and the rules for fetching it again. Threads may share it: they also share one fetch.

    Times are in seconds. The clock is the wall clock: a monotonic one may stand still while an execution environment
    is frozen. What would be from the future, because the clock was set back, counts as old.
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
        """Take the rules; nothing is fetched before it is asked for.

        Args:
            fetch: returns the value, or raises ``KeyUnavailableError``, or ``KeyRevokedError`` where the value must
                not serve any longer.
            ttl: for which a value serves without a look.
            stale_if_error: since its fetch, for which a value serves where no other can be had.
            min_refetch_interval: between two fetches that tokens cause which the value does not verify; and, while
                there is a value, after a fetch that failed.
            retry_delay: after a fetch that failed, while there is none.
            clock: seconds since some moment.
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
        """Return the value, fetched anew where it is older than its lifespan.

        Raises:
            KeyUnavailableError: there is none, and none could be fetched.
        """
        with self._lock:
            if self._value is None or not self._is_recent(self._ttl, self._fetched_at):
                self._refetch()
            if self._value is None or not self._is_usable():
                raise self._error()
            return self._value

    def refreshed(self) -> T:
        """Return the value after a fetch less than the cooldown ago: now, if need be.

        For a token that the current value does not verify: the next one might.

        Raises:
            KeyUnavailableError: that fetch failed, so a newer value may exist.
        """
        with self._lock:
            if self._value is None or not self._is_recent(self._min_refetch_interval, self._fetched_at):
                self._refetch()
            if self._value is None or self._last_fetch_failed:
                raise self._error()
            return self._value

    def _refetch(self) -> None:
        """Fetch, unless that failed a moment ago. Afterwards, ``_last_fetch_failed`` tells whether it did."""
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
    """Return the same error without the variables of the fetch, which one that is kept would keep too."""
    return type(error)(str(error))
