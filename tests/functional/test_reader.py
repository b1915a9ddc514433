"""Reading keys as a consumer: caching, selection, transient errors, usage stamps."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from local.template import Template
from service_keys import ServiceKeys
from service_keys.core.consumer_models import EncryptedKey
from service_keys.errors import (
    KeyAccessDeniedError,
    KeyCorruptedError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    ServiceKeysError,
)
from service_keys.reader import usage
from service_keys.store import consumer_clients
from service_keys.store.consumer_repository import ConsumerRepository
from service_keys.store.timeouts import CONSUMER_TIMEOUTS, Timeouts
from tests.functional.conftest import SECRET, Admin, ClientsOf, Store
from tests.support.canary import CANARY
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.processes import ROOT
from tests.support.slow import with_slow

NEW_SECRET = f"another-made-up-{CANARY}-9876"
QUERY, DECRYPT, STAMP = "DynamoDB.Query", "KMS.Decrypt", "DynamoDB.UpdateItem"


@dataclass
class Clock:
    """Seconds since the Unix epoch, advanced by the test."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admin(stack: Any, store: Store) -> Admin:
    return Admin(stack)


@pytest.fixture
def reader_clients(request: pytest.FixtureRequest, clients_of: ClientsOf, client_kind: str) -> tuple[Any, Any]:
    """Create clients as the package does, but with its timeouts only in tests about a silent endpoint.

    With these timeouts, other tests would depend on the speed of the machine.
    """
    silent = "silent" in request.node.name
    return clients_of("ReadAllKeys", CONSUMER_TIMEOUTS if silent else Timeouts(30, 30), kind=client_kind)


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


def test_refreshes_are_single_flight(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """Call AWS from one of a thousand threads; the others wait for its result."""
    admin.create("Key", service="one")
    fault_proxy.clear()
    barrier = threading.Barrier(1000)

    def read(_: int) -> str:
        barrier.wait()
        return keys.get("one").value

    with ThreadPoolExecutor(1000) as pool:
        assert list(pool.map(read, range(1000))) == [SECRET] * 1000
    assert fault_proxy.counts() == {QUERY: 1, DECRYPT: 1, STAMP: 1}


def test_a_snapshot_spans_several_query_pages(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    """Find the only active key behind more than 1 MB of disabled ones."""
    oldest = admin.create("Oldest", service="one")
    item = store.item(oldest["id"]) | {"active": {"BOOL": False}, "description": {"S": "x" * 390_000}}
    for number in range(4):
        store.put(item | {"id": {"S": oldest["id"][:-6] + f"zzzzz{number}"}, "name": {"S": f"Name {number}"}})

    assert keys.get("one").id == oldest["id"]


def test_the_newest_active_key_is_selected(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
    """Fall back to the older key when the newer one is disabled, and report disabled and deleted keys."""
    old = admin.create("Old", service="one", key=SECRET)
    assert keys.get("one").id == old["id"]
    new = admin.create("New", service="one", key=NEW_SECRET)
    clock.now += 61
    assert keys.get("one").id == new["id"]

    admin.update(new["id"], {"active": False})
    clock.now += 61
    assert keys.get("one").value == SECRET

    admin.update(old["id"], {"active": False})
    clock.now += 61
    with pytest.raises(KeyDisabledError, match="enable"):
        keys.get("one")

    admin.delete(old["id"])
    admin.delete(new["id"])
    clock.now += 6
    with pytest.raises(KeyNotFoundError, match="store one"):
        keys.get("one")


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
    "unknown": {"status": 400, "code": "MadeUpException"},
}


@pytest.mark.parametrize("operation", [QUERY, DECRYPT])
@pytest.mark.parametrize("outage", with_slow(OUTAGES, "silent"))
def test_a_key_is_served_stale_for_15_minutes(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, caplog: Any, outage: str, operation: str
) -> None:
    """Serve the cached key during a transient error, then raise KeyStoreUnavailableError; log the age and the cause."""
    key = admin.create("Key", service="one")
    keys.get("one")
    if operation == DECRYPT:
        # Only a new secret value has to be decrypted.
        admin.update(key["id"], {"key": NEW_SECRET})
    subject, source = (key["id"], "KMS") if operation == DECRYPT else ("one", "DynamoDB")
    with fault_proxy.failing(Fault(operation, **OUTAGES[outage])):
        for seconds, age in ((60, 60), (839.75, 899)):
            clock.now += seconds
            assert keys.get("one").value == SECRET
            expected = f"Service Keys: served stale: {subject} as it was {age} s ago. {source} "
            assert caplog.messages[-1].startswith(expected)
        fault_proxy.clear()
        assert keys.get("one").value == SECRET
        assert fault_proxy.counts() == {}, "the next refresh waits for the backoff"
        clock.now += 0.25
        with pytest.raises(KeyStoreUnavailableError, match=f"from the last 15 minutes is available: {source} "):
            keys.get("one")
        fault_proxy.clear()
        with pytest.raises(KeyStoreUnavailableError):
            keys.get("one")
        assert fault_proxy.counts() == {}
    assert SECRET not in caplog.text

    clock.now += 5
    assert keys.get("one").value == (NEW_SECRET if operation == DECRYPT else SECRET)


def test_a_connect_timeout_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, stack: Any, store: Store, reader_clients: tuple[Any, Any], client_kind: str
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
        monkeypatch.setenv("SERVICE_KEYS_CLIENT", client_kind)
        (dynamodb,) = consumer_clients.clients("dynamodb")
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
    clock.now += 3600
    denied = Fault(operation, status=400, code="AccessDeniedException")
    with fault_proxy.failing(denied), pytest.raises(KeyAccessDeniedError, match="IAM policy"):
        keys.get("one")
    with fault_proxy.failing(Fault(QUERY), Fault(DECRYPT)):
        for seconds in (0, 6, 60):
            clock.now += seconds
            for name in (None, "Key"):
                with pytest.raises((KeyAccessDeniedError, KeyStoreUnavailableError)):
                    keys.get("one", name=name)

    clock.now += 6
    assert keys.get("one").value == SECRET


@pytest.mark.parametrize(
    ("operation", "code", "advice"),
    [
        (DECRYPT, "DisabledException", "KMS key"),
        (DECRYPT, "KMSInvalidStateException", "KMS key"),
        (DECRYPT, "NotFoundException", "KMS key"),
        (QUERY, "ResourceNotFoundException", "name of the table"),
    ],
)
def test_an_unusable_kms_key_or_table_is_access_denied(
    admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy, operation: str, code: str, advice: str
) -> None:
    """Raise KeyAccessDeniedError with advice for a disabled, pending or missing KMS key and a missing table."""
    admin.create("Key", service="one")
    fault = Fault(operation, status=400, code=code)
    with fault_proxy.failing(fault), pytest.raises(KeyAccessDeniedError, match=advice):
        keys.get("one")


def test_a_table_outside_the_policy_is_access_denied(
    reader_clients: tuple[Any, Any], store: Store, fault_proxy: FaultProxy
) -> None:
    """Raise KeyAccessDeniedError for a table that the consumer's policy does not name."""
    keys = ServiceKeys("another-table", dynamodb_client=reader_clients[0], kms_client=reader_clients[1])

    with pytest.raises(KeyAccessDeniedError, match="name of the table"):
        keys.get("one")
    assert "another-table" in fault_proxy.denials.pop()


@pytest.mark.parametrize("damage", ["another key's", "broken", "ciphertext", "name", "active"])
def test_a_malformed_key_is_not_served(
    admin: Admin, keys: ServiceKeys, store: Store, clock: Clock, fault_proxy: FaultProxy, damage: str
) -> None:
    """Raise KeyCorruptedError for a bad ciphertext or a missing attribute, keep no plaintext, serve other services."""
    key = admin.create("Key", service="one")
    other = admin.create("Other", service="two")
    keys.get("one")
    item = store.item(key["id"])
    if damage == "another key's":
        item["ciphertext"] = store.item(other["id"])["ciphertext"]
    elif damage == "broken":
        item["ciphertext"] = {"B": b"not a ciphertext"}
    else:
        del item[damage]
    store.put(item)
    clock.now += 60
    fault_proxy.clear()

    for _ in range(10):
        with pytest.raises(KeyCorruptedError, match=r"tore the key again|tore it again"):
            keys.get("one")

    assert fault_proxy.counts()[DECRYPT] <= 1
    assert keys._services["one"].plaintexts == {}
    assert keys.get("two").value == SECRET


def test_a_stub_item_is_ignored(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    """Ignore an item with only `lastUsed` in reads, lists and changes."""
    key = admin.create("Key", service="one")
    stub = {"service": {"S": "one"}, "id": {"S": "one.zzzzzzzzzzzz"}, "lastUsed": {"S": "2026-01-01T00:00:00.000Z"}}
    store.put(stub)

    assert keys.get("one").id == key["id"]
    for query in ({}, {"service": "one"}):
        assert [listed["id"] for listed in admin.listing(**query).data] == [key["id"]]
    for response in (admin.get("one.zzzzzzzzzzzz"), admin.update("one.zzzzzzzzzzzz", {"active": True})):
        assert response.code == "API_KEY_NOT_FOUND"


def test_an_item_copied_from_another_service_is_not_served(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    """Raise KeyCorruptedError if the id of an item belongs to another service."""
    key = admin.create("Other", service="other")
    store.put(store.item(key["id"]) | {"service": {"S": "one"}})

    with pytest.raises(KeyCorruptedError):
        keys.get("one")


# --- usage stamps ---------------------------------------------------------------------------------------------------


def last_used(admin: Admin, key_id: str) -> float | None:
    stamp = admin.get(key_id).data["lastUsed"]
    return datetime.fromisoformat(stamp).timestamp() if stamp else None


def test_last_used_is_accurate_to_two_minutes(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
    """Compare lastUsed with the last read over intervals from 0.2 s to 300 s; it is never in the future."""
    key = admin.create("Key", service="one")
    assert last_used(admin, key["id"]) is None
    # Earlier than the clock of the admin API, which returns no future timestamps.
    clock.now -= 1200
    ages = []
    for step in (0, 1, 58, 30, 31, 59, 2, 61, 119, 7, 60, 60, 59.9, 0.2, 300, 45, 45, 45):
        clock.now += step
        keys.get("one")
        stamp = last_used(admin, key["id"])
        assert stamp is not None
        ages.append(clock.now - stamp)

    assert max(ages) <= 120
    assert min(ages) >= -0.001, "never in the future"


def test_a_late_stamp_does_not_recreate_a_deleted_key(admin: Admin, store: Store, clock: Clock) -> None:
    """Write nothing for a key that was deleted after it was read."""
    key = admin.create("Key", service="one")
    table = ConsumerRepository(store.dynamodb, store.table)
    (read,) = table.list_for_service("one")
    assert isinstance(read, EncryptedKey)
    admin.delete(key["id"])

    usage.stamp_if_due(table, read, at=clock.now)

    assert store.current_items() == []


def test_a_stamp_changes_only_last_used(admin: Admin, keys: ServiceKeys) -> None:
    """Keep the version, the ETag and every other field."""
    key = admin.create("Key", service="one")

    keys.get("one")

    response = admin.get(key["id"])
    assert response.headers["ETag"] == '"1"'
    assert response.data == key | {"lastUsed": response.data["lastUsed"]}
    assert response.data["lastUsed"] is not None
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
    clock.now += 60
    read(outage)
    clock.now += 15 * 60
    read(outage)
    read(outage)
    clock.now += 60
    read(denied)

    assert found == [[], ["StaleServed"], ["StoreUnavailable"], [], ["ReaderAccessDenied"]]
