from __future__ import annotations

import functools
import importlib.util
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from authorizer.errors import KeyUnavailableError, TokenRefusedError
from authorizer.jwks import JwksKeys
from authorizer.token_verifier import TokenVerifier
from tests.support import issuer
from tests.support.parameter_store import ParameterStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authorizer.token_verifier import KeySource

    Keys = dict[str, issuer.SigningKey]
    Authorize = Callable[[object], dict[str, Any]]
    Verify = Callable[..., str]

APP = Path(__file__).parents[3] / "functions/authorizer/app.py"
STAGE_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/live/*"
METHOD_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/live/GET/api/v1/admin/api-keys"

_numbers = itertools.count()


def cold_start(method_arn: str = METHOD_ARN) -> Authorize:
    """Load a fresh copy of the function, which reads the environment; return it, for an Authorization header."""
    spec = importlib.util.spec_from_file_location(f"authorizer_app_{next(_numbers)}", APP)
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return lambda sent: app.handler({"type": "TOKEN", "authorizationToken": sent, "methodArn": method_arn}, None)


def effect(authorize: Authorize, token: str) -> str:
    """Return ``Allow``, ``Deny`` or the message of the error, which is all that API Gateway sees of it."""
    try:
        result: str = authorize(f"Bearer {token}")["policyDocument"]["Statement"][0]["Effect"]
    except Exception as error:  # noqa: BLE001 - see above
        return str(error)
    return result


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the level and the authorizer's own fields of the only log line."""
    (record,) = caplog.records
    return {
        name: vars(record)[name] for name in ("levelname", "reason", "claim", "hint", "sub") if name in vars(record)
    }


def verifier_of(keys: KeySource) -> Verify:
    """Return a function that verifies a token: ``ok``, ``unavailable`` or the reason of the rejection."""
    verifier = TokenVerifier(issuer=issuer.ISSUER, audience=issuer.AUDIENCE, keys=keys)

    def verify(token: str) -> str:
        try:
            verifier.verify(f"Bearer {token}")
        except TokenRefusedError as refusal:
            return refusal.reason
        except KeyUnavailableError:
            return "unavailable"
        return "ok"

    return verify


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


@pytest.fixture(scope="session")
def keys() -> Keys:
    return issuer.make_keys()


@pytest.fixture
def server(keys: Keys) -> Iterator[issuer.KeySetServer]:
    with issuer.KeySetServer(*(key.jwk for name, key in keys.items() if name != "foreign")) as running:
        yield running


@pytest.fixture
def verify(server: issuer.KeySetServer, keys: Keys, clock: Clock) -> Verify:
    """Return a function that signs a token by a key or its name, and verifies it with the server's JWKS."""
    verify = verifier_of(JwksKeys(server.url, clock=clock))
    return lambda key="RS256", **header: verify(issuer.token(keys.get(key, key), **header))


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
def environment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.MonkeyPatch:
    """Set the variables that both modes need, and the function's log level."""
    caplog.set_level("INFO", "authorizer")
    monkeypatch.setenv("JWT_ISSUER", issuer.ISSUER)
    monkeypatch.setenv("JWT_AUDIENCE", issuer.AUDIENCE)
    monkeypatch.setenv("ADMIN_CLAIM_RULE", "role=admin")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test-stack")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/test-stack")
    for name in ("JWKS_URL", "JWT_SECRET_PARAMETER", "JWT_AUDIENCE_CLAIM", "REQUIRED_TOKEN_TYPE", "NAME_CLAIMS"):
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
def signers(request: pytest.FixtureRequest, keys: Keys) -> issuer.Signers:
    """Select the authorizer's mode and return its signing keys."""
    request.getfixturevalue(f"{request.param}_mode")
    if request.param == "key_set":
        return issuer.Signers(keys["RS256"], keys["foreign"], keys)
    foreign = issuer.SigningKey("foreign", "HS256", b"made-up-secret-of-another-issuer")
    return issuer.Signers(issuer.SigningKey("HS256", "HS256", issuer.SECRET.encode()), foreign, keys)


@pytest.fixture
def authorize(signers: issuer.Signers) -> Authorize:
    """Return the function after a cold start, in the mode of ``signers``."""
    return cold_start()
