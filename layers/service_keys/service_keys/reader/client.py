"""Thread-safe cached reads.

A snapshot of a service's keys is fresh for 60 seconds, then refreshed from DynamoDB, and served stale for at most 15
minutes while AWS has a transient error. The last snapshot alone selects the key: keys that it showed as disabled,
deleted or renamed are never served again.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref

from service_keys.api_key import ApiKey
from service_keys.core import settings
from service_keys.core.consumer_models import EncryptedKey, MalformedItem
from service_keys.core.ids import is_valid_service
from service_keys.core.names import normalize_name
from service_keys.errors import (
    ConfigurationError,
    KeyAccessDeniedError,
    KeyCorruptedError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
)
from service_keys.reader import usage
from service_keys.reader.cache import (
    MIN_REFRESH_INTERVAL_SECONDS,
    NEGATIVE_TTL_SECONDS,
    PLAINTEXT_TTL_SECONDS,
    SNAPSHOT_TTL_SECONDS,
    STALE_IF_ERROR_SECONDS,
    CachedError,
    CachedKey,
    Plaintext,
    ServiceState,
    Snapshot,
    backoff_seconds,
    is_recent,
)
from service_keys.store import aws_errors, consumer_clients, encryption
from service_keys.store.consumer_repository import ConsumerRepository

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient

    from service_keys.errors import ServiceKeysError
    from service_keys.reader.cache import CacheKey

_MAX_SERVICES_WITHOUT_KEYS = 64
"""Maximum number of cached services without a key. Each takes about 1 KB and saves a Query for 5 seconds."""
_MAX_CACHED_NAMES = 256
"""Maximum number of cached keys, and of cached errors, of one service."""
_MAX_NAME_LENGTH = 400
"""Maximum length of a name argument: names have 100 characters, each of which may have a longer spelling."""
_MAX_ECHO_LENGTH = 100
"""Maximum characters of an argument in an error message."""
_CACHED_ERRORS = (KeyNotFoundError, KeyDisabledError, KeyAccessDeniedError, KeyCorruptedError, KeyStoreUnavailableError)


class ServiceKeys:
    """Cached reader of keys; thread-safe and fork-safe.

    Args:
        table_name: The table; defaults to the environment variable SERVICE_KEYS_TABLE.
        dynamodb_client: A botocore or boto3 client; defaults to one with timeouts for a Lambda function. A forked child
            closes its idle connections, because they belong to the parent.
        kms_client: Likewise.
        clock: Seconds since the Unix epoch.

    Raises:
        ConfigurationError: The table name or a setting of the AWS clients is missing or wrong.
        KeyStoreUnavailableError: The source of this function's AWS credentials is unreachable.
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
        # Reentrant, like the locks of the services.
        self._lock = threading.RLock()
        # Two dictionaries, so that a tuple passed as the service matches no entry.
        self._cached_keys: dict[str, CachedKey] = {}
        self._cached_by_name: dict[tuple[str, str], CachedKey] = {}
        self._services: dict[str, ServiceState] = {}
        self._evict_at = _MAX_SERVICES_WITHOUT_KEYS
        self._clients: tuple[ConsumerRepository, KMSClient] | None = self._make_clients()
        _instances.add(self)

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> ApiKey:
        """Return the newest active key of a service, or the key with this name.

        Args:
            service: The external service, such as ``spotify``.
            name: The key's name, in any case.
            refresh: Refresh the snapshot, at most every 5 seconds. Use it after the service returned 401.

        Raises:
            KeyNotFoundError: The service has no key, or none with this name.
            KeyDisabledError: The key, or every key of the service, is disabled.
            KeyAccessDeniedError: This function lacks permission to read the key.
            KeyCorruptedError: The stored item or ciphertext is malformed.
            KeyStoreUnavailableError: AWS has a transient error, and no key from the last 15 minutes is cached.
        """
        try:
            cached = self._cached_keys.get(service) if name is None else self._cached_by_name.get((service, name))
        except TypeError:
            # Unhashable arguments: check_arguments rejects them.
            cached = None
        if cached is not None and cached.valid_from <= self._clock() < cached.valid_until and not refresh:
            return cached.key
        check_arguments(service, name)
        return self._read(service, name, refresh=refresh)

    def _read(self, service: str, name: str | None, *, refresh: bool) -> ApiKey:
        state = self._enter(service)
        # Log lines and the usage stamp. They run after the lock is released, before this call returns or raises: both
        # are slow, and a log handler may itself call get().
        deferred: list[Callable[[], None]] = []
        try:
            with state.lock:
                return self._get(state, service, name, refresh=refresh, deferred=deferred)
        finally:
            self._leave(state)
            for act in deferred:
                act()

    def _get(
        self, state: ServiceState, service: str, name: str | None, *, refresh: bool, deferred: list[Callable[[], None]]
    ) -> ApiKey:
        cache_key: CacheKey = service if name is None else (service, name)
        now = self._clock()
        refresh = refresh and not is_recent(MIN_REFRESH_INTERVAL_SECONDS, state.last_attempt_at, now)
        cached = self._cached_keys.get(service) if name is None else self._cached_by_name.get((service, name))
        if cached is not None and cached.valid_from <= now < cached.valid_until and not refresh:
            return cached.key
        cached_error = state.cached_errors.get(cache_key)
        if cached_error is not None and is_recent(NEGATIVE_TTL_SECONDS, cached_error.cached_at, now):
            raise cached_error.error_type(cached_error.message)
        try:
            cached = self._resolve(state, service, name, refresh=refresh, deferred=deferred)
        except _CACHED_ERRORS as error:
            self._drop(cache_key)
            if len(state.cached_errors) >= _MAX_CACHED_NAMES:
                state.cached_errors.clear()
            state.cached_errors[cache_key] = CachedError(type(error), str(error), self._clock())
            deferred.append(functools.partial(_log_failure, service, error))
            raise
        if len(state.cached_keys) >= _MAX_CACHED_NAMES:
            self._drop_plaintexts(state, state.plaintexts.keys())
        if name is None:
            self._cached_keys[service] = cached
        else:
            self._cached_by_name[service, name] = cached
        state.cached_keys.add(cache_key)
        return cached.key

    def _drop(self, cache_key: CacheKey) -> None:
        if isinstance(cache_key, str):
            self._cached_keys.pop(cache_key, None)
        else:
            self._cached_by_name.pop(cache_key, None)

    def _enter(self, service: str) -> ServiceState:
        """Return the state of a service, and protect it from eviction until `_leave`."""
        with self._lock:
            state = self._services.get(service)
            if state is None:
                if len(self._services) >= self._evict_at:
                    self._evict()
                state = self._services[service] = ServiceState()
            state.users += 1
            return state

    def _leave(self, state: ServiceState) -> None:
        with self._lock:
            state.users -= 1

    def _evict(self) -> None:
        """Evict the older half of the unused services without keys, so that unknown names cannot grow memory.

        Half of them at once, so that the cost of the search is shared by many reads.
        """
        unused = [
            service
            for service, state in list(self._services.items())
            if not state.users and not (state.snapshot and state.snapshot.keys)
        ]
        for service in unused[: max(len(unused) - _MAX_SERVICES_WITHOUT_KEYS // 2, 0)]:
            self._services.pop(service, None)
        self._evict_at = len(self._services) + _MAX_SERVICES_WITHOUT_KEYS // 2

    def _make_clients(self) -> tuple[ConsumerRepository, KMSClient]:
        dynamodb, kms = self._given
        if dynamodb is None and kms is None:
            dynamodb, kms = consumer_clients.clients("dynamodb", "kms")
        dynamodb = dynamodb or consumer_clients.clients("dynamodb")[0]
        return ConsumerRepository(dynamodb, self._table_name), kms or consumer_clients.clients("kms")[0]

    def _aws(self) -> tuple[ConsumerRepository, KMSClient]:
        """Return the clients. In a forked child, create them or close the connections of the given ones first."""
        made = self._clients
        if made is None:
            with self._lock:
                made = self._clients
                if made is None:
                    for client in self._given:
                        # A fake client in a test may lack close().
                        if client is not None and hasattr(client, "close"):
                            client.close()
                    made = self._clients = self._make_clients()
        return made

    def _reset_after_fork(self) -> None:
        """Keep the cache in a forked child, but replace locks and clients, which threads of the parent may use."""
        self._lock = threading.RLock()
        self._clients = None
        # Rebuild these from the snapshots, without a call: a thread of the parent may have been removing entries.
        self._cached_keys, self._cached_by_name = {}, {}
        self._services = {service: known.for_child() for service, known in self._services.items()}

    def _resolve(
        self, state: ServiceState, service: str, name: str | None, *, refresh: bool, deferred: list[Callable[[], None]]
    ) -> CachedKey:
        """Return the key from the last snapshot, refreshed if necessary."""
        now = self._clock()
        snapshot, fresh = (
            state.snapshot,
            state.snapshot is not None and is_recent(SNAPSHOT_TTL_SECONDS, state.snapshot.read_at, now),
        )
        if snapshot is None or not fresh or refresh:
            snapshot = self._refresh(state, service, deferred)
        try:
            candidates = _candidates(snapshot, service, name)
        except (KeyNotFoundError, KeyDisabledError):
            if is_recent(MIN_REFRESH_INTERVAL_SECONDS, state.last_attempt_at, now):
                raise
            # The key may have been added or enabled since the snapshot; refresh once.
            snapshot = self._refresh(state, service, deferred)
            candidates = _candidates(snapshot, service, name)
        key, plaintext, is_stale = self._plaintext(state, candidates, snapshot, deferred)
        now = self._clock()
        if snapshot.read_at == state.last_attempt_at and key.id not in state.stamped_ids:
            state.stamped_ids.add(key.id)
            deferred.append(functools.partial(usage.stamp_if_due, self._aws()[0], key, at=now))
        valid_until = snapshot.read_at + SNAPSHOT_TTL_SECONDS
        if snapshot.read_at != state.last_attempt_at:
            # The last refresh failed: serve stale until the next attempt, within the limit.
            valid_until = min(now + backoff_seconds(state), snapshot.read_at + STALE_IF_ERROR_SECONDS)
        if is_stale:
            valid_until = min(
                valid_until, now + backoff_seconds(state), plaintext.confirmed_at + STALE_IF_ERROR_SECONDS
            )
        api_key = ApiKey(plaintext.secret_value, id=key.id, name=key.name, service=service, version=key.version)
        return CachedKey(min(snapshot.read_at, now), valid_until, api_key)

    def _refresh(self, state: ServiceState, service: str, deferred: list[Callable[[], None]]) -> Snapshot:
        """Replace the snapshot of a service; after a transient error, return the last one.

        Raises:
            KeyAccessDeniedError: This function lacks permission. The cache of the service is dropped.
            KeyStoreUnavailableError: AWS has a transient error, and the last snapshot is too old.
        """
        started_at = state.last_attempt_at = self._clock()
        try:
            table, _ = self._aws()
            with aws_errors.any_failure("DynamoDB"):
                keys = table.list_for_service(service)
        except KeyAccessDeniedError:
            state.snapshot = None
            self._drop_plaintexts(state, set())
            raise
        except KeyStoreUnavailableError as error:
            state.failures += 1
            now, snapshot = self._clock(), state.snapshot
            if snapshot is None or not is_recent(STALE_IF_ERROR_SECONDS, snapshot.read_at, now):
                raise KeyStoreUnavailableError(_no_usable_snapshot_message(error)) from error
            deferred.append(functools.partial(_log_stale, service, now - snapshot.read_at, error))
            return snapshot
        state.failures = 0
        # Assign atomically: an asynchronous exception must not leave a disabled or deleted key servable.
        state.snapshot = snapshot = Snapshot(keys, started_at)
        state.stamped_ids.clear()
        state.cached_errors.clear()
        self._drop_plaintexts(state, {key.id for key in keys if key.active})
        return snapshot

    def _drop_plaintexts(self, state: ServiceState, keep: AbstractSet[str]) -> None:
        """Drop all cached keys of the service, and all plaintexts except those to keep."""
        for cache_key in state.cached_keys:
            self._drop(cache_key)
        state.cached_keys = set()
        state.plaintexts = {key_id: cached for key_id, cached in state.plaintexts.items() if key_id in keep}

    def _plaintext(
        self,
        state: ServiceState,
        candidates: list[EncryptedKey],
        snapshot: Snapshot,
        deferred: list[Callable[[], None]],
    ) -> tuple[EncryptedKey, Plaintext, bool]:
        """Return the first key's plaintext; while KMS has a transient error, the first cached one of the candidates."""
        key = candidates[0]
        now = self._clock()
        cached = state.plaintexts.get(key.id)
        if (
            cached
            and cached.ciphertext == key.ciphertext
            and is_recent(PLAINTEXT_TTL_SECONDS, cached.decrypted_at, now)
        ):
            state.plaintexts[key.id] = cached = cached.confirmed(snapshot.read_at)
            return key, cached, False
        try:
            _, kms = self._aws()
            with aws_errors.any_failure("KMS"):
                secret_value = encryption.decrypt(kms, key.ciphertext, key_id=key.id)
        except (KeyAccessDeniedError, KeyCorruptedError):
            self._drop_plaintexts(state, state.plaintexts.keys() - {key.id})
            raise
        except KeyStoreUnavailableError as error:
            state.failures += 1
            now = self._clock()
            for candidate in candidates:
                cached = state.plaintexts.get(candidate.id)
                if cached and is_recent(STALE_IF_ERROR_SECONDS, cached.confirmed_at, now):
                    deferred.append(functools.partial(_log_stale, candidate.id, now - cached.confirmed_at, error))
                    return candidate, cached, True
            raise KeyStoreUnavailableError(_no_usable_snapshot_message(error)) from error
        state.failures = 0
        state.plaintexts[key.id] = decrypted = Plaintext(key.ciphertext, secret_value, now, snapshot.read_at)
        return key, decrypted, False


def _candidates(snapshot: Snapshot, service: str, name: str | None) -> list[EncryptedKey]:
    """Return the active keys, newest first; only those with this name, if given.

    Raises:
        KeyCorruptedError: A malformed item comes before the newest active key.
        KeyDisabledError: Every key is disabled.
        KeyNotFoundError: No key exists.
    """
    normalized = None if name is None else normalize_name(name)
    named = [
        key
        for key in snapshot.keys
        if normalized is None or (key.name is not None and normalize_name(key.name) == normalized)
    ]
    active: list[EncryptedKey] = []
    for key in named:
        if isinstance(key, EncryptedKey) and key.active:
            active.append(key)
        elif isinstance(key, MalformedItem) and not active:
            raise KeyCorruptedError(f"The item of {key.id} is damaged. Delete the key and store it again.")
    if active:
        return active
    which = f"the service {service!r}" + ("" if name is None else f" with the name {_echo(name)}")
    if named:
        raise KeyDisabledError(f"Every key of {which} is disabled. An administrator can enable one, or store another.")
    raise KeyNotFoundError(f"There is no key of {which}. An administrator can store one.")


def check_arguments(service: object, name: object) -> None:
    """Reject invalid services and names without a call to AWS.

    Raises:
        KeyNotFoundError: The service or the name is invalid.
    """
    if not isinstance(service, str):
        raise KeyNotFoundError(
            f"No key can have a service of type {type(service).__name__}. Give a string, such as 'spotify'."
        )
    if not is_valid_service(service):
        raise KeyNotFoundError(
            f"No key can have the service {_echo(service)}. Services are lower-case, such as spotify."
        )
    if name is not None and not isinstance(name, str):
        raise KeyNotFoundError(f"No key can have a name of type {type(name).__name__}. Give a string, or leave it out.")
    if name is not None and len(name) > _MAX_NAME_LENGTH:
        raise KeyNotFoundError(
            f"There is no key of the service {service!r} with the name {_echo(name)}: it is too long."
        )


def _echo(text: str) -> str:
    return repr(text if len(text) <= _MAX_ECHO_LENGTH else text[:_MAX_ECHO_LENGTH] + "...")


def _logger() -> logging.Logger:
    # Imported late: Lambda has imported it, and elsewhere it costs a third of the imports of a first read.
    import logging

    return logging.getLogger(__name__)


# Metric filters match the beginnings of these lines: docs/consumers.md.
def _log_stale(subject: str, age: float, error: KeyStoreUnavailableError) -> None:
    _logger().warning("Service Keys: served stale: %s as it was %d s ago. %s", subject, age, error)


def _log_failure(service: str, error: ServiceKeysError) -> None:
    match error:
        case KeyStoreUnavailableError():
            _logger().error("Service Keys: unavailable: no key of %s to serve. %s", service, error)
        case KeyAccessDeniedError():
            _logger().error("Service Keys: access denied: no key of %s to serve. %s", service, error)


def _no_usable_snapshot_message(error: KeyStoreUnavailableError) -> str:
    message = f"No cached key from the last {STALE_IF_ERROR_SECONDS // 60} minutes is available: {error}"
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    # An emulator that has ended is the likely cause. A URL with "@" may hold a password.
    if endpoint and "@" not in endpoint:
        message = f"{message} AWS_ENDPOINT_URL is {endpoint}: check that its server runs."
    return message


_instances: weakref.WeakSet[ServiceKeys] = weakref.WeakSet()


def _reset_after_fork() -> None:
    """Reset every instance in a forked child: threads of the parent may hold the locks."""
    for instance in list(_instances):
        instance._reset_after_fork()  # noqa: SLF001 - of this module


# Windows has no fork and lacks this function.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
