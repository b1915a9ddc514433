"""`make smoke` against the local stack over HTTP, with one step broken at a time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from service_keys import KeyDisabledError, KeyNotFoundError, __version__
from tests.functional.conftest import COLLECTION, Admin, ConsumerOf, HttpAdmin, Store
from tests.support.breaking_proxy import Break, BreakingProxy
from tests.support.http_server import HttpRequest, HttpServer
from tests.support.processes import ROOT, local_run
from tools import smoke

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local.stack import LocalStack

SLOW = pytest.mark.slow
STEPS = {
    "reject a request without a token": Break("GET", COLLECTION, with_token=False),
    "create an inactive key": Break("POST", COLLECTION),
    "read it": Break("GET"),
    "list the keys of its service": Break("GET", "limit=1"),
    "list the services": Break("GET", "/services"),
    "replace its secret value": Break("PATCH"),
    "verify it": Break("POST", "/verify"),
    "roll back": Break("POST", "/rollback"),
    "delete it permanently": Break("DELETE"),
    "find it gone": Break("GET", skip=3),
    "find its history": Break("GET", "/history"),
}
FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "lost": {"lost": True},
    "404": {"status": 404},
    "html": {"text": "<html>Bad gateway</html>"},
    "cached": {"headers": {"Cache-Control": None}},
}
CREATE, READ, SERVICES, REPLACE, VERIFY, ROLL_BACK, DELETE, HISTORY = (
    list(STEPS)[index] for index in (1, 2, 4, 5, 6, 7, 8, 10)
)

LOST = {(CREATE, "lost"), (DELETE, "lost")}
"""Lost responses of requests that have taken effect."""


def data(**values: object) -> Callable[[dict[str, Any]], object]:
    """Return a change of the fields of `data`."""
    return lambda document: document["data"].update(values)


# The step, the change of its response, and the reason that the command prints.
WRONG: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    (CREATE, data(maskedKey="sk-made-up-by"), 'Data.maskedKey is not "••••aaaa"'),
    (CREATE, data(active=True), "Data.active is not false"),
    (CREATE, data(service="spotify"), 'Data.service is not "openai"'),
    (CREATE, lambda document: document.pop("data"), "Data.name is not"),
    (CREATE, lambda document: document.update(data=[]), "Data.name is not"),
    (READ, data(description=None), "Data differs from that of the create"),
    (READ, data(version=2), "Data.version is not 1"),
    (SERVICES, lambda document: document.update(data=[]), "Data has no entry of openai"),
    (SERVICES, lambda document: document.update(data="openai"), "Data has no entry of openai"),
    (REPLACE, data(maskedKey="••••aaaa"), 'Data.maskedKey is not "••••bbbb"'),
    (REPLACE, data(previousKey=None), "Data.previousKey.maskedKey is not ••••aaaa"),
    (REPLACE, lambda document: document.update(warnings=[{"code": "SERVING_CHANGED"}]), "Warnings has SERVING_CHANGED"),
    (VERIFY, data(verification=None), "Data.verification.status is not valid, rejected or inconclusive"),
    (VERIFY, data(verification="valid"), "Data.verification.status is not valid, rejected or inconclusive"),
    (VERIFY, data(verification={"status": "good"}), "Data.verification.status is not valid"),
    (ROLL_BACK, data(maskedKey="••••bbbb"), 'Data.maskedKey is not "••••aaaa"'),
    (ROLL_BACK, data(previousKey={"maskedKey": "••••"}), "Data.previousKey.maskedKey is not ••••bbbb"),
    (DELETE, data(id="openai.0123456789ab"), 'Data.id is not "openai.'),
    (DELETE, data(recoverableUntil="2030-01-01T00:00:00.000Z"), "Data.recoverableUntil is not null"),
    (HISTORY, lambda document: document["data"].pop(), "Data is not delete, rollback, update, create"),
    (HISTORY, lambda document: document.update(data=["delete"]), "Data is not delete, rollback, update, create"),
    (HISTORY, lambda document: document.update(success=False), "Success is not true"),
]


@pytest.fixture
def proxy(stack: LocalStack, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakingProxy]:
    """A proxy in front of the API of an empty table, to which `make smoke` connects."""
    with BreakingProxy(stack.url) as proxy:
        monkeypatch.setenv("API_URL", proxy.url + COLLECTION)
        monkeypatch.setenv("SERVICE_KEYS_TOKEN", HttpAdmin(stack).token)
        monkeypatch.setattr(smoke, "CLEANUP_PAUSE_SECONDS", 0)
        yield proxy


@pytest.fixture
def fail(proxy: BreakingProxy, store: Store, capfd: pytest.CaptureFixture[str]) -> Callable[[str, dict[str, Any]], str]:
    """Run with one step broken; require that it is named and that no key is left; return the error."""

    def fail(step: str, fault: dict[str, Any]) -> str:
        proxy.fault = Break(**{**vars(STEPS[step]), **fault})
        assert smoke.main(["--stack", "service-keys"]) == 1
        output, error = capfd.readouterr()
        assert error.startswith(f"The step failed: {step}. ")
        assert f"\nFAILED {step}\n" in output
        assert "log group /aws/lambda/service-keys-" in error
        assert re.search('docs/(deployment|operations)[.]md, "', error)
        assert_nothing_shown(output + error)
        assert store.partition("openai") == {}
        return error

    return fail


def assert_nothing_shown(text: str) -> None:
    assert "sk-made-up" not in text
    assert os.environ["SERVICE_KEYS_TOKEN"] not in text


def test_all_steps_pass(proxy: BreakingProxy, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    """Print a line for each step, and leave no key."""
    assert smoke.main([]) == 0

    output, error = capfd.readouterr()
    assert re.findall("^ok    (.*)$", output, re.MULTILINE) == list(STEPS)
    assert (output.splitlines()[-1], error) == ("All steps passed.", "")
    assert f"\n      the version: {__version__}\n" in output
    assert_nothing_shown(output)
    assert store.current_items() == [item for item in store.current_items() if item["service"]["S"] == "#idempotency"]
    written = [body for body in proxy.bodies if b'"key"' in body]
    assert [b'"active": false' in body for body in written] == [True, True]


@pytest.mark.slow
def test_make_smoke_passes_against_make_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Use a token of the local issuer, even if the environment has one of a deployed stack."""
    monkeypatch.setattr(smoke, "ROOT", tmp_path)
    monkeypatch.setenv("SERVICE_KEYS_TOKEN", "a-made-up-token-of-a-deployed-stack")
    with local_run(tmp_path / ".local") as (process, url):
        # By default the run that has the folder, as `make token`.
        results = [smoke.main(["--stack", "", *port]) for port in ([], ["--port", url.rpartition(":")[2]])]
        process.terminate()
        process.communicate(timeout=20)

    assert results == [0, 0], capfd.readouterr().err


def test_a_damaged_key_of_the_issuer_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """State the remedy instead of a traceback."""
    monkeypatch.setattr(smoke, "ROOT", tmp_path)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "issuer.pem").write_text("damaged")

    assert smoke.main([]) == 1
    assert "issuer.pem is damaged. Delete it" in capfd.readouterr().err


def test_each_run_uses_another_key(proxy: BreakingProxy, capfd: pytest.CaptureFixture[str]) -> None:
    """Create a key in each of two runs, not a replay."""
    assert [smoke.main([]), smoke.main([])] == [0, 0]

    ids = {path for path in proxy.seen if path.startswith("DELETE")}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        pytest.param(step, fault, marks=() if fault == "500" or (step, fault) in LOST else SLOW)
        for step in STEPS
        for fault in FAULTS
    ],
)
def test_a_broken_step_is_named_and_the_key_removed(
    fail: Callable[[str, dict[str, Any]], str], step: str, fault: str
) -> None:
    """Break the response to one request, before or after its effect."""
    error = fail(step, FAULTS[fault])

    assert ("no response" in error) is (fault == "lost")
    assert ("requestId: made-up-id" in error) is (fault in ("500", "404"))


@pytest.mark.parametrize(
    ("step", "change", "reason"),
    # The first of each step is in the fast tests.
    [
        pytest.param(*row, marks=SLOW if number and row[0] == WRONG[number - 1][0] else ())
        for number, row in enumerate(WRONG)
    ],
)
def test_a_wrong_response_is_noticed(
    fail: Callable[[str, dict[str, Any]], str], step: str, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    """Change one part of an otherwise good response."""
    assert reason in fail(step, {"change": change})


@pytest.mark.parametrize(
    ("version", "reason"),
    [("0.9.0", f"X-Service-Keys-Version is not {__version__}, as in"), (None, "X-Service-Keys-Version is missing")],
)
def test_functions_of_another_version_are_noticed(
    fail: Callable[[str, dict[str, Any]], str], version: str | None, reason: str
) -> None:
    """Compare the version of a function's response with that of API Gateway's response."""
    assert reason in fail(CREATE, {"headers": {"X-Service-Keys-Version": version}})


@pytest.mark.parametrize("step", [REPLACE, *(pytest.param(step, marks=SLOW) for step in (VERIFY, ROLL_BACK))])
def test_a_wrong_etag_is_noticed(fail: Callable[[str, dict[str, Any]], str], step: str) -> None:
    """Compare the ETag with the version of the key."""
    assert "ETag is not" in fail(step, {"headers": {"ETag": '"7"'}})


@pytest.mark.parametrize(
    "step", [CREATE, *(pytest.param(step, marks=SLOW) for step in (READ, REPLACE, VERIFY, ROLL_BACK))]
)
def test_a_response_with_the_secret_is_not_printed(
    fail: Callable[[str, dict[str, Any]], str], proxy: BreakingProxy, step: str
) -> None:
    """Report a leak without repeating it."""

    def leak(document: dict[str, Any]) -> None:
        sent = next(body for body in reversed(proxy.bodies) if b'"key"' in body)
        document["data"]["description"] = sent.decode()

    assert "The response contains the secret value" in fail(step, {"change": leak})


def test_a_key_that_consumers_get_is_noticed(fail: Callable[[str, dict[str, Any]], str], proxy: BreakingProxy) -> None:
    """Require that the overview serves another key, or none."""

    def serve(document: dict[str, Any]) -> None:
        (entry,) = (each for each in document["data"] if each["service"] == "openai")
        entry["serving"] = {"id": next(path.rpartition("/")[2] for path in proxy.seen if "/openai." in path)}

    assert "Consumers get the key, though it is inactive" in fail(SERVICES, {"change": serve})


def test_an_accepted_request_without_a_token_is_noticed(fail: Callable[[str, dict[str, Any]], str]) -> None:
    """Require 401, and create no key."""
    fault = {"status": 200}

    assert "The status is not 401" in fail("reject a request without a token", fault)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_points_to_the_authorizer(fail: Callable[[str, dict[str, Any]], str], status: int) -> None:
    """Name the authorizer's log and the section about administrators."""
    error = fail(CREATE, {"status": status})

    assert "log group /aws/lambda/service-keys-authorizer" in error
    assert 'docs/operations.md, "The first administrator"' in error


@pytest.mark.parametrize(
    "calls", [2, 6, *(pytest.param(calls, marks=SLOW) for calls in (1, 3, 4, 5, 7, 8, 9, 10, 11, 12))]
)
def test_ctrl_c_removes_the_key(
    proxy: BreakingProxy, store: Store, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Interrupt the run after each of its requests."""
    call, made = smoke.Client.call, 0

    def interrupted(*arguments: Any, **options: Any) -> smoke.Reply:
        nonlocal made
        reply, made = call(*arguments, **options), made + 1
        if made == calls:
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(smoke.Client, "call", interrupted)

    assert smoke.main([]) == (130 if calls <= len(STEPS) else 0)
    assert store.partition("openai") == {}


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(each, marks=SLOW) for each in (signal.SIGINT, signal.SIGHUP))]
)
def test_a_signal_removes_the_key(proxy: BreakingProxy, store: Store, number: signal.Signals) -> None:
    """End the process while it waits for a response; it exits with 130 after the removal."""
    with subprocess.Popen(
        [sys.executable, "-m", "tools.smoke"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:

        def interrupt(request: HttpRequest) -> None:
            if request.command == "PATCH":
                process.send_signal(number)

        proxy.before = interrupt
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 130, output
    assert "is removed." in output
    assert store.partition("openai") == {}


def test_a_key_that_cannot_be_deleted_is_named(
    proxy: BreakingProxy, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    """Print the command that removes the key later; it works."""
    proxy.fault = Break("DELETE", status=500, times=None)
    assert smoke.main(["--stack", "service-keys"]) == 1

    (key_id,) = store.partition("openai")
    assert store.item(key_id)["active"] == {"BOOL": False}
    command = f"make smoke STACK=service-keys API_URL={proxy.url}{COLLECTION} REMOVE={key_id}"
    left = f"The made-up key {key_id} is still stored, inactive, so that no consumer gets it. Remove it: {command}\n"
    assert capfd.readouterr().out.endswith(left)
    assert smoke.main(["--remove", key_id]) == 1
    proxy.fault = None
    assert smoke.main(["--remove", key_id]) == 0
    assert store.partition("openai") == {}


def test_a_key_whose_id_stays_unknown_is_named(
    proxy: BreakingProxy, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    """Print the name of the key if each response to the create is lost."""
    proxy.fault = Break("POST", COLLECTION, lost=True, times=None)
    assert smoke.main([]) == 1

    (item,) = store.partition("openai").values()
    assert f'The made-up key "{item["name"]["S"]}" may be stored, inactive' in capfd.readouterr().out


def test_another_key_is_never_removed(
    proxy: BreakingProxy, stack: LocalStack, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    """Refuse to remove a key that a smoke test did not create."""
    key_id = Admin(stack).create("OpenAI production", "sk-made-up-0123456789", service="openai")["id"]

    assert smoke.main(["--remove", key_id]) == 1
    assert f"{key_id} is not known to be a key of make smoke (its name is another)" in capfd.readouterr().err
    assert key_id in store.partition("openai")


@pytest.mark.parametrize("stored", [True, False], ids=["with another key", "without another key"])
def test_no_consumer_gets_the_key(
    proxy: BreakingProxy, stack: LocalStack, store: Store, consumer_of: ConsumerOf, *, stored: bool
) -> None:
    """Read the service with a new consumer after each request."""
    if stored:
        Admin(stack).create("OpenAI production", "sk-made-up-0123456789", service="openai")
    got: list[object] = []

    def read() -> None:
        try:
            got.append(consumer_of().get("openai").value)
        except (KeyNotFoundError, KeyDisabledError):
            got.append(None)

    proxy.after = read

    assert smoke.main([]) == 0
    assert len(got) == len(STEPS)
    assert set(got) == {"sk-made-up-0123456789" if stored else None}


STACK_RESPONSE = """<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult>
<Stacks><member><StackName>service-keys</StackName><StackStatus>CREATE_COMPLETE</StackStatus><Outputs><member>
<OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member></Outputs></member></Stacks>
</DescribeStacksResult></DescribeStacksResponse>"""


@pytest.mark.parametrize(
    ("output", "status", "expected"),
    [
        ("ApiUrl", 200, 0),
        ("TableName", 200, "The stack service-keys has no output ApiUrl"),
        ("ApiUrl", 403, "The stack service-keys cannot be read"),
    ],
)
def test_the_address_is_the_output_of_the_stack(
    proxy: BreakingProxy,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    output: str,
    status: int,
    expected: object,
) -> None:
    """Ask CloudFormation at AWS_ENDPOINT_URL."""
    text = STACK_RESPONSE.format(key=output, value=proxy.url + COLLECTION)
    with HttpServer(lambda request: request.send(status, text.encode())) as cloudformation:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "made-up")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", cloudformation.url)
        monkeypatch.delenv("API_URL")
        result = smoke.main(["--stack", "service-keys"])

    assert result == expected or str(expected) in capfd.readouterr().err


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"API_URL": "http://api.example.com/live"}, "use https"),
        ({"API_URL": "http://127.0.0.1:1/live"}, "as the output ApiUrl"),
        ({"API_URL": "ftp://127.0.0.1/live"}, "use https"),
        ({"API_URL": "https://127.0.0.1.example.com:1", "SERVICE_KEYS_TOKEN": "Bearer x"}, "give the token alone"),
        ({"API_URL": "https://127.0.0.1:1", "SERVICE_KEYS_TOKEN": "x\ny"}, "give the token alone"),
        ({"API_URL": "http://127.0.0.1:1", "SERVICE_KEYS_TOKEN": ""}, "Set SERVICE_KEYS_TOKEN"),
        ({"API_URL": "https://127.0.0.1:1", "SERVICE_KEYS_TOKEN": "", "CI": "true"}, "a pipeline (CI is set) has no"),
    ],
)
def test_invalid_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], variables: dict[str, str], reason: str
) -> None:
    """Send nothing, and say how to correct the setting."""
    monkeypatch.setenv("SERVICE_KEYS_TOKEN", "made-up")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert smoke.main([]) == 1
    assert reason in capfd.readouterr().err


def test_a_name_under_localhost_is_the_loopback(proxy: BreakingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the name in Host, as emulators of API Gateway expect it."""
    hosts = set()

    def note(request: HttpRequest) -> None:
        hosts.add(request.headers["Host"])

    proxy.before = note
    port = proxy.url.rpartition(":")[2]
    monkeypatch.setenv("API_URL", f"http://made-up-id.execute-api.localhost:{port}{COLLECTION}")

    assert smoke.main([]) == 0
    assert hosts == {f"made-up-id.execute-api.localhost:{port}"}
