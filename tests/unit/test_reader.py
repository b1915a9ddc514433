"""The reader's limits, to the moment. What it promises on any day is in `test_reader_model`."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import service_keys
from service_keys import ServiceKeys, aws, naming, reader
from service_keys.errors import (
    ConfigurationError,
    KeyAccessDenied,
    KeyCorrupted,
    KeyDisabled,
    KeyNotFound,
    KeyStoreUnavailable,
    ServiceKeysError,
)

if TYPE_CHECKING:
    from tests.unit.simulated_aws import Aws, Item

LAYER = Path(__file__).parents[2] / "layers" / "service_keys"


@pytest.fixture
def keys(aws: Aws, clients: tuple[Any, Any]) -> ServiceKeys:
    return ServiceKeys("table", dynamodb_client=clients[0], kms_client=clients[1], clock=lambda: aws.now)


@pytest.fixture
def item(aws: Aws) -> Item:
    """A service's only key."""
    aws.create("one", "Prod")
    (made,) = aws.items["one"].values()
    return made


def calls(aws: Aws) -> list[str]:
    """The operations since the last time, but for stamps."""
    made = [operation for operation, _, _ in aws.calls if operation != "UpdateItem"]
    aws.calls.clear()
    return made


def test_a_look_is_good_for_a_minute(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    keys.get("one")
    assert calls(aws) == ["Query", "Decrypt"]
    aws.now += 59.75
    keys.get("one")
    keys.get("one", name="PROD")
    assert calls(aws) == []

    aws.now += 0.25
    keys.get("one")
    assert calls(aws) == ["Query"]


def test_a_plaintext_is_good_for_an_hour(aws: Aws, keys: ServiceKeys, item: Item) -> None:
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


def test_a_plaintext_is_not_good_at_the_hour(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    keys.get("one")
    calls(aws)

    aws.now += 3600
    keys.get("one")

    assert calls(aws) == ["Query", "Decrypt"]


@pytest.mark.parametrize("seconds", [899.75, 900])
def test_an_outage_of_the_table_is_bridged_for_less_than_a_quarter_of_an_hour(
    aws: Aws, keys: ServiceKeys, item: Item, seconds: float
) -> None:
    value = keys.get("one").value
    aws.state["Query"] = "throttled"
    aws.now += seconds

    if seconds < 900:
        assert keys.get("one").value == value
        aws.now += 0.25
    with pytest.raises(KeyStoreUnavailable, match="nothing from the last 15 minutes to go on with: DynamoDB is busy"):
        keys.get("one")


@pytest.mark.parametrize("seconds", [899.75, 900])
def test_an_outage_of_kms_is_bridged_for_less_than_a_quarter_of_an_hour(
    aws: Aws, keys: ServiceKeys, item: Item, seconds: float
) -> None:
    value = keys.get("one").value
    aws.replace_key(item)
    aws.state["Decrypt"] = "unreachable"
    aws.now += seconds

    if seconds < 900:
        assert keys.get("one").value == value
        aws.now += 0.25
    with pytest.raises(KeyStoreUnavailable, match="nothing from the last 15 minutes to go on with: KMS could not be"):
        keys.get("one")


def test_what_was_seen_before_kms_failed_counts_from_when_it_was_seen(aws: Aws, keys: ServiceKeys, item: Item) -> None:
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
        # A look that works, once a minute, begins the pauses anew.
        ("Decrypt", [0, 5, 15, 35, 60, 65, 75, 95, 120, 125]),
    ],
)
def test_the_pause_between_tries_doubles_up_to_half_a_minute_and_starts_anew(
    aws: Aws, keys: ServiceKeys, item: Item, operation: str, tried: list[int]
) -> None:
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


def test_an_outage_is_told_with_the_age_of_what_is_served(
    aws: Aws, keys: ServiceKeys, item: Item, caplog: pytest.LogCaptureFixture
) -> None:
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


def test_a_refusal_stands_for_five_seconds(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    item["active"] = {"BOOL": False}
    for _ in range(2):
        with pytest.raises(KeyDisabled, match="Every key of the service 'one' is disabled"):
            keys.get("one")
        aws.now += 2.25
    item["active"] = {"BOOL": True}
    aws.now += 0.25
    calls(aws)
    with pytest.raises(KeyDisabled, match="Every key of the service 'one' is disabled"):
        keys.get("one")
    assert calls(aws) == []

    aws.now += 0.25
    assert keys.get("one").id == item["id"]["S"]


def test_what_a_look_shows_ends_a_refusal(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    keys.get("one")
    aws.now += 4
    with pytest.raises(KeyNotFound):
        keys.get("one", name="Next")
    aws.create("one", "Next")

    aws.now += 1
    keys.get("one", refresh=True)

    assert keys.get("one", name="Next").name == "Next"


def test_what_is_missing_is_named(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    with pytest.raises(KeyNotFound, match=r"^There is no key of the service 'two'\. An administrator can store one\.$"):
        keys.get("two")
    for _ in ("in the look of just now", "in one of its own"):
        with pytest.raises(KeyNotFound, match=r"^There is no key of the service 'one' with the name 'Next'\. "):
            keys.get("one", name="Next")
        aws.now += 5
    item["active"] = {"BOOL": False}
    aws.now += 60
    with pytest.raises(KeyDisabled, match=r"^Every key of the service 'one' with the name 'prod' is disabled\. "):
        keys.get("one", name="prod")


def test_of_a_damaged_key_nothing_is_held(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    keys.get("one")
    del item["ciphertext"]
    aws.now += 60
    with pytest.raises(KeyCorrupted, match=f"The item of {item['id']['S']} is damaged"):
        keys.get("one")

    assert keys._services["one"].plaintexts == {}


def test_of_a_key_whose_ciphertext_is_anothers_nothing_is_held(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    keys.get("one")
    aws.create("two", "Other")
    (other,) = aws.items["two"].values()
    item["ciphertext"] = other["ciphertext"]
    aws.now += 60
    with pytest.raises(KeyCorrupted, match="is damaged or another key's"):
        keys.get("one")

    aws.state["Decrypt"] = "throttled"
    aws.now += 60
    with pytest.raises(KeyStoreUnavailable):
        keys.get("one")


def test_a_denied_key_is_forgotten_and_the_others_are_not(aws: Aws, keys: ServiceKeys, item: Item) -> None:
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
        with pytest.raises(KeyAccessDenied, match="KMS refused Decrypt"):
            keys.get("one")
    assert calls(aws) == ["Query", "Decrypt"]
    assert set(keys._services["one"].plaintexts) == {item["id"]["S"]}

    aws.state["Query"] = "denied"
    aws.now += 60
    with pytest.raises(KeyAccessDenied, match="DynamoDB refused Query"):
        keys.get("one")
    assert keys._services["one"].plaintexts == {}


def test_services_without_keys_are_forgotten_once_there_are_64(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    def miss(*services: str) -> None:
        for service in services:
            with pytest.raises(KeyNotFound):
                keys.get(service)

    keys.get("one")
    miss(*(f"unknown-{number}" for number in range(62)))
    aws.now += 1
    miss("recent")
    aws.now += 4
    assert len(keys._services) == 64

    miss("another")
    assert set(keys._services) == {"one", "recent", "another"}


def test_services_that_were_looked_up_just_now_are_kept(aws: Aws, keys: ServiceKeys) -> None:
    for number in range(64):
        with pytest.raises(KeyNotFound):
            keys.get(f"unknown-{number}")

    aws.now += 4.75
    with pytest.raises(KeyNotFound):
        keys.get("another")

    assert len(keys._services) == 65


@pytest.mark.parametrize("name", [None, "Prod"])
def test_a_key_that_is_held_waits_for_nobody(aws: Aws, keys: ServiceKeys, item: Item, name: str | None) -> None:
    for _ in ("decrypted just now", "held, and looked up again"):
        keys.get("one", name=name)
        for seconds in (0, 59.75):
            aws.now += seconds
            # As while another thread waits for AWS.
            with ThreadPoolExecutor(1) as pool, keys._services["one"].lock:
                assert pool.submit(keys.get, "one", name=name).result(5).id == item["id"]["S"]
        aws.now += 0.25


def test_the_first_use_after_each_look_is_stamped_with_its_moment(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    for seconds in (0, 60, 120):
        aws.now += seconds
        for _ in range(3):
            keys.get("one")
            keys.get("one", name="Prod")
        assert item["lastUsed"] == {"S": naming.timestamp(int(aws.now * 1000))}
        assert [operation for operation, _, _ in aws.calls].count("UpdateItem") == 1
        aws.calls.clear()


def test_in_an_outage_nothing_is_stamped(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    keys.get("one")
    aws.state["Query"] = "throttled"
    aws.now += 120
    aws.calls.clear()

    keys.get("one")

    assert [operation for operation, _, _ in aws.calls] == ["Query"]


# --- what it is made of ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (
            "throttled",
            ["Service Keys: out of reach: no key of one to serve. There is nothing from the last 15 minutes"],
        ),
        ("denied", ["Service Keys: access denied: no key of one to serve. DynamoDB refused Query (AccessDenied"]),
        ("up", []),
    ],
)
def test_operators_are_told_where_there_is_no_key_to_serve(
    aws: Aws, keys: ServiceKeys, caplog: pytest.LogCaptureFixture, state: str, told: list[str]
) -> None:
    aws.state["Query"] = state

    for _ in range(3):
        with pytest.raises(ServiceKeysError):
            keys.get("one")

    assert len(caplog.messages) == len(told), "once for each look"
    assert all(message.startswith(begin) for message, begin in zip(caplog.messages, told, strict=True))


def clients_of(keys: ServiceKeys) -> tuple[Any, Any]:
    return keys._table._client, keys._kms


def test_a_reader_makes_the_clients_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []

    def clients(*services: str, patience: aws.Patience) -> Any:
        made.append((*services, patience))
        return services

    monkeypatch.setattr(aws, "clients", clients)

    given: Any = "given"
    assert clients_of(ServiceKeys("table")) == ("dynamodb", "kms")
    assert clients_of(ServiceKeys("table", dynamodb_client=given)) == ("given", "kms")
    assert clients_of(ServiceKeys("table", kms_client=given)) == ("dynamodb", "given")

    assert made == [
        ("dynamodb", "kms", aws.READER_PATIENCE),
        ("kms", aws.READER_PATIENCE),
        ("dynamodb", aws.READER_PATIENCE),
    ]


def test_a_reader_reads_the_table_of_the_environment_unless_it_is_told_another(
    monkeypatch: pytest.MonkeyPatch, clients: tuple[Any, Any]
) -> None:
    monkeypatch.delenv("SERVICE_KEYS_TABLE", raising=False)
    with pytest.raises(ConfigurationError, match="SERVICE_KEYS_TABLE"):
        ServiceKeys(dynamodb_client=clients[0], kms_client=clients[1])

    monkeypatch.setenv("SERVICE_KEYS_TABLE", "of the environment")
    assert ServiceKeys(dynamodb_client=clients[0], kms_client=clients[1])._table._name == "of the environment"
    assert ServiceKeys("another", dynamodb_client=clients[0], kms_client=clients[1])._table._name == "another"


class Source:
    """Notes what it is asked for, and gives itself."""

    def __init__(self, made: list[Source] | None = None) -> None:
        self.asked: list[tuple[str, str | None, bool]] = []
        if made is not None:
            made.append(self)

    def get(self, service: str, *, name: str | None = None, refresh: bool = False) -> Any:
        self.asked.append((service, name, refresh))
        return self


def test_one_reader_serves_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Source] = []
    barrier = threading.Barrier(8)

    def read(_: int) -> Any:
        barrier.wait()
        return service_keys.get_api_key("one", name="n", refresh=True)

    monkeypatch.setattr(reader, "_shared", None)
    monkeypatch.setattr(reader, "ServiceKeys", lambda: Source(made))
    with ThreadPoolExecutor(8) as pool:
        read_by_all = list(pool.map(read, range(8)))
    service_keys.get_api_key("plain")

    (source,) = made
    assert read_by_all == [source] * 8
    assert source.asked == [("one", "n", True)] * 8 + [("plain", None, False)]


def test_another_source_serves_until_its_block_ends() -> None:
    def read_and_fail(source: Source) -> None:
        with reader.shared_by(source):
            service_keys.get_api_key("one")
            raise ZeroDivisionError

    first, second = Source(), Source()
    with reader.shared_by(first):
        with pytest.raises(ZeroDivisionError):
            read_and_fail(second)
        service_keys.get_api_key("two")

    assert (first.asked, second.asked) == ([("two", None, False)], [("one", None, False)])


def test_a_forked_child_makes_its_own_reader() -> None:
    code = """
import os, service_keys.reader as reader
reader._shared = object()
reader._shared_lock.acquire()
pid = os.fork()
if pid == 0:
    os._exit(0 if reader._shared is None and not reader._shared_lock.locked() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(LAYER)}, capture_output=True, text=True, check=True
    )

    assert ran.stdout == "0\n"


def test_services_that_nobody_has_a_key_of_do_not_fill_the_memory(aws: Aws, keys: ServiceKeys, item: Item) -> None:
    keys.get("one")
    for number in range(200):
        with pytest.raises(KeyNotFound):
            keys.get(f"unknown-{number}")
        aws.now += 1

    assert "one" in keys._services
    assert len(keys._services) <= 65
