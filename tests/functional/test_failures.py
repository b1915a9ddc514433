"""Faults of DynamoDB and KMS that are not in the table of test_faults.py."""

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
    """An administrator without HTTP, because faults occur behind the handlers."""
    return Admin(stack)


@pytest.mark.parametrize(
    ("operation", "code"), [("KMS.Encrypt", "DisabledException"), ("KMS.Encrypt", "KMSInvalidStateException")]
)
def test_an_unusable_kms_key_is_an_internal_error(
    admin: Admin, store: Store, fault_proxy: FaultProxy, logged: Logged, operation: str, code: str
) -> None:
    """Return 500, write nothing, and log the cause."""
    with fault_proxy.failing(Fault(operation, status=400, code=code)):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert answer.status == 500
    assert store.items() == []
    assert "the KMS key" in logged()[-1]["message"]


@pytest.mark.parametrize("changes", [{"active": False}, {"name": "Renamed"}, {"key": SECRET}])
@pytest.mark.parametrize("if_match", ['"1"', "*"])
def test_a_change_with_a_lost_response_is_applied_once(
    admin: Admin, store: Store, fault_proxy: FaultProxy, changes: dict[str, Any], if_match: str
) -> None:
    """Return the result of the first attempt."""
    key = admin.create()

    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", reset=True, after=True, times=1)):
        answer = admin.update(key["id"], changes, If_Match=if_match)

    assert (answer.status, answer.data["version"]) == (200, 2)
    assert admin.get(key["id"]).data == answer.data
    assert len(store.items()) == 2


@pytest.mark.parametrize("code", ["ExpiredTokenException", "RequestTimeout"])
def test_a_transient_error_is_unavailable(admin: Admin, fault_proxy: FaultProxy, code: str) -> None:
    """Return 503 for expired credentials and a request timeout."""
    with fault_proxy.failing(Fault("DynamoDB.Query", status=400, code=code)):
        assert admin.listing().status == 503


def test_an_unreachable_endpoint_is_unavailable(monkeypatch: pytest.MonkeyPatch, stack: LocalStack) -> None:
    """Return 503 if the connection is refused."""
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
def test_a_transaction_conflict_is_retried(admin: Admin, fault_proxy: FaultProxy, act: str) -> None:
    """Apply the change after three conflicts."""
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


def test_an_invalid_transaction_is_an_internal_error(admin: Admin, fault_proxy: FaultProxy, logged: Logged) -> None:
    """Return 500, and log the error and an audit line with an unknown outcome."""
    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", **cancelled("ValidationError", "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (500, "INTERNAL_SERVER_ERROR")
    assert logged()[-1]["errorType"].endswith("TransactionCanceledException")
    assert [line["audit"]["outcome"] for line in logged() if "audit" in line] == ["unknown"]


def test_an_existing_id_is_not_overwritten(admin: Admin, store: Store, fault_proxy: FaultProxy) -> None:
    """Return 503 and write nothing if the new id exists."""
    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", **cancelled("ConditionalCheckFailed", "None"))):
        answer = admin.send("POST", COLLECTION, CREATE)

    assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
    assert store.items() == []
