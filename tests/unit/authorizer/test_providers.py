"""The identity providers of docs/identity-providers.md, each with its tokens and the documented parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

from authorizer.admin_rule import AdminRule
from local.template import Template
from tests.support.identity_providers import OTHER_TOKENS, PAGE, PROVIDERS, Provider, Token, documented, signing_key
from tests.support.issuer import PARAMETER, SECRET, KeySetServer, token
from tests.template.conftest import DEPLOYMENT
from tests.unit.authorizer.conftest import METHOD_ARN, load_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.issuer import SigningKey

Answer = tuple[str, dict[str, Any]]
VARIABLES = {
    "JWT_ISSUER": "JwtIssuer",
    "JWT_AUDIENCE": "JwtAudience",
    "JWT_AUDIENCE_CLAIM": "JwtAudienceClaim",
    "JWKS_URL": "JwksUrl",
    "JWT_SECRET_PARAMETER": "JwtSecretParameter",
    "ADMIN_CLAIM_RULE": "AdminClaimRule",
    "REQUIRED_TOKEN_TYPE": "RequiredTokenType",
}
by_name = pytest.mark.parametrize("provider", PROVIDERS, ids=str)


def deployed(provider: Provider) -> dict[str, str]:
    """Return the authorizer's environment in a stack with the documented parameters."""
    given = {**without_keys(DEPLOYMENT), **documented()[provider.row]}
    variables = Template.load(given).property("Authorizer", "Environment")["Variables"]
    return {name: variables[name] for name in VARIABLES}


def without_keys(parameters: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if name not in VARIABLES.values()} | {"JwksUrl": ""}


@pytest.fixture
def answer(
    environment: pytest.MonkeyPatch,
    keys: dict[str, SigningKey],
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> Any:
    """Deploy for a provider and send a token; return the effect or the error, and the last log line."""
    caplog.set_level("INFO", "authorizer")

    def send(provider: Provider, sent: Token) -> Answer:
        for name, value in deployed(provider).items():
            environment.setenv(name, value)
        key = signing_key(provider, keys, SECRET, sent.algorithm)
        if provider.key == "HS256":
            request.getfixturevalue("store")
            environment.setenv("JWT_SECRET_PARAMETER", PARAMETER)
            return ask(key, sent, caplog)
        jwk = keys[provider.key].jwk
        with KeySetServer(provider.jwk(jwk), *provider.also_published(jwk)) as server:
            environment.setenv("JWKS_URL", server.url)
            return ask(key, sent, caplog)

    return send


def ask(key: SigningKey, sent: Token, log: pytest.LogCaptureFixture) -> Answer:
    header = {**sent.header, **({"alg": sent.algorithm} if sent.algorithm else {})}
    event = {"authorizationToken": f"Bearer {token(key, sent.claims_as_of_now(), **header)}", "methodArn": METHOD_ARN}
    try:
        effect = load_app().handler(event, None)["policyDocument"]["Statement"][0]["Effect"]
    except Exception as error:  # noqa: BLE001 - API Gateway sees the message alone
        effect = str(error)
    return effect, vars(log.records[-1]) if log.records else {}


@by_name
def test_an_administrator_is_admitted(provider: Provider, answer: Callable[[Provider, Token], Answer]) -> None:
    """The documented parameters match the provider's token."""
    effect, logged = answer(provider, provider.administrator)

    assert (effect, logged.get("hint")) == ("Allow", None)


@by_name
def test_ordinary_user_is_denied(provider: Provider, answer: Callable[[Provider, Token], Answer]) -> None:
    """The token is valid, but its claim lacks the administrators' value."""
    effect, logged = answer(provider, provider.user)

    assert (effect, logged["reason"]) == ("Deny", "not_administrator")


@pytest.mark.parametrize(("provider", "name"), OTHER_TOKENS, ids=str)
def test_token_of_another_type_rejected(
    provider: Provider, name: str, answer: Callable[[Provider, Token], Answer]
) -> None:
    """The provider signed the token for the administrator, but its type is wrong."""
    other = provider.others[name]
    effect, logged = answer(provider, other)

    assert (effect, logged["reason"]) == ("Unauthorized", other.reason)


def test_every_documented_provider_is_tested() -> None:
    """The page's rows are the test's cases."""
    assert list(documented()) == [provider.row for provider in PROVIDERS]


@by_name
def test_each_provider_has_a_token_of_another_type(provider: Provider) -> None:
    """Such a token differs from the administrator's only in its type."""
    assert "wrong_type" in {other.reason for other in provider.others.values()}


@by_name
def test_documented_jwks_url_uses_https(provider: Provider) -> None:
    """The page has the provider's JWKS URL, or the name of a secret's parameter; the tests use a local JWKS."""
    row = documented()[provider.row]

    assert row["JwtIssuer"] == provider.administrator.claims["iss"]
    assert row.get("JwksUrl", "https://").startswith("https://")
    assert ("JwksUrl" in row) != ("JwtSecretParameter" in row)


def test_documented_override_is_not_truncated() -> None:
    """SAM truncates a value at an unescaped quote."""
    (override,) = re.findall(r"--parameter-overrides '(.*)'", PAGE.read_text(encoding="utf-8"))
    rule = CfnParameterOverridesType().convert((override,), None, None)["AdminClaimRule"]

    assert AdminRule.parse(rule).values == {"CN=Key Admins,OU=Groups,DC=example,DC=com"}
