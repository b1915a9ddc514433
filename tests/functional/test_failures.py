"""Faults of DynamoDB and KMS that are not in the table of test_faults.py."""

import socket
from typing import Any

import pytest

from local.aws import DYNAMODB_ENDPOINT, sandboxed_environment
from local.events import rest_event
from local.functions import load_functions
from local.stack import LocalStack
from tests.conftest import Logged
from tests.functional.conftest import COLLECTION, SECRET, Admin, Store, admin_fixture
from tests.functional.test_faults import OPERATIONS, prepare
from tests.support.fault_proxy import Fault, FaultProxy

admin = admin_fixture(Admin)  # without HTTP, because faults occur behind the handlers
CREATE = {"name": "New", "key": SECRET}


@pytest.mark.parametrize("code", ["DisabledException", "KMSInvalidStateException"])
def test_an_unusable_kms_key_is_an_internal_error(
    admin: Admin, store: Store, fault_proxy: FaultProxy, logged: Logged, code: str
) -> None:
    """Return 500, write nothing, and log the cause."""
    with fault_proxy.failing(Fault("KMS.Encrypt", status=400, code=code)):
        response = admin.send("POST", COLLECTION, CREATE)

    assert response.status == 500
    assert store.current_items() == []
    assert "the KMS key" in logged()[-1]["message"]


@pytest.mark.parametrize("changes", [{"active": False}, {"name": "Renamed"}, {"key": SECRET}])
@pytest.mark.parametrize("if_match", ['"1"', "*"])
def test_a_change_with_a_lost_response_is_applied_once(
    admin: Admin, store: Store, fault_proxy: FaultProxy, changes: dict[str, Any], if_match: str
) -> None:
    """Return the result of the first attempt."""
    key = admin.create()

    with fault_proxy.failing(Fault("DynamoDB.TransactWriteItems", reset=True, after=True, times=1)):
        response = admin.update(key["id"], changes, If_Match=if_match)

    assert (response.status, response.data["version"]) == (200, 2)
    assert admin.get(key["id"]).data == response.data
    assert len(store.current_items()) == 2


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
        response = functions["ListApiKeys"].invoke(rest_event("GET", COLLECTION, authorizer={"sub": "ada"}))

    assert response["statusCode"] == 503


# --- transactions ---------------------------------------------------------------------------------------------------


def cancelled(code: str, times: int | None = None) -> Fault:
    error = {"CancellationReasons": [{"Code": code}, {"Code": "None"}]}
    operation = "DynamoDB.TransactWriteItems"
    return Fault(operation, status=400, code="TransactionCanceledException", times=times, body=error)


@pytest.mark.parametrize("act", ["create", "update", "delete", "delete permanently", "roll back", "restore"])
def test_a_transaction_conflict_is_retried(admin: Admin, fault_proxy: FaultProxy, act: str) -> None:
    """Apply the change after three conflicts."""
    key_id = prepare(admin, act)
    fault = cancelled("TransactionConflict", times=3)

    with fault_proxy.failing(fault):
        response = OPERATIONS[act](admin, key_id)

    assert response.status in {200, 201}
    assert fault.times == 0


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded", "ConditionalCheckFailed"])
def test_a_cancelled_create_is_unavailable(admin: Admin, store: Store, fault_proxy: FaultProxy, code: str) -> None:
    """Return 503 and write nothing after throttling, or if the new id exists."""
    with fault_proxy.failing(cancelled(code)):
        response = admin.send("POST", COLLECTION, CREATE)

    assert (response.status, response.code) == (503, "SERVICE_UNAVAILABLE")
    assert store.current_items() == []


def test_an_invalid_transaction_is_an_internal_error(admin: Admin, fault_proxy: FaultProxy, logged: Logged) -> None:
    """Return 500, and log the error and an audit line with an unknown outcome."""
    with fault_proxy.failing(cancelled("ValidationError")):
        response = admin.send("POST", COLLECTION, CREATE)

    assert (response.status, response.code) == (500, "INTERNAL_SERVER_ERROR")
    assert logged()[-1]["errorType"].endswith("TransactionCanceledException")
    assert [line["audit"]["outcome"] for line in logged() if "audit" in line] == ["unknown"]
