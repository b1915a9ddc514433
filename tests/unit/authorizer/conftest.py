from __future__ import annotations

import functools
import importlib.util
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import botocore.session
import pytest

from tests.support import issuer
from tests.support.parameter_store import ParameterStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

APP = Path(__file__).parents[3] / "functions/authorizer/app.py"
STAGE_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/live/*"
METHOD_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/live/GET/api/v1/admin/api-keys"

_numbers = itertools.count()


class Authorize(Protocol):
    """Invoke the Lambda function as API Gateway does."""

    def __call__(self, authorization: object) -> dict[str, Any]: ...


@pytest.fixture(scope="session")
def keys() -> dict[str, issuer.SigningKey]:
    return issuer.make_keys()


@pytest.fixture
def server(keys: dict[str, issuer.SigningKey]) -> Iterator[issuer.KeySetServer]:
    with issuer.KeySetServer(*(key.jwk for name, key in keys.items() if name != "foreign")) as running:
        yield running


def load_app() -> ModuleType:
    """Load a fresh copy of the function's module, which reads the environment as at a cold start."""
    spec = importlib.util.spec_from_file_location(f"authorizer_app_{next(_numbers)}", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Clock:
    """Fake clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1_750_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="package", autouse=True)
def _read_service_models_once() -> Iterator[None]:
    """Cache botocore's loader: each cold start creates a session, which reads megabytes of service models.

    Limited to these tests, because `service_keys.store.aws_clients.clients` changes its loader.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ParameterStore]:
    """Set the variables that Lambda sets, and the endpoint of SSM."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ParameterStore() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", running.url)
        yield running


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the variables that both modes need."""
    monkeypatch.setenv("JWT_ISSUER", issuer.ISSUER)
    monkeypatch.setenv("JWT_AUDIENCE", issuer.AUDIENCE)
    monkeypatch.setenv("ADMIN_CLAIM_RULE", "role=admin")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test-stack")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/test-stack")
    for name in ("JWKS_URL", "JWT_SECRET_PARAMETER", "JWT_AUDIENCE_CLAIM", "REQUIRED_TOKEN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def key_set_mode(environment: pytest.MonkeyPatch, server: issuer.KeySetServer) -> pytest.MonkeyPatch:
    environment.setenv("JWKS_URL", server.url)
    return environment


@pytest.fixture
def secret_mode(environment: pytest.MonkeyPatch, store: ParameterStore) -> pytest.MonkeyPatch:
    environment.setenv("JWT_SECRET_PARAMETER", issuer.PARAMETER)
    return environment


@pytest.fixture(params=["key_set", "secret"])
def signers(request: pytest.FixtureRequest, keys: dict[str, issuer.SigningKey]) -> issuer.Signers:
    """Select the authorizer's mode and return its signing keys."""
    request.getfixturevalue(f"{request.param}_mode")
    if request.param == "key_set":
        return issuer.Signers(keys["RS256"], keys["foreign"], keys)
    own = issuer.SigningKey("HS256", "HS256", issuer.SECRET.encode())
    return issuer.Signers(own, issuer.SigningKey("foreign", "HS256", b"made-up-secret-of-somebody-else!"), keys)


@pytest.fixture
def authorize(signers: issuer.Signers, caplog: pytest.LogCaptureFixture) -> Authorize:
    """Return the function after a cold start, in the mode of ``signers``."""
    caplog.set_level("INFO", "authorizer")
    handler = load_app().handler

    def call(authorization: object) -> dict[str, Any]:
        event = {"type": "TOKEN", "authorizationToken": authorization, "methodArn": METHOD_ARN}
        answer: dict[str, Any] = handler(event, None)
        return answer

    return call
