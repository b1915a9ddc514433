"""The identity providers of docs/identity-providers.md, each with its tokens and the documented parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

from authorizer.admin_rule import AdminRule, claim_path
from authorizer.principal_name import principal_name
from console import sign_in as console
from local.template import Template
from tests.support.identity_providers import (
    OTHER_TOKENS,
    PAGE,
    PROVIDERS,
    Provider,
    Token,
    documented,
    documented_clients,
    signing_key,
)
from tests.support.issuer import PARAMETER, SECRET, KeySetServer, token
from tests.template.conftest import DEPLOYMENT
from tests.unit.authorizer.conftest import cold_start, effect, logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.authorizer.conftest import Keys

    Outcome = Callable[[Provider, Token], str]

VARIABLES = {
    "JWT_ISSUER": "JwtIssuer",
    "JWT_AUDIENCE": "JwtAudience",
    "JWT_AUDIENCE_CLAIM": "JwtAudienceClaim",
    "JWKS_URL": "JwksUrl",
    "JWT_SECRET_PARAMETER": "JwtSecretParameter",
    "ADMIN_CLAIM_RULE": "AdminClaimRule",
    "REQUIRED_TOKEN_TYPE": "RequiredTokenType",
}
NAMES = {
    **dict.fromkeys(("Entra ID", "Firebase", "Google", "Supabase", "Supabase, HS256"), "ada@example.com"),
    "Cognito, ID token": "ada@example.com",
    **dict.fromkeys(("Cognito, access token", "Keycloak"), "ada"),
    **dict.fromkeys(("Auth0", "Okta", "Clerk"), None),
}
"""The readable name of each provider's administrator with the default of NameClaims."""
by_name = pytest.mark.parametrize("provider", PROVIDERS, ids=str)


@pytest.fixture
def outcome(environment: pytest.MonkeyPatch, keys: Keys, request: pytest.FixtureRequest) -> Outcome:
    """Return a function that deploys with the documented parameters of a provider: the outcome for a token."""

    def send(provider: Provider, sent: Token) -> str:
        parameters = {name: value for name, value in DEPLOYMENT.items() if name not in VARIABLES.values()}
        stack = Template.load({**parameters, "JwksUrl": "", **documented()[provider.row]})
        variables = stack.property("Authorizer", "Environment")["Variables"]
        for name in VARIABLES:
            environment.setenv(name, variables[name])
        header = sent.header | ({"alg": sent.algorithm} if sent.algorithm else {})
        signed = token(signing_key(provider, keys, SECRET, sent.algorithm), sent.claims_as_of_now(), **header)
        if provider.key == "HS256":
            request.getfixturevalue("store")
            environment.setenv("JWT_SECRET_PARAMETER", PARAMETER)
            return effect(cold_start(), signed)
        jwk = keys[provider.key].jwk
        with KeySetServer(provider.jwk(jwk), *provider.also_published(jwk)) as server:
            environment.setenv("JWKS_URL", server.url)
            return effect(cold_start(), signed)

    return send


@by_name
def test_an_administrator_is_admitted(provider: Provider, outcome: Outcome, caplog: pytest.LogCaptureFixture) -> None:
    """The documented parameters match the provider's token."""
    assert (outcome(provider, provider.administrator), caplog.messages) == ("Allow", [])


@by_name
def test_an_administrator_has_a_readable_name(provider: Provider) -> None:
    """The tokens of three providers have none, unless a claim is added as the page describes."""
    paths = map(claim_path, Template.load(DEPLOYMENT).parameters["NameClaims"].split(","))

    assert principal_name(provider.administrator.claims, paths) == NAMES[provider.row]


@by_name
def test_ordinary_user_is_denied(provider: Provider, outcome: Outcome, caplog: pytest.LogCaptureFixture) -> None:
    """The token is valid, but its claim lacks the administrators' value."""
    assert outcome(provider, provider.user) == "Deny"
    assert logged(caplog)["reason"] == "not_administrator"


@pytest.mark.parametrize(("provider", "name"), OTHER_TOKENS, ids=str)
def test_token_of_another_type_rejected(
    provider: Provider, name: str, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    """The provider signed the token for the administrator, but its type is wrong."""
    assert outcome(provider, provider.others[name]) == "Unauthorized"
    assert logged(caplog)["reason"] == provider.others[name].reason


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


@pytest.mark.parametrize("row", [row for row, given in documented_clients().items() if given])
def test_documented_client_signs_in_to_the_console(row: str) -> None:
    """The parameters of a provider and of its client deploy together, and the page may connect to both origins."""
    given = {"JwksUrl": "", **documented()[row], **documented_clients()[row]}
    variables = Template.load(DEPLOYMENT | given).stage_variables()

    config = console.sign_in_configuration(variables)

    assert (config["signIn"], config["issuer"], config["clientId"]) == (
        *("oidc", given["JwtIssuer"], given["ConsoleClientId"]),
    )
    assert config["scopes"] == given["ConsoleScopes"].replace(",", " ")
    origin = given.get("ConsoleTokenOrigin", "/".join(given["JwtIssuer"].split("/")[:3]))
    assert config["tokenOrigin"] == origin


def test_every_provider_has_a_row_for_the_console() -> None:
    """A provider without a client is named too."""
    rows = " ".join(documented_clients())

    assert {row for row in documented() if row.split(",")[0] not in rows} == set()
