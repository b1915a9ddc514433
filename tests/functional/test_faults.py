"""Every fault of every AWS call of a function: the response, the audit line, and no partial write.

The cases are those of tests/support/faults.py, from which docs/faults.md is generated.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from local.aws import sandboxed_environment
from local.functions import load_functions
from local.gateway import Gateway, Request
from service_keys import ServiceKeys, errors
from service_keys.store.items import IDEMPOTENCY_PARTITION, NAME_PARTITION
from tests.functional.conftest import COLLECTION, SECRET, Admin, ApiResponse, ClientsOf, Store
from tests.support.fault_proxy import Fault
from tests.support.faults import CALLS, FAULTS, JWKS_FAULTS, READER
from tests.support.http_server import HttpServer
from tests.support.processes import ROOT
from tests.support.slow import with_slow
from tools.generate_faults_doc import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.stack import LocalStack
    from tests.conftest import Logged
    from tests.support.fault_proxy import FaultProxy
    from tests.support.faults import Call
    from tests.support.http_server import HttpRequest

OPENAI_KEY = f"sk-{SECRET}"
NEW = {"name": "New", "service": "openai", "key": OPENAI_KEY}
CHANGES = {"name": "Renamed", "description": "Changed", "active": False, "key": OPENAI_KEY + "x"}
Items = list[dict[str, Any]]


@pytest.fixture
def admin(stack: LocalStack, store: Store) -> Admin:
    """An administrator without HTTP, because faults occur behind the handlers."""
    return Admin(stack)


@dataclass(frozen=True)
class Operation:
    """A request of an administrator for the key ``openai.…``, named ``There``.

    Attributes:
        status_when_repeated: Status of the same request sent again: if the change was stored, and if it was not.
    """

    do: Callable[[Admin, str], ApiResponse]
    status_when_repeated: tuple[int, int] = (200, 200)


def by_sort_key(items: Items, partition: str) -> dict[str, dict[str, Any]]:
    return {item["id"]["S"]: item for item in items if item["service"]["S"] == partition}


OPERATIONS = {
    "create": Operation(
        lambda admin, _: admin.send("POST", COLLECTION, NEW, Idempotency_Key="k" * 16), status_when_repeated=(201, 201)
    ),
    "list": Operation(lambda admin, _: admin.listing()),
    "list one service": Operation(lambda admin, _: admin.listing(service="openai")),
    "get": Operation(lambda admin, key_id: admin.get(key_id)),
    "update": Operation(
        lambda admin, key_id: admin.update(key_id, CHANGES, If_Match='"1"'), status_when_repeated=(412, 200)
    ),
    "verify": Operation(lambda admin, key_id: admin.verify(key_id)),
    "delete": Operation(lambda admin, key_id: admin.delete(key_id, If_Match='"1"'), status_when_repeated=(404, 200)),
}


def assert_made(act: str, before: Items, after: Items, key_id: str) -> None:
    """Fail unless the whole change is stored."""
    keys, names, memories = (by_sort_key(after, part) for part in ("openai", NAME_PARTITION, IDEMPOTENCY_PARTITION))
    was = by_sort_key(before, "openai")[key_id]
    match act:
        case "create":
            (new,) = keys.keys() - {key_id}
            assert (set(names), len(memories)) == ({"there", "new"}, 1)
            assert names["new"]["key"] == next(iter(memories.values()))["key"] == {"S": new}
        case "update":
            now = keys[key_id]
            assert (now["name"]["S"], now["active"]["BOOL"], now["version"]["N"]) == ("Renamed", False, "2")
            assert now["ciphertext"] != was["ciphertext"]
            assert set(names) == {"renamed"}
        case "verify":
            now = dict(keys[key_id])
            assert now.pop("verification")["M"]["status"] == {"S": "valid"}
            assert now == was
        case "delete":
            assert after == []


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("fault", with_slow(FAULTS, "no answer"))
def test_a_fault_has_the_outcome_of_the_table(
    stack: LocalStack, admin: Admin, store: Store, fault_proxy: FaultProxy, logged: Logged, call: Call, fault: str
) -> None:
    """Compare the response, the items, the audit line and a repeated request."""
    key_id = admin.create("There", OPENAI_KEY, service="openai")["id"]
    before, lines = store.items(), len(logged())
    act, expected = OPERATIONS[call.act], call.outcome(fault)
    began = time.monotonic()

    with fault_proxy.failing(Fault(call.operation, skip=call.nth - 1, **FAULTS[fault])):
        answer = act.do(admin, key_id)

    assert time.monotonic() - began < stack.functions[call.function].definition.timeout
    assert (200 if answer.status == 201 else answer.status) == expected.status
    if expected.made:
        assert_made(call.act, before, store.items(), key_id)
    else:
        assert store.items() == before
    written = logged()[lines:]
    assert [line["audit"]["outcome"] for line in written if "audit" in line] == [expected.audit] * bool(expected.audit)
    if expected.status == 503:
        assert answer.code == "SERVICE_UNAVAILABLE"
        assert int(answer.headers["Retry-After"]) >= 1
        assert "try again" in answer.body["error"]["message"].lower()
        assert written[-1]["level"] == "WARNING"
    elif expected.status == 500:
        assert answer.code == "INTERNAL_SERVER_ERROR"
        assert "AccessDenied" not in answer.text, "what we may do is none of the client's business"
        assert written[-1]["level"] == "ERROR"
        assert f"refused {call.operation.split('.')[1]}" in written[-1]["message"]

    again = act.do(admin, key_id)

    assert again.status == act.status_when_repeated[0 if expected.made else 1]
    if call.act == "create":
        assert again.headers.get("Idempotency-Replayed") == ("true" if expected.made else None)
        assert [key["id"] for key in admin.listing().data] == [again.data["id"], key_id]
    if call.changes and again.status in {200, 201}:
        assert_made(call.act, before, store.items(), key_id)


# --- a consumer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", READER)
@pytest.mark.parametrize("fault", with_slow(FAULTS, "no answer"))
def test_a_fault_of_a_cold_read_has_the_outcome_of_the_table(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, operation: str, fault: str
) -> None:
    """Return the key or raise the error; change no attribute but lastUsed."""
    key_id = admin.create("There", OPENAI_KEY, service="openai")["id"]
    before = store.item(key_id)
    dynamodb, kms = clients_of("ReadAllKeys")
    keys = ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms)
    outage, denied = READER[operation]
    expected = {"access denied": denied, "first answer lost": "the key"}.get(fault, outage)

    with fault_proxy.failing(Fault(operation, **FAULTS[fault])):
        if expected == "the key":
            assert keys.get("openai").value == OPENAI_KEY
        else:
            with pytest.raises(getattr(errors, expected)):
                keys.get("openai")

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
        answer = gateway.handle(Request("GET", COLLECTION, headers=headers))

    assert answer.status == 503
    assert "SERVICE_UNAVAILABLE" in answer.body
    assert int(dict(answer.headers)["Retry-After"]) >= 1
    assert fault_proxy.calls == []


def test_the_page_about_faults_is_up_to_date() -> None:
    assert (ROOT / "docs" / "faults.md").read_text() == document(), "make docs"


def test_every_call_of_every_function_is_in_the_table(
    admin: Admin, store: Store, fault_proxy: FaultProxy, fake_services: Any, stack: LocalStack
) -> None:
    seen: set[tuple[str | None, str, int]] = set()
    for number, act in enumerate(OPERATIONS.values()):
        key_id = admin.create(f"Key {number}", OPENAI_KEY, service="openai")["id"]
        fault_proxy.clear()
        assert act.do(admin, key_id).status in {200, 201}
        counts: dict[tuple[str | None, str], int] = {}
        for made in fault_proxy.calls:
            counts[made.caller, made.operation] = counts.get((made.caller, made.operation), 0) + 1
            seen.add((made.caller, made.operation, counts[made.caller, made.operation]))

    assert seen == {(call.function, call.operation, call.nth) for call in CALLS}
