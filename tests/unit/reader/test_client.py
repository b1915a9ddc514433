"""Tests of the limits of `ServiceKeys`: intervals, memory, arguments. `test_client_model` tests random sequences."""

from __future__ import annotations

import copy
import gc
import logging
import sys
import threading
import tracemalloc
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
    KeyCorruptedError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    ServiceKeysError,
)
from service_keys.reader import default_client
from service_keys.reader.default_client import override_default
from service_keys.store import aws_clients
from service_keys.testing import fake_api_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.simulated_aws import Aws, Item


@pytest.fixture
def keys(aws: Aws, clients: tuple[Any, Any]) -> ServiceKeys:
    return ServiceKeys("table", dynamodb_client=clients[0], kms_client=clients[1], clock=lambda: aws.now)


@pytest.fixture
def item(aws: Aws) -> Item:
    """The only key of a service."""
    aws.create("one", "Prod")
    (made,) = aws.items["one"].values()
    return made


def calls(aws: Aws) -> list[str]:
    """Return the operations since the last call, without usage stamps."""
    made = [operation for operation, _, _ in aws.calls if operation != "UpdateItem"]
    aws.calls.clear()
    return made


def test_a_snapshot_is_fresh_for_60_seconds(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Send no Query for 60 s, then refresh."""
    keys.get("one")
    assert calls(aws) == ["Query", "Decrypt"]
    aws.now += 59.75
    keys.get("one")
    keys.get("one", name="PROD")
    assert calls(aws) == []

    aws.now += 0.25
    keys.get("one")
    assert calls(aws) == ["Query"]


def test_a_plaintext_is_cached_for_an_hour(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Decrypt at the first refresh after an hour."""
    keys.get("one")
    aws.now += 3599.75
    keys.get("one")
    calls(aws)

    aws.now += 0.25
    keys.get("one", refresh=True)
    assert calls(aws) == []
    aws.now += 60
    keys.get("one")
    assert calls(aws) == ["Query", "Decrypt"]


def test_a_plaintext_expires_after_exactly_an_hour(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Send Decrypt at 3,600 s."""
    keys.get("one")
    calls(aws)

    aws.now += 3600
    keys.get("one")

    assert calls(aws) == ["Query", "Decrypt"]


@pytest.mark.parametrize("seconds", [899.75, 900])
def test_a_key_is_served_stale_for_15_minutes_without_dynamodb(
    aws: Aws, keys: ServiceKeys, item: Item, seconds: float
) -> None:
    """Raise KeyStoreUnavailableError from 900 s on."""
    value = keys.get("one").value
    aws.state["Query"] = "throttled"
    aws.now += seconds

    if seconds < 900:
        assert keys.get("one").value == value
        aws.now += 0.25
    with pytest.raises(
        KeyStoreUnavailableError, match="No cached key from the last 15 minutes is available: DynamoDB is busy"
    ):
        keys.get("one")


@pytest.mark.parametrize("seconds", [899.75, 900])
def test_a_key_is_served_stale_for_15_minutes_without_kms(
    aws: Aws, keys: ServiceKeys, item: Item, seconds: float
) -> None:
    """Raise KeyStoreUnavailableError from 900 s on."""
    value = keys.get("one").value
    aws.replace_key(item)
    aws.state["Decrypt"] = "unreachable"
    aws.now += seconds

    if seconds < 900:
        assert keys.get("one").value == value
        aws.now += 0.25
    with pytest.raises(
        KeyStoreUnavailableError, match="No cached key from the last 15 minutes is available: KMS could not be"
    ):
        keys.get("one")


def test_the_stale_limit_counts_from_the_last_snapshot(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Serve the old secret value for 15 minutes after the last snapshot that contained it."""
    value = keys.get("one").value
    aws.now += 600
    keys.get("one")
    aws.replace_key(item)
    aws.state["Decrypt"] = "throttled"

    aws.now += 899
    assert keys.get("one").value == value


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


def test_serving_stale_logs_the_age_of_the_key(
    aws: Aws, keys: ServiceKeys, item: Item, caplog: pytest.LogCaptureFixture
) -> None:
    """Log the age in seconds and the cause."""
    keys.get("one")
    aws.now += 61
    aws.state["Query"] = "throttled"
    keys.get("one")
    (told,) = caplog.messages
    assert told.startswith("Service Keys: served stale: one as it was 61 s ago. DynamoDB is busy or failing (Thrott")

    caplog.clear()
    aws.state |= {"Query": "up", "Decrypt": "unreachable"}
    aws.replace_key(item)
    aws.now += 62
    keys.get("one")
    (told,) = caplog.messages
    assert told.startswith(f"Service Keys: served stale: {item['id']['S']} as it was 123 s ago. KMS could not be")


def test_a_cached_error_expires_after_five_seconds(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Send no call for 5 s, then refresh."""
    item["active"] = {"BOOL": False}
    for _ in range(2):
        with pytest.raises(KeyDisabledError, match="Every key of the service 'one' is disabled"):
            keys.get("one")
        aws.now += 2.25
    item["active"] = {"BOOL": True}
    aws.now += 0.25
    calls(aws)
    with pytest.raises(KeyDisabledError, match="Every key of the service 'one' is disabled"):
        keys.get("one")
    assert calls(aws) == []

    aws.now += 0.25
    assert keys.get("one").id == item["id"]["S"]


def test_a_refresh_clears_a_cached_error(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Find a key that was created after the error."""
    keys.get("one")
    aws.now += 4
    with pytest.raises(KeyNotFoundError):
        keys.get("one", name="Next")
    aws.create("one", "Next")

    aws.now += 1
    keys.get("one", refresh=True)

    assert keys.get("one", name="Next").name == "Next"


def test_a_not_found_error_names_the_service_and_the_name(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Distinguish a missing service, a missing name and disabled keys."""
    with pytest.raises(
        KeyNotFoundError, match=r"^There is no key of the service 'two'\. An administrator can store one\.$"
    ):
        keys.get("two")
    for _ in ("in the look of just now", "in one of its own"):
        with pytest.raises(KeyNotFoundError, match=r"^There is no key of the service 'one' with the name 'Next'\. "):
            keys.get("one", name="Next")
        aws.now += 5
    item["active"] = {"BOOL": False}
    aws.now += 60
    with pytest.raises(KeyDisabledError, match=r"^Every key of the service 'one' with the name 'prod' is disabled\. "):
        keys.get("one", name="prod")


def test_a_malformed_key_is_evicted_from_the_cache(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Keep no plaintext of a key whose item became malformed."""
    keys.get("one")
    del item["ciphertext"]
    aws.now += 60
    with pytest.raises(KeyCorruptedError, match=f"The item of {item['id']['S']} is damaged"):
        keys.get("one")

    assert keys._services["one"].plaintexts == {}


def test_a_key_with_a_foreign_ciphertext_is_evicted(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Do not serve the old secret value stale."""
    keys.get("one")
    aws.create("two", "Other")
    (other,) = aws.items["two"].values()
    item["ciphertext"] = other["ciphertext"]
    aws.now += 60
    with pytest.raises(KeyCorruptedError, match="is damaged or another key's"):
        keys.get("one")

    aws.state["Decrypt"] = "throttled"
    aws.now += 60
    with pytest.raises(KeyStoreUnavailableError):
        keys.get("one")


def test_a_denied_key_is_evicted_and_others_are_kept(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Evict one key if KMS denies Decrypt, all keys if DynamoDB denies Query."""
    keys.get("one")
    aws.create("one", "Next")
    aws.now += 60
    keys.get("one")
    assert len(keys._services["one"].plaintexts) == 2
    newest = max(aws.items["one"])
    aws.replace_key(aws.items["one"][newest])
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


# --- memory ---------------------------------------------------------------------------------------------------------


def miss(keys: ServiceKeys, service: str, name: str | None = None) -> None:
    with pytest.raises(KeyNotFoundError):
        keys.get(service, name=name)


def grown(act: Callable[[], None]) -> int:
    """Return the growth of the memory in use, in bytes."""
    tracemalloc.start()
    try:
        act()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


class EmptyTable:
    """A DynamoDB with one item, without botocore, whose own memory would distort the measurement."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.failure: Exception | None = None

    def query(self, **request: Any) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        service = request["ExpressionAttributeValues"][":service"]["S"]
        return {"Items": [self.item] if service == "one" else []}

    def update_item(self, **_: Any) -> dict[str, Any]:
        """Accept a usage stamp without storing it."""
        return {}


@pytest.fixture
def table(item: Item) -> EmptyTable:
    return EmptyTable(item)


@pytest.fixture
def light(aws: Aws, clients: tuple[Any, Any], table: EmptyTable) -> ServiceKeys:
    """A client of that table."""
    dynamodb: Any = table
    return ServiceKeys("table", dynamodb_client=dynamodb, kms_client=clients[1], clock=lambda: aws.now)


@pytest.mark.parametrize("seconds", [0, 1])
def test_unknown_services_use_little_memory(aws: Aws, light: ServiceKeys, table: EmptyTable, seconds: int) -> None:
    """Use less than 200 KB for 2,000 names, at once or over half an hour, and keep the known service."""

    def read() -> None:
        for number in range(2000):
            miss(light, f"unknown-{number}")
            aws.now += seconds

    light.get("one")
    miss(light, "warm-up")

    assert grown(read) < 200_000
    assert set(light._services) > {"one"}
    light.get("one")
    table.failure = EndpointConnectionError(endpoint_url="x")
    aws.now += 61
    assert light.get("one").name == "Prod", "its key bridges an outage as before"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_100_000_unknown_services_use_little_memory(light: ServiceKeys) -> None:
    """Bound memory regardless of the number of services."""

    def read() -> None:
        for number in range(100_000):
            with suppress(KeyNotFoundError):
                light.get(f"unknown-{number}")

    light.get("one")

    assert grown(read) < 200_000


def test_unknown_names_use_little_memory(light: ServiceKeys) -> None:
    """Bound the cached errors for unknown names of a known service."""

    def read() -> None:
        for number in range(2000):
            miss(light, "one", f"unknown {number}")

    light.get("one")

    assert grown(read) < 200_000
    assert light.get("one").name == "Prod"


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
    ids=lambda failure: type(failure).__name__,
)
def test_services_with_read_errors_use_little_memory(
    monkeypatch: pytest.MonkeyPatch, light: ServiceKeys, table: EmptyTable, failure: Exception
) -> None:
    """Bound the cached errors of a failing table."""
    monkeypatch.setattr(logging.getLogger("service_keys.reader.client"), "disabled", True)

    def query(**_: object) -> Any:
        # Copy the error for each call, because its traceback grows with each raise.
        raise copy.copy(failure)

    table.query = query  # type: ignore[method-assign]

    def read() -> None:
        for number in range(1000):
            with pytest.raises(ServiceKeysError):
                light.get(f"unknown-{number}")

    assert grown(read) < 200_000


def test_a_long_name_is_neither_cached_nor_repeated(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Bound memory and log lines regardless of the caller's input."""
    for service, name in (("one", "x" * 1_000_000), ("x" * 1_000_000, None)):
        with pytest.raises(KeyNotFoundError) as raised:
            keys.get(service, name=name)
        assert len(str(raised.value)) < 300
    assert aws.calls == []


def test_the_longest_name_is_found(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Accept a longer spelling of a name of 100 characters."""
    item["name"] = {"S": "ﬃ" * 100}

    assert keys.get("one", name="ffi" * 100).id == item["id"]["S"]
    assert keys.get("one", name=f"  {'ﬃ' * 100}  ").id == item["id"]["S"]


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


def test_a_service_in_use_is_not_evicted(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    """Keep a service while a thread waits for DynamoDB, so that other threads share its refresh."""
    nested = iter(range(300))

    def ask_for_others(**_: object) -> None:
        for number in nested:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(miss, keys, f"unknown-{number}").result(10)

    events = clients_of(keys)[0].meta.events
    events.register("before-parameter-build.dynamodb.Query", ask_for_others, "others")
    try:
        keys.get("one")
    finally:
        events.unregister("before-parameter-build.dynamodb.Query", unique_id="others")
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
    assert all(known.users == 0 for known in keys._services.values())


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "service", [None, b"one", 1, 1.5, True, ["one"], {"one": 1}, {"one"}, ("one", "Prod"), object()]
)
def test_a_service_that_is_not_a_string_is_not_found(aws: Aws, keys: ServiceKeys, item: Item, service: Any) -> None:
    """Raise KeyNotFoundError with advice and without a call, also while a key is cached."""
    keys.get("one", name="Prod")
    calls(aws)

    for refresh in (False, True):
        with pytest.raises(KeyNotFoundError, match=f"of type {type(service).__name__}.*Give a string"):
            keys.get(service, refresh=refresh)
    with fake_api_keys({"one": "made-up"}), pytest.raises(KeyNotFoundError, match="Give a string"):
        service_keys.get_api_key(service)
    assert calls(aws) == []


@pytest.mark.parametrize("name", [b"Prod", 1, False, ["Prod"], {}, ("Prod",), object()])
def test_a_name_that_is_not_a_string_is_not_found(aws: Aws, keys: ServiceKeys, item: Item, name: Any) -> None:
    """Raise KeyNotFoundError as for a service; None means no name."""
    keys.get("one")
    calls(aws)

    with pytest.raises(KeyNotFoundError, match=f"of type {type(name).__name__}.*Give a string"):
        keys.get("one", name=name)
    with fake_api_keys({"one": "made-up"}), pytest.raises(KeyNotFoundError, match="Give a string"):
        service_keys.get_api_key("one", name=name)
    assert calls(aws) == []


@pytest.mark.parametrize("name", ["", " ", "\ud800", "\0", "{}", "%s", "*"])
def test_an_odd_name_is_not_found(aws: Aws, keys: ServiceKeys, item: Item, name: str) -> None:
    """Raise KeyNotFoundError for any text."""
    miss(keys, "one", name)


# --- program errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["Query", "Decrypt"])
@pytest.mark.parametrize("error", [RecursionError, MemoryError, TypeError, KeyboardInterrupt])
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


UNAVAILABLE = ["InvalidSignatureException", "UnrecognizedClientException", "ExpiredTokenException", "MadeUpException"]


@pytest.mark.parametrize("operation", ["Query", "Decrypt"])
@pytest.mark.parametrize("code", UNAVAILABLE)
def test_an_unauthenticated_or_unknown_error_serves_stale(
    aws: Aws, keys: ServiceKeys, item: Item, operation: str, code: str
) -> None:
    """Serve stale for 15 minutes: a signature may have expired in a freeze."""
    value = keys.get("one").value
    aws.replace_key(item)
    aws.state[operation] = code
    aws.now += 899
    assert keys.get("one").value == value

    aws.now += 30
    with pytest.raises(KeyStoreUnavailableError, match=code):
        keys.get("one")


@pytest.mark.parametrize("name", [None, "Prod"])
def test_a_cached_key_is_returned_without_the_lock(aws: Aws, keys: ServiceKeys, item: Item, name: str | None) -> None:
    """Return a fresh key while another thread holds the service's lock."""
    for _ in ("decrypted just now", "held, and looked up again"):
        keys.get("one", name=name)
        for seconds in (0, 59.75):
            aws.now += seconds
            # Hold the lock as a thread that waits for AWS does.
            with ThreadPoolExecutor(1) as pool, keys._services["one"].lock:
                assert pool.submit(keys.get, "one", name=name).result(30).id == item["id"]["S"]
        aws.now += 0.25


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
    """Send only the Query that fails."""
    keys.get("one")
    aws.state["Query"] = "throttled"
    aws.now += 120
    aws.calls.clear()

    keys.get("one")

    assert [operation for operation, _, _ in aws.calls] == ["Query"]


# --- clients and instances ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (
            "throttled",
            ["Service Keys: out of reach: no key of one to serve. No cached key from the last 15 minutes"],
        ),
        ("denied", ["Service Keys: access denied: no key of one to serve. DynamoDB refused Query (AccessDenied"]),
        ("up", []),
    ],
)
def test_a_read_without_a_key_is_logged_once_per_refresh(
    aws: Aws, keys: ServiceKeys, caplog: pytest.LogCaptureFixture, state: str, told: list[str]
) -> None:
    """Log transient and permanent errors, and nothing for a missing key."""
    aws.state["Query"] = state

    for _ in range(3):
        with pytest.raises(ServiceKeysError):
            keys.get("one")

    assert len(caplog.messages) == len(told), "once for each look"
    assert all(message.startswith(begin) for message, begin in zip(caplog.messages, told, strict=True))


def clients_of(keys: ServiceKeys) -> tuple[Any, Any]:
    table, kms = keys._aws()
    return table._client, kms


def table_of(keys: ServiceKeys) -> str:
    return keys._aws()[0]._name


def test_missing_clients_are_created_with_consumer_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create only the clients that were not given."""
    made: list[tuple[Any, ...]] = []

    def clients(*services: str, timeouts: aws_clients.Timeouts) -> Any:
        made.append((*services, timeouts))
        return services

    monkeypatch.setattr(aws_clients, "clients", clients)

    given: Any = "given"
    assert clients_of(ServiceKeys("table")) == ("dynamodb", "kms")
    assert clients_of(ServiceKeys("table", dynamodb_client=given)) == ("given", "kms")
    assert clients_of(ServiceKeys("table", kms_client=given)) == ("dynamodb", "given")

    assert made == [
        ("dynamodb", "kms", aws_clients.CONSUMER_TIMEOUTS),
        ("kms", aws_clients.CONSUMER_TIMEOUTS),
        ("dynamodb", aws_clients.CONSUMER_TIMEOUTS),
    ]


def test_the_table_name_defaults_to_the_environment(monkeypatch: pytest.MonkeyPatch, clients: tuple[Any, Any]) -> None:
    """Raise ConfigurationError if neither names a table; an argument takes precedence."""
    monkeypatch.delenv("SERVICE_KEYS_TABLE", raising=False)
    with pytest.raises(ConfigurationError, match="SERVICE_KEYS_TABLE"):
        ServiceKeys(dynamodb_client=clients[0], kms_client=clients[1])

    monkeypatch.setenv("SERVICE_KEYS_TABLE", "of the environment")
    assert table_of(ServiceKeys(dynamodb_client=clients[0], kms_client=clients[1])) == "of the environment"
    assert table_of(ServiceKeys("another", dynamodb_client=clients[0], kms_client=clients[1])) == "another"


@pytest.mark.parametrize("name", [b"table", 5, ["table"]])
def test_a_table_name_that_is_not_a_string_is_rejected(clients: tuple[Any, Any], name: Any) -> None:
    """Raise at construction, not at the first read."""
    with pytest.raises(ConfigurationError, match="must be a string"):
        ServiceKeys(name, dynamodb_client=clients[0], kms_client=clients[1])


class Source:
    """A fake client that records its calls and returns itself."""

    def __init__(self, made: list[Source] | None = None) -> None:
        self.asked: list[tuple[str, str | None, bool]] = []
        if made is not None:
            made.append(self)

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> Any:
        self.asked.append((service, name, refresh))
        return self


def test_one_default_instance_serves_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create one instance for 8 concurrent threads."""
    made: list[Source] = []
    barrier = threading.Barrier(8)

    def read(_: int) -> Any:
        barrier.wait()
        return service_keys.get_api_key("one", name="n", refresh=True)

    monkeypatch.setattr(default_client, "_default", None)
    monkeypatch.setattr(default_client, "ServiceKeys", lambda: Source(made))
    with ThreadPoolExecutor(8) as pool:
        read_by_all = list(pool.map(read, range(8)))
    service_keys.get_api_key("plain")

    (source,) = made
    assert read_by_all == [source] * 8
    assert source.asked == [("one", "n", True)] * 8 + [("plain", None, False)]


def test_an_override_ends_with_its_block() -> None:
    """Restore the outer override after an exception."""

    def read_and_fail(source: Source) -> None:
        with override_default(source):
            service_keys.get_api_key("one")
            raise ZeroDivisionError

    first, second = Source(), Source()
    with override_default(first):
        with pytest.raises(ZeroDivisionError):
            read_and_fail(second)
        service_keys.get_api_key("two")

    assert (first.asked, second.asked) == ([("two", None, False)], [("one", None, False)])
