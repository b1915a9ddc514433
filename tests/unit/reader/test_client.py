"""Tests of `ServiceKeys` with a simulated AWS: lifetimes, errors, memory, arguments, threads.

`test_client_model` tests random sequences, and tests/functional/test_reader.py the whole stack.
"""

from __future__ import annotations

import copy
import gc
import json
import logging
import sys
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import service_keys
from service_keys import ServiceKeys
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import (
    ConfigurationError,
    KeyAccessDeniedError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    ServiceKeysError,
)
from service_keys.reader import default_client
from service_keys.store import aws_clients
from service_keys.store.timeouts import CONSUMER_TIMEOUTS, Timeouts
from service_keys.testing import fake_api_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.simulated_aws import Aws, Item

OFF = {"BOOL": False}


@pytest.fixture
def keys(aws: Aws, clients: tuple[Any, Any]) -> ServiceKeys:
    return ServiceKeys("table", dynamodb_client=clients[0], kms_client=clients[1], clock=lambda: aws.now)


def create(aws: Aws, name: str, service: str = "one") -> Item:
    aws.create(service, name)
    return aws.items[service][max(aws.items[service])]


@pytest.fixture
def item(aws: Aws) -> Item:
    """The only key of a service."""
    return create(aws, "Prod")


def value(item: Item) -> str:
    """Return the secret value that an administrator stored."""
    text: str = json.loads(item["ciphertext"]["B"])["value"]
    return text


def calls(aws: Aws) -> list[str]:
    """Return the operations since the last call, without usage stamps."""
    operations = [operation for operation, _, _ in aws.calls if operation != "UpdateItem"]
    aws.calls.clear()
    return operations


def miss(keys: ServiceKeys, service: str, name: str | None = None) -> None:
    with pytest.raises(KeyNotFoundError):
        keys.get(service, name=name)


# --- lifetimes ------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_fresh_for_60_seconds(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Send no Query for 60 s, then refresh without another decryption."""
    keys.get("one")
    assert calls(aws) == ["Query", "Decrypt"]
    aws.now += 59.75
    keys.get("one")
    keys.get("one", name="PROD")
    assert calls(aws) == []

    aws.now += 0.25
    keys.get("one")
    assert calls(aws) == ["Query"]


@pytest.mark.parametrize(("seconds", "expected"), [(3599.75, ["Query"]), (3600, ["Query", "Decrypt"])])
def test_a_plaintext_is_cached_for_an_hour(
    aws: Aws, keys: ServiceKeys, item: Item, seconds: float, expected: list[str]
) -> None:
    """Decrypt an unchanged ciphertext again with the first refresh from 3,600 s on."""
    keys.get("one")
    calls(aws)
    aws.now += seconds
    keys.get("one")
    assert calls(aws) == expected


@pytest.mark.parametrize("seconds", [60, 3600, -3600, -0.5])
def test_a_disabled_key_stops_after_a_minute_or_a_clock_jump(
    aws: Aws, keys: ServiceKeys, item: Item, seconds: float
) -> None:
    """Refresh after a minute, after a freeze of an hour, and after the clock was set back."""
    keys.get("one")
    item["active"] = OFF
    aws.now += seconds
    with pytest.raises(KeyDisabledError):
        keys.get("one")
    assert calls(aws) == ["Query", "Decrypt", "Query"]


@pytest.mark.parametrize(("state", "expected"), [("up", ["Query", "Decrypt"]), ("unreachable", ["Query"])])
def test_refresh_is_limited_to_one_query_in_five_seconds(
    aws: Aws, keys: ServiceKeys, item: Item, state: str, expected: list[str]
) -> None:
    """Return the new secret value with the first refresh after 5 s; a failed refresh counts too."""
    old = keys.get("one").value
    aws.replace_key(item)
    aws.state["Query"] = state
    calls(aws)
    aws.now += 4.75
    assert keys.get("one", refresh=True).value == old
    assert calls(aws) == []

    aws.now += 0.25
    for _ in range(3):
        assert keys.get("one", refresh=True).value == (value(item) if state == "up" else old)
    assert calls(aws) == expected


def test_a_cached_error_expires_after_five_seconds(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Send no call for 5 s, then serve the key that was enabled after the error."""
    item["active"] = OFF
    for seconds in (0, 2.25, 2.5):
        aws.now += seconds
        with pytest.raises(KeyDisabledError, match="Every key of the service 'one' is disabled"):
            keys.get("one")
    assert calls(aws) == ["Query"]
    item["active"] = {"BOOL": True}

    aws.now += 0.25
    assert keys.get("one").id == item["id"]["S"]


def test_a_not_found_error_names_the_service_and_the_name(
    aws: Aws, keys: ServiceKeys, item: Item, caplog: pytest.LogCaptureFixture
) -> None:
    """Distinguish a missing service, a missing name and disabled keys; log nothing."""
    missing = r"^There is no key of the service 'two'\. An administrator can store one\.$"
    with pytest.raises(KeyNotFoundError, match=missing):
        keys.get("two")
    # The second read refreshes again.
    for _ in range(2):
        with pytest.raises(KeyNotFoundError, match=r"^There is no key of the service 'one' with the name 'Next'\. "):
            keys.get("one", name="Next")
        aws.now += 5
    item["active"] = OFF
    aws.now += 60
    with pytest.raises(KeyDisabledError, match=r"^Every key of the service 'one' with the name 'prod' is disabled\. "):
        keys.get("one", name="prod")
    assert caplog.messages == []


# --- transient errors -----------------------------------------------------------------------------------------------


def test_the_stale_limit_counts_from_the_last_snapshot(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Serve the old secret value for 15 minutes after the last snapshot that contained it."""
    old = keys.get("one").value
    aws.now += 600
    keys.get("one")
    aws.replace_key(item)
    aws.state["Decrypt"] = "throttled"

    aws.now += 899
    assert keys.get("one").value == old


def test_errors_of_kms_then_dynamodb_share_one_stale_limit(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Serve a replaced secret value for at most 15 minutes although DynamoDB failed later than KMS."""
    old = keys.get("one").value
    aws.replace_key(item)
    aws.state["Decrypt"] = "throttled"
    aws.now += 60
    keys.get("one")
    aws.state["Query"] = "throttled"
    aws.now += 835
    assert keys.get("one").value == old

    aws.now += 6
    with pytest.raises(KeyStoreUnavailableError):
        keys.get("one")


@pytest.mark.parametrize(
    ("operation", "tried"),
    [
        ("Query", [0, 5, 15, 35, 65, 95, 125]),
        # A successful refresh, once a minute, resets the backoff.
        ("Decrypt", [0, 5, 15, 35, 60, 65, 75, 95, 120, 125]),
    ],
)
def test_the_backoff_doubles_up_to_30_seconds_and_resets(
    aws: Aws, keys: ServiceKeys, item: Item, operation: str, tried: list[int]
) -> None:
    """Start with 5 s, and reset after a success."""

    def tries() -> list[float]:
        seen = []
        for half in range(0, 260, 5):
            keys.get("one")
            seen += [half / 2] * (operation in calls(aws))
            aws.now += 2.5
        return seen

    keys.get("one")
    for _ in range(2):
        aws.replace_key(item)
        aws.now += 60
        aws.state[operation] = "throttled"
        assert tries() == tried
        aws.state[operation] = "up"
        aws.now += 60
        keys.get("one")
        calls(aws)


@pytest.mark.parametrize("end", [KeyDisabledError, KeyNotFoundError])
def test_a_disabled_or_deleted_key_is_never_served_stale(
    aws: Aws, keys: ServiceKeys, item: Item, end: type[ServiceKeysError]
) -> None:
    """Raise an error even while DynamoDB has transient errors."""
    keys.get("one")
    keys.get("one", name="Prod")
    if end is KeyDisabledError:
        item["active"] = OFF
    else:
        aws.items["one"].clear()
    aws.now += 60
    with pytest.raises(end):
        keys.get("one", refresh=True)
    assert keys._services["one"].plaintexts == {}

    aws.state["Query"] = "throttled"
    for seconds in (1, 5, 30, 60, 600):
        aws.now += seconds
        for name in (None, "Prod"):
            with pytest.raises((end, KeyStoreUnavailableError)):
                keys.get("one", name=name)


def test_the_previous_key_is_served_during_a_kms_error(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Serve the older key until the newer one can be decrypted."""
    keys.get("one")
    newer = create(aws, "Next")
    aws.state["Decrypt"] = "throttled"
    aws.now += 60
    assert keys.get("one").value == value(item)

    aws.state["Decrypt"] = "up"
    aws.now += 5
    assert keys.get("one").value == value(newer)


def test_a_process_frozen_in_a_refresh_serves_no_expired_key(
    monkeypatch: pytest.MonkeyPatch, aws: Aws, keys: ServiceKeys, item: Item
) -> None:
    """Raise KeyStoreUnavailableError if the process was frozen for two hours during a failed Query."""
    keys.get("one")
    aws.now += 60

    def freeze(_: object) -> str:
        aws.now += 7200
        return "ThrottlingException"

    monkeypatch.setattr(aws, "_query", freeze)
    with pytest.raises(KeyStoreUnavailableError):
        keys.get("one")


def test_expired_credentials_are_a_transient_error(
    monkeypatch: pytest.MonkeyPatch, aws: Aws, keys: ServiceKeys, item: Item
) -> None:
    """Serve stale if botocore cannot refresh its credentials."""
    keys.get("one")
    aws.now += 60

    def fail(_: object) -> None:
        # https://github.com/boto/botocore, RefreshableCredentials._protected_refresh
        raise RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")

    monkeypatch.setattr(aws, "_query", fail)
    assert keys.get("one").value == value(item)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("throttled", "Service Keys: unavailable: no key of one to serve. No cached key from the last 15 minutes"),
        ("denied", "Service Keys: access denied: no key of one to serve. DynamoDB refused Query (AccessDenied"),
    ],
)
def test_a_read_without_a_key_is_logged_once_per_refresh(
    aws: Aws, keys: ServiceKeys, caplog: pytest.LogCaptureFixture, state: str, expected: str
) -> None:
    """Log the first of three reads that share a transient or permanent error."""
    aws.state["Query"] = state

    for _ in range(3):
        with pytest.raises(ServiceKeysError):
            keys.get("one")

    (message,) = caplog.messages
    assert message.startswith(expected)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:4566", " AWS_ENDPOINT_URL is http://127.0.0.1:4566: check that its server runs."),
        ("http://user:made-up-password@proxy", ""),
        ("", ""),
    ],
)
def test_an_unavailable_store_is_named_by_its_endpoint(
    aws: Aws, keys: ServiceKeys, monkeypatch: pytest.MonkeyPatch, endpoint: str, words: str
) -> None:
    """An emulator that has ended is the likely cause; a URL that may hold a password is left out."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    aws.state["Query"] = "throttled"

    with pytest.raises(KeyStoreUnavailableError, match="No cached key from the last 15 minutes") as caught:
        keys.get("one")

    assert str(caught.value).partition("Try again shortly.")[2] == words


# --- permanent and program errors -----------------------------------------------------------------------------------


def test_a_denied_key_is_evicted_and_others_are_kept(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Evict one key if KMS denies Decrypt, all keys if DynamoDB denies Query."""
    keys.get("one")
    newer = create(aws, "Next")
    aws.now += 60
    keys.get("one")
    assert len(keys._services["one"].plaintexts) == 2
    aws.replace_key(newer)
    aws.state["Decrypt"] = "denied"
    aws.now += 60
    calls(aws)

    for _ in range(3):
        with pytest.raises(KeyAccessDeniedError, match="KMS refused Decrypt"):
            keys.get("one")
    assert calls(aws) == ["Query", "Decrypt"]
    assert set(keys._services["one"].plaintexts) == {item["id"]["S"]}

    aws.state["Query"] = "denied"
    aws.now += 60
    with pytest.raises(KeyAccessDeniedError, match="DynamoDB refused Query"):
        keys.get("one")
    assert keys._services["one"].plaintexts == {}


@pytest.mark.parametrize("operation", ["Query", "Decrypt"])
@pytest.mark.parametrize("error", [RecursionError, MemoryError, TypeError, RuntimeError, KeyboardInterrupt])
def test_a_program_error_is_not_served_stale(
    aws: Aws, keys: ServiceKeys, item: Item, operation: str, error: type[BaseException]
) -> None:
    """Raise it unchanged; the next read succeeds."""
    keys.get("one")
    aws.replace_key(item)
    aws.now += 60
    aws.state[operation] = error
    with pytest.raises(error):
        keys.get("one")

    aws.state[operation] = "up"
    assert keys.get("one").version == 3


def test_a_recursion_error_is_not_hidden_by_a_cached_key(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Raise a real RecursionError at several depths of botocore."""
    keys.get("one")
    aws.now += 60
    outcomes: set[str] = set()

    def descend(depth: int) -> None:
        if depth:
            descend(depth - 1)
            return
        aws.now += 60
        outcomes.add(keys.get("one", refresh=True).name)

    limit = sys.getrecursionlimit()
    for left in range(20, 300, 7):
        try:
            descend(limit - left)
        except RecursionError:
            outcomes.add("RecursionError")

    assert outcomes <= {"Prod", "RecursionError"}
    assert keys.get("one").name == "Prod"


def test_a_cached_error_keeps_no_frames_alive(keys: ServiceKeys) -> None:
    """Release the caller's objects although the error is cached."""

    class Event:
        pass

    def call() -> weakref.ref[Event]:
        event = Event()
        miss(keys, "one")
        return weakref.ref(event)

    reference = call()
    gc.collect()
    assert reference() is None


# --- usage stamps ---------------------------------------------------------------------------------------------------


def test_the_first_use_after_each_refresh_is_stamped(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Stamp once for each snapshot, with the time of use."""
    for seconds in (0, 60, 120):
        aws.now += seconds
        for _ in range(3):
            keys.get("one")
            keys.get("one", name="Prod")
        assert item["lastUsed"] == {"S": format_timestamp(int(aws.now * 1000))}
        assert [operation for operation, _, _ in aws.calls].count("UpdateItem") == 1
        aws.calls.clear()


def test_no_usage_is_stamped_while_serving_stale(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Send no UpdateItem for the first use of a key."""
    create(aws, "Next")
    keys.get("one")
    aws.state["Query"] = "throttled"
    aws.now += 120
    aws.calls.clear()

    keys.get("one", name="Prod")
    assert [operation for operation, _, _ in aws.calls] == ["Query", "Decrypt"]


# --- memory ---------------------------------------------------------------------------------------------------------


def grown(act: Callable[[], None]) -> int:
    """Return the growth of the memory in use, in bytes."""
    tracemalloc.start()
    try:
        act()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


class SmallTable:
    """A DynamoDB with one item, without botocore, whose own memory would distort the measurement."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.failure: Exception | None = None

    def query(self, **request: Any) -> dict[str, Any]:
        if self.failure is not None:
            # A copy, because the traceback of an error grows with each raise.
            raise copy.copy(self.failure)
        service = request["ExpressionAttributeValues"][":service"]["S"]
        return {"Items": [self.item] if service == "one" else []}

    def update_item(self, **_: Any) -> dict[str, Any]:
        """Accept a usage stamp without storing it."""
        return {}


@pytest.fixture
def table(item: Item) -> Any:
    return SmallTable(item)


@pytest.fixture
def light(aws: Aws, clients: tuple[Any, Any], table: Any) -> ServiceKeys:
    """A client of that table."""
    return ServiceKeys("table", dynamodb_client=table, kms_client=clients[1], clock=lambda: aws.now)


@pytest.mark.parametrize(
    ("service", "name", "number", "seconds"),
    [
        ("unknown-{}", None, 2000, 0),
        ("unknown-{}", None, 2000, 1),
        pytest.param("unknown-{}", None, 100_000, 0, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
        ("one", "unknown {}", 2000, 0),
    ],
)
def test_unknown_names_use_little_memory(
    aws: Aws, light: ServiceKeys, table: SmallTable, service: str, name: str | None, number: int, seconds: int
) -> None:
    """Use less than 200 KB for any number of unknown services and names, and keep the known service."""

    def read() -> None:
        for index in range(number):
            with suppress(KeyNotFoundError):
                light.get(service.format(index), name=name and name.format(index))
            aws.now += seconds

    light.get("one")
    miss(light, "warm-up")

    assert grown(read) < 200_000
    assert light.get("one").name == "Prod"
    table.failure = EndpointConnectionError(endpoint_url="x")
    aws.now += 61
    assert light.get("one").name == "Prod", "its key is served stale as before"


def test_spellings_of_one_name_use_little_memory(light: ServiceKeys) -> None:
    """Bound the cached results for different spellings of a name."""

    def read() -> None:
        for number in range(5000):
            spelling = "".join(letter.upper() if number >> bit & 1 else letter for bit, letter in enumerate("prod"))
            assert light.get("one", name=spelling + " " * (number // 16)).name == "Prod"

    light.get("one")
    assert grown(read) < 500_000


@pytest.mark.parametrize(
    "failure",
    [
        EndpointConnectionError(endpoint_url="x"),
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "Query"),
        ClientError({"Error": {"Code": "ValidationException"}}, "Query"),
    ],
    ids=str,
)
def test_services_with_read_errors_use_little_memory(
    monkeypatch: pytest.MonkeyPatch, light: ServiceKeys, table: SmallTable, failure: Exception
) -> None:
    """Bound the cached errors of a failing table."""
    monkeypatch.setattr(logging.getLogger("service_keys.reader.client"), "disabled", True)
    table.failure = failure

    def read() -> None:
        for number in range(1000):
            with pytest.raises(ServiceKeysError):
                light.get(f"unknown-{number}")

    assert grown(read) < 200_000


def test_services_with_keys_are_never_evicted(aws: Aws, keys: ServiceKeys) -> None:
    """Keep all of them, even more than the limit for unknown services."""
    services = [f"known-{number}" for number in range(200)]
    for service in services:
        aws.items[service] = {}
        aws.create(service, "Prod")
        keys.get(service)
        miss(keys, f"un{service}")
    calls(aws)

    for service in services:
        keys.get(service)
    assert calls(aws) == []
    aws.state["Query"] = "throttled"
    aws.now += 61
    assert {keys.get(service).name for service in services} == {"Prod"}


def test_a_service_in_use_is_not_evicted(
    monkeypatch: pytest.MonkeyPatch, aws: Aws, keys: ServiceKeys, item: Item
) -> None:
    """Keep a service while a thread waits for DynamoDB, so that other threads share its refresh."""
    nested = iter(range(300))
    query = aws._query

    def query_for_others(request: dict[str, Any]) -> dict[str, Any]:
        for number in nested:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(miss, keys, f"unknown-{number}").result(10)
        return query(request)

    monkeypatch.setattr(aws, "_query", query_for_others)
    keys.get("one")
    calls(aws)

    keys.get("one", refresh=True)
    keys.get("one", name="Prod")
    assert calls(aws) == []


def test_concurrent_reads_of_unknown_services_succeed(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Evict in one thread without an effect on others."""
    barrier = threading.Barrier(8)

    def read(thread: int) -> int:
        barrier.wait()
        for number in range(100):
            miss(keys, f"unknown-{thread}-{number}")
            keys.get("one")
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read, range(8))) == 8

    assert len(keys._services) <= 64 + 1 + 8
    assert all(state.users == 0 for state in keys._services.values())


# --- arguments ------------------------------------------------------------------------------------------------------


NO_SERVICES = [None, b"one", 1, 1.5, True, ["one"], {"one": 1}, {"one"}, ("one", "Prod"), object()]
NO_NAMES = [b"Prod", 1, False, ["Prod"], {}, ("Prod",), object()]


@pytest.mark.parametrize(
    ("service", "name", "advice"),
    [
        *((text, None, "Services are lower-case") for text in ("", "Spotify", "#name", "a b", "x" * 41, "x" * 10**6)),
        *((value, None, f"of type {type(value).__name__}.*Give a string") for value in NO_SERVICES),
        *(("one", value, f"of type {type(value).__name__}.*Give a string") for value in NO_NAMES),
        ("one", "x" * 10**6, "too long"),
    ],
    ids=lambda argument: repr(argument)[:20],
)
def test_invalid_arguments_cause_no_call(
    aws: Aws, keys: ServiceKeys, item: Item, service: Any, name: Any, advice: str
) -> None:
    """Raise KeyNotFoundError with a short message, also while a key is cached, and from the fake keys."""
    keys.get("one")
    keys.get("one", name="Prod")
    calls(aws)

    for refresh in (False, True):
        with pytest.raises(KeyNotFoundError, match=advice) as raised:
            keys.get(service, name=name, refresh=refresh)
        assert len(str(raised.value)) < 300
    with fake_api_keys({"one": "made-up"}), pytest.raises(KeyNotFoundError, match=advice):
        service_keys.get_api_key(service, name=name)
    assert calls(aws) == []


@pytest.mark.parametrize("name", ["", " ", "\ud800", "\0", "{}", "%s", "*"])
def test_an_odd_name_is_not_found(aws: Aws, keys: ServiceKeys, item: Item, name: str) -> None:
    """Raise KeyNotFoundError for any text."""
    miss(keys, "one", name)


def test_the_longest_name_is_found(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Accept a longer spelling of a name of 100 characters."""
    item["name"] = {"S": "ﬃ" * 100}

    assert keys.get("one", name="ffi" * 100).id == item["id"]["S"]
    assert keys.get("one", name=f"  {'ﬃ' * 100}  ").id == item["id"]["S"]


# --- threads, clients and instances ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "Prod"])
def test_a_cached_key_is_returned_without_the_lock(aws: Aws, keys: ServiceKeys, item: Item, name: str | None) -> None:
    """Return a fresh key while another thread holds the service's lock, as if it waited for AWS."""
    # The second pass reads a plaintext that is cached.
    for _ in range(2):
        keys.get("one", name=name)
        for seconds in (0, 59.75):
            aws.now += seconds
            with ThreadPoolExecutor(1) as pool, keys._services["one"].lock:
                assert pool.submit(keys.get, "one", name=name).result(30).id == item["id"]["S"]
        aws.now += 0.25


def test_a_log_handler_can_read_a_key(monkeypatch: pytest.MonkeyPatch, aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Log without holding the lock, so that a handler's own get() does not deadlock."""
    keys.get("one")
    read: list[str] = []

    class Shipper(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            read.append(pool.submit(keys.get, "one").result(20).value)

    monkeypatch.setattr(logging.getLogger("service_keys"), "handlers", [Shipper()])
    aws.now += 60
    aws.state["Query"] = "throttled"

    with ThreadPoolExecutor(1) as pool:
        assert keys.get("one").value == value(item)
    assert read == [value(item)]


def clients_of(keys: ServiceKeys) -> tuple[Any, Any]:
    repository, kms = keys._aws()
    return repository._client, kms


def test_missing_clients_are_created_with_consumer_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create only the clients that were not given."""
    created: list[tuple[Any, ...]] = []

    def clients(*services: str, timeouts: Timeouts) -> Any:
        created.append((*services, timeouts))
        return services

    monkeypatch.setattr(aws_clients, "clients", clients)

    given: Any = "given"
    assert clients_of(ServiceKeys("table")) == ("dynamodb", "kms")
    assert clients_of(ServiceKeys("table", dynamodb_client=given)) == ("given", "kms")
    assert clients_of(ServiceKeys("table", kms_client=given)) == ("dynamodb", "given")

    timeouts = CONSUMER_TIMEOUTS
    assert created == [("dynamodb", "kms", timeouts), ("kms", timeouts), ("dynamodb", timeouts)]


def test_the_table_name_defaults_to_the_environment(monkeypatch: pytest.MonkeyPatch, clients: tuple[Any, Any]) -> None:
    """Raise ConfigurationError if neither names a table; an argument takes precedence."""

    def table_of(*arguments: str) -> str:
        keys = ServiceKeys(*arguments, dynamodb_client=clients[0], kms_client=clients[1])
        return keys._aws()[0]._table_name

    monkeypatch.delenv("SERVICE_KEYS_TABLE", raising=False)
    with pytest.raises(ConfigurationError, match="SERVICE_KEYS_TABLE"):
        table_of()

    monkeypatch.setenv("SERVICE_KEYS_TABLE", "of the environment")
    assert table_of() == "of the environment"
    assert table_of("another") == "another"


@pytest.mark.parametrize("name", [b"table", 5, ["table"]])
def test_a_table_name_that_is_not_a_string_is_rejected(clients: tuple[Any, Any], name: Any) -> None:
    """Raise at construction, not at the first read."""
    with pytest.raises(ConfigurationError, match="must be a string"):
        ServiceKeys(name, dynamodb_client=clients[0], kms_client=clients[1])


class Source:
    """A fake client that records its calls and returns itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, bool]] = []

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> Any:
        self.calls.append((service, name, refresh))
        return self


def test_one_default_instance_serves_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create one instance for 8 concurrent threads."""
    barrier = threading.Barrier(8)

    def read(_: int) -> Any:
        barrier.wait()
        return service_keys.get_api_key("one", name="n", refresh=True)

    monkeypatch.setattr(default_client, "_default", None)
    monkeypatch.setattr(default_client, "ServiceKeys", Source)
    with ThreadPoolExecutor(8) as pool:
        (source,) = set(pool.map(read, range(8)))
    service_keys.get_api_key("plain")

    assert source.calls == [("one", "n", True)] * 8 + [("plain", None, False)]
