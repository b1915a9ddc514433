"""Candidates of the cold start and the warm request: our functions, the baseline, and the peers.

Each runs in a fresh process that sees only the packages that it would see on Lambda: installed packages cost time even
if nothing imports them (botocore tries awscrt, pydantic looks for plugins in every distribution).
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.canned_aws import KEY_ID, NAME, SECRET
from benchmarks.report import LAYER, ROOT
from local.events import rest_event
from local.issuer import Issuer
from tests.support.http_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OURS, BASELINE, POWERTOOLS = "service_keys", "baseline", "Powertools"
PEER_MODULE = "benchmarks.powertools_peer"
METHODS = {"get": "GET", "list": "GET", "delete": "DELETE", "create": "POST", "update": "PATCH"}
"""HTTP methods of the endpoints that the peer also implements."""
ENDPOINTS = (*METHODS, "consumer", "authorizer")
KEYS_PATH = "/api/v1/admin/api-keys"
ISSUER = "https://issuer.example.com/"

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
_RUNTIME = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
_PYDANTIC = ("annotated-types", "pydantic", "pydantic-core", "typing-extensions", "typing-inspection")
_POWERTOOLS = (*_PYDANTIC, "aws-lambda-powertools", "aws-xray-sdk", "wrapt")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "measured",
    "LAMBDA_TASK_ROOT": "/var/task",
    # An unsampled request, like most: sends no trace.
    "_X_AMZN_TRACE_ID": "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0",
    "POWERTOOLS_SERVICE_NAME": "service-keys",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "POWERTOOLS_METRICS_NAMESPACE": "ServiceKeys/service-keys",
    "SERVICE_KEYS_TABLE": "table",
    "SERVICE_KEYS_KMS_KEY": "alias/made-up",
    "ALLOWED_ORIGIN": "https://admin.example.com",
    "DELETED_KEY_RETENTION_DAYS": "7",
    "HISTORY_RETENTION_DAYS": "400",
    "JWT_ISSUER": ISSUER,
    "JWT_AUDIENCE": "service-keys",
    "ADMIN_CLAIM_RULE": "role=admin",
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True)
class Candidate:
    """One implementation (OURS, BASELINE or POWERTOOLS) of an endpoint.

    The handler of ``module`` handles ``event`` in a process with the import path ``path`` and exactly the environment
    ``environment``. Without an event, only the import is measured.
    """

    endpoint: str
    implementation: str
    module: str
    path: tuple[str, ...]
    environment: dict[str, str]
    event: dict[str, Any] | None

    def start(self, *, warm: bool) -> subprocess.Popen[str]:
        """Start a process (measured_process.py) that will measure the candidate."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", ROOT / "benchmarks" / "measured_process.py"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        aws = self.endpoint != "authorizer"
        spec = {"warm": warm, "aws": aws, "module": self.module, "path": self.path, "event": self.event}
        print(json.dumps(spec), file=process.stdin, flush=True)
        return process

    def start_cold(self) -> dict[str, Any]:
        """Measure one cold start."""
        with self.start(warm=False) as process:
            return self.read_result(process)

    def read_result(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Return the next result of a measured process.

        Raises:
            RuntimeError: The process failed, or its response is wrong.
        """
        assert process.stdout is not None  # narrows the type: it is a pipe
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("A measured process ended without a result; see its traceback above.")
        result: dict[str, Any] = json.loads(line)
        if self.implementation != BASELINE and "response" in result and not self._is_right(result["response"]):
            message = f"{self.implementation} responseed {self.endpoint} with {result['response']}"
            raise RuntimeError(message)
        return result

    def _is_right(self, response: Any) -> bool:
        if self.endpoint == "authorizer":
            return bool(response["policyDocument"]["Statement"][0]["Effect"] == "Allow")
        if self.endpoint == "consumer":
            return bool(response == SECRET)
        data = json.loads(response["body"]).get("data")
        key = data[-1] if isinstance(data, list) else data
        return response["statusCode"] in {200, 201} and (self.endpoint == "delete" or key["name"] == NAME)


@contextmanager
def candidates() -> Iterator[list[Candidate]]:
    """Prepare packages, events and a JWKS server; yield the candidates of each endpoint, the baseline first."""
    issuer = Issuer.generate()
    jwks, headers = json.dumps(issuer.jwks()).encode(), {"Content-Type": "application/json"}
    with (
        tempfile.TemporaryDirectory(prefix="service-keys-bench-") as folder,
        HttpServer(lambda request: request.send(200, jwks, headers)) as server,
    ):
        environment = ENVIRONMENT | {"JWKS_URL": f"{server.url}/jwks.json"}
        yield [each for endpoint in ENDPOINTS for each in _candidates(endpoint, Path(folder), issuer, environment)]


def _candidates(endpoint: str, folder: Path, issuer: Issuer, environment: dict[str, str]) -> Iterator[Candidate]:
    """Yield the candidates of an endpoint; measure ours once, because the baseline repeats its AWS calls."""
    root, event = str(ROOT), _event(endpoint, issuer)
    name = endpoint if endpoint == "authorizer" else f"{endpoint}_api_key{'s' if endpoint == 'list' else ''}"
    source = LAYER if endpoint == "consumer" else ROOT / "functions" / name
    # The consumers' layer brings no packages.
    pinned_in = {"authorizer": source, "consumer": None}.get(endpoint, ROOT / "layers" / "admin")
    requirements = (pinned_in / "requirements.txt").read_text(encoding="utf-8") if pinned_in else ""
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==", requirements, re.MULTILINE)
    packages = link_packages(folder, pinned_in.name if pinned_in else "runtime", pinned)
    own = (source,) if endpoint in {"authorizer", "consumer"} else (source, LAYER)
    path = (*map(str, own), packages, root)
    module = "benchmarks.consumer_function" if endpoint == "consumer" else "app"
    ours = Candidate(endpoint, OURS, module, path, environment, event)
    calls = ours.start_cold()["calls"]
    clients = "dynamodb kms" if endpoint in {"create", "update", "consumer"} else "dynamodb" if calls else ""
    runtime, baseline = (link_packages(folder, "runtime", ()), root), environment | {"BASELINE_CLIENTS": clients}
    baseline_event = {"calls": calls} if calls else None
    yield Candidate(endpoint, BASELINE, "benchmarks.baseline_boto3", runtime, baseline, baseline_event)
    yield ours
    if endpoint in METHODS:
        path = (link_packages(folder, POWERTOOLS, _POWERTOOLS), root)
        yield Candidate(endpoint, POWERTOOLS, PEER_MODULE, path, environment | {"PEER_ENDPOINT": endpoint}, event)


def link_packages(parent: Path, name: str, distributions: Sequence[str]) -> str:
    """Fill a folder with links to these installed distributions and Lambda's own, and return its path."""
    folder = parent / name
    if not folder.exists():
        folder.mkdir()
        for each in {*distributions, *_RUNTIME}:
            distribution = importlib.metadata.distribution(each)
            for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                (folder / top).symlink_to(str(distribution.locate_file(top)))
    return str(folder)


def _event(endpoint: str, issuer: Issuer) -> dict[str, Any]:
    if endpoint == "consumer":
        return {}
    if endpoint == "authorizer":
        token = issuer.token("admin-1", iss=ISSUER)
        arn = "arn:aws:execute-api:eu-west-1:123456789012:made-up/live/GET/api/v1/admin/api-keys"
        return {"type": "TOKEN", "authorizationToken": f"Bearer {token}", "methodArn": arn}
    body = {
        "create": {"name": NAME, "service": "openai", "description": "For the assistant", "key": SECRET},
        "update": {"description": "For both assistants", "active": True},
    }.get(endpoint)
    return admin_event(endpoint, body, KEY_ID, {"limit": "20"} if endpoint == "list" else {})


def admin_event(endpoint: str, body: object, key_id: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the event of an authorized request to the admin API."""
    one = endpoint not in {"list", "create"}
    return rest_event(
        METHODS[endpoint],
        f"{KEYS_PATH}/{key_id}" if one else KEYS_PATH,
        f"{KEYS_PATH}/{{id}}" if one else KEYS_PATH,
        json.dumps(body) if body else None,
        {"Authorization": "Bearer made-up", "Content-Type": "application/json", "Host": "api.example.com"},
        query or {},
        {"principalId": "admin-1", "sub": "admin-1"},
    )
