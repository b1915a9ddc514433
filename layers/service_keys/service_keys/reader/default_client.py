"""`get_api_key` and its default `ServiceKeys` instance."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager

from service_keys.reader.client import ServiceKeys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from service_keys.api_key import ApiKey

    class KeySource(Protocol):
        """Source of keys for `get_api_key`: a `ServiceKeys`, or a fake in a test."""

        def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
            """Return a key, or raise an error of this package."""
            ...


_default: KeySource | None = None
_default_lock = threading.Lock()


def _reset_lock_after_fork() -> None:
    """Replace the lock in a forked child: a thread of the parent may hold it."""
    global _default_lock  # noqa: PLW0603 - the lock of the default instance
    _default_lock = threading.Lock()


# Windows has no fork and lacks this function.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock_after_fork)


def get_api_key(service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
    """Return the newest active key of a service, or the key with this name; see `ServiceKeys.get`.

    The first call creates one `ServiceKeys` for all calls; SERVICE_KEYS_TABLE sets its table.

    Raises:
        ConfigurationError: SERVICE_KEYS_TABLE is not set.
    """
    return (_default or _get_default()).get(service, name=name, refresh=refresh)


@contextmanager
def override_default(source: KeySource) -> Iterator[None]:
    """Make `get_api_key` use ``source`` inside the block."""
    global _default  # noqa: PLW0603 - as below
    before, _default = _default, source
    try:
        yield
    finally:
        _default = before


def _get_default() -> KeySource:
    global _default  # noqa: PLW0603 - the default instance
    with _default_lock:
        if _default is None:
            _default = ServiceKeys()
        return _default
