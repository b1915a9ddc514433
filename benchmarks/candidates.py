"""What the first two parts compare: each function of ours, the floor below it, and the peers beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from benchmarks import packages
from benchmarks.report import LAYER, ROOT
from benchmarks.wire import KEY_ID, NAME, SECRET
from local.events import rest_event
from local.issuer import Issuer
from local.providers import FakeProviders

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS, FLOOR, POWERTOOLS, FASTAPI = "service_keys", "floor", "Powertools", "FastAPI"
KEYS = "/api/v1/admin/api-keys"
ISSUER = "https://issuer.example.com/"
PEERS = {POWERTOOLS: "benchmarks.peers.powertools_app", FASTAPI: "benchmarks.peers.fastapi_app"}
_FOLDERS = {
    "get": "get_api_key",
    "list": "list_api_keys",
    "delete": "delete_api_key",
    "create": "create_api_key",
    "update": "update_api_key",
    "verify": "verify_api_key",
}
_WITH_KMS = {"create", "update", "verify", "reader"}
ENDPOINTS = (*_FOLDERS, "reader", "authorizer")
"""Ours, each beside its floor; those of the API have peers as well."""
WITH_PEERS = tuple(_FOLDERS)


@dataclass(frozen=True)
class Candidate:
    """What is measured: who answers an endpoint's event, and with what on its path and in its environment."""

    endpoint: str
    who: str
    module: str
    path: tuple[str, ...]
    environment: dict[str, str]
    event: dict[str, Any]

    def start(self, *, warm: bool) -> subprocess.Popen[str]:
        """Start a process for it, which sees nothing of the environment that the benchmark itself runs in."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", ROOT / "benchmarks" / "measured_process.py"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        aws = self.endpoint != "authorizer"
        spec = {"warm": warm, "path": self.path, "module": self.module, "event": self.event, "aws": aws}
        assert process.stdin is not None  # for the type checker: it is a pipe
        print(json.dumps(spec), file=process.stdin, flush=True)
        return process

    def check(self, found: dict[str, Any]) -> None:
        """See that it did what it was asked.

        Raises:
            RuntimeError: It did not, so that its time means nothing.
        """
        answer = found["answer"]
        if self.who == FLOOR:
            return
        if self.endpoint == "authorizer":
            right = answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
        elif self.endpoint == "reader":
            right = answer == SECRET
        else:
            body = json.loads(answer["body"])
            data = body.get("data")
            shown = data[-1] if isinstance(data, list) else data
            right = answer["statusCode"] in {200, 201} and (
                self.endpoint == "delete" or {shown["name"], shown["service"]} == {NAME, "openai"}
            )
        if not right:
            message = f"{self.who} answered {self.endpoint} with {answer}"
            raise RuntimeError(message)


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next line of a measured process.

    Raises:
        RuntimeError: It ended instead; its traceback stands on stderr.
    """
    assert process.stdout is not None  # for the type checker: it is a pipe
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a measured process ended without a figure; the lines above say why")
    found: dict[str, Any] = json.loads(line)
    return found


@contextmanager
def candidates() -> Iterator[list[Candidate]]:
    """Prepare everything that is compared: packages, events, a key set, a stand-in for OpenAI.

    Yields:
        The candidates: for each endpoint the floor first, then ours, then its peers.
    """
    issuer = Issuer.generate()
    with (
        tempfile.TemporaryDirectory(prefix="service-keys-bench-") as folder,
        _key_set(issuer) as jwks_url,
        FakeProviders() as providers,
    ):
        yield _all(Path(folder), issuer, jwks_url, providers.url)


def _all(folder: Path, issuer: Issuer, jwks_url: str, providers_url: str) -> list[Candidate]:
    def seen(name: str, *distributions: str) -> str:
        return str(packages.linked((*distributions, *packages.RUNTIME), folder / name))

    runtime = seen("runtime")
    layer = seen("layer", *packages.layer())
    authorizer = seen("authorizer", *packages.authorizer())
    peers = {POWERTOOLS: seen("powertools", *packages.POWERTOOLS), FASTAPI: seen("fastapi", *packages.FASTAPI)}
    environment = {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_LAMBDA_FUNCTION_NAME": "measured",
        "LAMBDA_TASK_ROOT": "/var/task",
        # As for all but one request in a second, and 5 of 100 of the others: no trace is sent.
        "_X_AMZN_TRACE_ID": "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0",
        "POWERTOOLS_SERVICE_NAME": "service-keys",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        # As deployed by default: changes are counted.
        "POWERTOOLS_METRICS_NAMESPACE": "ServiceKeys/service-keys",
        "SERVICE_KEYS_TABLE": "table",
        "SERVICE_KEYS_KMS_KEY": "alias/made-up",
        "SERVICE_KEYS_PROVIDERS_URL": providers_url,
        "ALLOWED_ORIGIN": "https://admin.example.com",
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": "service-keys",
        "JWKS_URL": jwks_url,
        "ADMIN_CLAIM_RULE": "role=admin",
        # The benchmark's interpreter, and no other's settings.
        "PYTHONDONTWRITEBYTECODE": "",
        "NO_PROXY": "127.0.0.1",
    }
    root = str(ROOT)
    found = []
    for endpoint in ENDPOINTS:
        event = _event(endpoint, issuer)
        clients = "" if endpoint == "authorizer" else "dynamodb kms" if endpoint in _WITH_KMS else "dynamodb"
        path: tuple[str, ...]
        if endpoint == "authorizer":
            module, path = "app", (str(ROOT / "functions" / "authorizer"), authorizer, root)
        elif endpoint == "reader":
            module, path = "benchmarks.reading", (str(LAYER), layer, root)
        else:
            module, path = "app", (str(ROOT / "functions" / _FOLDERS[endpoint]), str(LAYER), layer, root)
        ours = Candidate(endpoint, OURS, module, path, environment, event)
        floor_environment = environment | {"FLOOR_CLIENTS": clients}
        calls = {"calls": _calls(ours)} if clients else {}
        found.append(Candidate(endpoint, FLOOR, "benchmarks.floor", (runtime, root), floor_environment, calls))
        found.append(ours)
        if endpoint in WITH_PEERS:
            peer_environment = environment | {"PEER_ENDPOINT": endpoint}
            found += [
                Candidate(endpoint, who, module, (peers[who], root), peer_environment, event)
                for who, module in PEERS.items()
            ]
    return found


def _event(endpoint: str, issuer: Issuer) -> dict[str, Any]:
    if endpoint == "authorizer":
        token = issuer.token("admin-1", iss=ISSUER)
        arn = "arn:aws:execute-api:eu-west-1:123456789012:made-up/live/GET/api/v1/admin/api-keys"
        return {"type": "TOKEN", "authorizationToken": f"Bearer {token}", "methodArn": arn}
    if endpoint == "reader":
        return {"read": "openai"}
    method, body = {
        "get": ("GET", None),
        "list": ("GET", None),
        "delete": ("DELETE", None),
        "create": ("POST", {"name": NAME, "service": "openai", "description": "For the assistant", "key": SECRET}),
        "update": ("PATCH", {"description": "For both assistants", "active": True}),
        "verify": ("POST", None),
    }[endpoint]
    one = endpoint not in {"list", "create"}
    suffix = "/verify" if endpoint == "verify" else ""
    return rest_event(
        method,
        f"{KEYS}/{KEY_ID}{suffix}" if one else KEYS,
        f"{KEYS}/{{id}}{suffix}" if one else KEYS,
        json.dumps(body) if body else None,
        {"Authorization": "Bearer made-up", "Content-Type": "application/json", "Host": "api.example.com"},
        {"limit": "20"} if endpoint == "list" else {},
        {"principalId": "admin-1", "sub": "admin-1"},
    )


def _calls(ours: Candidate) -> list[Any]:
    """Return the calls that ours makes for its event, which are the floor's."""
    process = ours.start(warm=False)
    found = said(process)
    process.communicate()
    ours.check(found)
    calls: list[Any] = found["requests"]
    return calls


@contextmanager
def _key_set(issuer: Issuer) -> Iterator[str]:
    body = json.dumps(issuer.jwks()).encode()

    class _Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: one line for each fetch."""

    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        finally:
            server.shutdown()
