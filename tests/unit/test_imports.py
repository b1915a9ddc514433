"""Tests of the modules that a cold start imports."""

import functools
import json
import subprocess
import sys

import pytest

import service_keys
from local.aws import CREDENTIALS
from tests.support.processes import ROOT

LAYER = ROOT / "layers" / "service_keys"
HEAVY = {"boto3", "pydantic", "aws_lambda_powertools", "jwt"}


@pytest.mark.parametrize("module", ["service_keys", "service_keys.testing"])
def test_importing_the_consumer_api_loads_no_heavy_module(module: str) -> None:
    """Import neither boto3, pydantic, Powertools nor PyJWT."""
    _, modules = loaded(f"import {module}", str(LAYER))

    assert module in modules
    assert not modules & HEAVY


def test_the_documented_names_are_exported() -> None:
    """Compare `__all__` with the module."""
    assert all(hasattr(service_keys, name) for name in service_keys.__all__)
    assert {"ApiKey", "ServiceKeys", "get_api_key", "KeyDisabledError"} <= set(service_keys.__all__)


# --- budgets: loaded source code as a ratio to boto3 alone. `make bench` measures the time --------------------------

ENVIRONMENT = CREDENTIALS | {
    "SERVICE_KEYS_TABLE": "made-up",
    "SERVICE_KEYS_KMS_KEY": "made-up",
    "ALLOWED_ORIGIN": "https://admin.example.com",
    "DELETED_KEY_RETENTION_DAYS": "7",
    "HISTORY_RETENTION_DAYS": "400",
    "POWERTOOLS_SERVICE_NAME": "made-up",
    "JWT_ISSUER": "https://issuer.example.com/",
    "JWT_AUDIENCE": "made-up",
    "JWKS_URL": "https://issuer.example.com/jwks.json",
    "ADMIN_CLAIM_RULE": "role=admin",
}
LOADED = """
import json, os, sys
# A lazy module (functions/authorizer/authorizer/cold_start.py) would load when an attribute is read.
loaded = [module for module in sys.modules.values() if type(module).__name__ != "_LazyModule"]
files = {vars(module).get("__file__") or "" for module in loaded}
print(json.dumps([sum(os.path.getsize(file) for file in files if file.endswith(".py")), sorted(sys.modules)]))
"""


@functools.cache
def loaded(code: str, *path: str, **settings: str) -> tuple[int, frozenset[str]]:
    """Run the code in a separate process; return the source bytes of its modules, and their names."""
    environment = ENVIRONMENT | {"PYTHONPATH": ":".join(path)} | settings
    command = [sys.executable, "-c", f"{code}\n{LOADED}"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    size, modules = json.loads(ran.stdout)
    return size, frozenset(modules)


AUTHORIZER_WITHOUT = {"botocore", "pydantic", "aws_lambda_powertools", "service_keys", "cryptography.x509.name"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "at_most", "without"),
    [
        ("get_api_key", 1.0, {"pydantic"}),
        ("list_api_keys", 1.0, {"pydantic"}),
        ("delete_api_key", 1.0, {"pydantic"}),
        ("create_api_key", 1.25, set()),
        ("update_api_key", 1.25, set()),
        ("verify_api_key", 1.0, {"pydantic"}),
        ("rollback_api_key", 1.0, {"pydantic"}),
        ("restore_api_key", 1.25, set()),
        ("get_api_key_history", 1.0, {"pydantic"}),
        ("list_services", 1.0, {"pydantic"}),
        ("authorizer", 0.43, AUTHORIZER_WITHOUT),
    ],
)
def test_a_function_stays_within_its_import_budget(folder: str, at_most: float, without: set[str]) -> None:
    """Limit the loaded source relative to boto3, and exclude modules."""
    floor, _ = loaded("import boto3")

    layer = [] if folder == "authorizer" else [str(LAYER)]
    size, modules = loaded("import app", str(ROOT / "functions" / folder), *layer)

    assert size / floor <= at_most
    assert not modules & (without | {"boto3", "s3transfer", "jwt.help"})


def test_the_console_loads_the_standard_library_only() -> None:
    """Start without the layer, an AWS SDK, HTTP and cryptography: it serves files."""
    floor, _ = loaded("import boto3")

    size, modules = loaded("import app", str(ROOT / "functions" / "console"))

    assert size / floor <= 0.16
    heavy = {"botocore", "pydantic", "aws_lambda_powertools", "jwt", "service_keys", "cryptography"}
    assert not modules & (heavy | {"boto3", "ssl", "http", "urllib.request", "asyncio"})


READ = """
import json, service_keys.store.direct.connection as connection
from service_keys import ServiceKeys
from service_keys.store.direct.http_response import Response
ITEM = {"id": {"S": "one.0123456789ab"}, "name": {"S": "x"}, "active": {"BOOL": True}, "version": {"N": "1"}}
BODY = json.dumps({"Items": [ITEM | {"ciphertext": {"B": "AA=="}}], "Plaintext": "InNlY3JldCI="}).encode()
connection.ConnectionPool.exchange = lambda *_: Response(200, {}, BODY, reusable=True)
connection.trust.current()
assert ServiceKeys().get("one").value == "secret"
"""
NOT_FOR_A_READ = {
    "ast", "asyncio", "botocore", "calendar", "contextvars", "dataclasses", "decimal", "dis", "email",
    "http", "inspect", "ipaddress", "locale", "logging", "pathlib", "shutil", "string", "subprocess", "tempfile",
    "traceback", "typing", "unicodedata", "urllib", "uuid",
}  # fmt: skip
"""Modules of the standard library and of AWS that a read with the direct client does not need."""
DIRECT = {"SERVICE_KEYS_CLIENT": "direct"}


def test_a_consumer_loads_less_than_boto3() -> None:
    """Load at most 95 % of the source that `import boto3` loads, and not the models of administrators."""
    floor, _ = loaded("import boto3")

    size, modules = loaded("import service_keys; service_keys.ServiceKeys()", str(LAYER))

    assert size / floor <= 0.95
    assert not modules & (HEAVY | {"service_keys.core.models", "service_keys.store.items"})


def test_a_direct_read_loads_a_fifth_of_boto3() -> None:
    """Load at most a fifth of the source that `import boto3` loads, and no module that a read does not need."""
    floor, _ = loaded("import boto3")
    started, already = loaded("import json")

    size, modules = loaded(READ, str(LAYER), **DIRECT)

    assert (size - started) / (floor - started) <= 0.2
    assert not (modules - already) & (HEAVY | NOT_FOR_A_READ | {"service_keys.store.aws_clients"})


@pytest.mark.parametrize("code", ["import service_keys", "import service_keys.testing", READ])
def test_botocore_is_loaded_only_if_chosen(code: str) -> None:
    """Load no module of botocore with the package, nor with a direct read."""
    _, modules = loaded(code, str(LAYER), **DIRECT)

    assert "service_keys" in modules
    assert not {module for module in modules if module.partition(".")[0] == "botocore"}
