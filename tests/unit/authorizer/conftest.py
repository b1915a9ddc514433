from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.unit.authorizer import issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

APP = Path(__file__).parents[3] / "functions/authorizer/app.py"
STAGE_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/live/*"
METHOD_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/live/GET/api/v1/admin/api-keys"

_numbers = itertools.count()


class Authorize(Protocol):
    """Calls the Lambda function as API Gateway does."""

    def __call__(self, authorization: object) -> dict[str, Any]: ...


@pytest.fixture(scope="session")
def keys() -> dict[str, issuer.SigningKey]:
    return issuer.make_keys()


@pytest.fixture
def server(keys: dict[str, issuer.SigningKey]) -> Iterator[issuer.KeySetServer]:
    published = [key.jwk for name, key in keys.items() if name != "foreign"]
    with issuer.KeySetServer(keys=published) as running:
        yield running


def load_app() -> ModuleType:
    """A fresh copy of the function's module: as at a cold start, it reads the environment."""
    spec = importlib.util.spec_from_file_location(f"authorizer_app_{next(_numbers)}", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, server: issuer.KeySetServer) -> pytest.MonkeyPatch:
    monkeypatch.setenv("JWT_ISSUER", issuer.ISSUER)
    monkeypatch.setenv("JWT_AUDIENCE", issuer.AUDIENCE)
    monkeypatch.setenv("JWKS_URL", server.url)
    monkeypatch.setenv("ADMIN_CLAIM_RULE", "role=admin")
    return monkeypatch


@pytest.fixture
def authorize(environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Authorize:
    caplog.set_level("INFO", "authorizer")
    handler = load_app().handler

    def call(authorization: object) -> dict[str, Any]:
        event = {"type": "TOKEN", "authorizationToken": authorization, "methodArn": METHOD_ARN}
        answer: dict[str, Any] = handler(event, None)
        return answer

    return call
