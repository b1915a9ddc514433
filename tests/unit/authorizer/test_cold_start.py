"""The authorizer's cold start: a lazily loaded module that still works, and a paused garbage collector."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.issuer import token
from tests.unit.authorizer.conftest import APP, METHOD_ARN

if TYPE_CHECKING:
    from tests.support.issuer import Signers

# type() shows if the module is still unloaded; any attribute access would load it.
FIRST_REQUEST = """
import gc, json, sys
import app
state = {"collecting": gc.isenabled(), "frozen": gc.get_freeze_count()}
answer = app.handler(json.loads(sys.stdin.read()), None)
state["effect"] = answer["policyDocument"]["Statement"][0]["Effect"]
state["lazy"] = type(sys.modules["cryptography.x509"]).__name__ == "_LazyModule"
print(json.dumps(state))
"""
USE = """
import sys
from authorizer import cold_start
from cryptography import x509
lazy = type(x509).__name__ == "_LazyModule"
import cryptography.x509.oid
print([lazy, x509.Name([]).rfc4514_string(), x509 is sys.modules["cryptography.x509"], type(x509).__name__])
"""
FAILING_IMPORT = """
import gc, sys
sys.modules["jwt"] = None
try:
    from authorizer import cold_start
except ImportError:
    print(gc.isenabled())
"""
LOADED_BEFORE = """
import cryptography.x509 as loaded
from authorizer import cold_start
from cryptography import x509
print(x509 is loaded, type(x509).__name__)
"""


def run_fresh(code: str, stdin: str = "") -> str:
    """Run code in a fresh process that can import the authorizer; return its last line."""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=APP.parent, input=stdin, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1]


@pytest.mark.parametrize("signers", ["key_set"], indirect=True)
def test_first_request_leaves_x509_unloaded(signers: Signers) -> None:
    """Admit a valid token while ``cryptography.x509`` stays unloaded; then collect garbage again."""
    event = {"type": "TOKEN", "authorizationToken": f"Bearer {token(signers.own)}", "methodArn": METHOD_ARN}

    state: dict[str, Any] = json.loads(run_fresh(FIRST_REQUEST, json.dumps(event)))

    assert state.pop("frozen") > 10_000
    assert state == {"effect": "Allow", "lazy": True, "collecting": True}


def test_x509_loads_on_first_use() -> None:
    """The lazy module becomes an ordinary one when code reads from it, and its submodules import."""
    assert run_fresh(USE) == "[True, '', True, 'module']"


def test_loaded_x509_is_not_replaced() -> None:
    """A module that was imported before the cold start is not replaced."""
    assert run_fresh(LOADED_BEFORE) == "True module"


def test_collector_runs_again_after_a_failed_import() -> None:
    """A failing import of PyJWT leaves the garbage collector enabled."""
    assert run_fresh(FAILING_IMPORT) == "True"
