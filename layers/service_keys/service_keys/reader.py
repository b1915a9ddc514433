"""The cached read path: fast while all is well, right when an administrator acts, calm when AWS is not.

| what was read                    | is served for                                                                 |
| -------------------------------- | ----------------------------------------------------------------------------- |
| a key                            | `FRESH_SECONDS`; then one look into the table says whether it still holds     |
| a plaintext                      | `PLAINTEXT_SECONDS`, as long as its ciphertext is the one in the table        |
| a key, while AWS is out of reach | `STALE_SECONDS` after it was last known to hold                               |
| a refusal                        | `PAUSE_SECONDS`, so that a function in a loop costs nothing                   |

Times are the wall clock's: a frozen execution environment must notice what passed. A clock that was set back makes what
was read count as old.
"""

from __future__ import annotations

import logging
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
"""Between two looks that callers ask for, and before a refusal is looked into again."""
OUTAGE_PAUSE_SECONDS: Final = 30
"""Before the next look while AWS is out of reach and there is something to serve: every look waits for a timeout."""

_REFUSALS = (KeyNotFound, KeyDisabled, KeyAccessDenied, KeyCorrupted)
_logger = logging.getLogger(__name__)

_Slot = str | tuple[str, str]
"""What a caller asks for: a service, or a service and a name. Times below are seconds since the Unix epoch."""


class _Answer(NamedTuple):
    """A key, when it is served without a look, and when it was last known to hold."""

    since: float
    until: float
    key: ApiKey
    held_at: float


class _Plaintext(NamedTuple):
    """What a ciphertext decrypted to, and when."""

    ciphertext: bytes
    material: KeyMaterial
    decrypted_at: float


class _Refusal(NamedTuple):
    """Why there is no key, and when that was found."""

    error: ServiceKeysError
    at: float


@dataclass(slots=True)
class _Service:
    """What is known of one service's keys. The one thread that looks holds the lock; the others wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: tuple[ReadableKey | DamagedKey, ...] = ()
    """As the last look found them, newest first."""
    looked_at: float = 0
    """When the last look began that found something."""
    tried_at: float = 0
    """When the last look began, whatever came of it."""
    used: set[str] = field(default_factory=set)
    """Ids of the keys that were used since the last look."""
    plaintexts: dict[str, _Plaintext] = field(default_factory=dict)
    """By id, of active keys alone."""
    last_good: dict[_Slot, _Answer] = field(default_factory=dict)
    """What an outage is bridged with: of keys alone that the last look found active."""
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
        known = self._services.setdefault(service, _Service())
        with known.lock:
            now = self._clock()
            refresh = refresh and not _within(PAUSE_SECONDS, known.tried_at, now)
            answer = self._answers.get(slot)
            if answer is not None and answer.since <= now < answer.until and not refresh:
                return answer.key
            refusal = known.refusals.pop(slot, None)
            if refusal and _within(PAUSE_SECONDS, refusal.at, now):
                known.refusals[slot] = refusal
                # Anew, for a traceback that grows with every raise would keep every frame alive.
                raise type(refusal.error)(*refusal.error.args)
            try:
                answer = self._answer(known, service, name, now, refresh=refresh)
                known.last_good[slot] = answer
            except KeyStoreUnavailable as error:
                answer = _bridged(known, slot, now, error)
            except _REFUSALS as error:
                known.last_good.pop(slot, None)
                self._answers.pop(slot, None)
                known.refusals[slot] = _Refusal(error, now)
                raise
            self._answers[slot] = answer
            return answer.key

    def _answer(self, known: _Service, service: str, name: str | None, now: float, *, refresh: bool) -> _Answer:
        """Find the key, in what the last look found as far as that will do."""
        if refresh or not _within(FRESH_SECONDS, known.looked_at, now):
            self._look(known, service, now)
        try:
            key = _chosen(known.keys, service, name)
        except (KeyNotFound, KeyDisabled):
            if _within(PAUSE_SECONDS, known.looked_at, now):
                raise
            # An administrator may have mended it since.
            self._look(known, service, now)
            key = _chosen(known.keys, service, name)
        api_key = self._decrypted(known, key, service, now)
        if key.id not in known.used:
            known.used.add(key.id)
            usage.stamp_if_due(self._table, key, at=now)
        return _Answer(known.looked_at, known.looked_at + FRESH_SECONDS, api_key, held_at=known.looked_at)

    def _look(self, known: _Service, service: str, now: float) -> None:
        """Read the service's keys from the table, and forget whatever no longer holds."""
        known.tried_at = now
        try:
            keys = self._table.readable(service)
        except KeyAccessDenied:
            known.looked_at = 0
            self._keep(known, set())
            raise
        known.keys, known.looked_at = keys, now
        known.used.clear()
        self._keep(known, {key.id for key in keys if key.active})

    def _keep(self, known: _Service, key_ids: set[str]) -> None:
        """Forget all but these keys, and choose anew among them."""
        for slot, answer in list(known.last_good.items()):
            self._answers.pop(slot, None)
            if answer.key.id not in key_ids:
                del known.last_good[slot]
        for key_id in known.plaintexts.keys() - key_ids:
            del known.plaintexts[key_id]

    def _decrypted(self, known: _Service, key: ReadableKey, service: str, now: float) -> ApiKey:
        plaintext = known.plaintexts.get(key.id)
        held = plaintext is not None and _within(PLAINTEXT_SECONDS, plaintext.decrypted_at, now)
        try:
            if plaintext is None or not held or plaintext.ciphertext != key.ciphertext:
                ciphertext, material = key.ciphertext, encryption.decrypt(self._kms, key.ciphertext, key_id=key.id)
                plaintext = known.plaintexts[key.id] = _Plaintext(ciphertext, material, now)
        except (KeyAccessDenied, KeyCorrupted):
            self._keep(known, known.plaintexts.keys() - {key.id})
            raise
        return ApiKey(plaintext.material, id=key.id, name=key.name, service=service, version=key.version)


def _chosen(keys: tuple[ReadableKey | DamagedKey, ...], service: str, name: str | None) -> ReadableKey:
    """Return the newest active key, of this name if one is given."""
    folded = None if name is None else naming.fold(name)
    asked = [key for key in keys if folded is None or (key.name is not None and naming.fold(key.name) == folded)]
    for key in asked:
        if isinstance(key, DamagedKey):
            raise KeyCorrupted(f"The item of {key.id} is damaged. Delete the key and store it again.")
        if key.active:
            return key
    which = f"the service {service!r}" + ("" if name is None else f" with the name {name!r}")
    if asked:
        raise KeyDisabled(f"Every key of {which} is disabled. An administrator can enable one, or store another.")
    raise KeyNotFound(f"There is no key of {which}. An administrator can store one.")


def _bridged(known: _Service, slot: _Slot, now: float, error: KeyStoreUnavailable) -> _Answer:
    """Return what was last known to hold, for a while longer.

    Raises:
        KeyStoreUnavailable: That is too long ago, or never was.
    """
    good = known.last_good.get(slot)
    if good is None or not _within(STALE_SECONDS, good.held_at, now):
        unavailable = KeyStoreUnavailable(f"No key was read in the last {STALE_SECONDS // 60} minutes: {error}")
        known.refusals[slot] = _Refusal(unavailable, now)
        raise unavailable from error
    _logger.warning("Serving %s as it was %d s ago: %s", good.key.id, now - good.held_at, error)
    return good._replace(since=now, until=min(now + OUTAGE_PAUSE_SECONDS, good.held_at + STALE_SECONDS))


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


def _make_shared() -> Source:
    global _shared  # noqa: PLW0603 - the one instance, as documented
    with _shared_lock:
        if _shared is None:
            _shared = ServiceKeys()
        return _shared
