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
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from service_keys import aws, encryption, naming, settings, usage
from service_keys.api_key import ApiKey
from service_keys.errors import (
    ConfigurationError,
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
    from collections.abc import Set as AbstractSet

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

_SERVICES_WITHOUT_KEYS = 64
"""How many services without a key are held at most: each takes about 1 KB, and saves a Query for 5 seconds."""
_NAMES_HELD = 256
"""How many answers by name are held of one service, and how many errors."""
_NAME_LENGTH = 400
"""No key has a longer name: 100 characters, of which each may be written as several, and white space around them."""
_SHOWN_LENGTH = 100
"""How much of an argument an error message shows."""
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
    users: int = 0
    """How many threads are at work on this service; guarded by the lock of the `ServiceKeys`."""

    def for_child(self) -> _Service:
        """Return a copy for a forked child: with a lock of its own, for the parent's threads are not there."""
        return _Service(
            look=self.look,
            tried_at=self.tried_at,
            failures=self.failures,
            used=set(self.used),
            plaintexts=dict(self.plaintexts),
        )


class ServiceKeys:
    """Reads keys, for any number of threads, and in forked child processes.

    Args:
        table_name: The table; without it, the environment variable SERVICE_KEYS_TABLE names it.
        dynamodb_client: A botocore or boto3 client; without it, one is made whose timeouts suit a Lambda function. In a
            forked child its idle connections are closed, for they are the parent's.
        kms_client: Likewise.
        clock: Seconds since the Unix epoch.

    Raises:
        ConfigurationError: No table is named, or the clients cannot be created from the environment.
        KeyStoreUnavailable: The source of this function's AWS credentials is out of reach.
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
        if not isinstance(name, str):
            raise ConfigurationError(f"The name of the table must be a string, not {type(name).__name__}.")
        self._table_name = name
        self._given = (dynamodb_client, kms_client)
        self._clock = clock
        # Reentrant, as the locks of the services.
        self._lock = threading.RLock()
        # Two, so that no argument is taken for another one: a tuple is no service.
        self._answers: dict[str, _Answer] = {}
        self._named: dict[tuple[str, str], _Answer] = {}
        self._services: dict[str, _Service] = {}
        self._evict_at = _SERVICES_WITHOUT_KEYS
        self._clients: tuple[Table, KMSClient] | None = self._make_clients()
        _instances.add(self)

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
        try:
            answer = self._answers.get(service) if name is None else self._named.get((service, name))
        except TypeError:
            # Not hashable, so neither is a service or a name.
            answer = None
        if answer is not None and answer.since <= self._clock() < answer.until and not refresh:
            return answer.key
        check_arguments(service, name)
        return self._look_up(service, name, refresh=refresh)

    def _look_up(self, service: str, name: str | None, *, refresh: bool) -> ApiKey:
        known = self._enter(service)
        # What is logged and stamped waits until the lock is free: it takes time, and a log handler may read keys.
        afterwards: list[Callable[[], None]] = []
        try:
            with known.lock:
                return self._get(known, service, name, refresh=refresh, afterwards=afterwards)
        finally:
            self._leave(known)
            for act in afterwards:
                act()

    def _get(
        self, known: _Service, service: str, name: str | None, *, refresh: bool, afterwards: list[Callable[[], None]]
    ) -> ApiKey:
        slot: _Slot = service if name is None else (service, name)
        now = self._clock()
        refresh = refresh and not _within(PAUSE_SECONDS, known.tried_at, now)
        answer = self._answers.get(service) if name is None else self._named.get((service, name))
        if answer is not None and answer.since <= now < answer.until and not refresh:
            return answer.key
        refusal = known.refusals.get(slot)
        if refusal is not None and _within(PAUSE_SECONDS, refusal.at, now):
            raise refusal.error(refusal.words)
        try:
            answer = self._answer(known, service, name, refresh=refresh, afterwards=afterwards)
        except _REFUSALS as error:
            self._drop(slot)
            if len(known.refusals) >= _NAMES_HELD:
                known.refusals.clear()
            known.refusals[slot] = _Refusal(type(error), str(error), self._clock())
            afterwards.append(functools.partial(_report, service, error))
            raise
        if len(known.slots) >= _NAMES_HELD:
            self._forget(known, known.plaintexts.keys())
        if name is None:
            self._answers[service] = answer
        else:
            self._named[service, name] = answer
        known.slots.add(slot)
        return answer.key

    def _drop(self, slot: _Slot) -> None:
        if isinstance(slot, str):
            self._answers.pop(slot, None)
        else:
            self._named.pop(slot, None)

    def _enter(self, service: str) -> _Service:
        """Return what is known of a service, and keep it from being evicted until `_leave`."""
        with self._lock:
            known = self._services.get(service)
            if known is None:
                if len(self._services) >= self._evict_at:
                    self._evict()
                known = self._services[service] = _Service()
            known.users += 1
            return known

    def _leave(self, known: _Service) -> None:
        with self._lock:
            known.users -= 1

    def _evict(self) -> None:
        """Forget the older half of the services that have no key and that no thread is at work on.

        Half, so that the cost of finding them is shared by many reads.
        """
        unused = [
            service
            for service, known in list(self._services.items())
            if not known.users and not (known.look and known.look.keys)
        ]
        for service in unused[: max(len(unused) - _SERVICES_WITHOUT_KEYS // 2, 0)]:
            self._services.pop(service, None)
        self._evict_at = len(self._services) + _SERVICES_WITHOUT_KEYS // 2

    def _make_clients(self) -> tuple[Table, KMSClient]:
        dynamodb, kms = self._given
        if dynamodb is None and kms is None:
            dynamodb, kms = aws.clients("dynamodb", "kms", patience=aws.READER_PATIENCE)
        dynamodb = dynamodb or aws.client("dynamodb", aws.READER_PATIENCE)
        return Table(dynamodb, self._table_name), kms or aws.client("kms", aws.READER_PATIENCE)

    def _aws(self) -> tuple[Table, KMSClient]:
        """Return the clients. In a forked child these are new, or have none of the parent's connections."""
        made = self._clients
        if made is None:
            with self._lock:
                made = self._clients
                if made is None:
                    for client in self._given:
                        # A test's own client may have no connections.
                        if client is not None and hasattr(client, "close"):
                            client.close()
                    made = self._clients = self._make_clients()
        return made

    def _start_child(self) -> None:
        """Go on in a forked child: with what is held, and with nothing that a thread of the parent may hold."""
        self._lock = threading.RLock()
        self._clients = None
        # Chosen anew from the looks, which costs no call: a thread of the parent may have been about to forget some.
        self._answers, self._named = {}, {}
        self._services = {service: known.for_child() for service, known in self._services.items()}

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
            afterwards.append(functools.partial(usage.stamp_if_due, self._aws()[0], key, at=now))
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
            table, _ = self._aws()
            with aws.any_failure("DynamoDB"):
                keys = table.readable(service)
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

    def _forget(self, known: _Service, but: AbstractSet[str]) -> None:
        """Choose anew, and hold the plaintexts of these keys alone."""
        for slot in known.slots:
            self._drop(slot)
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
            _, kms = self._aws()
            with aws.any_failure("KMS"):
                material = encryption.decrypt(kms, key.ciphertext, key_id=key.id)
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
    which = f"the service {service!r}" + ("" if name is None else f" with the name {_shown(name)}")
    if named:
        raise KeyDisabled(f"Every key of {which} is disabled. An administrator can enable one, or store another.")
    raise KeyNotFound(f"There is no key of {which}. An administrator can store one.")


def check_arguments(service: object, name: object) -> None:
    """Refuse, without a call, what can be neither a service nor a name.

    Raises:
        KeyNotFound: No key can have this service, or this name.
    """
    if not isinstance(service, str):
        raise KeyNotFound(
            f"No key can have a service of type {type(service).__name__}. Give a string, such as 'spotify'."
        )
    if not naming.is_service(service):
        raise KeyNotFound(f"No key can have the service {_shown(service)}. Services are lower-case, such as spotify.")
    if name is not None and not isinstance(name, str):
        raise KeyNotFound(f"No key can have a name of type {type(name).__name__}. Give a string, or leave it out.")
    if name is not None and len(name) > _NAME_LENGTH:
        raise KeyNotFound(f"There is no key of the service {service!r} with the name {_shown(name)}: it is too long.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "...")


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


_instances: weakref.WeakSet[ServiceKeys] = weakref.WeakSet()


def _start_child() -> None:
    """Let a forked child go on: locks may be held by threads that only the parent has."""
    global _shared_lock  # noqa: PLW0603 - as above
    _shared_lock = threading.Lock()
    for instance in list(_instances):
        instance._start_child()  # noqa: SLF001 - of this module


# Windows has no fork, and neither this function.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_child)


def _make_shared() -> Source:
    global _shared  # noqa: PLW0603 - the one instance, as documented
    with _shared_lock:
        if _shared is None:
            _shared = ServiceKeys()
        return _shared
