"""Tests of a `ServiceKeys` instance in a forked child: it does not hang and shares no connection."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service_keys import ServiceKeys
from service_keys.reader.client import _instances
from service_keys.store.consumer_clients import BOTOCORE, CLIENT_VARIABLE, DIRECT
from tests.support.aws_stub import ISSUED, SECRET, AwsStub

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[3]

PRELUDE = """
import multiprocessing, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of threads at a fork
import botocore.session
from service_keys import ServiceKeys, get_api_key
from service_keys.reader import client as reader_client, default_client
from service_keys.store import consumer_clients
from service_keys.testing import fake_api_keys

reader_client.MIN_REFRESH_INTERVAL_SECONDS = reader_client.NEGATIVE_TTL_SECONDS = 0

def given():
    return {f"{name}_client": botocore.session.get_session().create_client(name) for name in ("dynamodb", "kms")}

def given_direct():
    return dict(zip(("dynamodb_client", "kms_client"), consumer_clients.clients("dynamodb", "kms")))

def read():
    return keys.get("one").value

def in_child(act):
    pid = os.fork()
    if pid == 0:
        try:
            print(act(), flush=True)
        except BaseException as error:
            print(repr(error), flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


@pytest.fixture
def stub() -> Iterator[AwsStub]:
    with AwsStub() as stub:
        yield stub


def run(stub: AwsStub, code: str, kind: str = BOTOCORE) -> list[str]:
    """Run `code` in a separate process, because it forks; return the lines that it and its children print."""
    environment = {
        "AWS_ACCESS_KEY_ID": ISSUED[0],
        "AWS_SECRET_ACCESS_KEY": ISSUED[1],
        "AWS_SESSION_TOKEN": ISSUED[2],
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": stub.url,
        CLIENT_VARIABLE: kind,
        "SERVICE_KEYS_TABLE": "table",
        "PYTHONPATH": f"{ROOT / 'layers' / 'service_keys'}{os.pathsep}{ROOT}",
    }
    command = [sys.executable, "-c", PRELUDE + code]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=150)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.splitlines()


all_clients = pytest.mark.parametrize(
    ("created", "kind"),
    [
        ('ServiceKeys("table")', BOTOCORE),
        ('ServiceKeys("table", **given())', BOTOCORE),
        ('ServiceKeys("table")', DIRECT),
        ('ServiceKeys("table", **given_direct())', DIRECT),
    ],
)
both_kinds = pytest.mark.parametrize("kind", [BOTOCORE, DIRECT])


@all_clients
def test_a_child_reads_on_connections_of_its_own(stub: AwsStub, created: str, kind: str) -> None:
    """Serve the parent's cached key without a call; refresh on a new connection, and keep those of the parent."""
    lines = run(
        stub,
        f"""
keys = {created}
keys.get("one")
in_child(read)
in_child(lambda: keys.get("one", name="prod").value)
for number in range(3):
    in_child(lambda: keys.get("one", refresh=True).value)
    print(keys.get("one", refresh=True).value, flush=True)
""",
        kind,
    )

    assert lines == [SECRET] * 8
    assert stub.operations() == ["Query", "Decrypt", "UpdateItem"] + ["Query", "UpdateItem"] * 6
    ports = [request.port for request in stub.requests if request.operation == "Query"]
    parent, children = set(ports[::2]), set(ports[1::2])
    assert (len(parent), len(children)) == (1, 3)
    assert not parent & children


@all_clients
def test_a_fork_while_another_thread_holds_the_locks(stub: AwsStub, created: str, kind: str) -> None:
    """Replace the locks in the child, where the thread that holds them does not exist."""
    lines = run(
        stub,
        f"""
keys = default_client._default = {created}
keys.get("one")
locked, done = threading.Event(), threading.Event()
def hold():
    with keys._services["one"].lock, keys._lock, default_client._default_lock:
        locked.set()
        done.wait(40)
thread = threading.Thread(target=hold)
thread.start()
locked.wait()
in_child(lambda: keys.get("one", refresh=True).value + get_api_key("one").value)
done.set()
thread.join()
""",
        kind,
    )

    assert lines == [SECRET + SECRET]


@all_clients
def test_a_fork_while_another_thread_waits_for_aws(stub: AwsStub, created: str, kind: str) -> None:
    """Refresh in the child independently; the parent's thread completes its own refresh."""
    stub.holding = "Query"
    lines = run(
        stub,
        f"""
import urllib.request
keys = {created}
thread = threading.Thread(target=lambda: print(keys.get("one").value, flush=True))
thread.start()
control = {stub.url!r}
assert urllib.request.urlopen(control + "/held").read() == b"held"
def read():
    urllib.request.urlopen(control + "/release").read()
    return "child " + keys.get("one").value
in_child(read)
thread.join()
""",
        kind,
    )

    assert sorted(lines) == ["child " + SECRET, SECRET]


@both_kinds
def test_pool_workers_read_with_their_parents_instance(stub: AwsStub, kind: str) -> None:
    """Read in workers of multiprocessing's fork context while threads of the parent read.

    The parent reads once before the fork: CPython resets no import lock, so a child must not inherit an unfinished
    import.
    """
    lines = run(
        stub,
        """
keys = ServiceKeys("table")
keys.get("one")
done = threading.Event()
def read_on():
    while not done.is_set():
        keys.get("one", refresh=True)
threads = [threading.Thread(target=read_on) for _ in range(3)]
for thread in threads:
    thread.start()
def read(_):
    return keys.get("one", refresh=True).value
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(read, range(6)))
done.set()
for thread in threads:
    thread.join()
""",
        kind,
    )

    assert lines == [repr([SECRET] * 6)]


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ('get_api_key("one"); in_child(lambda: get_api_key("one").value)', [SECRET]),
        ('keys = ServiceKeys("table", **given())\nin_child(lambda: in_child(read) or read())', [SECRET] * 2),
        ('with fake_api_keys({"one": "made-up"}): in_child(lambda: get_api_key("one").value)', ["made-up"]),
    ],
    ids=["default instance", "grandchild before its parent", "fake keys of a test"],
)
def test_a_child_or_grandchild_returns_the_key(stub: AwsStub, code: str, lines: list[str]) -> None:
    """Read with the default instance, or in a grandchild first; read a fake key without a call to AWS."""
    assert run(stub, code) == lines
    assert bool(stub.requests) == (SECRET in lines)


@both_kinds
def test_a_child_serves_its_parents_cached_key_stale(stub: AwsStub, kind: str) -> None:
    """Serve the parent's cached key in the child while AWS has a transient error."""
    lines = run(
        stub,
        """
import logging, time
logging.disable()
now = time.time()
keys = ServiceKeys("table", clock=lambda: now)
keys.get("one")
now += 61
os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
in_child(read)
os.environ["AWS_ENDPOINT_URL"] = "no URL"
in_child(read)
""",
        kind,
    )

    assert lines[0] == SECRET
    assert lines[1].startswith("ConfigurationError(")


def test_an_instance_is_collected_after_its_last_reference(clients: tuple[Any, Any]) -> None:
    """Hold instances weakly in the registry that resets them after a fork."""
    keys = ServiceKeys("table", dynamodb_client=clients[0], kms_client=clients[1])
    reference = weakref.ref(keys)
    assert keys in _instances

    del keys
    gc.collect()
    assert reference() is None
