"""Wrong configuration fails by the variable's name, and a rule means what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from admin_rule import AdminRule
from authorizer_configuration import Configuration
from authorizer_errors import ConfigurationError

ROOT = Path(__file__).parents[3]

GOOD = {
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
        return {line.lower().removesuffix(" \\") for line in (ROOT / file).read_text().splitlines() if "==" in line}

    brought = pins("functions/authorizer/requirements.txt")
    assert {pin.partition("==")[0] for pin in brought} == {"cffi", "cryptography", "pycparser", "pyjwt"}
    assert brought <= pins("requirements-dev.txt")
