"""Other functions read keys: fast, right, calm."""

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
    """Seconds since the Unix epoch, which pass when told to."""

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
    """The clients that the package makes, with its timeouts only where a test is about these.

    Elsewhere they would make the test depend on how fast a busy machine answers.
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


# --- calls on the wire ----------------------------------------------------------------------------------------------


def test_a_cold_read_looks_decrypts_and_stamps_and_a_warm_one_does_nothing(
    admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy
) -> None:
    admin.create("OpenAI", key=f"sk-{SECRET}")
    fault_proxy.clear()

    assert keys.get("openai").value == f"sk-{SECRET}"
    assert fault_proxy.counts() == {QUERY: 1, DECRYPT: 1, STAMP: 1}

    fault_proxy.clear()
    for _ in range(100):
        keys.get("openai")
    assert fault_proxy.counts() == {}


def test_after_a_minute_one_look_and_no_decryption(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(59.9)
    fault_proxy.clear()
    keys.get("one")
    assert fault_proxy.counts() == {}

    clock.passes(0.2)
    keys.get("one")
    assert fault_proxy.counts() == {QUERY: 1, STAMP: 1}


def test_after_an_hour_the_key_is_decrypted_again(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(3599)
    keys.get("one")
    fault_proxy.clear()

    clock.passes(61)
    keys.get("one")

    assert fault_proxy.counts()[DECRYPT] == 1


def test_a_frozen_process_that_wakes_an_hour_later_looks_first(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    key = admin.create("Key", service="one")
    keys.get("one")
    admin.update(key["id"], {"active": False})

    clock.passes(3600)

    with pytest.raises(KeyDisabledError):
        keys.get("one")


@pytest.mark.parametrize("jump", [-3600, 3600, -0.5])
def test_a_clock_that_jumps_makes_the_reader_look(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, jump: float
) -> None:
    admin.create("Key", service="one")
    keys.get("one")
    fault_proxy.clear()

    clock.passes(jump)

    assert keys.get("one").value == SECRET
    assert fault_proxy.counts()[QUERY] == 1


def test_a_thousand_threads_share_one_look(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    """One thread calls AWS, however long its calls take; the others wait for it."""
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


def test_a_changed_name_costs_no_decryption(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    key = admin.create("Before", service="one")
    keys.get("one")
    admin.update(key["id"], {"name": "After"})
    clock.passes(61)
    fault_proxy.clear()

    read = keys.get("one")

    assert (read.name, read.version, read.value) == ("After", 2, SECRET)
    assert fault_proxy.counts()[DECRYPT] == 0


def test_names_share_the_look(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    admin.create("Old", service="one", key=SECRET)
    admin.create("New", service="one", key=NEW_SECRET)
    fault_proxy.clear()

    assert keys.get("one").value == NEW_SECRET
    assert keys.get("one", name="OLD").value == SECRET
    assert keys.get("one", name="new").value == NEW_SECRET

    assert fault_proxy.counts() == {QUERY: 1, DECRYPT: 2, STAMP: 2}


def test_more_keys_than_a_page_holds_are_all_found(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    oldest = admin.create("Oldest", service="one")
    item = store.item(oldest["id"]) | {"active": {"BOOL": False}, "description": {"S": "x" * 390_000}}
    for number in range(4):
        store.put(item | {"id": {"S": oldest["id"][:-6] + f"zzzzz{number}"}, "name": {"S": f"Name {number}"}})

    assert keys.get("one").id == oldest["id"]


# --- which key ------------------------------------------------------------------------------------------------------


def test_the_newest_active_key_wins_and_disabling_it_falls_back(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
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
def test_a_key_that_ended_is_never_served_again_not_even_in_an_outage(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, end: str
) -> None:
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


def test_what_an_administrator_mends_is_seen_within_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    key = admin.create("Key", service="one", active=False)
    fault_proxy.clear()
    for _ in range(50):
        with pytest.raises(KeyDisabledError):
            keys.get("one")
    assert fault_proxy.counts() == {QUERY: 1}

    admin.update(key["id"], {"active": True})
    clock.passes(5)

    assert keys.get("one").value == SECRET


def test_a_name_that_was_not_there_is_found_once_it_is(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
    admin.create("Old", service="one")
    keys.get("one")
    with pytest.raises(KeyNotFoundError, match="'New'"):
        keys.get("one", name="New")
    admin.create("New", service="one", key=NEW_SECRET)
    clock.passes(5)

    assert keys.get("one", name="New").value == NEW_SECRET


@pytest.mark.parametrize("service", ["", "Spotify", "#name", "a b", "x" * 41])
def test_a_service_that_cannot_be_costs_no_call(keys: ServiceKeys, fault_proxy: FaultProxy, service: str) -> None:
    fault_proxy.clear()

    with pytest.raises(KeyNotFoundError, match="lower-case"):
        keys.get(service)

    assert fault_proxy.counts() == {}


# --- refresh --------------------------------------------------------------------------------------------------------


def test_refresh_sees_a_new_secret_at_once_and_at_most_every_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
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


def test_refresh_in_an_outage_tries_at_most_every_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    admin.create("Key", service="one")
    keys.get("one")
    clock.passes(6)
    with fault_proxy.failing(Fault(QUERY, reset=True)):
        fault_proxy.clear()
        for _ in range(50):
            assert keys.get("one", refresh=True).value == SECRET
    assert fault_proxy.counts() == {QUERY: 2}, "one call, which botocore tries twice"


def test_what_a_refresh_sees_holds_for_every_name_and_nothing_of_it_is_kept(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
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


# --- bad luck -------------------------------------------------------------------------------------------------------

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
def test_an_outage_is_bridged_for_a_quarter_of_an_hour(
    admin: Admin,
    keys: ServiceKeys,
    clock: Clock,
    fault_proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
    outage: str,
    operation: str,
) -> None:
    key = admin.create("Key", service="one")
    keys.get("one")
    if operation == DECRYPT:
        # Only what is new has to be decrypted.
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


def test_an_outage_on_a_cold_start_is_told(admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    admin.create("Key", service="one")

    with fault_proxy.failing(Fault(QUERY)), pytest.raises(KeyStoreUnavailableError):
        keys.get("one")


def test_an_endpoint_that_does_not_take_connections_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, stack: Any, store: Store, reader_clients: tuple[Any, Any]
) -> None:
    # A full backlog: Linux drops what comes next, and the client runs into its connect timeout.
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
def test_who_is_denied_gets_nothing_from_then_on(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, operation: str
) -> None:
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
def test_a_kms_key_that_is_switched_off_denies(
    admin: Admin, keys: ServiceKeys, fault_proxy: FaultProxy, code: str
) -> None:
    admin.create("Key", service="one")

    with (
        fault_proxy.failing(Fault(DECRYPT, status=400, code=code)),
        pytest.raises(KeyAccessDeniedError, match="KMS key"),
    ):
        keys.get("one")


def test_a_table_that_is_not_there_denies(keys: ServiceKeys, fault_proxy: FaultProxy) -> None:
    missing = Fault(QUERY, status=400, code="ResourceNotFoundException")

    with fault_proxy.failing(missing), pytest.raises(KeyAccessDeniedError, match="name of the table"):
        keys.get("one")


def test_another_table_denies(
    reader_clients: tuple[Any, Any], clock: Clock, store: Store, fault_proxy: FaultProxy
) -> None:
    dynamodb, kms = reader_clients
    keys = ServiceKeys("another-table", dynamodb_client=dynamodb, kms_client=kms, clock=clock)

    with pytest.raises(KeyAccessDeniedError, match="name of the table"):
        keys.get("one")
    assert "another-table" in fault_proxy.denials.pop()


@pytest.mark.parametrize("damage", ["another key's", "broken", "missing", "nameless", "neither on nor off"])
def test_a_damaged_key_is_not_served(
    admin: Admin, keys: ServiceKeys, store: Store, clock: Clock, fault_proxy: FaultProxy, damage: str
) -> None:
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


def test_a_damaged_key_is_in_nobodys_way(admin: Admin, keys: ServiceKeys, store: Store) -> None:
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
    """Consumers see errors of this package only; the message names AWS's code."""
    admin.create("Key", service="one")
    unknown = Fault(operation, status=status, code="MadeUpException")

    with fault_proxy.failing(unknown), pytest.raises(KeyStoreUnavailableError, match="MadeUpException"):
        keys.get("one")


# --- what must not come back in an outage ---------------------------------------------------------------------------


def test_a_replaced_secret_does_not_come_back_by_another_name(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    key = admin.create("Key", service="one")
    assert keys.get("one", name="Key").value == SECRET
    admin.update(key["id"], {"key": NEW_SECRET})
    clock.passes(60)
    assert keys.get("one").value == NEW_SECRET
    clock.passes(60)

    with fault_proxy.failing(Fault(QUERY)):
        assert keys.get("one", name="Key").value == NEW_SECRET


@pytest.mark.parametrize("operation", [QUERY, DECRYPT])
def test_a_name_that_moved_to_another_key_leads_to_that_key(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, operation: str
) -> None:
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


def test_while_kms_is_out_of_reach_the_table_still_decides(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
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


def test_while_kms_is_out_of_reach_the_key_before_serves(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    admin.create("Old", service="one")
    keys.get("one")
    admin.create("New", service="one", key=NEW_SECRET)
    clock.passes(60)

    with fault_proxy.failing(Fault(DECRYPT)):
        assert keys.get("one").value == SECRET
    clock.passes(5)
    assert keys.get("one").value == NEW_SECRET


def test_a_replaced_secret_serves_no_longer_than_the_limit_when_the_table_goes_too(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
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


def test_one_bad_moment_delays_a_look_by_five_seconds(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
    key = admin.create("Key", service="one")
    keys.get("one")
    clock.passes(60)
    with fault_proxy.failing(Fault(QUERY)):
        keys.get("one")
    admin.update(key["id"], {"active": False})

    clock.passes(5)

    with pytest.raises(KeyDisabledError):
        keys.get("one")


def test_the_pause_between_tries_grows_to_half_a_minute(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
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


def test_a_process_that_was_frozen_in_a_look_does_not_serve_what_is_long_past(
    admin: Admin, store: Store, reader_clients: tuple[Any, Any], clock: Clock, fault_proxy: FaultProxy
) -> None:
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


# --- what must not be in the way ------------------------------------------------------------------------------------


def test_what_a_misused_reader_policy_can_write_is_in_nobodys_way(
    admin: Admin, keys: ServiceKeys, store: Store
) -> None:
    key = admin.create("Key", service="one")
    stub = {"service": {"S": "one"}, "id": {"S": "one.zzzzzzzzzzzz"}, "lastUsed": {"S": "2026-01-01T00:00:00.000Z"}}
    store.put(stub)

    assert keys.get("one").id == key["id"]
    for query in ({}, {"service": "one"}):
        assert [shown["id"] for shown in admin.listing(**query).data] == [key["id"]]
    for answer in (admin.get("one.zzzzzzzzzzzz"), admin.update("one.zzzzzzzzzzzz", {"active": True})):
        assert answer.code == "API_KEY_NOT_FOUND"


def test_an_item_moved_in_from_another_service_is_not_served(admin: Admin, keys: ServiceKeys, store: Store) -> None:
    key = admin.create("Other", service="other")
    store.put(store.item(key["id"]) | {"service": {"S": "one"}})

    with pytest.raises(KeyCorruptedError):
        keys.get("one")


def test_a_log_handler_that_reads_a_key_does_not_block(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy
) -> None:
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


def test_a_refusal_does_not_keep_what_its_first_caller_held(admin: Admin, keys: ServiceKeys) -> None:
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


def test_credentials_that_ran_out_are_an_outage(
    admin: Admin, keys: ServiceKeys, clock: Clock, reader_clients: tuple[Any, Any]
) -> None:
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


# --- usage ----------------------------------------------------------------------------------------------------------


def last_used(admin: Admin, key_id: str) -> float | None:
    shown = admin.get(key_id).data["lastUsed"]
    return datetime.fromisoformat(shown).timestamp() if shown else None


def test_last_used_trails_the_last_read_by_two_minutes_at_most(admin: Admin, keys: ServiceKeys, clock: Clock) -> None:
    key = admin.create("Key", service="one")
    assert last_used(admin, key["id"]) is None
    # Behind the administrator's, who is shown no moment that is to come.
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


def test_two_readers_never_move_a_stamp_back(
    admin: Admin, keys: ServiceKeys, clock: Clock, store: Store, reader_clients: tuple[Any, Any]
) -> None:
    key = admin.create("Key", service="one")
    slow_clock = Clock()
    slow_clock.now = clock.now - 300
    slow = ServiceKeys(store.table, dynamodb_client=reader_clients[0], kms_client=reader_clients[1], clock=slow_clock)
    keys.get("one")
    stamped = last_used(admin, key["id"])

    slow.get("one")

    assert last_used(admin, key["id"]) == stamped


def test_a_late_stamp_brings_no_deleted_key_back(admin: Admin, keys: ServiceKeys, store: Store, clock: Clock) -> None:
    from service_keys.reader import usage
    from service_keys.store.repository import KeyRepository

    key = admin.create("Key", service="one")
    table = KeyRepository(store.dynamodb, store.table)
    (read,) = table.list_for_service("one")
    admin.delete(key["id"])

    usage.stamp_if_due(table, read, at=clock.now)  # type: ignore[arg-type]

    assert store.items() == []


def test_a_stamp_changes_nothing_else(admin: Admin, keys: ServiceKeys) -> None:
    key = admin.create("Key", service="one")

    keys.get("one")

    answer = admin.get(key["id"])
    assert answer.headers["ETag"] == '"1"'
    assert answer.data == key | {"lastUsed": answer.data["lastUsed"]}
    assert answer.data["lastUsed"] is not None
    assert admin.update(key["id"], {"active": False}, If_Match='"1"').status == 200


def test_a_stamp_and_an_administrators_change_at_once_are_both_kept(
    admin: Admin, reader_clients: tuple[Any, Any], store: Store, clock: Clock
) -> None:
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
def test_a_stamp_that_fails_breaks_no_read_and_is_not_tried_again(
    admin: Admin,
    keys: ServiceKeys,
    clock: Clock,
    fault_proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
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


def test_a_key_of_parts_reads_by_its_parts(admin: Admin, keys: ServiceKeys) -> None:
    admin.create("S1", service="spotify", key=SPOTIFY_KEY)

    assert dict(keys.get("spotify")) == SPOTIFY_KEY


# --- what operators count -------------------------------------------------------------------------------------------


def test_the_examples_metric_filters_find_what_they_count(
    admin: Admin, keys: ServiceKeys, clock: Clock, fault_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
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
