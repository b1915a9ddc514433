"""The cached read path: fast while all is well, right when an administrator acts, calm when AWS is not.

| what is held    | serves                                                                     |
| --------------- | -------------------------------------------------------------------------- |
| a look          | for `FRESH_SECONDS`; in an outage until `STALE_SECONDS` after it began     |
| a plaintext     | for `PLAINTEXT_SECONDS`, as long as its ciphertext is the one in the table |
| a refusal       | for `PAUSE_SECONDS`, so that a function in a loop costs nothing            |

In an outage the last look goes on deciding which key is served: nothing that it showed to be disabled, deleted or
renamed comes back. Times are the wall clock's: a frozen execution environment must notice what passed.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from service_keys import aws, encryption, naming, settings, usage
from service_keys.api_key import ApiKey
from service_keys.errors import (
    KeyAccessDenied,
    KeyCorrupted,
    KeyDisabled,
    KeyNotFound,
    KeyStoreUnavailable,
    ServiceKeysError,
)
from service_keys.models import DamagedKey, ReadableKey
from service_keys.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient

    from service_keys.material import KeyMaterial

FRESH_SECONDS: Final = 60
PLAINTEXT_SECONDS: Final = 60 * 60
STALE_SECONDS: Final = 15 * 60
PAUSE_SECONDS: Final = 5
"""Between two looks that callers ask for, before a refusal is looked into again, and after a look that failed."""
LONGEST_PAUSE_SECONDS: Final = 30
"""What the pause grows to while looks go on failing: each waits for timeouts, and AWS is busy enough."""

_SERVICES_HELD = 64
_REFUSALS = (KeyNotFound, KeyDisabled, KeyAccessDenied, KeyCorrupted, KeyStoreUnavailable)
_logger = logging.getLogger(__name__)

_Slot = str | tuple[str, str]
"""What a caller asks for: a service, or a service and a name. Times below are seconds since the Unix epoch."""


class _Answer(NamedTuple):
    """A key, and when it is served without another thought."""

    since: float
    until: float
    key: ApiKey


class _Look(NamedTuple):
    """A service's keys as the table had them, newest first, and when that look began."""

    keys: tuple[ReadableKey | DamagedKey, ...]
    at: float


class _Plaintext(NamedTuple):
    """What a ciphertext decrypted to, when, and when that ciphertext was last seen in the table."""

    ciphertext: bytes
    material: KeyMaterial
    decrypted_at: float
    seen_at: float


class _Refusal(NamedTuple):
    """Why there is no key, and when that was found. Not the exception: its traceback would keep callers' frames."""

    error: type[ServiceKeysError]
    words: str
    at: float


@dataclass(slots=True)
class _Service:
    """What is known of one service's keys. The one thread that looks holds the lock; the others wait for it."""

    # Reentrant: a signal handler, or a log handler that botocore calls, may read a key too.
    lock: threading.RLock = field(default_factory=threading.RLock)
    look: _Look | None = None
    tried_at: float = -math.inf
    """When the last look began, whatever came of it."""
    failures: int = 0
    """How many times AWS has been out of reach in a row."""
    used: set[str] = field(default_factory=set)
    """Ids of the keys that were used since the last look."""
    plaintexts: dict[str, _Plaintext] = field(default_factory=dict)
    """By id, of active keys alone."""
    slots: set[_Slot] = field(default_factory=set)
    """What was answered since the last look."""
    refusals: dict[_Slot, _Refusal] = field(default_factory=dict)


class ServiceKeys:
    """Reads keys, for any number of threads.

    Args:
        table_name: The table; without it, the environment variable SERVICE_KEYS_TABLE names it.
        dynamodb_client: A botocore or boto3 client; without it, one is made whose timeouts suit a Lambda function.
        kms_client: Likewise.
        clock: Seconds since the Unix epoch.

    Raises:
        ConfigurationError: No table is named.
    """

    def __init__(
        self,
        table_name: str | None = None,
        *,
        dynamodb_client: DynamoDBClient | None = None,
        kms_client: KMSClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        name = table_name or settings.table_name()
        if dynamodb_client is None and kms_client is None:
            dynamodb_client, kms_client = aws.clients("dynamodb", "kms", patience=aws.READER_PATIENCE)
        self._table = Table(dynamodb_client or aws.client("dynamodb", aws.READER_PATIENCE), name)
        self._kms: KMSClient = kms_client or aws.client("kms", aws.READER_PATIENCE)
        self._clock = clock
        self._answers: dict[_Slot, _Answer] = {}
        self._services: dict[str, _Service] = {}

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
        """Return the newest active key of a service, or the one with this name.

        Args:
            service: As a key shows it, such as ``spotify``.
            name: The key's name, in any case.
            refresh: Look into the table again, at most every 5 seconds. For when the service answers 401.

        Raises:
            KeyNotFound: The service has no key, or none of this name.
            KeyDisabled: The key, or every key of the service, is disabled.
            KeyAccessDenied: This function may not read the key.
            KeyCorrupted: The key is damaged.
            KeyStoreUnavailable: AWS is out of reach, and no key was read in the last 15 minutes.
        """
        answer = self._answers.get(service if name is None else (service, name))
        if answer is not None and answer.since <= self._clock() < answer.until and not refresh:
            return answer.key
        if not naming.is_service(service):
            raise KeyNotFound(f"No key can have the service {service!r}. Services are lower-case, such as spotify.")
        return self._look_up(service, name, refresh=refresh)

    def _look_up(self, service: str, name: str | None, *, refresh: bool) -> ApiKey:
        slot: _Slot = service if name is None else (service, name)
        known = self._known(service)
        # What is logged and stamped waits until the lock is free: it takes time, and a log handler may read keys.
        afterwards: list[Callable[[], None]] = []
        try:
            with known.lock:
                now = self._clock()
                refresh = refresh and not _within(PAUSE_SECONDS, known.tried_at, now)
                answer = self._answers.get(slot)
                if answer is not None and answer.since <= now < answer.until and not refresh:
                    return answer.key
                refusal = known.refusals.get(slot)
                if refusal is not None and _within(PAUSE_SECONDS, refusal.at, now):
                    raise refusal.error(refusal.words)
                try:
                    answer = self._answer(known, service, name, refresh=refresh, afterwards=afterwards)
                except _REFUSALS as error:
                    self._answers.pop(slot, None)
                    known.refusals[slot] = _Refusal(type(error), str(error), self._clock())
                    afterwards.append(functools.partial(_report, service, error))
                    raise
                self._answers[slot] = answer
                known.slots.add(slot)
                return answer.key
        finally:
            for act in afterwards:
                act()

    def _known(self, service: str) -> _Service:
        known = self._services.get(service)
        if known is None:
            if len(self._services) >= _SERVICES_HELD:
                # Names that nobody has a key of must not fill the memory.
                for other, held in list(self._services.items()):
                    if not (held.look and held.look.keys) and not _within(PAUSE_SECONDS, held.tried_at, self._clock()):
                        self._services.pop(other, None)
            known = self._services.setdefault(service, _Service())
        return known

    def _answer(
        self, known: _Service, service: str, name: str | None, *, refresh: bool, afterwards: list[Callable[[], None]]
    ) -> _Answer:
        """Find the key: in the last look as far as that will do."""
        now = self._clock()
        look, fresh = known.look, known.look is not None and _within(FRESH_SECONDS, known.look.at, now)
        if look is None or not fresh or refresh:
            look = self._look(known, service, afterwards)
        try:
            asked = _asked(look, service, name)
        except (KeyNotFound, KeyDisabled):
            if _within(PAUSE_SECONDS, known.tried_at, now):
                raise
            # An administrator may have mended it since.
            look = self._look(known, service, afterwards)
            asked = _asked(look, service, name)
        key, plaintext, bridged = self._plaintext(known, asked, look, afterwards)
        now = self._clock()
        if look.at == known.tried_at and key.id not in known.used:
            known.used.add(key.id)
            afterwards.append(functools.partial(usage.stamp_if_due, self._table, key, at=now))
        until = look.at + FRESH_SECONDS
        if look.at != known.tried_at:
            # The last look failed: this one serves until the next try, but never past the limit.
            until = min(now + _pause(known), look.at + STALE_SECONDS)
        if bridged:
            until = min(until, now + _pause(known), plaintext.seen_at + STALE_SECONDS)
        api_key = ApiKey(plaintext.material, id=key.id, name=key.name, service=service, version=key.version)
        return _Answer(min(look.at, now), until, api_key)

    def _look(self, known: _Service, service: str, afterwards: list[Callable[[], None]]) -> _Look:
        """Read the service's keys from the table; in an outage, return what the last look found.

        Raises:
            KeyAccessDenied: This function may not read them; nothing is held any longer.
            KeyStoreUnavailable: AWS is out of reach, and the last look is too old.
        """
        began = known.tried_at = self._clock()
        try:
            keys = self._table.readable(service)
        except KeyAccessDenied:
            known.look = None
            self._forget(known, set())
            raise
        except KeyStoreUnavailable as error:
            known.failures += 1
            now, look = self._clock(), known.look
            if look is None or not _within(STALE_SECONDS, look.at, now):
                raise KeyStoreUnavailable(_too_old(error)) from error
            afterwards.append(functools.partial(_warn, service, now - look.at, error))
            return look
        known.failures = 0
        # In one step: whatever interrupts this thread, what the look showed to have ended is not served again.
        known.look = look = _Look(keys, began)
        known.used.clear()
        known.refusals.clear()
        self._forget(known, {key.id for key in keys if key.active})
        return look

    def _forget(self, known: _Service, but: set[str]) -> None:
        """Choose anew, and hold the plaintexts of these keys alone."""
        for slot in known.slots:
            self._answers.pop(slot, None)
        known.slots = set()
        known.plaintexts = {key_id: held for key_id, held in known.plaintexts.items() if key_id in but}

    def _plaintext(
        self, known: _Service, asked: list[ReadableKey], look: _Look, afterwards: list[Callable[[], None]]
    ) -> tuple[ReadableKey, _Plaintext, bool]:
        """Return the first key's plaintext; while KMS is out of reach, what last held of these keys."""
        key = asked[0]
        now = self._clock()
        held = known.plaintexts.get(key.id)
        if held and held.ciphertext == key.ciphertext and _within(PLAINTEXT_SECONDS, held.decrypted_at, now):
            known.plaintexts[key.id] = held = held._replace(seen_at=look.at)
            return key, held, False
        try:
            material = encryption.decrypt(self._kms, key.ciphertext, key_id=key.id)
        except (KeyAccessDenied, KeyCorrupted):
            self._forget(known, known.plaintexts.keys() - {key.id})
            raise
        except KeyStoreUnavailable as error:
            known.failures += 1
            now = self._clock()
            for candidate in asked:
                held = known.plaintexts.get(candidate.id)
                if held and _within(STALE_SECONDS, held.seen_at, now):
                    afterwards.append(functools.partial(_warn, candidate.id, now - held.seen_at, error))
                    return candidate, held, True
            raise KeyStoreUnavailable(_too_old(error)) from error
        known.failures = 0
        known.plaintexts[key.id] = made = _Plaintext(key.ciphertext, material, now, look.at)
        return key, made, False


def _asked(look: _Look, service: str, name: str | None) -> list[ReadableKey]:
    """Return the active keys, of this name if one is given, newest first.

    Raises:
        KeyCorrupted: The newest of them is damaged.
        KeyDisabled: There are keys, but none is active.
        KeyNotFound: There are none.
    """
    folded = None if name is None else naming.fold(name)
    named = [key for key in look.keys if folded is None or (key.name is not None and naming.fold(key.name) == folded)]
    active: list[ReadableKey] = []
    for key in named:
        if isinstance(key, ReadableKey) and key.active:
            active.append(key)
        elif isinstance(key, DamagedKey) and not active:
            raise KeyCorrupted(f"The item of {key.id} is damaged. Delete the key and store it again.")
    if active:
        return active
    which = f"the service {service!r}" + ("" if name is None else f" with the name {name!r}")
    if named:
        raise KeyDisabled(f"Every key of {which} is disabled. An administrator can enable one, or store another.")
    raise KeyNotFound(f"There is no key of {which}. An administrator can store one.")


# Operators count these lines by how they begin: docs/consumers.md.
def _warn(what: str, age: float, error: KeyStoreUnavailable) -> None:
    _logger.warning("Service Keys: served stale: %s as it was %d s ago. %s", what, age, error)


def _report(service: str, error: ServiceKeysError) -> None:
    match error:
        case KeyStoreUnavailable():
            _logger.error("Service Keys: out of reach: no key of %s to serve. %s", service, error)
        case KeyAccessDenied():
            _logger.error("Service Keys: access denied: no key of %s to serve. %s", service, error)


def _too_old(error: KeyStoreUnavailable) -> str:
    return f"There is nothing from the last {STALE_SECONDS // 60} minutes to go on with: {error}"


def _pause(known: _Service) -> float:
    """Return how many seconds pass before the next try, after so many that failed in a row."""
    return float(min(PAUSE_SECONDS * 2 ** max(known.failures - 1, 0), LONGEST_PAUSE_SECONDS))


def _within(seconds: float, since: float, now: float) -> bool:
    """Tell whether so much time has not passed yet; it has where the clock was set back."""
    return 0 <= now - since < seconds


class Source(Protocol):
    """Where `get_api_key` gets keys from: a `ServiceKeys`, or what stands in its place in a test."""

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
        """Return a key, or raise an error of this package."""
        ...


_shared: Source | None = None
_shared_lock = threading.Lock()


def get_api_key(service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
    """Return the newest active key of a service, or the one with this name; see `ServiceKeys.get`.

    One `ServiceKeys` serves every call. It is made at the first one, for the table that SERVICE_KEYS_TABLE names.

    Raises:
        ConfigurationError: SERVICE_KEYS_TABLE is not set.
    """
    return (_shared or _make_shared()).get(service, name=name, refresh=refresh)


@contextmanager
def shared_by(source: Source) -> Iterator[None]:
    """Let `get_api_key` ask ``source`` until the block ends."""
    global _shared  # noqa: PLW0603 - as below
    before, _shared = _shared, source
    try:
        yield
    finally:
        _shared = before


def _forget_shared() -> None:
    """Let a forked child make its own: the parent's locks may be held, and its connections are the parent's."""
    global _shared, _shared_lock
    _shared, _shared_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_shared)


def _make_shared() -> Source:
    global _shared  # noqa: PLW0603 - the one instance, as documented
    with _shared_lock:
        if _shared is None:
            _shared = ServiceKeys()
        return _shared
