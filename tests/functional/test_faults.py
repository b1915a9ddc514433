"""Every fault of every AWS call of a function: the response, the audit line, and no partial write.

The cases are those of tests/support/faults.py, from which docs/faults.md is generated.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.aws import sandboxed_environment
from local.functions import load_functions
from local.gateway import Gateway, Request
from local.stack import LocalStack
from service_keys import errors
from service_keys.store.items import HISTORY_PARTITION, IDEMPOTENCY_PARTITION, NAME_PARTITION
from tests.conftest import Logged
from tests.functional.conftest import COLLECTION, SECRET, Admin, ApiResponse, ConsumerOf, Store, admin_fixture
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.faults import CALLS, FAULTS, JWKS_FAULTS, READER, Call
from tests.support.http_server import HttpRequest, HttpServer
from tests.support.processes import ROOT
from tests.support.slow import with_slow
from tools.generate_faults_doc import document

admin = admin_fixture(Admin)  # without HTTP, because faults occur behind the handlers
OPENAI_KEY = f"sk-{SECRET}"
SLOW_FAULTS = ("no answer", "throttled", "connection breaks")
"""The first one waits; the others have the outcome of `5xx`."""
NEW = {"name": "New", "service": "openai", "key": OPENAI_KEY}
CHANGES = {"name": "Renamed", "description": "Changed", "active": False, "key": OPENAI_KEY + "x"}
OPERATIONS: dict[str, Callable[[Admin, str], ApiResponse]] = {
    "create": lambda admin, _: admin.send("POST", COLLECTION, NEW, Idempotency_Key="k" * 16),
    "list": lambda admin, _: admin.listing(),
    "list one service": lambda admin, _: admin.listing(service="openai"),
    "get": lambda admin, key_id: admin.get(key_id),
    "update": lambda admin, key_id: admin.update(key_id, CHANGES, If_Match='"1"'),
    "verify": lambda admin, key_id: admin.verify(key_id),
    "delete": lambda admin, key_id: admin.delete(key_id, If_Match='"1"'),
    "delete permanently": lambda admin, key_id: admin.call(
        "DELETE", f"{COLLECTION}/{key_id}", query={"permanent": "true"}
    ),
    "roll back": lambda admin, key_id: admin.rollback(key_id, If_Match='"2"'),
    "restore": lambda admin, key_id: admin.restore(key_id),
    "history": lambda admin, key_id: admin.history(key_id),
    "list the services": lambda admin, _: admin.services(),
}
"""Requests of an administrator for the key ``openai.…``, named ``There``."""
REPEATED = {
    "create": (201, 201),
    "update": (412, 200),
    "delete": (404, 200),
    "delete permanently": (404, 200),
    "roll back": (412, 200),
    "restore": (404, 200),
}
"""Status of the same request sent again, unless 200: if the change was stored, and if it was not."""


def prepare(admin: Admin, act: str, name: str = "There") -> str:
    """Store a key on which the request is possible; return its id."""
    key_id: str = admin.create(name, OPENAI_KEY, service="openai")["id"]
    if act == "roll back":
        assert admin.update(key_id, {"key": OPENAI_KEY + "y"}).status == 200
    if act == "restore":
        assert admin.delete(key_id).status == 200
    return key_id


def assert_stored(act: str, store: Store, was: dict[str, Any]) -> None:
    """Fail unless the whole change and its history entry are stored; ``was`` is the key's item before it."""
    keys, names, records, history = (
        store.partition(part) for part in ("openai", NAME_PARTITION, IDEMPOTENCY_PARTITION, HISTORY_PARTITION)
    )
    key_id = was["id"]["S"]
    now = keys.get(key_id, {})
    match act:
        case "create":
            (key_id,) = keys.keys() - {key_id}
            (record,) = records.values()
            assert set(names) == {"there", "new"}
            assert names["new"]["key"] == record["key"] == {"S": key_id}
        case "update":
            assert (now["name"]["S"], now["active"]["BOOL"], now["version"]["N"]) == ("Renamed", False, "2")
            assert now["previousCiphertext"] == was["ciphertext"] != now["ciphertext"]
            assert set(names) == {"renamed"}
        case "verify":
            assert now.pop("verification")["M"]["status"] == {"S": "valid"}
            assert now == was
        case "delete":
            assert now["deletedCiphertext"] == was["ciphertext"]
            assert (now["entity"], "ciphertext" in now, names) == ({"S": "deleted"}, False, {})
        case "delete permanently":
            assert (keys, names) == ({}, {})
        case "roll back":
            exchanged = (now["ciphertext"], now["previousCiphertext"])
            assert exchanged == (was["previousCiphertext"], was["ciphertext"])
        case "restore":
            assert now["ciphertext"] == was["deletedCiphertext"]
            assert not now.keys() & {"deletedCiphertext", "deletedAt", "recoverableUntil", "expiresAt"}
            assert (now["entity"], set(names)) == ({"S": "key"}, {"there"})
    changes = [entry["change"]["S"] for name, entry in sorted(history.items()) if name.startswith(key_id)]
    assert len(changes) == (int(was["version"]["N"]) + (act != "verify") if act != "create" else 1)
    assert changes[-1] == {"verify": "create", "delete permanently": "delete", "roll back": "rollback"}.get(act, act)


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("fault", with_slow(FAULTS, *SLOW_FAULTS))
def test_a_fault_has_the_outcome_of_the_table(
    stack: LocalStack, admin: Admin, store: Store, fault_proxy: FaultProxy, logged: Logged, call: Call, fault: str
) -> None:
    """Compare the response, the items, the audit line and a repeated request."""
    key_id = prepare(admin, call.act)
    before, was, lines = store.items(), store.item(key_id), len(logged())
    send, expected = OPERATIONS[call.act], call.outcome(fault)
    began = time.monotonic()

    with fault_proxy.failing(Fault(call.operation, skip=call.nth - 1, **FAULTS[fault])):
        response = send(admin, key_id)

    assert time.monotonic() - began < stack.functions[call.function].definition.timeout
    assert (200 if response.status == 201 else response.status) == expected.status
    if expected.made:
        assert_stored(call.act, store, was)
    else:
        assert store.items() == before
    written = logged()[lines:]
    assert [line["audit"]["outcome"] for line in written if "audit" in line] == [expected.audit] * bool(expected.audit)
    if expected.status == 503:
        assert response.code == "SERVICE_UNAVAILABLE"
        assert int(response.headers["Retry-After"]) >= 1
        assert "try again" in response.body["error"]["message"].lower()
        assert written[-1]["level"] == "WARNING"
    elif expected.status == 500:
        assert response.code == "INTERNAL_SERVER_ERROR"
        assert "AccessDenied" not in response.text, "what we may do is none of the client's business"
        assert written[-1]["level"] == "ERROR"
        assert f"refused {call.operation.split('.')[1]}" in written[-1]["message"]

    again = send(admin, key_id)

    assert again.status == REPEATED.get(call.act, (200, 200))[0 if expected.made else 1]
    if call.act == "create":
        assert again.headers.get("Idempotency-Replayed") == ("true" if expected.made else None)
        assert [key["id"] for key in admin.listing().data] == [again.data["id"], key_id]
    if call.changes and again.status in {200, 201}:
        assert_stored(call.act, store, was)


# --- a consumer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", READER)
@pytest.mark.parametrize("fault", with_slow(FAULTS, *SLOW_FAULTS))
def test_a_fault_of_a_cold_read_has_the_outcome_of_the_table(
    admin: Admin, store: Store, fault_proxy: FaultProxy, consumer_of: ConsumerOf, operation: str, fault: str
) -> None:
    """Return the key or raise the error; change no attribute but lastUsed."""
    key_id = admin.create("There", OPENAI_KEY, service="openai")["id"]
    before = store.item(key_id)
    outage, denied = READER[operation]
    expected = {"access denied": denied, "first answer lost": "the key"}.get(fault, outage)

    with fault_proxy.failing(Fault(operation, **FAULTS[fault])):
        if expected == "the key":
            assert consumer_of().get("openai").value == OPENAI_KEY
        else:
            with pytest.raises(getattr(errors, expected)):
                consumer_of().get("openai")

    after = store.item(key_id)
    stamped = operation == "DynamoDB.UpdateItem" and "lost" in fault
    assert ("lastUsed" in after) == (stamped or fault == "first answer lost")
    after.pop("lastUsed", None)
    assert after == before, "a reader changes nothing else"


# --- the authorizer -------------------------------------------------------------------------------------------------


@pytest.fixture
def issuer(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a JWKS endpoint with one fault; return its URL."""
    statuses = {"429": 429, "5xx": 503, "403": 403, "HTML": 200, "redirect": 302}

    def respond(asked: HttpRequest) -> None:
        if request.param == "no answer":
            server.ended.wait(20)
        if request.param in statuses:
            asked.send(statuses[request.param], b"<html></html>", {"Location": "/elsewhere"})

    with HttpServer(respond) as server:
        yield f"{server.url}/jwks.json"


@pytest.mark.parametrize("issuer", with_slow(JWKS_FAULTS, "no answer"), indirect=True)
def test_a_fault_of_the_issuer_returns_503(
    stack: LocalStack, store: Store, fault_proxy: FaultProxy, issuer: str
) -> None:
    """Return 503 with Retry-After, and call no other function."""
    template = stack.template.with_parameters({"JwksUrl": issuer})
    headers = [("Authorization", f"Bearer {stack.issuer.token()}")]
    with load_functions([template.functions()["Authorizer"]], sandboxed_environment({})) as fresh:
        gateway = Gateway(template, {**stack.functions, **fresh})
        response = gateway.handle(Request("GET", COLLECTION, headers=headers))

    assert response.status == 503
    assert "SERVICE_UNAVAILABLE" in response.body
    assert int(dict(response.headers)["Retry-After"]) >= 1
    assert fault_proxy.calls == []


def test_the_page_about_faults_is_up_to_date() -> None:
    """Compare docs/faults.md with the table."""
    assert (ROOT / "docs" / "faults.md").read_text() == document(), "make docs"


def test_every_call_of_every_function_is_in_the_table(admin: Admin, fault_proxy: FaultProxy) -> None:
    """Send each request without a fault, and find the table's calls and no others."""
    seen = set()
    for act, send in OPERATIONS.items():
        key_id = prepare(admin, act, f"Key {act}")
        fault_proxy.clear()
        assert send(admin, key_id).status in {200, 201}
        counts: Counter[tuple[str | None, str]] = Counter()
        for call in fault_proxy.calls:
            counts[call.caller, call.operation] += 1
            nth = counts[call.caller, call.operation]
            # The second call of ListServices is repeated for each service.
            seen.add((call.caller, call.operation, min(nth, 2) if call.caller == "ListServices" else nth))

    assert seen == {(call.function, call.operation, call.nth) for call in CALLS}
