"""DynamoDB and KMS in bad moments of kinds that the table of test_faults.py does not have."""

import socket
from typing import Any

import pytest

from local.aws import DYNAMODB_ENDPOINT, sandboxed_environment
from local.events import rest_event
from local.functions import load_functions
from local.stack import LocalStack
from tests.conftest import Logged
from tests.functional.conftest import COLLECTION, SECRET, Admin, Store
from tests.functional.test_faults import OPERATIONS
from tests.support.fault_proxy import Fault, FaultProxy

CREATE = {"name": "New", "key": SECRET}


@pytest.fixture
def admin(stack: Any, store: Store) -> Admin:
    """Faults lie behind the handlers, so events suffice."""
    return Admin(stack)


@pytest.mark.parametrize(
    ("operation", "code"), [("KMS.Encrypt", "DisabledException"), ("KMS.Encrypt", "KMSInvalidStateException")]
)
def test_a_kms_key_that_is_switched_off_is_ours_to_mend(
    admin: Admin, store: Store, fault_proxy: FaultProxy, logged: Logged, operation: str, code: str
) -> None:
    with fault_proxy.failing(Fault(operation, status=400, code=code)):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert answer.status == 500
    assert store.items() == []
    assert "the KMS key" in logged()[-1]["message"]


@pytest.mark.parametrize("changes", [{"active": False}, {"name": "Renamed"}, {"key": SECRET}])
@pytest.mark.parametrize("if_match", ['"1"', "*"])
def test_a_change_whose_answer_is_lost_is_made_once(
    admin: Admin, store: Store, fault_proxy: FaultProxy, changes: dict[str, Any], if_match: str
) -> None:
    key = admin.create()

    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", reset=True, after=True, times=1)):
        answer = admin.update(key["id"], changes, If_Match=if_match)

    assert (answer.status, answer.data["version"]) == (200, 2)
    assert admin.get(key["id"]).data == answer.data
    assert len(store.items()) == 2


@pytest.mark.parametrize("code", ["ExpiredTokenException", "RequestTimeout"])
def test_what_passes_by_itself_is_unavailable(admin: Admin, fault_proxy: FaultProxy, code: str) -> None:
    with fault_proxy.failing(Fault("DynamoDB.Query", status=400, code=code)):
        assert admin.listing().status == 503


def test_an_address_where_nobody_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch, stack: LocalStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.delenv(DYNAMODB_ENDPOINT, raising=False)
    template = stack.template.with_parameters({"AwsEndpointUrl": nowhere})
    with load_functions([template.functions()["ListApiKeys"]], sandboxed_environment({})) as functions:
        event = rest_event("GET", COLLECTION, authorizer={"sub": "ada"})

        answer = functions["ListApiKeys"].invoke(event)

    assert answer["statusCode"] == 503


# --- transactions ---------------------------------------------------------------------------------------------------


def cancelled(*codes: str) -> dict[str, Any]:
    return {
        "status": 400,
        "code": "TransactionCanceledException",
        "body": {"CancellationReasons": [{"Code": code} for code in codes]},
    }


@pytest.mark.parametrize("act", ["create", "update", "delete"])
def test_a_conflict_with_another_transaction_is_tried_again(admin: Admin, fault_proxy: FaultProxy, act: str) -> None:
    key_id = admin.create("There", f"sk-{SECRET}", service="openai")["id"]
    fault = Fault("DynamoDB.TransactWriteItems", times=3, **cancelled("TransactionConflict", "None"))

    with fault_proxy.failing(fault):
        answer = OPERATIONS[act].do(admin, key_id)

    assert answer.status in {200, 201}
    assert fault.times == 0


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_transaction_is_unavailable(admin: Admin, store: Store, fault_proxy: FaultProxy, code: str) -> None:
    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", **cancelled(code, "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert store.items() == []


def test_a_transaction_that_is_refused_as_wrong_is_our_mistake(
    admin: Admin, fault_proxy: FaultProxy, logged: Logged
) -> None:
    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", **cancelled("ValidationError", "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
    assert logged()[-1]["errorType"].endswith("TransactionCanceledException")
    assert [line["audit"]["outcome"] for line in logged() if "audit" in line] == ["unknown"]


def test_two_keys_with_one_id_cannot_be(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", **cancelled("ConditionalCheckFailed", "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert store.items() == []
