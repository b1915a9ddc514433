"""Wrong configuration fails by the variable's name, and a rule means what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from admin_rule import AdminRule
from authorizer_configuration import Configuration
from authorizer_errors import ConfigurationError

ROOT = Path(__file__).parents[3]

GOOD = {
    "POWERTOOLS_SERVICE_NAME": "made-up-stack",
    "JWT_ISSUER": "https://issuer.example/",
    "JWT_AUDIENCE": "service-keys",
    "JWKS_URL": "https://issuer.example/.well-known/jwks.json",
    "ADMIN_CLAIM_RULE": "role=admin",
}


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example",
        "HTTPS://issuer.example/jwks",
        "https://issuer.example:8443/a/b?c=d",
        "https://issuer.example/a@b",
        "http://127.0.0.1:8000/.well-known/jwks.json",
        "http://localhost/jwks",
        "http://[::1]:8000/jwks",
    ],
)
def test_the_key_set_comes_by_https_or_from_this_machine(url: str) -> None:
    assert Configuration.from_environment({**GOOD, "JWKS_URL": url}).jwks_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "issuer.example/jwks",
        "//issuer.example/jwks",
        "https://",
        "https:///jwks",
        "http://issuer.example/jwks",
        "http://127.0.0.1.issuer.example/jwks",
        "http://localhost.issuer.example/jwks",
        "http://127.0.0.2/jwks",
        "http://127.0.0.1\\.issuer.example/jwks",
        "http://0.0.0.0/jwks",
        "http://[::2]/jwks",
        "file:///etc/jwks.json",
        "ftp://issuer.example/jwks",
        "https://issuer.example:port/jwks",
        "https://issuer.example:99999/jwks",
        "https://[::1/jwks",
        "https://issuer.example/jw ks",
        "https://issuer.example/jwks\n",
        "https://ada:hunter22@issuer.example/jwks",
        "https://ada@issuer.example/jwks",
        "https://@issuer.example/jwks",
        "http://127.0.0.1@issuer.example/jwks",
        "http://issuer.example#@127.0.0.1/jwks",
    ],
)
def test_any_other_key_set_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="JWKS_URL") as refusal:
        Configuration.from_environment({**GOOD, "JWKS_URL": url})
    assert "hunter22" not in str(refusal.value)


WITH_SECRET = {**GOOD, "JWKS_URL": "", "JWT_SECRET_PARAMETER": "/service-keys/jwt-secret"}


@pytest.mark.parametrize("name", ["/service-keys/jwt-secret", "jwt-secret", "/a/b/c_D.e-1"])
def test_a_parameter_is_named_as_parameter_store_names_it(name: str) -> None:
    given = Configuration.from_environment({**WITH_SECRET, "JWT_SECRET_PARAMETER": name})
    assert (given.secret_parameter, given.jwks_url) == (name, None)


@pytest.mark.parametrize(
    "name",
    [
        " ",
        "/",
        "//a",
        "/a/",
        "/a//b",
        "/a b",
        "/a\n",
        "/a:3",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/a",
        "made-up-secret/with+signs+of=base64",
    ],
)
def test_any_other_parameter_is_refused_without_being_repeated(name: str) -> None:
    with pytest.raises(ConfigurationError, match="JWT_SECRET_PARAMETER") as refusal:
        Configuration.from_environment({**WITH_SECRET, "JWT_SECRET_PARAMETER": name})
    assert "made-up-secret" not in str(refusal.value)


@pytest.mark.parametrize("missing", [{}, {"JWKS_URL": ""}, {"JWKS_URL": "", "JWT_SECRET_PARAMETER": ""}])
def test_one_of_the_two_modes_must_be_chosen(missing: dict[str, str]) -> None:
    environment = {name: value for name, value in GOOD.items() if name != "JWKS_URL"}
    with pytest.raises(ConfigurationError, match=r"JWKS_URL or JWT_SECRET_PARAMETER"):
        Configuration.from_environment({**environment, **missing})


def test_two_modes_at_once_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"JWKS_URL and JWT_SECRET_PARAMETER"):
        Configuration.from_environment({**WITH_SECRET, "JWKS_URL": GOOD["JWKS_URL"]})


def test_metrics_are_a_stacks_and_can_be_switched_off() -> None:
    counting = Configuration.from_environment({**GOOD, "POWERTOOLS_METRICS_NAMESPACE": "ServiceKeys/prod"})
    silent = Configuration.from_environment(GOOD)

    assert (counting.stack, counting.metrics_namespace) == ("made-up-stack", "ServiceKeys/prod")
    assert silent.metrics_namespace == ""


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE"])
@pytest.mark.parametrize("value", ["", " ", "two words", " padded", "padded\n"])
def test_issuer_and_audience_are_single_words(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Configuration.from_environment({**GOOD, name: value})


@pytest.mark.parametrize(
    "rule", ["", " ", "role", "=admin", " =admin", "role=", "role= ", "role=,", "role=a,,b", "role=a,"]
)
def test_a_rule_that_names_nobody_is_refused(rule: str) -> None:
    with pytest.raises(ConfigurationError, match="ADMIN_CLAIM_RULE"):
        Configuration.from_environment({**GOOD, "ADMIN_CLAIM_RULE": rule})


@pytest.mark.parametrize(
    ("rule", "claims"),
    [
        ("role=admin", {"role": "admin"}),
        ("role=admin,owner", {"role": "owner"}),
        (" role = admin , owner ", {"role": "owner"}),
        ("role=a=b", {"role": "a=b"}),
        ("role=site admin", {"role": "site admin"}),
        ("cognito:groups=admins", {"cognito:groups": ["users", "admins"]}),
        ("https://musicez.example/roles=admin", {"https://musicez.example/roles": ["admin", 1]}),
        ("scope=keys:write", {"scope": "openid keys:write"}),
        ("scp=keys:write", {"scp": "openid keys:write"}),
        ("scp=keys:write", {"scp": ["openid", "keys:write"]}),
        ("email=ada@example.com", {"email": "ada@example.com", "email_verified": True}),
        ("email=ada@example.com", {"email": "ada@example.com"}),
    ],
)
def test_a_rule_admits_whoever_holds_one_of_its_values(rule: str, claims: dict[str, object]) -> None:
    assert AdminRule.parse(rule).admits(claims)


@pytest.mark.parametrize(
    ("rule", "claims"),
    [
        ("role=admin", {}),
        ("role=a=b", {"role": "a"}),
        ("role=admin", {"role": "not an admin"}),
        ("role=True", {"role": True}),
        ("role=1", {"role": 1}),
        ("role=admin", {"role": {"admin": "admin"}}),
        ("realm_access=admin", {"realm_access": {"roles": ["admin"]}}),
        ("cognito:groups=admins", {"cognito:groups": ["site admins"]}),
        ("scope=keys", {"scope": "keys:write"}),
        ("scope=keys:write", {"scope": ["openid keys:write"]}),
        ("scope=keys:write", {"scope": "openid\tkeys:write"}),
        ("email=ada@example.com", {"email": "Ada@example.com"}),
        ("email=ada@example.com", {"email": "ada@example.com", "email_verified": False}),
        ("email=ada@example.com", {"email": "ada@example.com", "email_verified": None}),
        ("email=ada@example.com", {"email": "ada@example.com", "email_verified": "true"}),
        ("email=ada@example.com", {"email": "ada@example.com", "email_verified": 1}),
    ],
)
def test_a_rule_admits_nobody_else(rule: str, claims: dict[str, object]) -> None:
    assert not AdminRule.parse(rule).admits(claims)


def test_the_function_brings_the_versions_that_were_tested() -> None:
    def pins(file: str) -> set[str]:
        return {
            line.lower().removesuffix(" \\").partition(" ;")[0]
            for line in (ROOT / file).read_text().splitlines()
            if "==" in line
        }

    brought = pins("functions/authorizer/requirements.txt")
    assert {pin.partition("==")[0] for pin in brought} == {"cffi", "cryptography", "pycparser", "pyjwt"}
    assert brought <= pins("requirements-dev.txt")
