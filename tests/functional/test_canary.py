"""Confidentiality: the canary secret takes every path with all logging enabled, and appears in no output.

tests/conftest.py asserts this for every test; tests/support/canary.py lists the inspected outputs. The tests here take
the paths that other tests take without a secret, and prove that a leak is found.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from service_keys import ServiceKeys
from service_keys.admin import observability
from service_keys.admin.observability import logger
from service_keys.errors import ServiceKeysError
from service_keys.store.repository import KeyRepository
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, ApiResponse, ClientsOf, Store
from tests.support.canary import LEAKS, LeakDetectingHandler, contains_canary, inspect_log
from tests.support.fault_proxy import Fault
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local.fake_services import FakeServices
    from local.stack import LocalStack
    from tests.support.fault_proxy import FaultProxy

OPENAI_KEY = f"sk-{SECRET}"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def everything_is_logged_and_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(observability, "metrics_namespace", "ServiceKeys/test")
    functions_log = logging.getLogger(logger.name)
    before = functions_log.level
    functions_log.setLevel(logging.DEBUG)
    with inspect_log():
        yield
    functions_log.setLevel(before)


@pytest.fixture
def admin(stack: LocalStack, store: Store) -> Admin:
    return Admin(stack)


def test_the_life_of_a_key_leaks_no_secret(
    admin: Admin, store: Store, clients_of: ClientsOf, fake_services: FakeServices
) -> None:
    """Create, verify, read, update and delete keys with the canary as secret value."""
    for service, key in (("openai", OPENAI_KEY), ("spotify", SPOTIFY_KEY)):
        body = {"name": f"Key of {service}", "service": service, "key": key}
        for _ in range(2):
            assert admin.send("POST", COLLECTION, body, Idempotency_Key=f"{service}-0123456789").status == 201
        assert admin.send("POST", COLLECTION, body).code == "DUPLICATE_API_KEY_NAME"
        key_id = admin.listing(service=service).data[0]["id"]
        for answer in ("valid", "wrong", "html", "reset"):
            fake_services.chosen[service] = answer
            assert admin.verify(key_id).status == 200
        fake_services.chosen[service] = "valid"
        dynamodb, kms = clients_of("ReadAllKeys")
        read = ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms).get(service)
        assert contains_canary(dict(read) or read.value)
        assert not contains_canary(repr(read), str(read), f"{read}", vars(read) if hasattr(read, "__dict__") else None)
        assert admin.update(key_id, {"key": key}, If_Match='"9"').code == "VERSION_CONFLICT"
        assert admin.update(key_id, {"key": key, "name": "Renamed", "active": False}).status == 200
        assert admin.delete(key_id).status == 200


REFUSED: dict[str, tuple[bytes, int]] = {
    "not JSON": (f'{{"name": "One", "key": "{OPENAI_KEY}"'.encode(), 400),
    "not UTF-8": (f'{{"name": "One", "key": "{OPENAI_KEY}'.encode() + b'\xff"}', 400),
    "no object": (json.dumps(OPENAI_KEY).encode(), 400),
    "a field twice": (f'{{"key": "{OPENAI_KEY}", "key": "{OPENAI_KEY}"}}'.encode(), 400),
    "no number": (f'{{"key": "{OPENAI_KEY}", "name": NaN}}'.encode(), 400),
    "deep": (b'{"key": ' + b"[" * 5000 + OPENAI_KEY.encode() + b"]" * 5000 + b"}", 400),
    "a wrong name": (json.dumps({"name": OPENAI_KEY * 9, "key": OPENAI_KEY}).encode(), 400),
    "a wrong shape": (json.dumps({"name": "Spotify", "service": "spotify", "key": OPENAI_KEY}).encode(), 400),
    "wrong parts": (json.dumps({"name": "One", "key": {OPENAI_KEY: [OPENAI_KEY]}}).encode(), 400),
    "a lone surrogate": (f'{{"name": "One", "key": "{OPENAI_KEY}\\ud800"}}'.encode(), 400),
    "everything wrong": (
        json.dumps({field: [SECRET] for field in ("name", "key", "active", "service", SECRET)}).encode(),
        400,
    ),
    "too large": (json.dumps({"name": "One", "key": OPENAI_KEY * 2000}).encode(), 413),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_rejected_body_is_not_echoed(admin: Admin, store: Store, method: str, why: str) -> None:
    """Return an error without the secret for each kind of invalid body."""
    path = COLLECTION if method == "POST" else f"{COLLECTION}/{admin.create(key=OPENAI_KEY)['id']}"
    body, status = REFUSED[why]

    # API Gateway sends bytes that are no text in base64 if a binary type is declared; this API declares none.
    assert admin.call(method, path, body=body, headers=JSON).status == status


@pytest.mark.parametrize("where", ["headers", "query", "path"])
def test_a_misplaced_secret_is_not_echoed(admin: Admin, where: str) -> None:
    """Return an error without a secret that was sent in a header, the query or the path."""
    header = {"If-Match": OPENAI_KEY, "Idempotency-Key": f"{OPENAI_KEY} and a blank"}
    if where == "headers":
        answers = [
            admin.call(
                "POST", COLLECTION, body=b'{"name": "One", "key": "' + SECRET.encode() + b'"}', headers=JSON | header
            ),
            admin.call("DELETE", f"{COLLECTION}/{admin.create()['id']}", headers=header),
        ]
    elif where == "query":
        queries = ({OPENAI_KEY: "1"}, {"cursor": OPENAI_KEY}, {"service": OPENAI_KEY + "!"}, {"limit": OPENAI_KEY})
        answers = [admin.listing(**query) for query in queries]
    else:
        answers = [admin.get(OPENAI_KEY), admin.verify(OPENAI_KEY), admin.delete(OPENAI_KEY)]

    assert {answer.status for answer in answers} <= {400, 404}


FAULTS = [
    {"status": 400, "code": "AccessDeniedException"},
    {"status": 400, "code": "ValidationException", "body": {"message": "the value is wrong"}},
    pytest.param({"status": 500}, marks=pytest.mark.slow),
    pytest.param({"reset": True, "after": True}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault.values())))
def test_a_fault_of_aws_leaks_no_secret(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, fault: dict[str, Any]
) -> None:
    """Fail every AWS call of the functions and of a consumer."""
    ids = [admin.create(f"Key {number}", key=OPENAI_KEY, service="openai")["id"] for number in range(4)]
    body = {"name": "New", "service": "openai", "key": OPENAI_KEY}
    acts: dict[str, tuple[Callable[[], ApiResponse], ...]] = {
        "KMS.Encrypt": (
            lambda: admin.send("POST", COLLECTION, body),
            lambda: admin.update(ids[0], {"key": OPENAI_KEY}),
        ),
        "DynamoDB.TransactWriteItems": (
            lambda: admin.send("POST", COLLECTION, body),
            lambda: admin.update(ids[1], {"key": OPENAI_KEY, "name": "Other"}),
            lambda: admin.delete(ids[2]),
        ),
        "DynamoDB.GetItem": (lambda: admin.update(ids[3], {"key": OPENAI_KEY}), lambda: admin.verify(ids[3])),
        "KMS.Decrypt": (lambda: admin.verify(ids[3]),),
        "DynamoDB.UpdateItem": (lambda: admin.verify(ids[3]),),
        "DynamoDB.Query": (admin.listing,),
    }
    for operation, several in acts.items():
        with fault_proxy.failing(Fault(operation, **fault)):
            assert {act().status for act in several} <= {500, 503}
    dynamodb, kms = clients_of("ReadAllKeys")
    for operation in ("DynamoDB.Query", "KMS.Decrypt"):
        keys = ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms)
        with fault_proxy.failing(Fault(operation, **fault)), pytest.raises(Exception, match=r".+"):
            keys.get("openai")
    with fault_proxy.failing(Fault("DynamoDB.UpdateItem", **fault)):
        assert ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms).get("openai").value == OPENAI_KEY


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, ServiceKeysError, KeyError])
def test_an_exception_text_is_neither_returned_nor_printed(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    """Return 500 without the text of an unexpected exception."""

    def crash(*_: object, **given: Any) -> None:
        raise kind(f"cannot take {OPENAI_KEY}") if kind is not ServiceKeysError else RuntimeError(OPENAI_KEY, given)

    monkeypatch.setattr(KeyRepository, "create", crash)
    answer = admin.send("POST", COLLECTION, {"name": "New", "key": OPENAI_KEY})

    assert answer.status == 500
    # Only the exception itself contains the secret.
    LEAKS.expect("an error in a handler")
    assert not contains_canary(*capfd.readouterr())


# --- detection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        f"[{SECRET.upper()}]",
        SECRET.encode(),
        {"Plaintext": SECRET},
        SECRET.encode().hex(),
        *(base64.b64encode(b"x" * before + SECRET.encode()).decode() for before in range(3)),
        base64.urlsafe_b64encode(json.dumps({"key": OPENAI_KEY}).encode()).decode(),
    ],
)
def test_the_canary_is_found_in_every_encoding(shown: object) -> None:
    """Find it in text, bytes, objects, hex and base64."""
    assert contains_canary(shown)


def test_the_canary_is_found_in_a_suppressed_exception() -> None:
    """Inspect the context that `from None` hides."""
    try:
        try:
            json.loads(f'{{"key": "{SECRET}"')
        except ValueError:
            raise RuntimeError("hidden") from None
    except RuntimeError as error:
        LEAKS.inspect_error("here", error)

    LEAKS.expect("here: JSONDecodeError shows a secret")


def test_the_canary_is_found_in_a_log_record() -> None:
    """Inspect the arguments of a record of another library."""
    LeakDetectingHandler().emit(
        logging.makeLogRecord({"name": "some.library", "msg": "sending %s", "args": ({"key": SECRET},)})
    )

    LEAKS.expect("logger some.library")


def test_a_test_that_prints_the_canary_fails(tmp_path: Path) -> None:
    """Fail tests that print or log it, in their process or in a child."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *")
    (tmp_path / "test_example.py").write_text(
        f"""
import subprocess, logging
def test_out(): print("{SECRET}")
def test_of_a_child(): subprocess.run(["echo", "{SECRET}"], check=True)
def test_error(): logging.getLogger("x").warning("{SECRET}")
def test_well(): print("well")
"""
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "service_keys")])
    command = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-q"]

    ran = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )

    assert "a secret stands in: Captured stdout call" in ran.stdout
    # The teardown of each fails as well, because its report contains the output of the call.
    assert "3 failed, 1 passed, 3 errors" in ran.stdout


# --- traces ----------------------------------------------------------------------------------------------------------


def test_no_function_loads_a_tracing_library() -> None:
    """Import every function, and find neither the X-Ray SDK nor OpenTelemetry."""
    code = """
import sys
from local.aws import sandboxed_environment
from local.functions import load_functions
from local.template import Template
from tests.template.conftest import DEPLOYMENT
references = {"ApiKeysTable": "table", "EncryptionKey.Arn": "key", "EncryptionKey": "key"}
references |= {f"{name}Log": name for name, _ in Template.load(DEPLOYMENT).resources("AWS::Lambda::Function")}
of_template = Template.load(DEPLOYMENT, references).functions().values()
with load_functions(of_template, sandboxed_environment({})) as functions:
    print(len(functions), [name for name in sys.modules if name.partition(".")[0] in {"aws_xray_sdk", "opentelemetry"}])
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ran.stdout == "7 []\n", "Lambda's own traces hold no bodies; a library's could"
