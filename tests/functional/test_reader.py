"""Reading keys as a consumer: caching, selection, transient errors, usage stamps."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from local.template import Template
from service_keys import ServiceKeys
from service_keys.errors import (
    KeyAccessDeniedError,
    KeyCorruptedError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    ServiceKeysError,
)
from service_keys.store import aws_clients
from tests.functional.conftest import SECRET, SPOTIFY_KEY, Admin, ClientsOf, Store
from tests.support.canary import CANARY
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.processes import ROOT
from tests.support.slow import with_slow

NEW_SECRET = f"another-made-up-{CANARY}-9876"
QUERY, DECRYPT, STAMP = "DynamoDB.Query", "KMS.Decrypt", "DynamoDB.UpdateItem"


class Clock:
    """Seconds since the Unix epoch, advanced by the test."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admin(stack: Any, store: Store) -> Admin:
    return Admin(stack)


@pytest.fixture
def reader_clients(request: pytest.FixtureRequest, clients_of: ClientsOf) -> tuple[Any, Any]:
    """Create clients as the package does, with its timeouts only in tests about a silent endpoint.

    With these timeouts, other tests would depend on the speed of the machine.
    """
    hangs = any(value == "silent" or "hang" in value for value in _parameters(request))
    return clients_of("ReadAllKeys") if hangs else clients_of("ReadAllKeys", aws_clients.Timeouts(connect=30, read=30))


def _parameters(request: pytest.FixtureRequest) -> list[Any]:
    call = getattr(request.node, "callspec", None)
    return [value for value in call.params.values() if isinstance(value, (str, dict))] if call else []


@pytest.fixture
def keys(reader_clients: tuple[Any, Any], store: Store, clock: Clock) -> ServiceKeys:
    dynamodb, kms = reader_clients
    return ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms, clock=clock)


# --- calls to AWS ---------------------------------------------------------------------------------------------------


def test_only_a_cold_read_calls_aws(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """Query, decrypt and stamp once on a cold read; make no call on a warm one."""
    admin.create("OpenAI", key=f"sk-{SECRET}")
    fault_proxy.clear()

    assert keys.get("openai").value == f"sk-{SECRET}"
    assert fault_proxy.counts() == {QUERY: 1, DECRYPT: 1, STAMP: 1}

    fault_proxy.clear()
    for _ in range(100):
        keys.get("openai")
    assert fault_proxy.counts() == {}


def test_a_snapshot_is_refreshed_after_a_minute(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Query again after 60 s, without another decryption."""
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(59.9)
    fault_proxy.clear()
    keys.get("one")
    assert fault_proxy.counts() == {}

    clock.passes(0.2)
    keys.get("one")
    assert fault_proxy.counts() == {QUERY: 1, STAMP: 1}


def test_a_key_is_decrypted_again_after_an_hour(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Decrypt an unchanged ciphertext again once its plaintext is an hour old."""
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(3599)
    keys.get("one")
    fault_proxy.clear()

    clock.passes(61)
    keys.get("one")

    assert fault_proxy.counts()[DECRYPT] == 1


def test_a_process_frozen_for_an_hour_refreshes_first(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Raise KeyDisabledError for a key that was disabled during the freeze."""
    key = admin.create("Key", service="one")
    keys.get("one")
    admin.update(key["id"], {"active": False})

    clock.passes(3600)

    with pytest.raises(KeyDisabledError):
        keys.get("one")


@pytest.mark.parametrize("jump", [-3600, 3600, -0.5])
def test_a_clock_jump_causes_a_refresh(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, jump: float
) -> None:
    """Refresh after the clock jumped forward by an hour, or back."""
    admin.create("Key", service="one")
    keys.get("one")
    fault_proxy.clear()

    clock.passes(jump)

    assert keys.get("one").value == SECRET
    assert fault_proxy.counts()[QUERY] == 1


def test_refreshes_are_single_flight(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """Call AWS from one of a thousand threads; the others wait for its result."""
    admin.create("Key", service="one")
    fault_proxy.clear()
    barrier = threading.Barrier(1000)
    values: list[str] = []

    def read() -> None:
        barrier.wait()
        values.append(keys.get("one").value)

    threads = [threading.Thread(target=read) for _ in range(1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert values == [SECRET] * 1000
    assert fault_proxy.counts() == {QUERY: 1, DECRYPT: 1, STAMP: 1}


def test_a_rename_causes_no_decryption(admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy) -> None:
    """Return the new name with the secret value that is cached."""
    key = admin.create("Before", service="one")
    keys.get("one")
    admin.update(key["id"], {"name": "After"})
    clock.passes(61)
    fault_proxy.clear()

    read = keys.get("one")

    assert (read.name, read.version, read.value) == ("After", 2, SECRET)
    assert fault_proxy.counts()[DECRYPT] == 0


def test_names_share_a_snapshot(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """Read three keys of one service with one Query."""
    admin.create("Old", service="one", key=SECRET)
    admin.create("New", service="one", key=NEW_SECRET)
    fault_proxy.clear()

    assert keys.get("one").value == NEW_SECRET
    assert keys.get("one", name="OLD").value == SECRET
    assert keys.get("one", name="new").value == NEW_SECRET

    assert fault_proxy.counts() == {QUERY: 1, DECRYPT: 2, STAMP: 2}


def test_a_snapshot_spans_several_query_pages(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    """Find the only active key behind more than 1 MB of disabled ones."""
    oldest = admin.create("Oldest", service="one")
    item = store.item(oldest["id"]) | {"active": {"BOOL": False}, "description": {"S": "x" * 390_000}}
    for number in range(4):
        store.put(item | {"id": {"S": oldest["id"][:-6] + f"zzzzz{number}"}, "name": {"S": f"Name {number}"}})

    assert keys.get("one").id == oldest["id"]


# --- key selection --------------------------------------------------------------------------------------------------


def test_the_newest_active_key_is_selected(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
    """Fall back to the older key when the newer one is disabled, and report disabled and deleted keys."""
    old = admin.create("Old", service="one", key=SECRET)
    assert keys.get("one").id == old["id"]
    new = admin.create("New", service="one", key=NEW_SECRET)
    clock.passes(61)
    assert keys.get("one").id == new["id"]

    admin.update(new["id"], {"active": False})
    clock.passes(61)
    assert keys.get("one").value == SECRET

    admin.update(old["id"], {"active": False})
    clock.passes(61)
    with pytest.raises(KeyDisabledError, match="enable"):
        keys.get("one")

    admin.delete(old["id"])
    admin.delete(new["id"])
    clock.passes(6)
    with pytest.raises(KeyNotFoundError, match="store one"):
        keys.get("one")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["disabled", "deleted"])
def test_a_disabled_or_deleted_key_is_never_served_stale(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, end: str
) -> None:
    """Raise an error even while AWS has transient errors."""
    key = admin.create("Key", service="one")
    keys.get("one")
    keys.get("one", name="Key")
    if end == "disabled":
        admin.update(key["id"], {"active": False})
    else:
        admin.delete(key["id"])
    clock.passes(60)
    expected = KeyDisabledError if end == "disabled" else KeyNotFoundError
    with pytest.raises(expected):
        keys.get("one")

    with fault_proxy.failing(Fault(QUERY)):
        for seconds in (1, 5, 30, 60, 600):
            clock.passes(seconds)
            for name in (None, "Key"):
                with pytest.raises(ServiceKeysError) as refused:
                    keys.get("one", name=name)
                assert isinstance(refused.value, (expected, KeyStoreUnavailableError))


def test_an_enabled_key_is_served_within_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Cache the KeyDisabledError for 5 s, then refresh."""
    key = admin.create("Key", service="one", active=False)
    fault_proxy.clear()
    for _ in range(50):
        with pytest.raises(KeyDisabledError):
            keys.get("one")
    assert fault_proxy.counts() == {QUERY: 1}

    admin.update(key["id"], {"active": True})
    clock.passes(5)

    assert keys.get("one").value == SECRET


def test_a_new_name_is_found_within_five_seconds(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
    """Cache the KeyNotFoundError for 5 s, then refresh."""
    admin.create("Old", service="one")
    keys.get("one")
    with pytest.raises(KeyNotFoundError, match="'New'"):
        keys.get("one", name="New")
    admin.create("New", service="one", key=NEW_SECRET)
    clock.passes(5)

    assert keys.get("one", name="New").value == NEW_SECRET


@pytest.mark.parametrize("service", ["", "Spotify", "#name", "a b", "x" * 41])
def test_an_invalid_service_name_causes_no_call(keys: ServiceKeys, fault_proxy: FaultProxy, service: str) -> None:
    """Raise KeyNotFoundError without a call to AWS."""
    fault_proxy.clear()

    with pytest.raises(KeyNotFoundError, match="lower-case"):
        keys.get(service)

    assert fault_proxy.counts() == {}


# --- refresh --------------------------------------------------------------------------------------------------------


def test_refresh_is_limited_to_one_query_in_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Return the new secret value with the first refresh after 5 s."""
    key = admin.create("Key", service="one")
    keys.get("one")
    admin.update(key["id"], {"key": NEW_SECRET})
    fault_proxy.clear()

    clock.passes(4.9)
    assert keys.get("one", refresh=True).value == SECRET
    assert fault_proxy.counts() == {}

    clock.passes(0.1)
    assert keys.get("one", refresh=True).value == NEW_SECRET
    for _ in range(50):
        keys.get("one", refresh=True)
    assert fault_proxy.counts() == {QUERY: 1, DECRYPT: 1}


def test_failed_refreshes_are_limited_to_one_in_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Serve the cached key for 50 forced refreshes that share one failed Query."""
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(6)
    with fault_proxy.failing(Fault(QUERY, reset=True)):
        fault_proxy.clear()
        for _ in range(50):
            assert keys.get("one", refresh=True).value == SECRET
    assert fault_proxy.counts() == {QUERY: 2}, "one call, which botocore tries twice"


def test_a_refresh_applies_to_every_name(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Drop the plaintext of a key that the refresh found disabled."""
    key = admin.create("Key", service="one")
    keys.get("one")
    keys.get("one", name="Key")
    admin.update(key["id"], {"active": False})
    clock.passes(6)
    with pytest.raises(KeyDisabledError):
        keys.get("one", refresh=True)
    fault_proxy.clear()

    with pytest.raises(KeyDisabledError):
        keys.get("one", name="Key")

    assert fault_proxy.counts() == {}
    assert keys._services["one"].plaintexts == {}


# --- errors of AWS --------------------------------------------------------------------------------------------------

OUTAGES: dict[str, dict[str, Any]] = {
    "throttled": {"status": 400, "code": "ThrottlingException"},
    "over capacity": {"status": 400, "code": "ProvisionedThroughputExceededException"},
    "failing": {"status": 500},
    "unavailable": {"status": 503, "code": "ServiceUnavailable"},
    "reset": {"reset": True},
    "silent": {"hang": True},
    "credentials expired": {"status": 400, "code": "ExpiredTokenException"},
    "credentials unknown": {"status": 400, "code": "UnrecognizedClientException"},
    "signature expired": {"status": 400, "code": "InvalidSignatureException"},
    "clock skewed": {"status": 403, "code": "RequestTimeTooSkewed"},
    "not classified": {"status": 400, "code": "ValidationException"},
}


@pytest.mark.parametrize("operation", [QUERY, DECRYPT])
@pytest.mark.parametrize("outage", with_slow(OUTAGES, "silent"))
def test_a_key_is_served_stale_for_15_minutes(
    admin: Admin,
    keys: ServiceKeys,
    clock: Clock,
    fault_proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
    outage: str,
    operation: str,
) -> None:
    """Serve the cached key during a transient error, then raise KeyStoreUnavailableError."""
    key = admin.create("Key", service="one")
    keys.get("one")
    if operation == DECRYPT:
        # Only a new secret value has to be decrypted.
        admin.update(key["id"], {"key": NEW_SECRET})
    clock.passes(60)
    with fault_proxy.failing(Fault(operation, **OUTAGES[outage])):
        assert keys.get("one").value == SECRET
        assert "as it was 60 s ago" in caplog.text
        clock.passes(14 * 60 - 60)
        assert keys.get("one").value == SECRET
        fault_proxy.clear()
        assert keys.get("one").value == SECRET
        assert fault_proxy.counts() == {}, "the next look waits for a moment"
        clock.passes(2 * 60)
        with pytest.raises(KeyStoreUnavailableError, match="last 15 minutes"):
            keys.get("one")
        fault_proxy.clear()
        with pytest.raises(KeyStoreUnavailableError):
            keys.get("one")
        assert fault_proxy.counts() == {}
    assert SECRET not in caplog.text

    clock.passes(5)
    assert keys.get("one").value == (NEW_SECRET if operation == DECRYPT else SECRET)


def test_a_transient_error_on_a_cold_start_is_raised(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """Raise KeyStoreUnavailableError if no key is cached."""
    admin.create("Key", service="one")

    with fault_proxy.failing(Fault(QUERY)), pytest.raises(KeyStoreUnavailableError):
        keys.get("one")


def test_a_connect_timeout_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, stack: Any, store: Store, reader_clients: tuple[Any, Any]
) -> None:
    """Raise KeyStoreUnavailableError if the endpoint accepts no connection."""
    # With a full backlog, Linux drops further connections, so that the client runs into its connect timeout.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        for name, value in stack.consumer_environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{full.getsockname()[1]}")
        dynamodb = aws_clients.client("dynamodb", aws_clients.CONSUMER_TIMEOUTS)
        keys = ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=reader_clients[1])

        with pytest.raises(KeyStoreUnavailableError, match="ConnectTimeoutError"):
            keys.get("one")
        dynamodb.close()


@pytest.mark.slow
@pytest.mark.parametrize("operation", [QUERY, DECRYPT])
def test_access_denied_drops_the_cached_keys(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, operation: str
) -> None:
    """Serve nothing stale after AccessDeniedException, until a refresh succeeds."""
    admin.create("Key", service="one")
    keys.get("one")
    keys.get("one", name="Key")
    clock.passes(3600)
    denied = Fault(operation, status=400, code="AccessDeniedException")
    with fault_proxy.failing(denied), pytest.raises(KeyAccessDeniedError, match="IAM policy"):
        keys.get("one")
    with fault_proxy.failing(Fault(QUERY), Fault(DECRYPT)):
        for seconds in (0, 6, 60):
            clock.passes(seconds)
            for name in (None, "Key"):
                with pytest.raises((KeyAccessDeniedError, KeyStoreUnavailableError)):
                    keys.get("one", name=name)

    clock.passes(6)
    assert keys.get("one").value == SECRET


@pytest.mark.parametrize("code", ["DisabledException", "KMSInvalidStateException", "NotFoundException"])
def test_an_unusable_kms_key_is_access_denied(
    admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy, code: str
) -> None:
    """Raise KeyAccessDeniedError for a disabled, pending or missing KMS key."""
    admin.create("Key", service="one")

    with (
        fault_proxy.failing(Fault(DECRYPT, status=400, code=code)),
        pytest.raises(KeyAccessDeniedError, match="KMS key"),
    ):
        keys.get("one")


def test_a_missing_table_is_access_denied(keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """Raise KeyAccessDeniedError with the advice to compare the table's name."""
    missing = Fault(QUERY, status=400, code="ResourceNotFoundException")

    with fault_proxy.failing(missing), pytest.raises(KeyAccessDeniedError, match="name of the table"):
        keys.get("one")


def test_a_table_outside_the_policy_is_access_denied(
    reader_clients: tuple[Any, Any], clock: Clock, store: Store, fault_proxy: FaultProxy
) -> None:
    """Raise KeyAccessDeniedError for a table that the consumer's policy does not name."""
    dynamodb, kms = reader_clients
    keys = ServiceKeys("another-table", dynamodb_client=dynamodb, kms_client=kms, clock=clock)

    with pytest.raises(KeyAccessDeniedError, match="name of the table"):
        keys.get("one")
    assert "another-table" in fault_proxy.denials.pop()


@pytest.mark.parametrize("damage", ["another key's", "broken", "missing", "nameless", "neither on nor off"])
def test_a_malformed_key_is_not_served(
    admin: Admin, keys: ServiceKeys, store: Store, clock: Clock, fault_proxy: FaultProxy, damage: str
) -> None:
    """Raise KeyCorruptedError, decrypt at most once, and serve other services."""
    key = admin.create("Key", service="one")
    other = admin.create("Other", service="two")
    keys.get("one")
    item = store.item(key["id"])
    missing = {"missing": "ciphertext", "nameless": "name", "neither on nor off": "active"}
    if damage in missing:
        del item[missing[damage]]
    else:
        anothers = store.item(other["id"])["ciphertext"]
        item["ciphertext"] = anothers if damage == "another key's" else {"B": b"not a ciphertext"}
    store.put(item)
    clock.passes(60)
    fault_proxy.clear()

    for _ in range(10):
        with pytest.raises(KeyCorruptedError, match=r"tore the key again|tore it again"):
            keys.get("one")

    assert fault_proxy.counts()[DECRYPT] <= 1
    assert keys.get("two").value == SECRET


def test_an_older_malformed_key_is_ignored(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    """Serve the newest active key although an older item lacks its ciphertext."""
    old = admin.create("Old", service="one")
    admin.create("New", service="one", key=NEW_SECRET)
    item = store.item(old["id"])
    del item["ciphertext"]
    store.put(item)

    assert keys.get("one").value == NEW_SECRET


@pytest.mark.parametrize("operation", [QUERY, DECRYPT])
@pytest.mark.parametrize("status", [400, 403, 404, 418])
def test_an_unclassified_error_is_unavailable(
    admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy, operation: str, status: int
) -> None:
    """Raise only errors of this package; the message contains the AWS error code."""
    admin.create("Key", service="one")
    unknown = Fault(operation, status=status, code="MadeUpException")

    with fault_proxy.failing(unknown), pytest.raises(KeyStoreUnavailableError, match="MadeUpException"):
        keys.get("one")


# --- keys that must not be served stale -----------------------------------------------------------------------------


def test_a_replaced_secret_is_not_served_by_name(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Serve the new secret value under the name whose cached key had the old one."""
    key = admin.create("Key", service="one")
    assert keys.get("one", name="Key").value == SECRET
    admin.update(key["id"], {"key": NEW_SECRET})
    clock.passes(60)
    assert keys.get("one").value == NEW_SECRET
    clock.passes(60)

    with fault_proxy.failing(Fault(QUERY)):
        assert keys.get("one", name="Key").value == NEW_SECRET


@pytest.mark.parametrize("operation", [QUERY, DECRYPT])
def test_a_moved_name_never_serves_the_former_key(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, operation: str
) -> None:
    """Serve the key that has the name now, or raise KeyStoreUnavailableError if it cannot be decrypted."""
    before, after = admin.create("prod", service="one"), admin.create("next", service="one", key=NEW_SECRET)
    assert keys.get("one", name="prod").value == SECRET
    admin.update(before["id"], {"name": "retired"})
    admin.update(after["id"], {"name": "prod"})
    clock.passes(60)
    keys.get("one", name="retired")
    clock.passes(1 if operation == DECRYPT else 60)

    with fault_proxy.failing(Fault(operation)):
        if operation == DECRYPT:
            with pytest.raises(KeyStoreUnavailableError):
                keys.get("one", name="prod")
        else:
            assert keys.get("one", name="prod").value == NEW_SECRET


def test_a_key_disabled_during_a_kms_error_is_not_served(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Serve the old secret value while KMS fails, until the table shows the key as disabled."""
    key = admin.create("Key", service="one")
    keys.get("one")
    admin.update(key["id"], {"key": NEW_SECRET})
    with fault_proxy.failing(Fault(DECRYPT)):
        clock.passes(60)
        assert keys.get("one").value == SECRET
        admin.update(key["id"], {"active": False})
        clock.passes(60)
        with pytest.raises(KeyDisabledError):
            keys.get("one")


def test_the_previous_key_is_served_during_a_kms_error(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Serve the older key until the newer one can be decrypted."""
    admin.create("Old", service="one")
    keys.get("one")
    admin.create("New", service="one", key=NEW_SECRET)
    clock.passes(60)

    with fault_proxy.failing(Fault(DECRYPT)):
        assert keys.get("one").value == SECRET
    clock.passes(5)
    assert keys.get("one").value == NEW_SECRET


def test_errors_of_kms_then_dynamodb_share_one_stale_limit(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Serve a replaced secret value for at most 15 minutes although DynamoDB failed later than KMS."""
    key = admin.create("Key", service="one")
    keys.get("one")
    admin.update(key["id"], {"key": NEW_SECRET})
    clock.passes(60)
    with fault_proxy.failing(Fault(DECRYPT)):
        keys.get("one")
        clock.passes(895 - 60)
        with fault_proxy.failing(Fault(QUERY)):
            assert keys.get("one").value == SECRET
            clock.passes(6)
            with pytest.raises(KeyStoreUnavailableError):
                keys.get("one")


def test_one_failed_refresh_delays_the_next_by_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Raise KeyDisabledError 5 s after a failed refresh."""
    key = admin.create("Key", service="one")
    keys.get("one")
    clock.passes(60)
    with fault_proxy.failing(Fault(QUERY)):
        keys.get("one")
    admin.update(key["id"], {"active": False})

    clock.passes(5)

    with pytest.raises(KeyDisabledError):
        keys.get("one")


def test_the_backoff_grows_to_30_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Double the delay after each failed refresh, and reset it after a successful one."""
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(60)
    tried = []
    with fault_proxy.failing(Fault(QUERY, status=400, code="ExpiredTokenException")):
        for second in range(100):
            fault_proxy.clear()
            keys.get("one")
            tried += [second] * bool(fault_proxy.calls)
            clock.passes(1)

    assert tried == [0, 5, 15, 35, 65, 95]

    clock.passes(60)
    keys.get("one")
    clock.passes(60)
    with fault_proxy.failing(Fault(QUERY, status=400, code="ExpiredTokenException")):
        keys.get("one")
        clock.passes(5)
        fault_proxy.clear()
        keys.get("one")
    assert fault_proxy.counts()[QUERY] == 1, "after a look that worked the pause is short again"


def test_a_process_frozen_in_a_refresh_serves_no_expired_key(
    admin: Admin, store: Store, reader_clients: tuple[Any, Any], clock: Clock, fault_proxy: FaultProxy
) -> None:
    """Raise KeyStoreUnavailableError if the process was frozen for two hours during the Query."""
    dynamodb, kms = reader_clients
    keys = ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms, clock=clock)
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(60)
    wakes = iter([0.0, 7200.0])
    dynamodb.meta.events.register("before-send.dynamodb.Query", lambda **_: clock.passes(next(wakes, 0)), "freeze")
    try:
        with fault_proxy.failing(Fault(QUERY, reset=True)), pytest.raises(KeyStoreUnavailableError):
            keys.get("one")
    finally:
        dynamodb.meta.events.unregister("before-send.dynamodb.Query", unique_id="freeze")


# --- independence from other items and code -------------------------------------------------------------------------


def test_a_stub_item_is_ignored(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    """Ignore an item with only `lastUsed` in reads, lists and changes."""
    key = admin.create("Key", service="one")
    stub = {"service": {"S": "one"}, "id": {"S": "one.zzzzzzzzzzzz"}, "lastUsed": {"S": "2026-01-01T00:00:00.000Z"}}
    store.put(stub)

    assert keys.get("one").id == key["id"]
    for query in ({}, {"service": "one"}):
        assert [shown["id"] for shown in admin.listing(**query).data] == [key["id"]]
    for answer in (admin.get("one.zzzzzzzzzzzz"), admin.update("one.zzzzzzzzzzzz", {"active": True})):
        assert answer.code == "API_KEY_NOT_FOUND"


def test_an_item_copied_from_another_service_is_not_served(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    """Raise KeyCorruptedError if the id of an item belongs to another service."""
    key = admin.create("Other", service="other")
    store.put(store.item(key["id"]) | {"service": {"S": "one"}})

    with pytest.raises(KeyCorruptedError):
        keys.get("one")


def test_a_log_handler_can_read_a_key(admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy) -> None:
    """Log without holding the lock, so that a handler's own get() does not deadlock."""
    admin.create("Key", service="one")
    keys.get("one")
    read: list[str] = []

    class Shipper(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            read.append(keys.get("one").value)

    shipper = Shipper()
    logging.getLogger("service_keys").addHandler(shipper)
    clock.passes(60)
    try:
        with fault_proxy.failing(Fault(QUERY)), ThreadPoolExecutor(1) as pool:
            assert pool.submit(keys.get, "one").result(20).value == SECRET
    finally:
        logging.getLogger("service_keys").removeHandler(shipper)

    assert read == [SECRET]


def test_a_cached_error_keeps_no_frames_alive(admin: Admin, keys: ServiceKeys) -> None:
    """Release the caller's objects although the error is cached."""

    class Event:
        pass

    def call() -> weakref.ref[Event]:
        event = Event()
        with pytest.raises(KeyNotFoundError):
            keys.get("one")
        return weakref.ref(event)

    held = call()
    gc.collect()

    assert held() is None


def test_expired_credentials_are_a_transient_error(
    admin: Admin, keys: ServiceKeys, clock: Clock, reader_clients: tuple[Any, Any]
) -> None:
    """Serve stale if botocore cannot refresh its credentials, but raise any other RuntimeError."""
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(60)

    def no_credentials(**_: Any) -> None:
        # https://github.com/boto/botocore, RefreshableCredentials._protected_refresh
        raise RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")

    def deep_stack(**_: Any) -> None:
        raise RecursionError

    events = reader_clients[0].meta.events
    events.register("before-sign.dynamodb", no_credentials, "expired")
    try:
        assert keys.get("one").value == SECRET
    finally:
        events.unregister("before-sign.dynamodb", unique_id="expired")
    clock.passes(60)
    events.register("before-sign.dynamodb", deep_stack, "deep")
    try:
        with pytest.raises(RecursionError):
            keys.get("one")
    finally:
        events.unregister("before-sign.dynamodb", unique_id="deep")


# --- usage stamps ---------------------------------------------------------------------------------------------------


def last_used(admin: Admin, key_id: str) -> float | None:
    shown = admin.get(key_id).data["lastUsed"]
    return datetime.fromisoformat(shown).timestamp() if shown else None


def test_last_used_is_accurate_to_two_minutes(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
    """Compare lastUsed with the last read over intervals from 0.2 s to 300 s; it is never in the future."""
    key = admin.create("Key", service="one")
    assert last_used(admin, key["id"]) is None
    # Earlier than the clock of the admin API, which returns no future timestamps.
    clock.passes(-1200)
    trails = []
    for step in (0, 1, 58, 30, 31, 59, 2, 61, 119, 7, 60, 60, 59.9, 0.2, 300, 45, 45, 45):
        clock.passes(step)
        keys.get("one")
        stamp = last_used(admin, key["id"])
        assert stamp is not None
        trails.append(clock.now - stamp)

    assert max(trails) <= 120
    assert min(trails) >= -0.001, "never in the future"


def test_a_slow_clock_does_not_move_a_stamp_back(
    admin: Admin, keys: ServiceKeys, clock: Clock, store: Store, reader_clients: tuple[Any, Any]
) -> None:
    """Keep the later of the stamps of two consumers, one of whose clocks is 300 s slow."""
    key = admin.create("Key", service="one")
    slow_clock = Clock()
    slow_clock.now = clock.now - 300
    slow = ServiceKeys(store.table, dynamodb_client=reader_clients[0], kms_client=reader_clients[1], clock=slow_clock)
    keys.get("one")
    stamped = last_used(admin, key["id"])

    slow.get("one")

    assert last_used(admin, key["id"]) == stamped


def test_a_late_stamp_does_not_recreate_a_deleted_key(
    admin: Admin, keys: ServiceKeys, store: Store, clock: Clock
) -> None:
    """Write nothing for a key that was deleted after it was read."""
    from service_keys.reader import usage
    from service_keys.store.repository import KeyRepository

    key = admin.create("Key", service="one")
    table = KeyRepository(store.dynamodb, store.table)
    (read,) = table.list_for_service("one")
    admin.delete(key["id"])

    usage.stamp_if_due(table, read, at=clock.now)  # type: ignore[arg-type]

    assert store.items() == []


def test_a_stamp_changes_only_last_used(admin: Admin, keys: ServiceKeys) -> None:
    """Keep the version, the ETag and every other field."""
    key = admin.create("Key", service="one")

    keys.get("one")

    answer = admin.get(key["id"])
    assert answer.headers["ETag"] == '"1"'
    assert answer.data == key | {"lastUsed": answer.data["lastUsed"]}
    assert answer.data["lastUsed"] is not None
    assert admin.update(key["id"], {"active": False}, If_Match='"1"').status == 200


def test_concurrent_stamps_and_changes_are_both_kept(
    admin: Admin, reader_clients: tuple[Any, Any], store: Store, clock: Clock
) -> None:
    """Apply six changes while six consumers read; none of them fails."""
    key = admin.create("Key", service="one")
    dynamodb, kms = reader_clients
    readers = [ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms, clock=clock) for _ in range(6)]

    with ThreadPoolExecutor(12) as pool:
        changes = [pool.submit(admin.update, key["id"], {"description": str(number)}) for number in range(6)]
        reads = [pool.submit(reader.get, "one") for reader in readers]
        assert {change.result().status for change in changes} == {200}
        assert {read.result().value for read in reads} == {SECRET}

    after = admin.get(key["id"]).data
    assert after["version"] == 7
    assert after["lastUsed"] is not None


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "code": "AccessDeniedException"},
        {"status": 400, "code": "ThrottlingException"},
        {"status": 400, "code": "TransactionConflictException"},
        {"status": 400, "code": "ValidationException"},
        {"status": 500},
        {"reset": True},
        pytest.param({"hang": True}, marks=pytest.mark.slow),
    ],
    ids=lambda fault: str(fault.get("code", fault)),
)
def test_a_failed_stamp_does_not_fail_the_read(
    admin: Admin,
    keys: ServiceKeys,
    clock: Clock,
    fault_proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    """Log a failed stamp, and write the next one only after the interval."""
    key = admin.create("Key", service="one")
    with fault_proxy.failing(Fault(STAMP, **fault)):
        assert keys.get("one").value == SECRET
        fault_proxy.clear()
        assert keys.get("one").value == SECRET
        assert fault_proxy.counts() == {}
    assert f"The usage stamp of {key['id']} could not be written" in caplog.text

    clock.passes(60)
    keys.get("one")
    assert last_used(admin, key["id"]) is not None


def test_a_key_of_fields_is_a_mapping(admin: Admin, keys: ServiceKeys) -> None:
    """Return the secret value of a key with fields as a mapping."""
    admin.create("S1", service="spotify", key=SPOTIFY_KEY)

    assert dict(keys.get("spotify")) == SPOTIFY_KEY


# --- metrics --------------------------------------------------------------------------------------------------------


def test_the_examples_metric_filters_match_the_log(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Match the log lines for stale keys, errors and denied access, each once."""
    example = Template.load(path=ROOT / "docs" / "examples" / "spotify_token" / "template.yaml")
    phrases = {
        change["MetricName"]: body["FilterPattern"].strip('"')
        for _, body in example.resources("AWS::Logs::MetricFilter")
        for change in body["MetricTransformations"]
    }
    admin.create("Key", service="one")
    keys.get("one")
    found = []

    def read(*faults: Fault) -> None:
        caplog.clear()
        with fault_proxy.failing(*faults), suppress(ServiceKeysError):
            keys.get("one")
        found.append([metric for metric, phrase in phrases.items() if phrase in caplog.text])

    outage, denied = Fault(QUERY), Fault(QUERY, status=400, code="AccessDeniedException")
    read()
    clock.passes(60)
    read(outage)
    clock.passes(15 * 60)
    read(outage)
    read(outage)
    clock.passes(60)
    read(denied)

    assert found == [[], ["StaleServed"], ["StoreUnavailable"], [], ["ReaderAccessDenied"]]
