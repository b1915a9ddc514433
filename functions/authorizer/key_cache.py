"""Holds what verifies tokens, fetched seldom, and bridges outages of where it comes from."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from authorizer_errors import KeyUnavailableError, KeyWithdrawnError

if TYPE_CHECKING:
    from collections.abc import Callable

Held = TypeVar("Held")

_logger = logging.getLogger("authorizer")


class KeyCache(Generic[Held]):
    """One value, and the rules for fetching it again. Threads may share it: they also share one fetch.

    Times are in seconds. The clock is the wall clock: a monotonic one may stand still while an execution environment
    is frozen. What would be from the future, because the clock was set back, counts as old.
    """

    def __init__(
        self,
        fetch: Callable[[], Held],
        *,
        lifespan: float,
        bridge: float,
        cooldown: float,
        pause: float,
        clock: Callable[[], float],
    ) -> None:
        """Take the rules; nothing is fetched before it is asked for.

        Args:
            fetch: returns the value, or raises ``KeyUnavailableError``, or ``KeyWithdrawnError`` where the value must
                not serve any longer.
            lifespan: for which a value serves without a look.
            bridge: since its fetch, for which a value serves where no other can be had.
            cooldown: between two fetches that tokens cause which the value does not verify; and, while there is a
                value, after a fetch that failed.
            pause: after a fetch that failed, while there is none.
            clock: seconds since some moment.
        """
        self._fetch = fetch
        self._lifespan = lifespan
        self._bridge = bridge
        self._cooldown = cooldown
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._fetched_at = 0.0
        self._failing = False
        self._failure = KeyUnavailableError("Nothing was fetched yet.")
        self._failed_at = 0.0

    def current(self) -> Held:
        """Return the value, fetched anew where it is older than its lifespan.

        Raises:
            KeyUnavailableError: there is none, and none could be fetched.
        """
        with self._lock:
            if self._held is None or not self._passed_less_than(self._lifespan, self._fetched_at):
                self._try()
            if self._held is None or not self._serves():
                raise self._reason()
            return self._held

    def newest(self) -> Held:
        """Return the value after a fetch less than the cooldown ago: now, if need be.

        For a token that the current value does not verify: the next one might.

        Raises:
            KeyUnavailableError: that fetch failed, so a newer value may exist.
        """
        with self._lock:
            if self._held is None or not self._passed_less_than(self._cooldown, self._fetched_at):
                self._try()
            if self._held is None or self._failing:
                raise self._reason()
            return self._held

    def _try(self) -> None:
        """Fetch, unless that failed a moment ago. Afterwards, ``_failing`` tells whether it did."""
        wait = self._cooldown if self._serves() else self._pause
        if self._failing and self._passed_less_than(wait, self._failed_at):
            return
        try:
            self._held = self._fetch()
        except KeyUnavailableError as error:
            self._failing, self._failure, self._failed_at = True, _without_traceback(error), self._clock()
            if isinstance(error, KeyWithdrawnError):
                self._held = None
            elif self._serves():
                _logger.warning(
                    "What verifies tokens could not be fetched again. What was fetched %d s ago serves until it is "
                    "%d s old. %s",
                    self._clock() - self._fetched_at,
                    self._bridge,
                    error,
                    extra={"reason": "key_stale"},
                )
        else:
            self._failing, self._fetched_at = False, self._clock()

    def _serves(self) -> bool:
        return self._held is not None and self._passed_less_than(self._bridge, self._fetched_at)

    def _reason(self) -> KeyUnavailableError:
        return _without_traceback(self._failure)

    def _passed_less_than(self, seconds: float, since: float) -> bool:
        return 0 <= self._clock() - since < seconds


def _without_traceback(error: KeyUnavailableError) -> KeyUnavailableError:
    """Return the same error without the variables of the fetch, which one that is kept would keep too."""
    return type(error)(str(error))
