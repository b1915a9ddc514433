"""Check that the Powertools peer creates, returns, lists, updates and deletes keys in moto's server.

The timed runs use canned responses, with which a peer that ignores the store would be fast.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.candidates import ENVIRONMENT, PEER_MODULE, admin_event
from benchmarks.canned_aws import SECRET
from benchmarks.measured_process import CONTEXT
from benchmarks.report import ROOT
from benchmarks.stores import stores
from local.aws import sandboxed_environment


def check_peer() -> None:
    """Check the peer in a separate process.

    Raises:
        subprocess.CalledProcessError: The check failed. The traceback is on stderr.
    """
    with stores() as at:
        environment = sandboxed_environment(os.environ | ENVIRONMENT) | {
            "AWS_ENDPOINT_URL": at.moto,
            "SERVICE_KEYS_TABLE": at.table_name,
            "SERVICE_KEYS_KMS_KEY": at.kms_key,
            "POWERTOOLS_TRACE_DISABLED": "true",
        }
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.check_peer"]  # a failed request has no metrics
        subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _check() -> None:
    body = {"name": "OpenAI production", "service": "openai", "key": SECRET}
    created = _request("create", body, expect=201)["data"]
    assert created["maskedKey"] == "••••cdef", created
    _request("create", body, expect=409)
    _request("create", {**body, "name": ""}, expect=422)
    key_id = created["id"]
    assert _request("get", key_id=key_id)["data"] == created
    assert _request("list")["data"] == [created]
    updated = _request("update", {"name": "OpenAI", "key": SECRET[::-1]}, key_id=key_id)["data"]
    assert (updated["name"], updated["version"], updated["maskedKey"]) == ("OpenAI", 2, "••••m-ks")
    assert _request("get", key_id=key_id)["data"] == updated
    _request("delete", key_id=key_id)
    _request("get", key_id=key_id, expect=404)
    _request("create", {**body, "name": "openai"}, expect=201)


def _request(endpoint: str, body: object = None, *, key_id: str = "", expect: int = 200) -> Any:
    """Import the peer for one endpoint, as its function would, and send it a request."""
    os.environ["PEER_ENDPOINT"] = endpoint
    sys.modules.pop(PEER_MODULE, None)
    response = importlib.import_module(PEER_MODULE).handler(admin_event(endpoint, body, key_id), CONTEXT)
    assert response["statusCode"] == expect, (endpoint, response)
    return json.loads(response["body"])


if __name__ == "__main__":
    _check()
