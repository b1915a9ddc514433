"""Confidentiality: the canary secret takes every path with all logging enabled, and appears in no output.

tests/conftest.py asserts this for every test; tests/support/canary.py lists the inspected outputs. The tests here take
the paths that other tests take without a secret, and prove that a leak is found.
"""

import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.fake_services import FakeServices
from service_keys.admin import observability
from service_keys.admin.observability import logger
from service_keys.errors import ServiceKeysError
from service_keys.store.changes import KeyChanges
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, ApiResponse, ConsumerOf, admin_fixture
from tests.support.canary import LEAKS, LeakDetectingHandler, contains_canary, inspect_log
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.processes import ROOT

admin = admin_fixture(Admin)
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


def test_the_life_of_a_key_leaks_no_secret(admin: Admin, consumer_of: ConsumerOf, fake_services: FakeServices) -> None:
    """Create, verify, read, update and delete keys with the canary as secret value."""
    for service, key in (("openai", OPENAI_KEY), ("spotify", SPOTIFY_KEY)):
        body = {"name": f"Key of {service}", "service": service, "key": key}
        for _ in range(2):
            assert admin.send("POST", COLLECTION, body, Idempotency_Key=f"{service}-0123456789").status == 201
        assert admin.send("POST", COLLECTION, body).code == "DUPLICATE_API_KEY_NAME"
        key_id = admin.listing(service=service).data[0]["id"]
        for response in ("wrong", "html", "reset", "valid"):
            fake_services.chosen[service] = response
            assert admin.verify(key_id).status == 200
        read = consumer_of().get(service)
        assert contains_canary(dict(read) or read.value)
        assert not contains_canary(repr(read), str(read), f"{read}", vars(read) if hasattr(read, "__dict__") else None)
        assert admin.update(key_id, {"key": key}, If_Match='"9"').code == "VERSION_CONFLICT"
        assert admin.update(key_id, {"key": key, "name": "Renamed", "active": False}).status == 200
        assert admin.delete(key_id).status == 200


WRONG_FIELDS: dict[str, dict[str, Any]] = {
    "a wrong name": {"name": OPENAI_KEY * 9},
    "a short wrong name": {"name": "x" * 200},
    "white space": {"key": f" {OPENAI_KEY}"},
    "a mask": {"key": f"••••{OPENAI_KEY}"},
    "a list": {"key": [OPENAI_KEY]},
    "wrong parts": {"key": {OPENAI_KEY: [OPENAI_KEY]}},
    "a nested object": {"key": {OPENAI_KEY: {"a": OPENAI_KEY}}},
    "a wrong shape": {"service": "spotify"},
    "a wrong service": {"service": OPENAI_KEY.upper()},
    "a wrong flag": {"active": OPENAI_KEY},
    "an unknown field": {OPENAI_KEY: OPENAI_KEY},
    "everything wrong": {field: [SECRET] for field in ("name", "key", "active", "service", SECRET)},
}
INVALID_BODIES = {
    "not JSON": f'{{"name": "One", "key": "{OPENAI_KEY}"'.encode(),
    "not UTF-8": f'{{"name": "One", "key": "{OPENAI_KEY}'.encode() + b'\xff"}',
    "no object": json.dumps(OPENAI_KEY).encode(),
    "a field twice": f'{{"key": "{OPENAI_KEY}", "key": "{OPENAI_KEY}"}}'.encode(),
    "no number": f'{{"key": "{OPENAI_KEY}", "name": NaN}}'.encode(),
    "deep": b'{"key": ' + b"[" * 5000 + OPENAI_KEY.encode() + b"]" * 5000 + b"}",
    "a lone surrogate": f'{{"name": "One", "key": "{OPENAI_KEY}\\ud800"}}'.encode(),
    "too large": json.dumps({"name": "One", "key": OPENAI_KEY * 2000}).encode(),
    **{why: json.dumps({"name": "One", "key": OPENAI_KEY} | wrong).encode() for why, wrong in WRONG_FIELDS.items()},
}


@pytest.mark.parametrize("why", INVALID_BODIES)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_rejected_body_is_not_echoed(admin: Admin, method: str, why: str) -> None:
    """Return an error without the secret for each kind of invalid body, and log none."""
    path = COLLECTION if method == "POST" else f"{COLLECTION}/{admin.create(key=OPENAI_KEY)['id']}"

    response = admin.call(method, path, body=INVALID_BODIES[why], headers=JSON)

    assert response.status == (413 if why == "too large" else 400)


@pytest.mark.parametrize("where", ["headers", "query", "path"])
def test_a_misplaced_secret_is_not_echoed(admin: Admin, where: str) -> None:
    """Return an error without a secret that was sent in a header, the query or the path."""
    header = {"If-Match": OPENAI_KEY, "Idempotency-Key": f"{OPENAI_KEY} and a blank"}
    if where == "headers":
        body = json.dumps({"name": "One", "key": SECRET})
        responses = [
            admin.call("POST", COLLECTION, body=body, headers=JSON | header),
            admin.call("DELETE", f"{COLLECTION}/{admin.create()['id']}", headers=header),
        ]
    elif where == "query":
        queries = ({OPENAI_KEY: "1"}, {"cursor": OPENAI_KEY}, {"service": OPENAI_KEY + "!"}, {"limit": OPENAI_KEY})
        responses = [admin.listing(**query) for query in queries]
    else:
        responses = [admin.get(OPENAI_KEY), admin.verify(OPENAI_KEY), admin.delete(OPENAI_KEY)]

    assert {response.status for response in responses} <= {400, 404}


FAULTS = [
    {"status": 400, "code": "AccessDeniedException"},
    {"status": 400, "code": "ValidationException", "body": {"message": "the value is wrong"}},
    pytest.param({"status": 500}, marks=pytest.mark.slow),
    pytest.param({"reset": True, "after": True}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault.values())))
def test_a_fault_of_aws_leaks_no_secret(
    admin: Admin, fault_proxy: FaultProxy, consumer_of: ConsumerOf, fault: dict[str, Any]
) -> None:
    """Fail every AWS call of the functions and of a consumer."""
    ids = [admin.create(f"Key {number}", key=OPENAI_KEY, service="openai")["id"] for number in range(4)]
    body = {"name": "New", "service": "openai", "key": OPENAI_KEY}
    calls: list[tuple[str, Callable[[], ApiResponse]]] = [
        ("KMS.Encrypt", lambda: admin.send("POST", COLLECTION, body)),
        ("KMS.Encrypt", lambda: admin.update(ids[0], {"key": OPENAI_KEY})),
        ("DynamoDB.TransactWriteItems", lambda: admin.send("POST", COLLECTION, body)),
        ("DynamoDB.TransactWriteItems", lambda: admin.update(ids[1], {"key": OPENAI_KEY, "name": "Other"})),
        ("DynamoDB.TransactWriteItems", lambda: admin.delete(ids[2])),
        ("DynamoDB.GetItem", lambda: admin.update(ids[3], {"key": OPENAI_KEY})),
        ("DynamoDB.GetItem", lambda: admin.verify(ids[3])),
        ("KMS.Decrypt", lambda: admin.verify(ids[3])),
        ("DynamoDB.UpdateItem", lambda: admin.verify(ids[3])),
        ("DynamoDB.Query", admin.listing),
    ]
    for operation, call in calls:
        with fault_proxy.failing(Fault(operation, **fault)):
            assert call().status in {500, 503}
    for operation in ("DynamoDB.Query", "KMS.Decrypt"):
        with fault_proxy.failing(Fault(operation, **fault)), pytest.raises(Exception, match=r".+"):
            consumer_of().get("openai")
    with fault_proxy.failing(Fault("DynamoDB.UpdateItem", **fault)):
        assert consumer_of().get("openai").value == OPENAI_KEY


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, ServiceKeysError, KeyError])
def test_an_exception_text_is_neither_returned_nor_printed(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    """Return 500 without the text of an unexpected exception."""

    def crash(*_: object, **given: Any) -> None:
        raise kind(f"cannot take {OPENAI_KEY}") if kind is not ServiceKeysError else RuntimeError(OPENAI_KEY, given)

    monkeypatch.setattr(KeyChanges, "create", crash)
    response = admin.send("POST", COLLECTION, {"name": "New", "key": OPENAI_KEY})

    assert response.status == 500
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
    record = logging.makeLogRecord({"name": "some.library", "msg": "sending %s", "args": ({"key": SECRET},)})
    LeakDetectingHandler().emit(record)

    LEAKS.expect("logger some.library")


@pytest.mark.slow
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
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers" / "service_keys")])}
    command = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), "-p", "no:cacheprovider", "-q"]

    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert "a secret stands in: Captured stdout call" in ran.stdout
    # The teardown of each fails as well, because its report contains the output of the call.
    assert "3 failed, 1 passed, 3 errors" in ran.stdout


# --- traces ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
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

    assert ran.stdout == "12 []\n", "Lambda's own traces hold no bodies; a library's could"
