"""Configuration errors name the environment variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from authorizer.config import Configuration
from authorizer.errors import ConfigurationError
from local.template import Template, TemplateError
from tests.template.conftest import DEPLOYMENT

ROOT = Path(__file__).parents[3]

GOOD = {
    "POWERTOOLS_SERVICE_NAME": "made-up-stack",
    "JWT_ISSUER": "https://issuer.example/",
    "JWT_AUDIENCE": "service-keys",
    "JWKS_URL": "https://issuer.example/.well-known/jwks.json",
    "ADMIN_CLAIM_RULE": "role=admin",
}


def parse(**variables: str) -> Configuration:
    return Configuration.from_environment({**GOOD, **variables})


@pytest.mark.parametrize(
    "url",
    [
        *("https://issuer.example", "HTTPS://issuer.example/jwks", "https://issuer.example:8443/a/b?c=d"),
        *("https://issuer.example/a@b", "http://127.0.0.1:8000/.well-known/jwks.json"),
        *("http://localhost/jwks", "http://[::1]:8000/jwks"),
    ],
)
def test_jwks_url_is_https_or_loopback(url: str) -> None:
    """A JWKS URL uses HTTPS, or HTTP on the loopback."""
    assert parse(JWKS_URL=url).jwks_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "issuer.example/jwks", "//issuer.example/jwks", "https://", "https:///jwks", "ftp://a.example/jwks"),
        *("http://issuer.example/jwks", "http://127.0.0.1.issuer.example/jwks", "http://localhost.issuer.example/jwks"),
        *("http://127.0.0.2/jwks", "http://127.0.0.1\\.issuer.example/jwks", "http://0.0.0.0/jwks"),
        *("http://[::2]/jwks", "file:///etc/jwks.json", "https://issuer.example:port/jwks"),
        *("https://issuer.example:99999/jwks", "https://[::1/jwks", "https://issuer.example/jw ks"),
        *("https://issuer.example/jwks\n", "https://ada:hunter22@issuer.example/jwks"),
        *("https://ada@issuer.example/jwks", "https://@issuer.example/jwks", "http://127.0.0.1@issuer.example/jwks"),
        "http://issuer.example#@127.0.0.1/jwks",
    ],
)
def test_invalid_jwks_url_rejected(url: str) -> None:
    """The error does not repeat the URL, which may hold a password."""
    with pytest.raises(ConfigurationError, match="JWKS_URL") as refusal:
        parse(JWKS_URL=url)
    assert "hunter22" not in str(refusal.value)


@pytest.mark.parametrize("name", ["/service-keys/jwt-secret", "jwt-secret", "/a/b/c_D.e-1"])
def test_valid_ssm_parameter_name_accepted(name: str) -> None:
    """Names with and without a path are valid, and select secret mode."""
    parsed = parse(JWKS_URL="", JWT_SECRET_PARAMETER=name)
    assert (parsed.secret_parameter, parsed.jwks_url) == (name, None)


@pytest.mark.parametrize(
    "name",
    [
        *(" ", "/", "//a", "/a/", "/a//b", "/a b", "/a\n", "/a:3", "arn:aws:ssm:eu-west-1:123456789012:parameter/a"),
        "made-up-secret/with+signs+of=base64",
    ],
)
def test_invalid_ssm_parameter_name_rejected(name: str) -> None:
    """The error does not repeat the value, which may be a pasted secret."""
    with pytest.raises(ConfigurationError, match="JWT_SECRET_PARAMETER") as refusal:
        parse(JWKS_URL="", JWT_SECRET_PARAMETER=name)
    assert "made-up-secret" not in str(refusal.value)


@pytest.mark.parametrize("missing", [{}, {"JWKS_URL": ""}, {"JWKS_URL": "", "JWT_SECRET_PARAMETER": ""}])
def test_missing_mode_rejected(missing: dict[str, str]) -> None:
    """Either the JWKS URL or the secret's parameter is required."""
    environment = {name: value for name, value in GOOD.items() if name != "JWKS_URL"}
    with pytest.raises(ConfigurationError, match=r"JWKS_URL or JWT_SECRET_PARAMETER must be set"):
        Configuration.from_environment({**environment, **missing})


def test_both_modes_rejected() -> None:
    """The JWKS URL and the secret's parameter exclude each other."""
    with pytest.raises(ConfigurationError, match=r"JWKS_URL and JWT_SECRET_PARAMETER are both set"):
        parse(JWT_SECRET_PARAMETER="/service-keys/jwt-secret")


@pytest.mark.parametrize("variables", [{"POWERTOOLS_METRICS_NAMESPACE": "ServiceKeys/prod"}, {}])
def test_metrics_namespace_is_optional(variables: dict[str, str]) -> None:
    """An unset namespace switches metrics off."""
    parsed = parse(**variables)
    namespace = variables.get("POWERTOOLS_METRICS_NAMESPACE", "")
    assert (parsed.stack, parsed.metrics_namespace) == ("made-up-stack", namespace)


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE"])
@pytest.mark.parametrize("value", ["", " ", "two words", " padded", "padded\n"])
def test_issuer_and_audience_are_single_words(name: str, value: str) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match=name):
        parse(**{name: value})


@pytest.mark.parametrize("value", ["AUD", "aud,azp", "client_id", "sub", " azp", "aud "])
def test_only_aud_and_azp_can_name_the_audience(value: str) -> None:
    """Users could choose the value of other claims."""
    with pytest.raises(ConfigurationError, match="JWT_AUDIENCE_CLAIM"):
        parse(JWT_AUDIENCE_CLAIM=value)


@pytest.mark.parametrize("variables", [{}, {"JWT_AUDIENCE_CLAIM": ""}])
def test_the_audience_claim_is_aud_by_default(variables: dict[str, str]) -> None:
    """An empty variable counts as a missing one."""
    assert parse(**variables).audience_claim == "aud"


@pytest.mark.parametrize(
    "value",
    ["at jwt", "=access", "typ=", "aud=x", "Typ=JWT", "a=b=c", " access", "access\n", "a,b", "/typ=ID", "x" * 128],
)
def test_malformed_required_type_rejected(value: str) -> None:
    """The error names the variable."""
    with pytest.raises(ConfigurationError, match="REQUIRED_TOKEN_TYPE must be a type such as at"):
        parse(REQUIRED_TOKEN_TYPE=value)


@pytest.mark.parametrize(
    "value", ["refresh", "token_use=Refresh", "typ=Offline", "logout+jwt", "typ=application/secevent+jwt", "dpop+jwt"]
)
def test_never_accepted_type_cannot_be_required(value: str) -> None:
    """Such a setting would reject every administrator or admit refresh tokens."""
    with pytest.raises(ConfigurationError, match="never accepted"):
        parse(REQUIRED_TOKEN_TYPE=value)


@pytest.mark.parametrize("value", ["", None])
def test_no_name_claims_store_no_names(value: str | None) -> None:
    """An empty variable counts as a missing one."""
    assert parse(**({} if value is None else {"NAME_CLAIMS": value})).name_claims == ()


def test_name_claims_are_names_or_paths() -> None:
    """A claim that begins with a slash is a path, as in the admin rule."""
    parsed = parse(NAME_CLAIMS="email,https://example.com/name,/user/0/e~1mail,custom:name")

    assert parsed.name_claims == (("email",), ("https://example.com/name",), ("user", "0", "e/mail"), ("custom:name",))


@pytest.mark.parametrize("value", [" ", ",", "email,", ",email", "email, name", " email", "email\n", "é", '"a"', "a=b"])
def test_malformed_name_claims_rejected(value: str) -> None:
    """The error names the variable, and the template rejects the value, too."""
    with pytest.raises(ConfigurationError, match="NAME_CLAIMS must be names of claims"):
        parse(NAME_CLAIMS=value)
    with pytest.raises(TemplateError, match="Parameter NameClaims"):
        Template.load(DEPLOYMENT | {"NameClaims": value})


def test_bundled_versions_are_tested() -> None:
    """The function's pinned versions are those of the development environment."""

    def pins(file: str) -> set[str]:
        lines = (line for line in (ROOT / file).read_text().splitlines() if "==" in line)
        return {line.lower().removesuffix(" \\").partition(" ;")[0] for line in lines}

    bundled = pins("functions/authorizer/requirements.txt")
    assert {pin.partition("==")[0] for pin in bundled} == {"cffi", "cryptography", "pycparser", "pyjwt"}
    assert bundled <= pins("requirements-dev.txt")
