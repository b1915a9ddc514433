"""DynamoDB and KMS in bad moments: the right answer, and nothing half written."""

import json
import socket
from typing import Any

import pytest

from local.aws import DYNAMODB_ENDPOINT, isolated
from local.events import rest_event
from local.functions import loaded
from local.stack import LocalStack
from tests.conftest import Logged
from tests.functional.conftest import COLLECTION, SECRET, Admin, Store
from tests.wire import Fault, Wire

CREATE = {"name": "New", "key": SECRET}


@pytest.fixture
def admin(stack: Any, store: Store) -> Admin:
    """Faults lie behind the handlers, so events suffice."""
    return Admin(stack)


def calls(admin: Admin) -> dict[str, Any]:
    """Every way to reach AWS, by the operation that it needs, on a key that exists."""
    key_id = admin.create("There")["id"]
    known_id = admin.create("OpenAI", key=f"sk-{SECRET}")["id"]
    return {
        "POST KMS.Encrypt": lambda: admin.send("POST", COLLECTION, CREATE),
        "POST DynamoDB.TransactWriteItems": lambda: admin.send("POST", COLLECTION, CREATE),
        "GET DynamoDB.GetItem": lambda: admin.get(key_id),
        "LIST DynamoDB.Query": admin.listing,
        "SERVICE DynamoDB.Query": lambda: admin.listing(service="there"),
        "ACTIVE DynamoDB.GetItem": lambda: admin.update(key_id, {"active": False}),
        "ACTIVE DynamoDB.TransactWriteItems": lambda: admin.update(key_id, {"active": False}),
        "KEY KMS.Encrypt": lambda: admin.update(key_id, {"key": SECRET}),
        "NAME DynamoDB.TransactWriteItems": lambda: admin.update(key_id, {"name": "Renamed"}),
        "VERIFY DynamoDB.GetItem": lambda: admin.verify(known_id),
        "VERIFY KMS.Decrypt": lambda: admin.verify(known_id),
        "VERIFY DynamoDB.UpdateItem": lambda: admin.verify(known_id),
        "DELETE DynamoDB.GetItem": lambda: admin.delete(key_id),
        "DELETE DynamoDB.TransactWriteItems": lambda: admin.delete(key_id),
    }


CALLS = [
    "POST KMS.Encrypt",
    "POST DynamoDB.TransactWriteItems",
    "GET DynamoDB.GetItem",
    "LIST DynamoDB.Query",
    "SERVICE DynamoDB.Query",
    "ACTIVE DynamoDB.GetItem",
    "ACTIVE DynamoDB.TransactWriteItems",
    "KEY KMS.Encrypt",
    "NAME DynamoDB.TransactWriteItems",
    "VERIFY DynamoDB.GetItem",
    "VERIFY KMS.Decrypt",
    "VERIFY DynamoDB.UpdateItem",
    "DELETE DynamoDB.GetItem",
    "DELETE DynamoDB.TransactWriteItems",
]


UNKNOWN = [
    call for call in CALLS if "KMS" not in call and call.split()[0] not in {"GET", "LIST", "SERVICE"}
]  # fmt: skip
UNKNOWN.remove("VERIFY DynamoDB.GetItem")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", ["throttled", "failing", "reset"])
def test_a_store_in_trouble_is_unavailable(
    admin: Admin, store: Store, wire: Wire, logged: Logged, call: str, fault: str
) -> None:
    act = calls(admin)[call]
    before = store.items()
    operation = call.split()[1]
    faults = {
        "throttled": Fault(operation, status=400, code="ThrottlingException"),
        "failing": Fault(operation, status=500, code="InternalServerError"),
        "reset": Fault(operation, reset=True),
    }
    with wire.failing(faults[fault]):
        answer = act()

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "try again" in answer.body["error"]["message"].lower()
    assert store.items() == before
    assert logged()[-1]["level"] == "WARNING"
    audits = [line["audit"]["outcome"] for line in logged() if "audit" in line]
    # Where a write may have been made, or the read before it failed, nobody can tell.
    assert audits[-1] == ("unknown" if call in UNKNOWN else "done")
    assert SECRET not in json.dumps([answer.body, logged()])
    assert act().status in {200, 201}


@pytest.mark.parametrize("call", CALLS)
def test_a_refusal_by_iam_is_ours_to_mend(admin: Admin, store: Store, wire: Wire, logged: Logged, call: str) -> None:
    act = calls(admin)[call]
    before = store.items()
    operation = call.split()[1]

    with wire.failing(Fault(operation, status=400, code="AccessDeniedException")):
        answer = act()

    assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
    assert store.items() == before
    assert {entry["audit"]["outcome"] for entry in logged() if "audit" in entry} == {"done"}, (
        "what was refused left none"
    )
    line = logged()[-1]
    assert line["level"] == "ERROR"
    assert f"refused {operation.split('.')[1]}" in line["message"]
    assert "AccessDenied" not in answer.text, "what we may do is none of the client's business"


@pytest.mark.parametrize(
    ("operation", "code"), [("KMS.Encrypt", "DisabledException"), ("KMS.Encrypt", "KMSInvalidStateException")]
)
def test_a_kms_key_that_is_switched_off_is_ours_to_mend(
    admin: Admin, store: Store, wire: Wire, logged: Logged, operation: str, code: str
) -> None:
    with wire.failing(Fault(operation, status=400, code=code)):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert answer.status == 500
    assert store.items() == []
    assert "the KMS key" in logged()[-1]["message"]


def test_a_store_that_does_not_answer_is_unavailable_within_the_functions_time(
    admin: Admin, store: Store, wire: Wire
) -> None:
    with wire.failing(Fault("KMS.Encrypt", hang=True)):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert store.items() == []


@pytest.mark.parametrize("call", [call for call in CALLS if call != "POST KMS.Encrypt"])
def test_one_bad_moment_is_not_noticed(admin: Admin, wire: Wire, call: str) -> None:
    act = calls(admin)[call]

    with wire.failing(Fault(call.split()[1], reset=True, times=1)):
        answer = act()

    assert answer.status in {200, 201}


@pytest.mark.parametrize("changes", [{"active": False}, {"name": "Renamed"}, {"key": SECRET}])
@pytest.mark.parametrize("if_match", ['"1"', "*"])
def test_a_change_whose_answer_is_lost_is_made_once(
    admin: Admin, store: Store, wire: Wire, changes: dict[str, Any], if_match: str
) -> None:
    key = admin.create()

    with wire.failing(Fault("DynamoDB.TransactWriteItems", reset=True, after=True, times=1)):
        answer = admin.update(key["id"], changes, If_Match=if_match)

    assert (answer.status, answer.data["version"]) == (200, 2)
    assert admin.get(key["id"]).data == answer.data
    assert len(store.items()) == 2


def test_a_create_whose_answer_is_lost_is_made_once(admin: Admin, store: Store, wire: Wire) -> None:
    with wire.failing(Fault("DynamoDB.TransactWriteItems", reset=True, after=True, times=1)):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert answer.status == 201
    assert len(store.items()) == 2


def test_a_delete_whose_answer_is_lost_is_made_once(admin: Admin, store: Store, wire: Wire) -> None:
    key = admin.create()

    with wire.failing(Fault("DynamoDB.TransactWriteItems", reset=True, after=True, times=1)):
        answer = admin.delete(key["id"])

    assert answer.status == 200
    assert store.items() == []


@pytest.mark.parametrize("code", ["ExpiredTokenException", "RequestTimeout"])
def test_what_passes_by_itself_is_unavailable(admin: Admin, wire: Wire, code: str) -> None:
    with wire.failing(Fault("DynamoDB.Query", status=400, code=code)):
        assert admin.listing().status == 503


def test_an_address_where_nobody_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch, stack: LocalStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.delenv(DYNAMODB_ENDPOINT, raising=False)
    template = stack.template.with_parameters({"AwsEndpointUrl": nowhere})
    with loaded([template.functions()["ListApiKeys"]], isolated({})) as functions:
        event = rest_event("GET", COLLECTION, authorizer={"sub": "ada"})

        answer = functions["ListApiKeys"].invoke(event)

    assert answer["statusCode"] == 503


def test_a_create_whose_answer_never_came_can_be_repeated(admin: Admin, store: Store, wire: Wire) -> None:
    with wire.failing(Fault("DynamoDB.TransactWriteItems", status=500, after=True)):
        lost = admin.send("POST", COLLECTION, CREATE, Idempotency_Key="k" * 16)
    assert lost.status == 503

    again = admin.send("POST", COLLECTION, CREATE, Idempotency_Key="k" * 16)

    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert [key["id"] for key in admin.listing().data] == [again.data["id"]]


# --- transactions ---------------------------------------------------------------------------------------------------


def cancelled(*codes: str) -> dict[str, Any]:
    return {
        "status": 400,
        "code": "TransactionCanceledException",
        "body": {"CancellationReasons": [{"Code": code} for code in codes]},
    }


@pytest.mark.parametrize("call", [call for call in CALLS if call.endswith("TransactWriteItems")])
def test_a_conflict_with_another_transaction_is_tried_again(admin: Admin, wire: Wire, call: str) -> None:
    act = calls(admin)[call]
    fault = Fault("DynamoDB.TransactWriteItems", times=3, **cancelled("TransactionConflict", "None"))

    with wire.failing(fault):
        answer = act()

    assert answer.status in {200, 201}


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_transaction_is_unavailable(admin: Admin, store: Store, wire: Wire, code: str) -> None:
    with wire.failing(Fault("DynamoDB.TransactWriteItems", **cancelled(code, "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert store.items() == []


def test_a_transaction_that_is_refused_as_wrong_is_our_mistake(admin: Admin, wire: Wire, logged: Logged) -> None:
    with wire.failing(Fault("DynamoDB.TransactWriteItems", **cancelled("ValidationError", "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
    assert logged()[-1]["errorType"].endswith("TransactionCanceledException")
    assert [line["audit"]["outcome"] for line in logged() if "audit" in line] == ["unknown"]


def test_two_keys_with_one_id_cannot_be(admin: Admin, store: Store, wire: Wire) -> None:
    with wire.failing(Fault("DynamoDB.TransactWriteItems", **cancelled("ConditionalCheckFailed", "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert store.items() == []
