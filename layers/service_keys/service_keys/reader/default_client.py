"""`get_api_key` and the `ServiceKeys` instance that it shares between callers."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from service_keys.reader.client import ServiceKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service_keys.api_key import ApiKey


class KeySource(Protocol):
    """Where `get_api_key` gets keys from: a `ServiceKeys`, or what stands in its place in a test."""

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
        """Return a key, or raise an error of this package."""
        ...


_default: KeySource | None = None
_default_lock = threading.Lock()


def _reset_lock_after_fork() -> None:
    """Replace the lock in a forked child: a thread that only the parent has may hold it."""
    global _default_lock  # noqa: PLW0603 - the lock of the one instance
    _default_lock = threading.Lock()


# Windows has no fork, and neither this function.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock_after_fork)


def get_api_key(service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
    """Return the newest active key of a service, or the one with this name; see `ServiceKeys.get`.

    One `ServiceKeys` serves every call. It is made at the first one, for the table that SERVICE_KEYS_TABLE names.

    Raises:
        ConfigurationError: SERVICE_KEYS_TABLE is not set.
    """
    return (_default or _get_default()).get(service, name=name, refresh=refresh)


@contextmanager
def override_default(source: KeySource) -> Iterator[None]:
    """Let `get_api_key` ask ``source`` until the block ends."""
    global _default  # noqa: PLW0603 - as below
    before, _default = _default, source
    try:
        yield
    finally:
        _default = before


def _get_default() -> KeySource:
    global _default  # noqa: PLW0603 - the one instance, as documented
    with _default_lock:
        if _default is None:
            _default = ServiceKeys()
        return _default
