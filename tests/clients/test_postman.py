"""docs/postman_collection.json, run by newman against the local stack and against broken ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.clients.conftest import NPM_PROGRAMS, run
from tests.support.breaking_proxy import Break, BreakingProxy
from tests.support.http_server import HttpRequest, HttpServer
from tools.generate_postman import COLLECTION

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from local.stack import LocalStack

    Keys = Callable[[], list[str]]


class Newman:
    """newman with the token in an environment file, which no list of processes shows."""

    def __init__(self, folder: Path, token: str) -> None:
        self.report = folder / "report.json"
        self._environment = folder / "environment.json"
        self._environment.write_text(json.dumps({"values": [{"key": "token", "value": token}]}))

    def run(self, url: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the collection; keep the report."""
        return run(
            *(NPM_PROGRAMS / "newman", "run", COLLECTION, "--environment", self._environment),
            *("--env-var", f"baseUrl={url}", "--reporters", "cli,json", "--reporter-json-export", self.report),
            *("--timeout-request", "30000", *options),
            code=None,
        )

    def assertions(self) -> dict[tuple[str, str], bool]:
        """Return the outcome of each assertion by request and name: True if it held."""
        executions: list[dict[str, Any]] = json.loads(self.report.read_text())["run"]["executions"]
        return {
            (execution["item"]["name"], assertion["assertion"]): "error" not in assertion
            for execution in executions
            for assertion in execution.get("assertions", [])
        }


@pytest.fixture
def newman(tmp_path: Path, token: str) -> Newman:
    return Newman(tmp_path, token)


def test_collection_passes_and_leaves_no_key(newman: Newman, stack: LocalStack, keys: Keys) -> None:
    """Run every request; the key is removed, and no output has the token or a secret value."""
    ran = newman.run(stack.url, "--bail")

    assert ran.returncode == 0, ran.stdout[-6000:]
    assert len(newman.assertions()) > 150
    assert not [name for name in keys() if name.startswith("Postman")]
    assert "Bearer" not in ran.stdout
    assert "sk-made-up" not in ran.stdout


def test_deleted_keys_may_be_kept_for_no_time(tmp_path: Path) -> None:
    """With a retention of 0 days a deletion is permanent, and the restore is left out. The address has a stage."""
    from local.stack import local_stack

    with local_stack({"DeletedKeyRetentionDays": "0"}, base_path="/live") as stack:
        newman = Newman(tmp_path, stack.issuer.token(sub="ada"))
        ran = newman.run(f"{stack.url}/live")

    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "Restore it" not in {request for request, _ in newman.assertions()}


@pytest.mark.parametrize(
    "fault",
    [
        Break("PATCH", status=500),
        Break("POST", "/api-keys", skip=1, lost=True),
        Break("POST", "/rollback", skip=1, change=lambda body: body["data"].update(version=9)),
        Break("DELETE", times=1, status=503),
    ],
    ids=["status", "lost create", "wrong version", "failed delete"],
)
def test_failed_run_removes_its_key(newman: Newman, stack: LocalStack, keys: Keys, fault: Break) -> None:
    """newman ends with an error, and the key is gone all the same."""
    with BreakingProxy(stack.url) as proxy:
        proxy.fault = fault
        ran = newman.run(proxy.url)

    assert ran.returncode != 0
    assert any(request.startswith("POST") for request in proxy.seen)
    assert not [name for name in keys() if name.startswith("Postman")]


def _other(value: Any) -> Any:
    """Return JSON of the same shape with other values: empty lists, other texts, numbers and booleans."""
    if isinstance(value, dict):
        return {name: _other(part) for name, part in value.items()}
    if isinstance(value, list):
        return []
    if isinstance(value, bool):
        return not value
    return 7 if value is None or isinstance(value, int) else "other"


class Distortion(HttpServer):
    """Forward each request, and distort each response in one way. Use it as a context manager."""

    def __init__(self, url: str, kind: str) -> None:
        self._url, self._kind = url, kind
        super().__init__(self._respond)

    def _respond(self, request: HttpRequest) -> None:
        names = {"authorization", "content-type", "if-match", "idempotency-key"}
        sent = {name: value for name, value in request.headers.items() if name.lower() in names}
        reply = requests.request(request.command, self._url + request.path, data=request.body, headers=sent, timeout=30)
        status, content = reply.status_code, reply.content
        hop_by_hop = {"connection", "content-length", "date", "server", "transfer-encoding"}
        headers = {name: value for name, value in reply.headers.items() if name.lower() not in hop_by_hop}
        if self._kind == "status":
            status = 418
        elif self._kind == "headers":
            headers = {}
        elif self._kind == "values":
            content = json.dumps(_other(reply.json())).encode()
            headers["ETag"] = '"77"'
        elif self._kind == "fields":
            content = b"{}"
        else:
            content = b"sk-made-up-by-postman-"
        request.send(status, content, headers)


def test_every_assertion_can_fail(newman: Newman, stack: LocalStack) -> None:
    """Distort all responses in five ways: each assertion of the collection fails in one of the runs."""
    newman.run(stack.url)
    held = newman.assertions()
    failed: set[tuple[str, str]] = set()
    for kind in ("status", "headers", "values", "fields", "secret"):
        with Distortion(stack.url, kind) as broken:
            ran = newman.run(broken.url)
        assert ran.returncode != 0
        failed |= {assertion for assertion, holds in newman.assertions().items() if not holds}

    assert all(held.values())
    assert held.keys() - failed == set()
