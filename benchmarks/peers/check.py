"""See that the peers work: each stores, shows, lists, changes, checks and deletes a key in a table in moto's server.

What is timed are answers to canned data; a peer that only looked like an endpoint would be a cheap one.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from benchmarks.report import ROOT
from local.aws import isolated
from local.events import rest_event
from local.providers import FakeProviders

KEYS = "/api/v1/admin/api-keys"
SECRET = "sk-made-up-0123456789abcdef"


def check(module: str) -> None:
    """Let a peer do its work, in a process of its own.

    Raises:
        subprocess.CalledProcessError: It did not do it; the traceback stands on stderr.
    """
    from benchmarks.stores import stores

    with stores() as at, FakeProviders() as providers:
        environment = isolated(os.environ) | {
            "AWS_ENDPOINT_URL": at.moto,
            "SERVICE_KEYS_TABLE": at.table_name,
            "SERVICE_KEYS_KMS_KEY": at.kms_key,
            "SERVICE_KEYS_PROVIDERS_URL": providers.url,
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
            "POWERTOOLS_METRICS_NAMESPACE": "ServiceKeys/service-keys",
            "POWERTOOLS_SERVICE_NAME": "service-keys",
        }
        subprocess.run([sys.executable, "-m", "benchmarks.peers.check", module], env=environment, cwd=ROOT, check=True)


def _work(module: str) -> None:
    body = {"name": "OpenAI production", "service": "openai", "key": SECRET}
    created = _ask(module, "create", "POST", body, expect=201)["data"]
    assert created["maskedKey"] == "••••cdef", created
    _ask(module, "create", "POST", body, expect=409)
    _ask(module, "create", "POST", {**body, "name": ""}, expect=422)
    key_id = created["id"]
    assert _ask(module, "get", "GET", key_id=key_id)["data"] == created
    assert _ask(module, "list", "GET")["data"] == [created]
    changed = _ask(module, "update", "PATCH", {"name": "OpenAI", "key": SECRET[::-1]}, key_id=key_id)["data"]
    assert (changed["name"], changed["version"], changed["maskedKey"]) == ("OpenAI", 2, "••••m-ks")
    assert _ask(module, "get", "GET", key_id=key_id)["data"] == changed
    checked = _ask(module, "verify", "POST", key_id=key_id)["data"]
    assert checked["verification"]["status"] == "valid", checked
    assert _ask(module, "get", "GET", key_id=key_id)["data"] == checked
    _ask(module, "delete", "DELETE", key_id=key_id)
    _ask(module, "get", "GET", key_id=key_id, expect=404)
    _ask(module, "create", "POST", {**body, "name": "openai"}, expect=201)


def _ask(
    module: str, endpoint: str, method: str, body: object = None, *, key_id: str = "", expect: int = 200
) -> dict[str, Any]:
    """Import a peer for one endpoint, as its function would, and let it answer."""
    os.environ["PEER_ENDPOINT"] = endpoint
    for name in [name for name in sys.modules if name.startswith("benchmarks.peers")]:
        del sys.modules[name]
    suffix = "/verify" if endpoint == "verify" else ""
    event = rest_event(
        method,
        f"{KEYS}/{key_id}{suffix}" if key_id else KEYS,
        f"{KEYS}/{{id}}{suffix}" if key_id else KEYS,
        json.dumps(body) if body else None,
        {"Content-Type": "application/json", "Host": "api.example.com"},
        authorizer={"principalId": "admin-1", "sub": "admin-1"},
    )
    context = SimpleNamespace(
        function_name="peer", memory_limit_in_mb=512, invoked_function_arn="made-up", aws_request_id="made-up"
    )
    answer = importlib.import_module(module).handler(event, context)
    assert answer["statusCode"] == expect, (endpoint, answer)
    answered: dict[str, Any] = json.loads(answer["body"])
    return answered


if __name__ == "__main__":
    _work(sys.argv[1])
